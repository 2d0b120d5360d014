"""What all peers agree on: the names, the mailboxes, and what a started server offers a test.

The world is the one of the tutorial: a server ``mail.example.com`` that takes mail for
``recipient@example.com`` from ``sender@yourdomain.com``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
SERVER_NAME = "mail.example.com"
DOMAIN = "example.com"
MAILBOXES = ("recipient@example.com", "other@example.com", "second@example.com")
UNKNOWN_RECIPIENT = "nobody@example.com"
OUTSIDE_RECIPIENT = "someone@elsewhere.example"
SENDER = "sender@yourdomain.com"
REFUSED_SENDER = "refused@yourdomain.com"
FULL_MAILBOX = "full@example.com"
"""A mailbox over its quota, at the peers that know quotas; at all others it does not exist."""
SIZE_LIMIT = 10_240_000

USER = "sender@yourdomain.com"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class MailServer:
    """A running mail server that delivers into one Maildir for each mailbox."""

    host: str
    port: int
    tls_port: int | None
    """Where TLS begins on connect; ``None`` when the server was started without TLS."""
    log_file: Path
    maildirs: Mapping[str, Path]
    proxy_port: int | None = None
    """Where a client first has to send a header of the PROXY protocol."""
    xclient_port: int | None = None
    """Where XCLIENT is offered."""
    lmtp_port: int | None = None
    lmtp_socket: Path | None = None
    pipe: str | None = None
    """A command that speaks SMTP on its standard input and output, and delivers to the same mailboxes."""

    def deliveries(self, mailbox: str) -> list[bytes]:
        """Return the messages delivered to a mailbox so far, oldest first, as they lie on disk.

        That is with the server's own trace headers in front and with LF as line ending.
        """
        arrived = (self.maildirs[mailbox] / "new").glob("*")
        # Maildir names begin with the second only; the modification time orders within it.
        return [file.read_bytes() for file in sorted(arrived, key=lambda f: f.stat().st_mtime_ns)]

    def wait_for(self, mailbox: str, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the mailbox's messages as soon as there are `count`; complain after `timeout`."""
        deadline = time.monotonic() + timeout
        while len(messages := self.deliveries(mailbox)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(messages)} of {count} messages reached {mailbox} in {timeout} s; "
                    f"the server's log:\n{self.log()}"
                )
            time.sleep(0.02)
        return messages

    def log(self) -> str:
        """Return what the server has logged so far."""
        try:
            return self.log_file.read_text("utf-8", "backslashreplace")
        except FileNotFoundError:
            return ""
