"""Weights as the page shows them: maps of images, and bars of a table's named features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.families.intervals import Bootstrap
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import weight_steps
from gpulr.reporting.pictures import weight_pictures
from gpulr.reporting.words import LONGEST_NAME, minus
from gpulr.show.labels import shortened_apart
from gpulr.show.predictions import feature_names, is_image, largest_weights, odds_ratio

MOST_PICTURES = 60
MOST_OPEN = 12  # models of a table whose bars are shown before they are asked for
SHOWN, ALONE = 8, 20  # features of each of several models, and of one
SHORT, LONG = 14, 28  # characters of features' names beside bars, three or two of which are abreast
LEVEL = 0.95  # of intervals

Ends = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def weights_of(model: OneVsAll, names: list[str], replicates: Bootstrap | None) -> dict[str, Any]:
    """Return what the page shows of weights; with their intervals, where there are replicates."""
    facts: dict[str, Any] = {
        "left_out": max(0, model.n_models - MOST_PICTURES),
        "level": None if replicates is None else f"{100 * LEVEL:.4g} %",
        "n_replicates": 0 if replicates is None else replicates.n_replicates,
    }
    low, high = (None, None) if replicates is None else replicates.coef_interval(LEVEL)
    if is_image(model.image_shape):
        sure = None if low is None else (to_host(low) > 0) | (to_host(high) < 0)
        pictures, scale = weight_pictures(model, MOST_PICTURES, sure)
        unit = "" if model.scale == 1.0 else f" × {1 / model.scale:.4g}"
        return facts | {
            "pictures": list(zip(names, pictures, strict=False)),
            "scale": f"{scale:.3g}",
            "unit": unit,
        }
    step, unit = weight_steps(model)
    W, *ends = (
        step[:, np.newaxis] * to_host(each).astype(np.float64)[:, :MOST_PICTURES]
        for each in (model.weights, low, high)
        if each is not None
    )
    which = largest_weights(W, SHOWN if model.n_models > 1 else ALONE)
    features = feature_names(model, LONGEST_NAME)
    wide = max(len(features[f]) for f in which.ravel()) > SHORT
    short = shortened_apart(features, LONG)
    limit = max(float(np.abs(np.take_along_axis(each, which, 0)).max()) for each in (W, *ends))
    bars = [
        [
            (features[f], short[f], *_bar(W[f, j], [each[f, j] for each in ends], limit or 1.0))
            for f in which[:, j]
        ]
        for j in range(W.shape[1])
    ]
    return facts | {
        "pictures": [],
        "bars": list(zip(names, bars, strict=False)),
        "n": len(which),
        "wide": wide,
        "folded": model.n_models > MOST_OPEN,
        "unit": None if model.feature_std is None else unit,
    }


def _bar(w: float, ends: list[float], limit: float) -> tuple[Any, ...]:
    """Return a weight in words, where its bar is from and how wide, and what stands beside it.

    From -50 to 50. Beside it stand the factor of the odds, or where there are ``ends`` of an
    interval these, and where they are.
    """
    width = round(50 * abs(w) / limit, 1)
    bar = minus(f"{w:+.3g}"), -width if w < 0 else 0.0, width
    if not ends:
        return *bar, odds_ratio(w), []
    return *bar, minus("{:+.2g} to {:+.2g}".format(*ends)), [round(50 * x / limit, 1) for x in ends]
