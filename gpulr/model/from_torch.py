"""Models from torch's layers: what was trained there is evaluated, reported and saved here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.errors import DataError, ParameterError, needs_extra
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import unknown_history
from gpulr.validation.label_values import check_labels, label_array
from gpulr.words import counted, shown


def from_torch(linear: Any, *, classes: Any = None, multilabel: bool = False) -> OneVsAll:
    """Return the model of an ``nn.Linear``, such as the last layer of a network.

    Its margins are the layer's outputs, for rows as the layer takes them. The model evaluates,
    reports, saves and exports like any other, and :func:`gpulr.train` may start from it. It does
    not know how the layer was trained. A layer that was trained with a softmax predicts the same
    classes, but ``predict_proba`` applies σ to each output by itself.

    Parameters
    ----------
    linear : torch.nn.Linear
        The layer, or the Sequential that :meth:`gpulr.OneVsAll.to_torch` makes of a standardised
        model. It may be on any device; its arrays are copied to NumPy's, and float16 and bfloat16
        become float32. Without a bias the intercepts are 0.
    classes : sequence, optional
        The class of each output, in their order. A single output has two; its logit is that of the
        second. None numbers them from 0.
    multilabel : bool
        Whether outputs are labels, of which a row may have any number; ``classes`` are then their
        names.

    Returns
    -------
    OneVsAll

    Raises
    ------
    MissingExtraError
        torch is not installed.
    ParameterError
        ``linear`` is no nn.Linear, or holds NaN or infinity; or there are not as many classes as
        outputs, or they are no labels.

    Examples
    --------
    >>> model = gpulr.from_torch(network.fc, classes=["cat", "dog", "fox"])  # doctest: +SKIP
    """
    with needs_extra("torch", "Models from an nn.Linear need torch"):
        import torch

        from gpulr.model.centering_layer import Center
    center = None
    if isinstance(linear, torch.nn.Sequential) and len(linear) == 2:
        first, last = linear
        if isinstance(first, Center) and isinstance(last, torch.nn.Linear):
            center, linear = first.center, last
    if not isinstance(linear, torch.nn.Linear):
        raise ParameterError(
            f"linear is of type {type(linear).__name__}; expected torch.nn.Linear. "
            f"{_remedy(linear)}"
        )
    W = np.ascontiguousarray(_host(linear.weight, "weight").T)
    b = np.zeros(W.shape[1], W.dtype) if linear.bias is None else _host(linear.bias, "bias")
    arrays: dict[str, Any] = {"weights": W, "intercept": b}
    if center is not None:
        c = _host(center, "center")
        wide = b.astype(np.float64) - c.astype(np.float64) @ W
        arrays |= {"intercept": wide.astype(W.dtype), "center": c, "intercept_at_center": b}
    return OneVsAll(
        **arrays,
        classes=_classes(classes, W.shape[1], multilabel),
        history=unknown_history(W.shape[1]),
        backend="torch",
        device=str(linear.weight.device),
        data={"name": "arrays", "source": "a layer of torch's", "origin": "an nn.Linear of torch"},
        versions={"gpulr": __version__, "torch": torch.__version__},
        multilabel=bool(multilabel),
    )


def _remedy(linear: Any) -> str:
    """Say what to pass instead of what is no nn.Linear."""
    if ".quantized" in type(linear).__module__:
        return "Pass the layer as it was before it was quantized, whose weights are real numbers."
    for name, did in (("_orig_mod", "compiled"), ("module", "wrapped")):
        if hasattr(inner := getattr(linear, name, None), "parameters"):
            own = "" if type(inner).__name__ == "Linear" else ".fc, its last layer"
            return f"Pass what was {did}: linear.{name}{own}."
    return "Pass the layer that gives the logits, such as network[-1] or network.fc."


def _host(tensor: Any, name: str) -> npt.NDArray[Any]:
    """Return a copy of a tensor as a NumPy array, float32 or float64."""
    import torch

    if torch.nn.parameter.is_lazy(tensor) or tensor.is_meta or 0 in tensor.shape:
        raise ParameterError(
            f"The nn.Linear's {name} has no numbers yet. Load them first, or let a row pass."
        )
    if not tensor.dtype.is_floating_point:
        raise ParameterError(f"The nn.Linear's {name} is {tensor.dtype}; expected real numbers.")
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    # To the host first: not every device has float64.
    array: npt.NDArray[Any] = tensor.detach().cpu().to(dtype).numpy().copy()
    if not np.isfinite(array).all():
        bad = counted(int(np.sum(~np.isfinite(array))), "entry", "entries")
        raise ParameterError(
            f"The nn.Linear's {name} holds NaN or infinity, in {bad} of {array.size:,}. Its "
            "training has diverged: train it again at a smaller rate."
        )
    return array


def _classes(classes: Any, n_models: int, multilabel: bool) -> npt.NDArray[Any]:
    """Return the labels of so many outputs, each once."""
    n = 2 if n_models == 1 and not multilabel else n_models
    if classes is None:
        return np.arange(n)
    try:
        names = label_array(classes)
        names = check_labels(names, len(names) if names.ndim else 0)
    except DataError as error:
        raise ParameterError(
            f"classes={shown(classes)} are no labels; expected numbers, text or the like, one for "
            "each output."
        ) from error
    if len(names) != n:
        each = "each of them"
        if n_models == 1 and not multilabel:
            each = "either answer, no and yes (or one label, with multilabel=True)"
        raise ParameterError(
            f"The nn.Linear has {counted(n_models, 'output')}, and classes has "
            f"{counted(len(names), 'entry', 'entries')}; expected one for {each}."
        )
    if len(set(names.tolist())) < n:
        raise ParameterError(f"classes={shown(classes)} has one twice; expected each once.")
    return names
