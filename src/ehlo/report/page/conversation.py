"""The conversation, each line with what it means: by hovering, by a tap, by the keyboard, and on paper."""

from __future__ import annotations

from collections.abc import Sequence

from ehlo.report.margin import LineExplainer
from ehlo.report.page.frame import section, text, unseen
from ehlo.report.steps import network_step
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange
from ehlo.transcript.transcript import Transcript

#: Lines of the conversation that a page shows; what is beyond is said.
_MAX_LINES = 5000
_SHOWN = frozenset({"line", "data", "tls", "connect", "dns", "error", "note"})
_SIDES = {"client": ("C", "this side:"), "server": ("S", "the server:"), "net": ("·", "")}


def conversation_section(transcript: Transcript, steps: Sequence[Exchange]) -> str:
    """Every line both ways, and what happened on the network between."""
    explainer = LineExplainer()
    bad = _where_it_went_wrong(steps)
    shown = [(number, event) for number, event in enumerate(transcript.events) if event.kind in _SHOWN]
    stage: Stage | None = None
    rows = []
    for number, event in shown[:_MAX_LINES]:
        rows.append(_row(event, explainer, bad.get(number, ""), "" if event.stage == stage else event.stage))
        stage = event.stage
    if not rows:
        return ""
    beyond = len(shown) - _MAX_LINES
    more = f'<p class="meta">{beyond:,} lines more are in the transcript.</p>' if beyond > 0 else ""
    return section(
        "conversation",
        "The conversation",
        '<p class="meta">C: this side. S: the server. Point at a line, or open it, for what it means.</p>'
        f'<div class="lines">{"".join(rows)}</div>{more}',
    )


def _where_it_went_wrong(steps: Sequence[Exchange]) -> dict[int, str]:
    """The numbers of the events that say no, with the word for it."""
    words = {"refused": "refused:", "failed": "failed:"}
    found: dict[int, str] = {}
    for step in steps:
        if word := words.get(step.outcome, ""):
            # What was asked is not what went wrong; the answer is, or that there was none.
            answer = step.numbers[1:] if step.command is not None and len(step.numbers) > 1 else step.numbers
            found.update(dict.fromkeys(answer, word))
    return found


def _row(event: Event, explainer: LineExplainer, wrong: str, stage: str) -> str:
    side, spoken = _SIDES[event.who]
    explained = explainer.explain(event) if event.kind in ("line", "data") else ""
    sign = '<span class="wrong" aria-hidden="true">✗</span>' + unseen(wrong) if wrong else ""
    row = (
        f'<span class="stage">{text(stage)}</span><span class="time">{event.t:.3f}</span>'
        f'<span class="side"><span aria-hidden="true">{side}</span>{unseen(spoken) if spoken else ""}</span>'
        f'<span class="said">{sign}<code>{text(_said(event))}</code></span>'
    )
    kind = f"line {event.who}{' bad' if wrong else ''}"
    if not explained:
        return f'<div class="{kind}">{row}</div>'
    return (
        f'<details class="{kind}"><summary title="{text(explained)}">{row}</summary>'
        f'<p><span class="time">{event.t:.3f} s</span> {text(explained)}</p></details>'
    )


def _said(event: Event) -> str:
    if event.kind == "data":
        return f"({len(event.data or b''):,} octets of message)"
    if event.kind == "line":
        return event.text
    if event.kind in ("tls", "connect", "dns"):
        return network_step(event).summary
    return event.fact("message")
