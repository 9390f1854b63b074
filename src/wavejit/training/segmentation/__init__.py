"""Deep Voice's segmentation model: phoneme boundaries from a network that was never told where they are.

Trained by CTC to write pairs of neighbouring phonemes, it writes each pair where it hears one phoneme turn into the
other. Source: Arik et al. 2017, Deep Voice, section 3.2.

Which labels to train on: pocketsphinx's (`python -m wavejit.training.align`), until `comparison.json` shows less
spread within phones for ours than for them. Four of 14 epochs on 80 minutes of one voice (8 channels, 2 layers of
64) gave, on 55 held-out utterances: median distance 10 ms, 90 % within 30 ms, 88.6 % within 20 ms; spread 0.422 to
pocketsphinx's 0.418.
"""
