"""What of gpulr reads files, or text that users type: real files of each, and how they are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import fuzz
from dataset_files import idx_bytes, npy, saved, zipped

HERE = Path(__file__).parents[1]
rng = np.random.default_rng(5)
PIXELS = rng.integers(0, 256, (6, 16)).astype(np.uint8)
LABELS = np.arange(6) % 2
XY = {"X": PIXELS, "y": LABELS}
ROWS = 64  # that are read of those that may be larger than memory, at both ends


@dataclass(frozen=True)
class Sample:
    """Files by name, and the name of the one, or the folder, to read.

    Those that are ``spared`` are not damaged: their library crashes, as SECURITY.md says.
    Where it is ``certain`` a checksum covers all: what can be read of the file is what was in it.
    """

    main: str
    files: dict[str, bytes]
    certain: bool = False
    spared: tuple[str, ...] = ()

    @property
    def to_damage(self) -> list[str]:
        return sorted(set(self.files) - set(self.spared))


@dataclass(frozen=True)
class Reader:
    """``read`` takes a path, or with ``text`` a line; and returns arrays, or raises."""

    read: Callable[[Any], Any]
    samples: Callable[[Path], list[Any]]
    needs: tuple[str, ...] = ()
    text: bool = False
    stored: bool = field(default=False)  # read block by block; needs an extra

    @property
    def absent(self) -> list[str]:
        return [package for package in self.needs if not find_spec(package)]


def damages(name: str) -> tuple[Callable[[bytes, Any], bytes], ...]:
    """Return how a file of this name can be damaged: as bytes, and beneath what protects them."""
    own = {
        ".gz": (fuzz.damaged_gzip,),
        ".npz": (fuzz.damaged_zip,),
        ".zip": (fuzz.damaged_zip,),
        ".png": (fuzz.damaged_png,),
        ".json": (fuzz.damaged_json_text,),
        ".ckpt": (fuzz.damaged_checkpoint, fuzz.damaged_checkpoint, fuzz.damaged_safetensors),
        ".safetensors": (fuzz.damaged_model, fuzz.damaged_model, fuzz.damaged_safetensors),
    }
    if name == "v7.mat":
        return fuzz.damaged, fuzz.damaged_mat
    return fuzz.damaged, *own.get(Path(name).suffix, ())


def alone(certain=(), **files):
    """Return a sample of each file; underscores stand for dots."""
    return [Sample(name, {name: content}, name in certain) for name, content in files.items()]


# Data sets ---------------------------------------------------------------------------------------


def read(path):
    """Read a data set: X and y, and those of the test part if there is one."""
    from gpulr.datasets import read

    data = read(path)
    parts = [data.X, data.y, data.X_test, data.y_test]
    return [rows(part) for part in parts if part is not None]


def rows(X):
    """Return the first rows and the last of what is read block by block."""
    if isinstance(X, np.ndarray):
        return X
    return X[:ROWS], X[max(0, len(X) - ROWS) : len(X)]


def mat(_):
    import scipy.io

    other = {"c": np.array(["a", {"x": 1}], object), "s": "text"}
    v4, v6 = saved(scipy.io.savemat, XY, format="4"), saved(scipy.io.savemat, other | XY)
    v7 = saved(scipy.io.savemat, other | XY, do_compression=True)
    z = {"v6.mat": v6}
    return alone(("v7.mat",), **{"v4.mat": v4, "v6.mat": v6, "v7.mat": v7, "m.zip": zip_of(z)})


def zip_of(files):
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def idx(_):
    images, labels = idx_bytes(PIXELS.reshape(6, 4, 4)), idx_bytes(LABELS.astype(np.uint8))
    names = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
    plain = {
        name.format(part): content
        for part in ("train", "t10k")
        for name, content in zip(names, (images, labels), strict=True)
    }
    zipped_ = {f"{name}.gz": zipped(content) for name, content in plain.items()}
    first = [dict(list(files.items())[:2]) for files in (plain, zipped_)]
    return [
        *(Sample(next(iter(files)), files, i == 1) for i, files in enumerate(first)),
        *(Sample(".", files, i == 1) for i, files in enumerate((plain, zipped_))),
    ]


def npz(_):
    test = {"X_test": PIXELS[:2], "y_test": LABELS[:2]}
    text = {"x_train": PIXELS / 7, "y_train": np.array(list("abcabc"))}
    return alone(
        ("a.npz", "b.npz", "c.npz"),
        **{
            "a.npz": saved(np.savez, **XY),
            "b.npz": saved(np.savez_compressed, **XY, **test),
            "c.npz": saved(np.savez_compressed, **text),
        },
    )


def npy_files(_):
    wide = np.asfortranarray(PIXELS.astype(np.float32).reshape(6, 4, 4))
    parts = {
        f"{name}_{i}.npy": npy(array[3 * i : 3 * i + 3])
        for i in range(2)
        for name, array in XY.items()
    }
    return [
        Sample("X.npy", {"X.npy": npy(PIXELS), "y.npy": npy(LABELS)}),
        Sample("a.npy", {"a.npy": npy(wide), "a_labels.npy": npy(np.array(list("abcabc")))}),
        Sample(".", parts),
    ]


CSV = b"label,a,b\n" + b"".join(
    b"%d,%d.5,%d\n" % (k, *row[:2]) for k, row in zip(LABELS, PIXELS, strict=True)
)


def tables(_):
    named = b"".join(
        b'"%s"\t%d\t%de-3\n' % (b"no\nyes"[2 * k : 3 + 3 * k], *row[:2])
        for k, row in zip(LABELS, PIXELS, strict=True)
    )
    pixels = b"\n".join(
        b";".join(b"%d" % i for i in (k, *row)) for k, row in zip(LABELS, PIXELS, strict=True)
    )
    plain = {"a.csv": CSV, "b.tsv": named, "c.csv": b"\xef\xbb\xbf" + pixels}
    return alone(("d.csv.gz",), **plain, **{"d.csv.gz": zipped(CSV), "e.tsv.gz": zipped(named)})


def read_table(path):
    """Read a table in each of the ways that the command line has."""
    from gpulr.datasets.readers.table_columns import KnownColumns
    from gpulr.datasets.reading import read_labelled, read_rows

    known = KnownColumns(2, "label", ("a", "b"))
    found = [read(path)]
    labelled = read_labelled(path, known)
    found += [(labelled.X, labelled.y), read_rows(path, known)]
    return found


# Rows in files that may be larger than memory ----------------------------------------------------


def loaded(blocks):
    """Return what the first loaders return, and the last."""
    loaders = blocks.loaders
    found = [loader() for loader in (*loaders[:2], *loaders[-1:])]
    return [
        np.asarray(part) for each in found for part in (each if isinstance(each, tuple) else [each])
    ]


def read_npy_parts(path):
    from gpulr import Blocks

    return loaded(Blocks.from_npy(path))


def stored(save):
    """Return samples of what is written by functions of `stored_files`, in folders of their own."""

    def samples(folder):
        import stored_files

        X = rng.normal(size=(30, 5)).astype(np.float32)
        found = []
        for i, (name, y) in enumerate(
            (name, y) for name in save for y in (np.arange(30) % 3, np.array(list("abc" * 10)))
        ):
            (here := folder / str(i)).mkdir(exist_ok=True)
            main = getattr(stored_files, name)(here, X, y)
            files = {
                str(p.relative_to(here)): p.read_bytes() for p in here.rglob("*") if p.is_file()
            }
            strings = {
                str(Path(name).parent)
                for name, content in files.items()
                if name.endswith(".zarray") and b"vlen-utf8" in content
            }
            spared = tuple(
                name
                for name in files
                if str(Path(name).parent) in strings and not Path(name).name.startswith(".z")
            )
            found.append(Sample(str(main.relative_to(here)), files, spared=spared))
            shutil.rmtree(here)
        return found

    return samples


def read_parquet(path):
    from gpulr import Blocks

    found = read(path)
    blocks = Blocks.from_parquet(path, label="label")
    for loader in blocks.loaders[:3]:
        X, y = loader()
        found += [each.to_numpy() for each in (*X.columns, y)]
    return found


# All else ----------------------------------------------------------------------------------------


def models(_):
    return [
        Sample(path.name, {path.name: path.read_bytes()})
        for path in sorted((HERE / "files").glob("*.safetensors"))
    ]


def read_model(path):
    """Load a model, and use all that it holds."""
    import gpulr

    model = gpulr.load(path)
    X = np.zeros((2, len(model.weights)), np.float32)
    repr(model), repr(model.history)
    with np.errstate(all="ignore"):
        return model.predict_proba(X), model.predict(X)


# By the names of their files: functions that keep checkpoints, how often each of a few rows is
# repeated (those of a few have models' exact curvature), and what else they are called with.
RUNS = {
    "lbfgs": ("train", 1, {}),
    "lbfgs-shared": ("train", 700, {}),
    "nesterov": ("train", 1, {"solver": "nesterov"}),
    "search": ("search", 3, {"Cs": [0.1, 10.0], "cv": 2}),
    "bootstrap": ("bootstrap", 3, {"n": 3, "random_state": 3}),
    "cross-val-predict": ("cross_val_predict", 3, {"cv": 2}),
}
ENDS = {"early": 4, "late": 9, "done": 10**9}


def go_on(path, n=1):
    """Make a run, or go on with it, until it has told of ``n`` iterations."""
    import gpulr

    (name, repeats, how), told = RUNS[path.stem.rpartition("-")[0]], []

    def stop(progress):
        told.append(progress)
        if len(told) == n:
            raise StopIteration

    X = np.repeat(PIXELS, repeats, axis=0)
    how = {"callbacks": [stop], "checkpoint": path, "checkpoint_every": None, "tol": 1e-3, **how}
    try:
        return getattr(gpulr, name)(X, np.arange(len(X)) % 3, **how)
    except (gpulr.TrainingInterrupted, gpulr.SearchInterrupted) as interrupted:
        return interrupted


def checkpoints(folder):
    paths = [folder / f"{name}-{end}.ckpt" for name in RUNS for end in ENDS]
    for path in paths:
        go_on(path, ENDS[path.stem.rpartition("-")[2]])
    return alone(**{path.name: path.read_bytes() for path in paths})


def read_checkpoint(path):
    """Go on with a run, up to where its callback ends it at once."""
    try:
        repr(go_on(path))
    finally:
        path.with_name(path.name + ".previous").unlink(missing_ok=True)
    return []


def pictures(folder):
    from PIL import Image

    grey = Image.fromarray(np.pad(np.zeros((30, 10), np.uint8), 15, constant_values=230))
    formats = {
        "grey.png": (grey, {}),
        "transparent.png": (grey.convert("RGBA"), {}),
        "palette.png": (grey.convert("P"), {"transparency": 2}),
        "sixteen.png": (Image.fromarray(257 * np.asarray(grey, np.uint16)), {}),
        "grey.jpg": (grey, {"exif": turned()}),
        "progressive.jpg": (grey.convert("RGB"), {"progressive": True}),
        "grey.gif": (grey, {}),
        "moving.gif": (grey, {"save_all": True, "append_images": [grey.rotate(90)]}),
        "lzw.tif": (grey, {"compression": "tiff_lzw"}),
        "deflate.tif": (grey.convert("RGB"), {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (grey.convert("RGB"), {"compression": "jpeg"}),
        "g4.tif": (grey.convert("1"), {"compression": "group4"}),
        "floats.tif": (Image.fromarray(np.asarray(grey, np.float32)), {}),
        "colour.webp": (grey.convert("RGB"), {}),
        "grey.bmp": (grey, {}),
        "grey.pgm": (grey, {}),
    }
    files = {}
    for name, (image, options) in formats.items():
        image.save(folder / name, **options)
        files[name] = (folder / name).read_bytes()
    return alone(**files)


def turned():
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    return exif


def read_picture(path):
    from gpulr.images.decoding import read_grey

    grey = read_grey(path)
    assert grey.ndim == 2
    assert grey.dtype == np.float32
    assert np.isfinite(grey).all()
    return [grey]


def drawn(_):
    found = []
    for path in sorted((HERE / "strokes").glob("*.json")):
        drawing = json.loads(path.read_bytes())
        drawing["strokes"] = [stroke[:6] for stroke in drawing["strokes"]]
        found.append(Sample(path.name, {path.name: json.dumps(drawing).encode()}))
    return found


def read_strokes(path):
    """Draw strokes as a program that has them as JSON would."""
    from gpulr.images.strokes import rasterize

    try:
        strokes = json.loads(path.read_bytes())["strokes"]
    except (ValueError, LookupError, TypeError):
        return []
    return [rasterize(strokes, (280, 280))]


def lines(_):
    return [
        "10",
        "0.01,1,100",
        "1,",
        "auto",
        "none",
        "1/255",
        "f1",
        "precision=0.9",
        "recall=.5",
        "1280x720",
        "640×480",
        "local:4",
        "tcp://10.0.0.5:8786",
        "label",
        "-1",
    ]


def read_options(text):
    from gpulr.cli.refining import rule_of
    from gpulr.cli.search import parse_values
    from gpulr.cli.train import _parse_scale
    from gpulr.cli.workers import check_workers
    from gpulr.cli.writing import _parse_size
    from gpulr.errors import GpulrError

    found, error = [], None
    for parse in (rule_of, parse_values, _parse_scale, check_workers, _parse_size):
        try:
            found.append(np.asarray(repr(parse(text))))
        except GpulrError as refused:
            str(refused).encode("ascii", "backslashreplace")
            error = refused
    if not found and error:
        raise error
    return found


READERS = {
    "mat": Reader(read, mat),
    "idx": Reader(read, idx),
    "npz": Reader(read, npz),
    "npy": Reader(read, npy_files),
    "from_npy": Reader(read_npy_parts, npy_files),
    "table": Reader(read, tables),
    "table for a model": Reader(read_table, tables),
    "model": Reader(read_model, models, ("safetensors",)),
    "checkpoint": Reader(read_checkpoint, checkpoints, ("safetensors",)),
    "picture": Reader(read_picture, pictures, ("PIL",)),
    "strokes": Reader(read_strokes, drawn),
    "option": Reader(read_options, lines, ("typer", "rich"), text=True),
    "parquet": Reader(
        read_parquet, stored(("save_parquet", "save_parquet_parts")), ("pyarrow",), stored=True
    ),
    "hdf5": Reader(read, stored(("save_hdf5",)), ("h5py",), stored=True),
    "h5ad": Reader(read, stored(("save_h5ad", "save_sparse_h5ad")), ("anndata",), stored=True),
    "zarr": Reader(read, stored(("save_zarr",)), ("zarr",), stored=True),
    "zarr of AnnData": Reader(
        read,
        stored(("save_h5ad_in_zarr", "save_sparse_h5ad_in_zarr")),
        ("zarr", "anndata"),
        stored=True,
    ),
}
