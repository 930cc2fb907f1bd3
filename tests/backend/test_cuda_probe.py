"""What is wrong with CuPy on a machine is told apart, and with each what to do about it.

The errors' words are those of CuPy 14, NVRTC 12 and 13, and the driver.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

import gpulr
from fake_gpu import FakeArray
from gpulr.backend import kernel_cache, probes, select

INVALID_ARCH = "nvrtc: error: invalid value for --gpu-architecture (-arch)"
NO_HEADER = (
    '/tmp/x.cubin.cu(5): catastrophic error: could not open source file "vector_types.h" '
    "(no directories in search list)"
)
NO_LIBRARY = "libnvrtc.so.12: cannot open shared object file: No such file or directory"
NO_IMAGE = "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device"
V100 = {"capability": "70", "wheels": ("cupy-cuda13x",), "driver": "supports CUDA 13.0"}

CASES = {
    "a driver older than the wheel": (
        {"wheels": ("cupy-cuda13x",)},
        ("cupy-cuda13x 14.2.0 is for CUDA 13", "driver is too old", "supports CUDA 12.8"),
        ("update the driver", "uninstall cupy-cuda13x", ".[cuda12]"),
    ),
    "a driver that is too old, of a CuPy from source": (
        {"wheels": (), "broken": "driver", "says": "cudaErrorInsufficientDriver: CUDA driver …"},
        ("driver (supports CUDA 12.8) is too old for CuPy, built from source",),
        ("update the driver",),
    ),
    "a card that the wheel has no code for": (
        V100,
        ("cupy-cuda13x 14.2.0 has no code for Fake GPU", "7.0", "CUDA 13 begins at 7.5"),
        ("uninstall cupy-cuda13x", "CUDA 12", ".[cuda12]"),
    ),
    "a card newer than NVRTC, which knows no such card": (
        {"broken": "elementwise kernel", "says": INVALID_ARCH, "capability": "130"},
        ("Fake GPU (cuda:0)", "capability 13.0", "newer than NVRTC 12.4", INVALID_ARCH),
        ("--upgrade", "cupy-cuda12x[ctk]"),
    ),
    "a card newer than NVRTC, which compiles for an older one": (
        {"broken": "elementwise kernel", "says": NO_IMAGE, "capability": "120"},
        ("capability 12.0", "newer than NVRTC 12.4"),
        ("--upgrade",),
    ),
    "no headers": (
        {"broken": "elementwise kernel", "says": NO_HEADER},
        ("headers or libraries are missing", "vector_types.h"),
        ('pip install "cupy-cuda12x[ctk]"', "CUDA_PATH"),
    ),
    "no library": (
        {"broken": "elementwise kernel", "says": NO_LIBRARY},
        ("headers or libraries are missing", "libnvrtc"),
        ('pip install "cupy-cuda12x[ctk]"',),
    ),
    "no card": (
        {"broken": "no device"},
        ("finds no CUDA device",),
        ("CUDA_VISIBLE_DEVICES", "--gpus all"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_its_own_words(install, monkeypatch, case):
    machine, reasons, remedies = CASES[case]
    install(**machine)
    status = gpulr.backends()["cupy"]
    assert not status.usable
    for words in reasons:
        assert words in status.reason
    for words in remedies:
        assert words in status.remedy
    monkeypatch.setenv("GPULR_FALLBACK", "error")
    with pytest.raises(gpulr.BackendUnavailableError) as caught:
        select("cupy")
    assert all(words in str(caught.value) for words in (*reasons, *remedies))


@pytest.mark.parametrize("capability", ["70", "75", "121"])
def test_cards_that_a_wheel_has_code_for(install, capability):
    wheel = 12 if capability == "70" else 13
    install(
        capability=capability, wheels=(f"cupy-cuda{wheel}x",), driver=f"supports CUDA {wheel}.0"
    )
    assert gpulr.backends()["cupy"].usable


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("compiled kernel", "compiled kernel failed: CudaError"),
        ("wrong kernel", "compiled kernel failed: ArithmeticError: 2 · 1 came out as 3"),
        ("eigenvectors", "eigenvectors failed: CudaError"),
    ],
)
def test_kernels_of_ones_own_and_eigenvectors_are_tried(install, broken, words):
    install(broken)
    status = gpulr.backends()["cupy"]
    assert words in status.reason
    assert status.checks[-1] == (words.partition(" failed")[0], status.checks[-1][1])


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Restore what the probe sets; return a file, in which no folder can be made."""
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "0")
    file = tmp_path / "file"
    file.write_text("not a folder")
    return file


def test_kernels_that_cannot_be_kept_are_told_of_once(install, kept, monkeypatch):
    install()
    monkeypatch.setenv("CUPY_CACHE_DIR", str(kept / "kernels"))
    with pytest.warns(gpulr.errors.KernelCacheWarning) as caught:
        status = gpulr.backends()["cupy"]
    assert gpulr.backends()["cupy"] is status  # under warnings that are errors
    assert status.usable
    assert len(caught) == 1
    for words in (
        f"{kept / 'kernels'} cannot be written (NotADirectoryError",
        "set CUPY_CACHE_DIR",
    ):
        assert words in str(caught[0].message)
    for words in ("cannot be written", "set CUPY_CACHE_DIR"):
        assert words in dict(status.checks)["kernel cache"]
    # As CuPy asks: it makes the folder where it is imported, and writes there unless told not to.
    assert os.environ["CUPY_CACHE_DIR"] == tempfile.gettempdir()
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "1"


def test_an_array_of_cupys_is_told_of_it_too(install, kept, monkeypatch):
    install()
    monkeypatch.setenv("CUPY_CACHE_DIR", str(kept / "kernels"))
    array = FakeArray(np.zeros(3))
    with pytest.warns(gpulr.errors.KernelCacheWarning, match="set CUPY_CACHE_DIR"):
        assert select("auto", X=array).name == "cupy"
    assert select("auto", X=array).name == "cupy"
    assert gpulr.backends()["cupy"].usable


def test_a_folder_that_is_there_and_cannot_be_written(unprobed, kept, tmp_path, monkeypatch):
    def refuse(**where):
        raise PermissionError(13, "Permission denied", where["dir"])

    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache.tempfile, "TemporaryFile", refuse)
    words, can = kernel_cache.keep_kernels()
    assert not can
    assert "cannot be written (PermissionError: Permission denied)" in words
    assert os.environ["CUPY_CACHE_DIR"] == str(tmp_path)
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "1"


def test_a_folder_that_can_be_written_is_left_as_it_is(install, kept, tmp_path):
    install()
    assert dict(gpulr.backends()["cupy"].checks)["kernel cache"] == str(tmp_path / "kernels")
    assert list((tmp_path / "kernels").iterdir()) == []
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "0"


def test_a_folder_of_no_name_is_none(unprobed, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUPY_CACHE_DIR", "")  # with which importing CuPy fails
    assert kernel_cache.keep_kernels() == (str(tmp_path / ".cupy/kernel_cache"), True)
    assert "CUPY_CACHE_DIR" not in os.environ


def test_a_user_without_a_home(unprobed, kept, tmp_path, monkeypatch):
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody has a home
    monkeypatch.chdir(tmp_path)
    assert kernel_cache.keep_kernels() == ("~/.cupy/kernel_cache", True)
    assert (tmp_path / "~/.cupy/kernel_cache").is_dir()  # where CuPy makes it


def test_nothing_is_made_where_cupy_is_not_installed(no_cupy, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(probes, "nvidia_driver", lambda: None)
    assert not gpulr.backends()["cupy"].usable
    assert not (tmp_path / "kernels").exists()
