"""Kinds of cards, and every kind of layout that is planned for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from gpulr.backend.cuda_kernels import Card
from gpulr.kernels.plan import MOST_FEATURES, STORAGE, WIDTHS, plan

# Name, capability, SMs, bytes of shared memory of a block and of an SM; NVRTC 12 knows the oldest.
P100 = Card("P100", 60, 56, 49_152, 65_536)
V100 = Card("V100", 70, 80, 98_304, 98_304)
T4 = Card("T4", 75, 40, 65_536, 65_536)
A100 = Card("A100", 80, 108, 166_912, 167_936)
A10 = Card("A10", 86, 72, 101_376, 102_400)
RTX_4090 = Card("RTX 4090", 89, 128, 101_376, 102_400)
H100 = Card("H100", 90, 132, 232_448, 233_472)
B200 = Card("B200", 100, 148, 232_448, 233_472)
RTX_5090 = Card("RTX 5090", 120, 170, 101_376, 102_400)
CARDS = (P100, V100, T4, A100, A10, RTX_4090, H100, B200, RTX_5090)

Lay = Callable[..., Any]  # as plan is: a plan has ``features`` and ``tile``, or others as ignored


def kinds(card: Card, lay: Lay = plan, ignored: tuple[str, ...] = ("features", "tile")) -> Any:
    """Return all layouts of a card, from few features on, by what they are but for the ignored."""
    found: dict[Any, list[Any]] = {}
    for storage, centered in product(sorted({*STORAGE.values()}), (False, True)):
        if centered and storage == 8:  # the weights absorb it
            continue
        for quads, models in product(range(1, MOST_FEATURES // 4 + 1), WIDTHS):
            # Layouts tell no more of the features than how many fours they fill; copies do.
            features = 4 * quads - (quads + models) % 4
            laid = lay(card, storage, features, models, centered=centered)
            if laid is not None:
                found.setdefault(replace(laid, **dict.fromkeys(ignored, 0)), []).append(laid)
    return found


def scarce(laid: Any) -> bool:
    """Whether registers are scarce: most sums, and four warps for each of an SM's schedulers.

    A scheduler has 16,384 registers: three warps have 168 a thread, four 128.
    """
    warps = laid.blocks * (laid.threads // 32)
    return laid.columns * laid.quads == max(WIDTHS) and warps > 12


def some(card: Card, each: int = 1, **options: Any) -> Iterator[Any]:
    """Yield a few layouts of each kind, from the fewest features to the most, or one of these."""
    for i, laid in enumerate(kinds(card, **options).values()):
        for k in range(each):
            # Of one: another place in each kind, that all sorts of features are among them.
            place = k / (each - 1) if each > 1 else i * 0.618 % 1.0
            yield laid[round(place * (len(laid) - 1))]
