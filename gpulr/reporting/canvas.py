"""What the page's canvas needs to know of a model, or why the page has none."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np

from gpulr.backend import to_host
from gpulr.images.framing import DRAWN, Frame
from gpulr.images.strokes import PEN, paper_of
from gpulr.model.one_vs_all import OneVsAll

LARGEST = 480_000
"""Characters that the weights may take in the page, of a megabyte for all of it."""


def canvas_of(model: OneVsAll, names: list[str]) -> tuple[dict[str, Any] | None, str]:
    """Return what ``page.js`` computes probabilities from; or None, and why there is no canvas.

    Weights are in the dtype of the model, little-endian, rows after rows, in base64. The intercept
    is that of rows as they are passed, whatever training's centre was.
    """
    shape = model.image_shape
    if shape is None:
        return None, "its rows are not images"
    if len(shape) != 2:
        return None, f"its images are not grey; their shape is {shape}"
    if min(shape) < 4:
        return None, f"images of {_times(shape)} pixels hold no drawing"
    weights = to_host(model.weights)
    size = -(-weights.nbytes // 3) * 4
    if size > LARGEST:
        return None, (
            f"its {weights.size:,} weights would take {size / 1e6:.1f} MB "
            f"of this page, of which they may have {LARGEST / 1e6:g}"
        )
    intercept = to_host(model.intercept).astype(np.float64)
    if model.center is not None and model.intercept_at_center is not None:
        center = to_host(model.center).astype(np.float64)
        intercept = to_host(model.intercept_at_center) - center @ weights.astype(np.float64)
    frame, paper = Frame.of(model), paper_of(shape)
    little = np.ascontiguousarray(weights, dtype=weights.dtype.newbyteorder("<"))
    return {
        "names": names,
        "multilabel": model.multilabel,
        "shape": frame.shape,
        "extent": frame.extent,
        "middle": frame.middle,
        "low": frame.low,
        "high": frame.high,
        "bright": frame.bright,
        "paper": paper,
        "pen": PEN,
        "drawn": DRAWN,
        "bits": 8 * weights.dtype.itemsize,
        "weights": base64.b64encode(little.tobytes()).decode(),
        "intercept": intercept.tolist(),
        "examples": {} if model.multilabel or paper[0] != paper[1] else _examples(names),
    }, ""


def _examples(names: list[str]) -> dict[str, Any]:
    """Return strokes of the digits that are among the classes."""
    text = (files("gpulr.reporting") / "examples.json").read_text(encoding="utf-8")
    known: dict[str, Any] = json.loads(text)
    digits = {name.removesuffix(".0") for name in names}
    return {digit: strokes for digit, strokes in known.items() if digit in digits}


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
