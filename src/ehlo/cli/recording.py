"""--record: the transcript goes to a file while the session runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from ehlo.cli.commands import UsageError
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Transcript


class RecordWriter:
    """Writes what has been recorded to a file, which is opened at once. Raises `UsageError` if it cannot be.

    A session does not end because a disk is full: a message may be under way. So the first error of writing is
    handed to `warn`, as a sentence, and nothing more is written.
    """

    def __init__(self, name: str, *, show_secrets: bool, warn: Callable[[str], object]) -> None:
        self._name = name
        self._show_secrets = show_secrets
        self._warn = warn
        self._failed = False
        self._events: list[Event] = []
        self._written = 0
        self._begun = False
        self._stream = _opened(name)

    def begin(self, transcript: Transcript) -> None:
        """Record a session; it takes the place of the one before."""
        self._attempt(lambda: self._begin(transcript))

    def _begin(self, transcript: Transcript) -> None:
        from ehlo.transcript.jsonl import Writer

        if self._begun:
            self._stream.seek(0)
            self._stream.truncate()
        self._begun = True
        self._events, self._written = transcript.events, 0
        self._redactor = None if self._show_secrets else Redactor()
        self._writer = Writer(self._stream, transcript.header._replace(redacted=not self._show_secrets))

    def catch_up(self, _: Event | None = None) -> None:
        """Write the events that are not in the file yet. They are counted here: Ctrl-C may strike between the recording
        of an event and its listener."""
        if self._written < len(self._events):
            self._attempt(self._catch_up)

    def _catch_up(self) -> None:
        while self._written < len(self._events):
            event = self._events[self._written]
            self._written += 1
            self._writer.add(event if self._redactor is None else self._redactor.redact(event))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.catch_up()
        try:
            self._stream.close()
        except OSError as error:
            # What could not be written is still in a buffer, and fails again.
            self._fail(error)

    def _attempt(self, write: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            write()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._warn(_sentence(self._name, error))


def _opened(name: str) -> TextIO:
    try:
        return open(name, "w", encoding="ascii")
    except OSError as error:
        raise UsageError(_sentence(name, error)) from None


def _sentence(name: str, error: OSError) -> str:
    return f"The record '{name}' cannot be written: {error.strerror}."
