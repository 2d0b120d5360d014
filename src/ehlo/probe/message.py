"""The message to send: one that was given, or one made for the occasion."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from ehlo import __version__
from ehlo.smtp.address import Path

DEFAULT_BODY = "This is a test message, sent by ehlo, the SMTP debugger.\n"
DEFAULT_SUBJECT = "Test message from ehlo"


class MessageError(ValueError):
    """A header that cannot stand in a message. The message is one sentence."""


def generate(
    sender: Path,
    recipients: Iterable[Path],
    *,
    helo: str,
    headers: Iterable[str] = (),
    body: str = DEFAULT_BODY,
) -> bytes:
    """A message with the fields that RFC 5322 §3.6 demands, and CRLF line endings.

    `headers` are lines "Name: value"; one that is generated otherwise is replaced by it. Text
    that is not ASCII makes the body 8-bit UTF-8. Raises `MessageError`.
    """
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
    if not body.isascii():
        added += [
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
        ]
    lines = [f"{name}: {_encode(value)}" for name, value in (*fields.items(), *added)]
    text = "\r\n".join(lines) + "\r\n\r\n" + "\r\n".join(body.splitlines()) + "\r\n"
    return text.encode("utf-8", "surrogateescape")


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
