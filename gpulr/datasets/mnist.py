"""MNIST: the four IDX files, and mnist-original, which holds the same images sorted by label.

MNIST is Y. LeCun's and C. Cortes's, under CC BY-SA 3.0; gpulr does not ship it.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np

from gpulr.datasets.dataset import Dataset
from gpulr.datasets.download import KnownFile, obtain, search_folders
from gpulr.datasets.readers.idx import parse_idx
from gpulr.datasets.reading import read
from gpulr.errors import DataFileError

FOLDER = "mnist"
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
IMAGE_SHAPE = (28, 28)

TRAIN_IMAGES = KnownFile(
    "train-images-idx3-ubyte.gz",
    size=9_912_422,
    sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    plain_size=47_040_016,
    plain_sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
)
TRAIN_LABELS = KnownFile(
    "train-labels-idx1-ubyte.gz",
    size=28_881,
    sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    plain_size=60_008,
    plain_sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
)
TEST_IMAGES = KnownFile(
    "t10k-images-idx3-ubyte.gz",
    size=1_648_877,
    sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    plain_size=7_840_016,
    plain_sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
)
TEST_LABELS = KnownFile(
    "t10k-labels-idx1-ubyte.gz",
    size=4_542,
    sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    plain_size=10_008,
    plain_sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

ORIGINAL_NAMES = ("mnist-original.mat", "mnist-original.mat.zip")
ORIGINAL_SHAPE = (70_000, 784)
# Of X, uint8 in C order, and of y as uint8.
ORIGINAL_X_SHA256 = "7c10294c67b639de8f83465d100ca1aeef34d0f422dea714dc17b471eba6dd92"
ORIGINAL_Y_SHA256 = "335cca9e885f1e8e2df6da7e5a1033c4f3c31b421b41eb5e7b83f14d28b35366"


def load_mnist() -> Dataset:
    """Load MNIST from its four IDX files, downloading them if they are not on this machine.

    It searches ``$GPULR_DATA_HOME/mnist/``, then ``mnist/`` in the user's cache folder, then two
    mirrors. Files from these are kept in the first of the two folders that can be written to. Each
    file's sha256 is verified at every call. Files that were decompressed by hand are accepted too.

    Returns
    -------
    Dataset
        X uint8 (60000, 784), y int64 (60000,), X_test uint8 (10000, 784), y_test int64 (10000,),
        image_shape (28, 28). Pixels are 0 (background) to 255; rows are in the published order.

    Raises
    ------
    DataUnavailableError
        The files are neither on this machine nor downloadable; without a network this takes about
        five seconds.
    MissingExtraError
        They are not on this machine, and what a download needs is not installed.
    DataFileError
        A file in ``$GPULR_DATA_HOME`` is damaged and no good copy can be had. It is never
        overwritten.
    """
    located = obtain(FILES, FOLDER, MIRRORS)
    X, y, X_test, y_test = (
        parse_idx(io.BytesIO(file.content), len(file.content), is_gzipped=False) for file in located
    )
    X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    parts = X, y.astype(np.int64), X_test, y_test.astype(np.int64)
    return Dataset(*parts, IMAGE_SHAPE, "mnist", str(located[0].path.parent))


def load_mnist_original() -> Dataset:
    """Load the 70,000 images of mnist-original, sorted by label within MNIST's two parts.

    It reads ``mnist-original.mat`` or ``mnist-original.mat.zip`` from ``$GPULR_DATA_HOME`` or the
    user's cache folder. If neither is there, it builds the data from the IDX files of `load_mnist`,
    which gives the same bytes. Rows 0..59999 are the training part sorted by label, the rest the
    test part likewise: shuffle before cutting, as `Dataset.split` does.

    Returns
    -------
    Dataset
        X uint8 (70000, 784) in C order, y int64 (70000,), no test part, image_shape (28, 28).

    Raises
    ------
    DataFileError
        The file that was found is damaged or holds other images or labels.
    DataUnavailableError
        There is no such file, and neither are the IDX files there nor a network.
    """
    path = find_original()
    if path is not None:
        found = read(path)
        X, y, source = found.X, found.y, str(path)
    else:
        mnist = load_mnist()
        assert mnist.X_test is not None
        assert mnist.y_test is not None
        train, test = np.argsort(mnist.y, kind="stable"), np.argsort(mnist.y_test, kind="stable")
        X = np.concatenate([mnist.X[train], mnist.X_test[test]])
        y = np.concatenate([mnist.y[train], mnist.y_test[test]])
        path, source = Path(mnist.source), f"built from {mnist.source}"
    X_sha256 = hashlib.sha256(np.ascontiguousarray(X).data).hexdigest()
    if (
        (X.shape, X_sha256) != (ORIGINAL_SHAPE, ORIGINAL_X_SHA256)
        or X.dtype != np.uint8
        or y.dtype != np.int64
        or y.min() < 0
        or y.max() > 9
        or hashlib.sha256(y.astype(np.uint8).data).hexdigest() != ORIGINAL_Y_SHA256
    ):  # the file's own format has no checksum of the values
        raise DataFileError(
            path,
            f"does not hold mnist-original: found X {X.shape} {X.dtype} with sha256 {X_sha256}; "
            f"expected {ORIGINAL_SHAPE} uint8 with {ORIGINAL_X_SHA256}, and its labels in order",
            "Replace it with a good copy, or remove it: gpulr then builds the data set from "
            "MNIST's IDX files. To read other data, give its path to gpulr.datasets.load.",
        )
    return Dataset(X, y, None, None, IMAGE_SHAPE, "mnist-original", source)


def find_original() -> Path | None:
    """Path of mnist-original.mat or its archive, unread; None if it is in no search folder."""
    candidates = (folder / name for folder in search_folders() for name in ORIGINAL_NAMES)
    # os.path, unlike Path.exists, takes a folder that may not be searched for an empty one.
    return next((path for path in candidates if os.path.exists(path)), None)  # noqa: PTH110
