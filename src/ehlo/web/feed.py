"""What happens in the lab, told to open pages as server-sent events (WHATWG HTML, section 9.2).

Ten times a second, while a page is open, the feed looks at how far the sessions have come and tells of those that went
on. It reads no session: whoever wants to see one asks for what is new in it. So a page costs the lab the same
whatever the length of a session and however much is sent, and nothing is done for each event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ehlo.lab.lab import Lab, Watcher
from ehlo.lab.policy import Envelope
from ehlo.transcript.transcript import Transcript
from ehlo.web.context import to_json
from ehlo.web.messages import message_to_json

#: What a page that reads slowly may be behind; then it is told to fetch everything again.
_MAX_BEHIND = 2000
#: Keeps proxies and browsers from taking a quiet stream for a dead one, in seconds.
_HEARTBEAT = 15.0
#: Between two looks, in seconds: what happens in between is told at once.
_CALM = 0.1
#: So many sessions, and so many messages, are told of after one look. Of messages and ended sessions that are more,
#: pages are told to fetch everything again, and then there is a longer pause.
_MOST = 100
_REST = 1.0

_END = "end"


class Feed(Watcher):
    """Tells open pages what happens. Costs next to nothing while no page is open."""

    attentive = False

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._pages: set[asyncio.Queue[str]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._running: dict[int, _Seen] = {}
        self._ended: list[tuple[int, Transcript]] = []
        self._arrived: list[str] = []
        self._changed: set[str] = set()

    async def stream(self) -> AsyncIterator[str]:
        """The events for one page, until it closes or the lab ends."""
        queue: asyncio.Queue[str] = asyncio.Queue(_MAX_BEHIND + 1)
        self._open(queue)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        text = await queue.get()
                except TimeoutError:
                    text = ": still here\n\n"
                if text == _END:
                    return
                yield text
        finally:
            self._pages.discard(queue)

    def _open(self, queue: asyncio.Queue[str]) -> None:
        if not self._pages:
            # Nobody was told, and whoever opens a page begins by asking for everything.
            for seen in self._running.values():
                seen.told = len(seen.transcript.events)
            self._forget()
        self._pages.add(queue)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    def _forget(self) -> None:
        self._ended.clear()
        self._arrived.clear()
        self._changed.clear()

    def close(self) -> None:
        """End all streams."""
        for queue in self._pages:
            _put(queue, _END)
        if self._looking is not None:
            self._looking.cancel()

    def tell(self, event: str, data: Any) -> None:
        """Tell all pages. On the lab's own thread."""
        if self._pages:
            self._write(self._pages, event, data)

    @staticmethod
    def _write(pages: Iterable[asyncio.Queue[str]], event: str, data: Any) -> None:
        text = f"event: {event}\ndata: {to_json(data)}\n\n"
        for queue in pages:
            _put(queue, text)

    # What is new, ten times a second.

    async def _look(self) -> None:
        while self._pages:
            await asyncio.sleep(_CALM)
            for event in sorted(self._changed):
                self._changed.discard(event)
                self.tell(event, {})
            if len(self._arrived) > _MOST or len(self._ended) > _MOST:
                self._forget()
                self.tell("lost", {})
                await asyncio.sleep(_REST)
            else:
                self._tell_messages()
                self._tell_sessions()

    def _tell_messages(self) -> None:
        arrived, self._arrived = self._arrived, []
        for id_ in arrived:
            # It may have been deleted meanwhile.
            stored = self._lab.store.message(id_) if self._lab.store is not None else None
            if stored is not None:
                self.tell("message", message_to_json(stored))

    def _tell_sessions(self) -> None:
        ended, self._ended = self._ended, []
        for number, transcript in ended:
            self._tell_session(number, transcript, ended=True)
        grown = [number for number, seen in self._running.items() if len(seen.transcript.events) != seen.told]
        for number in grown[:_MOST]:
            # To the end of the row: of many, those come first that have waited longest.
            seen = self._running[number] = self._running.pop(number)
            seen.told = len(seen.transcript.events)
            self._tell_session(number, seen.transcript, ended=False)

    def _tell_session(self, number: int, transcript: Transcript, *, ended: bool) -> None:
        events = transcript.events
        seconds = events[-1].t if events else 0.0
        self.tell("session", {"number": number, "event_count": len(events), "seconds": seconds, "ended": ended})

    # What the lab says.

    def began(self, number: int, transcript: Transcript) -> None:
        """A session has begun."""
        if self._lab.store is not None:
            self._running[number] = _Seen(transcript)

    def ended(self, number: int) -> None:
        """A session is over."""
        seen = self._running.pop(number, None)
        if seen is not None and self._pages:
            self._ended.append((number, seen.transcript))

    def received(self, envelope: Envelope) -> None:
        """A message was taken."""
        if self._pages:
            self._arrived.append(envelope.id)

    def faults_changed(self) -> None:
        """A fault came, went, was switched, or has struck. From any thread."""
        self._changed.add("faults")

    def messages_changed(self) -> None:
        """Messages were marked or tagged. From any thread."""
        self._changed.add("messages")

    def scenario_changed(self) -> None:
        """Another scenario is in use. From any thread."""
        self._changed.add("scenario")


class _Seen:
    """A session that runs, and of how many events pages have been told."""

    __slots__ = ("told", "transcript")

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.told = 0


def _put(queue: asyncio.Queue[str], text: str) -> None:
    if queue.qsize() >= _MAX_BEHIND and text != _END:
        while not queue.empty():
            queue.get_nowait()
        text = "event: lost\ndata: {}\n\n"
    queue.put_nowait(text)
