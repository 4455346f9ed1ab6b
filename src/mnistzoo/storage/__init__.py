"""Weights as files: state dicts, the manifest, model folders, model cards, the Hub."""
