"""Array backends: the only package that knows which array libraries exist.

A :class:`Backend` says where arrays live and how a pass over row blocks runs there; the mathematics
(:mod:`gpulr.logistic`) takes its functions from the arrays themselves. To add a library, subclass
:class:`Backend`, write a probe that *proves* it works, and enter both in ``BACKENDS``. Arrays of
any other library that follows the array API standard are used where they are, by the base class.

It imports errors and words, and knows nothing of rows, problems or kernels.

Libraries are imported lazily: importing CuPy takes a second, succeeds on machines without a GPU,
and proves nothing (a wrong wheel fails at the first kernel), so it is imported and tried out only
when it is asked for or when the work is large enough to repay it.
"""

from __future__ import annotations

from gpulr.backend.arrays import (
    detached,
    fits_float32,
    has_computed,
    is_device_array,
    is_sparse,
    library_of,
    to_host,
    wants_gradient,
)
from gpulr.backend.base import Backend
from gpulr.backend.cpu import NumPyBackend
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.environment import address_limit
from gpulr.backend.host_rows import HostRows
from gpulr.backend.long_arrays import FileArray, host_array
from gpulr.backend.memory import host_memory
from gpulr.backend.probes import BackendStatus
from gpulr.backend.selection import (
    BACKENDS,
    backend_of,
    backends,
    computing_with,
    given_back,
    probe,
    select,
)
from gpulr.backend.torch import TorchBackend

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendStatus",
    "CuPyBackend",
    "FileArray",
    "HostRows",
    "NumPyBackend",
    "TorchBackend",
    "address_limit",
    "backend_of",
    "backends",
    "computing_with",
    "detached",
    "fits_float32",
    "given_back",
    "has_computed",
    "host_array",
    "host_memory",
    "is_device_array",
    "is_sparse",
    "library_of",
    "probe",
    "select",
    "to_host",
    "wants_gradient",
]
