"""What happens in the lab, told to open pages as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from ehlo.lab.lab import Lab, Watcher
from ehlo.lab.policy import Message
from ehlo.report.margin import LineExplainer
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor
from ehlo.transcript.transcript import Transcript
from ehlo.web.messages import message_to_json
from ehlo.web.sessions import event_to_json, session_to_json

#: What a page that reads slowly may be behind; then it is told to fetch everything again.
_MAX_BEHIND = 2000
#: Keeps proxies and browsers from taking a quiet stream for a dead one, in seconds.
_HEARTBEAT = 15.0
#: Changes of the same kind within this time are told once, in seconds.
_CALM = 0.1

_END = "end"


class Feed(Watcher):
    """Tells open pages what happens. Costs next to nothing while no page is open."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.attentive = False
        self._loop = asyncio.get_running_loop()
        self._pages: set[asyncio.Queue[str]] = set()
        self._running: dict[int, _Live] = {}
        self._due: set[str] = set()

    async def stream(self) -> AsyncIterator[str]:
        """The events for one page, until it closes or the lab ends."""
        queue: asyncio.Queue[str] = asyncio.Queue(_MAX_BEHIND + 1)
        self._pages.add(queue)
        self._look()
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
            self._look()

    def _look(self) -> None:
        """What happens in each session costs time to hear of: only while a page is open."""
        if self.attentive != bool(self._pages):
            self.attentive = bool(self._pages)
            self._lab.attend()

    def close(self) -> None:
        """End all streams."""
        for queue in self._pages:
            _put(queue, _END)

    def tell(self, event: str, make: Callable[[], Any] = dict) -> None:
        """Tell all pages; what to tell is made only if there are any. On the lab's own thread."""
        if not self._pages:
            return
        text = f"event: {event}\ndata: {json.dumps(make(), ensure_ascii=True)}\n\n"
        for queue in self._pages:
            _put(queue, text)

    def tell_calmly(self, event: str) -> None:
        """Tell all pages soon that something changed, once for many changes. From any thread."""
        if self._pages:
            self._loop.call_soon_threadsafe(self._tell_soon, event)

    def _tell_soon(self, event: str) -> None:
        if event not in self._due:
            self._due.add(event)
            self._loop.call_later(_CALM, self._tell_due, event)

    def _tell_due(self, event: str) -> None:
        self._due.discard(event)
        self.tell(event)

    # What the lab says.

    def began(self, number: int, transcript: Transcript) -> None:
        """A session has begun."""
        self._running[number] = _Live(number, transcript)
        self._tell_session(number)

    def happened(self, number: int, event: Event) -> None:
        """Something was recorded in a session."""
        live = self._running.get(number)
        if live is not None and self._pages:
            for line in live.fresh():
                self.tell("line", lambda line=line: line)  # type: ignore[misc]
            if event.kind == "line" and event.who == "server" and event.stage in ("ehlo", "mail", "rcpt", "message"):
                self._tell_session(number)

    def ended(self, number: int) -> None:
        """A session is over."""
        self._tell_session(number, running=False)
        self._running.pop(number, None)

    def _tell_session(self, number: int, *, running: bool = True) -> None:
        live, store = self._running.get(number), self._lab.store
        if live is not None and store is not None and self._pages:
            ids = store.messages_of(number)
            self.tell("session", lambda: session_to_json(number, live.transcript, ids, running=running))

    def received(self, message: Message) -> None:
        """A message was taken."""
        store = self._lab.store
        if store is not None and self._pages:
            stored = store.message(message.id)
            if stored is not None:
                self.tell("message", lambda: message_to_json(stored))

    def faults_changed(self) -> None:
        """A fault came, went, was switched, or has struck."""
        self.tell_calmly("faults")

    def scenario_changed(self) -> None:
        """Another scenario is in use."""
        self.tell_calmly("scenario")


class _Live:
    """A session that runs: how much of it has been told, without its secrets."""

    __slots__ = ("_explainer", "_redactor", "_told", "number", "transcript")

    def __init__(self, number: int, transcript: Transcript) -> None:
        self.number = number
        self.transcript = transcript
        self._redactor = Redactor()
        self._explainer = LineExplainer()
        self._told = 0

    def fresh(self) -> list[dict[str, Any]]:
        """What has not been told yet. What came before a page was open is passed over, but read for its secrets."""
        events = self.transcript.events[self._told :]
        first, self._told = self._told, self._told + len(events)
        shown = [(index, self._redactor.redact(event)) for index, event in enumerate(events, first)]
        return [
            {"session": self.number, "index": index, "event": event_to_json(event, self._explainer)}
            for index, event in shown
        ]


def _put(queue: asyncio.Queue[str], text: str) -> None:
    if queue.qsize() >= _MAX_BEHIND and text != _END:
        while not queue.empty():
            queue.get_nowait()
        text = "event: lost\ndata: {}\n\n"
    queue.put_nowait(text)
