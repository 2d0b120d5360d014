"""Message content on the wire: dot-stuffing and its end (RFC 5321 §4.1.1.4, §4.5.2).

Content means the message's own octets: what the client wanted to send and the server will keep.
Both directions work on chunks of any size and keep only a few octets between them.
"""

from __future__ import annotations

import re

_LONE_LF = re.compile(rb"(?<!\r)\n")
_LONE_CR = re.compile(rb"\r(?!\n)")


class DotStuffer:
    """Turns content into what goes over the wire after a 354 reply. With `stuffing` off it finds the end
    alone: for testers who want to see what a server makes of that."""

    __slots__ = ("_stuffing", "_tail")

    def __init__(self, *, stuffing: bool = True) -> None:
        self._stuffing = stuffing
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """The wire form of the next chunk."""
        if not chunk:
            return b""
        # The two octets before this chunk decide whether it begins a line.
        joined = self._tail + chunk
        self._tail = joined[-2:]
        # RFC 5321 §4.5.2: a line that begins with a period gets another one. A line begins
        # after CRLF alone; a dot after a bare LF is left as it is.
        stuffed = self._stuffing and b"\r\n." in joined
        return joined.replace(b"\r\n.", b"\r\n..")[2:] if stuffed else chunk

    def finish(self) -> bytes:
        """The end of the content, with the CRLF before it if the content lacks one."""
        # RFC 5321 §4.1.1.4: the CRLF that ends the last line is the one before the dot.
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class ContentReader:
    """Takes the wire form and yields content. Only CRLF.CRLF ends it (RFC 5321 §4.1.1.4).

    A bare LF is content like any other octet: treating LF.LF as an end is what makes SMTP
    smuggling possible. With `lenient` it is treated so, for those who want to see that.
    """

    __slots__ = ("_carry", "_lenient", "_virtual")

    def __init__(self, *, lenient: bool = False) -> None:
        self._lenient = lenient
        # The content is read as if a CRLF stood before it, which the end of the DATA line is:
        # so a dot on the very first line needs no rule of its own.
        self._carry = b"\r\n"
        self._virtual = 2

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The content in `data`, and what stands behind its end (None while it goes on)."""
        if self._lenient:
            data = _with_crlf(self._carry, data)
        joined = self._carry + data
        end = joined.find(b"\r\n.\r\n")
        if end >= 0:
            # RFC 5321 §4.1.1.4: the CRLF before the dot belongs to the last line.
            return self._content(joined[: end + 2]), joined[end + 5 :]
        split = len(joined) - _possible_end(joined)
        self._carry = joined[split:]
        return self._content(joined[:split]), None

    def _content(self, joined: bytes) -> bytes:
        # RFC 5321 §4.5.2: the first period of a line is deleted, whatever follows it.
        content = joined.replace(b"\r\n.", b"\r\n")
        if self._virtual and content:
            content, self._virtual = content[self._virtual :], 0
        return content


def _with_crlf(before: bytes, data: bytes) -> bytes:
    """`data` with each LF that has no CR before it, in `before` neither, as CRLF."""
    return _LONE_LF.sub(b"\r\n", before + data)[len(before) :]


def _possible_end(data: bytes) -> int:
    """How many octets at the end of `data` could still be the beginning of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if data.endswith(b"\r\n.\r"[:length]):
            return length
    return 0


def to_crlf(content: bytes) -> bytes:
    """`content` with every line ending as CRLF (RFC 5321 §2.3.8 wants clients to send nothing else)."""
    if b"\n" not in content and b"\r" not in content:
        return content
    return _LONE_CR.sub(b"\r\n", _LONE_LF.sub(b"\r\n", content))


def has_bare_line_ending(content: bytes) -> bool:
    """Whether a CR or LF stands alone somewhere in `content`."""
    return _LONE_LF.search(content) is not None or _LONE_CR.search(content) is not None
