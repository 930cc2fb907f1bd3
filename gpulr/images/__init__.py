"""Pictures as rows for a model: reading them, photos, drawn strokes, and framing; no plots.

It imports `gpulr.datasets.readers.checks`, `gpulr.model` and what is below. Pillow is imported in
`decoding` alone.
"""
