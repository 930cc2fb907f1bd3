"""What users pass in, checked and brought to arrays: rows, labels, parameters, names."""
