"""Ctrl-C and cancelling, wherever a session is: it ends at once, and what is known so far is kept and readable."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import uvloop

from ehlo.diagnosis import judge
from ehlo.net import aio
from ehlo.net.names import Nameserver
from ehlo.probe.plan import Plan, Timeouts
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.smtp.stages import Stage
from ehlo.transcript import Transcript
from ehlo.transcript.jsonl import read, write
from peers.silent import Expect, Hang, Pause, Send, Step, scripted, unanswered_port
from peers.world import HOST, SENDER

from .messages import RECIPIENT, TEN_MEGABYTES
from .nameserver import SILENT, nameserver

TO_DATA: list[Step] = [
    *(Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO"), Send(b"250 mail.example.com\r\n")),
    *(Expect(b"MAIL"), Send(b"250 2.1.0 Ok\r\n"), Expect(b"RCPT"), Send(b"250 2.1.5 Ok\r\n")),
    *(Expect(b"DATA"), Send(b"354 go on\r\n")),
]
STARTTLS: list[Step] = [
    *(Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO"), Send(b"250-mail.example.com\r\n250 STARTTLS\r\n")),
    *(Expect(b"STARTTLS"), Send(b"220 go\r\n"), Hang()),
]

#: What a handshake begins with: the first octets of a record (RFC 8446 §5.1).
CLIENT_HELLO = b"\x16\x03"

#: A target, the DNS server to ask, and whether the other end has heard what it must have heard before.
Place = tuple[str, str, Callable[[], bool]]


def always() -> bool:
    return True


@contextlib.contextmanager
def no_dns_answer() -> Iterator[Place]:
    with nameserver({"example.com": SILENT}) as address:
        yield "mx:example.com", address, always


@contextlib.contextmanager
def no_connection() -> Iterator[Place]:
    with unanswered_port() as port:
        yield f"{HOST}:{port}", "", always


@contextlib.contextmanager
def at(*script: Step, scheme: str = "", hears: bytes = b"") -> Iterator[Place]:
    with scripted(script) as server:
        yield f"{scheme}{server.host}:{server.port}", "", lambda: hears in b"".join(server.received)


PLACES: dict[Stage, Callable[[], AbstractContextManager[Place]]] = {
    "dns": no_dns_answer,
    "connect": no_connection,
    "tls": lambda: at(Hang(), scheme="smtps://", hears=CLIENT_HELLO),
    "banner": lambda: at(Hang()),
    "ehlo": lambda: at(*TO_DATA[:2], Hang()),
    "starttls": lambda: at(*STARTTLS, hears=CLIENT_HELLO),
    "rcpt": lambda: at(*TO_DATA[:6], Hang()),
    "message": lambda: at(*TO_DATA, Pause(60)),
}
#: How many events come before a stage.
BEFORE: dict[Stage, int] = {
    "dns": 0,
    "connect": 0,
    "tls": 1,
    "banner": 1,
    "ehlo": 3,
    "starttls": 6,
    "rcpt": 7,
    "message": 9,
}
#: How long a session is left alone then, before it is stopped: it hangs for certain, or is on its way there.
AWHILE = 0.3


@pytest.fixture(params=PLACES)
def stage(request: pytest.FixtureRequest) -> Stage:
    found: Stage = request.param
    return found


def check(transcript: Transcript, stage: Stage) -> None:
    """What is true of every interrupted session."""
    error = next(event for event in transcript.events if event.fact("error") == "interrupted")
    assert error.stage == stage
    verdict = judge(transcript)
    assert (verdict.outcome, verdict.stage, verdict.exit_status) == ("interrupted", stage, 130)
    assert verdict.findings[0].rule == "interrupted"
    connected = any(event.kind == "connect" for event in transcript.events)
    assert (transcript.events[-1].kind == "close") == connected


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_cancelled_session(stage: Stage, runner: Callable[..., None]) -> None:
    with PLACES[stage]() as (target, dns_server, is_heard):
        plan = Plan(
            parse_target(target),
            helo="client.yourdomain.com",
            sender=parse_path(f"<{SENDER}>"),
            recipients=(parse_path(f"<{RECIPIENT}>"),),
            message=TEN_MEGABYTES,
            stop_after="message",
            # A thread that waits for the DNS cannot be stopped, and the loop's end waits for the thread.
            timeouts=Timeouts(exceptions={"dns": 1.0}),
        )
        session = client_session(plan)
        host, _, port = dns_server.partition(":")

        async def main() -> None:
            nameserver = Nameserver(host, int(port)) if host else None
            running = asyncio.create_task(aio.run(session, aio.Loop(), nameserver))
            while len(session.recorder.transcript.events) < BEFORE[stage] or not is_heard():
                assert not running.done()
                await asyncio.sleep(0.01)
            await asyncio.sleep(AWHILE)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        runner(main())
    check(session.recorder.transcript, stage)
    stream = io.StringIO()
    write(session.recorder.transcript, stream)
    assert read(io.StringIO(stream.getvalue())).complete


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopped_by_a_signal(ended_by: signal.Signals, stage: Stage, tmp_path: Path) -> None:
    record, message = tmp_path / "session.jsonl", tmp_path / "message.eml"
    message.write_bytes(TEN_MEGABYTES)
    with PLACES[stage]() as (target, dns_server, is_heard):
        words = [
            "send",
            target,
            "-f",
            SENDER,
            "-t",
            RECIPIENT,
            "--data",
            str(message),
            "--record",
            str(record),
            "--json",
        ]
        words += ["--dns-server", dns_server] if dns_server else []
        process = subprocess.Popen(
            [sys.executable, "-m", "ehlo", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        wait_until_under_way(record, stage, is_heard)
        process.send_signal(ended_by)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out)["verdict"]["outcome"] == "interrupted"
    with record.open(encoding="ascii") as stream:
        transcript = read(stream)
    check(transcript, stage)
    error = next(event for event in transcript.events if event.fact("error") == "interrupted")
    assert error.fact("message") == {2: "interrupted from the keyboard", 15: "ended by SIGTERM"}[ended_by]


def wait_until_under_way(record: Path, stage: Stage, is_heard: Callable[[], bool]) -> None:
    """Until the record has its header and what comes before the stage; then for as long as the rest takes."""
    deadline = time.monotonic() + 60
    while not record.exists() or record.read_bytes().count(b"\n") <= BEFORE[stage] or not is_heard():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(AWHILE)
