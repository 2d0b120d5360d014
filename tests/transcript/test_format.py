"""The format's schema and its page, held against real sessions."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from ehlo.lab import Lab, Policy
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp import STAGES, parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.transcript import Event, Kind, Role, Transcript, Who, jsonl, redact

PAGE = Path(__file__).parents[2] / "docs" / "transcript.md"
SCHEMA: dict[str, Any] = json.loads((files("ehlo.transcript") / "schema.json").read_text("utf-8"))
LINE = Draft202012Validator(SCHEMA, format_checker=FormatChecker())

Session = tuple[Transcript, Transcript]


def plan(target: str, **changes: Any) -> Plan:
    """Up to a message for two recipients, one of whom does not exist."""
    return Plan(
        parse_target(target),
        helo="here.org",
        sender=parse_path("<sender@yourdomain.com>"),
        recipients=(parse_path("<nobody@example.com>"), parse_path("<recipient@example.com>")),
        message=b"Subject: x\r\n\r\nsch\xf6n\r\n.\r\n",
        stop_after="message",
    )._replace(**changes)


def session(policy: Policy | None = None, **changes: Any) -> Session:
    """A session with a lab: the client's transcript and the lab's."""
    with Lab(policy=policy or Policy()).running() as lab:
        client = client_session(plan(f"127.0.0.1:{lab.port}", **changes))
        run(client)
    return client.recorder.transcript, lab.lab.sessions[0]


@pytest.fixture(scope="module")
def in_clear() -> Session:
    return session(starttls="never")


@pytest.fixture(scope="module")
def encrypted() -> Session:
    credentials = Credentials("alice", "wonderland")
    return session(Policy(users={"alice": "wonderland"}), starttls="require", credentials=credentials, insecure=True)


@pytest.fixture(scope="module")
def refused() -> Transcript:
    """Nothing listens on the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        client = client_session(plan(f"127.0.0.1:{bound.getsockname()[1]}"))
        run(client)
    return client.recorder.transcript


def lines(transcript: Transcript) -> list[str]:
    stream = io.StringIO()
    jsonl.write(redact(transcript), stream)
    return stream.getvalue().splitlines()


def check(transcript: Transcript) -> list[dict[str, Any]]:
    """Validate each line, the first as a header, the others as events; gives the events."""
    header, *events = map(json.loads, lines(transcript))
    for record in (header, *events):
        LINE.validate(record)
    assert "format" in header
    assert not any("format" in event for event in events)
    return events


def kinds(events: list[dict[str, Any]]) -> set[str]:
    return {event["kind"] for event in events}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_the_words_of_the_code() -> None:
    event, header = SCHEMA["$defs"]["event"]["properties"], SCHEMA["$defs"]["header"]["properties"]
    assert event["stage"]["enum"] == list(STAGES)
    assert event["kind"]["enum"] == list(get_args(Kind))
    assert event["who"]["enum"] == list(get_args(Who))
    assert header["role"]["enum"] == list(get_args(Role))
    assert (header["format"]["const"], header["version"]["const"]) == (jsonl.FORMAT, jsonl.VERSION)


def test_a_session_in_clear(in_clear: Session) -> None:
    client, server = in_clear
    assert kinds(check(client)) == {"connect", "line", "note", "data", "close"}
    assert kinds(check(server)) == {"line", "data", "close"}


def test_an_encrypted_session(encrypted: Session) -> None:
    client, server = map(check, encrypted)
    by_client, by_server = (next(event for event in events if event["kind"] == "tls") for events in (client, server))
    assert by_client["problem"] == "unknown-issuer"
    assert by_client["names"]
    assert "verified" not in by_server
    assert [event["user"] for event in (*client, *server) if "user" in event] == ["alice", "alice"]


def test_no_password_is_in_the_files(encrypted: Session) -> None:
    for transcript in encrypted:
        written = "\n".join(lines(transcript))
        assert "AUTH PLAIN [redacted]" in written
        assert "wonderland" not in written
        assert "d29uZGVybGFuZ" not in written
        assert "AHdvbmRlcmxhb" not in written


def test_a_session_that_failed(refused: Transcript) -> None:
    events = check(refused)
    assert [(event["kind"], event.get("error")) for event in events] == [("connect", "refused")]


def test_real_sessions_come_back_from_their_files(in_clear: Session, encrypted: Session, refused: Transcript) -> None:
    for transcript in (*in_clear, *encrypted, refused):
        again = jsonl.read(line + "\n" for line in lines(transcript))
        assert lines(again) == lines(transcript)
        assert again.events == redact(transcript).events


@pytest.mark.parametrize(
    "event",
    [
        Event(1.0, "net", "dns", "dns", None, 0.5, {"name": "x.example", "error": "no-such-host", "message": "none"}),
        Event(1.0, "net", "dns", "dns", None, None, {"name": "x.example", "query": "MX", "answers": ["mx.x.example"]}),
        Event(1.0, "net", "tls", "starttls", None, 0.5, {"error": "tls-failed", "message": "wrong version number"}),
        Event(1.0, "server", "line", "banner", b"220 x\n"),
        Event(1.0, "client", "data", "message", b"half", None, {"partial": True, "intended": 9}),
        Event(1.0, "client", "data", "message", b"half", None, {"truncated": True, "received": 9}),
        Event(1.0, "client", "data", "message", None, None, {"size": 0, "digest": "sha256:" + "0" * 64}),
        Event(1.0, "net", "error", "banner", None, None, {"error": "timed-out", "message": "no answer came"}),
        Event(1.0, "net", "note", "starttls", None, None, {"error": "bytes-before-tls", "message": "discarded"}),
        Event(1.0, "net", "note", "starttls", None, None, {"message": "x", "something": ["new"]}),
    ],
)
def test_other_events(event: Event) -> None:
    LINE.validate(jsonl.event_to_json(event))


GOOD: dict[str, Any] = {"t": 1, "who": "client", "kind": "line", "stage": "quit", "text": "QUIT"}


@pytest.mark.parametrize(
    "changes",
    [
        {"t": None},
        {"t": "1"},
        {"first": "0"},
        {"who": "peer"},
        {"who": "net"},
        {"kind": "reply"},
        {"stage": "bye"},
        {"text": None},
        {"text": 1},
        {"b64": "UVVJVA0K"},
        {"text": None, "b64": "?"},
        {"redacted": False},
        {"format": "smtp-transcript"},
        {"kind": "data"},
        {"kind": "data", "size": 4, "digest": "md5:x"},
        {"kind": "data", "size": 4, "digest": "sha256:" + "0" * 64, "truncated": True},
        {"kind": "error", "who": "net"},
        {"kind": "error", "who": "net", "error": "Timed out!", "message": "x"},
        {"kind": "error", "who": "client", "error": "reset", "message": "x"},
        {"kind": "connect", "who": "net", "address": "192.0.2.1"},
        {"kind": "connect", "who": "net", "address": "192.0.2.1", "port": 25},
        {"kind": "connect", "who": "net", "address": "192.0.2.1", "port": "25", "local": "x"},
        {"kind": "dns", "who": "net", "name": "x"},
        {"kind": "tls", "who": "net", "version": "TLSv1.3"},
        {"kind": "tls", "who": "net", "version": "TLSv1.3", "cipher": "x", "bits": 256, "verified": True},
        {"kind": "note", "who": "net"},
    ],
)
def test_what_the_schema_refuses(changes: dict[str, Any]) -> None:
    assert LINE.is_valid(GOOD)
    record = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    assert not LINE.is_valid(record)


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"role": "proxy"}, {"started": "yesterday"}, {"started": "2026-03-01T09:30:00"}, {"target": None}],
)
def test_headers_that_the_schema_refuses(changes: dict[str, Any]) -> None:
    good = json.loads(blocks("json")[0].splitlines()[0])
    assert LINE.is_valid(good)
    assert not LINE.is_valid({key: value for key, value in {**good, **changes}.items() if value is not None})


# The page.


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_lines_of_the_page_are_of_the_format() -> None:
    shown = [line for block in blocks("json") for line in block.splitlines()]
    assert len(shown) > 10
    for line in shown:
        LINE.validate(json.loads(line))
    assert jsonl.read(io.StringIO(blocks("json")[0])).complete


def test_the_page_names_every_kind_and_every_fact() -> None:
    page = PAGE.read_text("utf-8")
    for kind in get_args(Kind):
        assert f"### `{kind}`: " in page
    keys = {key for part in SCHEMA["$defs"].values() for key in part.get("properties", {})}
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_the_programs_of_the_page_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipients = (parse_path("<nobody@example.com>"),)
    # As on the page: without a message there is no SIZE, and a name is looked up.
    with Lab().running() as lab:
        client = client_session(
            plan(
                f"localhost:{lab.port}",
                recipients=recipients,
                message=b"",
                stop_after="rcpt",
                starttls="never",
                family="ipv4",
            )
        )
        run(client)
    (tmp_path / "session.jsonl").write_text("\n".join(lines(client.recorder.transcript)) + "\n", "ascii")
    monkeypatch.chdir(tmp_path)
    programs, shown = blocks("python"), blocks("text")
    assert len(programs) == len(shown) == 2
    for program, expected in zip(programs, shown, strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(program, str(PAGE), "exec"), {})
        assert [line.rstrip() for line in printed.getvalue().splitlines()] == expected.splitlines()
