"""The report as one HTML file: nothing in it runs, and nothing is fetched when it is opened.

    transcript, verdict ──> sections ──> one file: verdict, times, conversation, certificates, experiments, a letter

All text goes through `_text`, which escapes it and makes control characters visible.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import cast

from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.probe.experiments import Outcome
from ehlo.report.margin import LineExplainer
from ehlo.report.outcome import outcome_sentence, product_of
from ehlo.report.steps import Step, StepReader
from ehlo.report.text import duration, safe, utc_date
from ehlo.transcript.event import Event, JsonValue
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import SOFTWARE, Transcript

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
#: The picture of the times, in units of its own.
_ROW, _LEFT, _WIDTH, _RIGHT = 26, 90, 600, 80
#: Lines of the conversation that a page shows; what is beyond is said.
_MAX_LINES = 5000


def session_page(
    transcript: Transcript,
    verdict: Verdict,
    experiments: Sequence[Outcome] = (),
    command: str = "check",
) -> str:
    """The page of a session. The transcript is shown as it is: whoever calls has taken the secrets out."""
    steps = exchanges(transcript.events)
    product = product_of(steps)
    title = transcript.header.target or "a session"
    about = " · ".join(filter(None, (_began(transcript), product.name if product is not None else "")))
    accepted = verdict.outcome == "accepted"
    sections = [
        _verdict_section(transcript, verdict, accepted=accepted),
        _times_section(steps) if any(event.t for event in transcript.events) else "",
        _conversation_section(transcript),
        _certificate_section(transcript),
        _experiments_section([outcome.to_json() for outcome in experiments]),
        _letter_section(transcript, verdict) if not accepted else "",
    ]
    return _document(f"ehlo {command} · {title}", title, about, sections)


def findings_page(title: str, about: str, findings: Iterable[tuple[str, Finding]]) -> str:
    """The page of causes: each with a caption (how often it was seen, where it comes from)."""
    body = "".join(_finding(finding, caption, failure=True) for caption, finding in findings)
    return _document(f"ehlo · {title}", title, about, [f'<section aria-label="Causes">{body}</section>'])


def _document(heading: str, title: str, about: str, sections: Sequence[str]) -> str:
    style = (files("ehlo.report") / "page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(heading)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header><h1>{_text(title)}</h1><p>{_text(about)}</p></header>\n"
        + "\n".join(filter(None, sections))
        + f"\n</main>\n<footer>Written by {_text(SOFTWARE)}. Passwords and tokens have been taken out.</footer>\n"
        "</body>\n</html>\n"
    )


def _text(text: object) -> str:
    return html.escape(safe(str(text)))


# The verdict.


def _verdict_section(transcript: Transcript, verdict: Verdict, *, accepted: bool) -> str:
    parts = []
    if accepted:
        parts.append(f'<div class="finding ok"><h2>{_text(outcome_sentence(transcript))}</h2></div>')
    for number, finding in enumerate(verdict.findings):
        parts.append(_finding(finding, "", failure=number == 0 and not accepted))
    return f'<section id="verdict" aria-label="Verdict">{"".join(parts)}</section>'


def _finding(finding: Finding, caption: str, *, failure: bool) -> str:
    fixes = "".join(f"<li>{_text(fix)}</li>" for fix in finding.fix)
    references = ", ".join(map(_text, finding.refs))
    meaning = f"<p>{_text(finding.meaning)}</p>" if finding.meaning and finding.certainty != "certain" else ""
    seen = f"{finding.reply.code} {finding.reply.text}" if finding.reply is not None else finding.seen
    return (
        f'<div class="finding {"bad" if failure else "note"}">'
        + (f'<p class="caption">{_text(caption)}</p>' if caption else "")
        + f"<h2>{_text(finding.title)}</h2>"
        f'<p class="meta">{_text(finding.layer)} · <code>{_text(finding.rule)}</code></p>{meaning}'
        f"<p>{_text(finding.why)}</p>"
        + (f"<h3>What to do</h3><ul>{fixes}</ul>" if fixes else "")
        + (f"<h3>Seen</h3><pre>{_text(seen)}</pre>" if seen else "")
        + (f'<p class="meta">{references}</p>' if references else "")
        + "</div>"
    )


# The times.


def _times_section(steps: Sequence[Exchange]) -> str:
    reader = StepReader()
    rows = [step for exchange in steps if (step := reader.feed(exchange)) is not None and step.spans]
    if not rows:
        return ""
    begin = min(step.spans[0][0] for step in rows)
    end = max(max(step.spans[-1][1] for step in rows), begin + 1e-6)
    height = _ROW * len(rows) + 6
    bars = "".join(_bars(step, number * _ROW + 4, begin, end) for number, step in enumerate(rows))
    label = "; ".join(f"{step.stage} {duration(step.seconds)}" for step in rows)
    box = f"0 0 {_LEFT + _WIDTH + _RIGHT} {height}"
    picture = f'<svg role="img" aria-label="{_text(label)}" viewBox="{box}">{bars}</svg>'
    return (
        f'<section id="times"><h2>Where the time went</h2><div class="scroll">{picture}</div>'
        f'<p class="meta">{_text(duration(end - begin))} in all</p></section>'
    )


def _bars(step: Step, y: int, begin: float, end: float) -> str:
    time = duration(step.seconds)
    rects = []
    for first, last in step.spans:
        left, width = _LEFT + _WIDTH * (first - begin) / (end - begin), _WIDTH * (last - first) / (end - begin)
        place = f'x="{left:.1f}" y="{y}" width="{max(2.0, width):.1f}" height="18" rx="2"'
        rects.append(f'<rect class="{_text(step.outcome)}" {place}/>')
    title = f"{step.stage}: {step.summary} ({time})"
    return (
        f'<g><title>{_text(title)}</title><text x="0" y="{y + 14}">{_text(step.stage)}</text>{"".join(rects)}'
        f'<text class="time" x="{_LEFT + _WIDTH + _RIGHT}" y="{y + 14}">{_text(time)}</text></g>'
    )


# The conversation.


def _conversation_section(transcript: Transcript) -> str:
    explainer = LineExplainer()
    shown = [event for event in transcript.events if event.kind in ("line", "data", "tls", "error", "note")]
    lines = "".join(_line(event, explainer) for event in shown[:_MAX_LINES])
    if not lines:
        return ""
    beyond = len(shown) - _MAX_LINES
    more = f'<p class="meta">{beyond:,} lines more are in the transcript.</p>' if beyond > 0 else ""
    return (
        '<section id="conversation"><h2>The conversation</h2>'
        '<p class="meta">C: this side. S: the server. Point at a line, or open it, for what it means.</p>'
        f'<div class="lines">{lines}</div>{more}</section>'
    )


def _line(event: Event, explainer: LineExplainer) -> str:
    who = {"client": "C", "server": "S"}.get(event.who, "–")
    if event.kind == "data":
        text = f"({len(event.data or b''):,} octets of message)"
    elif event.kind == "line":
        text = event.text
    elif event.kind == "tls" and not event.fact("message"):
        text = f"TLS: {event.fact('version')} {event.fact('cipher')}"
    else:
        text = event.fact("message")
    explained = explainer.explain(event)
    time = f"{event.t:.3f}"
    row = f'<span class="t">{time}</span><span class="w">{who}</span><code>{_text(text)}</code>'
    kind = f"{event.who} {event.kind}"
    if not explained:
        return f'<div class="line {kind}">{row}</div>'
    return (
        f'<details class="line {kind}"><summary title="{_text(explained)}">{row}</summary>'
        f"<p>{_text(explained)}</p></details>"
    )


# Certificates, experiments, the letter.


def _certificate_section(transcript: Transcript) -> str:
    event = next((event for event in transcript.events if event.kind == "tls" and event.facts.get("chain")), None)
    if event is None:
        return ""
    rows = []
    for number, entry in enumerate(cast("Sequence[Mapping[str, JsonValue]]", event.facts["chain"])):
        until = entry.get("not_after")
        until_text = utc_date(float(until)) if isinstance(until, int | float) else ""
        cells = "".join(
            f"<td>{_text(value)}</td>"
            for value in (number + 1, entry.get("subject") or "–", entry.get("issuer") or "–", until_text)
        )
        rows.append(f"<tr>{cells}</tr>")
    problem = event.fact("detail") or event.fact("problem")
    verdict = f"not verified: {problem}" if problem else "verified"
    names = ", ".join(map(str, cast("Sequence[str]", event.facts.get("names") or ())))
    return (
        f'<section id="certificates"><h2>The certificate</h2><p>{_text(verdict)}</p>'
        '<div class="scroll"><table><thead><tr><th>#</th><th>for</th><th>signed by</th><th>until</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="meta">names: {_text(names)}<br>fingerprint: {_text(event.fact("fingerprint"))}</p></section>'
    )


def _experiments_section(experiments: Sequence[Mapping[str, JsonValue]]) -> str:
    if not experiments:
        return ""
    parts = []
    for experiment in experiments:
        trials = "".join(
            f"<tr><td>{'✓' if trial.get('worked') else '✗'}</td><td>{_text(trial.get('what'))}</td>"
            f"<td>{_text(trial.get('detail'))}</td></tr>"
            for trial in cast("Sequence[Mapping[str, JsonValue]]", experiment.get("trials") or ())
        )
        conclusion = experiment.get("conclusion")
        parts.append(
            f'<h3>{_text(experiment.get("title"))}</h3><div class="scroll"><table><tbody>{trials}</tbody></table></div>'
            f"<p>{_text(conclusion) if conclusion else 'This tells nothing new.'}</p>"
        )
    return f'<section id="experiments"><h2>Experiments</h2>{"".join(parts)}</section>'


def _letter_section(transcript: Transcript, verdict: Verdict) -> str:
    letter = postmaster_letter(transcript, verdict)
    shown = html.escape("\n".join(safe(line) for line in letter.split("\n")))
    rows = min(30, letter.count("\n") + 2)
    return (
        '<section id="letter"><h2>For the other side’s postmaster</h2>'
        "<p>A text to copy; change what does not fit.</p>"
        f'<textarea readonly rows="{rows}" aria-label="Text for the postmaster">{shown}</textarea></section>'
    )


def _began(transcript: Transcript) -> str:
    """When a session began; empty where nobody knows, as of one that was pasted."""
    started = transcript.header.started
    return f"{datetime.fromtimestamp(started, UTC):%Y-%m-%d %H:%M:%S} UTC" if started else ""


def postmaster_letter(transcript: Transcript, verdict: Verdict) -> str:
    """A text for whoever runs the server: when, from where, what was said, and the question."""
    connected = next((event for event in transcript.events if event.kind == "connect" and event.fact("address")), None)
    address = f"{connected.fact('address')} port {connected.fact('port')}" if connected else transcript.header.target
    local = connected.fact("local") if connected is not None else ""
    lines = [
        "Dear postmaster,",
        "",
        f"a session with your server {transcript.header.target} ({address}) did not come to its end.",
        "",
        f"Time:  {_began(transcript) or 'unknown'}",
        f"From:  {local or 'unknown'}",
        f"Stage: {verdict.stage}",
        "",
        *_excerpt(transcript),
        "",
    ]
    finding = verdict.findings[0] if verdict.findings else None
    if finding is not None:
        lines += [f"As far as can be told from here: {finding.title}.", ""]
    lines.append("Could you please look why, and tell what should be changed?")
    return "\n".join(lines)


def _excerpt(transcript: Transcript) -> Iterator[str]:
    """The lines that matter: the greeting, the client's commands, and the answers to them, without long lists."""
    shown = 0
    for event in transcript.events:
        if event.kind == "line" and not (event.who == "server" and event.stage == "ehlo" and event.text[3:4] == "-"):
            yield f"  {'C' if event.who == 'client' else 'S'}: {event.text[:200]}"
            shown += 1
        elif event.kind == "error":
            yield f"  -- {event.fact('message')}"
        if shown >= 60:
            yield "  ..."
            return
