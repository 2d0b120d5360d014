"""The bar of what takes longer: on a terminal alone, with the share and the time left, and gone at the end."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from ehlo.cli.progress import Progress, bar, time_left


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def clock(step: float) -> Callable[[], float]:
    """A clock that is so much later at each look."""
    now = 0.0

    def look() -> float:
        nonlocal now
        now += step
        return now

    return look


def run(stream: io.StringIO, total: int, step: float, items: int = 10) -> str:
    progress = Progress("mails", total, stream=stream, clock=clock(step))
    assert list(progress.watch(range(items), lambda: 100 * (progress.count - 1))) == list(range(items))
    progress.done()
    assert progress.count == items
    return stream.getvalue()


def test_share_and_time() -> None:
    shown = run(Terminal(), 1000, 1.0).split("\r\x1b[2K")
    # The sixth mail is looked at six seconds after the beginning, when five of ten are done.
    assert "  [===============               ]  50 %, 6 s left: 6 mails" in shown
    assert shown[-1] == "", "it is taken away"


def test_without_a_size_it_counts() -> None:
    shown = run(Terminal(), 0, 1.0)
    assert "  6 mails" in shown
    assert "%" not in shown


def test_what_is_over_quickly_has_no_bar() -> None:
    assert run(Terminal(), 1000, 0.001) == ""


def test_only_a_terminal_has_one() -> None:
    assert run(io.StringIO(), 1000, 1.0) == ""


def test_it_is_not_drawn_at_each_step() -> None:
    assert run(Terminal(), 1000, 0.01, items=200).count("left") <= 10


@pytest.mark.parametrize(
    ("done", "share"), [(0, "  0 %"), (1, "  0 %"), (500, " 50 %"), (1000, "100 %"), (2000, "100 %")]
)
def test_bar(done: int, share: str) -> None:
    assert bar(done, 1000).endswith(share)
    assert len(bar(done, 1000)) == 38


def test_time_left() -> None:
    assert time_left(12.4) == "12 s left"
    assert time_left(300) == "5 min left"
