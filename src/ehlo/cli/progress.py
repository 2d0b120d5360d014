"""How far something is that takes longer: a bar on standard error, on a terminal alone, and gone when it is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")

_COLUMNS = 30
#: What is over before is not worth a bar; and more often nobody can read it.
_AFTER, _EVERY = 0.5, 0.2
_CLEAR = "\r\x1b[2K"


def bar(done: int, total: int) -> str:
    """A bar and the share of a whole as a percentage."""
    share = min(done / total, 1.0)
    filled = int(_COLUMNS * share)
    return f"[{'=' * filled}{' ' * (_COLUMNS - filled)}] {int(100 * share):3d} %"


def time_left(seconds: float) -> str:
    """A time to wait, as long as anybody believes it."""
    return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"


class Progress:
    """Counts what passes, and shows the share that is done and the time that is left.

    `what` is counted; `total` says how large the whole is, in octets, 0 where nobody knows: then the count alone is
    shown. Neither is shown of what is over quickly.
    """

    def __init__(
        self, what: str, total: int = 0, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.count = 0
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._shows = self._stream is not None and self._stream.isatty()
        self._began = clock()
        self._due = self._began + _AFTER
        self._drawn = False

    def watch(self, items: Iterable[T], position: Callable[[], int] | None = None) -> Iterator[T]:
        """Count what passes; `position` says how many octets of the whole are done."""
        for item in items:
            self.count += 1
            if self._shows and (now := self._clock()) >= self._due:
                self._draw(now, position() if position is not None and self._total else 0)
            yield item

    def done(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _draw(self, now: float, position: int) -> None:
        self._due = now + _EVERY
        self._drawn = True
        counted = f"{self.count:,} {self._what}"
        if position > 0:
            left = (now - self._began) * max(self._total - position, 0) / position
            counted = f"{bar(position, self._total)}, {time_left(left)}: {counted}"
        self._stream.write(f"{_CLEAR}  {counted}")
        self._stream.flush()
