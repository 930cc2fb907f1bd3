"""Other libraries' logistic regressions, each run in a process of its own.

A family is a function of rows, labels and job that returns a :data:`Fit`; it is called there, and
alone imports its library. Each is written and set as its users would: default threads, both cores,
rows in memory in the dtype that it is faster with, and before the clock starts in whatever layout
it wants, where it lets one do that.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from bench.data import indicator
from bench.run import Patience, Watch, cores, wait

Setting = dict[str, Any]

SHORT = 2.0  # seconds; runs below it are made three times
# Where a curve is looked at: after so many evaluations, or iterations.
MARKS = tuple(round(5 * 2 ** (i / 3)) for i in range(24))


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant: ``family`` makes its :data:`Fit`, with the same ``options`` every time.

    Each of ``settings`` is a run, the one that users have first. ``dtype`` is of the X that it is
    given, "" for X as it is. ``patient`` multiplies the seconds that it may train: those that have
    to train all classes at once get more. ``packages`` are those whose versions are recorded, and
    ``runs`` how often it runs at least.
    """

    name: str
    label: str
    family: Callable[[Any, Any, Job], Fit]
    packages: tuple[str, ...]
    settings: tuple[Setting, ...] = ({},)
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)
    patient: float = 1.0
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """What a contestant's process is told beside X and y, which are scaled there.

    It trains the ``classes`` in this order until ``budget`` seconds are spent. ``Cs`` and ``pairs``
    are of a search.
    """

    peer: Peer
    classes: Sequence[int]
    scale: float
    C: float = 1.0
    budget: float = 10.0
    patience: float = 0.0
    Cs: Any = ()
    pairs: Sequence[tuple[Any, Any]] = ()


class Part(NamedTuple):
    """Weights (…, n_features, k) and intercepts of some classes, and how long they took."""

    setting: Setting
    classes: Sequence[int]
    seconds: float
    W: Any
    b: Any
    about: dict[str, Any]


# From a setting: what it ends with, class by class, or at several points on its way.
Fit = Callable[[Setting], Iterator[Part]]


def in_turn(job: Job, train: Callable[..., tuple[Any, Any, int]], at_once: int = 1) -> Fit:
    """Train the job's classes, ``at_once`` at a time, until its budget is spent."""

    def fit(setting: Setting) -> Iterator[Part]:
        spent = 0.0
        for start in range(0, len(job.classes), at_once):
            if start and spent > job.budget:
                return
            classes = job.classes[start : start + at_once]
            started = time.perf_counter()
            W, b, iterations = train(setting, classes)
            seconds = time.perf_counter() - started
            spent += seconds
            yield Part(setting, classes, seconds, W, b, {"iterations": iterations})

    return fit


def sklearn_fit(X: Any, y: Any, job: Job) -> Fit:
    """LogisticRegression of one class after the other."""
    from sklearn.linear_model import LogisticRegression  # here, since sklearnex patches it

    options = {"C": job.C, "max_iter": 100_000, **job.peer.options}

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        target = (y == classes[0]).astype(np.int64)
        model = LogisticRegression(**options, **setting).fit(X, target)
        return model.coef_.T, np.ravel(model.intercept_), int(np.max(model.n_iter_))

    return in_turn(job, train)


def intelex_fit(X: Any, y: Any, job: Job) -> Fit:
    """Do the same under patch_sklearn, which must say for every fit that its own code ran."""
    from sklearnex import patch_sklearn

    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("sklearnex")
    log.setLevel(logging.INFO)
    log.propagate, log.handlers = False, [listener]
    patch_sklearn(verbose=False)
    inner = sklearn_fit(X, y, job)

    def fit(setting: Setting) -> Iterator[Part]:
        said.clear()
        for part in inner(setting):
            # A fit is logged once or twice, by the layers that it goes through.
            fits = [words for words in said if "LogisticRegression.fit:" in words]
            if not fits or not all("running accelerated version" in words for words in fits):
                raise RuntimeError("scikit-learn-intelex left the fit to scikit-learn")
            said.clear()
            yield part

    return fit


def sklearn_torch_fit(X: Any, y: Any, job: Job) -> Fit:
    """LogisticRegression on torch arrays, by array API dispatch."""
    import sklearn
    import torch
    from sklearn.linear_model import LogisticRegression

    sklearn.set_config(array_api_dispatch=True)
    rows = torch.tensor(X)

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        target = torch.tensor((y == classes[0]).astype(np.int64))
        model = LogisticRegression(C=job.C, max_iter=100_000, **setting).fit(rows, target)
        return model.coef_.T.numpy(), model.intercept_.numpy(), int(model.n_iter_[0])

    return in_turn(job, train)


def torch_fit(X: Any, y: Any, job: Job) -> Fit:
    """What people write: LBFGS over the (features × models) matrix, the gradient by autograd.

    Its run is looked at on its way, at the points that it evaluates.
    """
    import torch

    (m, n), k = X.shape, len(job.classes)
    Y = torch.tensor(indicator(y, job.classes, np.float32))
    if sp.issparse(X):
        parts = (torch.tensor(a.astype(np.int64)) for a in (X.indptr, X.indices))
        rows = torch.sparse_csr_tensor(*parts, torch.tensor(X.data), size=X.shape)
    else:
        rows = torch.tensor(X)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def fit(setting: Setting) -> Iterator[Part]:
        W = torch.zeros((n, k), requires_grad=True)
        b = torch.zeros(k, requires_grad=True)
        options = {"history_size": 10, "line_search_fn": "strong_wolfe"}
        solver = torch.optim.LBFGS([W, b], max_iter=MARKS[-1], max_eval=MARKS[-1], **options)
        found: list[Part] = []
        evaluations = 0

        def look() -> float:
            """Keep where the run is, unless it is there already."""
            seconds = time.perf_counter() - started
            if not found or found[-1].about["iterations"] < evaluations:
                at = W.detach().numpy().copy(), b.detach().numpy().copy()
                reached = {"evaluations": evaluations}
                about = {"iterations": evaluations}
                found.append(Part({**setting, **reached}, job.classes, seconds, *at, about))
            return seconds

        def closure() -> Any:
            nonlocal evaluations
            solver.zero_grad()
            Z = rows @ W + b
            loss = loss_of(Z, Y, reduction="sum") / m + W.square().sum() / (2.0 * job.C * m)
            loss.backward()
            evaluations += 1
            if evaluations in MARKS and look() > job.budget:
                raise TimeoutError
            return loss

        started = time.perf_counter()
        try:
            solver.step(closure)
            look()
        except TimeoutError:
            pass
        yield from found

    return fit


def jax_fit(X: Any, y: Any, job: Job) -> Fit:
    """Full-batch gradient descent on all columns at once, compiled before the clock starts.

    Weights are kept as (k, n_features): XLA's products with Xᵀ on the left take twice as long.
    """
    import jax
    import jax.numpy as jnp

    (m, n), k = X.shape, len(job.classes)
    lam = 1.0 / (job.C * m)
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
    bound = curvature.lower(X).compile()
    run = descend.lower(X, Y, *start, jnp.float32(1.0), jnp.int32(1)).compile()

    def fit(setting: Setting) -> Iterator[Part]:
        (W, b), done, spent = start, 0, 0.0
        started = time.perf_counter()
        step = 1.0 / bound(X)
        for mark in MARKS:
            W, b = jax.block_until_ready(run(X, Y, W, b, step, jnp.int32(mark - done)))
            spent, done = spent + time.perf_counter() - started, mark
            at = np.asarray(W).T, np.asarray(b)
            yield Part({"max_iter": mark}, job.classes, spent, *at, {"iterations": done})
            if spent > job.budget:
                return
            started = time.perf_counter()

    return fit


def cyanure_fit(X: Any, y: Any, job: Job) -> Fit:
    """Cyanure's own one-vs-all, its automatic choice of solver; a duality gap ends it."""
    from cyanure.estimators import Classifier

    options = {"loss": "logistic", "penalty": "l2", "lambda_1": 1.0 / (job.C * X.shape[0])}
    options |= {"multi_class": "ovr", "verbose": False, "max_iter": 2000}

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        model = Classifier(**options, **setting).fit(X, y)
        W, b = np.asarray(model.coef_), np.ravel(model.intercept_)
        W = W.reshape(X.shape[1], -1)
        return W[:, classes] if len(b) > 1 else W, b[classes] if len(b) > 1 else b, 0

    return in_turn(job, train, len(job.classes))


def snapml_fit(X: Any, y: Any, job: Job) -> Fit:
    """Snapml's dual coordinate descent; its intercept is penalised."""
    import snapml

    options = {"regularizer": 1.0 / job.C, "fit_intercept": True, "n_jobs": len(cores())}

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        target = (y == classes[0]).astype(np.float32)
        model = snapml.LogisticRegression(**options, **setting).fit(X, target)
        return np.reshape(model.coef_, (-1, 1)), np.ravel(model.intercept_), 0

    return in_turn(job, train)


def glum_fit(X: Any, y: Any, job: Job) -> Fit:
    """Glum's iteratively reweighted least squares."""
    import glum

    options = {"family": "binomial", "alpha": 1.0 / (job.C * X.shape[0]), "l1_ratio": 0}

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        target = (y == classes[0]).astype(X.dtype)
        model = glum.GeneralizedLinearRegressor(**options, **setting).fit(X, target)
        return np.reshape(model.coef_, (-1, 1)), np.ravel(model.intercept_), int(model.n_iter_)

    return in_turn(job, train)


def liblinear_fit(X: Any, y: Any, job: Job) -> Fit:
    """LIBLINEAR's trust region Newton method on all cores, without a penalty on the intercept."""
    from ctypes import c_double

    from liblinear.liblinearutil import problem, train

    base = problem((y == 0).astype(float), sp.csr_matrix(X), bias=1)  # as dense it drops columns

    def train_one(setting: Setting, classes: Sequence[int]) -> Any:
        base.y = (c_double * base.l)(*np.where(y == classes[0], 1.0, -1.0))
        words = f"-s 0 -c {job.C} -e {setting['eps']} -B 1 -R -m {len(cores())} -q"
        model = train(base, words)
        w = np.ctypeslib.as_array(model.w, (X.shape[1] + 1,)) * model.get_labels()[0]
        return w[:-1, np.newaxis].copy(), w[-1:].copy(), 0

    return in_turn(job, train_one)


def libmultilabel_fit(X: Any, y: Any, job: Job) -> Fit:
    """LibMultiLabel's one-vs-rest: LIBLINEAR, a class for each thread, the intercept penalised."""
    from libmultilabel.linear import train_1vsrest

    X = sp.csr_matrix(X)

    def train(setting: Setting, classes: Sequence[int]) -> Any:
        Y = sp.csr_matrix(indicator(y, classes, np.float64))
        words = f"-s 0 -c {job.C} -e {setting['eps']} -B 1 -m {len(cores())} -q"
        weights = np.asarray(train_1vsrest(Y, X, False, words, False).weights)
        return weights[:-1], weights[-1], 0

    return in_turn(job, train, 2 * len(cores()))


SKLEARN, INTELEX = ("scikit-learn",), ("scikit-learn-intelex", "daal", "scikit-learn")
LIBLINEAR = ("liblinear-multicore",)
TOL, EPS = ({"tol": 1e-4},), ({"eps": 1e-4},)


def _sklearn(solver: str, dtype: str = "float32") -> Peer:
    name, label, options = f"sklearn-{solver}", f"scikit-learn, {solver}", {"solver": solver}
    return Peer(name, label, sklearn_fit, SKLEARN, TOL, dtype, options)


_EVERYONE = (
    Peer("torch-lbfgs", "torch LBFGS by hand", torch_fit, ("torch",), patient=4.0),
    Peer("jax-gd", "jax.jit gradient descent, step 1/L", jax_fit, ("jax", "jaxlib")),
    Peer("intelex-lbfgs", "scikit-learn-intelex, lbfgs", intelex_fit, INTELEX, TOL),
    _sklearn("lbfgs"),
    _sklearn("newton-cg"),
    _sklearn("newton-cholesky"),
    _sklearn("liblinear", "float64"),  # which converts to it whatever it gets
    Peer(
        *("sklearn-torch", "scikit-learn on torch arrays, lbfgs"),
        *(sklearn_torch_fit, (*SKLEARN, "torch"), TOL),
    ),
    Peer(
        *("cyanure", "cyanure", cyanure_fit, ("cyanure",), ({"tol": 1e-3},)),
        patient=4.0,
    ),
    Peer("snapml", "snapml", snapml_fit, ("snapml",), ({"tol": 1e-3},)),
    Peer("glum", "glum", glum_fit, ("glum",)),
    Peer(
        *("liblinear-multicore", "LIBLINEAR, multicore", liblinear_fit, LIBLINEAR),
        *(EPS, "float64"),
    ),
    Peer(
        *("libmultilabel", "LibMultiLabel, linear", libmultilabel_fit),
        *(("libmultilabel", *LIBLINEAR), EPS, "float64"),
        patient=2.0,
    ),
)
PEERS = {peer.name: peer for peer in _EVERYONE}
# What a library asks of the environment before anything is imported.
ENVIRONMENT = {"sklearn-torch": {"SCIPY_ARRAY_API": "1"}}


def fits(X: Any, y: Any, job: Job) -> Iterator[dict[str, Any]]:
    """Make a contestant's runs; yield versions, and every part of each run.

    A small fit comes first, so that no one is charged for imports, threads or compilation.
    """
    warnings.simplefilter("ignore")
    family, patience = job.peer.family, Patience(job.patience)
    if job.peer.dtype:
        X = X if job.scale == 1.0 else X * np.float64(job.scale)
        X = X.astype(job.peer.dtype, copy=False)
    yield {"versions": {name: metadata.version(name) for name in job.peer.packages}}
    few = np.concatenate([np.flatnonzero(y == c)[:20] for c in range(int(y.max()) + 1)])
    halves = np.arange(0, len(few), 2), np.arange(1, len(few), 2)
    small = replace(job, Cs=[0.1, 1.0], pairs=[halves], budget=0.0)
    list(family(X[few], y[few], small)(job.peer.settings[0]))
    fit = family(X, y, job)
    for setting in job.peer.settings:
        runs, spent = 0, 0.0
        while runs < job.peer.runs or (runs < 3 and spent < SHORT * runs):
            wait(patience)
            watch = Watch()
            for part in fit(setting):
                yield {"part": part, "run": runs}
            wall, share = watch.wall(), watch.share() or 0.0
            yield {"others_cpu": round(share, 3)}
            spent, runs = spent + wall, runs + 1
