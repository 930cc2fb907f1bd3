"""Choosing a backend: precedence, fallback, and a probe that proves what it says.

No test needs a GPU: a stand-in for CuPy, a thin layer over NumPy, works or breaks as told.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import gpulr
from gpulr import backend
from gpulr.backend import Backend, backend_of, probes, select, to_host
from gpulr.backend.cuda_probe import STEPS
from gpulr.backend.selection import AUTO_MIN_FLOPS
from helpers import assert_close

# ---- arrays -----------------------------------------------------------------------------------


def test_arrays_stay_where_they_are(put, xp, device):
    x = put([[1, 2], [3, 4]], "float32")
    here = backend_of(x)
    assert here.name == xp.__name__.removeprefix("array_api_compat.")
    same = here.asarray(x)
    if here.name == "cupy":
        assert same.data.ptr == x.data.ptr
    else:
        assert np.shares_memory(to_host(same), to_host(x))
    assert_close(here.asarray(np.eye(2)), np.eye(2), like=x, dtype="float64")
    assert_close(here.asarray(x, dtype=xp.float64), to_host(x), like=x, dtype="float64")
    np.testing.assert_array_equal(to_host(x), [[1, 2], [3, 4]])
    assert type(to_host(x)) is np.ndarray
    here.synchronize()
    assert here.name in repr(here)


def test_an_array_decides_under_auto(put, monkeypatch):
    x = put([1.0])
    if isinstance(x, np.ndarray):
        pytest.skip("NumPy's arrays do not decide; other tests say what does")
    chosen = select("auto", X=x)
    assert (chosen.name, chosen.device) == (backend_of(x).name, backend_of(x).device)
    if chosen.name in backend.BACKENDS:  # asked for by name, it stays on its device too
        assert select(chosen.name, X=x).device == chosen.device
    monkeypatch.setenv("GPULR_BACKEND", "numpy")
    assert select("auto", X=x).name == "numpy"
    assert select("numpy", X=x).name == "numpy"


def test_to_host_takes_what_is_no_array():
    assert to_host([1, 2]).tolist() == [1, 2]
    assert to_host(3.0).shape == ()
    array = np.arange(3)
    assert to_host(array) is array


# ---- precedence -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "environment", "expected"),
    [
        ("numpy", "cupy", "numpy"),
        ("auto", "cupy", "cupy"),
        ("cupy", "numpy", "cupy"),
        ("auto", "numpy", "numpy"),
        ("auto", " ", "cupy"),
        ("auto", " NumPy ", "numpy"),
    ],
)
def test_the_argument_goes_before_the_environment(
    install, monkeypatch, requested, environment, expected
):
    install()
    monkeypatch.setenv("GPULR_BACKEND", environment)
    assert select(requested).name == expected


@pytest.mark.parametrize("name", ["cuda", "", "NumPy", None, 3, ["numpy"]])
def test_unknown_names(name):
    with pytest.raises(gpulr.ParameterError, match=r"backend=.*auto, numpy, cupy"):
        select(name)


@pytest.mark.parametrize(
    ("flops", "expected"), [(AUTO_MIN_FLOPS * 0.99, "numpy"), (AUTO_MIN_FLOPS, "cupy")]
)
def test_auto_takes_a_gpu_where_the_work_repays_it(install, flops, expected):
    install()
    assert select("auto", flops=flops).name == expected


def test_small_work_does_not_even_look_for_cupy(install):
    looked = install()
    select("auto", flops=1e6)
    assert looked == []


@pytest.mark.parametrize("variable", ["GPULR_BACKEND", "GPULR_FALLBACK"])
def test_unknown_names_in_the_environment(monkeypatch, variable, blobs):
    monkeypatch.setenv(variable, "nonsense")
    with pytest.raises(gpulr.ParameterError, match=rf"{variable}='nonsense' in the environment"):
        gpulr.train(*blobs)


def test_auto_with_a_broken_cupy_is_quiet_and_records_why(no_cupy, install, monkeypatch):
    assert select("auto").fallback_reason is None  # nothing is installed
    install("allocation")
    monkeypatch.setenv("GPULR_FALLBACK", "error")  # nobody asked for CuPy
    chosen = select("auto")
    assert chosen.name == "numpy"
    assert "allocation failed: CudaError" in chosen.fallback_reason


# ---- fallback ---------------------------------------------------------------------------------


def test_training_on_cupy_without_a_gpu_falls_back_once(no_cupy, blobs):
    with pytest.warns(gpulr.BackendFallbackWarning) as caught:
        model = gpulr.train(*blobs, backend="cupy")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for part in ("'cupy'", "no NVIDIA driver", "pip install", "on NumPy instead", "gpulr doctor"):
        assert part in str(caught[0].message)
    reference = gpulr.train(*blobs, backend="numpy")
    np.testing.assert_array_equal(model.weights, reference.weights)
    assert (model.backend, model.device) == ("numpy", "cpu")
    assert model.fallback_reason in str(caught[0].message)
    assert reference.fallback_reason is None


def test_the_environment_is_read_at_each_call(no_cupy, blobs, monkeypatch):
    monkeypatch.setenv("GPULR_BACKEND", "cupy")
    with pytest.warns(gpulr.BackendFallbackWarning):
        assert gpulr.train(*blobs).fallback_reason
    monkeypatch.setenv("GPULR_FALLBACK", "error")
    with pytest.raises(gpulr.BackendUnavailableError, match=r"GPULR_FALLBACK=error") as caught:
        gpulr.train(*blobs)
    assert "pip install" in str(caught.value)
    monkeypatch.setenv("GPULR_FALLBACK", "warn")
    with pytest.warns(gpulr.BackendFallbackWarning):
        gpulr.train(*blobs)
    monkeypatch.delenv("GPULR_BACKEND")
    assert gpulr.train(*blobs).fallback_reason is None


# ---- the probe --------------------------------------------------------------------------------

FAULTS = {
    "import cupy": "import cupy failed: ModuleNotFoundError",
    "no device": "finds no CUDA device",
    "device": "device failed: CudaError",
    "allocation": "allocation failed: CudaError",
    "elementwise kernel": "elementwise kernel failed: CudaError",
    "matrix product": "matrix product failed: CudaError: CUBLAS_STATUS_NOT_INITIALIZED",
    "result": "matrix product failed: ArithmeticError: 64 · 2 came out as",
    "synchronise": "synchronise failed: CudaError",
}


@pytest.mark.parametrize("broken", FAULTS)
def test_each_step_of_the_probe(install, broken):
    install(broken)
    status = gpulr.backends()["cupy"]
    assert not status.usable
    assert status.device is None
    assert FAULTS[broken] in status.reason
    assert status.remedy
    failed = [step for step, outcome in status.checks if outcome.startswith(("failed", "none"))]
    assert len(failed) == 1
    assert failed[0] == status.checks[-1][0]
    with pytest.warns(gpulr.BackendFallbackWarning, match="cannot be used") as caught:
        assert select("cupy").fallback_reason == status.reason
    assert status.remedy in str(caught[0].message)


@pytest.mark.parametrize(
    ("installed", "reason", "remedy"),
    [
        ({"broken": "no device", "driver": None}, "no NVIDIA driver", "nvidia-smi"),
        (
            {"wheels": ("cupy-cuda12x", "numpy", "cupy_cuda13x")},
            "cupy-cuda12x 14.2.0, cupy_cuda13x 14.2.0",
            "uninstall both",
        ),
        (None, "CuPy is not installed", ".[cuda13]"),
    ],
    ids=["no driver", "two wheels", "no CuPy"],
)
def test_what_is_wrong_with_an_installation(
    install, no_cupy, monkeypatch, installed, reason, remedy
):
    if installed is None:
        monkeypatch.setattr(probes, "nvidia_driver", lambda: "supports CUDA 13.0")
    else:
        install(**installed)
    status = gpulr.backends()["cupy"]
    assert not status.usable
    assert reason in status.reason
    assert ("driver" in status.reason) == (reason == "no NVIDIA driver")
    assert remedy in status.remedy


def test_a_probe_that_passes_runs_once_per_process(install):
    looked = install()
    for _ in range(3):
        status = gpulr.backends()["cupy"]
    assert looked.count("cupy") == 1
    assert status.usable
    assert status.reason is None
    assert status.device == "Fake GPU (cuda:0)"
    checks = dict(status.checks)
    assert checks["CuPy wheel"] == "cupy-cuda12x 14.2.0"
    assert checks["import cupy"] == "14.2.0"
    assert all(checks[step] == "ok" for step in STEPS[STEPS.index("allocation") :])


def test_training_on_the_stand_in(install, blobs):
    install()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = gpulr.train(*blobs, backend="cupy")
    assert (model.backend, model.device) == ("cupy", "Fake GPU (cuda:0)")
    assert model.fallback_reason is None
    assert model.versions["cupy"] == "14.2.0"
    reference = gpulr.train(*blobs, backend="numpy")
    np.testing.assert_allclose(model.weights, reference.weights, atol=1e-5)


def test_numpy_is_always_usable():
    status = gpulr.backends()["numpy"]
    assert status.usable
    assert status.device == "cpu"
    assert dict(status.checks)["numpy"] == np.__version__
    assert int(dict(status.checks)["threads per pass"]) >= 1


def test_blocks_of_the_base_class():
    plain = Backend("numpy", backend_of(None).xp)
    assert list(plain.map_blocks(lambda block: block.stop, plain.row_blocks(10, 1, 1))) == [10]
    assert math.isinf(float(plain.asarray([math.inf])[0]))
    assert plain.device_name == "None"
    assert plain.version == np.__version__
