"""Charts of benchmarks, of every kind of result file."""

from __future__ import annotations

import json

import pytest

from gpulr import show
from gpulr.errors import DataFileError, ParameterError
from shown import drawn, names_of, widths


def timed(way, median, task="training"):
    seconds = {"median": median, "q1": 0.9 * median, "q3": 1.2 * median}
    about = {"task": task, "way": way, "label": f"{way} $x$", "dtype": "float32"}
    return {**about, "rows": "float32", "X_dtype": "uint8", "seconds": seconds}


def test_times():
    results = [timed("notebook", 2.0), timed("batched", 0.25), timed("batched", 1, task="pass")]
    content = {"kind": "gpulr-interleaved", "results": results}
    ax = show.benchmark(content)
    assert widths(ax.patches) == [2.0, 0.25]
    looks = [(text.get_text(), text.get_fontweight()) for text in ax.texts]
    assert looks == [("2 s", "normal"), ("250 ms", "bold")]
    assert names_of(ax) == ["notebook $x$, float32", "batched $x$, float32"]
    drawn(ax)
    assert widths(show.benchmark(content, task="pass").patches) == [1.0]
    with pytest.raises(ParameterError, match="task='fit'; this result has pass, training"):
        show.benchmark(content, task="fit")


def test_gaps():
    points = [{"seconds": t, "gap": gap} for t, gap in ((2.0, 1e-3), (1.0, 0.1), (3, 0))]
    results = [{"name": "gpulr-lbfgs", "label": "$ours$", "points": points}]
    ax = show.benchmark({"kind": "gpulr-peers", "data": {"data": "MNIST"}, "results": results})
    (line,), (text,) = ax.lines, ax.get_legend().get_texts()
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 2], [0.1, 1e-3])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (text.get_text(), text.get_parse_math()) == ("$ours$", False)


def test_searches(tmp_path):
    ours = {"name": "gpulr", "label": "ours", "seconds": 2.0, "runs": [1.5, 2.5]}
    other = {"name": "sklearn", "label": "theirs", "seconds": 90, "runs": [9]}
    results = [ours | {"extrapolated_from_classes": None}, other | {"extrapolated_from_classes": 3}]
    path = tmp_path / "search.json"
    path.write_text(json.dumps({"kind": "gpulr-search", "results": results}))
    ax = show.benchmark(path)
    assert widths(ax.patches) == [2, 90]
    names = [name.replace("\n", " ") for name in names_of(ax)]
    assert names == ["ours", "theirs (scaled up from 3 classes)"]


def test_what_is_no_benchmark(tmp_path):
    with pytest.raises(ParameterError, match="kind None; expected one of: gpulr-interleaved"):
        show.benchmark({})
    path = tmp_path / "x.json"
    with pytest.raises(DataFileError, match="cannot be read"):
        show.benchmark(path)
    path.write_text("[]")
    with pytest.raises(DataFileError, match="holds no result"):
        show.benchmark(str(path))
