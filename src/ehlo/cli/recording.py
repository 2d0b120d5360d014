"""--record: the transcript goes to a file while the session runs."""

from __future__ import annotations

from typing import TextIO

from ehlo.cli.commands import UsageError
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Transcript


def open_record(name: str) -> TextIO:
    """The file for a record. Raises `UsageError`."""
    try:
        return open(name, "w", encoding="ascii")
    except OSError as error:
        raise UsageError(f"The record '{name}' cannot be written: {error.strerror}.") from None


class RecordWriter:
    """Writes what has been recorded to a file.

    It counts by itself what is written: Ctrl-C may strike between the recording of an event and its listener.
    """

    def __init__(self, stream: TextIO, transcript: Transcript, *, show_secrets: bool) -> None:
        from ehlo.transcript.jsonl import Writer

        self._writer = Writer(stream, transcript.header._replace(redacted=not show_secrets))
        self._events = transcript.events
        self._redactor = None if show_secrets else Redactor()
        self._written = 0

    def catch_up(self, _: Event | None = None) -> None:
        """Write the events that are not in the file yet."""
        while self._written < len(self._events):
            event = self._events[self._written]
            self._written += 1
            self._writer.add(event if self._redactor is None else self._redactor.redact(event))
