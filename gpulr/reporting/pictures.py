"""What the page draws from: weights and rows as small PNG files, and the model for the canvas."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.backend import to_host
from gpulr.images.framing import DRAWN, Frame
from gpulr.images.strokes import MOST_ENLARGED, PEN, SPAN, paper_of
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import uncentered_intercept
from gpulr.show.labels import shortened_apart
from gpulr.show.predictions import as_bytes, grey_images, weight_images, weight_limit

SHORT = 13  # characters of a name beside a bar
LONGEST_SIDE = 48  # pixels; larger images are scaled down
LEVELS = 31  # of each sign
NEGATIVE, POSITIVE = (36, 113, 199), (214, 72, 40)  # seen on white and on black
LARGEST = 480_000  # characters that the weights may take in the page, of a megabyte for all of it


def weight_pictures(
    model: OneVsAll, most: int, sure: npt.NDArray[np.bool_] | None = None
) -> tuple[list[str], float]:
    """Return the first ``most`` models' weights as pictures, and the weight that is full colour.

    Blue is negative, red positive, and nothing is transparent, on one scale for all: that of
    :func:`gpulr.show.weights`, in the unit of the scaled X. Of weights (n_features, n_models) only
    those that are ``sure`` have colour.
    """
    assert model.image_shape is not None
    W = to_host(model.weights).astype(np.float64) / model.scale
    W = W if sure is None else np.where(sure, W, 0.0)
    images = weight_images(W, model.image_shape)
    limit = weight_limit(images)
    steps = np.linspace(-1, 1, 2 * LEVELS + 1)
    palette = [c for step in steps for c in (NEGATIVE if step < 0 else POSITIVE)]
    alpha = bytes(as_bytes(np.abs(steps)))
    pictures = []
    for image in np.clip(images[:most] / limit, -1, 1):
        picture = _image((image * LEVELS + LEVELS).round().astype(np.uint8))
        picture.putpalette(palette)
        pictures.append(_png(picture, transparency=alpha))
    return pictures, limit


def row_pictures(rows: npt.NDArray[Any], model: OneVsAll) -> list[str]:
    """Return rows (n_rows, n_features) as pictures."""
    assert model.image_shape is not None
    return [_png(_image(each)) for each in as_bytes(grey_images(model, rows, model.image_shape))]


def row_sheet(rows: npt.NDArray[Any], model: OneVsAll, shades: int) -> dict[str, Any]:
    """Return rows as one picture of few greys, tile beside tile, and how they lie on it."""
    assert model.image_shape is not None
    whole = as_bytes(grey_images(model, rows, model.image_shape))
    stride = max(1, -(-max(whole.shape[1:3]) // LONGEST_SIDE))
    images = whole[:, ::stride, ::stride]
    n, height, width = images.shape[:3]
    across = math.ceil(math.sqrt(n))
    padded = np.zeros((across * -(-n // across), *images.shape[1:]), dtype=np.uint8)
    padded[:n] = images
    grid = padded.reshape(-1, across, *images.shape[1:]).swapaxes(1, 2)
    sheet = grid.reshape(-1, across * width, *images.shape[3:])
    if sheet.ndim == 2:
        picture = Image.fromarray(np.rint(sheet / 255 * (shades - 1)).astype(np.uint8))
        picture.putpalette([255 * k // (shades - 1) for k in range(shades) for _ in range(3)])
    else:
        picture = Image.fromarray(sheet[..., :3]).quantize(4 * shades)
    return {"sheet": _png(picture), "tile": [height, width], "across": across}


def _image(values: npt.NDArray[np.uint8]) -> Image.Image:
    stride = max(1, -(-max(values.shape[:2]) // LONGEST_SIDE))
    return Image.fromarray(np.ascontiguousarray(values[::stride, ::stride]))


def _png(image: Image.Image, **options: Any) -> str:
    """Return the picture as the address of an <img>."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def canvas_of(model: OneVsAll, names: list[str]) -> tuple[dict[str, Any] | None, str]:
    """Return what ``canvas.js`` draws and answers with; or None, and why there is no canvas."""
    shape, weights = model.image_shape, to_host(model.weights)
    size = -(-weights.nbytes // 3) * 4
    if shape is None:
        return None, "its rows are not images"
    if len(shape) != 2:
        return None, f"its images are not grey; their shape is {shape}"
    if min(shape) < 4:
        return None, f"images of {shape[0]}×{shape[1]} pixels hold no drawing"
    if size > LARGEST:
        return None, (
            f"its {weights.size:,} weights would take {size / 1e6:.1f} MB "
            f"of this page, of which they may have {LARGEST / 1e6:g}"
        )
    paper = paper_of(shape)
    return asdict(Frame.of(model)) | computed_from(model, names) | {
        "paper": paper,
        "pen": PEN,
        "span": SPAN,
        "most_enlarged": MOST_ENLARGED,
        "drawn": DRAWN,
        "examples": {} if model.multilabel or paper[0] != paper[1] else _examples(names),
    }, ""


def computed_from(model: OneVsAll, names: list[str]) -> dict[str, Any]:
    """Return what scripts compute probabilities of a row from.

    Weights are in the dtype of the model, little-endian, rows after rows, in base64. The intercept
    is that of rows as they are passed, whatever training's centre was.
    """
    weights = to_host(model.weights)
    intercept = to_host(model.intercept) if model.center is None else uncentered_intercept(model)
    little = np.ascontiguousarray(weights, dtype=weights.dtype.newbyteorder("<"))
    return {
        "names": names,
        "short": shortened_apart(names, SHORT),
        "multilabel": model.multilabel,
        "bits": 8 * weights.dtype.itemsize,
        "weights": base64.b64encode(little.tobytes()).decode(),
        "intercept": intercept.astype(np.float64).tolist(),
        "thresholds": _thresholds(model),
    }


def _thresholds(model: OneVsAll) -> list[float] | None:
    """Return the thresholds as JSON holds them: an infinite one is above all margins."""
    if model.thresholds is None:
        return None
    return [min(t, float(np.finfo(np.float64).max)) for t in model.thresholds.tolist()]


def _examples(names: list[str]) -> dict[str, Any]:
    """Return strokes of the digits that are among the classes."""
    text = (files("gpulr.reporting") / "examples.json").read_text(encoding="utf-8")
    digits = {name.removesuffix(".0") for name in names}
    return {digit: strokes for digit, strokes in json.loads(text).items() if digit in digits}
