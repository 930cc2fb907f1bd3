"""What to pass instead of what is no array of numbers: one sentence, which works as it stands."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, ValuesView
from typing import Any

import numpy as np
import numpy.typing as npt

SHOWN = 10  # columns that a cure names

# What brings an object's content into an array, or nearer to one, in libraries of many kinds.
_WAYS = (
    *("compute", "to_cupy", "to_numpy", "todense", "to_df", "to_pandas", "toPandas", "collect"),
    *("read_all", "to_table", "get"),  # of Arrow's readers and data sets
)


def remedy_for(x: Any, name: str) -> str:
    """Say what to pass instead of an object that is no array."""
    way = next((way for way in _WAYS if hasattr(type(x), way)), None)
    if way is None and isinstance(x, Iterator | ValuesView):
        return f"Pass list({name})."
    return f"Pass an array, e.g. {name}.{way}()." if way else "Pass a NumPy array."


def cure_of_batches(x: Any, name: str) -> str:
    """Say what to pass instead of what PyTorch makes batches of, or from; of others nothing."""
    kinds = {kind.__name__ for kind in type(x).__mro__ if ".utils.data" in kind.__module__}
    if "DataLoader" in kinds:
        return f"Pass its batches as one: X, y = map(torch.cat, zip(*{name}))."
    if "IterableDataset" in kinds:
        batches = f"torch.utils.data.DataLoader({name}, batch_size=1000)"
        return f"Pass its rows as one: X, y = map(torch.cat, zip(*{batches}))."
    if "Dataset" in kinds:
        batches = f"torch.utils.data.DataLoader({name}, batch_size=len({name}))"
        return f"Pass its rows as one: X, y = next(iter({batches}))."
    return ""


def cure_of_kind(x: Any, name: str) -> str:
    """Say what to do about an array whose kind is known not to be computed with; else nothing."""
    if getattr(x, "is_nested", False):
        return f"Pass {name}.to_padded_tensor(0.0)."
    if "sparse" in str(getattr(x, "layout", "")):
        return f"Pass {name}.to_dense()."
    if type(x).__name__.endswith("Tracer"):
        return "It is traced by JAX, and has no values: predict outside of jit, vmap and grad."
    if getattr(x, "is_quantized", False):
        return f"Pass {name}.dequantize()."
    if hasattr(x, "data_ptr") and repr(x).startswith(("GradTrackingTensor", "BatchedTensor")):
        return (
            "It is traced by torch.func, and has no values: predict outside of its functions. "
            f"For a gradient, pass {name}.requires_grad_() and call backward()."
        )
    return ""


def cure_of_dtype(dtype: np.dtype[Any], name: str) -> str:
    """Say what to pass instead of an array of a dtype that is none of real numbers, or text."""
    if dtype.kind in "mM":
        return "Pass what matters of it as numbers, such as days since a date."
    if dtype.kind == "c":
        return f"Pass what matters of it as real numbers, such as np.abs({name})."
    if dtype.names is not None:
        return f"Pass one of its fields, e.g. {name}[{dtype.names[0]!r}]."
    if dtype.kind == "V" and dtype.itemsize == 2:  # what np.load makes of it
        return f"If it is bfloat16, which .npy files do not name: {name}.view(ml_dtypes.bfloat16)."
    return f"Convert it, e.g. with np.asarray({name}, dtype=float)."


def cure_of_text(array: npt.NDArray[Any], name: str) -> str:
    """Say what to pass instead of an array of text or bytes."""
    try:
        array.astype(np.float64)
    except ValueError:
        if array.ndim == 1:
            vectorizer = "sklearn.feature_extraction.text.TfidfVectorizer()"
            return f"Make numbers of texts, e.g. by {vectorizer}.fit_transform({name})."
        return f"Encode it, e.g. by sklearn.preprocessing.OneHotEncoder().fit_transform({name})."
    return f"Convert it, e.g. with np.asarray({name}, dtype=float)."


def cure_of_objects(array: npt.NDArray[np.object_], types: set[type], name: str) -> str:
    """Say what to pass instead of an array of objects that are no numbers, but of these types."""
    dates = datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64
    if all(issubclass(kind, str | bytes) for kind in types):
        return cure_of_text(array, name)
    if all(issubclass(kind, Mapping) for kind in types):
        return f"Pass sklearn.feature_extraction.DictVectorizer().fit_transform({name})."
    if all(issubclass(kind, set | frozenset) for kind in types):
        return f"Pass sklearn.preprocessing.MultiLabelBinarizer().fit_transform({name})."
    if all(issubclass(kind, dates) for kind in types):
        return cure_of_dtype(np.dtype("M8[D]"), name)
    if all(issubclass(kind, complex) for kind in types):
        return cure_of_dtype(np.dtype(complex), name)
    return "Pass numbers in their place."


def cure_of_shape(X: Any) -> str:
    """Say how to pass a single row, or a single feature."""
    if hasattr(X, "reshape") and not hasattr(X, "to_frame"):
        return "Use X.reshape(1, -1) for a single row, X.reshape(-1, 1) for a single feature."
    feature = "X.to_frame()" if hasattr(X, "to_frame") else "np.asarray(X).reshape(-1, 1)"
    return f"Use np.asarray(X).reshape(1, -1) for a single row, {feature} for a single feature."


def cure_of_columns(table: Any, kinds: Mapping[Any, str], name: str) -> str:
    """Say what to do about columns that are no numbers: by their names, what they hold.

    That is "arrays", "dates", "objects" that have no order, or "plain": text, categories, ….
    """
    labels, held = list(kinds)[:SHOWN], set(kinds.values())
    columns = ", ".join(map(repr, labels)) + (", …" if len(kinds) > SHOWN else "")
    polars, pandas = hasattr(table, "to_dummies"), hasattr(table, "assign")
    if "arrays" in held:
        alone = next(label for label, kind in kinds.items() if kind == "arrays")
        return f"For the arrays of a column to be the rows, pass it alone: {name}[{alone!r}]."
    if "objects" in held:
        way = f"{name}.drop_columns([{columns}])"  # Arrow's
        if polars or pandas:
            way = f"{name}.drop({'columns=' if pandas else ''}[{columns}])"
        elif isinstance(table, np.ndarray):
            way = f"{name}[{[label for label in table.dtype.names or () if label not in kinds]}]"
        return f"Drop them, e.g. with {way}."
    if held == {"dates"} and polars:
        way = f"{name}.cast({{{', '.join(f'{label!r}: int' for label in labels)}}})"
    elif held == {"dates"} and pandas:
        integers = ", ".join(f"{label!r}: 'int64'" for label in labels)
        way = f"{name}.astype({{{integers}}})"
    elif held == {"dates"} and hasattr(table, "drop_columns"):  # Arrow's
        integers = ", ".join(f"{label!r}: 'int64'" for label in labels)
        way = f"{name}.to_pandas(date_as_object=False).astype({{{integers}}})"
    elif polars:
        way = f"{name}.to_dummies([{columns}])"
    else:
        frame = f"{name}.to_pandas()" if hasattr(table, "to_pandas") else name
        frame = f"pandas.DataFrame({name})" if isinstance(table, np.ndarray) else frame
        way = f"pandas.get_dummies({frame}, columns=[{columns}])"
    return f"Drop them, or encode them, e.g. with {way}."
