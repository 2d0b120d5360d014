"""What a lab server answers: each command by the policy, in the words of the persona.

One `Answers` belongs to one session and keeps what that session is about: who the client says it is, who has
logged in, the transaction. It does no I/O and knows nothing of faults: those are in `serve.py`.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ehlo.lab.persona import Persona
from ehlo.lab.policy import Policy
from ehlo.smtp.address import NULL_PATH, AddressError, Path, parse_mailbox
from ehlo.smtp.command import Command, decode_base64
from ehlo.smtp.content import has_bare_line_ending
from ehlo.smtp.events import AuthResponse, ChunkReceived, CommandReceived, CommandRejected, ContentReceived
from ehlo.smtp.parameters import ParameterError, check_parameter, decode_xtext, extension_of
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.states import State

if TYPE_CHECKING:
    from ehlo.smtp.sasl import ChannelBinding
    from ehlo.smtp.sasl.server import ServerExchange

ServerEvent = CommandReceived | CommandRejected | ContentReceived | ChunkReceived | AuthResponse

#: What XCLIENT may change (Postfix XCLIENT_README).
_XCLIENT = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"


class Envelope(NamedTuple):
    """A message that was accepted, on its way to the store."""

    id: str
    sender: Path
    recipients: tuple[Path, ...]
    content: bytes
    client: str
    user: str


#: Takes a message; whether the store has it.
Deliver = Callable[[Envelope], bool]
#: How many messages a mailbox holds.
Held = Callable[[str], int]


class Answers:
    """The answers of one session.

    `client` is the client's address, `helo` what it calls itself, `user` who has logged in, `sender` and
    `recipients` the transaction's; `bindings` what a login can be bound to, `encrypted` whether TLS is on. `dropped`,
    `added` and `masked` are what faults have made of the keywords; what is not offered is not known either. With
    `losing` a message is accepted and not kept.
    """

    __slots__ = (
        "_auth",
        "_conn",
        "_content",
        "_deliver",
        "_held",
        "_messages",
        "_persona",
        "_policy",
        "_say",
        "_size",
        "_truncated",
        "added",
        "bindings",
        "certified",
        "client",
        "declared",
        "dropped",
        "encrypted",
        "helo",
        "losing",
        "masked",
        "recipients",
        "sender",
        "user",
    )

    def __init__(
        self,
        connection: ServerConnection,
        persona: Persona,
        policy: Policy,
        deliver: Deliver,
        held: Held,
        client: str = "",
    ) -> None:
        self._conn = connection
        self._persona = persona
        self._say = persona.say
        self._policy = policy
        self._deliver = deliver
        self._held = held
        self._auth: ServerExchange | None = None
        self._content: list[bytes] = []
        self._truncated = False
        self._size = 0
        self._messages = 0
        self.client = client
        self.helo = ""
        self.user: str | None = None
        self.encrypted = False
        self.bindings: tuple[ChannelBinding, ...] = ()
        self.certified = ""
        self.sender = NULL_PATH
        self.recipients: list[Path] = []
        self.declared = 0
        self.dropped: frozenset[str] = frozenset()
        self.added: tuple[str, ...] = ()
        self.masked = False
        self.losing = False

    def answer(self, event: ServerEvent) -> Reply | list[Reply]:
        """The reply to an event; in LMTP a message has one for each recipient (RFC 2033 §4.2)."""
        if type(event) is CommandReceived:
            command = event.command
            handler = _HANDLERS.get(command.verb)
            if handler is None:
                return self._say("unknown-command")
            return handler(self, command)
        if type(event) is ContentReceived:
            self._size = event.size
            return self._message(event.content, truncated=event.truncated)
        if type(event) is ChunkReceived:
            return self._chunk(event)
        if type(event) is AuthResponse:
            return self._auth_response(event.response)
        return self._refuse(event)  # type: ignore[arg-type]

    def tls_started(self, bindings: tuple[ChannelBinding, ...], certified: str = "") -> None:
        """TLS is on: the session begins anew (RFC 3207 §4.2). `certified` is whom the client's certificate is for."""
        self.encrypted = True
        self.bindings = bindings
        self.certified = certified
        self.user = None
        self.forget()

    def forget(self) -> None:
        """The transaction is over."""
        self.sender, self.recipients, self.declared = NULL_PATH, [], 0
        self._content, self._truncated, self._size = [], False, 0

    def keywords(self) -> list[str]:
        """The keyword lines of the EHLO reply."""
        policy = self._policy
        size = policy.limits.size
        lines = [*self._persona.keywords, *policy.extensions]
        if size:
            lines = [f"SIZE {size}" if line.split()[0] == "SIZE" else line for line in lines]
        if self.encrypted:
            # RFC 3207 §4.2: STARTTLS is not offered again under TLS.
            lines = [line for line in lines if line != "STARTTLS"]
        if policy.offered and (self.encrypted or policy.auth_in_clear):
            lines.append("AUTH " + " ".join(policy.offered))
        if policy.xclient:
            lines.append(f"XCLIENT {_XCLIENT}")
        if self.dropped or self.added:
            lines = [line for line in lines if line.split()[0] not in self.dropped] + list(self.added)
        if self.masked:
            from ehlo.lab.deviate import mask_keywords

            lines = mask_keywords(lines)
        return lines

    def _offers(self, keyword: str) -> bool:
        return any(line.split()[0] == keyword for line in self.keywords())

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
            return reply("no-recipients" if self.recipients else "need-rcpt")
        return reply("need-mail" if state is State.READY else "need-rcpt")

    # Commands, in the order of a session.

    def _ehlo(self, command: Command) -> Reply:
        persona = self._persona
        if command.verb == "EHLO" and not persona.keywords:
            # A server of the time before RFC 1869.
            return self._say("unknown-command")
        self.forget()
        self.helo = command.argument
        first = persona.hello.replace("{helo}", command.argument[:256]).replace("{client}", self.client)
        if command.verb == "HELO":
            return Reply(250, (first,))
        return Reply(250, (first, *self.keywords()))

    def _starttls(self, _: Command) -> Reply:
        if self.encrypted:
            return self._say("tls-active")
        return self._say("starttls" if self._offers("STARTTLS") else "unknown-command")

    def _xclient(self, command: Command) -> Reply:
        if not self._policy.xclient:
            return self._say("unknown-command")
        for word in command.argument.split():
            name, equals, value = word.partition("=")
            try:
                value = decode_xtext(value)
            except ParameterError:
                equals = ""
            if not equals or name.upper() not in _XCLIENT.split():
                return self._persona.reply("parameter", word=word)
            unknown = value.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
            if name.upper() == "ADDR":
                self.client = "" if unknown else value.removeprefix("IPV6:")
            elif name.upper() == "HELO":
                self.helo = "" if unknown else value
            elif name.upper() == "LOGIN":
                self.user = None if unknown else value
        self.forget()
        return self._persona.greeting

    def _mail(self, command: Command) -> Reply:
        policy = self._policy
        if policy.tls_required and not self.encrypted:
            return self._say("tls-required")
        if policy.auth_required and self.user is None:
            return self._say("auth-required")
        if command.parameters and (wrong := self._wrong_parameter(command)):
            return wrong
        if policy.limits.messages and self._messages >= policy.limits.messages:
            return self._say("too-many-messages")
        sender = command.path or NULL_PATH
        size = int(command.parameters.get("SIZE") or 0)
        if size and size > self.largest:
            return self._say("size-declared")
        if policy.refused_senders and sender.address.lower() in policy.refused_senders:
            return self._persona.reply("sender-refused", address=sender.address)
        if policy.own_senders and self.user is not None and sender.address.lower() not in ("", self.user.lower()):
            return self._persona.reply("sender-not-owned", address=sender.address, word=self.user)
        self.sender, self.recipients, self.declared = sender, [], size
        return self._say("mail")

    @property
    def largest(self) -> int:
        """The largest message that is taken, in octets."""
        return self._policy.limits.size or self._persona.size

    def _rcpt(self, command: Command) -> Reply:
        if command.parameters and (wrong := self._wrong_parameter(command)):
            return wrong
        path = command.path
        if path is None or path.mailbox is None:
            return self._say("rcpt-syntax")
        policy, persona = self._policy, self._persona
        if len(self.recipients) >= (policy.limits.recipients or persona.recipients):
            return self._say("too-many-recipients")
        refusal = policy.refusal(path.mailbox)
        # Who has logged in may send to everybody, and to a mailbox that is not here neither.
        if refusal is not None and (self.user is None or refusal != "relay-denied"):
            return persona.reply(refusal, address=path.address)
        for mailbox in policy.deliveries(path.address) if policy.quotas else ():
            quota = policy.quotas.get(mailbox)
            if quota is not None and self._held(mailbox) >= quota:
                return persona.reply("mailbox-full", address=path.address)
        self.recipients.append(path)
        return self._say("rcpt")

    def _wrong_parameter(self, command: Command) -> Reply | None:
        for keyword, value in command.parameters.items():
            offered = self._offers(extension_of(keyword, value))
            if not offered or check_parameter(command.verb, keyword, value):
                word = keyword if value is None else f"{keyword}={value}"
                return self._persona.reply("parameter", word=word)
        return None

    def _data(self, _: Command) -> Reply:
        return self._say("data")

    def _chunk(self, event: ChunkReceived) -> Reply | list[Reply]:
        """BDAT (RFC 3030 §2). Only the last chunk hands over a message; a refused one spoils it."""
        if not self._offers("CHUNKING"):
            return self._say("unknown-command")
        if event.refusal is not None:
            return self._say("need-mail" if self._conn.state is State.READY else "need-rcpt")
        self._size += event.size
        if not event.last:
            self._content.append(event.content)
            self._truncated |= event.truncated
            return self._persona.reply("chunk", word=str(event.size))
        content = b"".join((*self._content, event.content))
        return self._message(content, truncated=self._truncated or event.truncated)

    def _message(self, content: bytes, *, truncated: bool) -> Reply | list[Reply]:
        sender, recipients = self.sender, tuple(self.recipients)
        reply = self._verdict(sender, recipients, content, truncated=truncated)
        self.forget()
        return [reply] * len(recipients) if self._conn.lmtp else reply

    def _verdict(self, sender: Path, recipients: tuple[Path, ...], content: bytes, *, truncated: bool) -> Reply:
        if truncated:
            # It is too large, or there was no room for it just now.
            return self._say("size-received" if self._size > self.largest else "not-stored")
        if self._policy.bare_lf == "refuse" and has_bare_line_ending(content):
            return self._say("bare-line-ending")
        queue_id = f"{random.getrandbits(44):011X}"
        envelope = Envelope(queue_id, sender, recipients, content, self.client, self.user or "")
        if not (self.losing or self._deliver(envelope)):
            return self._say("not-stored")
        self._messages += 1
        return self._persona.reply("message", id=queue_id)

    def _rset(self, _: Command) -> Reply:
        self.forget()
        return self._say("rset")

    def _vrfy(self, command: Command) -> Reply:
        if not command.argument:
            return self._persona.reply("syntax", word="VRFY address")
        # RFC 5321 §3.5.3: a server that will not tell says 252.
        reply = self._persona.reply("vrfy", address=command.argument.strip("<>"))
        if reply.code == 250:
            try:
                mailbox = parse_mailbox(command.argument.strip("<>"))
            except AddressError:
                return self._persona.reply("syntax", word="VRFY address")
            if refusal := self._policy.refusal(mailbox):
                return self._persona.reply(refusal, address=command.argument.strip("<>"))
        return reply

    def _expn(self, command: Command) -> Reply:
        return self._persona.reply("expn", address=command.argument)

    def _etrn(self, command: Command) -> Reply:
        return self._persona.reply("etrn", word=command.argument or "?")

    # AUTH (RFC 4954): what the mechanisms do is in `ehlo.smtp.sasl.server`.

    def _auth_begin(self, command: Command) -> Reply:
        policy = self._policy
        if not policy.offered:
            return self._say("auth-disabled")
        if self.user is not None:
            return self._say("auth-active")
        if not self.encrypted and not policy.auth_in_clear:
            return self._say("auth-needs-tls")
        mechanism, _, initial = command.argument.partition(" ")
        if mechanism.upper() not in policy.offered:
            return self._say("auth-mechanism")
        from ehlo.smtp.sasl.server import SERVER_MECHANISMS, Realm

        realm = Realm(
            policy.users.get, self.bindings, self._persona.host, anyone=policy.any_login, external=self.certified
        )
        self._auth = SERVER_MECHANISMS[mechanism.upper()](realm)
        next(self._auth)
        if not initial:
            return self._auth_step(None)
        # RFC 4954 §4: "=" is an initial response without octets.
        return self._auth_response(b"" if initial == "=" else decode_base64(initial))

    def _auth_response(self, response: bytes | None) -> Reply:
        if response is None or self._auth is None:
            self._auth = None
            return self._say("auth-cancelled")
        return self._auth_step(response)

    def _auth_step(self, response: bytes | None) -> Reply:
        if self._auth is None:
            return self._say("auth-cancelled")
        from ehlo.smtp.sasl import MechanismError

        try:
            challenge = self._auth.send(response)
        except StopIteration as done:
            self.user, self._auth = done.value, None
            return self._say("auth")
        except MechanismError:
            self._auth = None
            return self._say("auth-failed")
        return Reply(334, (base64.b64encode(challenge).decode("ascii"),))


def _says(situation: str) -> Callable[[Answers, Command], Reply]:
    return lambda answers, _: answers._say(situation)


_HANDLERS: dict[str, Callable[[Answers, Command], Reply]] = {
    "EHLO": Answers._ehlo,
    "HELO": Answers._ehlo,
    "LHLO": Answers._ehlo,
    "STARTTLS": Answers._starttls,
    "XCLIENT": Answers._xclient,
    "AUTH": Answers._auth_begin,
    "MAIL": Answers._mail,
    "RCPT": Answers._rcpt,
    "DATA": Answers._data,
    "RSET": Answers._rset,
    "NOOP": _says("noop"),
    "VRFY": Answers._vrfy,
    "EXPN": Answers._expn,
    "ETRN": Answers._etrn,
    "HELP": _says("help"),
    "QUIT": _says("quit"),
}
