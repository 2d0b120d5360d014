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
    """All events of one session, in order. `complete` is False when a file broke off in mid-event, or before the
    session was over."""

    header: Header
    events: list[Event]
    complete: bool = True


# Half the price of Event(...), which is paid for every line of every session.
_new = tuple.__new__

_LINES = re.compile(rb"[^\n]*\n|[^\n]+")

Listener = Callable[[Event], None]


def _forget(_: Event) -> None:
    """Where the events go of a session that is too long, or that nobody will look at."""


class Recorder:
    """Writes a transcript while the session runs.

    `clock` gives monotonic seconds. A listener is called with each event as it happens: that is
    how progress reaches the terminal and a file without waiting for the end. With `keep` off nothing is
    recorded while nobody listens. `octets` is the size of what is large among the events, messages and lines that are
    longer than a command may be; who records them adds it up.
    """

    __slots__ = ("_clock", "_cut_off", "_keep", "_listener", "_zero", "events", "header", "octets", "put", "recording")

    #: Records an event whose time is known already.
    put: Callable[[Event], None]
    #: Whether events go anywhere: if not, whoever makes many need not make them.
    recording: bool

    def __init__(
        self,
        role: Role,
        target: str = "",
        *,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep: bool = True,
    ) -> None:
        self.header = Header(role, time.time(), target)
        self.events: list[Event] = []
        self.octets = 0
        self._clock = clock
        self._zero = clock()
        self._cut_off = False
        self._keep = keep
        self.listen(listener)

    @property
    def transcript(self) -> Transcript:
        """The transcript up to this moment. It grows with the session."""
        return Transcript(self.header, self.events)

    def listen(self, listener: Listener | None) -> None:
        """Call this listener with each event from now on; None: nobody."""
        self._listener = listener
        if self._cut_off:
            return
        self.recording = self._keep or listener is not None
        if listener is not None:
            self.put = self._put_and_tell
        else:
            # A lab records some hundred thousand events a second: without a listener, this is all it takes.
            self.put = self.events.append if self._keep else _forget

    def cut_off(self, note: str) -> None:
        """Record this note, and nothing more of the session: it would take too much memory."""
        self.add("net", "note", self.events[-1].stage if self.events else "connect", facts={"message": note})
        self._cut_off, self.recording, self.put = True, False, _forget

    def now(self) -> float:
        """Seconds since the session started, in whole microseconds: what a file keeps of it.

        A session that is shown again from its file shows the same times as while it ran.
        """
        # A quarter of the price of round(), which a lab would pay some hundred thousand times a second.
        return int((self._clock() - self._zero) * 1e6 + 0.5) / 1e6

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
        self.put(Event(self.now(), who, kind, stage, data, first, facts))

    def _put_and_tell(self, event: Event) -> None:
        self.events.append(event)
        if self._listener is not None:
            self._listener(event)

    def add_lines(self, who: Who, stage: Stage, data: bytes) -> float:
        """Record the lines in `data`, which were sent just now; gives the time."""
        t = int((self._clock() - self._zero) * 1e6 + 0.5) / 1e6
        if data and data.find(b"\n") == len(data) - 1:
            self.put(_new(Event, (t, who, "line", stage, data, None, NO_FACTS)))
        else:
            for line in _LINES.findall(data):
                self.put(_new(Event, (t, who, "line", stage, line, None, NO_FACTS)))
        return t
