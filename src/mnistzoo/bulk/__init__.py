"""Predict the digits in any number of image files, on every core or on a cluster."""
