"""What kernels declare is what they are launched with."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_host import HostModule, why_not
from fused_kernels import module
from gpulr.backend.cuda_signatures import TYPES, check, signature
from gpulr.backend.cuda_sources import text_of
from gpulr.kernels.fused import PARAMETERS, PROPAGATE, TENSOR
from gpulr.kernels.recursion import SOURCE as RECURSION
from gpulr.kernels.step import SOURCE as STEP

ADD = """
#define PAIR(x) x##0, x##1
#define SIZES int n, \\
    double factor
extern "C" __global__ void add(  // not: add(int)
    const float* x, SIZES, PAIR(const unsigned char *bytes), const void* any, double* out) {
    out[0] = n;
}
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "add.cu"
    path.write_text(ADD)
    return path


def test_a_source_is_read(source):
    found = [(p.name, p.type, p.pointer) for p in signature(source, "add")]
    assert found == [
        ("x", "float", True),
        ("n", "int", False),
        ("factor", "double", False),
        ("bytes0", "unsigned char", True),
        ("bytes1", "unsigned char", True),
        ("any", "void", True),
        ("out", "double", True),
    ]
    with pytest.raises(ValueError, match=r"add.cu has no kernel 'sub'"):
        signature(source, "sub")


def of(**changed):
    given = {
        "x": np.zeros((2, 3), np.float32),
        "n": 3,
        "factor": 1.0,
        "bytes0": np.zeros(2, np.uint8),
        "bytes1": None,
        "any": np.zeros(1, np.float16),
        "out": np.zeros(1),
    }
    return list((given | changed).values())


def test_what_is_declared_is_taken(source):
    check("add", signature(source, "add"), of())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": np.zeros((2, 3))}, r"x as float\*, and it is float64"),
        ({"x": np.zeros((2, 3), np.float32).T}, r"float32, not C-contiguous"),
        ({"any": np.zeros((4, 4), np.uint8)[:, ::2]}, r"any as void\*, .*not C-contiguous"),
        ({"bytes1": np.zeros(2, np.bool_)}, r"bytes1 as unsigned char\*, and it is bool"),
        ({"n": 3.0}, "n as int, and it is float"),
        ({"factor": 1}, "factor as double, and it is int"),
        ({"n": np.int64(3)}, "n as int, and it is int64"),
        ({"more": None}, "takes 7 arguments, not 8"),
    ],
)
def test_anything_else_is_an_error(source, changed, words):
    with pytest.raises(TypeError, match=words):
        check("add", signature(source, "add"), of(**changed))


@pytest.mark.parametrize(
    "source", [PARAMETERS, PROPAGATE, RECURSION, STEP, TENSOR], ids=lambda path: path.stem
)
def test_a_compiler_reads_the_same(source):
    if reason := why_not():
        pytest.skip(reason)
    compiled = module(source, {})
    assert isinstance(compiled, HostModule)
    for kernel, parameters in compiled.kernels.items():
        read = signature(source, kernel)
        assert len(read) == len(parameters)
        for mine, (kind, dtype) in zip(read, parameters, strict=True):
            assert mine.pointer == (kind != "value")
            assert TYPES[mine.type] in (None, np.dtype(dtype).name)


def test_headers_stand_where_they_are_included(tmp_path):
    (tmp_path / "one.cuh").write_text("int one;\n")
    (tmp_path / "two.cuh").write_text('#include "one.cuh"\nint two;')
    path = tmp_path / "source.cu"
    path.write_text('// not #include "here.cuh"\n#include "two.cuh"\nint three;\n')
    made = '// not #include "here.cuh"\nint one;\n\nint two;\nint three;\n'
    assert text_of(path) == made


@pytest.mark.parametrize(
    "source", [PARAMETERS, PROPAGATE, RECURSION, STEP, TENSOR], ids=lambda path: path.stem
)
def test_a_compiler_is_given_one_text(source):
    """NVRTC has no folder to look into, and CuPy's cache knows a source by its text.

    CuPy writes that into a file, in whichever encoding the user's locale asks for.
    """
    assert "#include" not in text_of(source)
    assert text_of(source).isascii()
