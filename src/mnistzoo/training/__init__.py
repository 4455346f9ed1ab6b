"""Training: recipes, augmentation, training steps, run folders and studies."""
