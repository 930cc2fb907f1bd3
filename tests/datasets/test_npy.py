"""Rows of .npy files: mapped, and believed only as far as the file goes."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from gpulr.datasets import read
from gpulr.datasets.readers.numpy_files import read_npy
from gpulr.errors import DataFileError


def npy(header, body=b""):
    """Return a .npy file with this header, whatever it says."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def claiming(descr, shape, body=b""):
    return npy(repr({"descr": descr, "fortran_order": False, "shape": shape}), body)


@pytest.mark.parametrize("dtype", ["u1", "?", "<i8", ">f4", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_mapped(tmp_path, dtype, order):
    X = np.asarray(np.arange(12).reshape(4, 3) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", X)
    got = read_npy(tmp_path / "a.npy")
    assert isinstance(got, np.memmap)
    np.testing.assert_array_equal(got, X)


NO_ARRAY = {
    "empty": b"",
    "text": b"1,2\n3,4\n",
    "archive": b"PK\x03\x04" + bytes(100),
    "cut": np.lib.format.magic(1, 0),
    "token": npy("{'descr': '<f4', 'shape': (1,2), 'fortran_order': False, \"\"\"}"),
    "deep": npy("[" * 5000),
    "large numbers": npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**4000},)}}"),
    "long": npy(" " * 20_000),
    "no shape": npy("{'descr': '<f4'}"),
    "more": claiming("<f4", (10**9, 5), bytes(20)),
    "overflow": claiming("<f4", (2**62, 2**62), bytes(20)),
    "negative": claiming("<f4", (-1, -5), bytes(20)),
    "nothing": claiming("<f4", (10**12, 0)),
    "no bytes each": claiming("|S0", (10**9, 5)),
    "nothing and no bytes": claiming("|V0", (10**9,), bytes(20)),
    "text inside": claiming("<U1", (1, 5), bytes(20)),
    "complex": claiming("<c8", (1, 2), bytes(16)),
    "structured": claiming([("a", "<f4")], (1, 5), bytes(20)),
    "objects": claiming("|O", (5,), bytes(40)),
    "single": claiming("<f4", (), bytes(4)),
}


@pytest.mark.parametrize("kind", NO_ARRAY)
def test_other_files_are_refused(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(NO_ARRAY[kind])
    with pytest.raises(DataFileError, match=r"a\.npy"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataFileError, match="not a regular file"):
        read_npy(tmp_path / "a.npy")
    for name in ("missing.npy", "nul\0.npy", "", "x" * 300):
        with pytest.raises(DataFileError):
            read_npy(tmp_path / name)


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("|S0", (10**9,)), ("<U0", (10**9,)), ("|V0", (10**9,)), ("|u1", (10**12, 0))],
)
@pytest.mark.parametrize("place", ["X", "y", "X_test", "y_test"])
def test_values_of_no_bytes_take_no_memory(tmp_path, descr, shape, place):
    members = dict.fromkeys(("X", "X_test"), claiming("|u1", (3, 2), bytes(6)))
    members |= dict.fromkeys(("y", "y_test"), claiming("|u1", (3,), bytes(3)))
    members[place] = claiming(descr, shape)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(DataFileError):
        read(tmp_path / "a.npz")
