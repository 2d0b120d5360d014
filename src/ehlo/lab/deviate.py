"""Ways to spoil the bytes of a reply, for faults. Each takes a well-formed reply and gives what goes out instead."""

from __future__ import annotations

from collections.abc import Callable

from ehlo.smtp.reply import REPLY_LINE_LIMIT


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\r\n").split(b"\r\n")


def _join(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


def _mixed_codes(data: bytes) -> bytes:
    lines = _lines(data)
    if len(lines) == 1:
        lines.insert(0, b"251-" + lines[0][4:])
    else:
        lines[0] = b"251" + lines[0][3:]
    return _join(lines)


def _endless(data: bytes) -> bytes:
    return _join([line[:3] + b"-" + line[4:] for line in _lines(data)])


def _ends_early(data: bytes) -> bytes:
    first, *rest = _lines(data)
    return _join([first[:3] + b" " + first[4:], *(rest or [first[:3] + b" and one line more"])])


def _over_long(data: bytes) -> bytes:
    first, *rest = _lines(data)
    return _join([first + b" " + b"x" * (2 * REPLY_LINE_LIMIT), *rest])


#: name -> what it makes of a reply. The order is that of the documentation.
MANGLES: dict[str, Callable[[bytes], bytes]] = {
    "bare-lf": lambda data: data.replace(b"\r\n", b"\n"),
    "bare-cr": lambda data: data.replace(b"\r\n", b"\r"),
    "no-ending": lambda data: data.removesuffix(b"\r\n"),
    "no-code": lambda data: _join([line[4:] for line in _lines(data)]),
    "no-text": lambda data: _join([line[:3] for line in _lines(data)]),
    "no-space": lambda data: _join([line[:3] + line[4:] for line in _lines(data)]),
    "mixed-codes": _mixed_codes,
    "endless": _endless,
    "ends-early": _ends_early,
    "over-long": _over_long,
    "blank-line": lambda data: b"\r\n" + data,
    "controls": lambda data: data.replace(b"\r\n", b" \x1b]0;hello\x07\x1b[2J\x08\r\n", 1),
    "8-bit": lambda data: data.replace(b"\r\n", b" \xe9\xff\xc3\xa9\r\n", 1),
    "nul": lambda data: data.replace(b" ", b" \0", 1),
    "garbage": lambda data: bytes((octet * 73 + 41) % 256 for octet in range(len(data))) + b"\r\n",
    "twice": lambda data: data + data,
    "zeros": lambda data: _join([b"000" + line[3:] for line in _lines(data)]),
    "four-digits": lambda data: _join([line[:3] + b"0" + line[3:] for line in _lines(data)]),
}


def mask_keywords(keywords: list[str]) -> list[str]:
    """Keyword lines as some firewalls let them through: what they do not inspect is overwritten."""
    return ["XXXXXXXA" if keyword == "STARTTLS" else keyword for keyword in keywords]


def mask_greeting(data: bytes) -> bytes:
    """A greeting as some firewalls let it through: all but 2, 0 and spaces are stars."""
    line = data.removesuffix(b"\r\n")
    stars = bytes(octet if octet in b"20 " else ord("*") for octet in line[4:])
    return line[:4] + stars + b"\r\n"
