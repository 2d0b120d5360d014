"""The transcript as JSON Lines: a header object, then one object an event (docs/transcript.md).

Written line by line while a session runs, so that whatever happens the file holds everything up
to that moment; reading tolerates a last line that was cut off. Times have microseconds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TextIO, cast, get_args

from ehlo.smtp.stages import STAGES, Stage
from ehlo.transcript.event import NO_FACTS, Event, JsonValue, Kind, Who
from ehlo.transcript.transcript import Header, Role, Transcript

FORMAT = "smtp-transcript"
VERSION = 1

_WHO = frozenset(get_args(Who))
_KINDS = frozenset(get_args(Kind))
_ROLES = frozenset(get_args(Role))
_STAGES = frozenset(STAGES)
_OWN_KEYS = frozenset({"t", "first", "who", "kind", "stage", "text", "b64"})


class TranscriptError(ValueError):
    """A file that is not a transcript. `line` is the number of the offending line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def header_to_json(header: Header) -> dict[str, JsonValue]:
    """The header as the JSON object of the file's first line."""
    started = datetime.fromtimestamp(header.started, UTC).isoformat(timespec="microseconds")
    return {
        "format": FORMAT,
        "version": VERSION,
        "role": header.role,
        "started": started.replace("+00:00", "Z"),
        "target": header.target,
        "software": header.software,
        "redacted": header.redacted,
    }


def event_to_json(event: Event) -> dict[str, JsonValue]:
    """An event as a JSON object."""
    out: dict[str, JsonValue] = {"t": round(event.t, 6)}
    if event.first is not None:
        out["first"] = round(event.first, 6)
    out.update(who=event.who, kind=event.kind, stage=event.stage)
    data = event.data
    if data is not None:
        if event.kind == "data":
            out["size"] = len(data)
            out["digest"] = "sha256:" + hashlib.sha256(data).hexdigest()
        out.update(_encode_bytes(data, whole=event.kind == "data"))
    out.update(event.facts)
    return out


def _encode_bytes(data: bytes, *, whole: bool) -> dict[str, JsonValue]:
    body = data if whole else data[:-2] if data.endswith(b"\r\n") else None
    if body is not None and (whole or b"\n" not in body):
        try:
            return {"text": body.decode("utf-8")}
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(data).decode("ascii")}


def write(transcript: Transcript, stream: TextIO) -> None:
    """Write a whole transcript. What it holds is written as it is: redact it first."""
    writer = Writer(stream, transcript.header)
    for event in transcript.events:
        writer.add(event)


class Writer:
    """Writes a transcript while it grows: the header at once, then an event a call."""

    def __init__(self, stream: TextIO, header: Header) -> None:
        self._stream = stream
        self._write(header_to_json(header))

    def add(self, event: Event) -> None:
        """Write one event, and make sure that it has left this process."""
        self._write(event_to_json(event))

    def _write(self, record: dict[str, JsonValue]) -> None:
        # ASCII alone, so that a transcript can be looked at with `cat` whatever a server sent.
        self._stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._stream.flush()


def read(stream: Iterable[str]) -> Transcript:
    """Read one transcript. Raises `TranscriptError`.

    A last line without its line ending that is not JSON was cut off: it is left out, and the
    transcript is marked as not complete.
    """
    lines = iter(stream)
    first = next(lines, "")
    header = header_from_json(_parse(1, first))
    events: list[Event] = []
    complete = True
    for number, record, cut in _records(lines):
        if cut:
            complete = False
            break
        events.append(event_from_json(record, number))
    return Transcript(header, events, complete)


def read_finished(stream: Iterable[str]) -> Transcript:
    """Read the record of a session that is over. It is not complete either where it ends before the session does,
    because what wrote it was ended, or still ran. Raises `TranscriptError`."""
    transcript = read(stream)
    events = transcript.events
    # Where no connection came about, none is closed.
    ended = any(event.kind == "close" for event in events) or (bool(events) and "error" in events[-1].facts)
    return transcript._replace(complete=transcript.complete and ended)


def _records(lines: Iterator[str]) -> Iterator[tuple[int, JsonValue, bool]]:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            yield number, _parse(number, line), False
        except TranscriptError:
            if line.endswith("\n"):
                raise
            yield number, None, True


def _parse(number: int, line: str) -> JsonValue:
    try:
        return cast(JsonValue, json.loads(line))
    except (ValueError, RecursionError):
        # A number of thousands of digits is a ValueError of its own kind.
        raise TranscriptError(number, "this is not a JSON object") from None


def header_from_json(record: JsonValue) -> Header:
    """The reverse of `header_to_json`. Raises `TranscriptError`."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise TranscriptError(1, f'the file does not begin with a header that says "format": "{FORMAT}"')
    if record.get("version") != VERSION:
        raise TranscriptError(1, f"this is version {record.get('version')}; ehlo reads version {VERSION}")
    if not _is_one_of(record.get("role"), _ROLES):
        raise TranscriptError(1, "the role is not client, server or tap")
    return Header(
        cast(Role, record["role"]),
        _started(record.get("started")),
        str(record.get("target", "")),
        str(record.get("software", "")),
        record.get("redacted") is True,
    )


def _started(value: JsonValue) -> float:
    try:
        when = datetime.fromisoformat(str(value))
        if when.tzinfo is not None:
            return when.timestamp()
    except (ValueError, OverflowError):
        pass
    raise TranscriptError(1, "the time in 'started' is not of the form of RFC 3339")


def event_from_json(record: JsonValue, number: int = 0) -> Event:
    """The reverse of `event_to_json`; `number` is the line, for errors. Raises `TranscriptError`."""
    if not isinstance(record, dict):
        raise TranscriptError(number, "an event is a JSON object")
    t, first = record.get("t"), record.get("first")
    if not _is_time(t) or not (first is None or _is_time(first)):
        raise TranscriptError(number, "'t' and 'first' are seconds")
    own_values = ((record.get("who"), _WHO), (record.get("kind"), _KINDS), (record.get("stage"), _STAGES))
    if not all(_is_one_of(value, allowed) for value, allowed in own_values):
        raise TranscriptError(number, "'who', 'kind' or 'stage' has a value that is not in the format")
    kind = cast(Kind, record["kind"])
    data = _decode_bytes(record, number, whole=kind == "data")
    own = _OWN_KEYS | {"size", "digest"} if kind == "data" and data is not None else _OWN_KEYS
    facts = {key: value for key, value in record.items() if key not in own}
    return Event(
        cast(float, t),
        cast(Who, record["who"]),
        kind,
        cast(Stage, record["stage"]),
        data,
        cast("float | None", first),
        facts or NO_FACTS,
    )


def _is_one_of(value: JsonValue, allowed: frozenset[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _is_time(value: JsonValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _decode_bytes(record: dict[str, JsonValue], number: int, *, whole: bool) -> bytes | None:
    text, encoded = record.get("text"), record.get("b64")
    try:
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
        if isinstance(text, str):
            return text.encode() if whole else text.encode() + b"\r\n"
    except (binascii.Error, ValueError):
        raise TranscriptError(number, "'text' or 'b64' cannot be decoded") from None
    return None
