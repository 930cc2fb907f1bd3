"""PyTorch's tensors beside NumPy's arrays over the same bytes: ``python -m bench tensors``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import gpulr
from bench.run import Patience, blas, quartiles, race, take_turn
from gpulr.backend import to_host

AT_MOST = 1.05  # times NumPy's own, at most
# Rows, features, classes: large, a search's, and what takes milliseconds.
SIZES = {"embeddings": (20_000, 256, 20), "small": (500, 20, 3)}


def tensors(*, rounds: int = 7, size: float = 1.0, patience: float = 120.0) -> dict[str, Any]:
    """Training, prediction and a search on CPU tensors and on NumPy's arrays of the same memory.

    Results should be the same bits; the last column of the JSON says whether they are.
    """
    import torch

    rng, left, results = np.random.default_rng(0), Patience(patience), []
    for name, (n, n_features, n_classes) in SIZES.items():
        y = np.arange(max(60, int(n * size))) % n_classes
        X = rng.normal(size=(len(y), n_features)) + np.eye(n_classes, n_features)[y]
        for dtype in ("float32", "float16", "uint8"):
            rows = (32 * X + 128).clip(0, 255) if dtype == "uint8" else X
            kinds = {"numpy": rows.astype(dtype)}
            kinds["torch"] = torch.from_numpy(kinds["numpy"])
            model = gpulr.train(kinds["numpy"], y)
            for task, run in {
                "train": lambda rows, y=y: gpulr.train(rows, y).weights,
                "predict_proba": model.predict_proba,
                "search": lambda rows, y=y: gpulr.search(rows, y, Cs=[0.1, 1.0], cv=3).scores,
            }.items():
                runs: dict[str, Callable[[], Any]] = {
                    who: partial(run, kind) for who, kind in kinds.items()
                }
                same = np.array_equal(*(to_host(run()) for run in runs.values()))
                turns = race(runs, rounds, partial(take_turn, patience=left))
                taken = {who: [turn.seconds for turn in turns[who]] for who in runs}
                shape = f"{len(y):,} × {n_features} {dtype}, {n_classes} models"
                results.append(
                    {
                        "what": f"{task}, {name}: {shape}",
                        "label": "NumPy's array",
                        "ours_seconds": quartiles(taken["torch"]),
                        "base_seconds": quartiles(taken["numpy"]),
                        "ratio": quartiles(np.divide(taken["torch"], taken["numpy"])),
                        "at_most": AT_MOST,
                        "same_bits": bool(same),
                    }
                )
    return {"blas_after": blas(), "results": results}
