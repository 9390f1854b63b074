"""How fast a model runs, beside what the machine could do and what other software does."""
