"""How things look on a terminal: marks and colours, or their plain forms."""

from __future__ import annotations

import os
from typing import NamedTuple, TextIO

from ehlo.report.text import shorten

_RESET = "\x1b[0m"


class Style(NamedTuple):
    """`colour`: escape sequences may be used. `unicode`: ✓ and … can be shown. `width`: in columns. `whole`: no line
    is cut to that width, since no terminal would break it and nobody asked for one."""

    colour: bool
    unicode: bool
    width: int
    whole: bool = False

    def paint(self, text: str, sgr: str) -> str:
        """`text` in a colour or weight, given as SGR parameters."""
        return f"\x1b[{sgr}m{text}{_RESET}" if self.colour and text else text

    def good(self, text: str) -> str:
        """For what went well."""
        return self.paint(text, "32")

    def bad(self, text: str) -> str:
        """For what went wrong."""
        return self.paint(text, "31")

    def warn(self, text: str) -> str:
        """For what deserves a look."""
        return self.paint(text, "33")

    def dim(self, text: str) -> str:
        """For what stays in the background."""
        return self.paint(text, "2")

    def bold(self, text: str) -> str:
        """For what is read first."""
        return self.paint(text, "1")

    @property
    def ellipsis(self) -> str:
        """What stands for something left out."""
        return "…" if self.unicode else "..."

    def mark(self, outcome: str) -> str:
        """The sign of an outcome, in its colour."""
        if outcome == "ok":
            return self.good("✓" if self.unicode else "+")
        if outcome == "skipped":
            return self.dim("–" if self.unicode else "-")
        if outcome == "note":
            return self.warn("!")
        return self.bad("✗" if self.unicode else "x")

    def plain(self, text: str) -> str:
        """`text` with typographic characters only where the terminal has them."""
        if self.unicode:
            return text
        for fine, coarse in (
            ("…", "..."),
            ("·", "-"),
            ("–", "-"),
            ("→", "->"),
            ("«", '"'),
            ("»", '"'),
            ("×", "x"),
            ("§", "section "),
        ):
            text = text.replace(fine, coarse)
        return text.encode("ascii", "backslashreplace").decode("ascii")

    def fit(self, text: str, width: int, *, keep: int = 0) -> str:
        """A text that is safe to show, in `width` columns if lines are cut; see `shorten`."""
        shown = self.plain(text)
        return shown if self.whole else shorten(shown, width, keep=keep, ellipsis=self.ellipsis)


#: Wider lines than this are hard to read; narrower terminals than that get broken lines.
_WIDEST, _NARROWEST = 110, 40


def style_of(stream: TextIO, colour: str = "auto") -> Style:
    """The style for a stream. `colour` is auto, always or never; NO_COLOR is obeyed (no-color.org)."""
    terminal = stream.isatty()
    if colour == "auto":
        use = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    else:
        use = colour == "always"
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    columns = max(_NARROWEST, min(terminal_columns(stream), _WIDEST))
    return Style(use, encoding.startswith("utf"), columns, whole=not terminal and not os.environ.get("COLUMNS"))


def terminal_columns(stream: TextIO) -> int:
    """The width of the terminal behind a stream; 80 where there is none. COLUMNS outweighs it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
