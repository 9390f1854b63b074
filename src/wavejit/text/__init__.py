"""Written text to phonemes."""
