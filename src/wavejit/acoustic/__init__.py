"""Phonemes to mel frames: how long each is, at which pitch, and how it sounds."""
