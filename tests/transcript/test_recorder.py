"""The recorder: events in order, with the time they happened, told to whoever listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.transcript import SOFTWARE, Event, Recorder, jsonl


def clock(*times: float) -> Iterator[float]:
    yield from times


def recorder(*times: float) -> Recorder:
    """A recorder whose session starts at 100 s on its clock; then it is asked at these times."""
    ticks = clock(100.0, *times)
    return Recorder("client", "mail.example.com", clock=lambda: next(ticks))


def test_header() -> None:
    header = recorder().header
    assert (header.role, header.target, header.software) == ("client", "mail.example.com", SOFTWARE)
    assert not header.redacted


def test_times_count_from_the_start() -> None:
    record = recorder(100.25, 100.5, 101.0)
    assert record.now() == 0.25
    record.add("net", "connect", "connect", first=0.25, facts={"port": 25})
    record.put(Event(0.75, "server", "line", "banner", b"220 x\r\n", 0.625))
    record.add("client", "close", "quit")
    assert record.transcript.events == [
        Event(0.5, "net", "connect", "connect", None, 0.25, {"port": 25}),
        Event(0.75, "server", "line", "banner", b"220 x\r\n", 0.625),
        Event(1.0, "client", "close", "quit"),
    ]


@given(st.floats(0, 1e6))
def test_a_file_keeps_the_very_times_of_the_session(seconds: float) -> None:
    record = recorder(100.0 + seconds)
    record.add("client", "close", "quit", first=0.1)
    assert jsonl.event_from_json(jsonl.event_to_json(record.events[0])) == record.events[0]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"QUIT\r\n", [b"QUIT\r\n"]),
        (b"250-a\r\n250 b\r\n", [b"250-a\r\n", b"250 b\r\n"]),
        (b"a\nb\n", [b"a\n", b"b\n"]),
        (b"QU", [b"QU"]),
        (b"NOOP\r\nQU", [b"NOOP\r\n", b"QU"]),
        (b"\r\n", [b"\r\n"]),
        (b"", []),
    ],
)
def test_each_line_is_an_event(data: bytes, lines: list[bytes]) -> None:
    record = recorder(101.0)
    record.add_lines("client", "mail", data)
    assert record.events == [Event(1.0, "client", "line", "mail", line) for line in lines]


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"])).map(b"".join))
def test_no_octet_is_lost(data: bytes) -> None:
    record = recorder(101.0)
    record.add_lines("client", "mail", data)
    lines = [event.data or b"" for event in record.events]
    assert b"".join(lines) == data
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines[:-1])


def test_a_listener_hears_each_event_as_it_happens() -> None:
    heard: list[tuple[Event, int]] = []
    record = Recorder("server", listener=lambda event: heard.append((event, len(record.events))))
    record.add_lines("server", "banner", b"220-x\r\n220 y\r\n")
    record.add("net", "close", "banner")
    assert [event for event, _ in heard] == record.events
    assert [length for _, length in heard] == [1, 2, 3]


def test_the_transcript_grows_with_the_session() -> None:
    record = recorder(101.0)
    transcript = record.transcript
    record.add("net", "close", "banner")
    assert len(transcript.events) == 1
    assert transcript.complete


def test_what_an_event_says_of_itself() -> None:
    event = Event(2.0, "server", "line", "ehlo", b"250 sch\xf6n\r\n", 1.5, {"port": 25, "none": None})
    assert (event.began, event.text) == (1.5, "250 sch\udcf6n")
    assert (event.fact("port"), event.fact("none"), event.fact("other")) == ("25", "", "")
    assert Event(2.0, "net", "close", "quit").began == 2.0
    assert Event(2.0, "net", "close", "quit").text == ""


def test_what_is_not_kept_is_recorded_only_for_a_listener() -> None:
    heard: list[Event] = []
    record = Recorder("server", keep=False)
    record.add_lines("client", "mail", b"NOOP\r\n")
    assert not record.recording
    record.listen(heard.append)
    record.add_lines("client", "mail", b"RSET\r\n")
    record.listen(None)
    record.add_lines("client", "mail", b"QUIT\r\n")
    assert [event.data for event in heard] == [event.data for event in record.events] == [b"RSET\r\n"]
