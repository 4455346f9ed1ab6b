"""Convert any image to MNIST format: load, segment, group, render. NumPy until the final tensor."""
