"""Images in: the bundled data set, and pictures from anywhere."""
