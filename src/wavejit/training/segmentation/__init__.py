"""Deep Voice's segmentation model: phoneme boundaries from a network that was never told where they are.

Trained by CTC to write pairs of neighbouring phonemes, it writes each pair where it hears one phoneme turn into the
other. Source: Arik et al. 2017, Deep Voice, section 3.2.
"""
