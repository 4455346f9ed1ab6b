"""Receptive-field arithmetic in integers and fractions. Imports no torch."""
