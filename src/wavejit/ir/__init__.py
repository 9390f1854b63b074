"""The language in which one tick of a model is described; imports nothing else of wavejit."""
