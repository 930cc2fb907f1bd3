"""Pictures as rows: files, photos, drawn strokes, and framing."""
