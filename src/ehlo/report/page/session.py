"""A session as a whole: its steps as a waterfall in time, and the certificate that came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ehlo.report.encryption import tls_details, version_name
from ehlo.report.page.frame import mark, section, text
from ehlo.report.steps import Step, StepReader
from ehlo.report.text import duration
from ehlo.transcript.exchanges import Exchange
from ehlo.transcript.transcript import Transcript

_MARKS = {
    "ok": ("✓", "went well:"),
    "refused": ("✗", "refused:"),
    "failed": ("✗", "failed:"),
    "skipped": ("–", "left out:"),
}
#: The width of a row's picture in units of its own, and the least that a bar has of them.
_WIDTH, _LEAST = 1000, 4
#: What this side takes between two steps is not worth a word below this, in seconds.
_WORTH_A_WORD = 0.01


def began(transcript: Transcript) -> str:
    """When a session began; empty where nobody knows, as of one that was pasted."""
    started = transcript.header.started
    return f"{datetime.fromtimestamp(started, UTC):%Y-%m-%d %H:%M:%S} UTC" if started else ""


# The steps.


def steps_section(transcript: Transcript, steps: Sequence[Exchange]) -> str:
    """What was done, how it went, and when: a row for each step, with its time as a bar."""
    reader = StepReader()
    rows = [step for exchange in steps if (step := reader.feed(exchange)) is not None]
    timed = any(event.t for event in transcript.events)
    spans = [span for step in rows for span in step.spans]
    if not rows or not spans:
        return ""
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    shown = "".join(_step(step, begin, end - begin, timed=timed) for step in rows)
    return section(
        "steps", "Step by step", f'<ol class="steps">{shown}</ol>{_total(rows, end - begin) if timed else ""}'
    )


def _step(step: Step, begin: float, whole: float, *, timed: bool) -> str:
    sign, words = _MARKS[step.outcome]
    took = duration(step.seconds) if timed and step.spans else ""
    notes = "".join(f'<span class="oddity">! {text(note)}</span>' for note in step.notes)
    bar = _bar(step, begin, whole) if timed and step.spans else ""
    return (
        f'<li class="{text(step.outcome)}">{mark(sign, words)}<span class="stage">{text(step.stage)}</span>'
        f'<span class="took">{text(took)}</span>{bar}<span class="summary">{text(step.summary)}{notes}</span></li>'
    )


def _bar(step: Step, begin: float, whole: float) -> str:
    rects = []
    for first, last in step.spans:
        width = max(_LEAST, _WIDTH * (last - first) / (whole or 1.0))
        left = min(_WIDTH * (first - begin) / (whole or 1.0), _WIDTH - width)
        rects.append(f'<rect x="{max(0.0, left):.1f}" y="0" width="{min(width, _WIDTH):.1f}" height="10"/>')
    frame = f'class="bar" aria-hidden="true" viewBox="0 0 {_WIDTH} 10" preserveAspectRatio="none"'
    return f"<svg {frame}>{''.join(rects)}</svg>"


def _total(rows: Sequence[Step], whole: float) -> str:
    between = whole - sum(step.seconds for step in rows)
    own = f"; {duration(between)} of it passed on this side, between the steps" if between >= _WORTH_A_WORD else ""
    return f'<p class="meta">{text(duration(whole) + " in all" + own)}</p>'


# The certificate.


def certificate_section(transcript: Transcript) -> str:
    """The chain of certificates: whose each is, who signed it, and from when to when it holds."""
    event = next((event for event in transcript.events if event.kind == "tls" and event.facts.get("chain")), None)
    if event is None:
        return ""
    details = tls_details(event.facts)
    problem = "".join(", ".join(detail.parts) for detail in details if detail.label == "wrong")
    verdict = mark("✗", "") + f"not verified: {text(problem)}" if problem else mark("✓", "") + "verified"
    links = "".join(_link(detail.parts) for detail in details if detail.label == "chain")
    facts = [(detail.label, ", ".join(detail.parts)) for detail in details if detail.label not in ("chain", "wrong")]
    facts = [("version", version_name(event.fact("version"))), *facts, ("fingerprint", event.fact("fingerprint"))]
    shown = "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in facts if value)
    return section(
        "certificate",
        "The certificate",
        f'<p class="{"bad" if problem else "ok"}">{verdict}</p><ol class="chain">{links}</ol>'
        f'<dl class="facts">{shown}</dl>',
    )


def _link(parts: Sequence[str]) -> str:
    subject, *others = parts
    return f"<li><strong>{text(subject)}</strong>{''.join(f'<br>{text(other)}' for other in others)}</li>"
