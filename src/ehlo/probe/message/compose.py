"""A message made for the occasion: text, HTML, attachments, headers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import NamedTuple

from ehlo import __version__
from ehlo.smtp.address import Path

DEFAULT_BODY = "This is a test message, sent by ehlo, the SMTP debugger.\n"
DEFAULT_SUBJECT = "Test message from ehlo"


class MessageError(ValueError):
    """Something that cannot stand in a message, or be done with one. The message is one sentence."""


class Attachment(NamedTuple):
    """A file to attach: its name as the recipient sees it, its media type (empty: by the name), its octets."""

    name: str
    media_type: str
    content: bytes


def compose(
    sender: Path,
    recipients: Iterable[Path],
    *,
    helo: str,
    headers: Iterable[str] = (),
    body: str | None = None,
    html: str = "",
    attachments: Iterable[Attachment] = (),
) -> bytes:
    """A message with the fields that RFC 5322 §3.6 demands, and CRLF line endings.

    `headers` are lines "Name: value"; one that is made otherwise is replaced by it. Text that is not ASCII
    makes the body 8-bit UTF-8, and encoded words of the headers (RFC 2047). With `html` the body has both forms
    (multipart/alternative), but without a `body` that one alone; with `attachments` all of it is multipart/mixed.
    Where there is neither, a text is made. Raises `MessageError`.
    """
    fields = header_fields(sender, recipients, helo=helo, headers=headers)
    attached = tuple(attachments)
    if body is None and not html:
        body = DEFAULT_BODY
    mime = _parts(body, html, attached) if body is None or html or attached else _plain(body)
    lines = [f"{name}: {_encode(value)}\r\n" for name, value in fields]
    return "".join(lines).encode("utf-8", "surrogateescape") + mime


def header_fields(
    sender: Path, recipients: Iterable[Path], *, helo: str, headers: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """The fields of a message's header, in order. Raises `MessageError`."""
    from email.utils import formatdate

    domain = helo.strip("[]").replace(":", ".") or "localhost"
    fields = {
        "Date": formatdate(localtime=True),
        "From": sender.address or f"postmaster@{helo}",
        "To": ", ".join(path.address for path in recipients) or "undisclosed-recipients:;",
        "Subject": DEFAULT_SUBJECT,
        "Message-ID": f"<{int(time.time())}.{secrets.token_hex(8)}@{domain}>",
        "X-Mailer": f"ehlo {__version__}",
    }
    added: list[tuple[str, str]] = []
    for header in headers:
        name, value = _split(header)
        generated = next((field for field in fields if field.lower() == name.lower()), None)
        if generated is not None:
            fields[generated] = value
        else:
            added.append((name, value))
    return [*fields.items(), *added]


def _plain(body: str) -> bytes:
    """The end of the header and a body of text alone, without the help of `email`, which takes 30 ms to import."""
    mime = ""
    if not body.isascii():
        mime = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    text = body.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").replace("\n", "\r\n")
    return f"{mime}\r\n{text}\r\n".encode("utf-8", "surrogateescape")


def _parts(body: str | None, html: str, attachments: tuple[Attachment, ...]) -> bytes:
    import mimetypes
    from email.message import MIMEPart
    from email.policy import SMTP

    # RFC 2045 §4: MIME-Version stands at the top and in no part. EmailMessage would put it into each.
    message = MIMEPart(policy=SMTP)
    try:
        if body is None:
            message.set_content(html, subtype="html")
        else:
            message.set_content(body)
            if html:
                message.add_alternative(html, subtype="html")
        for attachment in attachments:
            guessed = mimetypes.guess_type(attachment.name)[0] or "application/octet-stream"
            main, slash, sub = (attachment.media_type or guessed).partition("/")
            if not slash or not main or not sub:
                raise MessageError(f"'{attachment.media_type}' is no media type such as image/png.")
            message.add_attachment(attachment.content, main, sub, filename=attachment.name)
    except UnicodeEncodeError:
        raise MessageError("The text has characters that UTF-8 cannot say.") from None
    return b"MIME-Version: 1.0\r\n" + message.as_bytes()


def _split(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    # RFC 5322 §2.2: a field name is printable ASCII without colon and space.
    if not colon or not name or not all("!" <= char <= "~" for char in name):
        raise MessageError(f"'{header}' is not a header: it has the form 'Name: value'.")
    if "\r" in value or "\n" in value:
        raise MessageError(f"The header {name} contains a line break.")
    return name, value.strip()


def _encode(value: str) -> str:
    if value.isascii():
        return value
    from email.header import Header

    return Header(value, "utf-8").encode(linesep="\r\n")
