r"""Octets as people type them: text in UTF-8 with \r \n \t \0 \\ and \xHH."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "e": b"\x1b", "\\": b"\\", " ": b" "}


class EscapeError(ValueError):
    """A backslash before something that it has no meaning for. The message is one sentence."""


def unescape(text: str) -> bytes:
    r"""The octets of a text with escapes. Raises `EscapeError`."""
    octets, end = bytearray(), 0
    for found in _ESCAPE.finditer(text):
        octets += text[end : found.start()].encode("utf-8", "surrogateescape")
        end = found.end()
        octets += _octet(found[1])
    rest = text[end:]
    if rest.endswith("\\"):
        raise EscapeError("A backslash stands at the end; for a backslash write \\\\.")
    return bytes(octets) + rest.encode("utf-8", "surrogateescape")


def _octet(code: str) -> bytes:
    if len(code) == 3:
        return bytes((int(code[1:], 16),))
    if code not in _NAMED:
        raise EscapeError(f"\\{code} has no meaning; there are \\r \\n \\t \\0 \\\\ and \\xHH.")
    return _NAMED[code]
