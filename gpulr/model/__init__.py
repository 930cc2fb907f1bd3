"""A trained family of models: what it predicts, how good it is, and the files it is kept in."""
