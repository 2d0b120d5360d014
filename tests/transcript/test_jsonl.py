"""The transcript as JSON Lines: nothing is lost, and what is no transcript is refused with its line."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.stages import STAGES
from ehlo.transcript import Event, Facts, Header, JsonValue, Transcript
from ehlo.transcript.event import NO_FACTS
from ehlo.transcript.jsonl import TranscriptError, Writer, event_from_json, event_to_json, header_to_json, read, write

#: 2026-01-02 03:04:05.678901 UTC
HEADER = Header("client", 1767323045.678901, "mail.example.com", "ehlo 9", redacted=True)
HEADER_LINE = json.dumps(header_to_json(HEADER)) + "\n"
EVENT_LINE = '{"t":1,"who":"client","kind":"close","stage":"quit"}\n'


def file_of(transcript: Transcript) -> str:
    stream = io.StringIO()
    write(transcript, stream)
    return stream.getvalue()


def test_header() -> None:
    assert header_to_json(HEADER) == {
        "format": "smtp-transcript",
        "version": 1,
        "role": "client",
        "started": "2026-01-02T03:04:05.678901Z",
        "target": "mail.example.com",
        "software": "ehlo 9",
        "redacted": True,
    }


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (
            Event(0.5, "server", "line", "banner", b"220 x\r\n", 0.25),
            {"t": 0.5, "first": 0.25, "who": "server", "kind": "line", "stage": "banner", "text": "220 x"},
        ),
        (
            Event(0.5, "client", "line", "auth", b"AUTH PLAIN [redacted]\r\n", None, {"redacted": True, "user": "a"}),
            {
                "t": 0.5,
                "who": "client",
                "kind": "line",
                "stage": "auth",
                "text": "AUTH PLAIN [redacted]",
                "redacted": True,
                "user": "a",
            },
        ),
        (
            Event(0.5, "client", "data", "message", b"hi\r\n"),
            {
                "t": 0.5,
                "who": "client",
                "kind": "data",
                "stage": "message",
                "size": 4,
                "digest": "sha256:44723dd4d0e0d46a3c7fa8aca254b61c27b6b5789f96177e82c80700409f1535",
                "text": "hi\r\n",
            },
        ),
    ],
)
def test_event(event: Event, record: dict[str, JsonValue]) -> None:
    assert event_to_json(event) == record
    assert event_from_json(record) == event


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"250 Ok\r\n", "text"),
        ("250 schön\r\n".encode(), "text"),
        (b"250 \x1b[2J\0\r\n", "text"),
        (b"\r\n", "text"),
        # What is not UTF-8 with CRLF at its end and nowhere else.
        (b"250 Ok\n", "b64"),
        (b"250 Ok", "b64"),
        (b"", "b64"),
        (b"250 sch\xf6n\r\n", "b64"),
        (b"a\nb\r\n", "b64"),
    ],
)
def test_a_line_is_text_only_if_its_octets_come_back(data: bytes, key: str) -> None:
    record = event_to_json(Event(0.0, "server", "line", "banner", data))
    assert {"text", "b64"} & set(record) == {key}
    assert event_from_json(record).data == data


def test_a_message_that_was_left_out_keeps_its_size_and_digest() -> None:
    record = event_to_json(Event(0.0, "client", "data", "message", b"hi\r\n"))
    del record["text"]
    event = event_from_json(record)
    assert event.data is None
    assert (event.facts["size"], event.facts["digest"]) == (4, record["digest"])
    assert event_to_json(event) == record


def test_each_event_is_written_when_it_happens() -> None:
    stream = io.StringIO()
    writer = Writer(stream, HEADER)
    assert stream.getvalue().count("\n") == 1
    writer.add(Event(0.0, "client", "close", "quit"))
    assert stream.getvalue().count("\n") == 2


_times = st.integers(0, 10**12).map(lambda microseconds: microseconds / 1_000_000)
_json: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_own = {"t", "first", "who", "kind", "stage", "text", "b64", "size", "digest"}
_facts: st.SearchStrategy[Facts] = st.dictionaries(
    st.text().filter(lambda key: key not in _own), _json, max_size=3
).map(lambda facts: facts or NO_FACTS)
_octets = st.none() | st.binary() | st.text().map(str.encode) | st.text().map(lambda text: text.encode() + b"\r\n")
events: st.SearchStrategy[Event] = st.builds(
    Event,
    t=_times,
    who=st.sampled_from(["client", "server", "net"]),
    kind=st.sampled_from(["dns", "connect", "tls", "line", "data", "close", "error", "note"]),
    stage=st.sampled_from(STAGES),
    data=_octets,
    first=st.none() | _times,
    facts=_facts,
)
headers: st.SearchStrategy[Header] = st.builds(
    Header,
    role=st.sampled_from(["client", "server", "tap"]),
    started=st.integers(0, 4 * 10**15).map(lambda microseconds: microseconds / 1_000_000),
    target=st.text(),
    software=st.text(),
    redacted=st.booleans(),
)
transcripts = st.builds(Transcript, headers, st.lists(events, max_size=4), complete=st.just(True))


@given(transcripts)
def test_what_is_written_is_read(transcript: Transcript) -> None:
    written = file_of(transcript)
    assert written.isascii()
    assert written.count("\n") == 1 + len(transcript.events)
    assert read(io.StringIO(written)) == transcript


@given(transcripts, st.integers(min_value=1))
def test_a_file_that_was_cut_off(transcript: Transcript, octets: int) -> None:
    """All events that are there whole are read; a broken one is told of."""
    written = file_of(transcript)
    header = written.index("\n") + 1
    cut = written[: header + octets % (len(written) - header + 1)]
    got = read(io.StringIO(cut))
    whole = cut.count("\n") - 1
    assert got.events in (transcript.events[:whole], transcript.events[: whole + 1])
    assert got.complete is (cut.endswith("\n") or len(got.events) == whole + 1)


def test_an_empty_line_is_no_event() -> None:
    assert len(read([HEADER_LINE, "\n", EVENT_LINE, "  \n", EVENT_LINE]).events) == 2


def test_what_a_later_version_may_add_is_kept() -> None:
    """Keys may be added to the header and to events."""
    header = HEADER_LINE.replace("{", '{"new":1,', 1)
    event = read([header, EVENT_LINE.replace("{", '{"new":[1],', 1)]).events[0]
    assert event.facts == {"new": [1]}


def _header(**changes: JsonValue) -> str:
    return json.dumps({**header_to_json(HEADER), **changes}) + "\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "not a JSON object"),
        ("220 mail.example.com\n", "not a JSON object"),
        ("{\n", "not a JSON object"),
        ("[" * 100_000 + "\n", "not a JSON object"),
        ('{"format":' + "9" * 5000 + "}\n", "not a JSON object"),
        ("[]\n", "does not begin with a header"),
        ("null\n", "does not begin with a header"),
        ("{}\n", "does not begin with a header"),
        (EVENT_LINE, "does not begin with a header"),
        (_header(format="smtp"), "does not begin with a header"),
        (_header(version=2), "this is version 2; ehlo reads version 1"),
        (_header(version=None), "this is version None"),
        (_header(role="proxy"), "the role is not"),
        (_header(role=["client"]), "the role is not"),
        (_header(started="yesterday"), "RFC 3339"),
        (_header(started=None), "RFC 3339"),
        (_header(started="2026-01-02T03:04:05"), "RFC 3339"),
        (_header(started="9999-99-99T03:04:05Z"), "RFC 3339"),
    ],
)
def test_no_header(line: str, why: str) -> None:
    with pytest.raises(TranscriptError, match=f"^line 1: .*{why}") as raised:
        read([line, EVENT_LINE])
    assert raised.value.line == 1


def _event(**changes: JsonValue) -> str:
    return json.dumps({**json.loads(EVENT_LINE), **changes}) + "\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("QUIT\n", "not a JSON object"),
        ('{"t":1\n', "not a JSON object"),
        ('{"x":' * 100_000 + "\n", "not a JSON object"),
        ('{"t":' + "9" * 5000 + "}\n", "not a JSON object"),
        ("[]\n", "an event is a JSON object"),
        ("{}\n", "'t' and 'first' are seconds"),
        (_event(t="1"), "'t' and 'first' are seconds"),
        (_event(t=True), "'t' and 'first' are seconds"),
        (_event(t=1e300), "'t' and 'first' are seconds"),
        (EVENT_LINE.replace("1", "NaN"), "'t' and 'first' are seconds"),
        (EVENT_LINE.replace("1", "Infinity"), "'t' and 'first' are seconds"),
        (_event(first=[]), "'t' and 'first' are seconds"),
        (_event(who="peer"), "a value that is not in the format"),
        (_event(who=["client"]), "a value that is not in the format"),
        (_event(kind={}), "a value that is not in the format"),
        (_event(kind="reply"), "a value that is not in the format"),
        (_event(stage=None), "a value that is not in the format"),
        (_event(stage="bye"), "a value that is not in the format"),
        (_event(b64="?"), "cannot be decoded"),
        (_event(b64="YQ="), "cannot be decoded"),
        (_event(b64="ü"), "cannot be decoded"),
        (_event(text="\ud800"), "cannot be decoded"),
    ],
)
def test_no_event(line: str, why: str) -> None:
    with pytest.raises(TranscriptError, match=f"^line 4: .*{why}") as raised:
        read([HEADER_LINE, EVENT_LINE, "\n", line, EVENT_LINE])
    assert raised.value.line == 4


def test_a_wrong_last_line_that_is_whole_is_not_forgiven() -> None:
    with pytest.raises(TranscriptError, match=r"^line 2: "):
        read([HEADER_LINE, "[]"])


@given(st.lists(st.text()))
def test_any_lines_are_a_transcript_or_an_error(lines: list[str]) -> None:
    try:
        transcript = read([HEADER_LINE, *(f"{line}\n" for line in lines)])
    except TranscriptError:
        return
    assert transcript.header == HEADER
    assert len(transcript.events) <= len(lines)
