"""The real servers behind one face, so that one test asks all of them the same thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from peers.aio import AioServer, aiosmtpd_server
from peers.certificates import Authority, Certificate
from peers.exim import exim
from peers.fixtures import skip_if_missing
from peers.postfix import postfix
from peers.sink import Sink
from peers.world import MailServer

from .messages import with_lf

#: What Postfix and Exim write above a message that they deliver.
_TRACE = re.compile(
    rb"\A(?:(?:Return-path|Envelope-to|Delivery-date|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*)+",
    re.IGNORECASE,
)
_FIELD = re.compile(rb"[!-9;-~]+:")


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. `knows_mailboxes`: it refuses recipients and senders; the sink takes everything."""

    name: str
    server: MailServer | AioServer | Sink

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def tls_target(self) -> str:
        """Where TLS begins on connect."""
        assert isinstance(self.server, MailServer)
        return f"smtps://{self.host}:{self.server.tls_port}"

    def count(self, mailbox: str) -> int:
        """How many messages are there for a mailbox."""
        return len(self._stored(mailbox))

    def arrived(self, mailbox: str, count: int) -> bytes:
        """The newest message for a mailbox, once there are `count`: as it was sent, but with LF."""
        if isinstance(self.server, Sink):
            # What was there before is counted by mailbox, and all of the sink's files at once.
            stored = self._stored(mailbox)
        else:
            stored = self.server.wait_for(mailbox, count, timeout=30)
        assert len(stored) == count
        return _as_sent(stored[-1]) if isinstance(self.server, MailServer) else with_lf(stored[-1])

    def keeps(self, message: bytes) -> bytes:
        """A message as this server keeps it, apart from what it writes above: with LF, with an end to its last
        line, and in mailboxes with the empty line that must stand between header and body."""
        kept = with_lf(message)
        if kept and not kept.endswith(b"\n"):
            kept += b"\n"
        if not isinstance(self.server, MailServer) or kept.startswith(b"\n"):
            return kept
        if kept and not _FIELD.match(kept):
            return b"\n" + kept
        # RFC 5322 §2.1 allows a message without a body; Exim ends its header all the same.
        return kept + b"\n" if self.name == "exim" and b"\n\n" not in kept else kept

    def _stored(self, mailbox: str) -> list[bytes]:
        if isinstance(self.server, Sink):
            return [kept.content for kept in self.server.messages() if f"<{mailbox}>" in kept.recipients]
        return self.server.deliveries(mailbox)


def _as_sent(stored: bytes) -> bytes:
    trace = _TRACE.match(stored)
    assert trace is not None
    return stored[trace.end() :]


Starter = Callable[..., AbstractContextManager[MailServer | AioServer]]
STARTERS: dict[str, Starter] = {"postfix": postfix, "exim": exim, "aiosmtpd": aiosmtpd_server}


@contextmanager
def started(name: str, certificate: Certificate | None = None, **settings: object) -> Iterator[Peer]:
    """Start a server of one's own; a test whose peer is missing is skipped."""
    with skip_if_missing(), STARTERS[name](certificate, **settings) as server:
        yield Peer(name, server)


#: The ways in which a certificate can be bad, with the id of the rule that names each.
BAD_CERTIFICATES: dict[str, Callable[[Authority], Certificate]] = {
    "certificate-expired": Authority.expired,
    "certificate-wrong-name": Authority.wrong_name,
    "certificate-self-signed": Authority.self_signed,
    "certificate-not-yet-valid": Authority.not_yet_valid,
}
