"""What a lab server answers: each command by the policy, in the words of the persona.

One `Answers` belongs to one session and keeps what that session is about: who the client says it is, who has
logged in, the transaction. It does no I/O and knows of faults only what they decide: `grant` and `deny`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ehlo.lab.login import Login
from ehlo.lab.persona import Persona
from ehlo.lab.policy import Envelope, Policy
from ehlo.net.intents import endpoint
from ehlo.smtp.address import NULL_PATH, AddressError, Path, parse_mailbox
from ehlo.smtp.command import Command
from ehlo.smtp.content import has_bare_line_ending
from ehlo.smtp.events import AuthResponse, ChunkBegun, ChunkReceived, CommandReceived, CommandRejected, ContentReceived
from ehlo.smtp.parameters import PARAMETERS, ParameterError, check_parameter, extension_of
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.states import State
from ehlo.smtp.xclient import xclient_values

if TYPE_CHECKING:
    from ehlo.smtp.sasl import ChannelBinding

_new = tuple.__new__

#: What hands over a message: the end of its content, or a BDAT command with a chunk.
MessageEvent = ContentReceived | ChunkReceived
ServerEvent = CommandReceived | CommandRejected | MessageEvent | AuthResponse

#: What XCLIENT may change (Postfix XCLIENT_README).
_XCLIENT = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#: What begins something new, and so has no place within a transaction.
_OUTSIDE_TRANSACTIONS = ("AUTH", "STARTTLS", "ETRN", "XCLIENT")


class Edits(NamedTuple):
    """What becomes of the keywords of an EHLO reply: some are left out, some added, or all are masked."""

    drop: frozenset[str] = frozenset()
    add: tuple[str, ...] = ()
    mask: bool = False


NO_EDITS = Edits()

#: Takes a message; whether the store has it.
Deliver = Callable[[Envelope], bool]
#: How many messages a mailbox holds.
Held = Callable[[str], int]
#: Hears who the client is, as host and port are written, when that is another than the connection's own end.
Introduced = Callable[[str], None]


class Answers:
    """The answers of one session.

    It is the lab's `number`th. `client` is the client's address, `helo` what it calls itself, `user` who has logged
    in, `sender` and `recipients` the transaction's, whose content is `binary` or not; `encrypted` is whether TLS is on.
    `edits` are made to the keywords of the next EHLO reply; what is not offered is not known either.

    `answer` does what an event asks for, as far as the policy has it, and gives the reply. Who decides otherwise says
    so: `grant` does it anyhow, `deny` does not. With `losing` a message is accepted and not kept.
    """

    __slots__ = (
        "_conn",
        "_content",
        "_deliver",
        "_edits",
        "_held",
        "_introduced",
        "_login",
        "_messages",
        "_number",
        "_persona",
        "_policy",
        "_say",
        "_size",
        "_truncated",
        "binary",
        "client",
        "edits",
        "encrypted",
        "helo",
        "losing",
        "most_recipients",
        "recipients",
        "sender",
    )

    def __init__(
        self,
        connection: ServerConnection,
        persona: Persona,
        policy: Policy,
        deliver: Deliver,
        held: Held,
        introduced: Introduced,
        client: str = "",
        number: int = 0,
    ) -> None:
        self._conn = connection
        self._persona = persona
        self._say = persona.say
        self._policy = policy
        self._deliver = deliver
        self._held = held
        self._introduced = introduced
        self._login = Login(persona, policy)
        self._content: list[bytes] = []
        self._truncated = False
        self._size = 0
        self._messages = 0
        self._number = number
        self.client = client
        self.helo = ""
        self.encrypted = False
        self.binary = False
        self.sender = NULL_PATH
        self.recipients: list[Path] = []
        self.most_recipients = policy.limits.recipients or persona.recipients
        self.edits = self._edits = NO_EDITS
        self.losing = False

    @property
    def user(self) -> str | None:
        """Who has logged in; None for nobody."""
        return self._login.user

    @property
    def welcomes_as_ever(self) -> bool:
        """Whether EHLO is answered as it is in any session at a port for SMTP, in clear."""
        return not (self.encrypted or self._conn.lmtp)

    def answer(self, event: ServerEvent) -> Reply | list[Reply]:
        """The reply to an event; in LMTP a message has one for each recipient (RFC 2033 §4.2)."""
        if type(event) is CommandReceived:
            command = event.command
            handler = _HANDLERS.get(command.verb)
            if handler is None:
                return self._say("unknown-command")
            return handler(self, command)
        if type(event) is ContentReceived:
            return self._message(event)
        if type(event) is ChunkReceived:
            return self._chunk(event)
        if type(event) is AuthResponse:
            return self._login.respond(event.response)
        return self._refuse(event)  # type: ignore[arg-type]

    def introduce(self, client: str, port: str) -> None:
        """The client is this one, by a PROXY header or XCLIENT; empty is what is not known of it."""
        self.client = client
        self._introduced(endpoint(client, port) if client and port else client)

    def is_misplaced(self, event: ServerEvent | ChunkBegun) -> bool:
        """Whether an event is nothing that could be granted: malformed, or out of order, or a part of a message."""
        if type(event) is CommandReceived:
            command = event.command
            if command.verb == "STARTTLS":
                return self.encrypted
            if command.verb == "AUTH":
                return self.user is not None
            if command.verb == "DATA":
                return self.binary
            return self._wrong_parameter(command) is not None
        if type(event) is ChunkReceived:
            return not event.last or self._chunk_refused(event.refusal) is not None
        if type(event) is ChunkBegun:
            return not event.first or self._chunk_refused(None) is not None
        return type(event) is CommandRejected or (type(event) is AuthResponse and event.response is None)

    def grant(self, event: ServerEvent, reply: Reply) -> bool:
        """Do what an event asks for, since this reply says so; False when there is no room for a message."""
        if type(event) is ContentReceived or type(event) is ChunkReceived:
            accepted = self.hand_over(event, tuple(self.recipients))
            self.forget()
            return accepted.ok
        if event.stage == "auth":
            self.answer(event)
            self._login.grant(done=reply.category == 2)
        elif type(event) is CommandReceived:
            self.carry_out(event.command)
        return True

    def carry_out(self, command: Command) -> None:
        """Do what a command asks for that needs no more than its line."""
        verb = command.verb
        if verb == "RCPT":
            if command.path is not None:
                self.recipients.append(command.path)
        elif verb == "MAIL":
            self._begin_transaction(command)
        elif verb in ("EHLO", "HELO", "LHLO"):
            self._begin_session(command)

    def deny(self, event: ServerEvent) -> None:
        """What an event asks for is refused."""
        if type(event) is ContentReceived or type(event) is ChunkReceived:
            self.forget()
        elif event.stage == "auth":
            self._login.deny()
        self.edits = NO_EDITS

    def tls_started(self, bindings: tuple[ChannelBinding, ...], certified: str = "") -> None:
        """TLS is on: the session begins anew (RFC 3207 §4.2). `bindings` are what a login can be bound to, `certified`
        is whom the client's certificate is for."""
        self.encrypted = True
        self._login = Login(self._persona, self._policy)
        self._login.bindings, self._login.certified = bindings, certified
        self.forget()

    def forget(self) -> None:
        """The transaction is over."""
        self.sender, self.recipients, self.binary = NULL_PATH, [], False
        self._content, self._truncated, self._size = [], False, 0

    def keywords(self) -> list[str]:
        """The keyword lines of the EHLO reply."""
        policy, edits = self._policy, self._edits
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
        if edits is NO_EDITS:
            return lines
        lines = [line for line in lines if line.split()[0] not in edits.drop] + list(edits.add)
        if edits.mask:
            from ehlo.lab.deviate import mask_keywords

            lines = mask_keywords(lines)
        return lines

    def _offers(self, keyword: str) -> bool:
        return any(line.split()[0] == keyword for line in self.keywords())

    def _refuse(self, event: CommandRejected) -> Reply:
        """A line that is no command, or not one that may be given now."""
        reply, state, verb = self._persona.reply, self._conn.state, event.verb
        if state is State.TURNED_AWAY:
            return reply("turned-away", client=self.client)
        if event.reply.code == 500:
            return reply("line-too-long" if event.deviation else "unknown-command")
        if event.reply.code == 501:
            situation = {"MAIL": "mail-syntax", "RCPT": "rcpt-syntax"}.get(verb)
            return reply(situation) if situation else reply("syntax", word=verb)
        if state is State.GREETED:
            return reply("need-ehlo")
        if state is State.READY:
            return reply("need-mail")
        if verb == "MAIL":
            return reply("nested-mail")
        if verb in _OUTSIDE_TRANSACTIONS or state is State.CHUNKING:
            return reply("in-transaction", word=verb)
        return reply("need-rcpt")

    # Commands, in the order of a session.

    def _ehlo(self, command: Command) -> Reply:
        persona = self._persona
        if command.verb == "EHLO" and not persona.keywords:
            # A server of the time before RFC 1869.
            return self._say("unknown-command")
        self._begin_session(command)
        first = persona.welcome(command.argument, self.client)
        if command.verb == "HELO":
            return Reply(250, (first,))
        return Reply(250, (first, *self.keywords()))

    def _begin_session(self, command: Command) -> None:
        self.forget()
        self.helo = command.argument
        self._edits, self.edits = self.edits, NO_EDITS

    def _starttls(self, _: Command) -> Reply:
        if self.encrypted:
            return self._say("tls-active")
        return self._say("starttls" if self._offers("STARTTLS") else "unknown-command")

    def _xclient(self, command: Command) -> Reply:
        if not self._policy.xclient:
            return self._say("unknown-command")
        known: dict[str, str] = {}
        for word in command.argument.split():
            try:
                values = xclient_values(word)
            except ParameterError:
                values = {}
            if "=" not in word or not values or not values.keys() <= set(_XCLIENT.split()):
                return self._persona.reply("parameter", word=word)
            known |= values
        if "ADDR" in known:
            self.introduce(known["ADDR"].removeprefix("IPV6:"), known.get("PORT", ""))
        elif "PORT" in known:
            self.introduce(self.client, known["PORT"])
        self.helo = known.get("HELO", self.helo)
        if "LOGIN" in known:
            self._login.user = known["LOGIN"] or None
        self.forget()
        return self._persona.greeting

    def _auth(self, command: Command) -> Reply:
        return self._login.begin(command.argument, encrypted=self.encrypted)

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
        if command.parameters and declared_size(command) > self.largest:
            return self._say("size-declared")
        if policy.refused_senders and sender.address.lower() in policy.refused_senders:
            return self._persona.reply("sender-refused", address=sender.address)
        if policy.own_senders and self.user is not None and sender.address.lower() not in ("", self.user.lower()):
            return self._persona.reply("sender-not-owned", address=sender.address, word=self.user)
        self._begin_transaction(command)
        return self._say("mail")

    def _begin_transaction(self, command: Command) -> None:
        self.forget()
        self.sender = command.path or NULL_PATH
        if command.parameters:
            # RFC 3030 §3: what MAIL calls binary comes by BDAT.
            self.binary = (command.parameters.get("BODY") or "").upper() == "BINARYMIME"

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
        if len(self.recipients) >= self.most_recipients:
            return self._say("too-many-recipients")
        refusal = policy.refusal(path.mailbox)
        # Who has logged in may send to everybody, and to a mailbox that is not here neither.
        if refusal is not None and (self.user is None or refusal != "relay-denied"):
            return persona.reply(refusal, address=path.address)
        if policy.quotas:
            for mailbox in policy.deliveries(path.mailbox):
                quota = policy.quotas.get(mailbox)
                if quota is not None and self._held(mailbox) >= quota:
                    return persona.reply("mailbox-full", address=path.address)
        self.recipients.append(path)
        return self._say("rcpt")

    def _wrong_parameter(self, command: Command) -> Reply | None:
        for keyword, value in command.parameters.items():
            # RFC 5321 §4.1.1.11: what belongs to the other command is not known at this one.
            here = keyword in PARAMETERS and command.verb in PARAMETERS[keyword].verbs
            if not (here and self._offers(extension_of(keyword, value))):
                word = keyword if value is None else f"{keyword}={value}"
                return self._persona.reply("parameter", word=word)
            if check_parameter(command.verb, keyword, value):
                return self._persona.reply("parameter-value", word=keyword)
        return None

    def _data(self, _: Command) -> Reply:
        return self._say("needs-bdat" if self.binary else "data")

    # The message.

    def whole(self, event: MessageEvent) -> bytes:
        """The content of a message with what ends it, earlier chunks among it."""
        return event.content if type(event) is ContentReceived else b"".join((*self._content, event.content))

    def _chunk(self, event: ChunkReceived) -> Reply | list[Reply]:
        """BDAT (RFC 3030 §2). Only the last chunk hands over a message."""
        if refused := self._chunk_refused(event.refusal):
            return refused
        if event.last:
            return self._message(event)
        self._content.append(event.content)
        self._size += event.size
        self._truncated |= event.truncated
        return self._persona.reply("chunk", word=str(event.size))

    def _chunk_refused(self, refusal: Reply | None) -> Reply | None:
        if not self._offers("CHUNKING"):
            return self._say("unknown-command")
        # RFC 3030 §2: once a chunk was refused, the transaction takes no more of them.
        if refusal is None and self.recipients:
            return None
        return self._say("need-mail" if self._conn.state is State.READY else "need-rcpt")

    def _message(self, event: MessageEvent) -> Reply | list[Reply]:
        recipients = tuple(self.recipients)
        reply = self.objection(event) or self.hand_over(event, recipients)
        self.forget()
        return [reply] * len(recipients) if self._conn.lmtp else reply

    def objection(self, event: MessageEvent) -> Reply | None:
        """Why a message is refused by its content, if it is."""
        if self._truncated or event.truncated:
            # It is too large, or there was no room for it just now.
            return self._say("size-received" if self._size + event.size > self.largest else "not-stored")
        if self._policy.bare_lf == "refuse" and has_bare_line_ending(self.whole(event)):
            return self._say("bare-line-ending")
        return None

    def hand_over(self, event: MessageEvent, recipients: tuple[Path, ...]) -> Reply:
        """Give a message to the store, for these recipients; gives the reply."""
        queue_id = f"{random.getrandbits(44):011X}"
        content, user = self.whole(event), self._login.user or ""
        envelope = _new(Envelope, (queue_id, self.sender, recipients, content, self._number, self.client, user))
        if not (self.losing or self._deliver(envelope)):
            return self._say("not-stored")
        self._messages += 1
        return self._persona.taken(queue_id)

    # Questions.

    def _rset(self, _: Command) -> Reply:
        self.forget()
        return self._say("rset")

    def _vrfy(self, command: Command) -> Reply:
        address = command.argument.removeprefix("<").removesuffix(">")
        if self._persona.replies["vrfy"].code >= 500:
            return self._say("vrfy")
        try:
            # RFC 5321 §3.5.1: a user's name may stand for the mailbox.
            named = parse_mailbox(address if "@" in address else f"{address}@{min(self._policy.domains, default='')}")
        except AddressError:
            return self._persona.reply("syntax", word="VRFY address")
        situation = {"mailbox-unknown": "vrfy-unknown", "relay-denied": "vrfy-elsewhere"}
        # RFC 5321 §3.5.3: a server that will not tell says 252, whatever it is asked.
        return self._persona.reply(
            situation.get(self._policy.refusal(named) or "", "vrfy"), address=address, word=command.argument
        )

    def _expn(self, command: Command) -> Reply:
        return self._persona.reply("expn", address=command.argument)

    def _etrn(self, command: Command) -> Reply:
        return self._persona.reply("etrn", word=command.argument or "?")


def declared_size(command: Command) -> int:
    """The octets that a well-formed MAIL announces (RFC 1870 §5)."""
    return int(command.parameters.get("SIZE") or 0)


def _says(situation: str) -> Callable[[Answers, Command], Reply]:
    return lambda answers, _: answers._say(situation)


_HANDLERS: dict[str, Callable[[Answers, Command], Reply]] = {
    "EHLO": Answers._ehlo,
    "HELO": Answers._ehlo,
    "LHLO": Answers._ehlo,
    "STARTTLS": Answers._starttls,
    "XCLIENT": Answers._xclient,
    "AUTH": Answers._auth,
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
