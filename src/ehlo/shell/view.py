"""What the shell shows: lines as they come, each reply explained beneath in one dim line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator

from ehlo.diagnosis.verdict import Verdict
from ehlo.report.margin import LineExplainer
from ehlo.report.steps import network_step
from ehlo.report.style import Style
from ehlo.report.terminal import SessionView
from ehlo.report.text import safe, width_of, wrap
from ehlo.smtp.reply import EnhancedStatus
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Transcript

#: Where the meaning of a keyword stands.
_MARGIN = 38
#: Wider lines are hard to read; in narrower ones there is no room for words.
_WIDEST, _NARROWEST = 110, 20


class View:
    """Turns events into lines. `echo` says whether the client's own lines are shown, too: not where they
    stand at the prompt already. `columns` tells the width of the terminal, to which the shell's own words are
    wrapped; what went over the wire is not, and nothing is where there is no terminal (None)."""

    def __init__(
        self,
        write: Callable[[str], None],
        style: Style,
        *,
        columns: Callable[[], int] | None = None,
        show_secrets: bool = False,
    ) -> None:
        self._write = write
        self._style = style
        self._columns = columns
        self.show_secrets = show_secrets
        self.echo = True
        self.begin()

    def begin(self) -> None:
        """A new session begins."""
        self._redactor = None if self.show_secrets else Redactor()
        self._explainer = LineExplainer(show_secrets=self.show_secrets)

    @contextlib.contextmanager
    def aloud(self) -> Iterator[None]:
        """What the client says within was typed by nobody, so it is shown."""
        before, self.echo = self.echo, True
        try:
            yield
        finally:
            self.echo = before

    @property
    def _width(self) -> int:
        return self._style.width if self._columns is None else min(self._columns(), _WIDEST)

    def _lines(self, text: str, before: int = 0) -> list[str]:
        """A text in lines that fit behind so many columns."""
        text = self._style.plain(safe(text))
        return [text] if self._columns is None else wrap(text, max(self._width - before, _NARROWEST))

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

    def hides(self, line: str) -> bool:
        """Whether a line that is no command would not be shown, from its first word on."""
        stray = self._redactor.stray(line) if self._redactor is not None else None
        return stray is not None and not stray[0]

    def without_secrets(self, text: str) -> str:
        """A text in which the server is quoted, as it may be shown."""
        if self._redactor is None:
            return text
        return self._redactor.clean(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

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
        keyword = event.stage == "ehlo" and event.text[:3] == "250" and EnhancedStatus.parse(event.text[4:]) is None
        beside = max(_MARGIN - width_of(shown), 2) + width_of(shown) + width_of(explained) <= self._width
        if explained and keyword and beside:
            gap = " " * max(_MARGIN - width_of(shown), 2)
            self._write(shown + gap + style.dim(style.plain(explained)))
            return
        self._write(shown)
        if explained and not goes_on:
            self._beneath(explained)

    def _beneath(self, text: str) -> None:
        for line in self._lines(text, 3):
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
        for line in self._lines(text):
            self._write(self._style.dim(line))

    def text(self, text: str) -> None:
        """An answer of the shell's own; may have several paragraphs."""
        for paragraph in text.splitlines():
            for line in self._lines(paragraph):
                self._write(line)

    def literal(self, text: str) -> None:
        """An answer that is to be copied, so it stays in one line."""
        self._write(self._style.plain(safe(text)))

    def table(self, rows: Iterable[tuple[str, str]], gap: int = 2) -> None:
        """Answers of the shell's own, each with a name before it."""
        rows = list(rows)
        column = max((len(name) for name, _ in rows), default=0) + gap
        for name, text in rows:
            first, *others = self._lines(text, column)
            self._write(self._style.plain(safe(f"{name:<{column}}")) + first)
            for line in others:
                self._write(" " * column + line)

    def hint(self, text: str) -> None:
        """What is wrong with a line."""
        self._marked(self._style.mark("note"), text, self._style.warn)

    def problem(self, text: str) -> None:
        """What went wrong."""
        self._marked(self._style.mark("failed"), text, self._style.bad)

    def _marked(self, mark: str, text: str, paint: Callable[[str], str]) -> None:
        for number, line in enumerate(self._lines(text, 2)):
            self._write(f"{' ' if number else mark} {paint(line)}")

    def verdict(self, transcript: Transcript, verdict: Verdict) -> None:
        """What is wrong, as far as rules know it."""
        stream = io.StringIO()
        SessionView(stream, self._style._replace(width=self._width)).finish(transcript, verdict)
        for line in stream.getvalue().strip("\n").splitlines():
            self._write(line)
