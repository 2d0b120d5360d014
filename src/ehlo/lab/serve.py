"""The server's flow: greets, answers each command, and lets faults strike.

    event ──> does a fault strike here? ──> its reply, or the answer ──> bytes ──> spoiled, slowed, cut ──> out

Without faults this is a loop of `Receive` and `Send`; all else is in the second half of the file. What is answered is
in `answers.py`, how it is said in `speaking.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ehlo.lab.answers import Answers, Deliver, Edits, Held, Introduced, MessageEvent, ServerEvent, declared_size
from ehlo.lab.conditions import Moment
from ehlo.lab.faults import Action, Faults, grants
from ehlo.lab.persona import Persona
from ehlo.lab.policy import Policy
from ehlo.lab.routine import Routine
from ehlo.lab.speaking import Speaker
from ehlo.net.errors import SessionError
from ehlo.net.intents import Flow, Pause, Preamble, Receive, Send, StartTLS, Upload
from ehlo.smtp.command import COMMAND_LINE_LIMIT
from ehlo.smtp.events import ChunkBegun, ChunkReceived, CommandReceived, ContentBegun, ContentReceived
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Recorder

if TYPE_CHECKING:
    import ssl

    from ehlo.net.tls import TLSFacts
    from ehlo.smtp.sasl import ChannelBinding

_new = tuple.__new__

_HANDSHAKE_TIMEOUT = 60.0
#: RFC 5321 §4.5.3.2.1 has no bound for this; a proxy sends its header at once.
_PREAMBLE_TIMEOUT = 10.0
#: What a fault sends in place of a TLS handshake: nothing that any version of TLS begins with.
_GARBAGE = b"\x15\x00\x00\x00this is not TLS\r\n"


class Certificates(NamedTuple):
    """Where a session gets its TLS from: `context` makes one for a kind of certificate ("" for the good one) and the
    lowest and highest version; `endpoint` gives the channel binding of one of that kind."""

    context: Callable[[str, str, str], ssl.SSLContext]
    endpoint: Callable[[str], bytes]


class Entry(NamedTuple):
    """How a session begins, which depends on the port: with a PROXY header, with TLS, with LHLO."""

    proxy: bool = False
    tls: bool = False
    lmtp: bool = False


#: Events that tell of a beginning, and need no answer.
Beginning = ContentBegun | ChunkBegun
_BEGINNINGS = frozenset({ContentBegun, ChunkBegun})


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
        "_number",
        "_over",
        "_persona",
        "_policy",
        "_proxied",
        "_recorder",
        "_routine",
        "_speaker",
    )

    def __init__(
        self,
        connection: ServerConnection,
        recorder: Recorder,
        persona: Persona,
        policy: Policy,
        faults: Faults,
        routine: Routine,
        *,
        deliver: Deliver,
        held: Held,
        introduced: Introduced,
        proxied: Callable[[str], Reply | None],
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
        self._routine = routine
        self._certificates = certificates
        self._proxied = proxied
        self._entry = entry
        self._number = number
        self._errors = 0
        self._commands = 0
        self._began = 0.0
        self._over = False
        self._speaker = Speaker(connection, recorder, policy.limits.idle)
        self._answers = Answers(connection, persona, policy, deliver, held, introduced, client, number)

    @property
    def answers(self) -> Answers:
        """What the session is about."""
        return self._answers

    def flow(self) -> Flow:
        """The whole session."""
        conn, persona, limits, answers = self._conn, self._persona, self._policy.limits, self._answers
        faults, speaker, send = self._faults, self._speaker, self._conn.send
        unbounded = not (limits.commands or limits.seconds)
        receive, closed, tls_due = Receive(limits.idle or inf, self._recall), State.CLOSED, State.TLS
        try:
            yield from self._enter()
        except SessionError:
            return
        while conn.state is not closed and not self._over:
            try:
                event: ServerEvent | Beginning = yield receive
            except SessionError as error:
                if error.error == "timed-out":
                    yield Send(conn.send(persona.say("timeout")), error.stage)
                return
            if faults.active or speaker.held_back:
                try:
                    yield from self._with_faults(event)
                except SessionError:
                    return
            elif type(event) not in _BEGINNINGS:
                answer = answers.answer(event)  # type: ignore[arg-type]
                if type(answer) is Reply and answer.code < 500 and unbounded:
                    before = conn.state
                    said = _new(Send, (send(answer), event.stage))
                    if type(event) is CommandReceived and (event.stage != "ehlo" or answers.welcomes_as_ever):
                        self._routine.learn(before, event, answer, (event.command, said, event.stage, conn.state))
                    yield said
                else:
                    yield Send(self._encode(self._bounded(answer)), event.stage)
            if conn.state is tls_due:
                yield from self._start_tls("starttls")

    def _recall(self, line: bytes) -> Send | None:
        """What is said to a line as ever, unless something may make a difference this time."""
        conn, answers = self._conn, self._answers
        if len(line) > COMMAND_LINE_LIMIT or conn.chunk is not None:
            return None
        exchange = self._routine.recall((conn.state, line))
        if exchange is None or self._faults.active or self._speaker.held_back:
            return None
        command, said, stage, state = exchange
        if stage == "rcpt":
            if len(answers.recipients) >= answers.most_recipients:
                return None
        elif (stage == "ehlo" and not answers.welcomes_as_ever) or (stage == "data" and answers.binary):
            return None
        answers.carry_out(command)
        conn.answered(stage, state)
        return said

    def _enter(self) -> Flow:
        """Everything up to the greeting."""
        self._began = time.monotonic()
        if self._entry.proxy:
            from ehlo.net.proxy import split_header

            header: bytes = yield Preamble(_PREAMBLE_TIMEOUT, split_header)
            if turned_away := self._introduced_by(header):
                self._over = True
                yield Send(self._conn.send(turned_away), "banner")
                return
        if self._entry.tls:
            yield from self._start_tls("tls")
        action = self._strike("banner")
        greeting = self._persona.greeting
        if action is None:
            yield Send(self._conn.send(greeting), "banner")
            return
        yield from self._speaker.say(self._conn.send(_instead(action) or greeting), "banner", action)

    def _introduced_by(self, header: bytes) -> Reply | None:
        """Take the client for the one that a proxy names; gives what that hears if there is no room for it."""
        from ehlo.net.proxy import describe_header, source_of

        source = source_of(header)
        if source is not None:
            self._answers.introduce(source[0], str(source[1]))
        self._recorder.add("net", "note", "connect", facts={"message": describe_header(header)})
        return self._proxied(self._answers.client)

    def _bounded(self, answer: Reply | list[Reply]) -> Reply | list[Reply]:
        """The answer, or the end of a session that has used up what is allowed."""
        limits = self._policy.limits
        code = (answer[-1] if isinstance(answer, list) else answer).code
        if code >= 500:
            self._errors += 1
            if self._errors >= (limits.errors or self._persona.errors):
                # Postfix's smtpd_hard_error_limit: a client that only errs is guessing.
                return self._ended_by("too-many-errors")
        self._commands += 1
        if limits.commands and self._commands > limits.commands and code != 221:
            return self._ended_by("too-many-commands")
        if limits.seconds and time.monotonic() - self._began > limits.seconds:
            return self._ended_by("timeout")
        return answer

    def _ended_by(self, situation: str) -> Reply:
        # Not every persona has a 421 for it, which alone would be the end.
        self._over = True
        return self._persona.say(situation)

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
            # What comes meanwhile is of the handshake already, and is left for it.
            yield Pause(action.delay, deaf=True)
        if action.handshake:
            yield from self._spoiled_handshake(action.handshake, stage)
        if action.certificate:
            facts = {"message": f"fault: the certificate is {action.certificate}", "certificate": action.certificate}
            self._recorder.add("net", "note", stage, facts=facts)
        context = self._certificates.context(action.certificate, action.tls_min, action.tls_max)
        tls: TLSFacts = yield StartTLS(context, stage, _HANDSHAKE_TIMEOUT)
        answers.tls_started(self._bindings_of(tls, action.certificate), tls.client)
        if stage == "starttls":
            conn.tls_started()

    def _spoiled_handshake(self, how: str, stage: Stage) -> Flow:
        if how == "garbage":
            # What came before the client's own first octets would be an answer to the command.
            yield Preamble(_HANDSHAKE_TIMEOUT, lambda data: (data, b""))
            yield Upload(_GARBAGE, 10.0)
        elif how == "silent":
            yield from self._speaker.wait()
        self._note(stage, f"fault: no handshake ({how})")
        raise SessionError("dropped", stage, "dropped on purpose")

    def _bindings_of(self, tls: TLSFacts, kind: str) -> tuple[ChannelBinding, ...]:
        """What a login can be bound to (RFC 5929), where a mechanism asks for it."""
        if not any(name.endswith("-PLUS") for name in self._policy.offered):
            return ()
        from ehlo.smtp.sasl import ChannelBinding

        bindings = [ChannelBinding("tls-server-end-point", self._certificates.endpoint(kind))]
        if tls.unique:
            bindings.append(ChannelBinding("tls-unique", tls.unique))
        return tuple(bindings)

    # Faults.

    def _strike(
        self, stage: Stage, event: ServerEvent | None = None, recipient: str = "", *, within: bool = False
    ) -> Action | None:
        """The action of the fault that strikes now, if one does; `within`: of one that acts within the message."""
        if not self._faults.at(stage):
            return None
        moment = self._moment(stage, event, recipient)
        strike = self._faults.strike(moment, lambda text: self._note(stage, text), within=within)
        if strike is None:
            return None
        self._note(stage, f"fault: {strike.fault.title or 'by hand'}")
        return strike.do

    def _moment(self, stage: Stage, event: ServerEvent | None, recipient: str) -> Moment:
        """What is known now, with what an event says."""
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
        )
        if type(event) is ContentReceived or type(event) is ChunkReceived:
            content = answers.whole(event)
            return moment._replace(content=content, size=len(content))
        if type(event) is not CommandReceived:
            return moment
        command = event.command
        if stage == "ehlo":
            return moment._replace(helo=command.argument)
        if command.verb == "MAIL" and command.path is not None:
            return moment._replace(sender=command.path.address, size=declared_size(command))
        if command.verb == "RCPT" and command.path is not None:
            return moment._replace(recipient=command.path.address)
        return moment

    def _note(self, stage: Stage, text: str) -> None:
        self._recorder.add("net", "note", stage, facts={"message": text, "fault": True})

    def _with_faults(self, event: ServerEvent | Beginning) -> Flow:
        """Answer an event as the faults have it."""
        if type(event) is ContentBegun:
            yield from self._speaker.interrupt()
            return
        if type(event) is ChunkBegun:
            # A client that speaks BDAT says no DATA: of the faults at that stage, those strike that act later on.
            if not self._answers.is_misplaced(event) and (action := self._strike("data", within=True)):
                self._speaker.interrupt_with(action)
            return
        action = None
        if self._has_a_stage(event):  # type: ignore[arg-type]
            if self._conn.lmtp and event.stage == "message":
                yield from self._lmtp_verdicts(event)  # type: ignore[arg-type]
                return
            action = self._strike(event.stage, event)  # type: ignore[arg-type]
        if action is None:
            reply = self._bounded(self._answers.answer(event))  # type: ignore[arg-type]
            yield Send(self._speaker.release() + self._encode(reply), event.stage)
            return
        reply = self._decided(event, action)  # type: ignore[arg-type]
        yield from self._speaker.say(self._encode(reply), event.stage, action)

    def _has_a_stage(self, event: ServerEvent) -> bool:
        """Whether faults may strike at an event. A command that may not stand here is answered as ever; so are NOOP and
        its like, which stand at any stage, and XCLIENT, which is not of the client."""
        if type(event) is CommandReceived and (
            event.command.verb not in STAGE_OF_VERB or event.command.verb == "XCLIENT"
        ):
            return False
        return not self._answers.is_misplaced(event)

    def _decided(self, event: ServerEvent, action: Action) -> Reply | list[Reply]:
        """Do as an action has it, or else as ever; gives the reply. What is said and what is done are the same."""
        answers = self._answers
        if event.stage == "ehlo":
            answers.edits = Edits(frozenset(word.upper() for word in action.drop), action.add, action.mask)
        said = _instead(action)
        answers.losing = action.lose
        try:
            if said is None:
                return self._bounded(answers.answer(event))
            reply = self._bounded(said)
            if reply is not said or not grants(event.stage, said.code):
                answers.deny(event)
            elif not answers.grant(event, said):
                return self._persona.say("not-stored")
            return reply
        finally:
            answers.losing = False

    def _lmtp_verdicts(self, event: MessageEvent) -> Flow:
        """Each recipient's reply is a moment of its own (RFC 2033 §4.2), and who was refused gets nothing."""
        answers, conn = self._answers, self._conn
        recipients = tuple(answers.recipients)
        actions = [self._strike("message", event, path.address) or Action() for path in recipients]
        objection = answers.objection(event)
        replies = [_instead(action) or objection for action in actions]
        takers = [
            path
            for path, action, reply in zip(recipients, actions, replies, strict=True)
            if not action.lose and (reply is None or grants("message", reply.code))
        ]
        accepted = answers.hand_over(event, tuple(takers)) if takers else self._persona.reply("message")
        answers.forget()
        *before, last = [reply or accepted for reply in replies]
        said = [*(reply.encode() for reply in before), conn.send(last)]
        for data, action in zip(said, actions, strict=True):
            yield from self._speaker.say(data, "message", action)


def _instead(action: Action) -> Reply | None:
    """What an action says in place of a reply, if it does."""
    if not action.reply:
        return None
    code, _, text = action.reply[0].partition(" ")
    if not (code.isdecimal() and 200 <= int(code) <= 559 and code[1] in "012345"):
        # What a pattern found was to be the code, and is none.
        return Reply(451, ("4.3.5 Local fault without a reply code",))
    return Reply(int(code), (text, *action.reply[1:]))
