"""Solvers and searches beside scikit-learn's and others', each in a process of its own.

The process is :mod:`bench.fits`. Weights are judged in float64, without gpulr's code.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from bench.data import DATA, Data, Objective
from bench.kinds import rounded
from bench.run import worker

Floats = npt.NDArray[Any]
Setting = dict[str, Any]

C, GOAL = 1.0, 1e-10  # of the solvers; largest gradient entry at which the optimum is known
CS, N_FOLDS, TOL = np.logspace(-4, 4, 10), 5, 1e-4  # of the searches
EQUAL = 1e-9  # a difference of mean log-losses that is none


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant.

    Attributes
    ----------
    name, label : str
    family : str
        Which of bench.fits.FITS runs it.
    dtype : str
        Of the X that it is given: the one that it is faster with (tried on MNIST: float32 for all
        but liblinear, which converts to float64 whatever it gets); "" for X as it is.
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
        return self.family in ("sklearn", "intelex", "sklearn-cv")


def solver_peers(data: str) -> list[Peer]:
    """Return the solvers on a data set, in the order in which they run."""
    many = data == "synthetic200"
    default, loose = ({"tol": 1e-4},), ({"tol": 1e-4}, {"tol": 1e-3}, {"tol": 1e-2})
    # The last is the one to show; ours run each from the start, jax passes by the others.
    fixed = tuple({"max_iter": n} for n in ((100, 30) if many else (300, 100, 30)))
    tols = (1e-4, 3e-3, 1e-3, 5e-4, 2e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6)
    if many:  # rare classes make small gradients
        tols = (1e-4, 1e-3, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7)

    def sklearn(solver: str, dtype: str, settings: tuple[Setting, ...]) -> Peer:
        label = f"scikit-learn, {solver}"
        return Peer(f"sklearn-{solver}", label, "sklearn", dtype, settings, {"solver": solver})

    jax, intelex = "jax.jit gradient descent, step 1/L", "scikit-learn-intelex, lbfgs"
    return [
        Peer("gpulr-lbfgs", "gpulr, lbfgs", "gpulr", "", tuple({"tol": tol} for tol in tols)),
        Peer("gpulr-nesterov", "gpulr, nesterov", "gpulr", "", fixed),
        Peer("gpulr-gd", "gpulr, gd", "gpulr", "", fixed),
        Peer("jax-gd", jax, "jax", "float32", fixed),
        # With a looser setting it comes as close, and takes as long.
        Peer("intelex-lbfgs", intelex, "intelex", "float32", default, {"solver": "lbfgs"}),
        sklearn("lbfgs", "float32", loose),
        sklearn("newton-cg", "float32", default),
        sklearn("newton-cholesky", "float32", default),
        sklearn("liblinear", "float64", default),
    ]


def search_peers(dtype: str) -> list[Peer]:
    """Return the searches; ``dtype`` is what scikit-learn's users would pass."""

    def peer(name: str, label: str, family: str, dtype: str, **options: Any) -> Peer:
        return Peer(name, label, family, dtype, ({"tol": TOL},), options, 3600.0)

    refitted, cv = "gpulr.search, with the refitted model", "LogisticRegressionCV for each class"
    once = "OneVsRestClassifier once: one C, no folds"
    return [
        peer("gpulr", "gpulr.search", "gpulr-search", "", refit=False),
        peer("gpulr-refit", refitted, "gpulr-search", "", refit=True),
        peer("sklearn-cv", f"scikit-learn, {cv}", "sklearn-cv", dtype),
        peer("sklearn-ovr", f"scikit-learn, {once}", "sklearn", dtype, solver="lbfgs"),
    ]


def run(
    peer: Peer, data: Data, folder: Path, patience: float, classes: Sequence[int], **more: Any
) -> dict[str, Any]:
    """Run one contestant in its own process, and return what it found."""
    job = {"name": peer.name, "family": peer.family, "dtype": peer.dtype, "scale": data.scale}
    job |= {"settings": peer.settings, "options": peer.options, "classes": list(classes), "C": C}
    job |= {"folder": str(folder), "patience": patience, **more}
    print(f"{peer.label} …", file=sys.stderr, flush=True)
    found: dict[str, Any] = {"points": [], "versions": {}}
    points: dict[str, dict[str, Any]] = {}
    try:
        for line in worker("bench.fits:fits", job, peer.limit, peer.label):
            if "point" not in line:
                found |= line
                continue
            new = {**line["point"], "runs": [], "others_cpu": 0.0}
            point = points.setdefault(new["weights"], new)
            point["runs"].append(rounded(line["seconds"]))
            point["others_cpu"] = max(point["others_cpu"], line["others_cpu"])
    except TimeoutError as error:
        found["cut_short" if points else "error"] = str(error)
    except RuntimeError as error:
        found["error"] = str(error)
    found["points"] = list(points.values())
    dtype, one = peer.dtype or str(data.X.dtype), peer.one_class_at_a_time
    about = {"name": peer.name, "label": peer.label, "dtype": dtype, "one_class_at_a_time": one}
    return {**about, **found}


def solvers(
    *,
    data: str = "mnist",
    only: list[str] | None = None,
    output: Path | None = None,
    patience: float = 10.0,
) -> dict[str, Any]:
    """Time and distance to the optimum: gpulr's solvers beside those that others use.

    The gap is the float64 objective, summed over the models, less the optimum's. A solver that is
    not installed is recorded as skipped. The optimum is taken from the output file if that exists
    and was made from the same data. --data is mnist, flights or synthetic200; --only names a
    contestant, and may be repeated; each may wait for --patience seconds.
    """
    everyone = {peer.name: peer for peer in solver_peers(data)}
    if unknown := set(only or ()) - set(everyone):
        raise SystemExit(f"no contestant is called {sorted(unknown)}; there are {list(everyone)}.")
    rows = DATA[data]()
    about = rows.about
    known = known_optimum(output, about)
    with tempfile.TemporaryDirectory() as folder:
        save(rows, Path(folder))
        results = []
        for peer in (everyone[name] for name in everyone if name in (only or everyone)):
            classes = rows.sampled if peer.one_class_at_a_time else range(rows.n_classes)
            results.append(run(peer, rows, Path(folder), patience, classes))
        optimum = measure_gaps(results, rows, known)
    return {"data": about, "C": C, "optimum": optimum, "results": results}


def save(data: Data, folder: Path, pairs: Sequence[tuple[Any, Any]] = ()) -> None:
    """Write rows, labels and folds to where the contestants find them."""
    np.save(folder / "X.npy", data.X)
    np.save(folder / "y.npy", data.y)
    folds = {f"train{i}": train for i, (train, _) in enumerate(pairs)}
    np.savez(
        folder / "folds.npz", **folds, **{f"test{i}": test for i, (_, test) in enumerate(pairs)}
    )


def measure_gaps(
    results: list[dict[str, Any]], data: Data, known: dict[str, Any] | None
) -> dict[str, Any]:
    """Give every point its gap and its seconds, and return the optimum.

    A contestant that trained a sample of the classes gets time and gap scaled up to all of them.
    """
    every = np.arange(data.n_classes)
    objective = Objective(data.rows_float64, data.y, every, C)
    best: list[Any] = [(np.inf, np.zeros(data.X.shape[1]), 0.0)] * data.n_classes
    found = []
    for result in results:
        models = np.asarray(data.sampled) if result["one_class_at_a_time"] else every
        for point in result["points"]:
            with np.load(point.pop("weights")) as weights:
                W, b = weights["W"], weights["b"]
            costs = objective.costs(W, b, models)
            found.append((point, models, costs))
            for column, model in enumerate(models):
                if costs[column] < best[model][0]:
                    best[model] = (costs[column], W[:, column], b[column])
    optimum = known or find_optimum(objective, best)
    smallest = np.asarray(optimum["costs"])
    for point, models, costs in found:
        factor = data.n_classes / len(models)
        point["gap"] = rounded(factor * float(np.sum(costs - smallest[models])))
        point["seconds"] = rounded(factor * float(np.median(point["runs"])))
    return optimum


def find_optimum(objective: Objective, starts: Sequence[Any]) -> dict[str, Any]:
    """Return each model's smallest cost, found by Newton's method from the best weights seen."""
    found = [objective.newton(w, b, model, GOAL) for model, (_, w, b) in enumerate(starts)]
    worst = max(one.gradient_norm for one in found)
    if not worst <= GOAL:
        raise ArithmeticError(f"The optimum was not found: gradient {worst:.1e}, not {GOAL:.0e}.")
    costs = [one.cost for one in found]
    return {"cost": sum(costs), "gradient_norm": rounded(worst, 2), "costs": costs}


def known_optimum(output: Path | None, about: dict[str, Any]) -> dict[str, Any] | None:
    """Return the optimum that an earlier run on the same data has recorded."""
    try:
        earlier = json.loads(output.read_text(encoding="utf-8")) if output else {}
    except (OSError, ValueError):
        return None
    same = earlier.get("data", {}).get("sha256") == about["sha256"] and earlier.get("C") == C
    return earlier.get("optimum") if same else None


def search(
    *, data: str = "mnist", classes: int | None = None, patience: float = 10.0
) -> dict[str, Any]:
    """Choosing C by cross-validation: gpulr.search beside scikit-learn's LogisticRegressionCV.

    All classes × ten values of C × five stratified folds, the same folds for both, to the same
    tolerance. scikit-learn takes minutes; ``--classes N`` gives it N of the classes only, and its
    time is then scaled up, which the results say. --data is mnist or embeddings.
    """
    rows = DATA[data]()
    every = list(range(rows.n_classes))
    few = every[: max(classes, 1)] if classes is not None else every
    pairs = list(StratifiedKFold(N_FOLDS).split(rows.X, rows.y))
    results, weights = [], {}
    with tempfile.TemporaryDirectory() as folder:
        save(rows, Path(folder), pairs)
        for peer in search_peers(their_dtype(rows)):
            sampled = few if peer.family == "sklearn-cv" else every
            found = run(peer, rows, Path(folder), patience, sampled, Cs=CS.tolist())
            if "error" in found:
                raise SystemExit(f"{peer.label}: {found['error']}")
            (point,) = found.pop("points")
            with np.load(point.pop("weights")) as file:
                weights[peer.name] = {"theta": file["W"], "classes": file["b"]}
            factor = len(every) / len(sampled)
            found["seconds"] = rounded(factor * float(np.median(point["runs"])))
            found["extrapolated_from_classes"] = len(sampled) if factor > 1 else None
            results.append({**found, **point})
    compared = compare(rows, CS, pairs, few, weights["gpulr"], weights["sklearn-cv"])
    about = {"Cs": CS.tolist(), "n_folds": N_FOLDS, "tol": TOL}
    return {"data": rows.about, **about, "results": results, "compared": compared}


def their_dtype(data: Data) -> str:
    """Return what scikit-learn's users would pass: pixels ÷ 255, or float32 as it is."""
    return "float32" if data.X.dtype == np.float32 else "float64"


def compare(
    data: Data,
    Cs: Floats,
    pairs: list[tuple[Any, Any]],
    classes: list[int],
    ours: dict[str, Floats],
    theirs: dict[str, Floats],
) -> dict[str, Any]:
    """Compare the objectives of the models that both have trained, and the scores made of them.

    Parameters
    ----------
    classes : list of int
        Those that both have trained.
    ours, theirs : dict
        theta (n_folds, n_Cs, n_features + 1, n_models) of the scaled rows, the intercept last; and
        classes (n_models,), the class of each model.

    Returns
    -------
    dict
        ``difference`` (n_folds, n_Cs, n_models) is our objective less theirs.
    """
    whole = len(classes) == data.n_classes
    columns = np.tile(np.arange(len(classes)), len(Cs))
    differences, scores = [], []
    for fold, (train, test) in enumerate(pairs):
        objective = Objective(data.rows_float64[train], data.y[train], classes, 1.0)
        objective.lam = 1.0 / (np.repeat(Cs, len(classes)) * len(train))  # of every column its own
        costs, right = [], []
        for found in (ours, theirs):
            at = [int(np.flatnonzero(found["classes"] == c)[0]) for c in classes]
            theta = found["theta"][fold][:, :, at].astype(np.float64)
            theta = theta.transpose(1, 0, 2).reshape(theta.shape[1], -1)  # one C's columns together
            costs.append(objective.costs(theta[:-1], theta[-1], columns).reshape(len(Cs), -1))
            Z = (data.rows_float64[test] @ theta[:-1] + theta[-1]).reshape(len(test), len(Cs), -1)
            y = data.y[test][:, np.newaxis]
            if whole:
                right.append((Z.argmax(axis=2) == y).mean(axis=0))
            else:  # of a sample of the classes, each one's binary accuracy
                right.append(((Z > 0) == (y[..., np.newaxis] == classes)).mean(axis=0))
        differences.append(costs[0] - costs[1])
        scores.append(np.abs(right[0] - right[1]))
    difference = np.stack(differences)
    return {
        "models": int(difference.size),
        "at_least_as_good": int(np.sum(difference <= EQUAL)),
        "equal": EQUAL,
        "largest_excess": rounded(max(float(difference.max()), 0.0), 3),
        "largest_gain": rounded(max(float(-difference.min()), 0.0), 3),
        "score": "multiclass accuracy" if whole else "binary accuracy",
        "largest_score_difference": rounded(float(np.max(scores)), 3),
        "difference": [[[rounded(d, 3) for d in c] for c in f] for f in difference.tolist()],
    }
