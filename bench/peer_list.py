"""Who is compared, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Setting = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant, which gets a process of its own.

    Attributes
    ----------
    name, label : str
    family : "sklearn", "intelex", "jax" or "gpulr"
        Which function of :mod:`bench.peer_fits` runs it.
    dtype : str
        Of the X that it is given: the one that it is faster with (tried on MNIST: float32 for all
        but liblinear, which converts to float64 whatever it gets).
    settings : tuple of dict
        One run each; the first is the one that the table shows, the others draw the curve.
    options : dict
        The same in every run.
    limit : float
        Seconds until its process is ended; what it has finished by then counts.
    """

    name: str
    label: str
    family: str
    dtype: str
    settings: tuple[Setting, ...]
    options: dict[str, Any] = field(default_factory=dict)
    limit: float = 120.0

    @property
    def one_class_at_a_time(self) -> bool:
        """Whether time is proportional to the classes, so that a sample of them tells it."""
        return self.family in ("sklearn", "intelex")


def peers(data: str) -> list[Peer]:
    """Return the contestants on a data set, in the order in which they run."""
    many = data == "synthetic200"
    default, loose = ({"tol": 1e-4},), ({"tol": 1e-4}, {"tol": 1e-3}, {"tol": 1e-2})
    steps = (30, 100) if many else (30, 100, 300)
    # The last is the one to show; ours run each from the start, jax passes by the others.
    fixed = tuple({"max_iter": n} for n in reversed(steps))
    tols = (1e-4, 3e-3, 1e-3, 5e-4, 2e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6)
    if many:  # rare classes make small gradients
        tols = (1e-4, 1e-3, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7)

    def sklearn(solver: str, dtype: str, settings: tuple[Setting, ...], **extra: Any) -> Peer:
        words = "".join(f", {k}={v}" for k, v in extra.items())
        name = f"sklearn-{solver}{'-parallel' if extra else ''}"
        options = {"solver": solver, **extra}
        label = f"scikit-learn, {solver}{words}"
        return Peer(name, label, "sklearn", dtype, settings, options)

    return [
        Peer("gpulr-lbfgs", "gpulr, lbfgs", "gpulr", "as it is", tuple({"tol": t} for t in tols)),
        Peer("gpulr-nesterov", "gpulr, nesterov", "gpulr", "as it is", fixed),
        Peer("gpulr-gd", "gpulr, gd", "gpulr", "as it is", fixed),
        Peer("jax-gd", "jax.jit gradient descent, step 1/L", "jax", "float32", fixed),
        Peer(
            "intelex-lbfgs",
            "scikit-learn-intelex, lbfgs",
            "intelex",
            "float32",
            default,  # with a looser one it comes as close, and takes as long
            {"solver": "lbfgs"},
        ),
        sklearn("lbfgs", "float32", loose),
        sklearn("newton-cg", "float32", default),
        sklearn("newton-cholesky", "float32", default),
        sklearn("liblinear", "float64", default),
    ]
