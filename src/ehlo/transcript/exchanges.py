"""Exchanges: what was asked and what came back, derived from events.

A command and its reply make one; so do the connect and the greeting, a message and the answer to
its dot, and each step of the network (a look-up, an address tried, a handshake) by itself.
The reader is fed event by event, so a view of a running session and a saved file are one thing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.deviations import RemoteProtocolError
from ehlo.smtp.reply import Reply, ReplyReader
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import CONNECT, CONTENT, LAST_CHUNK
from ehlo.transcript.event import Event

Outcome = Literal["ok", "refused", "failed", "skipped"]

#: The network's own steps: each is an event that says itself how it went.
_NET_KINDS = frozenset({"dns", "connect", "tls"})
#: What a message ends with; its reply judges the message.
_MESSAGE_ENDS = frozenset({CONTENT, LAST_CHUNK})
_AFTER_RECIPIENTS = _MESSAGE_ENDS | {"DATA", "BDAT"}


class Exchange(NamedTuple):
    """One exchange.

    `verb` is the command's, `CONNECT` for the greeting, `CONTENT` for a message, "AUTH" also for the
    responses within it, "" for what nobody asked for and for steps of the network. `numbers` are
    the numbers of its events in the transcript. `problem` is the event of kind `error` that ended
    it, or the step of the network that failed; `step` the network's event or the note of a skipped stage.
    `recipient` is whom the reply to a message is about, where each recipient gets one: in LMTP (RFC 2033
    §4.2) and with PRDR. `in_vain`: sent ahead (RFC 2920), it could not succeed once the command before it,
    MAIL or all RCPT, was refused.
    """

    stage: Stage
    verb: str
    numbers: tuple[int, ...]
    began: float
    ended: float
    command: Event | None = None
    reply: Reply | None = None
    problem: Event | None = None
    step: Event | None = None
    recipient: str = ""
    in_vain: bool = False

    @property
    def outcome(self) -> Outcome:
        """How it ended. What was in vain counts as skipped: the refusal before it is the one to look at."""
        if self.problem is not None:
            return "failed"
        if self.step is not None:
            return "skipped" if self.step.kind == "note" else "ok"
        if self.reply is None:
            return "failed"
        # RFC 5321 §4.3.2: DATA is granted by 3yz alone, or the message may not be sent; 3yz is an answer to AUTH, too.
        good = self.reply.category == (3 if self.verb == "DATA" else 2)
        good |= self.reply.category == 3 and self.verb == "AUTH"
        # RFC 5321 §4.1.1.10: QUIT has one answer; another belongs to a command before it.
        good &= self.reply.code == 221 or self.verb != "QUIT"
        # 353 announces the replies of PRDR.
        good |= self.reply.code == 353 and self.verb in _MESSAGE_ENDS
        return "ok" if good else "skipped" if self.in_vain else "refused"

    @property
    def question(self) -> bool:
        """Whether the session itself had no need of the command (`--ask`)."""
        return self.command is not None and self.command.facts.get("question") is True

    @property
    def seconds(self) -> float:
        """From the command (or the start of the step) to the last line of the reply."""
        return max(0.0, self.ended - self.began)

    @property
    def temporary(self) -> bool:
        """Whether it was refused for now and may succeed later (RFC 5321 §4.2.1)."""
        return self.reply is not None and self.reply.category == 4


class _Waiting(NamedTuple):
    """A command whose reply has not come yet."""

    stage: Stage
    verb: str
    number: int
    event: Event
    recipient: str = ""


class ExchangeReader:
    """Derives exchanges from events that are fed one by one."""

    def __init__(self) -> None:
        self._replies = ReplyReader()
        self._lines: list[int] = []
        self._waiting: deque[_Waiting] = deque()
        self._number = -1
        self._banner = False
        self._last_end = 0.0
        self._in_auth = self._tls_due = False
        self._lmtp = False
        self._begun = False
        self._accepted: list[str] = []
        self._refused = ""

    def feed(self, event: Event) -> Exchange | None:
        """Take the next event; the exchange that it completes, if it does."""
        self._number += 1
        exchange = self._feed(event)
        if event.kind != "note":
            self._last_end = event.t
        return exchange

    def _feed(self, event: Event) -> Exchange | None:
        if event.kind in _NET_KINDS:
            problem = event if "error" in event.facts else None
            numbers = (*self._lines, self._number)
            self._lines, self._tls_due = [], False
            return Exchange(event.stage, "", numbers, event.began, event.t, problem=problem, step=event)
        if event.kind == "note":
            if event.facts.get("skipped") is not True:
                return None
            return Exchange(event.stage, "", (self._number,), event.t, event.t, step=event)
        if event.kind == "error":
            return self._failed(event)
        if event.who == "client" and event.kind in ("line", "data"):
            if "chunk" not in event.facts:
                self._asked(_Waiting(event.stage, self._verb(event), self._number, event))
            return None
        if event.who == "server" and event.kind == "line":
            return self._reply_line(event)
        return None

    def _verb(self, event: Event) -> str:
        if event.kind == "data":
            return CONTENT
        if self._in_auth:
            return "AUTH"
        words = event.text.upper().split()
        if not words:
            return ""
        return LAST_CHUNK if words[0] == "BDAT" and words[-1] == "LAST" else words[0]

    def _asked(self, command: _Waiting) -> None:
        if self._lmtp and self._accepted and command.verb in _MESSAGE_ENDS:
            self._waiting.extend(command._replace(recipient=recipient) for recipient in self._accepted)
        else:
            self._waiting.append(command)

    def _in_vain(self, verb: str) -> bool:
        if verb == "RCPT":
            return self._refused == "MAIL"
        return verb in _AFTER_RECIPIENTS and bool(self._refused) and not self._accepted

    def _answered(self, command: _Waiting, reply: Reply) -> None:
        """Keep track of what decides how many replies a message gets."""
        verb, good = command.verb, reply.category == 2
        self._in_auth = verb == "AUTH" and reply.category == 3
        if verb in _MESSAGE_ENDS:
            self._begun = False
        self._tls_due = verb == "STARTTLS" and good
        if verb == "RCPT":
            if good:
                self._accepted.append(_recipient(command.event))
            else:
                self._refused = self._refused or verb
        elif verb == "MAIL":
            # RFC 5321 §4.1.4: one within a transaction is refused, and the transaction goes on.
            if not (self._begun and reply.code == 503):
                self._accepted, self._refused, self._begun = [], "" if good else verb, good
        elif verb == "RSET" and good:
            self._accepted, self._refused, self._begun = [], "", False
        elif verb in ("EHLO", "HELO", "LHLO") and good:
            self._accepted, self._refused, self._begun, self._lmtp = [], "", False, verb == "LHLO"
        elif verb in _MESSAGE_ENDS and reply.code == 353:
            each = [command._replace(recipient=recipient) for recipient in self._accepted]
            self._waiting.extendleft(reversed([*each, command]))

    def _reply_line(self, event: Event) -> Exchange | None:
        self._lines.append(self._number)
        if self._tls_due and not self._waiting:
            # RFC 3207 §6: nothing may come in clear before the handshake; whatever it is, it is no reply.
            return None
        if not (event.data or b"").endswith(b"\n"):
            # Cut off in mid-line: what looks like a reply might have gone on as another (RFC 5321 §4.2).
            return None
        try:
            reply = self._replies.feed(event.data or b"")
        except RemoteProtocolError:
            # The session stops here too, and says so in an error event that follows.
            return None
        if reply is None:
            return None
        numbers, self._lines = tuple(self._lines), []
        if self._waiting:
            waiting = self._waiting.popleft()
            in_vain = self._in_vain(waiting.verb)
            self._answered(waiting, reply)
            stage, verb, number, command, recipient = waiting
            numbers = (number, *numbers)
            return Exchange(
                stage, verb, numbers, command.began, event.t, command, reply, recipient=recipient, in_vain=in_vain
            )
        first = not self._banner and event.stage == "banner"
        self._banner = True
        verb = CONNECT if first else ""
        return Exchange(event.stage, verb, numbers, self._last_end, event.t, reply=reply)

    def _failed(self, event: Event) -> Exchange:
        numbers = (*self._lines, self._number)
        if self._lines:
            self._lines, self._replies = [], ReplyReader()
        self._in_auth = self._tls_due = False
        if self._waiting:
            stage, verb, number, command, recipient = self._waiting.popleft()
            self._waiting.clear()
            numbers = (number, *numbers)
            return Exchange(stage, verb, numbers, command.began, event.t, command, problem=event, recipient=recipient)
        verb = CONNECT if event.stage == "banner" and not self._banner else ""
        return Exchange(event.stage, verb, numbers, self._last_end, event.t, problem=event)


def _recipient(event: Event) -> str:
    try:
        path = parse_command(event.data or b"").path
    except CommandError:
        return ""
    return path.address if path is not None else ""


def exchanges(events: Iterable[Event]) -> list[Exchange]:
    """All exchanges of a transcript, in the order in which they ended."""
    reader = ExchangeReader()
    return [exchange for event in events if (exchange := reader.feed(event))]
