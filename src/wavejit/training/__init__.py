"""Training, with PyTorch: the twins of the models, data, losses, the loop."""
