"""scikit-learn's parameters: programs that train its logistic regressions run with ours instead."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.callbacks import ProgressBar, SearchProgressBar

# The parameters of scikit-learn 1.6 and 1.7, and of 1.8 and 1.9, with their defaults.
BEFORE = {"penalty": "l2", "dual": False, "tol": 1e-4, "C": 1.0, "fit_intercept": True}
BEFORE |= {"intercept_scaling": 1, "solver": "lbfgs", "max_iter": 100, "multi_class": "deprecated"}
BEFORE |= {"verbose": 0, "warm_start": False}
BEFORE |= dict.fromkeys(("class_weight", "random_state", "n_jobs", "l1_ratio"))
SINCE = {k: v for k, v in BEFORE.items() if k != "multi_class"}
SINCE |= {"penalty": "deprecated", "l1_ratio": 0.0}
ONLY_ONE = ("C", "warm_start", "l1_ratio")
CV = {"Cs": 10, "cv": None, "refit": True, "intercept_scaling": 1.0}
CV_BEFORE = {k: v for k, v in BEFORE.items() if k not in ONLY_ONE} | CV
CV_BEFORE |= {"scoring": None, "l1_ratios": None}
CV_SINCE = {k: v for k, v in SINCE.items() if k not in ONLY_ONE} | CV
CV_SINCE |= {"scoring": "warn", "l1_ratios": "warn", "use_legacy_attributes": "warn"}


@pytest.fixture
def few(blobs):
    return blobs[0].astype(float), blobs[1]


def estimator(parameters):
    if "Cs" in parameters:
        return OneVsAllLogisticRegressionCV(**{"cv": 3} | parameters)
    return OneVsAllLogisticRegression(**parameters)


@pytest.mark.parametrize(
    ("ours", "theirs", "known"),
    [
        (OneVsAllLogisticRegression, LogisticRegression, (BEFORE, SINCE)),
        (OneVsAllLogisticRegressionCV, LogisticRegressionCV, (CV_BEFORE, CV_SINCE)),
    ],
)
def test_every_parameter_has_its_name_and_its_default_trains(ours, theirs, known, few):
    installed = {name: p.default for name, p in inspect.signature(theirs).parameters.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = ours().fit(*few)
        for parameters in (*known, installed):
            model = ours(**parameters | {"max_iter": 2000}).fit(*few)
            np.testing.assert_array_equal(model.coef_, reference.coef_)
            assert clone(model).get_params() == model.get_params()
    assert installed in known or set(installed) <= set(known[0]) | set(known[1])


@pytest.mark.parametrize(
    "parameters",
    [
        {"penalty": "l2"},
        {"penalty": "deprecated"},
        {"l1_ratio": None},
        {"l1_ratio": 0},
        {"dual": np.False_},
        {"intercept_scaling": 10.0},
        {"n_jobs": -1},
        pytest.param({"random_state": np.random.RandomState(0)}, id="random_state"),
        *({"multi_class": value} for value in ("ovr", "auto", "deprecated")),
        {"Cs": [0.1, 1.0], "l1_ratios": [0, 0.0]},
        {"Cs": [0.1, 1.0], "l1_ratios": np.zeros(1)},
        {"Cs": [0.1, 1.0], "l1_ratios": None},
        {"Cs": [0.1, 1.0], "use_legacy_attributes": True},
        {"Cs": [0.1, 1.0], "scoring": None},
    ],
    ids=str,
)
def test_what_changes_nothing_is_silent(few, parameters):
    given = {name: parameters[name] for name in parameters if name == "Cs"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = estimator(parameters).fit(*few)
    np.testing.assert_array_equal(model.coef_, estimator(given).fit(*few).coef_)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *(
            ({"solver": name}, f'solver="{name}".*"lbfgs" trains the models.*same optimum')
            for name in ("newton-cg", "newton-cholesky", "sag", "saga")
        ),
        ({"solver": "liblinear"}, "does not penalise the intercept as liblinear does"),
        ({"solver": "sag", "Cs": [0.1, 1.0]}, 'solver="sag"'),
        ({"penalty": None, "C": 4.0}, "Setting penalty=None will ignore the C"),
        ({"penalty": None, "C": 4.0, "solver": "saga"}, 'will ignore the C.*solver="saga"'),
    ],
    ids=str,
)
def test_what_is_done_otherwise_is_told_once(few, parameters, message):
    X, y = few
    with pytest.warns(gpulr.ParameterWarning, match=message) as caught:
        model = estimator(parameters | {"tol": 1e-2}).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    given = {"Cs": [0.1, 1.0]} if "Cs" in parameters else {"C": model.model_.settings["C"]}
    np.testing.assert_array_equal(model.coef_, estimator(given | {"tol": 1e-2}).fit(X, y).coef_)
    assert model.model_.settings["solver"] == "lbfgs"
    assert model.get_params()["solver"] == parameters.get("solver", "lbfgs")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"penalty": "l1"}, r"'l1'; models have an L2 penalty, or none at all with C=np.inf"),
        ({"penalty": "elasticnet", "l1_ratio": 0.5}, "L2 penalty"),
        ({"penalty": "none"}, "penalty='none'"),
        ({"l1_ratio": 0.5}, "l1_ratio=0.5; models have an L2 penalty"),
        ({"l1_ratio": "a"}, "l1_ratio='a'"),
        ({"dual": True}, "dual=True; the primal problem"),
        ({"multi_class": "multinomial"}, "multi_class='multinomial'; models are one-vs-all"),
        ({"multi_class": "ova"}, "multi_class='ova'"),
        ({"solver": "newton"}, "solver='newton'"),
        ({"solver": ["lbfgs"]}, "solver="),
        ({"Cs": [1.0], "l1_ratios": [0.0, 0.5]}, "l1_ratios="),
        ({"Cs": [1.0], "penalty": None}, r"no C to choose.*C=np\.inf"),
        ({"Cs": [1.0], "solver": "gd"}, 'a search trains with "lbfgs"'),
        ({"Cs": [1.0], "learning_rate": 0.1}, "learning_rate=0.1 has no use"),
        ({"Cs": 0}, "Cs=0"),
        ({"Cs": True}, "Cs=True"),
        ({"Cs": [1.0], "refit": None}, "refit=None"),
        ({"learning_rate": 0.1}, "learning_rate=0.1 has no use"),
        ({"standardize": "yes"}, "standardize='yes'"),
        ({"batched": None}, "batched=None"),
        ({"callbacks": [1]}, "callbacks="),
        ({"callbacks": print}, "callbacks="),
        ({"image_shape": (3, 3)}, "image_shape="),
        ({"C": -1}, "C=-1"),
        ({"solver": "adam"}, "solver='adam'"),
        ({"tol": "small"}, "tol='small'"),
        ({"max_iter": 1.5}, "max_iter=1.5"),
        ({"class_weight": {7: 1.0}}, "class_weight names"),
        ({"fit_intercept": None}, "fit_intercept=None"),
        ({"backend": "abacus"}, "backend='abacus'"),
        ({"dtype": "int8"}, "dtype='int8'"),
    ],
    ids=str,
)
def test_what_asks_for_another_model_or_for_none_is_refused(few, parameters, message):
    model = estimator(parameters)
    with pytest.raises(gpulr.ParameterError, match=message):
        model.fit(*few)
    with pytest.raises(NotFittedError):
        model.predict(few[0])


def test_the_penalty_may_stand_first():
    assert OneVsAllLogisticRegression("l1").get_params()["penalty"] == "l1"


def test_no_penalty(few):
    X, y = few
    settings = {"tol": 1e-8, "max_iter": 5000}
    none = OneVsAllLogisticRegression(penalty=None, **settings).fit(X, y)
    infinite = OneVsAllLogisticRegression(C=np.inf, **settings).fit(X, y)
    np.testing.assert_array_equal(none.coef_, infinite.coef_)
    assert none.model_.settings["C"] == np.inf
    none.coef_ = none.coef_ / 2
    assert none.model_.settings["C"] == np.inf


def test_a_search_and_replace_is_enough(few):
    """The program is the same twice, but for two names and a prefix."""
    X, y = few
    program = """
inner = LogisticRegression(penalty="l2", C=1.0, solver="newton-cholesky", n_jobs=None,
                           random_state=0, max_iter=1000, tol=1e-8)
pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(inner))
grid = {"onevsrestclassifier__estimator__C": [0.01, 1.0]}
found = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
"""
    names = {**globals(), "make_pipeline": make_pipeline, "StandardScaler": StandardScaler}
    names |= {"GridSearchCV": GridSearchCV, "X": X, "y": y}
    theirs = dict(names)
    replaced = program.replace("OneVsRestClassifier(inner)", "inner")
    replaced = replaced.replace("LogisticRegression(", "OneVsAllLogisticRegression(")
    replaced = replaced.replace("onevsrestclassifier__estimator", "onevsalllogisticregression")
    ours = dict(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        exec(program, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.ParameterWarning)
        exec(replaced, ours)
    ours, theirs = ours["found"], theirs["found"]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert list(ours.best_params_.values()) == list(theirs.best_params_.values())
    # And inside OneVsRestClassifier, where a program keeps it.
    one = OneVsAllLogisticRegression(tol=1e-8)
    outside = OneVsRestClassifier(one).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(outside, one.fit(X, y).predict_proba(X), atol=1e-5)


# ---- what train takes ----------------------------------------------------------------------------


def test_the_estimator_takes_what_train_takes(images):
    X, y = images
    seen = []
    settings = {"standardize": True, "batched": False, "image_shape": (8, 4)}
    settings |= {"max_iter": 3, "tol": 0}
    model = OneVsAllLogisticRegression(callbacks=[seen.append], **settings).fit(X, y)
    trained = gpulr.train(X, y, **settings)
    np.testing.assert_array_equal(model.coef_, trained.weights.T)
    assert [progress.models.tolist() for progress in seen[::4]] == [[0], [1], [2]]
    assert model.model_.image_shape == (8, 4)
    assert model.model_.settings["batched"] is False
    slow = {"solver": "gd", "learning_rate": 0.1, "scale": "auto", "max_iter": 3, "tol": 0}
    model = OneVsAllLogisticRegression(dtype="float32", **slow).fit(X, y)
    np.testing.assert_array_equal(model.coef_, gpulr.train(X, y, **slow).weights.T)
    of_a_call = {"X", "y", "sample_weight", "start", "checkpoint", "checkpoint_every"}
    named = set(inspect.signature(gpulr.train).parameters) - of_a_call
    for kind in (OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV):
        assert named - {"C"} <= set(kind().get_params())


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
def test_the_cv_estimator_takes_what_search_takes(images):
    X, y = images
    seen = []
    settings = {"Cs": [0.1, 1.0], "cv": 3, "standardize": True, "image_shape": (8, 4)}
    settings["max_iter"] = 20
    model = OneVsAllLogisticRegressionCV(callbacks=[seen.append], **settings).fit(X, y)
    found = gpulr.search(X, y, **settings)
    np.testing.assert_array_equal(model.scores_, found.scores)
    np.testing.assert_array_equal(model.coef_, found.model.weights.T)
    assert seen[-1].done == 18
    assert model.model_.image_shape == (8, 4)
    apart = clone(model).set_params(batched=False, callbacks=()).fit(X, y)
    np.testing.assert_allclose(apart.scores_, model.scores_, atol=0.01)


@pytest.mark.parametrize("bar", [ProgressBar, SearchProgressBar])
def test_progress_bars_go_with_a_clone(few, bar):
    cv = {"Cs": [0.1, 1.0], "cv": 3} if bar is SearchProgressBar else {}
    model = estimator({"callbacks": [bar()], **cv}).fit(*few)
    again = clone(model).fit(*few)
    assert isinstance(again.callbacks[0], bar)
    assert again.callbacks[0] is not model.callbacks[0]


# ---- the CV estimator ----------------------------------------------------------------------------


def test_one_value_of_C(few):
    """Where the values begin that more of them stand for, as in scikit-learn."""
    model = OneVsAllLogisticRegressionCV(Cs=1, cv=3).fit(*few)
    assert model.Cs_.tolist() == [1e-4]
    assert model.C_ == 1e-4


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_without_a_refit_the_model_is_the_mean_of_the_folds(
    few, n_classes, fit_intercept, standardize
):
    X, y = few
    X, y = X[y < n_classes], y[y < n_classes]
    Cs = [0.001, 0.1, 10.0]
    settings = {"Cs": Cs, "cv": 3, "tol": 1e-7, "fit_intercept": fit_intercept}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = OneVsAllLogisticRegressionCV(refit=False, standardize=standardize, **settings)
        model.fit(X, y)
    n_models = 1 if n_classes == 2 else 3
    assert model.coefs_paths_.shape == (3, 3, n_models, 4 + fit_intercept)
    best = model.scores_.argmax(axis=1)
    assert np.mean(np.array(Cs)[best]) == model.C_
    mean = np.mean([model.coefs_paths_[f, c] for f, c in enumerate(best)], axis=0)
    np.testing.assert_allclose(model.coef_, mean[:, :4], atol=1e-9)
    if fit_intercept:
        np.testing.assert_allclose(model.intercept_, mean[:, -1], atol=1e-9)
    elif not standardize:
        assert not model.intercept_.any()
    assert model.n_iter_.tolist() == [model.search_.n_iter.max()]
    assert model.score(X, y) > 0.5
    assert not model.model_.converged
    if n_classes == 2 and not standardize:
        theirs = LogisticRegressionCV(
            refit=False, scoring="accuracy", solver="newton-cholesky", **settings
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.fit(X, y)
        np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-4)
        np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=1e-4)
        assert pytest.approx(model.C_) == theirs.C_


@pytest.mark.parametrize("standardize", [True, False])
def test_the_path_of_coefficients(few, standardize):
    X, y = few
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    settings = {"tol": 1e-9, "scale": 0.5, "standardize": standardize}
    settings["scale"] = None if standardize else 0.5
    model = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=folds, **settings).fit(X, y)
    for f, (train, _) in enumerate(folds):
        if standardize:  # by the mean and deviation of all rows
            continue
        for c, C in enumerate(model.Cs_):
            one = OneVsAllLogisticRegression(C=C, **settings).fit(X[train], y[train])
            np.testing.assert_allclose(model.coefs_paths_[f, c, :, :4], one.coef_, atol=1e-6)
            np.testing.assert_allclose(model.coefs_paths_[f, c, :, 4], one.intercept_, atol=1e-6)
    margins = X @ model.coefs_paths_[0, 1, :, :4].T + model.coefs_paths_[0, 1, :, 4]
    right = margins[folds[0][1]].argmax(axis=1) == y[folds[0][1]]
    assert right.mean() == model.scores_[0, 1]


def test_the_mean_is_a_way_to_refit_a_search(few):
    found = gpulr.search(*few, Cs=[0.1, 1.0], cv=3, refit="mean", scale=None, dtype="float64")
    model = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3, refit=False).fit(*few)
    np.testing.assert_array_equal(found.model.weights, model.coef_.T)
    with pytest.raises(gpulr.ParameterError, match='refit=\'median\'; use True, "1se", "mean"'):
        gpulr.search(*few, refit="median")


# ---- groups --------------------------------------------------------------------------------------


def test_groups_reach_the_splitter(few):
    X, y = few
    groups = np.arange(90) % 4
    cv = GroupKFold(4)
    model = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=cv).fit(X, y, groups=groups)
    pairs = list(cv.split(X, y, groups))
    expected = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=pairs).fit(X, y)
    np.testing.assert_array_equal(model.scores_, expected.scores_)
    with pytest.raises(gpulr.ParameterError, match="groups"):
        OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=cv).fit(X, y)


def test_groups_are_routed(few):
    X, y = few
    groups, s = np.arange(90) % 4, np.linspace(0.5, 1.5, 90)
    cv = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=GroupKFold(4))
    expected = clone(cv).fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        np.testing.assert_array_equal(clone(cv).fit(X, y, groups=groups).scores_, expected.scores_)
        pipeline = make_pipeline(clone(cv))
        pipeline.fit(X, y, groups=groups)  # GroupKFold asks for them
        np.testing.assert_array_equal(pipeline[-1].scores_, expected.scores_)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            pipeline.fit(X, y, groups=groups, sample_weight=s)
        asks = clone(cv).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weighed = make_pipeline(asks).fit(X, y, groups=groups, sample_weight=s)
        alone = clone(cv).fit(X, y, s, groups=groups)
        np.testing.assert_array_equal(weighed[-1].coef_, alone.coef_)
        params = {"groups": np.arange(90) % 10, "sample_weight": s}
        found = cross_validate(asks, X, y, cv=GroupKFold(2), params=params, error_score="raise")
        assert len(found["test_score"]) == 2
        plain = make_pipeline(OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3))
        with pytest.raises(TypeError, match="groups"):  # nobody asks for them
            plain.fit(X, y, groups=groups)
