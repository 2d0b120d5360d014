"""Interleaved runs, medians, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """A row of the document. `ratio` None: it could not be measured, and `why` says for what reason.

    `target` is a bound on the ratio: at most, or at least (`more` is better).
    """

    id: str
    what: str
    peer: str
    target: float
    more: bool
    ratio: float | None
    why: str = ""
    unit: str = "×"

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.ratio is None:
            return False
        return self.ratio >= self.target if self.more else self.ratio <= self.target


def interleaved(runs: int, contestants: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Run each contestant in turn, `runs` times; the median of what each call gives."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(runs + 1):
        for name, contestant in contestants.items():
            result = contestant()
            # The first round warms caches up.
            if number:
                results[name].append(result)
    return {name: statistics.median(values) for name, values in results.items()}
