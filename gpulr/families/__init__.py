"""Families of models that share their rows: training, search and bootstrap, over one pipeline."""
