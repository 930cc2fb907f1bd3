"""Write small models of every kind that :func:`gpulr.load` has to read for ever.

They were written once, before modules moved; a later format gets files of its own beside these::

    python tests/files/make.py FOLDER
"""

from __future__ import annotations

import sys
import warnings
from datetime import date
from pathlib import Path

import numpy as np

import gpulr


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return X (60, 5) float64 and classes y (60,) of three kinds."""
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = generator.normal(size=(60, 5)) + np.eye(3, 5)[y] + [0.0, 0.0, 0.0, 0.0, 40.0]
    return X, y


def models() -> dict[str, gpulr.OneVsAll]:
    """Return the models by the names of their files."""
    X, y = data()
    words = np.array(["bird", "cat", "dog"])[y]
    labels = np.stack([y == 0, y >= 1, X[:, 0] > 0], axis=1).astype(int)
    pixels = np.clip(40 * X[:, :4] + 100, 0, 255).astype(np.uint8)
    days = np.array([date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)])[y]
    return {
        "class": gpulr.train(X, y),
        "class-names-standardized": gpulr.train(X, words, standardize=True),
        "two-classes-float64": gpulr.train(X, y == 1, dtype="float64", C=10.0),
        "label-matrix": gpulr.train(X, labels, C=[0.1, 1.0, 10.0]),
        "dates-no-intercept": gpulr.train(X, np.array(days, dtype="M8[D]"), fit_intercept=False),
        "images": gpulr.train(pixels, y, image_shape=(2, 2), solver="nesterov"),
        "weighted": gpulr.train(X, y, sample_weight=1.0 + y, class_weight={0: 2.0}),
        "search": gpulr.search(X, words, Cs=[0.1, 1.0], cv=3).model,
        "bootstrap": gpulr.bootstrap(X, y, n=5, random_state=0).model,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore", gpulr.GpulrWarning)
    folder = Path(sys.argv[1])
    X, _ = data()
    expected = {"X": X}
    for name, model in models().items():
        model.save(folder / f"{name}.safetensors")
        rows = np.clip(40 * X[:, :4] + 100, 0, 255).astype(np.uint8) if name == "images" else X
        expected[name] = model.predict_proba(rows)
    np.savez_compressed(folder / "predictions.npz", **expected)
