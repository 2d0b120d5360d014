"""Sessions of the lab as JSON, for the page: one line in a list, or the whole conversation with its explanations."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ehlo.diagnosis.duties import judge_client
from ehlo.diagnosis.verdict import Finding
from ehlo.report.margin import LineExplainer
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.states import CONTENT, LAST_CHUNK
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Transcript

JsonObject = dict[str, Any]

#: A line longer than this is not shown whole: the page is for reading.
_MAX_TEXT = 4096


def session_to_json(number: int, transcript: Transcript, messages: Sequence[str], *, running: bool) -> JsonObject:
    """A session as a line in the list."""
    steps = exchanges(transcript.events)
    findings = judge_client(transcript, over=not running)
    return {**_summary(number, transcript, steps, messages, running=running), "findings": _titles(findings)}


def session_document(
    number: int, transcript: Transcript, messages: Sequence[str], *, running: bool, later: Iterable[Transcript] = ()
) -> JsonObject:
    """A whole session: the line of the list, and all its events, steps and findings. Secrets are taken out.

    `later` are the sessions after it, which show whether the client came back after a 4yz.
    """
    shown = redact(transcript)
    steps = exchanges(shown.events)
    explainer = LineExplainer()
    return {
        **_summary(number, shown, steps, messages, running=running),
        "events": [event_to_json(event, explainer) for event in shown.events],
        "steps": [_step(step) for step in steps],
        "findings": [
            _finding(finding) for finding in judge_client(transcript, later, over=not running, now=time.time())
        ],
    }


def event_to_json(event: Event, explainer: LineExplainer) -> JsonObject:
    """One event, with what it means."""
    return {
        "t": event.t,
        "first": event.first,
        "who": event.who,
        "kind": event.kind,
        "stage": event.stage,
        "text": _text(event)[:_MAX_TEXT],
        "explain": explainer.explain(event),
        "fault": event.facts.get("fault") is True,
    }


def _text(event: Event) -> str:
    if event.kind == "data":
        return f"({len(event.data or b''):,} octets of message)"
    if event.kind == "tls" and not event.fact("message"):
        return f"{event.fact('version')} {event.fact('cipher')}"
    if event.kind == "close":
        return "reset" if event.facts.get("reset") is True else "closed"
    if event.data is not None:
        return event.text
    return str(event.fact("message") or "")


def _summary(
    number: int, transcript: Transcript, steps: list[Exchange], messages: Sequence[str], *, running: bool
) -> JsonObject:
    header, events = transcript.header, transcript.events
    helo = sender = ""
    recipients: list[str] = []
    user = next((str(event.fact("user")) for event in events if event.fact("user")), "")
    for step in steps:
        if step.command is None or step.command.kind != "line":
            continue
        try:
            command = parse_command(step.command.data or b"")
        except CommandError:
            continue
        if step.verb in ("EHLO", "HELO", "LHLO"):
            helo = command.argument
        elif step.verb == "MAIL" and command.path is not None:
            sender = command.path.address
        elif step.verb == "RCPT" and command.path is not None and len(recipients) < 100:
            recipients.append(command.path.address)
    versions = [str(event.fact("version")) for event in events if event.kind == "tls" and event.fact("version")]
    refusals = [step for step in steps if step.outcome == "refused" and step.reply is not None]
    return {
        "number": number,
        "started": datetime.fromtimestamp(header.started, UTC).isoformat(timespec="milliseconds"),
        "client": header.target,
        "helo": helo,
        "sender": sender,
        "recipients": recipients,
        "user": user,
        "tls": versions[-1] if versions else "",
        "ended": not running,
        "seconds": events[-1].t if events else 0.0,
        "messages": list(messages),
        "outcome": "running" if running else _outcome(steps),
        "reply": str(refusals[-1].reply) if refusals else "",
    }


def _outcome(steps: list[Exchange]) -> str:
    if any(step.verb in (CONTENT, LAST_CHUNK) and step.outcome == "ok" for step in steps):
        return "delivered"
    if any(step.outcome == "refused" for step in steps):
        return "refused"
    if any(step.outcome == "failed" for step in steps):
        return "broken"
    return "nothing"


def _step(step: Exchange) -> JsonObject:
    command = step.command
    text = _text(command) if command is not None else "the greeting" if step.stage == "banner" else step.stage
    return {
        "stage": step.stage,
        "at": step.began,
        "seconds": step.seconds,
        "ok": step.outcome in ("ok", "skipped"),
        "text": text.strip()[:200],
    }


def _titles(findings: Iterable[Finding]) -> list[JsonObject]:
    return [{"rule": finding.rule, "title": finding.title} for finding in findings]


def _finding(finding: Finding) -> JsonObject:
    return {
        "rule": finding.rule,
        "title": finding.title,
        "layer": finding.layer,
        "why": finding.why,
        "fix": list(finding.fix),
        "refs": list(finding.refs),
        "evidence": list(finding.evidence),
    }
