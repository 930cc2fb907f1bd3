"""Solvers and searches beside scikit-learn's and others', each in a process of its own.

Rows are in memory, in the dtype that the contestant is given, before any clock starts; a small fit
comes first, so that no one is charged for imports, thread pools or compilation. What gpulr's first
call costs is recorded beside. Weights are judged in float64, without gpulr's code.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier

import gpulr
from bench.data import DATA, Data, Objective, indicator
from bench.files import rounded
from bench.run import Patience, Watch, wait, worker
from gpulr.families import search as searching

Floats = npt.NDArray[Any]
Setting = dict[str, Any]
Pairs = Sequence[tuple[Any, Any]]

C, GOAL = 1.0, 1e-10  # of the solvers; largest gradient entry at which the optimum is known
CS, N_FOLDS, TOL = np.logspace(-4, 4, 10), 5, 1e-4  # of the searches
EQUAL = 1e-9  # a difference of mean log-losses that is none
SHORT = 5.0  # seconds; runs below it are made three times, and again when they were disturbed
MEDIUM = 20.0  # seconds; runs below it are made twice


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant: ``family`` says which of FITS runs it, with the same ``options`` every time.

    Each of ``settings`` is a run; the first is the one that the table shows, the others draw the
    curve. ``dtype`` is of the X that it is given, "" for X as it is: the one that it is faster with
    (tried on MNIST: float32 for all but liblinear, which converts to float64 whatever it gets).
    After ``limit`` seconds its process is ended; what it has finished by then counts.
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


@dataclass(frozen=True, slots=True)
class Job:
    """What a contestant's process is told beside X and y, which are scaled there."""

    peer: Peer
    classes: Sequence[int]
    scale: float
    patience: float = 0.0
    Cs: Any = tuple(CS)
    pairs: Pairs = ()


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


# In the contestant's process


class Point(NamedTuple):
    """Weights (…, n_features, k) and intercepts, what led to them, and for how long."""

    setting: Setting
    seconds: float
    W: Any
    b: Any
    about: dict[str, Any]


# From a setting: the weights that it ends with, once or at several points.
Fit = Callable[[Setting], Iterator[Point]]


def sklearn_fit(X: Any, y: Any, job: Job) -> Fit:
    """One-vs-rest as scikit-learn does it; one binary model after the other if classes are few."""
    from sklearn.linear_model import LogisticRegression  # here, since sklearnex patches it

    options = {"C": C, "max_iter": 100_000, "solver": job.peer.options["solver"]}
    whole = len(job.classes) == int(y.max()) + 1
    labels = y if whole else indicator(y, job.classes, np.int64)

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        estimator = LogisticRegression(**options, **setting)
        if whole:
            models = OneVsRestClassifier(estimator).fit(X, labels).estimators_
        else:
            models = [clone(estimator).fit(X, column) for column in labels.T]
        seconds = time.perf_counter() - started
        W = np.column_stack([model.coef_[0] for model in models])
        b = np.array([np.ravel(model.intercept_)[0] for model in models])
        iterations = [int(np.max(model.n_iter_)) for model in models]
        about = {"iterations": [min(iterations), max(iterations)], "models": len(models)}
        yield Point(setting, seconds, W, b, about)

    return fit


def intelex_fit(X: Any, y: Any, job: Job) -> Fit:
    """Do the same under patch_sklearn, which must say for every fit that its own code ran."""
    from sklearnex import patch_sklearn

    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    log = logging.getLogger("sklearnex")
    log.setLevel(logging.INFO)
    log.propagate, log.handlers = False, [listener]
    patch_sklearn(verbose=False)
    inner = sklearn_fit(X, y, job)

    def fit(setting: Setting) -> Iterator[Point]:
        said.clear()
        for point in inner(setting):
            # A fit is logged once or twice, by the layers that it goes through.
            fits = [words for words in said if "LogisticRegression.fit:" in words]
            own = sum("running accelerated version" in words for words in fits)
            if own < len(fits) or own < len(job.classes):
                raise RuntimeError(f"scikit-learn-intelex's code ran in {own} of {len(fits)} fits")
            point.about["accelerated"] = True
            yield point

    return fit


def jax_fit(X: Any, y: Any, job: Job) -> Fit:
    """Full-batch gradient descent on all columns at once, compiled before the clock starts.

    Weights are kept as (k, n_features): XLA's products with Xᵀ on the left take twice as long.
    """
    import jax
    import jax.numpy as jnp

    (m, n), k = X.shape, len(job.classes)
    lam = 1.0 / (C * m)
    X = jnp.asarray(X)
    Y = jnp.asarray(indicator(y, job.classes, np.float32).T.copy())

    @jax.jit
    def curvature(X: Any) -> Any:
        def turn(_: int, v: Any) -> Any:
            u = X @ v[:-1] + v[-1]
            v = jnp.append(u @ X, u.sum())
            return v / jnp.linalg.norm(v)

        v = jax.lax.fori_loop(0, 30, turn, jnp.ones(n + 1) / jnp.sqrt(n + 1.0))
        u = X @ v[:-1] + v[-1]
        return 1.02 * (u @ u) / (4.0 * m) + lam

    @jax.jit
    def descend(X: Any, Y: Any, W: Any, b: Any, step: Any, turns: Any) -> Any:
        def turn(_: int, state: Any) -> Any:
            W, b = state
            R = (jax.nn.sigmoid(W @ X.T + b[:, None]) - Y) / m
            return W - step * (R @ X + lam * W), b - step * R.sum(axis=1)

        return jax.lax.fori_loop(0, turns, turn, (W, b))

    start = jnp.zeros((k, n)), jnp.zeros(k)
    started = time.perf_counter()
    bound = curvature.lower(X).compile()
    run = descend.lower(X, Y, *start, jnp.float32(1.0), jnp.int32(1)).compile()
    compiling = time.perf_counter() - started
    marks = sorted(setting["max_iter"] for setting in job.peer.settings)

    def fit(setting: Setting) -> Iterator[Point]:
        """One run yields all points: those with fewer iterations are on its way."""
        if setting["max_iter"] != marks[-1]:
            return
        points: list[Point] = []
        (W, b), done, spent = start, 0, 0.0
        started = time.perf_counter()
        step = 1.0 / bound(X)
        for mark in marks:
            W, b = jax.block_until_ready(run(X, Y, W, b, step, jnp.int32(mark - done)))
            spent, done = spent + time.perf_counter() - started, mark
            about = {"iterations": [done, done], "compile_seconds": round(compiling, 3)}
            at = np.asarray(W).T, np.asarray(b)
            points.append(Point({"max_iter": mark}, spent, *at, about))
            started = time.perf_counter()
        yield from reversed(points)  # the last, which the table shows, first

    return fit


def gpulr_fit(X: Any, y: Any, job: Job) -> Fit:
    """gpulr.train as a whole: checks, conversion, factorisation, iterations, the model."""
    settings = {"backend": "numpy", "solver": job.peer.name.removeprefix("gpulr-"), "C": C}

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        model = gpulr.train(X, y, scale=job.scale, **settings, **{"tol": 0.0, **setting})
        seconds = time.perf_counter() - started
        W = model.weights.astype(np.float64) / job.scale
        iterations = [int(np.min(model.history.n_iter)), int(np.max(model.history.n_iter))]
        about = {"iterations": iterations, "converged": int(np.sum(model.history.converged))}
        yield Point(setting, seconds, W, model.intercept, about)

    return fit


def gpulr_search_fit(X: Any, y: Any, job: Job) -> Fit:
    """gpulr.search as a whole: checks, conversion, factorisation, training, scores, the model."""
    kept: list[Any] = []

    class Kept(searching.CrossValidation):  # whose parameters are not part of what search returns
        def train(self, *calls: Any) -> Any:
            kept[:] = [super().train(*calls)]
            return kept[0]

    searching.CrossValidation = Kept
    settings = {"Cs": job.Cs, "cv": job.pairs, "scale": job.scale, "backend": "numpy"}

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        found = gpulr.search(X, y, **settings, **job.peer.options, **setting)
        seconds = time.perf_counter() - started
        theta = kept[0].theta.transpose(1, 0, 2, 3)  # (n_folds, n_Cs, n_features + 1, n_classes)
        about = {
            "models": found.converged.size + (found.model.n_models if found.model else 0),
            "converged": int(found.converged.sum()),
            "iterations": [int(found.n_iter.min()), int(found.n_iter.max())],
            "scores": found.scores.tolist(),
        }
        yield Point(setting, seconds, theta, np.arange(theta.shape[-1]), about)

    return fit


def sklearn_cv_fit(X: Any, y: Any, job: Job) -> Fit:
    """LogisticRegressionCV for each class against all others, on the same folds."""
    Y = indicator(y, job.classes, np.int64)
    options = {"Cs": job.Cs, "cv": job.pairs, "solver": "lbfgs", "scoring": "accuracy"}
    options |= {"max_iter": 100_000, "refit": False}
    shape = (len(job.pairs), len(job.Cs), X.shape[1] + 1)

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        models = [LogisticRegressionCV(**options, **setting).fit(X, column) for column in Y.T]
        seconds = time.perf_counter() - started
        paths = [model.coefs_paths_ for model in models]
        # Of the positive class; scikit-learn has kept it in a dict.
        paths = [np.asarray(p[1] if isinstance(p, dict) else p).reshape(shape) for p in paths]
        iterations = np.concatenate([np.ravel(model.n_iter_) for model in models])
        about = {"models": len(models) * shape[0] * shape[1]}
        about["iterations"] = [int(iterations.min()), int(iterations.max())]
        yield Point(setting, seconds, np.stack(paths, axis=-1), np.array(job.classes), about)

    return fit


FITS = {"sklearn": sklearn_fit, "intelex": intelex_fit, "jax": jax_fit, "gpulr": gpulr_fit}
FITS |= {"gpulr-search": gpulr_search_fit, "sklearn-cv": sklearn_cv_fit}
DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "sklearn-cv": ("scikit-learn",)}
DISTRIBUTIONS |= {"intelex": ("scikit-learn-intelex", "daal", "scikit-learn")}
DISTRIBUTIONS |= {"jax": ("jax", "jaxlib")}


def fits(X: Any, y: Any, job: Job) -> Iterator[dict[str, Any]]:
    """Make a contestant's runs; yield versions, the first call's seconds, and every point."""
    warnings.simplefilter("ignore")
    family, settings, patience = job.peer.family, job.peer.settings, Patience(job.patience)
    if job.peer.dtype:
        X = (X * job.scale).astype(job.peer.dtype, copy=False)
    yield {"versions": {d: metadata.version(d) for d in DISTRIBUTIONS.get(family, ())}}
    if family not in ("jax", "gpulr"):  # those compile when they are built, or are timed at it
        few = np.concatenate([np.flatnonzero(y == c)[:20] for c in range(int(y.max()) + 1)])
        halves = np.arange(0, len(few), 2), np.arange(1, len(few), 2)
        small = replace(job, Cs=[0.1, 1.0], pairs=[halves])
        list(FITS[family](X[few], y[few], small)({"tol": 0.1}))
    fit = FITS[family](X, y, job)
    if family == "gpulr":
        started = time.perf_counter()
        list(fit(settings[0]))
        yield {"first_call_seconds": time.perf_counter() - started}
    for setting in settings:
        for point, share in repeat(fit, setting, patience):
            yield {"point": point, "others_cpu": round(share, 3)}


def repeat(fit: Fit, setting: Setting, patience: Patience) -> Iterator[tuple[Point, float]]:
    """Yield the points of one to three runs, with the share of the cores that others used."""
    spent, runs = 0.0, 0
    while True:
        each = spent / max(runs, 1)
        if runs >= (3 if each < SHORT else 2 if each < MEDIUM else 1):
            return
        wait(patience)
        watch = Watch()
        points = list(fit(setting))
        wall, share = watch.wall(), watch.share() or 0.0
        if not points:
            return
        if wall < SHORT and watch.disturbed() and patience.spend(wall):
            continue
        spent, runs = spent + wall, runs + 1
        yield from ((point, share) for point in points)


# The tasks


def run(job: Job, data: Data) -> dict[str, Any]:
    """Run one contestant in its own process, and return what it found.

    Every point has its weights W and b, of the first of its runs.
    """
    peer, points = job.peer, {}
    dtype, one = peer.dtype or str(data.X.dtype), peer.one_class_at_a_time
    result: dict[str, Any] = {"name": peer.name, "label": peer.label, "dtype": dtype}
    result |= {"one_class_at_a_time": one, "points": [], "versions": {}}
    print(f"{peer.label} …", file=sys.stderr, flush=True)
    try:
        for found in worker(fits, {"X": data.X, "y": data.y, "job": job}, peer.limit, peer.label):
            if "point" not in found:
                result |= found
                continue
            made = found["point"]
            new = {"setting": made.setting, **made.about, "runs": [], "others_cpu": 0.0}
            point = points.setdefault(str(made.setting), {**new, "W": made.W, "b": made.b})
            point["runs"].append(rounded(made.seconds))
            point["others_cpu"] = max(point["others_cpu"], found["others_cpu"])
    except TimeoutError as error:
        result["cut_short" if points else "error"] = str(error)
    except RuntimeError as error:
        result["error"] = str(error)
    return {**result, "points": list(points.values())}


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
    and was made from the same data. --data is one of bench.data.DATA; --only names a
    contestant, and may be repeated; each may wait for --patience seconds.
    """
    everyone = {peer.name: peer for peer in solver_peers(data)}
    if unknown := set(only or ()) - set(everyone):
        raise SystemExit(f"no contestant is called {sorted(unknown)}; there are {list(everyone)}.")
    rows = DATA[data]()
    about, results = rows.about, []
    known = known_optimum(output, about)
    for peer in (everyone[name] for name in everyone if name in (only or everyone)):
        classes = rows.sampled if peer.one_class_at_a_time else range(rows.n_classes)
        results.append(run(Job(peer, classes, rows.scale, patience), rows))
    optimum = measure_gaps(results, rows, known)
    return {"data": about, "C": C, "optimum": optimum, "results": results}


def measure_gaps(
    results: list[dict[str, Any]], data: Data, known: dict[str, Any] | None
) -> dict[str, Any]:
    """Give every point its gap and its seconds in place of its weights, and return the optimum.

    A contestant that trained a sample of the classes gets time and gap scaled up to all of them.
    """
    every = np.arange(data.n_classes)
    objective = Objective(data.rows_float64, data.y, every, C)
    best: list[Any] = [(np.inf, np.zeros(data.X.shape[1]), 0.0)] * data.n_classes
    found = []
    for result in results:
        models = np.asarray(data.sampled) if result["one_class_at_a_time"] else every
        for point in result["points"]:
            W, b = point.pop("W"), point.pop("b")
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
    time is then scaled up, which the results say. --data is one of bench.data.DATA.
    """
    rows = DATA[data]()
    every = list(range(rows.n_classes))
    few = every[: max(classes, 1)] if classes is not None else every
    pairs = list(StratifiedKFold(N_FOLDS).split(rows.X, rows.y))
    results, weights = [], {}
    # What scikit-learn's users would pass: pixels ÷ 255, or float32 as it is.
    for peer in search_peers("float32" if rows.X.dtype == np.float32 else "float64"):
        sampled = few if peer.family == "sklearn-cv" else every
        found = run(Job(peer, sampled, rows.scale, patience, CS, pairs), rows)
        if "error" in found:
            raise SystemExit(f"{peer.label}: {found['error']}")
        (point,) = found.pop("points")
        weights[peer.name] = point.pop("W"), point.pop("b")
        factor = len(every) / len(sampled)
        found["seconds"] = rounded(factor * float(np.median(point["runs"])))
        found["extrapolated_from_classes"] = len(sampled) if factor > 1 else None
        results.append({**found, **point})
    compared = compare(rows, CS, pairs, few, weights["gpulr"], weights["sklearn-cv"])
    about = {"Cs": CS.tolist(), "n_folds": N_FOLDS, "tol": TOL}
    return {"data": rows.about, **about, "results": results, "compared": compared}


def compare(
    data: Data,
    Cs: Floats,
    pairs: Pairs,
    classes: list[int],
    ours: tuple[Floats, Floats],
    theirs: tuple[Floats, Floats],
) -> dict[str, Any]:
    """Compare the objectives of the models of ``classes``, and the scores made of them.

    Each of the two has theta (n_folds, n_Cs, n_features + 1, n_models) of the scaled rows, the
    intercept last, and the class of each model. ``difference`` (n_folds, n_Cs, n_models) is our
    objective less theirs.
    """
    whole = len(classes) == data.n_classes
    columns = np.tile(np.arange(len(classes)), len(Cs))
    differences, scores = [], []
    for fold, (train, test) in enumerate(pairs):
        objective = Objective(data.rows_float64[train], data.y[train], classes, 1.0)
        objective.lam = 1.0 / (np.repeat(Cs, len(classes)) * len(train))  # of every column its own
        costs, right = [], []
        for found, trained in (ours, theirs):
            at = [int(np.flatnonzero(trained == c)[0]) for c in classes]
            theta = found[fold][:, :, at].astype(np.float64)
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
