"""A model as a layer of torch's, to end a network with; :mod:`gpulr.model.from_torch` goes back.

torch is optional (the extra ``torch``), and imported where a layer is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.errors import ParameterError, needs_extra
from gpulr.model.record import Trained
from gpulr.words import did_you_mean, shown

DTYPES = ("float32", "float64", "float16", "bfloat16")


def to_torch(model: Trained, *, device: Any = None, dtype: Any = None) -> Any:
    """Return the model as a PyTorch layer that gives its logits and can be trained further.

    The layer is an ``nn.Linear`` of n_features inputs. It takes rows as training did (pixels of
    bytes from 0 to 255, as floating point). Its outputs are the margins of
    :meth:`decision_function`, one for each class or label; with two classes a single one, of
    ``classes[1]``.

    After standardised training it is an ``nn.Sequential`` of two: ``center`` subtracts the
    features' means, and ``linear`` is the ``nn.Linear``. Without ``center``, float32 would cancel
    if the means are large. If they are small, ``dataclasses.replace(model, center=None,
    intercept_at_center=None).to_torch()`` is one ``nn.Linear``.

    Probabilities are ``torch.sigmoid(logits)``, since every model answers for itself (the loss that
    goes with them is ``nn.BCEWithLogitsLoss``). The class is ``classes[logits.argmax(1)]``. With
    two classes it is the second if ``logits > 0``; with several labels, a row has those for which
    that holds. Calibration is part of the logits. Thresholds are not: compare the logits with
    ``model.thresholds``, as described there.

    Parameters
    ----------
    device : torch.device or str, optional
        Where the layer is. None: where the weights are, if they are tensors, else torch's default.
    dtype : torch.dtype or str, optional
        The dtype of the layer: float32, float64, float16 or bfloat16. None is that of the weights.
        A centre is rounded to it before the intercept is computed, so that narrow ones lose no more
        than they have to.

    Returns
    -------
    torch.nn.Linear or torch.nn.Sequential
        A layer with arrays of its own. :func:`gpulr.from_torch` is the way back.

    Raises
    ------
    MissingExtraError
        torch is not installed.
    ParameterError
        torch has no such device here, or it cannot hold that dtype, or the dtype cannot hold the
        weights.

    Examples
    --------
    >>> classifier = nn.Sequential(encoder, nn.Flatten(), model.to_torch())  # doctest: +SKIP
    """
    with needs_extra("torch", "An nn.Linear needs torch"):
        import torch
    W, b = to_host(model.weights), to_host(model.intercept)
    dtype = _dtype(torch, W.dtype.name if dtype is None else dtype)
    if device is None and isinstance(model.weights, torch.Tensor):
        device = model.weights.device

    def tensor(array: npt.NDArray[Any]) -> Any:
        try:
            array = np.ascontiguousarray(array)
            made = torch.tensor(array, dtype=dtype, device=device)  # a copy
            finite = bool(made.isfinite().all())
        except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
            said = str(error).partition("\n")[0]
            raise ParameterError(
                f"device={shown(device)} cannot hold the model's {dtype}: {said}. Leave device out "
                "and move the layer afterwards, or choose another dtype."
            ) from error
        if not finite:
            raise ParameterError(
                f"The model has numbers up to {np.abs(array).max():.3g}, and {dtype} holds numbers "
                f"up to {torch.finfo(dtype).max:.3g}. Choose another, or train on scaled rows."
            )
        return made

    center = None
    if model.center is not None:
        exact = to_host(model.center).astype(np.float64)
        center = tensor(exact)
        # (X − c') W + b' is (X − c) W + b where b' = b + (c' − c) W.
        moved = center.cpu().to(torch.float64).numpy() - exact
        b = to_host(model.intercept_at_center).astype(np.float64) + moved @ W
    # Nothing is drawn for weights that are replaced: torch's random numbers stay as they were.
    linear = torch.nn.Linear(*W.shape, device="meta", dtype=dtype)
    linear.weight, linear.bias = (torch.nn.Parameter(tensor(array)) for array in (W.T, b))
    if center is None:
        return linear
    from gpulr.model.centering_layer import Center

    return torch.nn.Sequential(OrderedDict(center=Center(center), linear=linear))


def _dtype(torch: Any, dtype: Any) -> Any:
    """Return one of the dtypes of layers, torch's own or by its name."""
    known = {name: getattr(torch, name) for name in DTYPES}
    found = known.get(dtype) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in known.values():
        near = did_you_mean(dtype, DTYPES)
        raise ParameterError(f"dtype={shown(dtype)}{near}; use one of {', '.join(DTYPES)}.")
    return found
