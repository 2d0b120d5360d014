"""What is wrong, why, what else it could be, what to do: a box for each finding."""

from __future__ import annotations

from collections.abc import Container, Iterable

from ehlo.diagnosis.judge import titles_of
from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.probe.experiments import title_of
from ehlo.report.finding import Cause, reply_lines
from ehlo.report.outcome import achieved, broken_off
from ehlo.report.page.frame import text
from ehlo.transcript.transcript import Transcript

#: What heads a box, by how the session ended: a sign, and words for it.
_HEADS = {
    "refused": ("✗", "Refused"),
    "postponed": ("✗", "Refused for now"),
    "failed": ("✗", "Failed"),
    "interrupted": ("✗", "Interrupted"),
    "accepted": ("✓", "All went well"),
    "cut": ("!", "Cut off"),
    "note": ("!", "Also noticed"),
    "found": ("!", "Found out by experiments"),
    "proved": ("✗", "The cause, as experiments proved"),
    "cause": ("✗", "Cause"),
}
_CERTAINTY = {"certain": "certain", "likely": "likely, not certain", "possible": "a guess by the code alone"}
_WHOSE = {"ours": "for this side to mend", "theirs": "for the other side to mend", "either": ""}


def verdict_section(transcript: Transcript, verdict: Verdict, made: Container[str] = ()) -> str:
    """The verdict: what is wrong first, then what else was noticed. `made` are the experiments that need no word any
    more."""
    accepted = verdict.outcome == "accepted"
    boxes = []
    if words := broken_off(transcript, verdict):
        boxes.append(_box("note", "cut", f"<h2>{text(words)}</h2>"))
    if words := achieved(transcript, verdict):
        boxes.append(_box("ok", "accepted", f"<h2>{text(words)}</h2>"))
    failure = "postponed" if verdict.outcome == "refused" and verdict.temporary else verdict.outcome
    head = "note" if verdict.layer is None or verdict.stage == "quit" else failure
    for finding in verdict.findings:
        if finding.rule.startswith("proved-"):
            boxes.append(_finding(finding, "found" if accepted else "proved", tell=False))
            continue
        boxes.append(_finding(finding, head, tell=finding.experiment not in made))
        head = "note"
    return f'<section id="verdict" aria-label="Verdict">{"".join(boxes)}</section>'


def causes_section(causes: Iterable[Cause]) -> str:
    """Causes, each with how often it was seen, when and where."""
    boxes = "".join(_cause(cause) for cause in causes)
    return f'<section id="causes" aria-label="Causes">{boxes}</section>'


def _cause(cause: Cause) -> str:
    reply = cause.finding.reply
    if reply is None or not reply.ok:
        return _finding(cause.finding, "cause", cause)
    return _box("ok", "accepted", f"<h2>{text(reply)}</h2><p>{text(cause.finding.meaning)}</p>")


def _box(kind: str, how: str, body: str) -> str:
    sign, words = _HEADS[how]
    head = f'<p class="head"><span aria-hidden="true">{text(sign)}</span> {text(words)}</p>'
    return f'<article class="finding {kind}">{head}{body}</article>'


def _finding(finding: Finding, head: str, cause: Cause | None = None, *, tell: bool = True) -> str:
    about = " · ".join(filter(None, (_CERTAINTY[finding.certainty], _WHOSE[finding.whose])))
    # A rule that knows this very answer says all that its code says, and more.
    meaning = finding.meaning if finding.certainty != "certain" else ""
    body = [
        f'<p class="caption">{text(cause.caption)}</p>' if cause is not None and cause.caption else "",
        f"<h2>{text(finding.title)}</h2>",
        f'<p class="meta">{text(finding.layer)} · <code>{text(finding.rule)}</code> · {text(about)}</p>',
        *(f"<p>{text(paragraph)}</p>" for paragraph in (meaning, finding.why) if paragraph),
        _facts(cause.facts) if cause is not None else "",
        _alternatives(finding, tell=tell),
        _list("What to do", map(text, finding.fix)),
        _seen(finding),
        _examples(cause.examples) if cause is not None else "",
        f'<p class="meta">{", ".join(map(text, finding.refs))}</p>' if finding.refs else "",
    ]
    return _box("note" if head in ("note", "found") else "bad", head, "".join(body))


def _list(heading: str, items: Iterable[str]) -> str:
    shown = "".join(f"<li>{item}</li>" for item in items)
    return f"<h3>{text(heading)}</h3><ul>{shown}</ul>" if shown else ""


def _alternatives(finding: Finding, *, tell: bool) -> str:
    """What else it could be, and what would tell."""
    others = titles_of(finding.alternatives)
    items = [f"{text(title)} <code>{text(rule)}</code>" for rule, title in others]
    out = _list("It could also be", items)
    if finding.experiment and tell:
        out += (
            f'<p class="tell">What would tell: <code>--investigate</code>, with the experiment '
            f"<code>{text(finding.experiment)}</code> ({text(title_of(finding.experiment))}).</p>"
        )
    return out


def _seen(finding: Finding) -> str:
    seen = [finding.seen] if finding.seen else []
    if finding.reply is not None:
        seen = reply_lines(finding.reply)
    return f"<h3>Seen</h3><pre>{chr(10).join(map(text, seen))}</pre>" if seen else ""


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in facts)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def _examples(examples: Iterable[tuple[int, str]]) -> str:
    rows = "".join(
        f'<li value="{number}"><span class="number">{number:,}</span> <code>{text(line)}</code></li>'
        for number, line in examples
    )
    return f'<h3>Lines of the log</h3><ol class="log">{rows}</ol>' if rows else ""
