"""The JSON document of `--json` (schema `ehlo/1`, in `schema.json` beside this file)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.report.outcome import product_of
from ehlo.report.steps import StepReader
from ehlo.smtp.stages import STAGES
from ehlo.transcript.event import JsonValue
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.jsonl import event_to_json
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import SOFTWARE, Transcript

if TYPE_CHECKING:
    from ehlo.explain.case import Case
    from ehlo.explain.logs import Group

SCHEMA = "ehlo/1"


def session_document(
    command: str,
    target: dict[str, JsonValue],
    transcript: Transcript,
    verdict: Verdict,
    *,
    show_secrets: bool = False,
) -> dict[str, JsonValue]:
    """The document of a session: verdict, stages, transcript."""
    shown = transcript if show_secrets else redact(transcript)
    steps = exchanges(shown.events)
    return {
        "schema": SCHEMA,
        "command": command,
        "target": target,
        "software": SOFTWARE,
        "server": _server(steps),
        "verdict": verdict_to_json(verdict),
        "stages": _stages(steps),
        "transcript": [event_to_json(event) for event in shown.events],
    }


def verdict_to_json(verdict: Verdict) -> dict[str, JsonValue]:
    """A verdict as it stands in every document."""
    return {
        "outcome": verdict.outcome,
        "stage": verdict.stage,
        "layer": verdict.layer,
        "temporary": verdict.temporary,
        "exit_status": verdict.exit_status,
        "findings": [finding_to_json(finding) for finding in verdict.findings],
    }


def finding_to_json(finding: Finding) -> dict[str, JsonValue]:
    """A finding as it stands in every document."""
    return {
        "rule": finding.rule,
        "title": finding.title,
        "layer": finding.layer,
        "stage": finding.stage,
        "certainty": finding.certainty,
        "meaning": finding.meaning,
        "why": finding.why,
        "fix": list(finding.fix),
        "refs": list(finding.refs),
        "evidence": list(finding.evidence),
        "or": list(finding.alternatives),
        "experiment": finding.experiment or None,
        "whose": finding.whose,
        "seen": finding.seen,
    }


def case_to_json(case: Case, finding: Finding) -> dict[str, JsonValue]:
    """A case and what it means, as it stands among the results of `ehlo explain`."""
    accepted = case.reply is not None and case.reply.ok
    return {
        "input": case.seen or case.text,
        "reply": None if case.assumed else case.code or None,
        "enhanced_status": case.status or None,
        "recipient": case.recipient or None,
        "server": case.server or None,
        "software": case.software or case.product or None,
        "stage": finding.stage,
        "verdict": {
            "outcome": "accepted" if accepted else "failed" if case.reply is None else "refused",
            "layer": finding.layer,
            "findings": [finding_to_json(finding)],
        },
    }


def group_to_json(group: Group) -> dict[str, JsonValue]:
    """The same for all failures of one cause in a log."""
    return {
        **case_to_json(group.case, group.finding),
        "count": group.count,
        "direction": group.direction,
        "first": group.first.isoformat() if group.first else None,
        "last": group.last.isoformat() if group.last else None,
        "domains": [{"name": name, "count": count} for name, count in group.domains],
        "peers": [{"name": name, "count": count} for name, count in group.peers],
        "texts": [{"text": text, "count": count} for text, count in group.texts],
        "examples": [{"line": number, "text": text} for number, text in zip(group.lines, group.examples, strict=True)],
    }


def _server(steps: list[Exchange]) -> JsonValue:
    """What stands behind the server, where that can be told."""
    product = product_of(steps)
    return None if product is None else {"id": product.id, "name": product.name, "kind": product.kind}


def _stages(steps: list[Exchange]) -> list[JsonValue]:
    reader = StepReader()
    out: list[JsonValue] = []
    for exchange in steps:
        step = reader.feed(exchange)
        if step is not None:
            out.append(
                {
                    "stage": step.stage,
                    "outcome": step.outcome,
                    "seconds": round(step.seconds, 6),
                    "summary": step.summary,
                    "details": list(map(str, step.details)),
                    "deviations": list(step.notes),
                }
            )
    seen = {step["stage"] for step in out if isinstance(step, dict)}
    out += [
        {"stage": stage, "outcome": "skipped", "seconds": 0.0, "summary": "", "details": [], "deviations": []}
        for stage in STAGES
        if stage not in seen
    ]
    return out
