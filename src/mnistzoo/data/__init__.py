"""The bundled MNIST images, and the test images whose labels are disputed."""
