"""Messages that a transfer can break, and the one world's addresses that tests use most."""

from __future__ import annotations

RECIPIENT, OTHER, SECOND = "recipient@example.com", "other@example.com", "second@example.com"

HEADER = b"Subject: a test\r\nFrom: sender@yourdomain.com\r\nTo: recipient@example.com\r\n\r\n"
SIMPLE = HEADER + b"This is the body of the test email.\r\n"

#: The longest line that RFC 5321 §4.5.3.1.6 allows, CRLF not counted, and one far beyond it.
LONGEST_LINE, LONG_LINE = 998, 5000


def _lines(length: int, size: int) -> bytes:
    line = (b"0123456789 .abcdef" * (length // 18 + 1))[: length - 2] + b"\r\n"
    return line * (size // length)


MESSAGES: dict[str, bytes] = {
    "plain": SIMPLE,
    "dots": HEADER + b".one\r\n..two\r\n...\r\n. \r\n.\r\nno dot\r\n.\r\n..\r\n",
    "dot-first": b".leading\r\n.\r\n",
    "longest-lines": HEADER + (b"x" * LONGEST_LINE + b"\r\n" + b"." * LONGEST_LINE + b"\r\n") * 3,
    "utf-8": HEADER + "Grüße aus Köln – 你好, κόσμε 🙂\r\n".encode() * 3,
    "not-utf-8": HEADER + bytes(range(128, 256)) + b"\r\n",
    "blanks": HEADER + b"blanks at the end  \t\r\n \r\n\t\r\n\r\n\r\n",
    "from-line": HEADER + b"From here on\r\n>From there\r\n",
    "empty": b"",
    "empty-body": HEADER,
    "empty-line": b"\r\n",
    "header-only": b"Subject: nothing follows\r\n",
    "no-final-newline": HEADER + b"the last line has no end",
    "final-dot-without-newline": HEADER + b"a line\r\n.",
    "one-dot": HEADER + b".\r\n",
    "controls": HEADER + b"bell \x07 escape \x1b[31m delete \x7f\r\n",
}

#: As the client must send it: in its own right also with bare LF, which becomes CRLF.
LONG_LINES = HEADER + b"y" * LONG_LINE + b"\r\n." + b"z" * LONG_LINE + b"\r\n"
BARE_LF = SIMPLE.replace(b"\r\n", b"\n")
TEN_MEGABYTES = HEADER + _lines(78, 10_000_000)
TOO_LARGE = HEADER + _lines(78, 10_300_000)


def with_lf(message: bytes) -> bytes:
    """The message as Unix programs keep it."""
    return message.replace(b"\r\n", b"\n")
