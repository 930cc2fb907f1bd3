"""ROC, precision and recall, and calibration: the lines are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    auc,
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

import gpulr
from gpulr import show
from gpulr.errors import DataError, ParameterError
from gpulr.show.curve_lines import Line
from helpers import multiples
from shown import drawn

PICTURES = {"roc": show.roc, "precision": show.precision_recall, "calibration": show.calibration}


def curves(ax):
    return [line for line in ax.lines if line.get_gid() == "curve"]


def references(ax):
    return [line for line in ax.lines if line.get_gid() == "reference"]


def entries(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def same(line, x, y):
    np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-6)
    np.testing.assert_allclose(line.get_ydata(), y, rtol=1e-6)


@pytest.fixture(scope="module")
def weighted(letters):
    """26 classes, and how much each row weighs; some nothing."""
    model, X, y = letters
    return model, X, y, np.random.default_rng(0).integers(0, 3, len(y)).astype(float)


@pytest.mark.parametrize("weigh", [False, True], ids=["even", "weighted"])
def test_ranked_curves_are_those_of_scikit_learn(weighted, weigh):
    model, X, y, w = weighted
    w, Z = w if weigh else None, model.decision_function(X)
    how = {"classes": ["c", "a"], "sample_weight": w}
    roc, steps = show.roc(model, X, y, **how), show.precision_recall(model, X, y, **how)
    for i, j in enumerate((2, 0)):
        true = y == model.classes[j]
        x, up, _ = roc_curve(true, Z[:, j], sample_weight=w)
        same(curves(roc)[i], x, up)
        area = roc_auc_score(true, Z[:, j], sample_weight=w)
        assert entries(roc)[i] == f"{'ca'[i]}   AUC {area:.3f}"
        height, x, _ = precision_recall_curve(true, Z[:, j], sample_weight=w)
        same(curves(steps)[i], x, height)
        assert curves(steps)[i].get_drawstyle() == "steps-post"
        mean = average_precision_score(true, Z[:, j], sample_weight=w)
        assert entries(steps)[i] == f"{'ca'[i]}   AP {mean:.3f}"
        level = references(steps)[i].get_ydata()
        assert level == pytest.approx([np.average(true, weights=w)] * 2)
    assert [len(references(ax)) for ax in (roc, steps)] == [1, 2]
    assert "ROC curve, 2 of 26 models (260 rows)" in drawn(roc)
    assert "Precision and recall, 2 of 26 models (260 rows)" in drawn(steps)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_is_that_of_scikit_learn(blobs, strategy):
    X, y = blobs
    model = gpulr.train(X, y == 1, dtype="float64")
    P, true = model.predict_proba(X)[:, -1], y == 1
    ax = show.calibration(model, X, true, n_bins=4, strategy=strategy)
    share, mean = calibration_curve(true, P, n_bins=4, strategy=strategy)
    same(curves(ax)[0], mean, share)
    assert entries(ax) == [f"True   Brier {brier_score_loss(true, P):.3f}", "perfectly calibrated"]
    assert "Calibration for True" in ax.get_title(loc="left")
    drawn(ax)
    times = np.arange(len(y)) % 3  # a row that counts twice is as good as two
    twice = np.repeat(np.arange(len(y)), times)
    how = {"n_bins": 4}
    ax = show.calibration(model, X, true, sample_weight=times, **how)
    other = show.calibration(model, X[twice], true[twice], **how)
    same(curves(ax)[0], *curves(other)[0].get_data())
    assert entries(ax) == entries(other)


def test_of_many_models_averages_are_drawn(letters):
    model, X, y = letters
    Z, true = model.decision_function(X), y[:, np.newaxis] == model.classes
    roc = show.roc(model, X, y)
    micro, macro = curves(roc)
    x, up, _ = roc_curve(true.ravel(), Z.ravel())
    assert (np.diff(micro.get_data()) >= 0).all()
    np.testing.assert_allclose(np.trapezoid(micro.get_ydata(), micro.get_xdata()), auc(x, up))
    each = [roc_curve(true[:, j], Z[:, j])[:2] for j in range(26)]
    heights = np.mean([np.interp(macro.get_xdata()[1:], *one) for one in each], axis=0)
    np.testing.assert_allclose(macro.get_ydata()[1:], heights)
    area = roc_auc_score(true, Z, average="macro")
    assert entries(roc)[1] == f"macro average   AUC {area:.3f}"
    assert roc.get_title(loc="left") == "ROC curve, 26 models together (260 rows)"
    ax = show.precision_recall(model, X, y)
    for line, average in zip(curves(ax), ("micro", "macro"), strict=True):
        mean = average_precision_score(true, Z, average=average)
        assert entries(ax)[line is not curves(ax)[0]] == f"{average} average   AP {mean:.3f}"
        x, height = line.get_data()
        assert -np.diff(x) @ height[:-1] == pytest.approx(mean, abs=2e-3)  # below the steps
    least = precision_recall_curve(true[:, 0], Z[:, 0])[0][0]
    assert references(ax)[1].get_ydata()[0] == pytest.approx(least)  # 1 of 26
    (line,) = curves(show.calibration(model, X, y))
    P = model.predict_proba(X)
    same(line, *calibration_curve(true.ravel(), P.ravel(), n_bins=5)[::-1])


@pytest.mark.parametrize("name", PICTURES)
def test_each_model_has_a_panel_where_that_is_asked_for(ten, letters, digits, name):
    _, _, X, y = digits
    ax, together = (PICTURES[name](ten, X, y, per_model=each) for each in (True, False))
    assert len({line.get_color() for line in curves(together)}) == 10
    for panel, line, entry in zip(ax.child_axes, curves(together), entries(together), strict=False):
        (own,) = curves(panel)
        same(own, *line.get_data())
        assert panel.get_title() == entry
        assert len(panel.lines) == 11  # with those of the others, and the reference
    assert len(ax.child_axes) == 10
    assert ax.get_xlabel() == together.get_xlabel()
    drawn(ax)
    many = PICTURES[name](*letters, per_model=True)
    assert len(many.child_axes) == 12
    assert "12 of 26 models" in many.get_title(loc="left")


@pytest.mark.parametrize("name", PICTURES)
def test_labels_that_are_unknown_count_for_nothing(digits, name):
    X, y, X_test, y_test = digits
    model, truth = gpulr.train(X, multiples(y)), multiples(y_test).astype(float)
    truth[::3, 1] = np.nan
    known = np.arange(len(truth)) % 3 > 0
    ax = PICTURES[name](model, X_test, truth)
    fewer = PICTURES[name](model, X_test[known], np.nan_to_num(truth)[known], classes=[1])
    same(curves(ax)[1], *curves(fewer)[0].get_data())
    assert len(curves(ax)) == 3


def test_models_are_compared_on_the_same_axes(ten, digits):
    X, y, X_test, y_test = digits
    given = Figure().subplots()
    weaker = gpulr.train(X[:50], y[:50])
    for model, name in ((ten, "$all$"), (weaker, "_50")):
        ax = show.roc(model, X_test, y_test, classes=3, name=name, ax=given)
    assert ax is given
    assert [entry.split("   ")[0] for entry in entries(ax)] == ["$all$: 3", "_50: 3", "chance"]
    assert len({line.get_color() for line in curves(ax)}) == 2
    assert len(references(ax)) == 1
    drawn(ax)


def test_what_scikit_learn_takes(blobs):
    X, y = blobs
    model = gpulr.train(X, y)
    dashed = {"lw": 3, "c": "red", "label": "ours"}
    how = {"curve_kwargs": dashed, "despine": False}
    bare = {**how, "plot_chance_level": False}
    for ax in (show.roc(model, X, y, **bare), show.precision_recall(model, X, y, **bare)):
        assert references(ax) == []
        assert {(line.get_linewidth(), line.get_color()) for line in curves(ax)} == {(3, "red")}
        assert set(entries(ax)) == {"ours"}
        assert ax.spines["top"].get_visible()
    assert references(show.calibration(model, X, y, ref_line=False, **how)) == []
    ax = show.roc(model, X, y, drop_intermediate=False, chance_level_kw={"c": "red"})
    assert references(ax)[0].get_color() == "red"
    true = y == model.classes[0]
    x, up, _ = roc_curve(true, model.decision_function(X)[:, 0], drop_intermediate=False)
    same(curves(ax)[0], x, up)


def test_classes_that_are_shortened_to_the_same_name_have_a_curve_each(blobs):
    X, y = blobs
    long = np.array([f"{'a' * 12} {each} {'b' * 12}" for each in y])
    ax = show.roc(gpulr.train(X, long), X, long)
    assert len(curves(ax)) == len(np.unique(y))


def test_a_dataset_brings_its_own_labels(ten):
    data = gpulr.datasets.load_digits()
    rows = (data.X, data.y) if data.X_test is None else (data.X_test, data.y_test)
    same(curves(show.roc(ten, data))[0], *curves(show.roc(ten, *rows))[0].get_data())


def test_a_class_without_rows_has_no_curve(ten, digits):
    _, _, X, y = digits
    some = y != 4
    for draw in (show.roc, show.precision_recall):
        ax = draw(ten, X[some], y[some])
        assert entries(ax)[4] == "4   no curve"
        assert len(curves(ax)[4].get_xdata()) == 0
        drawn(ax)
        assert (
            draw(ten, X[some], y[some], per_model=True)
            .child_axes[4]
            .get_title()
            .endswith("no curve")
        )
        with pytest.raises(DataError, match="no curve to draw"):
            draw(ten, X[some], y[some], classes=[4])
    assert Line.none(0.5).share == 0.5


@pytest.mark.parametrize("name", PICTURES)
def test_what_cannot_be_drawn(ten, digits, name):
    draw, (_, _, X, y) = PICTURES[name], digits
    with pytest.raises(ParameterError, match=r"classes=\[3, 12\]; expected some .* 0, 1, 2"):
        draw(ten, X, y, classes=[3, 12])
    with pytest.raises(ParameterError, match=r"classes=\[\]"):
        draw(ten, X, y, classes=[])
    with pytest.raises(ParameterError, match="type ndarray; expected a trained model"):
        draw(np.eye(2), X, y)
    with pytest.raises(DataError, match="no y to compare"):
        draw(ten, X)
    with pytest.raises(DataError, match="all have weight 0"):
        draw(ten, X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ParameterError, match="ax is of type list"):
        draw(ten, X, y, ax=[1])


def test_bins_that_cannot_be(ten, digits):
    with pytest.raises(ParameterError, match=r"strategy='quantiles' \(did you mean quantile\?\)"):
        show.calibration(ten, *digits[2:], strategy="quantiles")
    with pytest.raises(ParameterError, match="n_bins=0; expected a whole number"):
        show.calibration(ten, *digits[2:], n_bins=0)


@pytest.mark.parametrize("name", PICTURES)
def test_either_of_two_classes_may_be_the_positive_one(blobs, name):
    X, y = blobs
    labels = np.array(["no", "yes"])[(y == 1).astype(int)]
    model, other = gpulr.train(X, labels), gpulr.train(X, np.where(labels == "no", "~", labels))
    draw = PICTURES[name]
    ax = draw(model, X, labels, pos_label="no")
    of_no = draw(other, X, np.where(labels == "no", "~", labels))
    assert "no" in ax.get_title(loc="left")
    for a, b in zip(curves(ax)[0].get_data(), curves(of_no)[0].get_data(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    same(curves(draw(model, X, labels, classes=["no"]))[0], *curves(ax)[0].get_data())
    same(
        curves(draw(model, X, labels))[0],
        *curves(draw(model, X, labels, pos_label="yes"))[0].get_data(),
    )
    with pytest.raises(ParameterError, match="pos_label, or classes"):
        draw(model, X, labels, pos_label="no", classes=["no"])
    with pytest.raises(ParameterError, match="classes="):
        draw(model, X, labels, pos_label="maybe")
