"""A video file: what is in it, what of, and how it is written: H.264 that browsers play.

The same pictures give the same bytes. Only this file imports PyAV, the extra ``video``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.errors import (
    DataError,
    FileNotWrittenError,
    MissingExtraError,
    ParameterError,
    needs_extra,
)
from gpulr.model.one_vs_all import OneVsAll
from gpulr.output_files import check_folder, path_of, replaced
from gpulr.show.predictions import is_image
from gpulr.validation.parameters import whole_number
from gpulr.words import brief, shown

Progress = Callable[[int, int], object]
Picture = tuple[Image.Image, int]  # and the number of frames that it is shown for

SMALLEST, LARGEST = (320, 180), (3840, 2160)  # legible; what H.264 levels and players take
_BT709 = 1  # in H.264's tables of primaries, transfer characteristics and matrices alike
_LIMITED = 1  # luma from 16 to 235, as players expect
# Nearly all frames repeat the one before: B-frames, more references and a long look ahead make the
# file no smaller (measured), and take a third of the time.
_OPTIONS = {
    "preset": "veryfast",
    "tune": "stillimage",
    "crf": "16",
    "x264-params": "bframes=0:ref=1:rc-lookahead=10:weightp=0",
}
# The same bytes on every run and machine: the number of threads shapes the stream, and the threads
# of slices (PyAV's default) also race for what they share. More would hardly be faster (measured).
_THREADS = 1


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A video that was written.

    Attributes
    ----------
    path : Path
        The file.
    frames, fps : int
        Number of frames, and frames per second.
    size : (int, int)
        Width and height in pixels.
    accuracy : float
        Accuracy of the predictions shown, or of the last iteration; for a multi-label model, the
        share of rows whose labels are all right.
    rows : (n,) int64, or None
        Which rows of X are shown.
    """

    path: Path
    frames: int
    fps: int
    size: tuple[int, int]
    accuracy: float
    rows: npt.NDArray[np.int64] | None = None

    __repr__ = brief

    @property
    def seconds(self) -> float:
        """Length of the video in seconds."""
        return self.frames / self.fps


def shape_of(model: OneVsAll) -> tuple[int, ...]:
    """Return the shape of the images that the model was trained on; else raise DataError."""
    shape = model.image_shape
    if shape is None:
        raise DataError(
            f"This model was trained on {model.data.get('name', 'data')}, rows of "
            f"{model.n_features} numbers without an image shape, and a video of samples shows "
            "images (one of training takes tables). If the rows are images, train with "
            "image_shape=(height, width), or on an .npz file whose X is (n, height, width)."
        )
    if is_image(shape):
        return shape
    raise DataError(
        f"This model was trained on images of shape {shape}; a video shows (height, width) or "
        "(height, width, 3). Train with such an image_shape=."
    )


def require_pyav() -> Any:
    """Return PyAV, with an H.264 encoder in it, or raise MissingExtraError."""
    with needs_extra("video", "Writing videos needs PyAV"):
        import av
        import av.codec
    if "libx264" not in av.codec.codecs_available:
        raise MissingExtraError(
            "This PyAV was built without libx264, which writes H.264. Install the wheel, which has "
            "it: python -m pip install --force-reinstall --only-binary av av"
        )
    return av


def checked(path: Any, size: Any, fps: Any) -> tuple[Path, tuple[int, int], int]:
    """Return path, (width, height) and frames per second of a video that can be written.

    Raises ParameterError where it cannot, MissingExtraError without PyAV.
    """
    require_pyav()
    path = path_of("path", path)
    check_folder(path, f"The video would be {path}", "video.mp4")
    if path.suffix.lower() != ".mp4":
        raise ParameterError(f"The video would be {path}; expected a name that ends in .mp4.")
    least, most = ("×".join(map(str, bound)) for bound in (SMALLEST, LARGEST))
    try:
        width, height = (whole_number("size", side, least=1) for side in size)
    except (TypeError, ValueError):
        width, height = 0, 0
    fits = all(a <= b <= c for a, b, c in zip(SMALLEST, (width, height), LARGEST, strict=True))
    if not fits or width % 2 or height % 2:
        raise ParameterError(
            f"size={shown(size)}; expected even numbers of pixels (width, height), from {least} to "
            f"{most}, such as (1280, 720)."
        )
    fps = whole_number("fps", fps, least=1)
    if fps > 120:
        raise ParameterError(f"fps={shown(fps)}; expected 1 to 120 frames per second.")
    return path, (width, height), fps


def encode(
    path: Path,
    pictures: Iterable[Picture],
    *,
    size: tuple[int, int],
    fps: int,
    total: int,
    progress: Progress | None = None,
) -> None:
    """Write pictures as a video of ``total`` frames, replacing what is at ``path`` when complete.

    ``path``, ``size`` and ``fps`` are as :func:`checked` returns them;
    ``progress`` is called with the number of frames done, and ``total``. Raises FileNotWrittenError
    where it cannot be written; what was there before is untouched.
    """
    av = require_pyav()
    path = Path(os.path.realpath(path))
    try:
        # The index goes to the front, so that a browser can play before it has all.
        faststart = {"movflags": "faststart"}
        with (
            replaced(path) as temporary,
            av.open(str(temporary), "w", format="mp4", options=faststart) as container,
        ):
            stream: Any = container.add_stream("libx264", rate=fps, options=_OPTIONS)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            codec = stream.codec_context
            codec.thread_count, codec.thread_type = _THREADS, "FRAME"
            codec.color_primaries = codec.color_trc = codec.colorspace = _BT709
            codec.color_range = _LIMITED
            done = 0
            for picture, repeats in pictures:
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                for frame.pts in range(done, done + repeats):
                    container.mux(stream.encode(frame))
                done += repeats
                if progress is not None:
                    progress(done, total)
            container.mux(stream.encode())
    except (OSError, av.error.FFmpegError) as error:
        raise FileNotWrittenError(
            path,
            f"the video could not be written: {error.strerror or error}",
            "What was there before is untouched; free some space, or choose another path.",
        ) from error
