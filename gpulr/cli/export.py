"""`gpulr export`."""

from __future__ import annotations

from pathlib import Path

from gpulr.cli import terminal
from gpulr.cli.checks import not_the_model
from gpulr.errors import ParameterError
from gpulr.model.export import save_joblib
from gpulr.model.one_vs_all import load
from gpulr.output_files import check_folder

FORMATS = {
    ".onnx": "for ONNX Runtime and the like",
    ".joblib": "scikit-learn's estimator, pickled",
}


def export(path: Path, *, output: Path, input_dtype: str | None, as_json: bool) -> None:
    """Write a saved model in the format that the suffix of ``output`` names."""
    check_folder(output, f"--output {output}", "model.onnx")
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(f"{name} ({what})" for name, what in FORMATS.items())
        raise ParameterError(f"--output {output}: the suffix names the format; use {known}.")
    if suffix == ".joblib" and input_dtype is not None:
        raise ParameterError(
            f"--input-dtype {input_dtype} is for .onnx; scikit-learn's estimators take any. Leave "
            "it out."
        )
    model = load(path)
    not_the_model(output, path)
    if suffix == ".onnx":
        model.to_onnx(output, input_dtype=input_dtype)
    else:
        save_joblib(model, output)
    size = terminal.say_written(output)
    if as_json:
        terminal.print_json(
            {"model": path, "output": output, "format": suffix.lstrip("."), "bytes": size}
        )
