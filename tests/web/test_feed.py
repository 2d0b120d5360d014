"""What an open page costs. Work is counted, not timed: so many events read, however many there are and whoever asks."""

from __future__ import annotations

import json
import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ehlo.diagnosis.duties import judge_client
from ehlo.lab.policy import Envelope
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, ExchangeReader
from ehlo.transcript.transcript import Recorder
from ehlo.web import readings
from ehlo.web.sessions import Reading, part_to_json
from web.conftest import Page

#: Nothing here takes as long; what hangs ends with an error.
PATIENCE = 30.0


class Reader:
    """Reads the event stream and keeps what it was told, with when."""

    def __init__(self, page: Page) -> None:
        self.told: list[tuple[str, Any]] = []
        self.times: list[float] = []
        self._page = page
        self._socket = socket.create_connection(("127.0.0.1", page.web.port), timeout=PATIENCE)
        self._open = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        assert self._open.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._gone()

    def _gone(self) -> None:
        """The lab has noticed that nobody reads any more."""
        feed = self._page.web._feed
        assert feed is not None
        deadline = time.monotonic() + PATIENCE
        while feed._pages or not (feed._looking is not None and feed._looking.done()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _read(self) -> None:
        with self._socket, self._socket.makefile("r", encoding="ascii") as stream:
            # In this version of HTTP the lines of the stream come as they are.
            self._socket.sendall(b"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
            event = ""
            for line in stream:
                if line.startswith("retry: "):
                    self._open.set()
                elif line.startswith("event: "):
                    event = line[7:].strip()
                elif line.startswith("data: "):
                    with self._news:
                        self.times.append(time.monotonic())
                        self.told.append((event, json.loads(line[6:])))
                        self._news.notify_all()

    def of(self, name: str) -> list[Any]:
        """What events of a name brought."""
        return [data for event, data in self.told if event == name]

    def wait_for(self, holds: Callable[[Reader], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: holds(self), PATIENCE), self.told[-10:]


def over(number: int) -> Callable[[Reader], bool]:
    """Whether a session's end was told, or that too much happened to tell it."""
    return lambda reader: (
        bool(reader.of("lost")) or any(data["number"] == number and data["ended"] for data in reader.of("session"))
    )


def latest(page: Page) -> int:
    number: int = page.http.get("/api/v1/sessions?limit=1").json()["sessions"][0]["number"]
    return number


def deliver(page: Page, count: int) -> None:
    """So many messages in one session."""
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example", timeout=PATIENCE) as smtp:
        for number in range(count):
            smtp.sendmail("a@here.example", [f"{number}@example.com"], f"Subject: {number}\r\n\r\nhi\r\n".encode())


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many events were read, and how many sessions judged."""
    count: Counter[str] = Counter()
    feed, judge = ExchangeReader.feed, judge_client

    def counted_feed(self: ExchangeReader, event: Event) -> Exchange | None:
        count["read"] += 1
        return feed(self, event)

    def counted_judge(*args: Any, **options: Any) -> Any:
        count["judged"] += 1
        return judge(*args, **options)

    monkeypatch.setattr(ExchangeReader, "feed", counted_feed)
    monkeypatch.setattr(readings, "judge_client", counted_judge)
    return count


def test_an_open_page_reads_nothing_by_itself(page: Page, work: Counter[str]) -> None:
    with Reader(page) as reader:
        deliver(page, 200)
        reader.wait_for(lambda reader: bool(reader.of("lost")) or any(data["ended"] for data in reader.of("session")))
    assert work == {}


def test_who_looks_at_a_session_while_it_runs_reads_each_event_once(page: Page, work: Counter[str]) -> None:
    rounds = 30
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example", timeout=PATIENCE) as smtp:
        smtp.ehlo()
        number = latest(page)
        first = seen = work["read"]
        for _ in range(rounds):
            smtp.sendmail("a@here.example", ["bob@example.com"], b"Subject: x\r\n\r\nhi\r\n")
            part = page.http.get(f"/api/v1/session/{number}/events?start={seen}").json()
            assert part["start"] == seen
            assert len(part["events"]) == part["event_count"] - seen
            seen = part["event_count"]
            row = page.http.get("/api/v1/sessions?limit=1").json()["sessions"][0]
            assert (row["event_count"], row["outcome"], row["findings"]) == (seen, "running", [])
        # All that has come by now, and nothing twice; and nobody was judged.
        assert seen == first + 8 * rounds
        assert work == {"read": seen}


def test_a_session_that_is_over_is_judged_once_for_the_list(page: Page, work: Counter[str]) -> None:
    deliver(page, 3)
    rows = [page.http.get("/api/v1/sessions?limit=1").json()["sessions"][0] for _ in range(5)]
    assert all(row == rows[0] for row in rows)
    assert [finding["rule"] for finding in rows[0]["findings"]] == ["client-starttls-unused"]
    assert work["judged"] == 1


def test_sessions_are_told_of_calmly(page: Page) -> None:
    """However much happens in a session: ten times a second, and once more at its end."""
    with Reader(page) as reader:
        began = time.monotonic()
        deliver(page, 60)
        number = latest(page)
        reader.wait_for(over(number))
        # Counted against the time it took, so that a slow machine may tell more.
        seconds = time.monotonic() - began
        told = [data for data in reader.of("session") if data["number"] == number]
        assert len(told) <= seconds / 0.1 + 2
    assert told[-1] == {**told[-1], "ended": True, "event_count": len(page.lab.sessions[-1].events)}
    assert [data["event_count"] for data in told] == sorted(data["event_count"] for data in told)


def test_a_burst_of_messages_is_told_in_one_word(page: Page) -> None:
    with Reader(page) as reader:
        deliver(page, 30)
        reader.wait_for(lambda reader: len(reader.of("message")) == 30)
        assert reader.of("lost") == []
        # Faster than anything can be told one by one: in one step of the lab's own thread.
        envelopes = [Envelope(*message[:4]) for message in page.lab.messages * 10]

        def burst() -> None:
            for envelope in envelopes:
                for watcher in page.lab.lab._watchers:
                    watcher.received(envelope)

        assert page.web._feed is not None
        assert page.web._task is not None
        page.web._task.get_loop().call_soon_threadsafe(burst)
        reader.wait_for(lambda reader: bool(reader.of("lost")))
        assert len(reader.of("message")) == 30


def test_what_happened_before_a_page_was_open_is_not_told(page: Page) -> None:
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example", timeout=PATIENCE) as smtp:
        smtp.ehlo()
        with page.lab.fault("mail", reply="451 4.3.0 Not now"):
            pass
        with Reader(page) as reader:
            page.send()
            reader.wait_for(
                lambda reader: len(reader.of("message")) == 1 and any(d["ended"] for d in reader.of("session"))
            )
            assert {data["number"] for data in reader.of("session")} == {latest(page)}
            assert reader.of("faults") == []


def test_a_message_that_was_deleted_at_once_is_not_told(page: Page) -> None:
    with Reader(page) as reader:
        page.send(b"Subject: gone\r\n\r\n")
        page.http.request("DELETE", "/api/v1/messages")
        id_ = page.send(b"Subject: here\r\n\r\n")
        reader.wait_for(lambda reader: any(data["ID"] == id_ for data in reader.of("message")))
        # Told before it was deleted, if the look came in between; never after.
        names = [event for event, data in reader.told if event == "deleted" or data.get("Subject") == "gone"]
        assert names in (["deleted"], ["message", "deleted"])


def test_nobody_is_left_behind(page: Page) -> None:
    """A page that has closed costs nothing any more."""
    with Reader(page) as reader:
        page.send()
        reader.wait_for(lambda reader: bool(reader.of("message")))
    feed = page.web._feed
    assert feed is not None
    page.send()
    assert feed._arrived == []
    assert feed._ended == []


def test_a_reading_keeps_no_message() -> None:
    recorder = Recorder("server", "127.0.0.1:1")
    recorder.add_lines("client", "data", b"DATA\r\n")
    recorder.add_lines("server", "data", b"354 Go ahead\r\n")
    recorder.add("client", "data", "message", b"x" * 1234)
    recorder.add_lines("server", "message", b"250 2.0.0 Ok\r\n")
    reading = Reading(1, recorder.header)
    reading.read_on(recorder.events)
    assert [event.data for event in reading.events if event.kind == "data"] == [None]
    assert all(step.command is None or step.command.kind == "line" or not step.command.data for step in reading.steps)
    assert part_to_json(reading, 2, 1)["events"][0]["text"] == "(1,234 octets of message)"
    assert reading.outcome(running=False) == "delivered"
