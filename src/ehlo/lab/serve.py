"""The server's flow: greets, answers each command, and lets faults strike.

    event ──> does a fault strike here? ──> its reply, or the answer ──> bytes ──> spoiled, slowed, cut ──> out

Without faults this is a loop of `Receive` and `Send`; all else is in the second half of the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ehlo.lab.answers import Answers, Deliver, Held, ServerEvent
from ehlo.lab.faults import Action, Faults, Moment
from ehlo.lab.persona import Persona
from ehlo.lab.policy import Policy
from ehlo.net.errors import SessionError
from ehlo.net.intents import Cut, Flow, Pause, Preamble, Receive, Send, StartTLS, Upload
from ehlo.smtp.events import CommandReceived, ContentBegun, ContentReceived
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Recorder

if TYPE_CHECKING:
    import ssl

    from ehlo.net.tls import TLSFacts
    from ehlo.smtp.sasl import ChannelBinding

# Half the price of Send(...), which is paid for every exchange.
_new = tuple.__new__

_HANDSHAKE_TIMEOUT = 60.0
#: RFC 5321 §4.5.3.2.1 has no bound for this; a proxy sends its header at once.
_PREAMBLE_TIMEOUT = 10.0
#: Long enough for a piece to leave in a packet of its own.
_BETWEEN_PIECES = 0.02
#: What a fault sends in place of a TLS handshake: nothing that any version of TLS begins with.
_GARBAGE = b"\x15\x00\x00\x00this is not TLS\r\n"


class Certificates(NamedTuple):
    """Where a session gets its TLS from: `context` makes one for a kind of certificate ("" for the good one) and the
    lowest and highest version; `endpoint` is the good one's channel binding."""

    context: Callable[[str, str, str], ssl.SSLContext]
    endpoint: Callable[[], bytes]


class Entry(NamedTuple):
    """How a session begins, which depends on the port: with a PROXY header, with TLS, with LHLO."""

    proxy: bool = False
    tls: bool = False
    lmtp: bool = False


class Serve:
    """The flow of one server session, the lab's `number`th, from `client`."""

    __slots__ = (
        "_answers",
        "_began",
        "_certificates",
        "_commands",
        "_conn",
        "_entry",
        "_errors",
        "_faults",
        "_held_back",
        "_interrupting",
        "_number",
        "_persona",
        "_policy",
        "_recorder",
    )

    def __init__(
        self,
        connection: ServerConnection,
        recorder: Recorder,
        persona: Persona,
        policy: Policy,
        faults: Faults,
        *,
        deliver: Deliver,
        held: Held,
        certificates: Certificates,
        entry: Entry,
        client: str = "",
        number: int = 0,
    ) -> None:
        self._conn = connection
        self._recorder = recorder
        self._persona = persona
        self._policy = policy
        self._faults = faults
        self._certificates = certificates
        self._entry = entry
        self._number = number
        self._errors = 0
        self._commands = 0
        self._began = 0.0
        self._held_back = b""
        self._interrupting = Action()
        self._answers = Answers(connection, persona, policy, deliver, held, client)

    @property
    def answers(self) -> Answers:
        """What the session is about."""
        return self._answers

    def flow(self) -> Flow:
        """The whole session."""
        conn, persona, limits, answers = self._conn, self._persona, self._policy.limits, self._answers
        faults, send = self._faults, self._conn.send
        unbounded = not (limits.commands or limits.seconds)
        receive, closed, tls_due = Receive(limits.idle or inf), State.CLOSED, State.TLS
        try:
            yield from self._enter()
        except SessionError:
            return
        while conn.state is not closed:
            try:
                event: ServerEvent | ContentBegun = yield receive
            except SessionError as error:
                if error.error == "timed-out":
                    yield Send(conn.send(persona.say("timeout")), error.stage)
                return
            if faults.active:
                try:
                    yield from self._with_faults(event)
                except SessionError:
                    return
            elif type(event) is not ContentBegun:
                answer = answers.answer(event)  # type: ignore[arg-type]
                if type(answer) is Reply and answer.code < 500 and unbounded:
                    # What almost every exchange of every session comes to.
                    yield _new(Send, (send(answer), event.stage))
                else:
                    yield Send(self._encode(self._bounded(answer)), event.stage)
            if conn.state is tls_due:
                yield from self._start_tls("starttls")

    def _enter(self) -> Flow:
        """Everything up to the greeting."""
        self._began = time.monotonic()
        if self._entry.proxy:
            from ehlo.net.proxy import split_header

            header: bytes = yield Preamble(_PREAMBLE_TIMEOUT, split_header)
            self._introduced_by(header)
        if self._entry.tls:
            yield from self._start_tls("tls")
        action = self._strike("banner")
        greeting = self._persona.greeting
        if action is None:
            yield Send(self._conn.send(greeting), "banner")
            return
        yield from self._say(self._instead(action, greeting), "banner", action)

    def _introduced_by(self, header: bytes) -> None:
        from ehlo.net.proxy import describe_header, source_of

        source = source_of(header)
        if source is not None:
            self._answers.client = source[0]
        self._recorder.add("net", "note", "connect", facts={"message": describe_header(header)})

    def _bounded(self, answer: Reply | list[Reply]) -> Reply | list[Reply]:
        """The answer, or the end of a session that has used up what is allowed."""
        limits, persona = self._policy.limits, self._persona
        code = (answer[-1] if isinstance(answer, list) else answer).code
        if code >= 500:
            self._errors += 1
            if self._errors >= (limits.errors or persona.errors):
                # Postfix's smtpd_hard_error_limit: a client that only errs is guessing.
                return persona.say("too-many-errors")
        self._commands += 1
        if limits.commands and self._commands > limits.commands and code != 221:
            return persona.say("too-many-commands")
        if limits.seconds and time.monotonic() - self._began > limits.seconds:
            return persona.say("timeout")
        return answer

    def _encode(self, answer: Reply | list[Reply]) -> bytes:
        if type(answer) is not list:
            return self._conn.send(answer)  # type: ignore[arg-type]
        # RFC 2033 §4.2: one reply for each recipient; the connection knows of the last alone.
        *before, last = answer
        return b"".join(reply.encode() for reply in before) + self._conn.send(last)

    # TLS.

    def _start_tls(self, stage: Stage) -> Flow:
        conn, answers = self._conn, self._answers
        if stage == "starttls" and (dropped := conn.discard_before_tls()):
            # RFC 3207 §4.2: whatever came in clear behind STARTTLS is not part of the session.
            facts = {"error": "bytes-before-tls", "message": f"{len(dropped)} octets were discarded"}
            self._recorder.add("net", "note", "starttls", facts=facts)
        # At `starttls`, a fault with a reply has struck at the command already; the handshake is the stage `tls`.
        action = self._strike("tls") or Action()
        if action.delay:
            yield Pause(action.delay)
        if action.handshake:
            yield from self._spoiled_handshake(action.handshake, stage)
        if action.certificate:
            facts = {"message": f"fault: the certificate is {action.certificate}", "certificate": action.certificate}
            self._recorder.add("net", "note", stage, facts=facts)
        context = self._certificates.context(action.certificate, action.tls_min, action.tls_max)
        tls: TLSFacts = yield StartTLS(context, stage, _HANDSHAKE_TIMEOUT)
        answers.tls_started(self._bindings_of(tls), tls.client)
        if stage == "starttls":
            conn.tls_started()

    def _spoiled_handshake(self, how: str, stage: Stage) -> Flow:
        if how == "garbage":
            # What came before the client's own first octets would be an answer to the command.
            yield Preamble(_HANDSHAKE_TIMEOUT, lambda data: (data, b""))
            yield Upload(_GARBAGE, 10.0)
        elif how == "silent":
            yield Pause(self._policy.limits.idle)
        self._note(stage, f"fault: no handshake ({how})")
        raise SessionError("dropped", stage, "dropped on purpose")

    def _bindings_of(self, tls: TLSFacts) -> tuple[ChannelBinding, ...]:
        """What a login can be bound to (RFC 5929), where a mechanism asks for it."""
        if not any(name.endswith("-PLUS") for name in self._policy.offered):
            return ()
        from ehlo.smtp.sasl import ChannelBinding

        bindings = [ChannelBinding("tls-server-end-point", self._certificates.endpoint())]
        if tls.unique:
            bindings.append(ChannelBinding("tls-unique", tls.unique))
        return tuple(bindings)

    # Faults.

    def _strike(self, stage: Stage, recipient: str = "", content: bytes = b"", declared: int = 0) -> Action | None:
        """The action of the fault that strikes now, if one does."""
        if not self._faults.at(stage):
            return None
        answers = self._answers
        moment = Moment(
            stage=stage,
            client=answers.client,
            number=self._number,
            helo=answers.helo,
            sender=answers.sender.address,
            recipient=recipient or ",".join(path.address for path in answers.recipients[:1]),
            user=answers.user or "",
            tls=answers.encrypted,
            size=len(content) or declared,
            content=content,
        )
        strike = self._faults.strike(moment)
        if strike is None:
            return None
        self._note(stage, f"fault: {strike.fault.title or 'by hand'}")
        return strike.do

    def _note(self, stage: Stage, text: str) -> None:
        self._recorder.add("net", "note", stage, facts={"message": text, "fault": True})

    def _with_faults(self, event: ServerEvent | ContentBegun) -> Flow:
        """Answer an event as the faults have it."""
        answers = self._answers
        if type(event) is ContentBegun:
            yield from self._interrupt_content()
            return
        recipient, content, declared = "", b"", 0
        if type(event) is CommandReceived:
            command = event.command
            if command.verb not in STAGE_OF_VERB:
                # NOOP and its like stand at any stage, and belong to none.
                yield Send(self._take_held_back() + self._encode(self._bounded(answers.answer(event))), event.stage)
                return
            if command.verb in ("EHLO", "HELO", "LHLO"):
                answers.helo = command.argument
            elif command.verb == "MAIL" and command.path is not None:
                answers.sender = command.path
                declared = int(command.parameters.get("SIZE") or 0)
            elif command.verb == "RCPT" and command.path is not None:
                recipient = command.path.address
        elif type(event) is ContentReceived:
            content = event.content
        if type(event) is ContentReceived and self._conn.lmtp:
            yield from self._lmtp_verdicts(event)
            return
        action = self._strike(event.stage, recipient, content, declared)
        if action is None:
            reply = self._bounded(answers.answer(event))  # type: ignore[arg-type]
            yield Send(self._take_held_back() + self._encode(reply), event.stage)
            return
        said = self._instead(action, None)
        if said is None or said.ok:
            # The server goes on as ever, and only says it in another way.
            answers.losing = action.lose
            if event.stage == "ehlo":
                self._edit_keywords(action)
            answer = answers.answer(event)  # type: ignore[arg-type]
            answers.losing = False
            reply = said or self._bounded(answer)
        else:
            if type(event) is ContentReceived or event.stage == "mail":
                answers.forget()
            reply = self._bounded(said)
        yield from self._say(reply, event.stage, action)

    def _lmtp_verdicts(self, event: ContentReceived) -> Flow:
        """Each recipient's reply is a moment of its own (RFC 2033 §4.2)."""
        recipients = [path.address for path in self._answers.recipients]
        actions = [self._strike("message", address, event.content) for address in recipients]
        answer = self._answers.answer(event)
        replies = answer if isinstance(answer, list) else [answer]
        replies = [
            self._instead(action, reply) or reply if action else reply
            for action, reply in zip(actions, replies, strict=True)
        ]
        action = next((action for action in actions if action is not None), Action())
        yield from self._say(replies, "message", action)

    @staticmethod
    def _instead(action: Action, reply: Reply | None) -> Reply | None:
        """What a fault says in place of a reply."""
        if not action.reply:
            return reply
        code, _, text = action.reply[0].partition(" ")
        if not (code.isdecimal() and 200 <= int(code) <= 559 and code[1] in "012345"):
            # What a pattern found was to be the code, and is none.
            return Reply(451, ("4.3.5 Local fault without a reply code",))
        return Reply(int(code), (text, *action.reply[1:]))

    def _edit_keywords(self, action: Action) -> None:
        answers = self._answers
        if action.drop or action.add or action.mask:
            answers.dropped |= {word.upper() for word in action.drop}
            answers.added += action.add
            answers.masked |= action.mask

    def _say(self, answer: Reply | list[Reply] | None, stage: Stage, action: Action) -> Flow:
        """Give an answer the way an action wants it: late, in pieces, spoiled, not at all; then perhaps hang up."""
        if action.delay:
            yield Pause(action.delay)
        if action.stall and action.stall_after < 0:
            yield Pause(action.stall, deaf=True)
        data = b"" if answer is None else self._encode(answer)
        if action.stall_after >= 0 or action.close_after >= 0:
            self._conn.stop_after = max(action.stall_after, action.close_after)
            self._interrupting = action
        data = self._spoiled(data, action, stage)
        if action.hold:
            self._held_back += data
            return
        data = self._take_held_back() + data
        if data:
            yield from self._transmit(data, stage, action)
        if action.silent and not (action.close or action.reset) and self._conn.state is State.CLOSED:
            # After QUIT, silence is not the same as hanging up.
            yield Pause(self._policy.limits.idle)
        if action.close_after >= 0:
            return
        if action.reset:
            yield Pause(0.0)
            yield Cut()
        if action.close:
            raise SessionError("dropped", stage, "dropped on purpose")

    def _spoiled(self, data: bytes, action: Action, stage: Stage) -> bytes:
        from ehlo.lab.deviate import MANGLES, mask_greeting

        if action.raw is not None:
            return action.raw
        if action.silent:
            return b""
        if action.mangle:
            data = MANGLES[action.mangle](data)
        return mask_greeting(data) if action.mask and stage == "banner" else data

    def _take_held_back(self) -> bytes:
        held, self._held_back = self._held_back, b""
        return held

    def _transmit(self, data: bytes, stage: Stage, action: Action) -> Flow:
        sizes = list(action.pieces) or [1] * (len(data) if action.pause else 0)
        if not sizes:
            yield Send(data, stage)
            return
        began = self._recorder.now()
        start = 0
        while start < len(data):
            size = sizes.pop(0) if sizes else len(data)
            yield Upload(data[start : start + size], 60.0)
            start += size
            yield Pause(action.pause or _BETWEEN_PIECES)
        for line in data.splitlines(keepends=True):
            self._recorder.add("server", "line", stage, line, first=began)

    def _interrupt_content(self) -> Flow:
        """As much of the message is here as a fault waited for."""
        action = self._interrupting
        if action.stall_after >= 0 and action.stall:
            yield Pause(action.stall, deaf=True)
        if action.reset:
            yield Cut()
        if action.close_after >= 0:
            raise SessionError("dropped", "message", "dropped on purpose")
