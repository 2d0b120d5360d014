"""The client's flow: through a session stage by stage, in the order of the methods below.

Each stage either goes on, or raises `_Stop` when the session has done what it should or cannot do
more; then QUIT is said. What was refused or went wrong is in the transcript and is judged from it:
nothing here interprets.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from typing import Any, NoReturn, TypeVar

from ehlo.net.errors import SessionError
from ehlo.net.intents import (
    Address,
    Connect,
    FindMailHosts,
    Flow,
    Intent,
    Receive,
    Resolve,
    Send,
    StartTLS,
    Upload,
)
from ehlo.net.session import Session
from ehlo.probe.plan import Plan
from ehlo.smtp.address import AddressError, parse_domain
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, auth, ehlo, helo, mail, rcpt
from ehlo.smtp.content import to_crlf
from ehlo.smtp.deviations import LocalProtocolError, RemoteProtocolError
from ehlo.smtp.events import ReplyReceived
from ehlo.smtp.reply import Reply
from ehlo.smtp.sasl import MECHANISMS, Credentials, choose_mechanism
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import ALLOWED, State
from ehlo.transcript.transcript import Listener, Recorder

#: The message goes to the network in pieces of this size.
_BLOCK = 65536
#: RFC 5321 §3.2: a server that does not know EHLO says one of these, and HELO may follow.
_EHLO_UNKNOWN = (500, 502)

T = TypeVar("T")
#: A part of a flow that gives a T when it is done.
Asking = Generator[Intent, Any, T]
#: Called with octets sent so far and in all.
Progress = Callable[[int, int], None]


class _Stop(Exception):  # noqa: N818 - not an error: the session has come as far as it goes
    """The session ends here; QUIT is due."""


def client_session(plan: Plan, listener: Listener | None = None, progress: Progress | None = None) -> Session:
    """A session that carries out a plan, ready for a driver. Its record is `session.recorder`."""
    connection = ClientConnection()
    recorder = Recorder("client", plan.target.given, listener=listener)
    return Session(connection, recorder, Walk(connection, recorder, plan, progress).flow(), "client")


class Walk:
    """The flow of one client session."""

    def __init__(
        self, connection: ClientConnection, recorder: Recorder, plan: Plan, progress: Progress | None = None
    ) -> None:
        self._conn = connection
        self._recorder = recorder
        self._plan = plan
        self._progress = progress
        self._host = plan.target.host
        self._helo = plan.helo
        self._encrypted = False
        self._quit_said = False
        self._certificate_problem = ""

    def flow(self) -> Flow:
        """The whole session."""
        try:
            yield from self._connect()
            yield from self._tls_on_connect()
            yield from self._banner()
            yield from self._ehlo()
            yield from self._starttls()
            yield from self._auth()
            if self._plan.pipelining and self._plan.goes_to("message") and "PIPELINING" in self._capabilities():
                yield from self._transaction_ahead()
            else:
                yield from self._mail()
                yield from self._rcpt()
                yield from self._data()
        except _Stop:
            pass
        yield from self._quit()

    # The network.

    def _connect(self) -> Asking[None]:
        plan = self._plan
        hosts: tuple[str, ...] = (plan.target.host,)
        if plan.target.mx:
            hosts = yield FindMailHosts(plan.target.host, plan.timeouts.at("dns"))
            self._recorder.add(
                "net", "dns", "dns", facts={"name": plan.target.host, "query": "MX", "answers": list(hosts)}
            )
        last: SessionError | None = None
        for host in hosts:
            try:
                yield from self._connect_to(host)
            except SessionError as error:
                last = error
                continue
            self._host = host
            return
        if last is not None:
            raise last

    def _connect_to(self, host: str) -> Asking[None]:
        plan = self._plan
        began = self._recorder.now()
        addresses: tuple[Address, ...] = yield Resolve(host, plan.target.port, plan.family, plan.timeouts.at("dns"))
        answers = [address.host for address in addresses]
        if answers != [host]:
            self._recorder.add(
                "net",
                "dns",
                "dns",
                first=began,
                facts={"name": host, "query": "A AAAA", "answers": list(answers)},
            )
        self._stop_if("dns")
        for number, address in enumerate(addresses, start=1):
            try:
                local: Address = yield Connect(address, plan.source, plan.timeouts.at("connect"))
            except SessionError:
                if number == len(addresses):
                    raise
                continue
            self._helo = plan.helo or _own_name(local)
            self._stop_if("connect")
            return

    # TLS.

    def _tls_on_connect(self) -> Asking[None]:
        if self._plan.target.tls_on_connect:
            yield from self._handshake("tls")
        self._stop_if("tls")

    def _starttls(self) -> Asking[None]:
        plan, conn = self._plan, self._conn
        offered = conn.capabilities is not None and "STARTTLS" in conn.capabilities
        if self._encrypted:
            return
        if plan.starttls == "never":
            self._skip("starttls", "not used: --starttls never" if offered else "not offered")
        elif not offered:
            if plan.starttls == "require":
                self._fail("starttls", "starttls-not-offered", "the server does not offer STARTTLS")
            self._skip("starttls", "not offered")
        else:
            reply = yield from self._ask(Command("STARTTLS"))
            if reply.category == 2:
                yield from self._upgrade()
            elif plan.starttls == "require":
                raise _Stop
        self._stop_if("starttls")

    def _upgrade(self) -> Asking[None]:
        try:
            self._conn.check_before_tls()
        except RemoteProtocolError as error:
            self._recorder.add("server", "line", "starttls", error.line)
            facts = {"error": error.deviation.value, "message": error.detail}
            self._recorder.add("net", "error", "starttls", facts=facts)
            raise SessionError(error.deviation.value, "starttls", error.detail) from None
        yield from self._handshake("starttls")
        self._conn.tls_started()
        yield from self._ehlo()

    def _handshake(self, stage: Stage) -> Asking[None]:
        # Sessions without TLS must not pay for importing it.
        from ehlo.net.certificates import trust_context
        from ehlo.net.tls import TLSFacts, client_context

        plan = self._plan
        trust = trust_context(plan.ca_file)
        facts: TLSFacts = yield StartTLS(client_context(), stage, plan.timeouts.at(stage), self._host, trust)
        self._encrypted = True
        self._certificate_problem = facts.certificate.problem if facts.certificate else ""
        if self._certificate_problem and plan.verify and not plan.insecure:
            self._fail(stage, "certificate-not-verified", "the certificate does not verify")

    # Greeting and login.

    def _banner(self) -> Asking[None]:
        event: ReplyReceived = yield Receive(self._plan.timeouts.at("banner"))
        if event.reply.category != 2:
            raise _Stop
        self._stop_if("banner")

    def _ehlo(self) -> Asking[None]:
        reply = yield from self._ask(ehlo(self._helo))
        if reply.code in _EHLO_UNKNOWN:
            reply = yield from self._ask(helo(self._helo))
        if reply.category != 2:
            raise _Stop
        self._stop_if("ehlo")

    def _auth(self) -> Asking[None]:
        plan, offered = self._plan, self._capabilities().auth
        if plan.credentials is not None:
            if not offered:
                self._fail("auth", "auth-not-offered", "the server does not offer AUTH here")
            mechanism = choose_mechanism(offered)
            if mechanism is None:
                known = " and ".join(MECHANISMS)
                message = f"the server offers {' '.join(offered)}, ehlo knows {known}"
                self._fail("auth", "no-common-mechanism", message)
            if not self._encrypted and not plan.auth_in_clear:
                self._fail("auth", "auth-in-clear", "the password was not sent: the connection is not encrypted")
            if self._certificate_problem and not plan.insecure:
                message = "the password was not sent: the server's certificate does not verify"
                self._fail("auth", "certificate-not-verified", message)
            yield from self._authenticate(mechanism, plan.credentials)
        self._stop_if("auth")

    def _authenticate(self, mechanism: str, credentials: Credentials) -> Asking[None]:
        exchange = MECHANISMS[mechanism](credentials)
        reply = yield from self._ask(auth(mechanism, next(exchange)))
        while reply.category == 3:
            # RFC 4954 §4: a challenge is base64; what the mechanisms here do does not depend on it.
            try:
                response = exchange.send(reply.text.encode("utf-8", "surrogateescape"))
            except StopIteration:
                response = None
            reply = yield from self._exchange(self._conn.send_auth_response(response), "auth")
        if reply.category != 2:
            raise _Stop

    # The transaction.

    def _mail(self) -> Asking[None]:
        plan = self._plan
        if not plan.goes_to("mail"):
            raise _Stop
        reply = yield from self._ask(mail(plan.sender, **self._mail_parameters()))
        if reply.category != 2:
            raise _Stop
        self._stop_if("mail")

    def _mail_parameters(self) -> dict[str, str | None]:
        plan, offered = self._plan, self._capabilities()
        parameters: dict[str, str | None] = {}
        if plan.message and "SIZE" in offered:
            parameters["SIZE"] = str(len(to_crlf(plan.message)))
        if "8BITMIME" in offered and not plan.message.isascii():
            parameters["BODY"] = "8BITMIME"
        paths = (plan.sender, *plan.recipients)
        if any(path.mailbox is not None and path.mailbox.needs_smtputf8 for path in paths):
            if "SMTPUTF8" not in offered:
                message = "an address has non-ASCII characters, and the server does not offer SMTPUTF8"
                self._fail("mail", "smtputf8-not-offered", message)
            parameters["SMTPUTF8"] = None
        return parameters

    def _rcpt(self) -> Asking[None]:
        accepted = 0
        for recipient in self._plan.recipients:
            reply = yield from self._ask(rcpt(recipient))
            accepted += reply.category == 2
        if not accepted:
            raise _Stop
        self._stop_if("rcpt")

    def _data(self) -> Asking[None]:
        reply = yield from self._ask(Command("DATA"))
        if reply.code != 354:
            raise _Stop
        if not self._plan.goes_to("message"):
            # RFC 5321 §4.1.1.4 knows no way back from here but to close the connection.
            raise SessionError("stopped", "data", "stopped after DATA, as asked for")
        content = to_crlf(self._plan.message)
        yield from self._upload(content)
        yield from self._reply("message")

    def _transaction_ahead(self) -> Asking[None]:
        """The whole transaction in two groups of commands (RFC 2920 §3.1)."""
        plan, conn = self._plan, self._conn
        commands = [
            mail(plan.sender, **self._mail_parameters()),
            *(rcpt(recipient) for recipient in plan.recipients),
            Command("DATA"),
        ]
        for command in commands:
            data = conn.send(command)
            yield Send(data, conn.stage)
        accepted = 0
        reply = yield from self._reply("mail")
        for _ in plan.recipients:
            reply = yield from self._reply("rcpt")
            accepted += reply.category == 2
        reply = yield from self._reply("data")
        if reply.code != 354:
            raise _Stop
        # RFC 2920 §3.1: a server may say 354 though it took no recipient; then an empty message ends it.
        yield from self._upload(to_crlf(plan.message) if accepted else b"")
        yield Send(conn.send(Command("QUIT")), "quit")
        self._quit_said = True
        yield from self._reply("message")

    def _upload(self, content: bytes) -> Asking[None]:
        conn, timeout = self._conn, self._plan.timeouts.block
        began = self._recorder.now()
        sent = 0
        try:
            for sent in range(0, len(content), _BLOCK):
                yield Upload(conn.send_content(content[sent : sent + _BLOCK]), timeout)
                if self._progress is not None:
                    self._progress(min(sent + _BLOCK, len(content)), len(content))
            yield Upload(conn.end_content(), timeout)
        except SessionError:
            # The transcript has the error already, which came before it was known how far the message went.
            facts = {"partial": True, "intended": len(content)}
            self._recorder.add("client", "data", "message", content[:sent], first=began, facts=facts)
            raise
        self._recorder.add("client", "data", "message", content, first=began)

    def _quit(self) -> Asking[None]:
        if self._quit_said:
            yield from self._reply("quit")
        elif "QUIT" in ALLOWED[self._conn.state]:
            yield from self._ask(Command("QUIT"))

    # What the stages are made of.

    def _ask(self, command: Command) -> Asking[Reply]:
        try:
            data = self._conn.send(command)
        except LocalProtocolError as error:
            self._fail(STAGE_OF_VERB[command.verb], "not-sent", error.detail)
        return (yield from self._exchange(data, self._conn.stage))

    def _exchange(self, data: bytes, stage: Stage) -> Asking[Reply]:
        yield Send(data, stage)
        return (yield from self._reply(stage))

    def _reply(self, stage: Stage) -> Asking[Reply]:
        timeout = self._plan.timeouts.at(stage)
        while True:
            event: ReplyReceived = yield Receive(timeout)
            if event.verb:
                break
        if self._conn.state is State.CLOSED and stage != "quit":
            # RFC 5321 §3.8: after 421 the server closes, and there is nobody to say QUIT to.
            raise _Stop
        return event.reply

    def _capabilities(self) -> Capabilities:
        return self._conn.capabilities or Capabilities("", "", {})

    def _stop_if(self, stage: Stage) -> None:
        if self._plan.stop_after == stage:
            raise _Stop

    def _skip(self, stage: Stage, why: str) -> None:
        self._recorder.add("net", "note", stage, facts={"skipped": True, "message": why})

    def _fail(self, stage: Stage, error: str, message: str) -> NoReturn:
        self._recorder.add("net", "error", stage, facts={"error": error, "message": message})
        raise _Stop


def _own_name(local: Address) -> str:
    """The name for EHLO: the host's, or the address literal where that is no full name, or none that
    may stand there (RFC 5321 §4.1.4)."""
    name = socket.gethostname()
    try:
        full_name = name.isascii() and "." in parse_domain(name)
    except AddressError:
        full_name = False
    if full_name:
        return name
    host = local.host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
