"""The hierarchy that callers catch by, and that errors survive a process boundary."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

import gpulr
from gpulr import errors

BASES = {
    "BackendUnavailableError": RuntimeError,
    "DataError": ValueError,
    "DataFileError": ValueError,
    "DataUnavailableError": OSError,
    "DeviceLostError": RuntimeError,
    "DeviceMemoryError": MemoryError,
    "DivergenceError": ArithmeticError,
    "MissingExtraError": ImportError,
    "ModelFileError": errors.DataFileError,
    "ParameterError": ValueError,
    "WorkersLostError": RuntimeError,
    **dict.fromkeys(
        ("BackendFallbackWarning", "ConvergenceWarning", "DataFallbackWarning"), UserWarning
    ),
}


@pytest.mark.parametrize(("name", "base"), BASES.items())
def test_exceptions_are_gpulrs_and_the_builtin_that_fits(name, base):
    error = getattr(gpulr, name)
    own = gpulr.GpulrWarning if base is UserWarning else gpulr.GpulrError
    assert issubclass(error, own)
    assert issubclass(error, base)
    assert issubclass(error, Warning) == (base is UserWarning)


def test_an_interrupted_training_is_no_exception_that_a_loop_would_swallow():
    assert issubclass(gpulr.TrainingInterrupted, KeyboardInterrupt)
    assert not issubclass(gpulr.TrainingInterrupted, Exception)


def test_all_of_them_are_public():
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    defined = {each.__name__ for each in classes if each.__module__ == errors.__name__}
    assert defined == set(errors.__all__)
    assert defined <= set(gpulr.__all__)


def copied(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    return copy


@pytest.mark.parametrize("cls", [gpulr.DataFileError, gpulr.ModelFileError])
def test_file_errors_say_what_was_found_and_what_to_do(cls):
    error = cls("folder/file", "found this", "Do that.")
    assert str(error) == f"{Path('folder/file')}: found this. Do that."
    copy = copied(error)
    assert (copy.path, copy.found, copy.remedy) == (Path("folder/file"), "found this", "Do that.")


def test_an_interrupted_training_survives_pickling(blobs):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(gpulr.TrainingInterrupted) as caught:
        gpulr.train(*blobs, callbacks=[interrupt])
    assert copied(caught.value).model.n_iter == 0


def test_other_errors_survive_pickling():
    for name in set(errors.__all__) - {"TrainingInterrupted"}:
        cls = getattr(errors, name)
        copied(cls("a", "b", "c") if issubclass(cls, errors.DataFileError) else cls("message"))
