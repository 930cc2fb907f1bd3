"""Charts of benchmarks, of every kind of result file."""

from __future__ import annotations

import json

import pytest

from gpulr import show
from gpulr.errors import DataFileError, ParameterError
from shown import drawn, names_of, widths


def timed(way, median, dtype="float32", task="training"):
    seconds = {"median": median, "q1": 0.9 * median, "q3": 1.2 * median}
    about = {"task": task, "way": way, "label": f"{way} $x$", "dtype": dtype}
    return {**about, "rows": dtype, "X_dtype": "uint8", "seconds": seconds}


def test_a_benchmark_of_times():
    results = [timed("notebook", 2.0), timed("batched", 0.25), timed("batched", 1, task="pass")]
    content = {"kind": "gpulr-interleaved", "results": results}
    ax = show.benchmark(content)
    assert widths(ax.patches) == [2.0, 0.25]
    assert [text.get_text() for text in ax.texts] == ["2 s", "250 ms"]
    assert [text.get_fontweight() for text in ax.texts] == ["normal", "bold"]
    assert names_of(ax) == ["notebook $x$, float32", "batched $x$, float32"]
    drawn(ax)
    assert widths(show.benchmark(content, task="pass").patches) == [1.0]
    with pytest.raises(ParameterError, match="task='fit'; this result has pass, training"):
        show.benchmark(content, task="fit")


def test_a_benchmark_of_gaps():
    points = [{"seconds": 2.0, "gap": 1e-3}, {"seconds": 1.0, "gap": 0.1}, {"seconds": 3, "gap": 0}]
    results = [{"name": "gpulr-lbfgs", "label": "$ours$", "points": points}]
    data = {"data": "MNIST"}
    ax = show.benchmark({"kind": "gpulr-peers", "data": data, "results": results})
    (line,) = ax.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 2], [0.1, 1e-3])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    (text,) = ax.get_legend().get_texts()
    assert (text.get_text(), text.get_parse_math()) == ("$ours$", False)


def test_a_benchmark_of_searches(tmp_path):
    ours = {"name": "gpulr", "label": "ours", "seconds": 2.0, "runs": [1.5, 2.5]}
    other = {"name": "sklearn", "label": "theirs", "seconds": 90, "runs": [9]}
    results = [ours | {"extrapolated_from_classes": None}, other | {"extrapolated_from_classes": 3}]
    path = tmp_path / "search.json"
    path.write_text(json.dumps({"kind": "gpulr-search", "results": results}))
    ax = show.benchmark(path)
    assert widths(ax.patches) == [2, 90]
    assert names_of(ax)[0] == "ours"
    assert names_of(ax)[1].replace("\n", " ") == "theirs (scaled up from 3 classes)"


def test_what_is_no_benchmark(tmp_path):
    with pytest.raises(ParameterError, match="kind None; expected one of: gpulr-interleaved"):
        show.benchmark({})
    path = tmp_path / "x.json"
    with pytest.raises(DataFileError, match="cannot be read"):
        show.benchmark(path)
    path.write_text("[]")
    with pytest.raises(DataFileError, match="holds no result"):
        show.benchmark(str(path))
