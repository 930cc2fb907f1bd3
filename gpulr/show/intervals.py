"""What a bootstrap says of weights: intervals of the strongest, or maps of those that are sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.show.canvas import Colour, model_names
from gpulr.show.features import (
    MOST,
    feature_panels,
    features_of,
    lines_that_fit,
    models_that_fit,
    name_lines,
)
from gpulr.show.lettering import plain
from gpulr.show.models import chosen_models, weight_maps
from gpulr.show.predictions import image_shape_to_draw, weight_images
from gpulr.show.room import settled
from gpulr.validation.parameters import whole_number
from gpulr.words import counted


@settled
def bootstrap(
    result: Any,
    *,
    level: float = 0.95,
    n: int = 10,
    image_shape: tuple[int, ...] | None = None,
    models: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw weights with the intervals that resamples of the rows gave them.

    For each model, the strongest features are drawn, the strongest first: those whose interval ends
    furthest from 0, at the end nearer to 0 (:meth:`gpulr.Bootstrap.strength`). A dot is the weight,
    and a line goes from end to end: orange for the class, blue against it, grey if the interval
    contains 0. Weights of a table are per standard deviation of the feature. For images, weights
    are drawn as by :func:`weights`, and grey if their interval contains 0.

    Parameters
    ----------
    result : Bootstrap
        What :func:`gpulr.bootstrap` returned.
    level : float
        Level of the intervals.
    n : int
        Number of features for each model.
    image_shape : tuple of int, optional
        (height, width), or with channels; None is that of the training data.
    models : sequence of int, optional
        Models to draw, by their column; None draws all, or the first 12 (of images 50).
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        It has one line for each feature. With several models, ``ax.child_axes`` have these, in the
        order of the models; images are returned as by :func:`weights`.

    Raises
    ------
    DataError
        There are fewer than two replicates, since training was stopped.
    """
    if not hasattr(result, "coef_interval"):
        raise ParameterError(
            f"result is of type {type(result).__name__}; expected what gpulr.bootstrap returns."
        )
    model, n = result.model, whole_number("n", n, least=1)
    shape = image_shape_to_draw(model, image_shape)
    names, n_models = model_names(model), model.n_models
    strength, step, words = result.strength(level), result.step, result.step_words
    arrays = (model.weights, *result.coef_interval(level))
    W, low, high = (step[:, np.newaxis] * to_host(a).astype(np.float64) for a in arrays)
    share = f"{100 * level:.4g} %"
    if shape is not None:
        chosen = chosen_models(models, n_models)
        sure = strength[:, chosen] > 0
        drawn = weight_images(np.where(sure, W[:, chosen], 0.0), shape)
        drawn = np.ma.masked_where(weight_images(sure.astype(int), shape) == 0, drawn)
        ax = weight_maps(ax, drawn, [names[j] for j in chosen], words)
        title = f"Weights whose {share} interval leaves 0"
    else:
        chosen, features = chosen_models(models, n_models, MOST), features_of(model)
        n = min(n, len(features) if ax is None else lines_that_fit(ax))
        chosen = chosen[: models_that_fit(ax, features, n, len(chosen))]
        places = np.argsort(-strength[:, chosen], axis=0, kind="stable")[:n]
        shown = [features[f] for f in places.ravel()]
        ax, panels, longest = feature_panels(ax, [names[j] for j in chosen], shown, len(places))
        for panel, j, which in zip(panels, chosen, places.T, strict=True):
            ends = (each[which, j] for each in (W, low, high))
            _intervals(panel, [features[f] for f in which], *ends, longest=longest)
        ax.set_xlabel(words, fontsize="small")
        title = f"Weights and their {share} intervals"
    if len(chosen) == 1 < n_models:
        title += f" for {names[chosen[0]]}"
    if len(chosen) < n_models:
        title += f", {len(chosen)} of {n_models} models"
    ax.set_title(
        f"{title} ({counted(result.n_replicates, 'replicate')})", loc="left", **plain([title])
    )
    return ax


def _intervals(
    ax: Axes,
    names: Sequence[str],
    weight: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    *,
    longest: float,
) -> None:
    """Draw a line from end to end for each feature, the first one on top."""
    ax.axvline(0.0, color=Colour.BLACK, linewidth=0.8, zorder=1)
    for place, ends in enumerate(zip(weight, low, high, strict=True)):
        at, left, right = map(float, ends)
        colour = Colour.GREY
        if left > 0 or right < 0:
            colour = Colour.VERMILION if left > 0 else Colour.BLUE
        ax.plot([left, right], [place, place], "-", color=colour, linewidth=2.5)
        ax.plot([at], [place], "o", color=colour, markersize=5)
    name_lines(ax, names, longest)
