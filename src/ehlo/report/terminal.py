"""The view of a session on a terminal: its steps as they happen, then the verdict.

A running session and a saved one are shown by the same code: events go in one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.report.finding import finding_lines, headline
from ehlo.report.outcome import achieved, broken_off
from ehlo.report.steps import Step, StepReader
from ehlo.report.style import Style
from ehlo.report.text import duration, flow, pad, safe, width_of, wrap
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import ExchangeReader
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Header, Transcript

if TYPE_CHECKING:
    from ehlo.report.encryption import Detail
    from ehlo.report.margin import LineExplainer

_STAGE_COLUMNS = 9
_TIME_COLUMNS = 9
#: The labels of details, and the gap behind them.
_LABEL_COLUMNS = 8
#: Where explanations of lines begin.
_MARGIN = 38


class SessionView:
    """Shows one session. Feed it each event, then call `finish`. Without `timed`, nobody knows how long it took."""

    def __init__(
        self,
        stream: TextIO,
        style: Style,
        *,
        verbose: bool = False,
        show_secrets: bool = False,
        live: bool = False,
        timed: bool = True,
    ) -> None:
        self._stream = stream
        self._style = style
        self._verbose = verbose
        self._live = live and style.colour
        self._timed = timed
        self._redactor = None if show_secrets else Redactor()
        self._exchanges = ExchangeReader()
        self._steps = StepReader()
        self._explainer: LineExplainer | None = None
        self._pending = ""

    def begin(self, header: Header, about: str = "") -> None:
        """Say what the session is about."""
        parts = [self._style.bold(safe(header.target))] if header.target else []
        parts += [self._style.dim(safe(about))] if about else []
        self._print(self._style.dim(" · ").join(parts))
        self._print("")
        self._await("connecting")

    def event(self, event: Event) -> None:
        """Show what an event adds."""
        if self._redactor is not None:
            event = self._redactor.redact(event)
        if self._verbose and event.kind in ("line", "data"):
            self._line(event)
        elif self._verbose and event.kind == "note" and "skipped" not in event.facts:
            # A stage that was skipped has a line among the steps.
            self._note(event)
        exchange = self._exchanges.feed(event)
        step = self._steps.feed(exchange) if exchange is not None else None
        if step is not None:
            self._step(step)
        if event.who == "client" and event.kind in ("line", "data"):
            self._await(event.stage)
        elif event.kind == "connect" and "error" not in event.facts:
            self._await("banner")

    def finish(self, transcript: Transcript, verdict: Verdict, *, notes_first: bool = False) -> None:
        """Show the verdict. `notes_first`: whoever asks about a session that went well, asks for what is odd in it."""
        self._await("")
        style, accepted = self._style, verdict.outcome == "accepted"
        # All that was wanted was done before QUIT.
        head = "note" if verdict.layer is None or verdict.stage == "quit" else "failed"
        parts = [
            list(finding_lines(finding, style, head if number == 0 else "note"))
            for number, finding in enumerate(verdict.findings)
        ]
        if words := broken_off(transcript, verdict):
            parts = [self._sentence("note", words), *parts]
        elif words := achieved(transcript, verdict):
            good = self._sentence("ok", words)
            parts = [*parts, good] if notes_first and accepted else [good, *parts]
        for part in parts:
            self._print("")
            for line in part:
                self._print(line)

    def _sentence(self, mark: str, words: str) -> list[str]:
        style = self._style
        lines = wrap(style.plain(safe(words)), style.width - 2)
        return [f"{' ' if number else style.mark(mark)} {style.bold(line)}" for number, line in enumerate(lines)]

    def heading(self, text: str) -> None:
        """Begin a further section below the session."""
        self._print("")
        self._print(self._style.bold(text))

    def trial(self, worked: bool, what: str, detail: str, width: int = _STAGE_COLUMNS) -> None:
        """One line of such a section."""
        style = self._style
        columns = style.width - 4 - max(width, width_of(what)) - 1
        detail = style.fit(safe(detail), max(columns, 10))
        self._print(f"  {style.mark('ok' if worked else 'failed')} {pad(style.plain(safe(what)), width)} {detail}")

    def conclusion(self, finding: Finding) -> None:
        """What a section of trials proved."""
        for line in finding_lines(finding, self._style, "note"):
            self._print(line)

    def remark(self, text: str) -> None:
        """A dim remark on its own."""
        for line in wrap(self._style.plain(safe(text)), self._style.width - 2):
            self._print(f"  {self._style.dim(line)}")

    def settled(self, verdict: Verdict) -> None:
        """The verdict after experiments: one cause, in a line."""
        finding = verdict.findings[0]
        self.heading("After the experiments")
        mark = self._style.mark("note" if verdict.outcome == "accepted" else "failed")
        title = safe(f"{finding.layer} · {finding.title}")
        for number, line in enumerate(headline(title, finding.rule, self._style.width - 2, self._style)):
            self._print(f"{mark if number == 0 else ' '} {line}")

    # The parts.

    def _step(self, step: Step) -> None:
        style = self._style
        columns = style.width - 4 - _STAGE_COLUMNS - _TIME_COLUMNS - 1
        summary = self._summary(step, columns)
        if step.outcome == "skipped":
            line = f"  {style.mark('skipped')} {style.dim(f'{step.stage:<{_STAGE_COLUMNS}} {summary}')}"
            self._print(line)
            return
        time = style.dim(f"{duration(step.seconds) if self._timed else '':>{_TIME_COLUMNS}}")
        summary = pad(summary, columns)
        if step.outcome != "ok":
            summary = style.bad(summary)
        self._print(f"  {style.mark(step.outcome)} {step.stage:<{_STAGE_COLUMNS}} {summary}{time}")
        self._details(step.details)
        for note in step.notes:
            text = style.fit(note, style.width - 6 - _STAGE_COLUMNS)
            self._print(f"  {style.mark('note')} {'':<{_STAGE_COLUMNS}} {style.warn(text)}")

    def _summary(self, step: Step, columns: int) -> str:
        style = self._style
        if not style.whole:
            for summary in (step.summary, *step.shorter):
                if width_of(style.plain(safe(summary))) <= columns:
                    return style.plain(safe(summary))
        return style.fit(safe(step.summary), columns, keep=step.keep)

    def _details(self, details: Iterable[Detail]) -> None:
        """What belongs to a step, beneath it: a dim label once for all of its kind, and the text beside it."""
        style = self._style
        before = ""
        for detail in details:
            parts = [style.plain(safe(part)) for part in detail.parts]
            columns = style.width - 5 - _STAGE_COLUMNS - _LABEL_COLUMNS
            for line in [", ".join(parts)] if style.whole else flow(parts, columns):
                label = "" if detail.label == before else detail.label
                before = detail.label
                self._print(f"    {'':<{_STAGE_COLUMNS}} {style.dim(f'{label:<{_LABEL_COLUMNS}}{line}')}")

    def _line(self, event: Event) -> None:
        """One line both ways, with its time, explained in the margin where there is room."""
        style = self._style
        who = "C" if event.who == "client" else "S"
        text = safe(event.text) if event.kind == "line" else f"({len(event.data or b'')} octets of message)"
        shown = f"{self._when(event)}  {who}: {style.plain(text)}"
        explained = style.plain(safe(self._explain(event)))
        if not explained:
            self._print(style.paint(shown, "36") if who == "C" else shown)
            return
        gap = max(_MARGIN - width_of(shown), 2)
        if width_of(shown) + gap + width_of(explained) <= style.width:
            self._print(shown + " " * gap + style.dim(explained))
            return
        self._print(shown)
        for line in wrap(explained, style.width - 16):
            self._print(style.dim(" " * 14 + line))

    def _note(self, event: Event) -> None:
        """A remark among the lines."""
        for number, line in enumerate(wrap(f"–  {safe(event.fact('message'))}", self._style.width - 14)):
            before = f"{self._when(event)}  " if number == 0 else " " * 14
            self._print(self._style.dim(self._style.plain(before + line)))

    def _when(self, event: Event) -> str:
        return f"{event.t:9.3f}" if self._timed else " " * 9

    def _explain(self, event: Event) -> str:
        if self._explainer is None:
            # The tables of explanations are loaded for those who want to read them.
            from ehlo.report.margin import LineExplainer

            self._explainer = LineExplainer(show_secrets=self._redactor is None)
        return self._explainer.explain(event)

    def _await(self, what: str) -> None:
        """Say on a terminal what is being waited for; the next line takes its place."""
        if not self._live:
            return
        self._clear()
        if what:
            self._pending = what
            self._stream.write(self._style.dim(f"  … {what}"))
            self._stream.flush()

    def _clear(self) -> None:
        if self._pending:
            self._stream.write("\r\x1b[2K")
            self._pending = ""

    def _print(self, line: str) -> None:
        pending = self._pending
        self._clear()
        self._stream.write(line.rstrip() + "\n")
        if pending:
            self._await(pending)
        self._stream.flush()
