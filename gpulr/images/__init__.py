"""Pictures, photos and drawn strokes as rows for a model: reading, cutting out and framing them.

It imports `gpulr.datasets.readers.checks`, `gpulr.model`, `errors` and `output_files`; Pillow only
in `decoding`.
"""
