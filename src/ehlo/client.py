"""`ehlo.connect()`: a session in the hands of a program, blocking or on asyncio.

Each method is one step of a session (`ehlo.probe.talk`), and gives the server's reply whether it was a yes
or a no; what makes a step impossible is raised: `SessionError` when the session is over, `NotDone` when it
is still there. Everything that was said is in `transcript`, and `verdict()` judges it, as `ehlo check` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.net import aio, blocking
from ehlo.net.certificates import trust_context
from ehlo.net.errors import SessionError
from ehlo.net.intents import Family
from ehlo.net.names import Nameserver, parse_endpoint, parse_nameserver
from ehlo.net.proxy import proxy_header
from ehlo.net.settings import DEFAULT_TLS, TLSSettings, Verify
from ehlo.net.tls import TLSFacts, client_context
from ehlo.probe.conversation import Conversation, Instruction
from ehlo.probe.plan import DEFAULT_CAP, Plan, Timeouts
from ehlo.probe.talk import Asking, NotDone, T, Talk
from ehlo.probe.target import TargetError, over_lmtp, parse_target
from ehlo.smtp.address import AddressError, Path, parse_path
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.command import Command, mail, rcpt
from ehlo.smtp.content import to_crlf
from ehlo.smtp.deviations import LocalProtocolError
from ehlo.smtp.reply import Reply
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import Stage
from ehlo.smtp.xclient import xclient_attribute
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Listener, Transcript

__all__ = [
    "AddressError",
    "AsyncClient",
    "Client",
    "Connector",
    "LocalProtocolError",
    "NotDone",
    "Reply",
    "SessionError",
    "TLSSettings",
    "TargetError",
    "connect",
]

#: Octets of one BDAT chunk.
_CHUNK = 1_048_576


def connect(
    target: str,
    *,
    name: str = "",
    timeout: float = DEFAULT_CAP,
    timeouts: Mapping[Stage, float] | None = None,
    family: Family = "any",
    source: str = "",
    dns_server: str = "",
    lmtp: bool = False,
    proxy: str = "",
    tls: TLSSettings = DEFAULT_TLS,
    verify: Verify = "",
    ca_file: str = "",
    ca_path: str = "",
    tls_name: str = "",
    sni: str | None = None,
    insecure: bool = False,
    auth_in_clear: bool = False,
    on_event: Listener | None = None,
) -> Connector:
    """A session with a server, for `with` or `async with`; the connection is made there.

    `target` is what `ehlo check` takes: "mail.example.com:587", "smtps://mail.example.com", "mx:example.com",
    "lmtp:///run/lmtp", "unix:/run/mail.sock", "pipe:exim -bs"; with `lmtp` the last two are spoken to in LMTP.
    `name` is what to greet with (default: this host's name), `timeout` the longest wait at each stage in
    seconds, `timeouts` those of single stages. `on_event` is called with each event of the transcript as it
    happens. The other arguments are the options of `ehlo check`; docs/library.md has all of them.

    Raises `TargetError` for a target, `ValueError` for another argument that cannot be understood (the former
    is one, too), and `OSError` when the authorities cannot be read.
    """
    parsed = parse_target(target)
    address, port = parse_endpoint(source) if source else ("", 0)
    if tls != DEFAULT_TLS:
        client_context(tls)
    if ca_file or ca_path:
        trust_context(ca_file, ca_path)
    plan = Plan(
        over_lmtp(parsed) if lmtp else parsed,
        helo=name,
        timeouts=Timeouts(timeout, timeouts or {}),
        family=family,
        source=address,
        source_port=port,
        proxy=proxy_header(proxy) if proxy else b"",
        tls=tls,
        verify=verify,
        ca_file=ca_file,
        ca_path=ca_path,
        tls_name=tls_name,
        sni=sni,
        insecure=insecure,
        auth_in_clear=auth_in_clear,
    )
    return Connector(plan, on_event, parse_nameserver(dns_server) if dns_server else None)


class Connector:
    """Makes the connection: `with` gives a `Client`, `async with` an `AsyncClient`. Both raise
    `SessionError` when there is no session to be had, and say QUIT at the end."""

    def __init__(self, plan: Plan, on_event: Listener | None = None, nameserver: Nameserver | None = None) -> None:
        self._plan = plan
        self._on_event = on_event
        self._nameserver = nameserver
        self._client: Client | None = None
        self._async_client: AsyncClient | None = None

    def __enter__(self) -> Client:
        self._client = Client(self._plan, self._on_event, self._nameserver)
        self._client.open()
        return self._client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    async def __aenter__(self) -> AsyncClient:
        self._async_client = AsyncClient(self._plan, self._on_event, self._nameserver)
        await self._async_client.open()
        return self._async_client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._async_client is not None:
            await self._async_client.close()


class _Base:
    """What both clients know of their session."""

    def __init__(self, plan: Plan, on_event: Listener | None = None, nameserver: Nameserver | None = None) -> None:
        self._conversation = Conversation(plan, on_event)
        self._nameserver = nameserver

    @property
    def greeting(self) -> Reply:
        """What the server said first. Raises `SessionError` when it has said nothing."""
        greeting = self._conversation.greeting
        if greeting is None:
            raise self._conversation.failure or SessionError("closed", "banner", "there was no greeting")
        return greeting

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers, as of the last `ehlo`: `"SIZE" in smtp.capabilities`."""
        return self._conversation.talk.capabilities

    @property
    def tls(self) -> TLSFacts | None:
        """What the TLS handshake brought, the server's certificate among it; None without TLS."""
        return self._conversation.talk.tls

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._conversation.over

    @property
    def transcript(self) -> Transcript:
        """Everything that happened so far, without passwords."""
        return redact(self._conversation.recorder.transcript)

    def verdict(self) -> Verdict:
        """How far the session came, and what rules say of what went wrong."""
        return judge(self.transcript)


# The steps, written once for both clients.


def _command(line: str) -> Callable[[Talk], Asking[Reply]]:
    return lambda talk: talk.say(line.encode("utf-8", "surrogateescape") + b"\r\n")


def _login(credentials: Credentials, mechanisms: Sequence[str]) -> Callable[[Talk], Asking[Reply]]:
    return lambda talk: talk.login(credentials, tuple(name.upper() for name in mechanisms))


def _data(message: bytes) -> Callable[[Talk], Asking[list[Reply]]]:
    def step(talk: Talk) -> Asking[list[Reply]]:
        reply = yield from talk.data()
        if reply.code != 354:
            return [reply]
        return (yield from talk.content(to_crlf(message)))

    return step


def _bdat(message: bytes, size: int) -> Callable[[Talk], Asking[list[Reply]]]:
    return lambda talk: talk.chunks(message, size)


def _send(
    sender: Path, recipients: Iterable[Path], message: bytes, parameters: Mapping[str, str | None]
) -> Callable[[Talk], Asking[list[Reply]]]:
    def step(talk: Talk) -> Asking[list[Reply]]:
        """MAIL, RCPT, DATA, message; ends with what was refused."""
        content = to_crlf(message)
        offered = talk.capabilities
        size = {"SIZE": str(len(content))} if "SIZE" in offered else {}
        body = {"BODY": "8BITMIME"} if "8BITMIME" in offered and not content.isascii() else {}
        reply = yield from talk.ask(mail(sender, **{**size, **body, **parameters}))
        if not reply.ok:
            return [reply]
        replies = []
        for recipient in recipients:
            replies.append((yield from talk.ask(rcpt(recipient))))
        if not any(reply.ok for reply in replies):
            return replies
        refused = [reply for reply in replies if not reply.ok]
        return refused + (yield from _data(message)(talk))

    return step


def _path(address: str) -> Path:
    return parse_path(address.strip() or "<>", brackets=False)


def _quit(talk: Talk) -> Asking[Reply]:
    return talk.ask(Command("QUIT"))


class Client(_Base):
    """A session that blocks until each reply is there. Made by `with ehlo.connect(…)`."""

    def open(self) -> None:
        """Connect and take the greeting. Raises `SessionError`."""
        session = self._conversation.session
        self._driver = blocking.Driver(session, self._nameserver)
        self._driver.go_on(session.start())
        if self._conversation.greeting is None:
            self._driver.close()
            raise self._conversation.failure or SessionError("closed", "banner", "there was no greeting")

    def close(self) -> None:
        """Say QUIT if that is still possible, and close."""
        if not self._conversation.over:
            instruction = Instruction(_quit)
            self._carry_out(instruction)
            if not self._conversation.over:
                self._conversation.session.abandon("the connection was closed without a goodbye")
        self._driver.close()

    def do(self, step: Callable[[Talk], Asking[T]]) -> T:
        """Carry out any step of `ehlo.probe.talk`. Raises `SessionError`, `NotDone`, `LocalProtocolError`."""
        instruction = Instruction(step)
        self._carry_out(instruction)
        return instruction.result

    def _carry_out(self, instruction: Instruction[T]) -> None:
        self._conversation.instruct(instruction)
        session = self._conversation.session
        if not instruction.done:
            self._driver.go_on(session.need)

    def command(self, line: str) -> Reply:
        """Any command, as it is typed."""
        return self.do(_command(line))

    def ehlo(self) -> Reply:
        """EHLO, or what takes its place: HELO for old servers, LHLO for LMTP. See `capabilities`."""
        return self.do(Talk.greet)

    def starttls(self) -> Reply:
        """STARTTLS, the handshake, and EHLO under TLS; the reply is the one to STARTTLS."""
        return self.do(_starttls)

    def xclient(self, **attributes: str) -> Reply:
        """XCLIENT: whom the server shall take this client for, e.g. `ADDR="192.0.2.1"`; and EHLO, with which the
        session then begins anew. The reply is the one to XCLIENT. Raises `ValueError` for an attribute that
        there is not."""
        return self.do(_xclient(attributes))

    def login(
        self, user: str, password: str = "", *, mechanisms: Sequence[str] = (), authzid: str = "", realm: str = ""
    ) -> Reply:
        """Log in by the strongest mechanism that is offered, or by one of those named. For OAuth mechanisms
        `password` is the token."""
        return self.do(_login(Credentials(user, password, authzid, realm), mechanisms))

    def mail(self, sender: str, **parameters: str | None) -> Reply:
        """MAIL FROM; an empty sender is the null sender. Keywords become parameters: `RET="HDRS"`."""
        path = _path(sender)
        return self.do(lambda talk: talk.ask(mail(path, **parameters)))

    def rcpt(self, recipient: str, **parameters: str | None) -> Reply:
        """RCPT TO."""
        path = _path(recipient)
        return self.do(lambda talk: talk.ask(rcpt(path, **parameters)))

    def data(self, message: bytes) -> list[Reply]:
        """DATA and the message; the reply to it, or in LMTP one for each recipient."""
        return self.do(_data(message))

    def bdat(self, message: bytes, *, size: int = _CHUNK) -> list[Reply]:
        """The message by BDAT, byte for byte, in chunks of `size` octets; the last replies."""
        return self.do(_bdat(message, size))

    def send(self, sender: str, recipients: Sequence[str], message: bytes, **parameters: str | None) -> list[Reply]:
        """A whole transaction: the refusals of recipients if there are any, then the message's replies."""
        return self.do(_send(_path(sender), [_path(word) for word in recipients], message, parameters))

    def quit(self) -> Reply:
        """QUIT; the session is over with it."""
        return self.do(_quit)


class AsyncClient(_Base):
    """The same on asyncio. Made by `async with ehlo.connect(…)`."""

    async def open(self) -> None:
        """Connect and take the greeting. Raises `SessionError`."""
        listening = Instruction(_nothing)
        opened = self._awaiting(listening)
        self._conversation.instruct(listening)
        self._task = asyncio.ensure_future(aio.run(self._conversation.session, aio.Loop(), self._nameserver))
        await asyncio.wait([opened, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._conversation.greeting is None:
            await self._task
            raise self._conversation.failure or SessionError("closed", "banner", "there was no greeting")

    async def close(self) -> None:
        """Say QUIT if that is still possible, and close."""
        if not self._conversation.over:
            instruction = Instruction(_quit)
            done = self._awaiting(instruction)
            self._conversation.instruct(instruction)
            await done
            if not self._conversation.over:
                self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def do(self, step: Callable[[Talk], Asking[T]]) -> T:
        """Carry out any step of `ehlo.probe.talk`. Raises `SessionError`, `NotDone`, `LocalProtocolError`."""
        instruction = Instruction(step)
        done = self._awaiting(instruction)
        self._conversation.instruct(instruction)
        await done
        return instruction.result

    @staticmethod
    def _awaiting(instruction: Instruction[T]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        instruction.on_done = lambda: None if done.done() else done.set_result(None)
        return done

    async def command(self, line: str) -> Reply:
        """Any command, as it is typed."""
        return await self.do(_command(line))

    async def ehlo(self) -> Reply:
        """EHLO, or what takes its place: HELO for old servers, LHLO for LMTP. See `capabilities`."""
        return await self.do(Talk.greet)

    async def starttls(self) -> Reply:
        """STARTTLS, the handshake, and EHLO under TLS; the reply is the one to STARTTLS."""
        return await self.do(_starttls)

    async def xclient(self, **attributes: str) -> Reply:
        """XCLIENT: whom the server shall take this client for, e.g. `ADDR="192.0.2.1"`; and EHLO, with which the
        session then begins anew. The reply is the one to XCLIENT. Raises `ValueError` for an attribute that
        there is not."""
        return await self.do(_xclient(attributes))

    async def login(
        self, user: str, password: str = "", *, mechanisms: Sequence[str] = (), authzid: str = "", realm: str = ""
    ) -> Reply:
        """Log in by the strongest mechanism that is offered, or by one of those named. For OAuth mechanisms
        `password` is the token."""
        return await self.do(_login(Credentials(user, password, authzid, realm), mechanisms))

    async def mail(self, sender: str, **parameters: str | None) -> Reply:
        """MAIL FROM; an empty sender is the null sender. Keywords become parameters: `RET="HDRS"`."""
        path = _path(sender)
        return await self.do(lambda talk: talk.ask(mail(path, **parameters)))

    async def rcpt(self, recipient: str, **parameters: str | None) -> Reply:
        """RCPT TO."""
        path = _path(recipient)
        return await self.do(lambda talk: talk.ask(rcpt(path, **parameters)))

    async def data(self, message: bytes) -> list[Reply]:
        """DATA and the message; the reply to it, or in LMTP one for each recipient."""
        return await self.do(_data(message))

    async def bdat(self, message: bytes, *, size: int = _CHUNK) -> list[Reply]:
        """The message by BDAT, byte for byte, in chunks of `size` octets; the last replies."""
        return await self.do(_bdat(message, size))

    async def send(
        self, sender: str, recipients: Sequence[str], message: bytes, **parameters: str | None
    ) -> list[Reply]:
        """A whole transaction: the refusals of recipients if there are any, then the message's replies."""
        return await self.do(_send(_path(sender), [_path(word) for word in recipients], message, parameters))

    async def quit(self) -> Reply:
        """QUIT; the session is over with it."""
        return await self.do(_quit)


def _starttls(talk: Talk) -> Asking[Reply]:
    reply = yield from talk.starttls()
    if talk.tls is not None:
        yield from talk.greet()
    return reply


def _xclient(attributes: Mapping[str, str]) -> Callable[[Talk], Asking[Reply]]:
    words = [xclient_attribute(name, value) for name, value in attributes.items()]

    def step(talk: Talk) -> Asking[Reply]:
        reply = yield from talk.xclient(words)
        if reply.category == 2:
            yield from talk.greet()
        return reply

    return step


def _nothing(_: Talk) -> Asking[None]:
    yield from ()
