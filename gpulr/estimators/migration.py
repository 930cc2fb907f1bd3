"""What scikit-learn 1.6 to 1.9 calls the parameters of its logistic regressions, and means by them.

The estimators have all of these parameters, so that a program that trains scikit-learn's runs with
ours under another name. ``n_jobs``, ``random_state``, ``use_legacy_attributes`` and
``intercept_scaling`` (which is liblinear's) are not looked at: they change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpulr.errors import ParameterError

_ONLY_L2 = (
    "models have an L2 penalty, or none at all with C=np.inf. Leave it out, or use scikit-learn's "
    "LogisticRegression."
)

# The values that ask for what is done here anyway; and what to do about any other.
_THE_SAME: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "penalty": (("l2", "deprecated", None), _ONLY_L2),
    "l1_ratio": ((0, None), _ONLY_L2),
    "l1_ratios": ((0, None, "warn"), _ONLY_L2),
    "dual": ((False,), "the primal problem is solved, which has the same optimum. Leave it out."),
    "multi_class": (
        ("ovr", "auto", "deprecated"),
        "models are one-vs-all. Leave it out, or use scikit-learn's LogisticRegression, which is "
        "multinomial.",
    ),
}

_LBFGS = 'solver="{}" is scikit-learn\'s; here "lbfgs" trains the models, {}.'
_SOLVERS: Mapping[str, str] = {
    "liblinear": "which does not penalise the intercept as liblinear does",
    **dict.fromkeys(
        ("newton-cg", "newton-cholesky", "sag", "saga"), "which reaches the same optimum"
    ),
}


def translated(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return an estimator's parameters in gpulr's terms, and what is done otherwise than they say.

    Raises ParameterError where one asks for other models than one-vs-all ones with an L2 penalty.
    """
    for name, (same, otherwise) in _THE_SAME.items():
        given = parameters.get(name, same[0])
        if any(value not in same for value in np.ravel(np.asarray(given, dtype=object)).tolist()):
            raise ParameterError(f"{name}={given!r}; {otherwise}")
    found, notes = dict(parameters), []
    if parameters["penalty"] is None:
        if "C" not in parameters:
            raise ParameterError(
                "penalty=None leaves no C to choose. Use OneVsAllLogisticRegression(C=np.inf), or "
                "Cs=[np.inf]."
            )
        if np.ndim(parameters["C"]) or parameters["C"] != 1.0:
            notes.append("Setting penalty=None will ignore the C and l1_ratio parameters.")
        found["C"] = np.inf
    if (solver := parameters["solver"]) in tuple(_SOLVERS):  # it may have no hash
        notes.append(_LBFGS.format(solver, _SOLVERS[solver]))
        found["solver"] = "lbfgs"
    if "Cs" in parameters and found["solver"] != "lbfgs":
        raise ParameterError(
            f'solver={found["solver"]!r}; a search trains with "lbfgs". Leave it out.'
        )
    if parameters.get("scoring", "accuracy") in (None, "warn"):
        found["scoring"] = "accuracy"
    if parameters.get("cv", 5) is None:
        found["cv"] = 5
    if isinstance(refit := parameters.get("refit"), bool | np.bool_) and not refit:
        found["refit"] = "mean"
    if isinstance(Cs := parameters.get("Cs"), int | np.integer) and Cs is not True and Cs == 1:
        found["Cs"] = [1e-4]  # as logspace(-4, 4, 1)
    return found, " ".join(notes)
