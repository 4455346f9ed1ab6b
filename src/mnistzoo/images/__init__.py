"""Convert any image to MNIST format: load, segment, group, render. NumPy, and torch at its end."""
