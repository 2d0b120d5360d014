"""The client's flow: through a session stage by stage, in the order of the methods below.

Each stage either goes on, or raises `_Stop` when the session has done what it should or cannot do
more; then QUIT is said. What each step consists of is in `talk.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ehlo.net.errors import SessionError
from ehlo.net.intents import Flow
from ehlo.net.session import Session
from ehlo.probe.plan import Plan
from ehlo.probe.talk import Asking, NotDone, Progress, T, Talk
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import ALLOWED, State
from ehlo.transcript.transcript import Listener, Recorder

if TYPE_CHECKING:
    from ehlo.net.tls import TLSFacts


class _Stop(Exception):  # noqa: N818 - not an error: the session has come as far as it goes
    """The session ends here; QUIT is due."""


def client_session(
    plan: Plan,
    listener: Listener | None = None,
    progress: Progress | None = None,
    on_tls: Callable[[TLSFacts], None] | None = None,
    transaction: Callable[[Talk], Asking[None]] | None = None,
) -> Session:
    """A session that carries out a plan, ready for a driver. Its record is `session.recorder`.

    `on_tls` is called with what a handshake brought, the certificates among it. `transaction` is done in place of the
    plan's.
    """
    connection = ClientConnection()
    recorder = Recorder("client", plan.target.given, listener=listener)
    walk = Walk(Talk(connection, recorder, plan, progress), recorder, on_tls, transaction)
    return Session(connection, recorder, walk.flow(), "client")


class Walk:
    """The flow of one client session."""

    def __init__(
        self,
        talk: Talk,
        recorder: Recorder,
        on_tls: Callable[[TLSFacts], None] | None = None,
        transaction: Callable[[Talk], Asking[None]] | None = None,
    ) -> None:
        self._talk = talk
        self._conn = talk.conn
        self._plan = talk.plan
        self._recorder = recorder
        self._on_tls = on_tls
        self._transaction_instead = transaction

    def flow(self) -> Flow:
        """The whole session."""
        try:
            yield from self._connect()
            yield from self._tls_on_connect()
            yield from self._banner()
            yield from self._ehlo()
            yield from self._starttls()
            yield from self._xclient()
            yield from self._auth()
            yield from self._questions()
            yield from self._messages()
        except (_Stop, NotDone):
            pass
        yield from self._quit()

    # The network and TLS.

    def _connect(self) -> Asking[None]:
        talk = self._talk
        hosts = yield from talk.find_hosts()
        for number, host in enumerate(hosts, start=1):
            try:
                addresses = yield from talk.find_addresses(host)
                self._stop_if("dns")
                yield from talk.connect(host, addresses)
            except SessionError:
                if number == len(hosts):
                    raise
                continue
            self._stop_if("connect")
            return

    def _tls_on_connect(self) -> Asking[None]:
        if self._plan.target.tls_on_connect:
            yield from self._handshake(self._talk.handshake("tls"))
        self._stop_if("tls")

    def _starttls(self) -> Asking[None]:
        plan, talk = self._plan, self._talk
        offered = "STARTTLS" in talk.capabilities
        if talk.tls is not None:
            return
        if plan.xclient and plan.xclient_before_tls:
            yield from self._introduce()
        if plan.starttls == "never":
            self._skip("starttls", "not used: --starttls never" if offered else "not offered")
        elif not offered and "starttls" not in plan.tampering.instead:
            if plan.starttls == "require":
                talk.fail("starttls", "starttls-not-offered", "the server does not offer STARTTLS")
            self._skip("starttls", "not offered")
        else:
            yield from self._handshake(talk.starttls())
            if talk.tls is not None:
                yield from self._ehlo()
            elif plan.starttls == "require":
                raise _Stop
        self._stop_if("starttls")

    def _handshake(self, step: Asking[T]) -> Asking[T]:
        try:
            return (yield from step)
        finally:
            if self._on_tls is not None and self._talk.tls is not None:
                self._on_tls(self._talk.tls)

    # Greeting and login.

    def _banner(self) -> Asking[None]:
        reply = yield from self._talk.greeting()
        if reply.category != 2:
            raise _Stop
        self._stop_if("banner")

    def _ehlo(self) -> Asking[None]:
        reply = yield from self._talk.greet()
        if reply.category != 2:
            raise _Stop
        self._stop_if("ehlo")

    def _xclient(self) -> Asking[None]:
        if self._plan.xclient and (not self._plan.xclient_before_tls or self._plan.target.tls_on_connect):
            yield from self._introduce()

    def _introduce(self) -> Asking[None]:
        if self._plan.xclient_optional and "XCLIENT" not in self._talk.capabilities:
            self._skip("ehlo", "XCLIENT is not offered to this client")
            return
        reply = yield from self._talk.xclient(self._plan.xclient)
        if reply.category != 2:
            raise _Stop
        yield from self._ehlo()

    def _auth(self) -> Asking[None]:
        plan = self._plan
        if plan.credentials is not None:
            try:
                reply = yield from self._talk.login(plan.credentials, plan.mechanisms)
                if reply.category != 2:
                    raise _Stop
            except (_Stop, NotDone):
                if not plan.auth_optional or self._conn.state is State.CLOSED:
                    raise

    def _questions(self) -> Asking[None]:
        for line in self._plan.ask:
            yield from self._handshake(self._talk.question(line))
            if self._conn.state in (State.GREETED, State.CLOSED):
                raise _Stop
        self._stop_if("auth")

    # The transactions.

    def _messages(self) -> Asking[None]:
        plan = self._plan
        if not plan.goes_to("mail"):
            raise _Stop
        if self._transaction_instead is not None:
            yield from self._transaction_instead(self._talk)
            return
        for number in range(1, plan.times + 1):
            try:
                yield from self._transaction(plan.message_at(number))
            except _Stop:
                # A refused message is no reason to keep the others.
                if number == plan.times:
                    raise
            if self._conn.state is not State.READY and number < plan.times:
                yield from self._talk.ask(Command("RSET"))

    def _transaction(self, message: bytes) -> Asking[None]:
        plan, talk, tampering = self._plan, self._talk, self._plan.tampering
        content = talk.content_of(message)
        # What is done otherwise to a command is seen in the answer to it, so it goes by itself.
        ahead = plan.pipelining and "PIPELINING" in talk.capabilities and not tampering.touches("mail", "rcpt")
        ahead = ahead and plan.goes_to("rcpt")
        with_data = ahead and plan.goes_to("data") and not plan.chunk_size and not tampering.touches("data")
        if ahead:
            yield from self._envelope_ahead(content, with_data=with_data)
        else:
            yield from self._mail(content)
            yield from self._rcpt()
        if plan.chunk_size:
            yield from self._chunks(content)
            return
        reply = yield from (talk.reply("data") if with_data else talk.data())
        if reply.code != 354:
            raise _Stop
        if not plan.goes_to("message"):
            # RFC 5321 §4.1.1.4 knows no way back from here but to close the connection.
            raise SessionError("stopped", "data", "stopped after DATA, as asked for")
        # RFC 2920 §3.1: a server may say 354 though it took no recipient; then an empty message ends it.
        yield from talk.content(content if self._conn.recipients else b"")

    def _mail(self, content: bytes) -> Asking[None]:
        reply = yield from self._talk.ask(self._talk.mail(content))
        if reply.category != 2:
            raise _Stop
        self._stop_if("mail")

    def _rcpt(self) -> Asking[None]:
        for command in self._talk.rcpts():
            yield from self._talk.ask(command)
        if not self._conn.recipients:
            raise _Stop
        self._stop_if("rcpt")

    def _envelope_ahead(self, content: bytes, *, with_data: bool) -> Asking[None]:
        """The envelope, with DATA behind it or without, in one group of commands (RFC 2920 §3.1)."""
        plan, talk = self._plan, self._talk
        commands = [talk.mail(content), *talk.rcpts()]
        yield from talk.ask_ahead([*commands, Command("DATA")] if with_data else commands)
        yield from talk.reply("mail")
        for _ in plan.recipients:
            yield from talk.reply("rcpt")
        if not self._conn.recipients and not with_data:
            raise _Stop
        self._stop_if("rcpt")

    def _chunks(self, content: bytes) -> Asking[None]:
        if not self._plan.goes_to("message"):
            raise _Stop
        replies = yield from self._talk.chunks(content, self._plan.chunk_size)
        if all(reply.category != 2 for reply in replies):
            raise _Stop

    # The end.

    def _quit(self) -> Asking[None]:
        if "QUIT" in ALLOWED[self._conn.state]:
            yield from self._talk.ask(Command("QUIT"))

    def _stop_if(self, stage: Stage) -> None:
        if self._plan.stop_after == stage:
            raise _Stop

    def _skip(self, stage: Stage, why: str) -> None:
        self._recorder.add("net", "note", stage, facts={"skipped": True, "message": why})
