"""A finding as people read it: what is wrong, why, what to do, and what it was seen by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ehlo.diagnosis.verdict import Finding
from ehlo.report.style import Style
from ehlo.report.text import flow, safe, width_of, wrap
from ehlo.smtp.reply import Reply


class Cause(NamedTuple):
    """A finding with how often it was seen. `facts` are lines with a label (when, from where), `examples` lines of the
    log with their numbers."""

    caption: str
    finding: Finding
    facts: Sequence[tuple[str, str]] = ()
    examples: Sequence[tuple[int, str]] = ()


def finding_lines(finding: Finding, style: Style, outcome: str = "failed") -> Iterator[str]:
    """The lines of a finding; `outcome` ("failed", "note") is its mark."""
    title = safe(f"{finding.layer} · {finding.title}")
    for number, line in enumerate(headline(title, finding.rule, style.width - 2, style)):
        yield f"{style.mark(outcome)} {line}" if number == 0 else f"  {line}"
    # A rule that knows this very answer says all that its code says, and more.
    meaning = finding.meaning if finding.certainty != "certain" else ""
    for paragraph in filter(None, (meaning, finding.why)):
        for line in wrap(style.plain(safe(paragraph)), style.width - 2):
            yield f"  {line}"
    for number, other in enumerate(_alternatives(finding)):
        yield from labelled("or" if number == 0 else "", other, style)
    for number, fix in enumerate(finding.fix):
        yield from labelled("try" if number == 0 else "", fix, style)
    if finding.reply is not None:
        for number, line in enumerate(reply_lines(finding.reply)):
            yield from labelled("seen" if number == 0 else "", f"S: {line}", style)
    elif finding.seen:
        yield from labelled("seen", finding.seen, style)


def reply_lines(reply: Reply) -> list[str]:
    """A reply as it stood on the wire, line by line."""
    separators = ["-"] * (len(reply.lines) - 1) + [" "]
    lines = zip(separators, reply.lines, strict=True)
    return [f"{reply.code}{separator}{text}" if text else str(reply.code) for separator, text in lines]


def headline(title: str, rule: str, width: int, style: Style) -> list[str]:
    """A title, wrapped, and a rule's id: at the right where there is room, else on a line of its own."""
    wrapped = wrap(style.plain(title), width)
    room = width - width_of(wrapped[-1])
    lines = [style.bold(line) for line in wrapped]
    if len(rule) + 2 <= room:
        lines[-1] += " " * (room - len(rule)) + style.dim(rule)
    else:
        lines.append(" " * max(0, width - len(rule)) + style.dim(rule))
    return lines


def _alternatives(finding: Finding) -> list[str]:
    """What else it could be, in the words of those rules."""
    if not finding.alternatives:
        return []
    from ehlo.diagnosis.judge import titles_of

    return [f"{title} ({rule})" for rule, title in titles_of(finding.alternatives)]


def labelled(label: str, text: str, style: Style) -> Iterator[str]:
    """A text beside a dim label of at most five letters, wrapped."""
    return _beside(label, wrap(style.plain(safe(text)), style.width - 8), style)


def labelled_counts(
    label: str, counted: Sequence[tuple[str, int]], style: Style, *, more: bool = False
) -> Iterator[str]:
    """Names beside a label, each with how often it was seen, which stays in one line; `more`: there are others."""
    # Lines are not broken at a no-break space, and none comes in from outside: `safe` would show it.
    times = f"\xa0{style.plain('×')}"
    parts = [f"{style.plain(safe(name))} ({count:,}{times})" for name, count in counted]
    if more:
        parts[-1] += f" {style.ellipsis}"
    return _beside(label, [line.replace("\xa0", " ") for line in flow(parts, style.width - 8)], style)


def _beside(label: str, lines: Sequence[str], style: Style) -> Iterator[str]:
    for number, line in enumerate(lines):
        shown = label if number == 0 else ""
        yield f"  {style.dim(f'{shown:<5}')} {line}"
