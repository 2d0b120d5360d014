"""What a client's side of a session is made of: connect, greet, encrypt, log in, hand over a message.

Each step is a part of a flow: a generator that yields intents and gives the reply, if there is one. The
order of the steps is decided elsewhere: by a plan in `walk.py`, by a person or a program in
`conversation.py`. Nothing here interprets what was refused or went wrong: it is in the transcript and is
judged from it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ehlo.net.errors import SessionError
from ehlo.net.intents import (
    PIPE,
    Address,
    Connect,
    FindMailHosts,
    Intent,
    Pause,
    Receive,
    Resolve,
    Send,
    StartTLS,
    Upload,
)
from ehlo.probe.plan import Plan
from ehlo.smtp.address import AddressError, parse_domain
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, auth, decode_base64, ehlo, helo, mail, rcpt
from ehlo.smtp.content import to_crlf
from ehlo.smtp.deviations import LocalProtocolError, RemoteProtocolError
from ehlo.smtp.events import ReplyReceived
from ehlo.smtp.parameters import Parameters, extension_of
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import State
from ehlo.transcript.event import NO_FACTS, Facts
from ehlo.transcript.transcript import Recorder

if TYPE_CHECKING:
    from ehlo.net.tls import TLSFacts
    from ehlo.smtp.sasl import Credentials, Mechanism

#: The message goes to the network in pieces of this size.
_BLOCK = 65536
#: RFC 5321 §3.2: a server that does not know EHLO says one of these, and HELO may follow.
_EHLO_UNKNOWN = (500, 502)
#: What a line has in the transcript that is a question.
_QUESTION: Facts = {"question": True}
#: With a rate to keep and no size to write, so many pieces go out a second.
_PIECES_A_SECOND = 10

T = TypeVar("T")
#: A part of a flow that gives a T when it is done.
Asking = Generator[Intent, Any, T]
#: Called with octets sent so far and in all.
Progress = Callable[[int, int], None]


class NotDone(Exception):  # noqa: N818 - the session goes on
    """A step that could not be done, which is recorded; the session is still there.

    `error` is an id that rules know, `message` says the particulars.
    """

    def __init__(self, stage: Stage, error: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.error = error
        self.message = message


class Talk:
    """One client's side of a session.

    `host` is whom it talks to, `name` what it greets with, `tls` what the handshake brought (None: no TLS),
    `certificate_problem` the id of what is wrong with the certificate, as far as it was to be good.
    """

    def __init__(
        self, connection: ClientConnection, recorder: Recorder, plan: Plan, progress: Progress | None = None
    ) -> None:
        self.plan = plan
        self.host = plan.tls_name or plan.target.host
        self.name = plan.helo
        self.tls: TLSFacts | None = None
        self.certificate_problem = ""
        self.conn = connection
        self._recorder = recorder
        self._progress = progress
        connection.lmtp = plan.target.lmtp
        connection.dot_stuffing = plan.tampering.dot_stuffing

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers now."""
        return self.conn.capabilities or Capabilities("", "", {})

    # The network.

    def find_hosts(self) -> Asking[tuple[str, ...]]:
        """The hosts to try in turn."""
        plan = self.plan
        if not plan.target.mx:
            return (plan.target.host,)
        began = self._recorder.now()
        hosts: tuple[str, ...] = yield FindMailHosts(plan.target.host, plan.timeouts.at("dns"))
        facts: Facts = {"name": plan.target.host, "query": "MX", "answers": list(hosts)}
        self._recorder.add("net", "dns", "dns", first=began, facts=facts)
        return hosts

    def find_addresses(self, host: str) -> Asking[tuple[Address, ...]]:
        """The addresses of a host, to try in turn."""
        plan = self.plan
        if plan.target.transport == "unix":
            return (Address(socket.AF_UNIX, host, 0),)
        if plan.target.transport == "pipe":
            return (Address(PIPE, host, 0),)
        began = self._recorder.now()
        addresses: tuple[Address, ...] = yield Resolve(host, plan.target.port, plan.family, plan.timeouts.at("dns"))
        answers = [address.host for address in addresses]
        if answers != [host]:
            facts: Facts = {"name": host, "query": "A AAAA", "answers": list(answers)}
            self._recorder.add("net", "dns", "dns", first=began, facts=facts)
        return addresses

    def connect(self, host: str, addresses: Iterable[Address]) -> Asking[None]:
        """Connect to the first address that lets us. Raises the last one's `SessionError`."""
        plan = self.plan
        last: SessionError | None = None
        for address in addresses:
            try:
                local: Address = yield Connect(address, plan.source, plan.timeouts.at("connect"), plan.source_port)
            except SessionError as error:
                last = error
                continue
            self.host = plan.tls_name or host
            self.name = plan.helo or own_name(local)
            if plan.proxy:
                yield from self._introduce(plan.proxy)
            return
        if last is not None:
            raise last

    def _introduce(self, header: bytes) -> Asking[None]:
        """The header of the PROXY protocol, before anything else."""
        yield Upload(header, self.plan.timeouts.at("connect"))
        from ehlo.net.proxy import describe_header

        self._recorder.add("net", "note", "connect", facts={"message": describe_header(header), "proxy": True})

    # TLS.

    def handshake(self, stage: Stage) -> Asking[None]:
        """TLS, from here on."""
        # Sessions without TLS must not pay for importing it.
        from ehlo.net.certificates import trust_context
        from ehlo.net.tls import client_context

        plan = self.plan
        trust = trust_context(plan.ca_file, plan.ca_path)
        sni = self.host if plan.sni is None else plan.sni
        if plan.target.transport != "tcp" and plan.sni is None:
            sni = plan.tls_name
        name = plan.tls_name if plan.target.transport != "tcp" else self.host
        tls: TLSFacts = yield StartTLS(client_context(plan.tls), stage, plan.timeouts.at(stage), name, trust, sni)
        self.tls = tls
        if certificate := tls.certificate:
            wrong = {"chain": certificate.chain_problem, "name": certificate.name_problem}
            self.certificate_problem = wrong.get(plan.verify, certificate.problem)
        if self.certificate_problem and plan.verify and not plan.insecure:
            self.fail(stage, "certificate-not-verified", "the certificate does not verify")

    def starttls(self) -> Asking[Reply]:
        """STARTTLS and, if the server agrees, the handshake (RFC 3207). The session then begins anew, at EHLO."""
        reply = yield from self.ask(Command("STARTTLS"))
        if self.conn.state is State.TLS:
            yield from self.upgrade()
        return reply

    def upgrade(self) -> Asking[None]:
        """The handshake behind the server's yes to STARTTLS."""
        try:
            self.conn.check_before_tls()
        except RemoteProtocolError as error:
            self._recorder.add("server", "line", "starttls", error.line)
            facts = {"error": error.deviation.value, "message": error.detail}
            self._recorder.add("net", "error", "starttls", facts=facts)
            raise SessionError(error.deviation.value, "starttls", error.detail) from None
        yield from self.handshake("starttls")
        self.conn.tls_started()

    # Greeting and login.

    def greeting(self) -> Asking[Reply]:
        """The server's greeting."""
        event: ReplyReceived = yield Receive(self.plan.timeouts.at("banner"))
        self._drop_after("banner")
        return event.reply

    def greet(self) -> Asking[Reply]:
        """EHLO, or HELO where the server does not know it; LHLO in LMTP, which has no other (RFC 2033 §4.1)."""
        if self.conn.lmtp:
            return (yield from self.ask(Command("LHLO", parse_domain(self.name))))
        reply = yield from self.ask(ehlo(self.name))
        # Behind a PROXY header it is the header that is not known: the reply to EHLO is still to come.
        if reply.code in _EHLO_UNKNOWN and not self.plan.proxy:
            reply = yield from self.ask(helo(self.name))
        return reply

    def xclient(self, attributes: Iterable[str]) -> Asking[Reply]:
        """XCLIENT: what the server shall take for the client's address and name. If it agrees, the session
        begins anew, at EHLO."""
        if "XCLIENT" not in self.capabilities:
            self.fail("ehlo", "extension-not-offered", "the server does not offer XCLIENT to this client")
        return (yield from self.ask(Command("XCLIENT", " ".join(attributes))))

    def mechanism_for(self, credentials: Credentials, names: tuple[str, ...], *, anyway: bool = False) -> Mechanism:
        """The mechanism that `login` uses: the strongest that both sides know, or of those named.

        Raises `NotDone` where there is none, and where a listener could use what it sends: without TLS, and to
        a server whose certificate does not verify. With `anyway` one that is named need not be offered.
        """
        plan, offered = self.plan, self.capabilities.auth
        if not offered and not (anyway and names):
            self.fail("auth", "auth-not-offered", "the server does not offer AUTH here")
        mechanism = self._choose(offered, self._completed(credentials), names)
        if mechanism.in_clear and self.tls is None and not plan.auth_in_clear and plan.target.transport == "tcp":
            self.fail("auth", "auth-in-clear", "the password was not sent: the connection is not encrypted")
        # Whoever plays the server could pass on a digest, too, or try passwords against it at leisure.
        if mechanism.secret != "none" and self.certificate_problem and not plan.insecure:  # noqa: S105 - the kind
            message = "the password was not sent: the server's certificate does not verify"
            self.fail("auth", "certificate-not-verified", message)
        return mechanism

    def login(self, credentials: Credentials, names: tuple[str, ...] = (), *, anyway: bool = False) -> Asking[Reply]:
        """AUTH by the mechanism that `mechanism_for` finds (RFC 4954); gives the last reply. With `anyway` it is
        said even where it may not be."""
        from ehlo.smtp.sasl import MechanismError

        mechanism = self.mechanism_for(credentials, names, anyway=anyway)
        exchange, challenges = mechanism.start(self._completed(credentials)), 0
        try:
            initial = next(exchange)
        except MechanismError as error:
            self.fail("auth", "login-impossible", f"{mechanism.name}: {error}")
        command = auth(mechanism.keyword, initial)
        reply = yield from (self.say(command.encode()) if anyway else self.ask(command))
        while reply.category == 3 and self.conn.state is State.AUTH:
            challenges += 1
            challenge = decode_base64(reply.text.strip()) if reply.text.strip() else b""
            if challenge is None and mechanism.in_clear:
                # What these mechanisms answer does not depend on what they are asked.
                challenge = reply.text.encode("utf-8", "surrogateescape")
            try:
                if challenge is None:
                    raise MechanismError("the server's challenge is not base64 (RFC 4954 §4)")
                response = exchange.send(challenge)
            except StopIteration:
                response = None
            except MechanismError as error:
                yield from self._respond(None)
                self.fail("auth", "challenge-refused", f"{mechanism.name}: {error}")
            reply = yield from self._respond(response)
        if reply.category == 2 and mechanism.keyword.startswith("SCRAM-") and challenges < 2:
            # RFC 5802 §5: the server's signature comes last, and is the only proof that it is who it says.
            message = f"{mechanism.name}: the server said yes without proving that it knows the password"
            self.fail("auth", "challenge-refused", message)
        return reply

    def _respond(self, response: bytes | None) -> Asking[Reply]:
        yield from self._before("auth")
        return (yield from self._exchange(self.conn.send_auth_response(response), "auth"))

    def _completed(self, credentials: Credentials) -> Credentials:
        """The credentials with what the mechanisms must know of the connection."""
        from ehlo.smtp.sasl import ChannelBinding

        binding = None
        offers_binding = any(name.endswith("-PLUS") for name in self.capabilities.auth)
        if self.tls is not None and offers_binding:
            if self.tls.unique:
                binding = ChannelBinding("tls-unique", self.tls.unique)
            elif self.tls.certificate is not None and self.tls.certificate.chain:
                from ehlo.net.certificates import endpoint_hash

                # RFC 9266 would have tls-exporter here, which Python's `ssl` cannot compute.
                binding = ChannelBinding("tls-server-end-point", endpoint_hash(self.tls.certificate.chain[0]))
        return credentials._replace(host=self.host, port=self.plan.target.port, binding=binding)

    def _choose(self, offered: tuple[str, ...], credentials: Credentials, names: tuple[str, ...]) -> Mechanism:
        from ehlo.smtp.sasl import MECHANISMS, choose_mechanism, mechanism_named

        if names:
            named = [mechanism_named(name) for name in names]
            # What was asked for by name is tried even where it is not offered, if there is no other.
            return next((mechanism for mechanism in named if mechanism.keyword in offered), named[0])
        mechanism = choose_mechanism(offered, credentials)
        if mechanism is None:
            offers = f"the server offers {' '.join(offered)}"
            if any(it.keyword in offered and (it.secret != "password" or it.extra) for it in MECHANISMS.values()):  # noqa: S105 - the kind
                self.fail("auth", "mechanism-not-named", f"{offers}, of which none was named")
            known = " ".join(dict.fromkeys(known.keyword for known in MECHANISMS.values()))
            self.fail("auth", "no-common-mechanism", f"{offers}, ehlo knows {known}")
        return mechanism

    # The transaction.

    def mail(self, message: bytes) -> Command:
        """MAIL with the parameters that the plan, the message and the server call for. Raises `NotDone`."""
        plan, offered = self.plan, self.capabilities
        if plan.chunk_size and "CHUNKING" not in offered:
            self.fail("mail", "extension-not-offered", "the server does not offer CHUNKING")
        parameters: dict[str, str | None] = {}
        if message and "SIZE" in offered:
            parameters["SIZE"] = str(len(message))
        if plan.body:
            parameters["BODY"] = plan.body
        elif "8BITMIME" in offered and not message.isascii():
            parameters["BODY"] = "8BITMIME"
        paths = (plan.sender, *plan.recipients)
        foreign = any(path.mailbox is not None and path.mailbox.needs_smtputf8 for path in paths)
        if foreign and "SMTPUTF8" not in offered:
            text = "an address has non-ASCII characters, and the server does not offer SMTPUTF8"
            self.fail("mail", "smtputf8-not-offered", text)
        if foreign or plan.smtputf8:
            parameters["SMTPUTF8"] = None
        parameters.update(plan.mail_parameters)
        self._check_offered("mail", parameters)
        return mail(plan.sender, **{**parameters, **plan.literal_mail})

    def rcpts(self) -> list[Command]:
        """RCPT for each recipient. Raises `NotDone`."""
        plan = self.plan
        self._check_offered("rcpt", plan.rcpt_parameters)
        parameters = {**plan.rcpt_parameters, **plan.literal_rcpt}
        return [rcpt(recipient, **parameters) for recipient in plan.recipients]

    def _check_offered(self, stage: Stage, parameters: Parameters) -> None:
        for keyword, value in parameters.items():
            extension = extension_of(keyword, value)
            if extension and extension not in self.capabilities:
                word = keyword if value is None else f"{keyword}={value}"
                text = f"{word} needs the extension {extension}, which the server does not offer"
                self.fail(stage, "extension-not-offered", text)

    def content_of(self, message: bytes) -> bytes:
        """The message as it goes out: with CRLF line endings, unless it is binary or shall stay as it is."""
        plan = self.plan
        keep = plan.tampering.keep_line_endings or plan.body == "BINARYMIME"
        return message if keep else to_crlf(message)

    def data(self) -> Asking[Reply]:
        """DATA."""
        return (yield from self.ask(Command("DATA")))

    def content(self, content: bytes) -> Asking[list[Reply]]:
        """The message behind a 354, up to its dot; gives the reply, or in LMTP one for each recipient."""
        yield from self._before("message")
        yield from self._upload(content)
        yield from self._sent("message")
        return (yield from self.verdicts())

    def _upload(self, content: bytes) -> Asking[None]:
        conn = self.conn
        literal = self.plan.tampering.instead.get("message")
        began = self._recorder.now()
        sent, middle = 0, len(content) // 2
        try:
            if literal is not None:
                content = literal
                yield from self._write(conn.send_literal_content(literal))
            while sent < len(content) and literal is None:
                end = min(sent + _BLOCK, len(content) if sent >= middle else middle)
                yield from self._write(conn.send_content(content[sent:end]))
                sent = end
                self._report(sent, len(content))
                if sent == middle:
                    yield from self._in_the_middle()
            if literal is None:
                yield from self._write(conn.end_content())
        except SessionError:
            self._record_partial(content, sent, began, NO_FACTS)
            raise
        self._recorder.add("client", "data", "message", content, first=began)

    def _in_the_middle(self) -> Asking[None]:
        """What is to happen within the message."""
        tampering = self.plan.tampering
        if tampering.drop_at == "message":
            raise SessionError("dropped", "message", "dropped on purpose")
        if seconds := tampering.pauses.get("message"):
            yield Pause(seconds)

    def chunks(self, content: bytes, size: int) -> Asking[list[Reply]]:
        """The message by BDAT (RFC 3030), ahead of the replies where the server lets us; gives the last replies."""
        tampering = self.plan.tampering
        yield from self._before("message")
        if "message" in tampering.instead:
            return (yield from self._instead_of_chunks(tampering.instead["message"]))
        ahead = self.plan.pipelining and "PIPELINING" in self.capabilities and not tampering.touches("message")
        replies: list[Reply] = []
        middle = len(content) // 2 if tampering.touches("message") else -1
        for start in range(0, max(len(content), 1), size):
            chunk = content[start : start + size]
            last = start + size >= len(content)
            yield from self._send_chunk(chunk, last=last, middle=middle - start)
            self._report(start + len(chunk), len(content))
            if not ahead or last:
                if last:
                    yield from self._sent("message")
                replies = yield from self.verdicts()
                if replies[-1].category != 2:
                    break
        return replies

    def chunk(self, octets: bytes, *, last: bool, anyway: bool = False) -> Asking[list[Reply]]:
        """One BDAT chunk, with `anyway` even where it may not be; gives the replies to it."""
        yield from self._send_chunk(octets, last=last, anyway=anyway)
        return (yield from self.verdicts())

    def _send_chunk(self, chunk: bytes, *, last: bool, anyway: bool = False, middle: int = -1) -> Asking[None]:
        """A chunk with its command. `middle` is where in it the middle of the message is, if it is in it."""
        began = self._recorder.now()
        data = self.conn.send_chunk(chunk, last=last, anyway=anyway)
        behind = len(data) - len(chunk)
        self._recorder.add("client", "line", "message", data[:behind])
        sent = 0
        try:
            if 0 <= middle < max(len(chunk), 1):
                yield from self._write(data[: behind + middle])
                sent = middle
                yield from self._in_the_middle()
                yield from self._write(data[behind + middle :])
            else:
                yield from self._write(data)
        except SessionError:
            self._record_partial(chunk, sent, began, {"chunk": True})
            raise
        self._recorder.add("client", "data", "message", chunk, first=began, facts={"chunk": True})

    def _instead_of_chunks(self, literal: bytes) -> Asking[list[Reply]]:
        """Any octets in place of the message and its BDAT commands."""
        yield from self._write(self.conn.send_literal_content(literal))
        self._recorder.add("client", "data", "message", literal)
        yield from self._sent("message")
        return (yield from self.verdicts())

    def discarded_chunk(self, octets: bytes) -> Asking[Reply]:
        """BDAT where there is no transaction; gives the refusal.

        RFC 3030 §2: the server takes the octets and throws them away. Without LAST they could not become a message
        even where a server thinks otherwise.
        """
        command = self.conn.send_literal(b"BDAT %d\r\n" % len(octets))
        self._recorder.add("client", "line", "message", command)
        yield from self._write(command + octets)
        self._recorder.add("client", "data", "message", octets, facts={"chunk": True})
        return (yield from self.reply("message"))

    def verdicts(self) -> Asking[list[Reply]]:
        """All replies that are due; those to the message among them are given."""
        replies = [(yield from self.reply("message"))]
        while self.conn.awaiting:
            replies.append((yield from self.reply("message")))
        self._drop_after("message")
        return replies

    def _record_partial(self, content: bytes, sent: int, began: float, facts: Facts) -> None:
        # The transcript has the error already, which came before it was known how far the message went.
        facts = {**facts, "partial": True, "intended": len(content)}
        self._recorder.add("client", "data", "message", content[:sent], first=began, facts=facts)

    def _report(self, sent: int, total: int) -> None:
        if self._progress is not None:
            self._progress(sent, total)

    # What the steps are made of.

    def ask(self, command: Command) -> Asking[Reply]:
        """Give a command that may stand here, and wait for the reply to it. Raises `NotDone`."""
        stage = STAGE_OF_VERB.get(command.verb)
        yield from self._before(stage or self.conn.stage)
        literal = self.plan.tampering.instead.get(stage) if stage is not None else None
        if literal is not None:
            return (yield from self.say(literal, stage))
        return (yield from self._exchange(self._encode(command), self.conn.stage))

    def say(self, data: bytes, stage: Stage | None = None, facts: Facts = NO_FACTS) -> Asking[Reply]:
        """Send any octets, and wait for a reply to each line among them; gives the last one.

        They belong to `stage`; without one, each line to the stage of its verb. `facts` go with each line.
        """
        lines = data.splitlines(keepends=True) if data.endswith(b"\n") else [data]
        for line in lines:
            yield from self._send(self.conn.send_literal(line, stage), self.conn.stage, facts)
        yield from self._sent(self.conn.stage)
        reply = yield from self.reply(self.conn.stage)
        while self.conn.awaiting:
            reply = yield from self.reply(self.conn.stage)
        self._drop_after(self.conn.stage)
        return reply

    def question(self, line: str) -> Asking[Reply]:
        """Give a command that the session itself has no need of. If it takes the session back to where it
        was before EHLO, as XCLIENT and STARTTLS do, that is said again. Gives the question's reply."""
        if self.plan.tampering.pause:
            yield Pause(self.plan.tampering.pause)
        reply = yield from self.say(line.encode("utf-8", "surrogateescape") + b"\r\n", facts=_QUESTION)
        if self.conn.state is State.TLS:
            yield from self.upgrade()
        if self.conn.state is State.GREETED:
            yield from self.greet()
        return reply

    def ask_ahead(self, commands: Iterable[Command]) -> Asking[None]:
        """Give commands without waiting for their replies (RFC 2920 §3.1). Raises `NotDone`."""
        for command in commands:
            yield from self._send(self._encode(command), self.conn.stage)

    def reply(self, stage: Stage) -> Asking[Reply]:
        """Wait for a reply that something asked for. After a 421 there is nobody to talk to: `NotDone`."""
        timeout = self.plan.timeouts.at(stage)
        # Behind commands that were sent ahead, the session is where the reply is due.
        self.conn.stage = stage
        while True:
            event: ReplyReceived = yield Receive(timeout)
            if event.verb or not self.conn.awaiting:
                break
        if self.conn.state is State.CLOSED and stage != "quit":
            # RFC 5321 §3.8: after 421 the server closes.
            raise NotDone(stage, "service-closing", str(event.reply))
        return event.reply

    def fail(self, stage: Stage, error: str, message: str) -> NoReturn:
        """Record that a step cannot be done, and raise `NotDone`."""
        self._recorder.add("net", "error", stage, facts={"error": error, "message": message})
        raise NotDone(stage, error, message)

    def _encode(self, command: Command) -> bytes:
        try:
            return self.conn.send(command)
        except LocalProtocolError as error:
            self.fail(STAGE_OF_VERB.get(command.verb, self.conn.stage), "not-sent", error.detail)

    def _exchange(self, data: bytes, stage: Stage) -> Asking[Reply]:
        yield from self._send(data, stage)
        yield from self._sent(stage)
        reply = yield from self.reply(stage)
        self._drop_after(stage)
        return reply

    def _send(self, data: bytes, stage: Stage, facts: Facts = NO_FACTS) -> Asking[None]:
        tampering = self.plan.tampering
        if tampering.rate or tampering.write_size or facts:
            began = self._recorder.now()
            yield from self._write(data)
            self._recorder.add("client", "line", stage, data, first=began, facts=facts)
        else:
            yield Send(data, stage)

    def _write(self, data: bytes) -> Asking[None]:
        """Hand octets to the network, at the pace and in the pieces that the plan wants."""
        tampering, timeout = self.plan.tampering, self.plan.timeouts.block
        size = tampering.write_size or (max(1, int(tampering.rate / _PIECES_A_SECOND)) if tampering.rate else 0)
        if not size:
            yield Upload(data, timeout)
            return
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            yield Upload(piece, timeout)
            yield Pause(len(piece) / tampering.rate if tampering.rate else 0.0)

    def _before(self, stage: Stage) -> Asking[None]:
        """What is to happen before a stage's command."""
        tampering = self.plan.tampering
        if tampering.drop_at == stage != "message":
            raise SessionError("dropped", stage, "dropped on purpose")
        seconds = tampering.pause if stage == "message" else tampering.pauses.get(stage, tampering.pause)
        if seconds:
            yield Pause(seconds)

    def _sent(self, stage: Stage) -> Asking[None]:
        """What is to happen once a stage's command is on its way."""
        if self.plan.tampering.drop_sent == stage:
            yield Pause(0.0)  # What was sent shall leave before the connection is cut.
            raise SessionError("dropped", stage, "dropped on purpose")

    def _drop_after(self, stage: Stage) -> None:
        if self.plan.tampering.drop_after == stage:
            raise SessionError("dropped", stage, "dropped on purpose")


def own_name(local: Address) -> str:
    """The name for EHLO: the host's, or the address literal where that is no full name, or none that
    may stand there (RFC 5321 §4.1.4)."""
    name = socket.gethostname()
    try:
        domain = parse_domain(name) if name.isascii() else ""
    except AddressError:
        domain = ""
    if not local.port:
        return domain or "localhost"
    if "." in domain:
        return name
    host = local.host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
