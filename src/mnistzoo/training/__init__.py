"""Recipes, augmentation, the trainer, and how a network is judged."""
