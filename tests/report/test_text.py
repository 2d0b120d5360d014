"""Text for a terminal."""

from __future__ import annotations

from ehlo.report.text import wrap


def test_lines_are_broken_between_words_alone() -> None:
    """An option or a host's name is copied from the screen."""
    assert wrap("or say --auth-in-clear there", 18) == ["or say", "--auth-in-clear", "there"]
