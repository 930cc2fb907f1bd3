"""A trained family of models: its records, what it predicts, how good it is, and its files.

Imports validation, backend and what stands beneath; and, where it exports, the library whose format
it writes (onnx, scikit-learn, joblib).
"""
