"""Text for a terminal: safe, and of a known width.

Rule: bytes from the wire reach a terminal only through `safe`. A hostile banner must not move the
cursor, set the title or turn the line around.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_DIGITS = "0123456789"
#: Characters that print nothing of their own, but change how others are shown: the controls of
#: bidirectional text and other format characters (general categories Cc, Cf, Co, Cs, Zl, Zp).
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def safe(text: str) -> str:
    r"""`text` with everything that is not plainly visible shown as an escape: `\x1b`, `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable() and unicodedata.category(char) not in _UNSAFE_CATEGORIES:
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        # An octet that is not UTF-8 (PEP 383).
        return f"\\x{code - 0xDC00:02x}"
    short = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "\0": "\\0"}.get(char)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def width_of(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(text: str, width: int) -> str:
    """`text` filled up with spaces to `width` columns."""
    return text + " " * max(0, width - width_of(text))


def shorten(text: str, width: int, *, keep: int = 0, ellipsis: str = "…") -> str:
    """`text` in at most `width` columns. What is cut out is in the middle: the first `keep` characters
    and the end stay. Without `keep`, or where there is no room for both, the end goes.

    A broken word tells nothing, so words stay whole unless one is nearly all there is; a broken number tells
    something wrong."""
    if width_of(text) <= width:
        return text
    start = f"{text[:keep].rstrip()} {ellipsis} "
    if not keep or width_of(start) > width * 3 // 4:
        room = width - width_of(ellipsis)
        # A space shows that the word before it is whole.
        return _whole_words(text, room - 1, f" {ellipsis}") or _characters(text, room) + ellipsis
    rest, room = text[keep:][::-1], width - width_of(start)
    return start + (_whole_words(rest, room) or _characters(rest, room))[::-1].lstrip()


def _whole_words(text: str, width: int, after: str = "") -> str:
    """The words of a longer text that fit, and what comes after them; empty where that is less than a third."""
    begin = _head(text, width)
    words = begin if text[len(begin) :].startswith(" ") else begin.rpartition(" ")[0]
    return words.rstrip() + after if len(words) * 3 > len(begin) else ""


def _characters(text: str, width: int) -> str:
    """As many characters of a longer text as fit, but no number's beginning."""
    begin = _head(text, width)
    return begin.rstrip(_DIGITS) if text[len(begin) : len(begin) + 1].isdecimal() else begin


def _head(text: str, width: int) -> str:
    used = 0
    for position, char in enumerate(text):
        used += _columns(char)
        if used > width:
            return text[:position]
    return text


def flow(parts: Iterable[str], width: int) -> list[str]:
    """Parts with commas between them, in lines of at most `width` columns that are broken between parts; one that
    is longer than a line, between its words."""
    lines: list[str] = []
    for part in parts:
        if lines and width_of(lines[-1]) + 2 + width_of(part) < width:
            lines[-1] += f", {part}"
            continue
        if lines:
            lines[-1] += ","
        lines += wrap(part, width - 1)
    return lines


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken between words; at least one line."""
    if width_of(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def duration(seconds: float) -> str:
    """A time span as a person says it."""
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 59.95 else f"{seconds / 60:.1f} min"


def utc_date(seconds: float) -> str:
    """A day, from seconds since 1970."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def size(octets: int) -> str:
    """A number of octets as a person says it."""
    if octets < 1000:
        return f"{octets} octets"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if octets < factor * 999.5:
            return f"{octets / factor:.3g} {unit}"
    return f"{octets / 1e9:,.4g} GB"
