"""The transcript, the one record that everything writes and everything reads, and its recorder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from ehlo import __version__
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import NO_FACTS, Event, Facts, Kind, Who

Role = Literal["client", "server", "tap"]

SOFTWARE = f"ehlo {__version__}"


class Header(NamedTuple):
    """What is known of a session before it begins.

    `role` is the side that wrote the transcript, `started` seconds since 1970 (UTC), `target` what
    the user asked for, `redacted` whether secrets were taken out.
    """

    role: Role
    started: float
    target: str = ""
    software: str = SOFTWARE
    redacted: bool = False


class Transcript(NamedTuple):
    """All events of one session, in order. `complete` is False when a file broke off in mid-event."""

    header: Header
    events: list[Event]
    complete: bool = True


_LINES = re.compile(rb"[^\n]*\n|[^\n]+")

Listener = Callable[[Event], None]


class Recorder:
    """Writes a transcript while the session runs.

    `clock` gives monotonic seconds. A listener is called with each event as it happens: that is
    how progress reaches the terminal and a file without waiting for the end.
    """

    __slots__ = ("_clock", "_listener", "_zero", "events", "header")

    def __init__(
        self,
        role: Role,
        target: str = "",
        *,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.header = Header(role, time.time(), target)
        self.events: list[Event] = []
        self._listener = listener
        self._clock = clock
        self._zero = clock()

    @property
    def transcript(self) -> Transcript:
        """The transcript up to this moment. It grows with the session."""
        return Transcript(self.header, self.events)

    def now(self) -> float:
        """Seconds since the session started."""
        return self._clock() - self._zero

    def add(
        self,
        who: Who,
        kind: Kind,
        stage: Stage,
        data: bytes | None = None,
        *,
        first: float | None = None,
        facts: Facts = NO_FACTS,
    ) -> None:
        """Record something that happened, or ended, now."""
        self.put(Event(self._clock() - self._zero, who, kind, stage, data, first, facts))

    def put(self, event: Event) -> None:
        """Record an event whose time is known already."""
        self.events.append(event)
        if self._listener is not None:
            self._listener(event)

    def add_lines(self, who: Who, stage: Stage, data: bytes) -> None:
        """Record the lines in `data`, which were sent just now."""
        t = self._clock() - self._zero
        lines = (data,) if data.count(b"\n") == 1 else _LINES.findall(data)
        for line in lines:
            self.put(Event(t, who, "line", stage, line))
