"""The server's flow: greets, answers each command by policy in the words of its persona."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from ehlo.lab.persona import Persona
from ehlo.lab.policy import Message, Policy
from ehlo.net.errors import SessionError
from ehlo.net.intents import Flow, Receive, Send, StartTLS
from ehlo.smtp.address import NULL_PATH, Path
from ehlo.smtp.command import Command, decode_base64
from ehlo.smtp.events import AuthResponse, ChunkReceived, CommandReceived, CommandRejected, ContentReceived
from ehlo.smtp.parameters import check_parameter, extension_of
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Recorder

if TYPE_CHECKING:
    import ssl

    from ehlo.net.tls import TLSFacts
    from ehlo.smtp.sasl import ChannelBinding
    from ehlo.smtp.sasl.server import ServerExchange

#: RFC 5321 §4.5.3.2.7: a server waits at least five minutes for the next command.
IDLE_TIMEOUT = 300.0
_HANDSHAKE_TIMEOUT = 60.0

ServerEvent = CommandReceived | CommandRejected | ContentReceived | ChunkReceived | AuthResponse
Deliver = Callable[[Message], None]


class Serve:
    """The flow of one server session."""

    __slots__ = (
        "_auth",
        "_bindings",
        "_conn",
        "_content",
        "_context",
        "_deliver",
        "_encrypted",
        "_endpoint",
        "_errors",
        "_idle",
        "_persona",
        "_policy",
        "_recipients",
        "_recorder",
        "_replies",
        "_sender",
        "_truncated",
        "_user",
    )

    def __init__(
        self,
        connection: ServerConnection,
        recorder: Recorder,
        persona: Persona,
        policy: Policy,
        *,
        deliver: Deliver,
        context: Callable[[], ssl.SSLContext],
        endpoint: Callable[[], bytes] = bytes,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._conn = connection
        self._recorder = recorder
        self._persona = persona
        self._replies = persona.replies
        self._policy = policy
        self._deliver = deliver
        self._context = context
        self._endpoint = endpoint
        self._idle = idle_timeout
        self._encrypted = False
        self._errors = 0
        self._sender = NULL_PATH
        self._recipients: list[Path] = []
        self._content: list[bytes] = []
        self._truncated = False
        self._user: str | None = None
        self._auth: ServerExchange | None = None
        self._bindings: tuple[ChannelBinding, ...] = ()

    def flow(self) -> Flow:
        """The whole session."""
        conn, persona = self._conn, self._persona
        receive, closed, tls_due = Receive(self._idle), State.CLOSED, State.TLS
        yield Send(conn.send(persona.greeting), "banner")
        while True:
            try:
                event: ServerEvent = yield receive
            except SessionError as error:
                if error.error == "timed-out":
                    yield Send(conn.send(persona.replies["timeout"]), error.stage)
                return
            reply = self._answer(event)
            if reply.code >= 500:
                self._errors += 1
                if self._errors >= persona.errors:
                    # Postfix's smtpd_hard_error_limit: a client that only errs is guessing.
                    reply = persona.replies["too-many-errors"]
            yield Send(conn.send(reply), event.stage)
            if conn.state is closed:
                return
            if conn.state is tls_due:
                yield from self._start_tls()

    def _start_tls(self) -> Flow:
        if dropped := self._conn.discard_before_tls():
            # RFC 3207 §4.2: whatever came in clear behind STARTTLS is not part of the session.
            facts = {"error": "bytes-before-tls", "message": f"{len(dropped)} octets were discarded"}
            self._recorder.add("net", "note", "starttls", facts=facts)
        tls: TLSFacts = yield StartTLS(self._context(), "starttls", _HANDSHAKE_TIMEOUT)
        self._encrypted = True
        self._bindings = self._bindings_of(tls)
        self._user = None
        self._conn.tls_started()

    def _bindings_of(self, tls: TLSFacts) -> tuple[ChannelBinding, ...]:
        """What a login can be bound to (RFC 5929), where a mechanism asks for it."""
        if not any(name.endswith("-PLUS") for name in self._policy.mechanisms):
            return ()
        from ehlo.smtp.sasl import ChannelBinding

        bindings = [ChannelBinding("tls-server-end-point", self._endpoint())]
        if tls.unique:
            bindings.append(ChannelBinding("tls-unique", tls.unique))
        return tuple(bindings)

    def _answer(self, event: ServerEvent) -> Reply:
        if type(event) is CommandReceived:
            handler = _HANDLERS.get(event.command.verb)
            if handler is None:
                return self._replies["unknown-command"]
            return handler(self, event.command)
        if type(event) is ContentReceived:
            return self._message(event.content, truncated=event.truncated)
        if type(event) is ChunkReceived:
            return self._chunk(event)
        if type(event) is AuthResponse:
            return self._auth_response(event.response)
        return self._refuse(event)  # type: ignore[arg-type]

    def _refuse(self, event: CommandRejected) -> Reply:
        """A line that is no command, or not one that may be given now."""
        reply, state, verb = self._persona.reply, self._conn.state, event.verb
        if event.reply.code == 500:
            return reply("line-too-long" if event.deviation else "unknown-command")
        if event.reply.code == 501:
            situation = {"MAIL": "mail-syntax", "RCPT": "rcpt-syntax"}.get(verb)
            return reply(situation) if situation else reply("syntax", word=verb)
        if state is State.GREETED:
            return reply("need-ehlo")
        if verb == "MAIL":
            return reply("nested-mail")
        if verb == "DATA" and state is State.MAIL:
            return reply("no-recipients" if self._recipients else "need-rcpt")
        return reply("need-mail" if state is State.READY else "need-rcpt")

    # Commands, in the order of a session.

    def _ehlo(self, command: Command) -> Reply:
        self._reset()
        persona = self._persona
        if command.verb == "HELO":
            return Reply(250, (persona.host,))
        return Reply(250, (persona.host, *self._keywords()))

    def _keywords(self) -> tuple[str, ...]:
        keywords = (*self._persona.keywords, *self._policy.extensions)
        if self._encrypted:
            # RFC 3207 §4.2: STARTTLS is not offered again under TLS.
            keywords = tuple(word for word in keywords if word != "STARTTLS")
            if self._policy.users:
                keywords = (*keywords, "AUTH " + " ".join(self._policy.mechanisms))
        return keywords

    def _starttls(self, _: Command) -> Reply:
        return self._persona.reply("tls-active" if self._encrypted else "starttls")

    def _mail(self, command: Command) -> Reply:
        if wrong := self._wrong_parameter(command):
            return wrong
        sender = command.path or NULL_PATH
        size = command.parameters.get("SIZE")
        if size and int(size) > self._persona.size:
            return self._replies["size-declared"]
        if sender.address.lower() in self._policy.refused_senders:
            return self._persona.reply("sender-refused", address=sender.address)
        self._sender, self._recipients = sender, []
        return self._replies["mail"]

    def _rcpt(self, command: Command) -> Reply:
        if wrong := self._wrong_parameter(command):
            return wrong
        path = command.path
        if path is None or path.mailbox is None:
            return self._replies["rcpt-syntax"]
        if len(self._recipients) >= self._persona.recipients:
            return self._replies["too-many-recipients"]
        if self._user is None and (refusal := self._policy.refusal(path.mailbox)):
            return self._persona.reply(refusal, address=path.address)
        self._recipients.append(path)
        return self._replies["rcpt"]

    def _wrong_parameter(self, command: Command) -> Reply | None:
        for keyword, value in command.parameters.items():
            extension = extension_of(keyword, value)
            offered = any(line.split()[0] == extension for line in self._keywords())
            if not offered or check_parameter(command.verb, keyword, value):
                word = keyword if value is None else f"{keyword}={value}"
                return self._persona.reply("parameter", word=word)
        return None

    def _chunk(self, event: ChunkReceived) -> Reply:
        """BDAT (RFC 3030 §2). Only the last chunk hands over a message; a refused one spoils it."""
        if not any(line.split()[0] == "CHUNKING" for line in self._keywords()):
            return self._replies["unknown-command"]
        if event.refusal is not None:
            return self._replies["need-mail" if self._conn.state is State.READY else "need-rcpt"]
        if not event.last:
            self._content.append(event.content)
            self._truncated |= event.truncated
            return self._persona.reply("chunk", word=str(event.size))
        content = b"".join((*self._content, event.content))
        return self._message(content, truncated=self._truncated or event.truncated)

    def _message(self, content: bytes, *, truncated: bool) -> Reply:
        sender, recipients = self._sender, tuple(self._recipients)
        self._reset()
        if truncated:
            return self._replies["size-received"]
        queue_id = f"{random.getrandbits(44):011X}"
        self._deliver(Message(queue_id, sender, recipients, content, self._recorder.transcript))
        return self._persona.reply("message", id=queue_id)

    def _rset(self, _: Command) -> Reply:
        self._reset()
        return self._replies["rset"]

    def _reset(self) -> None:
        self._sender, self._recipients = NULL_PATH, []
        self._content, self._truncated = [], False

    def _vrfy(self, command: Command) -> Reply:
        if not command.argument:
            return self._persona.reply("syntax", word="VRFY address")
        # RFC 5321 §3.5.3: a server that will not tell says 252.
        return self._persona.reply("vrfy", address=command.argument)

    def _etrn(self, command: Command) -> Reply:
        return self._persona.reply("etrn", word=command.argument or "?")

    # AUTH (RFC 4954): what the mechanisms do is in `ehlo.smtp.sasl.server`.

    def _auth_begin(self, command: Command) -> Reply:
        reply, policy = self._persona.reply, self._policy
        if not policy.users:
            return reply("auth-disabled")
        if self._user is not None:
            return reply("auth-active")
        if not self._encrypted:
            return reply("auth-needs-tls")
        mechanism, _, initial = command.argument.partition(" ")
        if mechanism.upper() not in policy.mechanisms:
            return reply("auth-mechanism")
        from ehlo.smtp.sasl.server import SERVER_MECHANISMS, Realm

        realm = Realm(policy.users.get, self._bindings, self._persona.host)
        self._auth = SERVER_MECHANISMS[mechanism.upper()](realm)
        next(self._auth)
        if not initial:
            return self._auth_step(None)
        return self._auth_response(decode_base64(initial))

    def _auth_response(self, response: bytes | None) -> Reply:
        if response is None or self._auth is None:
            self._auth = None
            return self._replies["auth-cancelled"]
        return self._auth_step(response)

    def _auth_step(self, response: bytes | None) -> Reply:
        if self._auth is None:
            return self._replies["auth-cancelled"]
        from ehlo.smtp.sasl import MechanismError

        try:
            challenge = self._auth.send(response)
        except StopIteration as done:
            self._user, self._auth = done.value, None
            return self._replies["auth"]
        except MechanismError:
            self._auth = None
            return self._replies["auth-failed"]
        return Reply(334, (base64.b64encode(challenge).decode("ascii"),))


def _says(situation: str) -> Callable[[Serve, Command], Reply]:
    return lambda serve, _: serve._replies[situation]


_HANDLERS: dict[str, Callable[[Serve, Command], Reply]] = {
    "EHLO": Serve._ehlo,
    "HELO": Serve._ehlo,
    "STARTTLS": Serve._starttls,
    "AUTH": Serve._auth_begin,
    "MAIL": Serve._mail,
    "RCPT": Serve._rcpt,
    "DATA": _says("data"),
    "RSET": Serve._rset,
    "NOOP": _says("noop"),
    "VRFY": Serve._vrfy,
    "ETRN": Serve._etrn,
    "HELP": _says("help"),
    "QUIT": _says("quit"),
}
