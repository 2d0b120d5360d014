"""Sessions of the lab as JSON, for the page: one line in a list, or the conversation with its explanations, in parts.

    transcript ──> Reading: events without secrets, steps, what the list shows ──> JSON

A reading goes on where it has stopped, so that a session which is looked at while it runs is not read from the
beginning each time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ehlo.diagnosis.verdict import Finding
from ehlo.report.margin import LineExplainer, explain_line
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.states import CONTENT, LAST_CHUNK, VERBS
from ehlo.smtp.xclient import xclient_values
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, ExchangeReader
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Header

JsonObject = dict[str, Any]

#: A line longer than this is not shown whole: the page is for reading.
_MAX_TEXT = 4096
#: Of the recipients and the messages of a session so many are named; how many there are is said.
MAX_NAMED = 100


class Reading:
    """A session as far as it has been read. Each event is looked at once, however often somebody asks.

    It keeps no message, which would stay in memory when the store has let it go.
    """

    def __init__(self, number: int, header: Header) -> None:
        self.number = number
        self.header = header
        self.events: list[Event] = []
        self.steps: list[Exchange] = []
        self.helo = self.user = self.tls = self.reply = ""
        self.senders: dict[str, None] = {}
        self.recipients: dict[str, None] = {}
        self.outcomes: set[str] = set()
        #: Whom the last AUTH named, before anybody knows whether that is so.
        self._claimed = ""
        self._redactor = Redactor()
        self._exchanges = ExchangeReader()
        self._explainer = LineExplainer()
        self._explained: dict[int, str] = {}
        self._ends: list[int] = []

    def read_on(self, events: Sequence[Event]) -> None:
        """Read what is new: `events` are all there are by now."""
        for event in events[len(self.events) :]:
            self._read(_without_content(event) if event.kind == "data" else self._redactor.redact(event))

    def _read(self, event: Event) -> None:
        number = len(self.events)
        if event.stage == "auth":
            # What a response means, only the lines before it tell.
            self._explained[number] = self._explainer.explain(event)
        if event.fact("user"):
            self._claimed = event.fact("user")
        if event.kind == "tls":
            self.tls = event.fact("version") or self.tls
        self.events.append(event)
        step = self._exchanges.feed(event)
        if step is not None:
            self.steps.append(step)
            self._ends.append(number)
            self._note(step)

    def _note(self, step: Exchange) -> None:
        """Keep what the list shows of a step."""
        delivered = step.verb in (CONTENT, LAST_CHUNK) and step.outcome == "ok"
        self.outcomes.add("delivered" if delivered else step.outcome)
        if step.outcome == "refused":
            self.reply = str(step.reply)
        if step.verb == "AUTH" and step.reply is not None and step.reply.category != 3:
            if step.outcome == "ok":
                self.user = self._claimed
            self._claimed = ""
        if step.command is None or step.command.kind != "line" or step.verb not in _NAMING:
            return
        try:
            command = parse_command(step.command.data or b"")
        except CommandError:
            return
        if step.verb == "MAIL" and command.path is not None:
            # The last of several is the last that was named.
            self.senders.pop(command.path.address, None)
            self.senders[command.path.address] = None
        elif step.verb == "RCPT" and command.path is not None:
            self.recipients[command.path.address] = None
        elif step.verb == "XCLIENT":
            if step.outcome == "ok":
                self.user = xclient_values(command.argument).get("LOGIN", self.user)
        elif step.verb not in ("MAIL", "RCPT"):
            self.helo = command.argument

    def outcome(self, *, running: bool) -> str:
        """How it went, in one word."""
        if running:
            return "running"
        words = {"delivered": "delivered", "refused": "refused", "failed": "broken"}
        return next((word for outcome, word in words.items() if outcome in self.outcomes), "nothing")

    def explain(self, number: int) -> str:
        """What an event means."""
        explained = self._explained.get(number)
        return explain_line(self.events[number]) if explained is None else explained

    def steps_in(self, start: int, end: int) -> list[Exchange]:
        """The steps whose last event is one of these."""
        return self.steps[bisect_left(self._ends, start) : bisect_left(self._ends, end)]


def _without_content(event: Event) -> Event:
    size = event.facts.get("size", 0) if event.data is None else len(event.data)
    return event._replace(data=None, facts={**event.facts, "size": size})


#: The commands that name somebody.
_NAMING = frozenset({"EHLO", "HELO", "LHLO", "MAIL", "RCPT", "XCLIENT"})


def summary_to_json(reading: Reading, *, running: bool) -> JsonObject:
    """A session as a line in the list, without what came of it later."""
    return {
        "number": reading.number,
        "started": datetime.fromtimestamp(reading.header.started, UTC).isoformat(timespec="milliseconds"),
        "client": reading.header.target,
        "helo": reading.helo,
        "sender": next(reversed(reading.senders), ""),
        "sender_count": len(reading.senders),
        "recipients": list(reading.recipients)[:MAX_NAMED],
        "recipient_count": len(reading.recipients),
        "user": reading.user,
        "tls": reading.tls,
        "ended": not running,
        "seconds": reading.events[-1].t if reading.events else 0.0,
        "event_count": len(reading.events),
        "outcome": reading.outcome(running=running),
        "reply": reading.reply,
    }


def part_to_json(reading: Reading, start: int, limit: int) -> JsonObject:
    """So many events of a session from one on, and the steps that end in them."""
    end = min(start + limit, len(reading.events))
    return {
        "start": start,
        "events": [_event(reading, number) for number in range(start, end)],
        "steps": [_step(step) for step in reading.steps_in(start, end)],
    }


def findings_to_json(findings: Iterable[Finding]) -> list[JsonObject]:
    """What the client did wrong, in full."""
    return [
        {
            "rule": finding.rule,
            "title": finding.title,
            "layer": finding.layer,
            "why": finding.why,
            "fix": list(finding.fix),
            "refs": list(finding.refs),
            "evidence": list(finding.evidence),
        }
        for finding in findings
    ]


def titles_to_json(findings: Iterable[Finding]) -> list[JsonObject]:
    """The same for a line in the list."""
    return [{"rule": finding.rule, "title": finding.title} for finding in findings]


def _event(reading: Reading, number: int) -> JsonObject:
    event = reading.events[number]
    return {
        "t": event.t,
        "first": event.first,
        "who": event.who,
        "kind": event.kind,
        "stage": event.stage,
        "text": _text(event)[:_MAX_TEXT],
        "explain": reading.explain(number),
        "fault": event.facts.get("fault") is True,
    }


def _text(event: Event) -> str:
    if event.kind == "data":
        return f"({int(event.fact('size')):,} octets of message)"
    if event.kind == "tls" and not event.fact("message"):
        return f"{event.fact('version')} {event.fact('cipher')}"
    if event.kind == "close":
        return "reset" if event.facts.get("reset") is True else "closed"
    if event.data is not None:
        return event.text
    return str(event.fact("message") or "")


def _step(step: Exchange) -> JsonObject:
    name, event = _name(step), step.command or step.step or step.problem
    text = _text(event) if event is not None else "the greeting" if name == "banner" else name
    return {
        "stage": step.stage,
        "name": name,
        "at": step.began,
        "seconds": step.seconds,
        "ok": step.outcome in ("ok", "skipped"),
        "text": text.strip()[:200],
    }


def _name(step: Exchange) -> str:
    """What a step is, in one word. Its stage alone does not tell: some commands may be given at any."""
    event = step.step or step.problem
    if event is not None and event.kind == "tls":
        # STARTTLS is a command and its reply, and then a handshake: two steps of one stage.
        return "handshake"
    if step.command is None:
        return event.fact("error") if event is not None and event.kind == "error" else step.stage
    verb = step.verb.partition(" ")[0]
    return verb.lower() if verb in VERBS else step.stage if verb == CONTENT else "unknown"
