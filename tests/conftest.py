"""Which backends are tested, and the fixtures that every test shares.

``GPULR_TEST_BACKENDS`` states the backends, comma-separated: "numpy" (everything that needs nothing
else), "compiled" (NumPy again, with products that llvmlite compiles), "strict" (array-api-strict on
its second device: it finds NumPy-isms, implicit transfers and upcasts without a GPU), "cupy" and
"torch" (PyTorch computes on the CPU, as it does on GPUs that CuPy has no part in).
Unset, all but "torch" are tested, and one that this machine lacks skips with the reason (an
installed llvmlite that cannot be used fails).
``GPULR_REQUIRE_GPU=1`` makes a CuPy that cannot be used a failure instead, and
``GPULR_REQUIRE_CUDA_COMPILE=1`` a missing compiler of CUDA code (g++ for the CPU; NVRTC).
"""

from __future__ import annotations

import gc
import importlib.metadata
import io
import os
import subprocess
import sys
import types
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import gpulr
from covering import leave_to_the_night
from gpulr import backend
from gpulr.backend import (
    compiled_functions,
    compiled_rows,
    compiler,
    kernel_cache,
    library_of,
    probes,
)
from gpulr.solvers import exact_curvature
from helpers import found_anew, strict_json

# scikit-learn's own tests have settings of their own: nox -s sklearn.
collect_ignore = ["sklearn_suite"]

# What is tested here needs an extra: without these packages it is left out, as the header says.
NEEDED = {
    "bench": ("matplotlib", "PIL"),
    "cli": ("typer", "rich", "matplotlib", "PIL"),
    "images": ("PIL",),
    "reporting": ("typer", "jinja2", "matplotlib", "PIL"),
    "show": ("matplotlib",),
    "test_callbacks.py": ("rich",),
    "video": ("matplotlib", "PIL"),
}
LIBRARIES = ("numpy", "compiled", "strict", "cupy", "torch")
FIRST_ORDER = {"gd", "nesterov"}
SETTINGS = (
    "GPULR_BACKEND",
    "GPULR_COMPILE",
    "GPULR_DEVICE_MEMORY",
    "GPULR_FALLBACK",
    "GPULR_FUSED",
    "GPULR_WORKER_TIMEOUT",
)


def _stated() -> set[str] | None:
    """Return the backends that the environment names, or None where it names none."""
    value = os.environ.get("GPULR_TEST_BACKENDS", "").strip()
    if not value:
        return None
    names = {name.strip() for name in value.split(",")}
    if unknown := names - set(LIBRARIES):
        raise pytest.UsageError(
            f"GPULR_TEST_BACKENDS={value!r} names {sorted(unknown)}; known: {', '.join(LIBRARIES)}."
        )
    return names


def _library_of(item) -> str:
    """Return the backend that a test is of: the mark ``gpu`` makes it one of "cupy", the fixture
    ``compiled_products`` one of "compiled".
    """
    if item.get_closest_marker("gpu"):
        return "cupy"
    if "compiled_products" in getattr(item, "fixturenames", ()):
        return "compiled"
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("library", "numpy") if callspec else "numpy"


def _values(item) -> set[str]:
    """Return the strings that are parameters of a test on "strict"."""
    callspec = getattr(item, "callspec", None)
    values = {v for v in callspec.params.values() if isinstance(v, str)} if callspec else set()
    return values if "strict" in values else set()


def _absent(name: str) -> list[str]:
    return [package for package in NEEDED.get(name, ()) if not find_spec(package)]


def pytest_ignore_collect(collection_path):
    here = collection_path.parent == Path(__file__).parent
    return True if here and _absent(collection_path.name) else None


def pytest_report_header():
    left_out = [f"{name} ({', '.join(_absent(name))})" for name in NEEDED if _absent(name)]
    return f"left out, as a package is missing: {', '.join(left_out)}" if left_out else None


@pytest.hookimpl(tryfirst=True)  # before items are chosen by marks
def pytest_collection_modifyitems(config, items):
    for item in items:
        # array-api-strict takes ten times as long as NumPy, and these solvers have many iterations,
        # of which little is their own: tests/solvers has that.
        if FIRST_ORDER & _values(item) and item.path.parent.name != "solvers":
            item.add_marker("nightly")
    if (wanted := _stated()) is not None:
        chosen = [_library_of(item) in wanted for item in items]
        left_out = [item for item, keep in zip(items, chosen, strict=True) if not keep]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item, keep in zip(items, chosen, strict=True) if keep]
    leave_to_the_night(items)


def pytest_collection_finish(session):
    gc.collect()
    gc.freeze()  # of thousands of tests: every collection of garbage would look through them


@pytest.fixture(scope="session")
def code_cache(tmp_path_factory):
    """A folder where the processes that tests start keep compiled code for each other."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "code"
    path.mkdir(mode=0o700, exist_ok=True)
    return str(path)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, code_cache):
    """No setting of the user's reaches a test, and no pytest that it starts is told of this one."""
    for variable in (*SETTINGS, "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GPULR_CODE_CACHE", "never")  # tests change what is compiled
    monkeypatch.setenv("CODE_OF_CHILDREN", code_cache)  # see helpers.start_python


@pytest.fixture
def unprobed():
    """Backends are tried out anew in this test, and again after it."""
    with found_anew(backend.probe, kernel_cache.keep_kernels, kernel_cache.tell_if_not_kept):
        yield


@pytest.fixture
def install(monkeypatch, unprobed, tmp_path):
    """Install a stand-in for CuPy that breaks at a step; None works."""
    from fake_cupy import fake_cupy, fake_cupyx
    from fake_gpu import Namespace
    from fake_sparse import fake_sparse

    imports = []
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kernels"))

    def put(
        broken=None,
        *,
        compiler=None,
        wheels=("cupy-cuda12x",),
        driver="supports CUDA 12.8",
        **card,
    ):
        cupy = fake_cupy(broken, compiler, **card)
        if broken == "import cupy":
            library_of(None)  # array-api-compat, which looks into the module, remembers this
            monkeypatch.setitem(sys.modules, "cupy", None)  # as if its import raised ImportError
        else:
            monkeypatch.setitem(sys.modules, "cupy", cupy)
            monkeypatch.setitem(sys.modules, "cupyx", fake_cupyx(broken))
            monkeypatch.setitem(sys.modules, "cupyx.scipy.sparse", fake_sparse())
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", Namespace())

        def installed(name):
            imports.append(name)
            return True

        def distribution(name, **known):  # others look for plug-ins among them
            more = {"_normalized_name": name, "entry_points": ()}
            return types.SimpleNamespace(name=name, **more, **known)

        def distributions():
            found = [distribution(name, version="14.2.0") for name in wheels]
            # To read a version takes its time: nobody asks for those of others.
            return [distribution(name) for name in ("numpy", None)] + found

        monkeypatch.setattr(probes, "installed", installed)
        monkeypatch.setattr(probes, "nvidia_driver", lambda: driver)
        monkeypatch.setattr(importlib.metadata, "distributions", distributions)
        backend.probe.cache_clear()
        return imports

    return put


@pytest.fixture
def uncompiled(monkeypatch):
    """Nothing is compiled in this test yet, and the compiler is tried out anew; and after it."""
    monkeypatch.setattr(compiled_functions, "_compiled", {})
    compiler._probe.cache_clear()
    yield
    compiler._probe.cache_clear()


@pytest.fixture
def no_cupy(monkeypatch, unprobed):
    """A machine without CuPy and without a driver, whatever this one has."""
    monkeypatch.setattr(probes, "installed", lambda name: False)
    monkeypatch.setattr(probes, "nvidia_driver", lambda: None)


def _strict():
    try:
        import array_api_strict
    except ImportError:
        report = pytest.fail if "strict" in (_stated() or ()) else pytest.skip
        report('array-api-strict is not installed: python -m pip install ".[test]"')
    return array_api_strict


def _require_compiler():
    if not (status := compiler.compiler()).usable:
        required = "compiled" in (_stated() or ()) or find_spec("llvmlite")
        (pytest.fail if required else pytest.skip)(f"products cannot be compiled: {status.words}")


def _compile_all_that_can_be(monkeypatch):
    """Narrow rows too, for which BLAS is faster."""
    monkeypatch.setattr(compiled_rows, "LEAST_FEATURES", dict.fromkeys((1, 2, 4, 8), 0))


def _require_cupy():
    status = backend.probe("cupy")
    if not status.usable:
        required = os.environ.get("GPULR_REQUIRE_GPU", "").strip() not in ("", "0")
        (pytest.fail if required else pytest.skip)(f"CuPy cannot be used: {status.reason}")


TESTED = ["numpy", "compiled", "strict", pytest.param("cupy", marks=pytest.mark.gpu)]
TESTED += ["torch"] * ("torch" in (_stated() or ()))


@pytest.fixture(params=TESTED)
def library(request, monkeypatch):
    """Name of the array library under test, which works."""
    context, name = nullcontext(), request.param
    if name == "compiled":
        _require_compiler()
        _compile_all_that_can_be(monkeypatch)
        name = "numpy"
    elif name == "numpy":
        monkeypatch.setenv("GPULR_COMPILE", "never")
    elif name == "strict":
        context = _strict().ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False)
    elif name == "cupy":
        _require_cupy()
        monkeypatch.setenv("GPULR_FALLBACK", "error")  # NumPy must not be tested in its place
    elif name == "torch":
        monkeypatch.setattr(backend.TorchBackend, "same_memory", None)  # nor here
    with context:
        yield name


@pytest.fixture
def compiled_products(monkeypatch):
    """The module that compiles products, which works; for tests that need the compiler."""
    _require_compiler()
    _compile_all_that_can_be(monkeypatch)
    from gpulr.backend import compiled_products

    return compiled_products


@pytest.fixture
def xp(library):
    """Namespace of the library."""
    if library == "strict":
        return _strict()
    if library == "cupy":
        import array_api_compat.cupy as xp
    elif library == "torch":
        import array_api_compat.torch as xp
    else:
        import array_api_compat.numpy as xp
    return xp


@pytest.fixture
def device(library):
    """Device where the arrays are; never array-api-strict's own default."""
    if library == "strict":
        return _strict().Device("device1")
    if library == "cupy":
        import cupy

        return cupy.cuda.Device(0)
    return "cpu"


@pytest.fixture
def put(library, xp, device):
    """Turn NumPy arrays, numbers or lists into arrays of the library, on the device."""

    def asarray(x, dtype=None):
        array = np.asarray(x, dtype=dtype)
        if library == "torch" and not array.flags.writeable:
            array = array.copy()  # it warns of memory that it might write to
        return xp.asarray(array, dtype=getattr(xp, array.dtype.name), device=device)

    return asarray


@pytest.fixture
def as_if_large(monkeypatch):
    """No rows are so few that models have their own Hessians."""
    monkeypatch.setattr(exact_curvature, "MOST", 0)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def three_digits(digits):
    """Three of the bundled digits, fewer rows, and fewer pixels: X float32 and y."""
    X, y = digits[:2]
    few = np.flatnonzero(y < 3)[:90]
    return X[few, 8:32], y[few]


@pytest.fixture(scope="session")
def digits():
    """The bundled digits: X float32, 0 to 1, and y; then the test part's."""
    data = gpulr.datasets.load_digits()
    return data.X, data.y, data.X_test, data.y_test


@pytest.fixture
def blobs(rng):
    """Three overlapping classes, X (90, 4) float32 and y (90,): trained in a moment."""
    y = np.repeat([0, 1, 2], 30)
    X = rng.normal(size=(90, 4)) + 2 * np.eye(3, 4)[y]
    return X.astype(np.float32), y


@pytest.fixture
def images(rng):
    """Three classes of overlapping images, X (1201, 32) uint8: 38,432 bytes; and y."""
    y = rng.integers(0, 3, 1201)
    X = rng.integers(0, 200, (1201, 32))
    X[np.arange(1201), 3 * y] += 55
    return X.astype(np.uint8), y


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here: {getattr(error, 'stderr', error)}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def made(monkeypatch):
    """What searches in this test have trained: their paths along C."""
    from gpulr.families import search as searching
    from gpulr.families.cross_validation import CrossValidation

    kept = []

    class Kept(CrossValidation):
        def train(self, *calls, **how):
            kept.append(super().train(*calls, **how))
            return kept[-1]

    monkeypatch.setattr(searching, "CrossValidation", Kept)
    return kept


@pytest.fixture(scope="session")
def real_mnist():
    """MNIST from files that are on this machine; skips without. Nothing is downloaded."""
    mnist = next(entry for entry in gpulr.datasets.describe() if entry.name == "mnist")
    if not mnist.available:
        pytest.skip(f"MNIST is not on this machine: {mnist.note}")
    return gpulr.datasets.load_mnist()


@pytest.fixture(scope="session")
def host_compiler():
    """A machine whose g++ runs CUDA kernels, by cuda_host; skips without."""
    import cuda_host

    cuda_host.require(cuda_host.why_not())


@pytest.fixture
def environment(tmp_path, code_cache):
    """Environment of a command: isolated from the user's settings, and from the network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPULR_", "XDG_"))}
    return kept | {
        "GPULR_CODE_CACHE": code_cache,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
        "COLUMNS": "100",
    }


@pytest.fixture
def invoke(monkeypatch):
    """Run the command line in this process, here, and check its exit code."""
    pytest.importorskip("typer", reason='not installed: python -m pip install ".[cli]"')
    from gpulr.cli import terminal
    from gpulr.cli.app import app

    def invoke(*arguments, code=0, **variables):
        written = [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2)]
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["gpulr", *map(str, arguments)])
            patch.setattr(sys, "stdout", written[0])
            patch.setattr(sys, "stderr", written[1])
            found = terminal.run(app)
        stdout, stderr = (each.buffer.getvalue().decode() for each in written if not each.flush())
        assert found == code, stderr + stdout
        return types.SimpleNamespace(stdout=stdout, stderr=stderr)

    return invoke


@pytest.fixture
def run(invoke, monkeypatch, environment, tmp_path):
    """Run the command line in this process, in a folder and an environment of its own."""
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture
def told(run):
    """Run the command line with --json, and return the object that it prints."""

    def told(*arguments, **how):
        return strict_json(run(*arguments, "--json", **how).stdout)

    return told


@pytest.fixture
def start(environment, tmp_path):
    """Run the command line, or code, in a process of its own, and check its exit code."""

    def start(*arguments, code=0, source=None, **variables):
        command = ["-m", "gpulr"] if source is None else ["-c", source]
        process = subprocess.run(
            [sys.executable, *command, *map(str, arguments)],
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        assert process.returncode == code, process.stderr + process.stdout
        assert "Traceback" not in process.stderr
        return process

    return start
