"""Any image in MNIST format."""
