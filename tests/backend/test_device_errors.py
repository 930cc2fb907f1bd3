"""What libraries raise on a device, and what comes of it: out of memory, or no longer usable."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import gpulr
from fake_gpu import CudaError, FakeArray
from gpulr.backend import CuPyBackend, select


@pytest.fixture
def cupy(install):
    """A stand-in for CuPy that has been found to work."""
    install()
    assert select("cupy").name == "cupy"
    return sys.modules["cupy"]


@pytest.mark.parametrize(
    "words",
    [
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUSOLVER_STATUS_ALLOC_FAILED",
        "cudaErrorMemoryAllocation: out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    ],
)
def test_libraries_that_run_out_of_memory(cupy, words):
    backend = CuPyBackend("cupy", None)
    with pytest.raises(gpulr.DeviceMemoryError, match=words), backend.activate():
        raise CudaError(words)
    assert cupy.get_default_memory_pool().freed == 1
    with pytest.raises(CudaError, match="InvalidValue"), backend.activate():
        raise CudaError("cudaErrorInvalidValue: invalid argument")


def test_blocks_are_halved_for_a_library(cupy, blobs):
    halved, function = [], lambda rows: halved.append(rows.stop - rows.start)
    backend = CuPyBackend("cupy", None)

    def multiply(rows):
        function(rows)
        if rows.stop - rows.start > 3:
            raise CudaError("CUBLAS_STATUS_ALLOC_FAILED")
        return rows

    assert len(list(backend.map_blocks(multiply, [slice(0, 12)]))) == 4
    assert halved == [12, 6, 3, 3, 3, 3]
    FakeArray.broken = "cuBLAS's memory"
    with pytest.raises(gpulr.DeviceMemoryError, match="ALLOC_FAILED"):
        gpulr.train(*blobs, backend="cupy")


STICKY = "cudaErrorIllegalAddress: an illegal memory access was encountered"


def test_an_error_that_stays_is_told_as_such(cupy):
    """Not masked by what leaving the device raises, as every call does from now on."""

    def crash():
        cupy.machine.failed = STICKY
        cupy.zeros((2,), np.float32)

    with (
        pytest.raises(gpulr.DeviceLostError, match=rf"{STICKY}.*new one") as caught,
        CuPyBackend("cupy", None).activate(),
    ):
        crash()
    assert isinstance(caught.value, RuntimeError)
    assert STICKY in str(caught.value.__context__)


def test_training_on_a_device_that_is_lost(cupy, blobs):
    def fail(progress):
        cupy.machine.failed = STICKY

    with pytest.raises(gpulr.DeviceLostError, match="restart the kernel"):
        gpulr.train(*blobs, backend="cupy", callbacks=[fail])


def test_other_errors_are_what_they_were(cupy):
    with pytest.raises(ZeroDivisionError), CuPyBackend("cupy", None).activate():
        1 / 0  # noqa: B018
    with pytest.raises(gpulr.DataError), CuPyBackend("cupy", None).activate():
        raise gpulr.DataError("Rows are missing.")
