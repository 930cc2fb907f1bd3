"""Independent references in plain NumPy and float64, comparisons, and child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import array_api_compat
import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import LogisticRegression

import gpulr
from gpulr.backend import backend_of, to_host
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels import problem_class


def assert_close(actual, expected, *, like, dtype, ulps=8, atol=0.0):
    """Compare with a NumPy reference: namespace, device, dtype and shape first, then the values.

    ``like`` is an array of the library and on the device where ``actual`` has to be; the relative
    tolerance is ``ulps`` roundings of ``dtype``.
    """
    expected = np.asarray(expected)
    namespace = array_api_compat.array_namespace(actual)
    assert namespace is array_api_compat.array_namespace(like)
    assert array_api_compat.device(actual) == array_api_compat.device(like)
    assert actual.dtype == getattr(namespace, dtype)
    assert tuple(actual.shape) == expected.shape
    rtol = ulps * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(to_host(actual), expected, rtol=rtol, atol=atol)


def reference(X, Y, theta, C, s=1.0):
    """Cost (k,) and gradient (n_features + 1, k) in float64, from the textbook's formulas."""
    X, Y, s = (np.asarray(array, dtype=np.float64) for array in (X, Y, s))
    s = np.broadcast_to(s, Y.shape)
    X1 = np.hstack([X, np.ones((len(X), 1))])
    Z = X1 @ theta
    m = s.sum(axis=0)
    penalty = np.broadcast_to(1.0 / np.asarray(C, dtype=np.float64), m.shape) / m
    W = np.vstack([theta[:-1], np.zeros((1, theta.shape[1]))])
    # -log P = log(1 + exp(-z)) and -log(1 - P) = log(1 + exp(z))
    losses = Y * np.logaddexp(0, -Z) + (1 - Y) * np.logaddexp(0, Z)
    cost = (s * losses).sum(axis=0) / m + penalty / 2 * (W**2).sum(axis=0)
    P = 0.5 * (1 + np.tanh(Z / 2))
    return cost, X1.T @ (s * (P - Y)) / m + penalty * W


def targets(codes, n_classes=None):
    """One column of zeros and ones per class; for two classes, of the second."""
    codes = np.asarray(codes)
    n_classes = codes.max() + 1 if n_classes is None else n_classes
    Y = (codes[:, np.newaxis] == np.arange(n_classes)).astype(np.float64)
    return Y[:, 1:] if n_classes == 2 else Y


def multiples(y):
    """Which of 2, 3 and 5 divide y."""
    return (y[:, np.newaxis] % [2, 3, 5] == 0).astype(np.uint8)


@contextmanager
def found_anew(*cached):
    """What these cached functions remember is found anew within, and again after it."""
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


_optima = {}


def scikit_learns(X, Y, C, s=None):
    """The optimum that scikit-learn finds for each column of Y, (n_features + 1, k) float64.

    Weights s are (n_samples,), or one for each entry of Y.
    """
    X = np.asarray(X, dtype=np.float64)
    key = (X.shape, X.tobytes(), Y.tobytes(), str(C), None if s is None else s.tobytes())
    if hash(key) not in _optima:
        _optima[hash(key)] = _optimum(X, Y, C, s)
    return _optima[hash(key)]


def _optimum(X, Y, C, s):
    C, columns = np.broadcast_to(np.asarray(C, dtype=np.float64), Y.shape[1]), []
    for j, c in enumerate(C):
        one = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-13, max_iter=1000)
        of_column = s if s is None or s.ndim == 1 else s[:, j]
        rows = slice(None) if of_column is None else of_column > 0
        one.fit(X[rows], Y[rows, j], sample_weight=None if s is None else of_column[rows])
        columns.append(np.append(one.coef_, one.intercept_))
    return np.transpose(columns)


def assert_optimal(X, Y, theta, C, *, tol, s=None, rounding=1e-13):
    """Check that ``theta`` is as close to scikit-learn's optimum as a gradient of ``tol`` tells.

    The cost is μ-strongly convex in the weights, μ = 1 / (C m): a gradient of norm g leaves a gap
    of at most g² / 2μ, and a gap δ weights within √(2δ/μ). ``rounding`` comes on top of the gap.
    """
    best = scikit_learns(X, Y, C, s)
    s = np.ones(len(Y)) if s is None else np.asarray(s, dtype=np.float64)
    s = s[:, np.newaxis] if s.ndim == 1 else s
    optimum, gradient = reference(X, Y, best, C, s)
    assert np.abs(gradient).max() < 1e-8
    cost, _ = reference(X, Y, theta, C, s)
    mu = 1.0 / (np.asarray(C, dtype=np.float64) * s.sum(axis=0))
    allowed = len(theta) * tol**2 / (2 * mu) + rounding
    assert np.all(cost - optimum >= -1e-13)
    assert np.all(cost - optimum <= allowed)
    distance = np.sqrt(((theta - best)[:-1] ** 2).sum(axis=0))
    assert np.all(distance <= 1.01 * np.sqrt(2 * allowed / mu))


def finite_differences(function, theta, h=1e-5):
    """Gradient of each column's value by central differences; function (p, k) -> (k,)."""
    gradient = np.empty_like(theta)
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = h
        gradient[i] = (function(theta + step) - function(theta - step)) / (2 * h)
    return gradient


def make_problem(
    put, X, codes, *, C=1.0, scale=1.0, center=None, weights=None, dtype="float32", n_classes=None
):
    """Return the Problem of NumPy arrays (or sparse X), where ``put`` puts arrays.

    ``scale`` and ``center`` may be (n_features,), as may be ``weights`` (n_samples,).
    """
    codes = np.asarray(codes)
    n_classes = np.max(codes) + 1 if n_classes is None else n_classes
    positive = np.arange(n_classes) if n_classes > 2 else np.array([1])
    X = X if isinstance(X, np.memmap) or issparse(X) else put(X)
    backend = backend_of(X)
    scale = scale if np.ndim(scale) == 0 else put(np.asarray(scale)[:, np.newaxis])
    center = None if center is None else put(np.asarray(center, dtype=np.float64)[:, np.newaxis])
    table = (np.arange(n_classes)[:, np.newaxis] == positive).astype(dtype)
    return problem_class(backend).of(
        Rows(X, scale, center, backend, getattr(backend.xp, dtype)),
        ClassTargets(put(codes.astype(np.int32)), put(table), backend),
        put(np.broadcast_to(np.asarray(C, dtype=np.float64), positive.shape).copy()),
        sample_weight=None if weights is None else put(np.array(weights, dtype)[:, np.newaxis]),
    )


def stacked(model):
    """Weights of the scaled X, and the intercept below them, (n_features + 1, k) float64."""
    weights, intercept = to_host(model.weights), to_host(model.intercept)
    return np.vstack([weights / model.scale, intercept]).astype(np.float64)


def strict_json(text):
    """Parse JSON that has no Infinity or NaN in it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def python(code, *, timeout=60, **environment):
    """Run code in a fresh interpreter that has this gpulr; returns what it printed."""
    with start_python(code, **environment) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its own children
            raise
    assert process.returncode == 0, output
    return output


def start_python(code, **environment):
    """Start code in a fresh interpreter that has this gpulr and takes Ctrl-C as on a terminal."""
    root = str(Path(gpulr.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # A test run in the background of a shell ignores SIGINT, and its children inherit that.
    ready = f"import signal\nsignal.signal({int(signal.SIGINT)}, signal.default_int_handler)\n"
    if hasattr(signal, "SIGHUP"):  # nor does nohup let it through
        ready += f"signal.signal({int(signal.SIGHUP)}, signal.SIG_DFL)\n"
    code_cache = os.environ.get("CODE_OF_CHILDREN", "never")
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ready + code],
        env={**os.environ, "PYTHONPATH": path, "GPULR_CODE_CACHE": code_cache, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


TRAIN = """
import signal, sys, threading, time
import numpy as np, gpulr
rng = np.random.default_rng(0)
X, y = rng.normal(size=(300, 5)), np.arange(300) % 3
def tell(progress):
    if progress.iteration == 2:
        print("ready", flush=True)
    time.sleep(0.01)  # of ten million iterations
settings = dict(max_iter=10**7, tol=0, callbacks=[tell])
"""


def interrupt(code):
    """Run code up to its "ready", send Ctrl-C, and return what it printed then."""
    with start_python(TRAIN + code) as process:
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if line.strip() == "ready":
                    break
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
        finally:
            timer.cancel()
    return process.returncode, output.strip()
