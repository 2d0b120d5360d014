"""What has been read of the lab's sessions, for whoever asks over HTTP.

    number ──> running? go on reading where it stopped ──┐
           ──> over? read it, and keep its line ─────────┴──> a line of the list, the session, a part of it

Nothing is read before somebody asks, and what a request costs does not grow with how often others have asked.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from ehlo.diagnosis.duties import judge_client
from ehlo.lab.lab import Lab
from ehlo.transcript.transcript import Transcript
from ehlo.web.sessions import (
    MAX_NAMED,
    JsonObject,
    Reading,
    findings_to_json,
    part_to_json,
    summary_to_json,
    titles_to_json,
)

#: So many sessions that run are kept as far as they were read; the others are read again when they are asked for.
_MAX_RUNNING = 100
#: So many lines of sessions that are over are kept.
_MAX_ROWS = 2000
#: So many sessions after one, and so many events of these, are looked at to see whether its client came back.
_MAX_LATER = 200
_MAX_LATER_EVENTS = 50_000


class _Read(NamedTuple):
    """A session that was read as far as it has come."""

    reading: Reading
    transcript: Transcript
    running: bool


class Readings:
    """The sessions of a lab as they are shown. Safe to use from several threads."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._running: OrderedDict[int, Reading] = OrderedDict()
        self._rows: OrderedDict[int, JsonObject] = OrderedDict()

    def row(self, number: int) -> JsonObject | None:
        """A session as a line of the list. What its client did wrong is said once it is over."""
        with self._lock:
            row = self._rows.get(number)
        if row is None:
            read = self._read(number)
            if read is None:
                return None
            findings = () if read.running else judge_client(read.transcript)
            row = {**summary_to_json(read.reading, running=read.running), "findings": titles_to_json(findings)}
            if not read.running:
                with self._lock:
                    self._rows[number] = row
                    if len(self._rows) > _MAX_ROWS:
                        self._rows.popitem(last=False)
        return {**row, **self._messages(number)}

    def document(self, number: int, start: int, limit: int) -> JsonObject | None:
        """A session: its line, a part of its conversation, and what its client did wrong so far, in full."""
        read = self._read(number)
        if read is None:
            return None
        reading, transcript, running = read
        findings = judge_client(transcript, self._later(number), over=not running, now=time.time())
        return {
            **summary_to_json(reading, running=running),
            **self._messages(number),
            **part_to_json(reading, start, limit),
            "findings": findings_to_json(findings),
        }

    def part(self, number: int, start: int, limit: int) -> JsonObject | None:
        """A part of a session's conversation, and no more."""
        read = self._read(number)
        if read is None:
            return None
        counted = {"number": number, "event_count": len(read.reading.events), "ended": not read.running}
        return {**counted, **part_to_json(read.reading, start, limit)}

    def _read(self, number: int) -> _Read | None:
        store = self._lab.store
        # Asked first: of a session that is over by now, everything is there.
        running = self._lab.is_running(number)
        transcript = store.transcript(number) if store is not None else None
        if transcript is None:
            return None
        if not running:
            reading = Reading(number, transcript.header)
            reading.read_on(transcript.events)
            with self._lock:
                self._running.pop(number, None)
            return _Read(reading, transcript, running)
        with self._lock:
            reading = self._running.setdefault(number, Reading(number, transcript.header))
            self._running.move_to_end(number)
            if len(self._running) > _MAX_RUNNING:
                self._running.popitem(last=False)
            # Who the client is may be said in the course of the session.
            reading.header = transcript.header
            reading.read_on(transcript.events)
        return _Read(reading, transcript, running)

    def _messages(self, number: int) -> JsonObject:
        """The messages that a session brought and that are still there."""
        store = self._lab.store
        if store is None:
            return {"messages": [], "message_count": 0}
        return {"messages": store.messages_of(number, MAX_NAMED), "message_count": store.count_of(number)}

    def _later(self, number: int) -> Iterator[Transcript]:
        """The sessions after one; each is unpacked when it is its turn."""
        store, events = self._lab.store, 0
        for each in range(number + 1, number + 1 + _MAX_LATER):
            following = store.transcript(each) if store is not None else None
            if following is None:
                continue
            events += len(following.events)
            if events > _MAX_LATER_EVENTS:
                return
            yield following
