"""Layers, shapes, parameters, MACs and receptive fields of any PyTorch network."""
