"""The hierarchy that callers catch by, and that errors survive a process boundary."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

import gpulr
from gpulr import errors

EXCEPTIONS = {
    "BackendUnavailableError": RuntimeError,
    "DataError": ValueError,
    "DataFileError": ValueError,
    "DataUnavailableError": OSError,
    "DeviceMemoryError": MemoryError,
    "DivergenceError": ArithmeticError,
    "MissingExtraError": ImportError,
    "ModelFileError": errors.DataFileError,
    "ParameterError": ValueError,
}
WARNINGS = ("BackendFallbackWarning", "ConvergenceWarning", "DataFallbackWarning")


@pytest.mark.parametrize(("name", "base"), EXCEPTIONS.items())
def test_exceptions_are_gpulrs_and_the_builtin_that_fits(name, base):
    error = getattr(gpulr, name)
    assert issubclass(error, gpulr.GpulrError)
    assert issubclass(error, base)
    assert not issubclass(error, Warning)


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings_can_be_filtered_together(name):
    assert issubclass(getattr(gpulr, name), gpulr.GpulrWarning)
    assert issubclass(gpulr.GpulrWarning, UserWarning)


def test_an_interrupted_training_is_no_exception_that_a_loop_would_swallow():
    assert issubclass(gpulr.TrainingInterrupted, KeyboardInterrupt)
    assert not issubclass(gpulr.TrainingInterrupted, Exception)


def test_all_of_them_are_public():
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    assert defined <= set(gpulr.__all__)


@pytest.mark.parametrize("cls", [gpulr.DataFileError, gpulr.ModelFileError])
def test_file_errors_say_what_was_found_and_what_to_do(cls):
    error = cls("folder/file", "found this", "Do that.")
    assert str(error) == f"{Path('folder/file')}: found this. Do that."
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (cls, str(error))
    assert (copy.path, copy.found, copy.remedy) == (Path("folder/file"), "found this", "Do that.")


def test_an_interrupted_training_survives_pickling(blobs):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(gpulr.TrainingInterrupted) as caught:
        gpulr.train(*blobs, callbacks=[interrupt])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.model.n_iter == 0


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"TrainingInterrupted"}))
def test_other_errors_survive_pickling(name):
    cls = getattr(errors, name)
    error = cls("a", "b", "c") if issubclass(cls, errors.DataFileError) else cls("message")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (cls, str(error))
