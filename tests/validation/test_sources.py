"""What is recognised as rows in a file, and how it is read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpulr.errors import DataError
from gpulr.sources import Source
from gpulr.validation import sources
from gpulr.validation.arrays import check_rows
from gpulr.validation.label_values import check_labels
from sources import KINDS, Slices, SparseSlices, in_file


def whole(source):
    return source[: source.shape[0], :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", ">f8", "float16", "bool", "uint8", "int64"])
def test_files_are_read_as_arrays_are(kind, dtype, rng, tmp_path):
    X = rng.integers(0, 2, (200, 5)).astype(dtype)
    source = check_rows(in_file(kind, X, tmp_path))
    assert isinstance(source, Source)
    assert source.dtype == X.dtype.newbyteorder("=")
    np.testing.assert_array_equal(whole(source), X)
    assert whole(source).dtype == source.dtype
    assert list(source.edges) == []  # what is short is read together


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_flattened(kind, rng, tmp_path):
    X = rng.integers(0, 256, (100, 4, 3, 2)).astype(np.uint8)
    source = check_rows(in_file(kind, X, tmp_path))
    assert source.shape == (100, 24)
    np.testing.assert_array_equal(source[10:20, :], X[10:20].reshape(10, 24))


def test_backed_sparse_matrices_are_read(rng, tmp_path):
    pytest.importorskip("anndata", reason="AnnData is not installed")
    S = sparse.random_array(
        (300, 20), density=0.1, format="csr", random_state=rng, dtype=np.float32
    )
    source = check_rows(in_file("anndata", S, tmp_path))
    assert source.sparse
    assert source.nnz == S.nnz
    np.testing.assert_array_equal(source[100:200, :].toarray(), S[100:200].toarray())
    import anndata

    with pytest.raises(DataError, match=r"X is an AnnData; .*train\(data\.X, data\.obs"):
        check_rows(anndata.AnnData(X=S))
    other = tmp_path / "csc"
    other.mkdir()
    with pytest.raises(DataError, match=r"by columns .*X\.to_memory\(\)"):
        check_rows(in_file("anndata", S.tocsc(), other))


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.array([["a", "b"]]), "X has dtype <U1; expected real numbers"),
        (np.array([[1j, 2]]), r"complex128.*np\.abs"),
        (np.array([[object(), None]]), "objects of type object"),
        (np.zeros((4, 2), [("a", "f4"), ("b", "i2")]), r"one of its fields, e\.g\. X\['a'\]"),
        (np.zeros((0, 3)), r"X is empty: its shape is \(0, 3\)"),
        (np.zeros((3, 2, 0)), r"X is empty: its shape is \(3, 0\)"),
    ],
    ids=["text", "complex", "objects", "records", "no rows", "no features"],
)
def test_what_is_no_rows_is_refused_by_its_first_row(X, words):
    slices = Slices(X)
    with pytest.raises(DataError, match=words):
        check_rows(slices)
    assert slices.n_read <= 1


def test_wider_numbers_and_objects_become_float64():
    X = np.arange(8).reshape(4, 2)
    for wide in (X.astype(np.longdouble), X.astype(object)):
        source = check_rows(Slices(wide))
        assert source.dtype == np.float64
        np.testing.assert_array_equal(whole(source), X)


def test_rows_of_one_dimension_are_loaded_and_refused(tmp_path):
    with pytest.raises(DataError, match=r"X has shape \(30,\); expected \(n_samples, n_features\)"):
        check_rows(in_file("h5py", np.zeros(30), tmp_path))


def test_closed_files_are_an_error_with_its_cause(tmp_path):
    X = in_file("h5py", np.zeros((30, 2)), tmp_path)
    source = check_rows(X)
    X.file.close()
    with pytest.raises(DataError, match=r"X cannot be read: .* leave it open") as caught:
        check_rows(X)
    assert caught.value.__cause__ is not None
    with pytest.raises(DataError, match="Rows 3 to 5 of X cannot be read"):
        source[3:6, :]


def test_groups_are_refused_with_the_likely_array(tmp_path):
    h5py = pytest.importorskip("h5py", reason="its tests run in the session arrays")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        for name in ("A", "X"):
            file[name] = np.eye(2)
        with pytest.raises(DataError, match=r"keys 'A', 'X'; .*: X\['X'\]\.$"):
            check_rows(file)


def test_text_in_a_file_is_labels_of_text(tmp_path):
    h5py = pytest.importorskip("h5py", reason="its tests run in the session arrays")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file.create_dataset("y", data=["owl", "cat"], dtype=h5py.string_dtype())
        assert check_labels(file["y"], 2).tolist() == ["owl", "cat"]


def test_blocks_of_damaged_sparse_rows_are_refused(rng):
    S = sparse.random_array((300, 20), density=0.5, format="csr", random_state=rng)
    source = check_rows(SparseSlices(S))
    S.indices[S.indptr[200]] = 20
    np.testing.assert_array_equal(source[0:200, :].toarray(), S[:200].toarray())
    with pytest.raises(DataError, match="sparse matrix that cannot be read"):
        source[150:250, :]


def test_long_chunks_are_read_once_for_all_blocks_in_them(rng, monkeypatch):
    X = rng.normal(size=(1000, 4))
    monkeypatch.setattr(sources, "LONGEST_BYTES", 1000)
    monkeypatch.setattr(sources, "LEAST_BYTES", 10)
    slices = Slices(X, chunk=300)
    source = check_rows(slices)
    assert list(source.edges) == [300, 600, 900]
    before = slices.n_read
    blocks = source.cut([slice(a, a + 100) for a in range(0, 1000, 100)])
    np.testing.assert_array_equal(np.concatenate([source[rows, :] for rows in blocks]), X)
    assert slices.n_read - before == 1000
    np.testing.assert_array_equal(source[250:650, :], X[250:650])


def test_very_long_chunks_are_read_in_pieces(rng, monkeypatch):
    X = rng.normal(size=(1000, 4))
    monkeypatch.setattr(sources, "LONGEST_BYTES", 1000)
    monkeypatch.setattr(sources, "KEPT_BYTES", 8000)
    slices = Slices(X, chunk=600)
    source = check_rows(slices)
    assert list(source.edges) == [200, 400, 600, 800]
    before = slices.n_read
    blocks = source.cut([slice(a, a + 50) for a in range(0, 1000, 50)])
    np.testing.assert_array_equal(np.concatenate([source[rows, :] for rows in blocks]), X)
    assert slices.n_read - before == 1000


def test_one_chunk_of_all_rows_is_read_once(rng, monkeypatch):
    X = rng.normal(size=(1000, 4))
    monkeypatch.setattr(sources, "LONGEST_BYTES", 1000)
    slices = Slices(X, chunk=1024)
    source = check_rows(slices)
    before = slices.n_read
    for start in range(0, 1000, 100):
        np.testing.assert_array_equal(source[start : start + 100, :], X[start : start + 100])
    assert slices.n_read - before == 1000


def test_chunks_of_few_rows_are_read_together():
    source = check_rows(Slices(np.zeros((400_000, 2), np.float32), chunk=10))
    assert source.edges[0] == 2**18 // 80 * 10
    assert np.all(np.diff(source.edges) == source.edges[0])
