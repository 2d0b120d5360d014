"""Repairs what servers refuse a message for, and says what was repaired."""

from __future__ import annotations

import re
from typing import NamedTuple

from ehlo.smtp.address import Path
from ehlo.smtp.content import to_crlf

#: RFC 5322 §2.1.1: a line has at most this many characters, CRLF not counted.
LONGEST_LINE = 998
#: RFC 5322 §3.6: these may stand in a header once.
_SINGLE = frozenset(
    b"date from sender reply-to to cc bcc message-id in-reply-to references subject "
    b"mime-version content-type content-transfer-encoding".split()
)
_FIELD_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")


class Repaired(NamedTuple):
    """A message, and in a few words each what was done to it, or should be and could not."""

    content: bytes
    repairs: tuple[str, ...]


def repair(content: bytes, *, sender: Path, recipients: tuple[Path, ...], helo: str) -> Repaired:
    """Repair a message. What is good already is left as it is, octet for octet."""
    repairs: list[str] = []
    if content.startswith((b"From ", b">From ")):
        content = content.partition(b"\n")[2]
        repairs.append("dropped the mbox line 'From …' at the beginning")
    if b"\0" in content:
        content = content.replace(b"\0", b"")
        repairs.append("dropped NUL octets")
    crlf = to_crlf(content)
    if crlf != content:
        repairs.append("made all line endings CRLF")
    header, body = _divide(crlf, repairs)
    fields = _single(_fields(header), repairs)
    fields = _complete(fields, repairs, sender=sender, recipients=recipients, helo=helo)
    fields = [_encoded(field, repairs) for field in fields]
    fields, body = _declared(fields, body, repairs)
    fields, body = _shortened(fields, body, repairs)
    return Repaired(b"".join(fields) + b"\r\n" + body, tuple(repairs))


def _divide(content: bytes, repairs: list[str]) -> tuple[bytes, bytes]:
    """Header and body; where the text begins with no header, all of it is body."""
    first = content.partition(b"\r\n")[0]
    if content.startswith(b"\r\n"):
        return b"", content[2:]
    if not _FIELD_NAME.match(first):
        repairs.append("put a header before the text")
        return b"", content
    header, blank, body = content.partition(b"\r\n\r\n")
    if not blank and not header.endswith(b"\r\n"):
        header += b"\r\n"
    return header + b"\r\n" if blank else header, body


def _fields(header: bytes) -> list[bytes]:
    """The fields, each with its continuation lines."""
    fields: list[bytes] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            fields.append(line)
    return fields


def _name(field: bytes) -> bytes:
    found = _FIELD_NAME.match(field)
    return found[1].lower() if found else b""


def _single(fields: list[bytes], repairs: list[str]) -> list[bytes]:
    seen: set[bytes] = set()
    kept: list[bytes] = []
    for field in fields:
        name = _name(field)
        if not name:
            repairs.append(f"dropped a header line without a name: {_short(field)}")
        elif name in seen:
            repairs.append(f"dropped a second {name.decode('ascii').title()}")
        else:
            kept.append(field)
            if name in _SINGLE:
                seen.add(name)
    return kept


def _complete(
    fields: list[bytes], repairs: list[str], *, sender: Path, recipients: tuple[Path, ...], helo: str
) -> list[bytes]:
    """RFC 5322 §3.6: Date and From must be there, Message-ID should."""
    from ehlo.probe.message.compose import header_fields

    have = {_name(field) for field in fields}
    made = dict(header_fields(sender, recipients, helo=helo))
    missing = [name for name in ("Date", "From", "Message-ID") if name.lower().encode() not in have]
    repairs += [f"added {name}" for name in missing]
    return [f"{name}: {made[name]}\r\n".encode() for name in missing] + fields


def _encoded(field: bytes, repairs: list[str]) -> bytes:
    """Octets above 127 as encoded words (RFC 2047)."""
    if field.isascii():
        return field
    from email.header import Header

    name, _, value = field.partition(b":")
    text = " ".join(_text(value).split())
    repairs.append(f"encoded the non-ASCII characters of {name.decode('ascii', 'replace')}")
    encoded = Header(text, "utf-8", header_name=name.decode("ascii", "replace")).encode(linesep="\r\n")
    return name + b": " + encoded.encode("ascii") + b"\r\n"


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _declared(fields: list[bytes], body: bytes, repairs: list[str]) -> tuple[list[bytes], bytes]:
    """An 8-bit body says so (RFC 2045 §6.2)."""
    have = {_name(field) for field in fields}
    if body.isascii() or b"content-type" in have or b"content-transfer-encoding" in have:
        return fields, body
    try:
        body.decode("utf-8")
        charset = b"utf-8"
    except UnicodeDecodeError:
        charset = b"iso-8859-1"
    repairs.append(f"declared the 8-bit text as {charset.decode('ascii')}")
    kept = [field for field in fields if _name(field) != b"mime-version"]
    declared = [
        b"MIME-Version: 1.0\r\n",
        b"Content-Type: text/plain; charset=" + charset + b"\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
    ]
    return kept + declared, body


def _shortened(fields: list[bytes], body: bytes, repairs: list[str]) -> tuple[list[bytes], bytes]:
    """Lines that are too long, by quoted-printable where that is possible without taking parts apart."""
    long = [number for number, line in enumerate(body.split(b"\r\n"), start=1) if len(line) > LONGEST_LINE]
    if not long:
        return fields, body
    values = {_name(field): field.partition(b":")[2].strip().lower() for field in fields}
    encoding = values.get(b"content-transfer-encoding", b"7bit")
    if values.get(b"content-type", b"").startswith((b"multipart/", b"message/")) or encoding not in (b"7bit", b"8bit"):
        repairs.append(f"left line {long[0]} of the body as it is, though it has over {LONGEST_LINE} octets")
        return fields, body
    import quopri

    # `quopri` leaves CR as it is only where LF follows it.
    encoded = quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    repairs.append(f"encoded the body, which has lines over {LONGEST_LINE} octets, as quoted-printable")
    kept = [field for field in fields if _name(field) not in (b"content-transfer-encoding", b"mime-version")]
    kept += [b"MIME-Version: 1.0\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"]
    return kept, encoded


def _short(field: bytes) -> str:
    return repr(_text(field).strip()[:40])
