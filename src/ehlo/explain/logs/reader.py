"""From lines of interest to entries: prefix, product, message, case.

No line raises, and nothing in an entry has control characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from ehlo.explain.case import Case
from ehlo.explain.logs import exchange, exim, opensmtpd, postfix, sendmail
from ehlo.explain.logs.found import Direction, Found
from ehlo.explain.logs.head import Head, take_apart
from ehlo.explain.logs.source import TAIL, Damage, Hit, hits
from ehlo.transcript.redaction import REDACTED

_READERS: dict[str, Callable[[str], Found | None]] = {
    "exim": exim.read,
    "sendmail": sendmail.read,
    "opensmtpd": opensmtpd.read,
}
_NEEDLES = {
    "postfix": postfix.NEEDLES,
    "exim": exim.NEEDLES,
    "sendmail": sendmail.NEEDLES,
    "opensmtpd": opensmtpd.NEEDLES,
    "exchange": exchange.NEEDLES,
}
#: What each line of interest of a product has one of, or many of the lines around it: a large block without any has
#: none of that product's lines, which saves a good part of the search. Postfix is too common, and OpenSMTPD too quick.
_GATES = {
    "exim": (b" H=", b" ** ", b" == ", b"SMTP ", b"authenticator ", b"TLS error on ", b"refused: too"),
    "sendmail": (b"sendmail", b"sm-mta", b"sm-msp", b"mailer=", b"ruleset=", b"Milter: "),
    "exchange": (b",>,", b",<,", b'">","', b'"<","', b",*,", b",FAIL,", b",DEFER,", b",BADMAIL,"),
}
#: Parts of program names, and the product that bears them.
_PROGRAMS = (
    ("postfix", "postfix"),
    ("exim", "exim"),
    ("sendmail", "sendmail"),
    ("sm-mta", "sendmail"),
    ("sm-msp", "sendmail"),
    ("opensmtpd", "opensmtpd"),
    ("/smtpd", "postfix"),
    ("smtpd", "opensmtpd"),
    ("mimedefang", ""),
    ("dovecot", ""),
    ("milter", ""),
    ("amavis", ""),
    ("fail2ban", ""),
)
#: Of a line as much is looked at, and kept.
_MAX_TEXT = 4096


class Entry(NamedTuple):
    """A failure that a log tells of.

    `direction` is "out" where we were the client and a server answered or was lost, "in" where we refused or lost a
    client. `peer` is the other side's name or address; `line` the number and the text.
    """

    when: datetime | None
    host: str
    product: str
    queue: str
    direction: Direction
    case: Case
    line: tuple[int, str]
    peer: str = ""


def read_log(
    stream: BinaryIO | Iterable[bytes], *, today: date | None = None, on_damage: Callable[[Damage], None] | None = None
) -> Iterator[Entry]:
    """The failures in a log, which may be packed (gzip, bzip2, xz). Lines without a failure give nothing.

    `stream` is a file, or lines. Times without a year are taken for the last such day up to `today`. What a packed log
    lacks is told to `on_damage`, when all that could be unpacked has been read.
    """
    today = today or date.today()
    found = hits(stream, _NEEDLES, _GATES, on_damage)
    return _once(entry for hit in found if (entry := _entry(hit, today)) is not None)


#: As many attempts wait for the line that says what came of them, and as many messages are remembered as put off.
_WAITING = 200
#: The errors of a handshake that failed, on either side.
_HANDSHAKES = frozenset({"tls-failed", "client-tls-failed", "next-certificate"})


def _once(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Each failure once, where servers write it twice."""
    return _attempts_once(_handshakes_once(_waits_once(entries)))


def _waits_once(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Exim repeats at each run of its queue that the time to try a message again has not come."""
    known: dict[tuple[str, str], None] = {}
    for entry in entries:
        if entry.product == "exim" and entry.case.text.lower().startswith("retry time not"):
            message = entry.queue, entry.case.recipient
            if message in known:
                continue
            if len(known) >= _WAITING:
                known.pop(next(iter(known)))
            known[message] = None
        yield entry


def _handshakes_once(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Who fails in the handshake is lost, too, for Postfix.

    And OpenSSL's errors stand in lines of their own: they count where no other line tells of that handshake.
    """
    failed = ""
    library: Entry | None = None
    for entry in entries:
        case = entry.case
        if case.text.startswith("TLS library problem"):
            if entry.direction == "out" or not failed:
                if library is not None:
                    yield library
                library = entry
            continue
        if library is not None:
            if case.error not in _HANDSHAKES or entry.direction != library.direction:
                yield library
            library = None
        if entry.product == "postfix" and case.error == "client-tls-failed":
            failed = entry.peer
        elif failed and entry.peer == failed and case.stage == "starttls" and case.text.startswith("lost "):
            failed = ""
            continue
        yield entry
    if library is not None:
        yield library


def _attempts_once(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Postfix writes a line for each address that it could not connect to, and the last one again as the reason why a
    message stays: then that line, which names the message, stands for both."""
    waiting: dict[str, Entry] = {}
    for entry in entries:
        text = entry.case.text
        tried = entry.product == "postfix" and entry.direction == "out" and entry.case.error
        if not tried or not text.startswith(("connect to ", "lost ")):
            yield entry
        elif entry.case.recipient:
            waiting.pop(text, None)
            yield entry
        else:
            if text in waiting:
                yield waiting.pop(text)
            elif len(waiting) >= _WAITING:
                yield waiting.pop(next(iter(waiting)))
            waiting[text] = entry
    yield from waiting.values()


def _entry(hit: Hit, today: date) -> Entry | None:
    line = _shown(hit.line[:_MAX_TEXT].decode("utf-8", "replace"))
    if hit.line.startswith(b"{"):
        # A table is shown as it came, and read as a whole.
        head = take_apart(hit.line.decode("utf-8", "replace"), today)
        head = head._replace(message=_shown(head.message[:_MAX_TEXT]), host=visible(head.host[:255]))
    else:
        head = take_apart(line, today)
    product, found = _found(hit, head, line)
    if found is None:
        return None
    direction, case, queue, peer = found
    case = case._replace(seen=head.message)
    case = case._replace(product=product) if direction == "in" else case._replace(software=product)
    return Entry(head.when, head.host, product, queue, direction, case, (hit.number, line), peer)


@lru_cache(1024)
def _product(program: str) -> str | None:
    """The product that a program's name speaks of; "" for one that is of no interest, None where it says nothing."""
    low = program.lower()
    return next((product for part, product in _PROGRAMS if part in low), None)


def _found(hit: Hit, head: Head, line: str) -> tuple[str, Found | None]:
    bears = _product(head.program)
    for product in _NEEDLES if bears is None else (bears,):
        if product not in hit.products:
            continue
        if product == "exchange":
            found = exchange.read(line, lambda session: _earlier(hit, session))
        elif product == "postfix":
            found = postfix.read(head.message, head.program)
        else:
            found = _READERS[product](head.message)
        if found is not None:
            return product, found
    return "", None


#: Of a session's earlier lines as many are looked at.
_EARLIER = 40


def _earlier(hit: Hit, session: str) -> list[str]:
    """The lines of a session before this one, the last one first."""
    mark = session.encode("ascii", "replace")
    before = hit.before(TAIL)
    lines: list[str] = []
    start = len(before)
    while len(lines) < _EARLIER:
        at = before.rfind(mark, 0, start)
        if at < 0:
            break
        start = before.rfind(b"\n", 0, at) + 1
        end = before.find(b"\n", at)
        line = before[start : min(end if end >= 0 else len(before), start + _MAX_TEXT)]
        lines.append(visible(line.decode("utf-8", "replace")))
    return lines


#: OpenSMTPD and Exim log a command that they did not take, password and all.
_SECRET = re.compile(
    r"(\bAUTH (?:PLAIN|LOGIN|EXTERNAL|XOAUTH2|OAUTHBEARER|NTLM|GSSAPI|[A-Z]+-[A-Z0-9-]+) )(?!H=)[^\s\"\\(]+",
    re.IGNORECASE,
)


def _shown(text: str) -> str:
    """Text that may be shown: without control characters, and without what AUTH was given."""
    text = visible(text)
    return _SECRET.sub(rf"\1{REDACTED}", text) if "AUTH " in text or "auth " in text else text


_SPACE = re.compile(r"[\t\r\n\v\f\u00a0\u2000-\u200a\u202f\u205f\u3000]")


def visible(text: str) -> str:
    r"""Text in which everything that is not plainly visible is written out: `\x1b`."""
    if text.isprintable():
        return text
    return "".join(map(_visible, _SPACE.sub(" ", text)))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
