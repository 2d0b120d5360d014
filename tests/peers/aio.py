"""aiosmtpd in a thread: a server in Python that keeps every envelope in memory.

The quickest peer to start, the one without any Debian package, and the one with the most switches:
AUTH, TLS demanded before anything else, LMTP, no size limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .certificates import Certificate
from .processes import free_port
from .world import HOST, MAILBOXES, PASSWORD, REFUSED_SENDER, SERVER_NAME, SIZE_LIMIT


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as aiosmtpd took it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    """Exactly what was sent, with dot-stuffing undone."""
    mail_options: tuple[str, ...]
    """The parameters of MAIL, such as ``BODY=8BITMIME``."""
    helo: str
    tls: bool
    user: str | None
    """Who had logged in."""


@dataclass(slots=True)
class AioServer:
    """A running aiosmtpd, and what reached it."""

    host: str
    port: int
    envelopes: list[Delivery] = field(default_factory=list)
    _arrival: threading.Condition = field(default_factory=threading.Condition)

    def deliveries(self, mailbox: str) -> list[bytes]:
        """Return the content of the messages for one mailbox so far, oldest first."""
        return [taken.content for taken in self.envelopes if mailbox in taken.recipients]

    def wait_for(self, mailbox: str, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the mailbox's messages as soon as there are `count`; complain after `timeout`."""
        deadline = time.monotonic() + timeout
        with self._arrival:
            while len(messages := self.deliveries(mailbox)) < count:
                if not self._arrival.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"{len(messages)} of {count} messages reached {mailbox} in {timeout} s")
        return messages

    def keep(self, delivery: Delivery) -> None:
        """Store a message; called by the handler, in the server's thread."""
        with self._arrival:
            self.envelopes.append(delivery)
            self._arrival.notify_all()


class EnvelopeHandler:
    """Decides about each command in aiosmtpd's way: a method a command that returns the reply."""

    def __init__(self, server: AioServer) -> None:
        self._server = server

    async def handle_MAIL(  # noqa: N802 - the name is aiosmtpd's
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse the one sender."""
        if address == REFUSED_SENDER:
            return "550 5.7.1 Sender refused"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender ok"

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take mail for the known mailboxes only."""
        if address not in MAILBOXES:
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, smtp: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message."""
        content = envelope.content
        self._server.keep(
            Delivery(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=content if isinstance(content, bytes) else b"",
                mail_options=tuple(envelope.mail_options),
                helo=session.host_name or "",
                tls=_over_tls(smtp, session),
                user=_user(session),
            )
        )
        return "250 2.0.0 Message kept"


class _Controller(Controller):
    """aiosmtpd's controller, which also speaks LMTP and can hang up on everybody."""

    def __init__(self, handler: EnvelopeHandler, port: int, lmtp: bool, **parameters: Any) -> None:
        self._kind = LMTP if lmtp else SMTP
        self._started: weakref.WeakSet[SMTP] = weakref.WeakSet()
        super().__init__(handler, hostname=HOST, port=port, server_hostname=SERVER_NAME, **parameters)

    def factory(self) -> SMTP:
        """Make the protocol object for one connection."""
        made = self._kind(self.handler, **self.SMTP_kwargs)
        self._started.add(made)
        return made

    def hang_up(self) -> None:
        """Cut all connections; from Python 3.12 on, stopping would wait for their clients."""
        for connection in list(self._started):
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()


@contextlib.contextmanager
def aiosmtpd_server(
    certificate: Certificate | None = None,
    *,
    tls_on_connect: bool = False,
    require_starttls: bool = False,
    size_limit: int | None = SIZE_LIMIT,
    user: str | None = None,
    password: str = PASSWORD,
    auth_required: bool = False,
    lmtp: bool = False,
    **parameters: Any,
) -> Iterator[AioServer]:
    """Run aiosmtpd; with a certificate it offers STARTTLS, or takes TLS on connect instead.

    With a `user` it offers AUTH PLAIN and LOGIN, before TLS too. `parameters` go to aiosmtpd's
    `SMTP` class.
    """
    context = certificate.server_context() if certificate else None
    if user is not None:
        parameters |= {
            "authenticator": _authenticator(user, password),
            "auth_required": auth_required,
            "auth_require_tls": False,
        }
    server = AioServer(HOST, free_port())
    controller = _Controller(
        EnvelopeHandler(server),
        server.port,
        lmtp,
        ssl_context=context if tls_on_connect else None,
        tls_context=None if tls_on_connect else context,
        require_starttls=require_starttls,
        data_size_limit=size_limit,
        **parameters,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.loop.call_soon_threadsafe(controller.hang_up)
        controller.stop()


def _authenticator(user: str, password: str) -> Callable[..., AuthResult]:
    expected = LoginPassword(user.encode(), password.encode())

    def authenticate(smtp: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
        return AuthResult(success=given == expected, handled=False, auth_data=given)

    return authenticate


def _user(session: Session) -> str | None:
    given: Any = session.auth_data
    return given.login.decode("utf-8", "backslashreplace") if session.authenticated else None


def _over_tls(smtp: SMTP, session: Session) -> bool:
    if session.ssl is not None:
        return True
    transport = smtp.transport
    return transport is not None and transport.get_extra_info("ssl_object") is not None
