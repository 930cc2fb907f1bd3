"""Seeds of what is drawn at random, one for each draw, and what a file holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpulr.errors import ParameterError
from gpulr.words import shown

Seeds = Sequence[np.random.SeedSequence]

LARGEST_POOL = 1024  # numbers in a seed's pool; 4, unless somebody wants more


def seeds_of(random_state: Any, n: int) -> list[np.random.SeedSequence]:
    """Return so many seeds, or raise ParameterError."""
    try:
        return np.random.default_rng(random_state).bit_generator.seed_seq.spawn(n)  # type: ignore
    except (TypeError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"random_state={shown(random_state)}; expected a whole number ≥ 0, a NumPy Generator "
            "that was made from a seed, or None."
        ) from error


def check_seeded(random_state: Any, place: Any) -> None:
    """Raise ParameterError where checkpoints are to be kept of draws that are others each time."""
    if random_state is None and place is not None:
        raise ParameterError(
            "random_state=None draws others in each call, so that none can go on from a "
            "checkpoint. Pass a whole number, or no checkpoint."
        )


def stored(seeds: Seeds) -> dict[str, Any]:
    """Return what makes seeds of one origin again: numbers, tuples and lists."""
    first, last = seeds[0], seeds[-1]
    entropy = first.entropy
    return {
        "entropy": entropy if isinstance(entropy, int) else list(map(int, entropy or ())),
        "key": tuple(map(int, first.spawn_key[:-1])),
        "numbers": (int(first.spawn_key[-1]), int(last.spawn_key[-1]) + 1),
        "pool_size": int(first.pool_size),
    }


def restored(made: dict[str, Any], n: int) -> list[np.random.SeedSequence]:
    """Return the ``n`` seeds of which :func:`stored` returned this, or raise ValueError."""
    numbers, how = range(*made["numbers"]), {"pool_size": made["pool_size"]}
    if len(numbers) != n or how["pool_size"] > LARGEST_POOL:
        raise ValueError(f"{numbers} and a pool of {how['pool_size']}, of {n} seeds")
    return [
        np.random.SeedSequence(made["entropy"], spawn_key=(*made["key"], number), **how)
        for number in numbers
    ]


def told(random_state: Any, seeds: Seeds) -> str:
    """Return what a fingerprint says of seeds: nothing, where any will do."""
    if random_state is None or isinstance(random_state, int | np.integer):
        return str(random_state)
    return repr(stored(seeds))
