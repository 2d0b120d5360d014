"""Replies: what a server says (RFC 5321 §4.2), and enhanced status codes (RFC 3463).

The reader is tolerant and records each deviation it forgave; the writer is strict.
A reply's text is kept as `str`; octets that are not UTF-8 survive as surrogates (PEP 383),
so that `Reply.encode` gives back the very bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ehlo.smtp.deviations import Deviation, LocalProtocolError, RemoteProtocolError

#: RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, CRLF included.
REPLY_LINE_LIMIT = 512
#: What of these is left for the text, beside the code, the character behind it and CRLF.
REPLY_TEXT_LIMIT = REPLY_LINE_LIMIT - 6
#: Bounds memory when a server sends a line without end. Sixteen times what the RFC allows
#: leaves room for every server seen that is merely talkative.
MAX_REPLY_LINE = 8192
#: Bounds memory when a server's multi-line reply never ends.
MAX_REPLY_LINES = 512
MAX_REPLY_SIZE = 65536

#: RFC 5321 §4.2: 2 to 5, then 0 to 5, then any digit.
_CODES = frozenset(code for code in range(200, 560) if code // 10 % 10 <= 5)

_STRICT_LINE = re.compile(rb"([2-5][0-5][0-9])(?:\r\n|([ -])([\t\x20-\x7e]*)\r\n)")
_TOLERANT_LINE = re.compile(r"([0-9]{3})(?![0-9])(.?)(.*)", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?= |$)")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class EnhancedStatus(NamedTuple):
    """An enhanced status code: class, subject and detail (RFC 3463 §2)."""

    category: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.category}.{self.subject}.{self.detail}"

    @property
    def generic(self) -> str:
        """The registry's spelling, without the class: "X.1.1"."""
        return f"X.{self.subject}.{self.detail}"

    @staticmethod
    def parse(text: str) -> EnhancedStatus | None:
        """The enhanced status code at the start of `text`, if there is one (RFC 2034 §4)."""
        found = _ENHANCED.match(text)
        return EnhancedStatus(int(found[1]), int(found[2]), int(found[3])) if found else None


class Reply(NamedTuple):
    """A whole reply.

    `lines` has the text of each line, without code, separator and CRLF, but with the enhanced
    status code where there is one. `deviations` is what the reader forgave, in order.
    """

    code: int
    lines: tuple[str, ...] = ("",)
    deviations: tuple[Deviation, ...] = ()

    @property
    def category(self) -> int:
        """The first digit: 2 done, 3 go on, 4 refused for now, 5 refused for good."""
        return self.code // 100

    @property
    def ok(self) -> bool:
        """Whether the server agrees: 2yz, or 3yz for "go on"."""
        return self.code // 100 in (2, 3)

    @property
    def enhanced(self) -> EnhancedStatus | None:
        """The enhanced status code of the first line that has one."""
        for line in self.lines:
            if status := EnhancedStatus.parse(line):
                return status
        return None

    @property
    def text(self) -> str:
        """The text of all lines in one, without enhanced status codes."""
        return " ".join(part for line in self.lines if (part := without_enhanced(line)))

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}".rstrip()

    def encode(self) -> bytes:
        """The bytes on the wire. Strict: raises `LocalProtocolError` on what may not be sent."""
        code, lines, _ = self
        if len(lines) == 1 and code in _CODES:
            text = lines[0]
            if text.isascii() and text.isprintable() and len(text) <= REPLY_TEXT_LIMIT:
                # Nearly all replies; many of them are like no other.
                return f"{code} {text}\r\n".encode()
        return self._encode_lines()

    @lru_cache(maxsize=256)  # noqa: B019 - it is a value, and servers repeat themselves
    def _encode_lines(self) -> bytes:
        code = self.code
        if code not in _CODES:
            raise LocalProtocolError(f"{code} is not a reply code (RFC 5321 §4.2).")
        if not self.lines:
            raise LocalProtocolError("A reply has at least one line (RFC 5321 §4.2).")
        lines = []
        for text in self.lines:
            if _UNWRITABLE.search(text):
                raise LocalProtocolError("A reply text may not contain control characters.")
            try:
                line = f"{code}-{text}\r\n".encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                raise LocalProtocolError("A reply text may not contain lone surrogates.") from None
            if len(line) > REPLY_LINE_LIMIT:
                raise LocalProtocolError("A reply line has at most 512 octets (RFC 5321 §4.5.3.1.5).")
            lines.append(line)
        lines[-1] = lines[-1].replace(b"-", b" ", 1)
        return b"".join(lines)


class ReplyLine(NamedTuple):
    """One line of a reply: `more` says that the reply goes on after it. No code: `code` is None.

    `alone` is the whole reply that the line makes if no other belongs to it.
    """

    code: int | None
    more: bool
    text: str
    deviations: tuple[Deviation, ...]
    alone: Reply | None = None


def without_enhanced(text: str) -> str:
    """`text` without an enhanced status code at its start."""
    found = _ENHANCED.match(text)
    return text[found.end() :].lstrip(" ") if found else text


@lru_cache(maxsize=512)
def parse_reply_line(line: bytes) -> ReplyLine:
    """Read one line with its ending. Never raises: what is odd is recorded.

    Servers repeat themselves, so the last lines read are remembered.
    """
    if len(line) <= REPLY_LINE_LIMIT and (strict := _STRICT_LINE.fullmatch(line)):
        digits, separator, octets = strict.groups()
        part = ReplyLine(int(digits), separator == b"-", (octets or b"").decode("ascii"), ())
    else:
        part = _parse_tolerantly(line)
    code = part.code
    if code is None:
        return part
    status = EnhancedStatus.parse(part.text) if part.text[1:2] == "." else None
    if status and status.category != code // 100:
        part = part._replace(deviations=(*part.deviations, Deviation.CLASS_DIFFERS))
    return part if part.more else part._replace(alone=Reply(code, (part.text,), part.deviations))


def _parse_tolerantly(line: bytes) -> ReplyLine:
    deviations: list[Deviation] = []
    if len(line) > REPLY_LINE_LIMIT:
        deviations.append(Deviation.LINE_OVER_LIMIT)
    text, ending_deviations = decode_line(line)
    deviations += ending_deviations
    found = _TOLERANT_LINE.match(text)
    if not found:
        return ReplyLine(None, False, text, (*deviations, Deviation.NO_CODE))
    code, separator, rest = int(found[1]), found[2], found[3]
    if code not in _CODES:
        deviations.append(Deviation.CODE_RANGE)
    if separator not in ("", " ", "-"):
        deviations.append(Deviation.SEPARATOR)
        rest = (separator + rest).lstrip("\t")
    return ReplyLine(code, separator == "-", rest, tuple(deviations))


def decode_line(line: bytes) -> tuple[str, list[Deviation]]:
    """A line's text without its ending, and what is wrong with its octets (both directions)."""
    deviations: list[Deviation] = []
    if line.endswith(b"\r\n"):
        body = line[:-2]
    elif line.endswith(b"\n"):
        body = line[:-1]
        deviations.append(Deviation.BARE_LF)
    else:
        # It was cut off: nobody knows how it would have ended.
        body = line
    if b"\r" in body:
        deviations.append(Deviation.BARE_CR)
    if b"\0" in body:
        deviations.append(Deviation.NUL)
    text = body.decode("utf-8", "surrogateescape")
    if not text.isascii():
        invalid = any("\udc80" <= char <= "\udcff" for char in text)
        deviations.append(Deviation.NOT_UTF8 if invalid else Deviation.NOT_ASCII)
    if _CONTROL.search(text):
        deviations.append(Deviation.CONTROL)
    return text, deviations


def fitted(text: str) -> str:
    """As much of a text as a reply line holds, with "?" for what may not stand in it.

    For texts that repeat what somebody else has said, and so may be anything.
    """
    if text.isascii() and text.isprintable() and len(text) <= REPLY_TEXT_LIMIT:
        return text
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown.encode()[:REPLY_TEXT_LIMIT].decode("utf-8", "ignore")


class ReplyReader:
    """Puts lines together to replies, within bounds."""

    __slots__ = ("_code", "_deviations", "_size", "_texts")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._texts: list[str] = []
        self._deviations: list[Deviation] = []
        self._code: int | None = None
        self._size = 0

    @property
    def unfinished(self) -> bool:
        """Whether lines of a reply came whose last line is still missing."""
        return bool(self._texts)

    def feed(self, line: bytes) -> Reply | None:
        """Take one line; the reply when it was its last.

        Raises `RemoteProtocolError` when a reply begins without a code (`NO_CODE`) or grows
        over `MAX_REPLY_LINES` or `MAX_REPLY_SIZE` (`ENDLESS_REPLY`).
        """
        part = parse_reply_line(line)
        if part.alone is not None and not self._texts:
            return part.alone
        if part.code is None:
            # Inside a reply a line without a code can only belong to it; at its start nothing
            # says that this is SMTP at all.
            if not self._texts:
                raise RemoteProtocolError(Deviation.NO_CODE, line)
            part = part._replace(more=True)
        elif self._code is not None and part.code != self._code:
            self._note(Deviation.CODE_CHANGED)
        # RFC 5321 §4.2.1 wants one code throughout; where they differ, the last line decides,
        # as it does for the clients in use.
        self._code = part.code if part.code is not None else self._code
        self._texts.append(part.text)
        self._size += len(line)
        for deviation in part.deviations:
            self._note(deviation)
        if part.more:
            if len(self._texts) >= MAX_REPLY_LINES or self._size > MAX_REPLY_SIZE:
                raise RemoteProtocolError(Deviation.ENDLESS_REPLY, line)
            return None
        reply = Reply(self._code or 0, tuple(self._texts), tuple(self._deviations))
        self._begin()
        return reply

    def _note(self, deviation: Deviation) -> None:
        if deviation not in self._deviations:
            self._deviations.append(deviation)
