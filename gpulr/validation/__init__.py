"""What users pass in, checked and brought to arrays: rows, labels, parameters, feature names.

Imports core (labels become targets), backend and what stands beneath; the rooms above assume what
is checked here.
"""
