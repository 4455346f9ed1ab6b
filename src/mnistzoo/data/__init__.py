"""The bundled MNIST images, and datasets of your own."""
