"""The goals that gpulr is measured by, each setting in one interleaved run: ``bench goals``.

Where peers are, ratios are theirs to ours; where plain NumPy or gpulr itself is the measure, ours
to it. ``GOALS`` holds what is to be reached, and the files in bench/results what was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn import datasets as sklearns
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

import gpulr
from bench import arrays, clusters, parts, passes, peers, searches, sources
from bench import families as families_beside
from bench.data import DATA
from bench.files import ROOT, write
from bench.passes import PLAIN, Contestant
from bench.ratios import Result, as_installed, compared, turns
from bench.run import Patience, circumstances, quartiles, worker

Found = dict[str, Any]

ROUNDS = {"pass": 15, "predict": 30, "small": 15, "processes": 5}
TIGHT, LOOSE = 1e-4, 0.05  # relative gaps: at the optimum, and of models that are trained at all
SLOW = "its first classes take more than half a minute"
FAR = "it stays far from the optimum, as on MNIST"
DENSE = "it takes no sparse rows"
WIDTH = "it would need a matrix of features × features for each class"


def goal(words: str, at_least: float, *names: str, gap: tuple[float, float] = (0, LOOSE)) -> Found:
    """Return a goal over contestants whose names begin so: the smallest ratio of their points.

    Of points whose gap, relative to the optimum, is in the range.
    """
    return {"words": words, "at_least": at_least, "names": list(names), "gap": list(gap)}


def torch_at(gap: float, at_least: float) -> Found:
    """Return a goal over torch's LBFGS at the first of its points with so small a gap."""
    words = f"torch LBFGS by hand, gap {gap:.0e}".replace("e-0", "e-")
    return {**goal(words, at_least, "torch", gap=(0.0, gap)), "first": True}


# What is trained beside peers: the data set, C, how much of the time, who is left out, and goals.
TRAINED: dict[str, dict[str, Any]] = {
    "mnist": {
        "share": 1.6,
        "goals": [
            goal("peers that reach the optimum", 50, "", gap=(0.0, TIGHT)),
            goal("loose ones", 40, "", gap=(TIGHT, LOOSE)),
        ],
    },
    "flights": {"goals": [goal("every peer", 30, "")]},
    "synthetic200": {"goals": [goal("every peer", 50, "")]},
    "embeddings": {
        "without": {"jax-gd": FAR},
        "goals": [torch_at(1e-3, 10), torch_at(1e-6, 20)],
    },
    "wide": {
        "without": {
            **{"glum": SLOW, "sklearn-newton-cholesky": SLOW, "libmultilabel": SLOW},
            "jax-gd": FAR,
        },
        "goals": [torch_at(1e-3, 6), torch_at(1e-6, 10)],
    },
    "text": {
        "C": 10.0,
        "without": {
            **{"jax-gd": DENSE, "sklearn-torch": DENSE},
            **{"glum": WIDTH, "sklearn-newton-cholesky": WIDTH},
        },
        "goals": [goal("liblinear and lbfgs", 8, "sklearn-l", "liblinear", "libmulti")],
    },
    "binary-narrow": {"goals": [goal("scikit-learn's best", 8, "sklearn-")]},
    "binary-float64": {"goals": [goal("scikit-learn's best", 6, "sklearn-")]},
    "thousand": {
        "only": ["sklearn-lbfgs"],  # which ends a third above the optimum
        "goals": [goal("scikit-learn", 60, "sklearn-", gap=(0.0, 0.5))],
    },
}


def trained(
    name: str, *, size: float, seconds: float, peer: list[str] | None, patience: float
) -> Found:
    """Return a setting of TRAINED as measured, with its goals."""
    wanted = TRAINED[name]
    options = {key: wanted[key] for key in ("only", "without", "C") if key in wanted}
    options |= {"only": peer} if peer else {}
    budget = seconds * wanted.get("share", 1.0)
    options |= {"budget": budget, "size": size, "patience": patience}
    found = peers.solvers(data=name, **options)
    return {"kind": "gpulr-peers", **found, "goals": wanted["goals"]}


def search(*, size: float, patience: float, **_: Any) -> Found:
    """Return the search of 500 models, scikit-learn's for one class in ten."""
    found = searches.search(data="mnist", classes=1, size=size, patience=patience)
    return {"kind": "gpulr-search", **found, "goal": 120.0}


# Two ways to the same thing, in turn


def one_pass(size: float, patience: Patience) -> Iterator[Result]:
    """Our pass ÷ plain NumPy's gradient in float32, by how rows are stored."""
    work = DATA["mnist"]().part(size)
    base = passes.prepare("pass", PLAIN, work)
    for rows, most in (("uint8", 0.15), ("float32", 0.25), ("float16", 0.2)):
        one = Contestant("batched", "numpy", "float32", rows)
        ours = passes.prepare("pass", one, work)
        passes.check("pass", one, ours(), work)
        options: dict[str, Any] = {
            "label": "plain NumPy, float32",
            "untimed": 3,
            "at_most": most,
            "patience": patience,
        }
        yield turns(f"one pass, {rows} rows", ours, base, ROUNDS["pass"], **options)


def prediction(size: float, patience: Patience) -> Iterator[Result]:
    """Predicting 10,000 rows ÷ X @ W + b and a sigmoid in NumPy."""
    work = DATA["mnist"]()
    model = gpulr.train(work.X, work.y, max_iter=5, tol=0.0, scale=work.scale)
    W, b = model.weights, model.intercept.astype(np.float32)
    for dtype, most in ((np.float32, 1.0), (np.uint8, 0.4)):
        X = np.ascontiguousarray(work.X[:10_000].astype(dtype))

        def ours(X: Any = X) -> Any:
            return model.predict_proba(X)

        def base(X: Any = X) -> Any:
            return expit(X.astype(np.float32, copy=False) @ W + b)

        np.testing.assert_allclose(ours(), base(), atol=1e-5)
        what = f"predicting 10,000 rows, {X.dtype}"
        options: dict[str, Any] = {
            "label": "X @ W + b and a sigmoid in NumPy",
            "untimed": 3,
            "at_most": most,
        }
        options["patience"] = patience
        yield turns(what, ours, base, ROUNDS["predict"], **options)


def small_fits(size: float, patience: Patience) -> Iterator[Result]:
    """Whole fits of estimators on data sets of some hundred rows, of which searches make many."""
    solvers = ("lbfgs", "newton-cholesky", "liblinear")
    cancer, iris, digits = (
        f(return_X_y=True)
        for f in (sklearns.load_breast_cancer, sklearns.load_iris, sklearns.load_digits)
    )
    cancer = StandardScaler().fit_transform(cancer[0]), cancer[1]
    digits = digits[0] / 16.0, digits[1]
    sets = {"breast cancer": (cancer, 1.0), "iris": (iris, 3.0), "digits": (digits, 6.0)}
    for name, ((X, y), least) in sets.items():

        def ours(X: Any = X, y: Any = y) -> Any:
            return gpulr.OneVsAllLogisticRegression(backend="numpy").fit(X, y)

        own = ours().score(X, y)
        for solver in solvers:
            one: Any = LogisticRegression(solver=solver, max_iter=1000)
            one = one if y.max() == 1 else OneVsRestClassifier(one)

            def base(X: Any = X, y: Any = y, one: Any = one) -> Any:
                return one.fit(X, y)

            assert abs(base().score(X, y) - own) < 0.02, "they do not learn the same"
            options: dict[str, Any] = {
                "at_least": least,
                "patience": patience,
            }
            options |= {"label": f"scikit-learn, {solver}", "untimed": 1}
            yield turns(
                f"fit of {name}, {len(X)} × {X.shape[1]}", ours, base, ROUNDS["small"], **options
            )


def first_call(size: float, patience: Patience) -> Iterator[Result]:
    """The first call of train in a process ÷ its later calls."""
    as_installed()
    work = DATA["mnist"]().part(size)
    first, later = [], []
    for _ in range(ROUNDS["processes"]):
        job = {"X": work.X, "y": work.y}
        (times,) = worker(calls, job, 120.0, "gpulr.train in a process of its own")
        first.append(times[0])
        later.append(float(np.median(times[1:])))
    # The first process finds no compiled code where none is kept yet; medians leave it out.
    yield compared("first call of train", first, later, label="its later calls", at_most=1.1)


def calls(X: Any, y: Any) -> Iterator[list[float]]:
    """Time calls of train, the process's first and later ones."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        gpulr.train(X, y)
        times.append(time.perf_counter() - started)
        time.sleep(0.1)
    yield times


def shell(size: float, patience: Patience) -> Iterator[Result]:
    """`gpulr train`: its wall time beyond loading and training, which it tells."""
    as_installed()
    command = [sys.executable, "-m", "gpulr", "train", "--json"]
    command += ["--data", "digits"] if size < 1.0 else ["--data", "mnist"]
    wall, beyond = [], []
    for _ in range(ROUNDS["processes"]):
        started = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        wall.append(time.perf_counter() - started)
        told = json.loads(done.stdout)["seconds"]
        beyond.append(wall[-1] - told["load"] - told["train"])
    yield {
        **compared(
            "gpulr train in a shell: beyond loading and training", beyond, wall, label="all"
        ),
        **{"at_most": 0.7, "ratio": quartiles(beyond), "unit": "s"},
    }


def families(size: float, patience: Patience) -> Iterator[Result]:
    """Out-of-fold predictions, learning curves and permutation tests ÷ ours."""
    for what, ours, base in families_beside.families(size, patience):
        # scikit-learn's function runs once.
        base = base * len(ours)
        label = "scikit-learn, LogisticRegression"
        yield compared(what, ours, base, label=label, at_least=20.0)


RATIOS: dict[str, Callable[..., Iterator[Result]]] = {
    "small": small_fits,
    "pass": one_pass,
    "predict": prediction,
    "first-call": first_call,
    "shell": shell,
    "families": families,
    "arrays": arrays.arrays,
    "sources": sources.sources,
    "clusters": clusters.clusters,
    "made-rows": parts.made_rows,
    "sgd": parts.sgd,
}


def raced(name: str, *, size: float, patience: float, **_: Any) -> Found:
    """Return a setting of RATIOS as measured."""
    results = list(RATIOS[name](size, Patience(4.0 * patience)))
    return {"kind": "gpulr-ratios", "results": results}


SETTINGS: dict[str, tuple[str, Callable[..., Found]]] = {
    **{name: (f"peers-{name}", partial(trained, name)) for name in TRAINED},
    "search": ("search-mnist", search),
    **{name: (f"ratios-{name}", partial(raced, name)) for name in RATIOS},
}


def goals(
    *,
    only: list[str] | None = None,
    peer: list[str] | None = None,
    size: float = 1.0,
    seconds: float = 5.0,
    patience: float = 5.0,
    output: Path | None = None,
) -> None:
    """Measure all that the goals are about, or --only some settings and --peer; both repeat.

    --size below 1 takes a part of the rows, for a trial; --seconds is what a contestant may train
    in each setting, --patience how long each waits for others to leave the cores alone. A setting
    is written to its own file in the folder --output as soon as it is measured; one that fails is
    told, and the others go on. ``python -m bench.table`` then makes the tables.
    """
    from bench.table import TABLES

    if unknown := set(only or ()) - set(SETTINGS):
        raise SystemExit(f"no setting is called {sorted(unknown)}; there are {list(SETTINGS)}.")
    failed = []
    for name in only or SETTINGS:
        file, measure = SETTINGS[name]
        print(f"{name} …", file=sys.stderr, flush=True)
        about, started = circumstances(), time.monotonic()
        try:
            found = measure(size=size, seconds=seconds, peer=peer, patience=patience)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        about["versions"] |= circumstances()["versions"]
        for result in found["results"]:
            about["versions"] |= result.pop("versions", {})
        report = {"schema": 1, **about, **found, "name": file}
        report["took_seconds"] = round(time.monotonic() - started)
        if output is not None:
            write(report, output / f"{file}.json")
        print(TABLES[report["kind"]][1](report), file=sys.stderr)
    if failed:
        raise SystemExit(f"These were not measured: {', '.join(failed)}.")
