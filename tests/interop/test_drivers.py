"""Both drivers run the same flows to the same transcripts; an interruption leaves a readable record."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from ehlo.lab import Lab
from ehlo.net import aio, blocking
from ehlo.net.intents import Address
from ehlo.net.session import Session
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.transcript.jsonl import read
from peers.silent import refusing_port, silent

Runner = Callable[[Coroutine[object, object, None]], None]


def plan_for(port: int) -> Plan:
    return Plan(
        parse_target(f"127.0.0.1:{port}"),
        helo="here.org",
        sender=parse_path("<a@here.org>"),
        recipients=(parse_path("<recipient@example.com>"), parse_path("<nobody@example.com>")),
        message=b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000,
        stop_after="message",
    )


def on_asyncio(session: Session, runner: Runner) -> None:
    async def main() -> None:
        await aio.run(session, aio.Loop())

    runner(main())


def shape(session: Session) -> list[tuple[object, ...]]:
    """The transcript without what differs from run to run: times, ports, queue ids."""
    return [
        (event.who, event.kind, event.stage, b"" if b"queued as" in (event.data or b"") else event.data)
        for event in session.recorder.events
    ]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_both_drivers_write_the_same_transcript(runner: Runner) -> None:
    with Lab().running() as lab:
        one, other = client_session(plan_for(lab.port)), client_session(plan_for(lab.port))
        blocking.run(one)
        on_asyncio(other, runner)
        assert shape(one) == shape(other)
        assert [len(message.content) for message in lab.lab.messages] == [600_014, 600_014]


def test_addresses_are_tried_in_order_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab().running() as lab, refusing_port() as refusing:
        addresses = tuple(Address(socket.AF_INET, "127.0.0.1", port) for port in (refusing, lab.port))
        monkeypatch.setattr(blocking, "resolve", lambda *_: addresses)
        monkeypatch.setattr(blocking, "is_address", lambda _: True)
        session = client_session(plan_for(25)._replace(target=parse_target("mail.example.com")))
        blocking.run(session)
    tries = [(event.fact("port"), event.fact("error")) for event in session.recorder.events if event.kind == "connect"]
    assert tries == [(str(refusing), "refused"), (str(lab.port), "")]


def test_cancelling_is_recorded() -> None:
    with silent() as server:
        session = client_session(plan_for(server.port))

        async def main() -> None:
            task = asyncio.create_task(aio.run(session, aio.Loop()))
            while not session.connected:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
    assert [event.fact("error") for event in session.recorder.events if event.kind == "error"] == ["interrupted"]


def test_interrupt_leaves_a_readable_record(tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    with silent() as server:
        command = [sys.executable, "-m", "ehlo", "check", f"{server.host}:{server.port}", "--record", str(record)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while "connect" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in out
    with record.open() as stream:
        assert [event.kind for event in read(stream).events] == ["connect", "error", "close"]
