"""Independent references in plain NumPy and float64, comparisons, and child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import array_api_compat
import numpy as np

import gpulr
from gpulr.backend import backend_of, to_host
from gpulr.problem import Problem


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


def finite_differences(function, theta, h=1e-5):
    """Gradient of each column's value by central differences; function (p, k) -> (k,)."""
    gradient = np.empty_like(theta)
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = h
        gradient[i] = (function(theta + step) - function(theta - step)) / (2 * h)
    return gradient


def make_problem(put, X, codes, *, C=1.0, scale=1.0, dtype="float32", n_classes=None):
    """Return the Problem of NumPy arrays, where ``put`` puts arrays."""
    n_classes = np.max(codes) + 1 if n_classes is None else n_classes
    positive = np.arange(n_classes) if n_classes > 2 else np.array([1])
    X = X if isinstance(X, np.memmap) else put(X)
    backend = backend_of(X)
    return Problem(
        X=X,
        codes=put(codes.astype(np.int32)),
        positive=put(positive.astype(np.int32)),
        C=put(np.broadcast_to(np.asarray(C, dtype=np.float64), positive.shape).copy()),
        scale=scale,
        backend=backend,
        dtype=getattr(backend.xp, dtype),
    )


def stacked(model):
    """Weights of the scaled X, and the intercept below them, (n_features + 1, k) float64."""
    weights, intercept = to_host(model.weights), to_host(model.intercept)
    return np.vstack([weights / model.scale, intercept]).astype(np.float64)


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
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ready + code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
