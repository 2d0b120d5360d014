"""What the shell shows: lines as they come, each reply explained beneath in one dim line."""

from __future__ import annotations

import io
from collections.abc import Callable

from ehlo.diagnosis.verdict import Verdict
from ehlo.report.margin import LineExplainer
from ehlo.report.steps import network_step
from ehlo.report.style import Style
from ehlo.report.terminal import SessionView
from ehlo.report.text import safe, width_of, wrap
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Transcript

#: Where the meaning of a keyword stands.
_MARGIN = 38


class View:
    """Turns events into lines. `echo` says whether the client's own lines are shown, too: not where they
    stand at the prompt already."""

    def __init__(self, write: Callable[[str], None], style: Style, *, show_secrets: bool = False) -> None:
        self._write = write
        self._style = style
        self.show_secrets = show_secrets
        self.echo = True
        self.begin()

    def begin(self) -> None:
        """A new session begins."""
        self._redactor = None if self.show_secrets else Redactor()
        self._explainer = LineExplainer(show_secrets=self.show_secrets)

    def event(self, event: Event) -> None:
        """Show what an event adds."""
        if self._redactor is not None:
            event = self._redactor.redact(event)
        explained = self._explainer.explain(event)
        if event.kind == "line":
            self._line(event, explained)
        elif event.kind == "data" and self.echo:
            self.note(f"({len(event.data or b'')} octets of message)")
        elif event.kind in ("dns", "connect", "tls"):
            self._network(event)
        elif event.kind == "error":
            self.problem(event.fact("message"))
        elif event.kind == "note":
            self.note(event.fact("message"))
        elif event.kind == "close":
            self.note("the server closed the connection" if event.who == "server" else "connection closed")

    def _line(self, event: Event, explained: str) -> None:
        style = self._style
        if event.who == "client":
            if self.echo:
                self._write(style.paint(style.plain(f"C: {safe(event.text)}"), "36"))
                if explained and event.stage == "auth":
                    self._beneath(explained)
            return
        shown = style.plain(f"S: {safe(event.text)}")
        goes_on = event.text[3:4] == "-"
        beside = max(_MARGIN - width_of(shown), 2) + width_of(shown) + width_of(explained) <= style.width
        if explained and event.stage == "ehlo" and beside:
            gap = " " * max(_MARGIN - width_of(shown), 2)
            self._write(shown + gap + style.dim(style.plain(explained)))
            return
        self._write(shown)
        if explained and not goes_on:
            self._beneath(explained)

    def _beneath(self, text: str) -> None:
        for line in wrap(self._style.plain(safe(text)), self._style.width - 3):
            self._write("   " + self._style.dim(line))

    def _network(self, event: Event) -> None:
        step = network_step(event)
        if step.outcome == "ok":
            self.note(step.summary)
            for detail in step.details:
                self._beneath(str(detail))
        else:
            self.problem(f"{step.summary}: {event.fact('message')}" if event.kind == "tls" else step.summary)

    def note(self, text: str) -> None:
        """A remark of the shell's own."""
        self._write(self._style.dim(self._style.plain(safe(text))))

    def text(self, text: str) -> None:
        """An answer of the shell's own; may have several lines."""
        for line in text.splitlines():
            self._write(self._style.plain(safe(line)))

    def hint(self, text: str) -> None:
        """What is wrong with a line."""
        self._write(f"{self._style.mark('note')} {self._style.warn(self._style.plain(safe(text)))}")

    def verdict(self, transcript: Transcript, verdict: Verdict) -> None:
        """What is wrong, as far as rules know it."""
        stream = io.StringIO()
        SessionView(stream, self._style).finish(transcript, verdict)
        for line in stream.getvalue().strip("\n").splitlines():
            self._write(line)

    def problem(self, text: str) -> None:
        """What went wrong."""
        self._write(f"{self._style.mark('failed')} {self._style.bad(self._style.plain(safe(text)))}")
