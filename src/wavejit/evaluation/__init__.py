"""How good made audio is: likelihood, spectrum, pitch, pace, opinion as models predict it, words understood."""
