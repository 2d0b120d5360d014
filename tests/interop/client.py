"""Runs `ehlo` command lines in this process, by any driver, and gives what came out in a form to assert on.

Whatever a test looks for, each run is held to what is true of every session: the document is valid, status
and verdict agree, nothing is on standard error, and the transcript is in order, ends with its close and
survives the way through a file.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jsonschema
import pytest
import uvloop

from ehlo.cli.main import main
from ehlo.net import aio, blocking
from ehlo.net.names import Nameserver
from ehlo.net.session import Session
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event
from ehlo.transcript.jsonl import event_from_json, read, write
from ehlo.transcript.transcript import Header, Transcript
from peers.world import SENDER

from .messages import RECIPIENT

HELO = "client.yourdomain.com"
SCHEMA = json.loads((files("ehlo.report") / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
#: Validating walks through every event, which for very large documents takes seconds.
LARGE_DOCUMENT = 1_000_000

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Driver = Callable[[Session, Nameserver | None], None]


def on_loop(factory: LoopFactory) -> Driver:
    """A driver that runs a session on an event loop of its own."""

    def run(session: Session, nameserver: Nameserver | None = None) -> None:
        async def play() -> None:
            await aio.run(session, aio.Loop(), nameserver)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(play())

    return run


DRIVERS: dict[str, Driver] = {
    "blocking": blocking.run,
    "asyncio": on_loop(asyncio.new_event_loop),
    "uvloop": on_loop(uvloop.new_event_loop),
}


class Listening(Protocol):
    """A server: where it is."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Answer(NamedTuple):
    """What a session came to: exit status, stage, layer at fault and first finding."""

    status: int
    stage: str
    layer: str | None
    rule: str | None


class Outcome(NamedTuple):
    """What a command line gave."""

    status: int
    document: dict[str, Any]
    events: list[Event]

    @property
    def answer(self) -> Answer:
        verdict = self.document["verdict"]
        return Answer(self.status, verdict["stage"], verdict["layer"], next(iter(self.rules), None))

    @property
    def rules(self) -> list[str]:
        """The findings, most important first."""
        return [finding["rule"] for finding in self.document["verdict"]["findings"]]

    @property
    def lines(self) -> list[str]:
        """The conversation: "C: QUIT", "S: 221 Bye"."""
        return [f"{event.who[0].upper()}: {event.text}" for event in self.events if event.kind == "line"]

    @property
    def commands(self) -> list[str]:
        """The verbs that the client gave."""
        return [line[3:].split(" ")[0] for line in self.lines if line.startswith("C: ")]

    @property
    def replies(self) -> list[str]:
        """The codes of the server's replies, with the stage: "rcpt 250"."""
        own = [event for event in self.events if event.kind == "line" and event.who == "server"]
        return [f"{event.stage} {event.text[:3]}" for event in own if event.text[3:4] != "-"]

    def event(self, kind: str, stage: Stage | None = None) -> Event:
        """The only event of a kind, at a stage if one is named."""
        (found,) = (event for event in self.events if event.kind == kind and stage in (None, event.stage))
        return found


class Ehlo:
    """The command line. `driver` names one of `DRIVERS`."""

    def __init__(
        self, driver: str, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.driver = driver
        self._capsys = capsys
        self._folder = folder
        self._serial = itertools.count()
        patch.setattr("ehlo.cli.session.run", DRIVERS[driver])

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run any command line: status, standard output, standard error."""
        self._capsys.readouterr()
        status = main(words)
        return (status, *self._capsys.readouterr())

    def check(self, target: str | Listening, *options: str) -> Outcome:
        """`ehlo check`."""
        return self._session("check", target, options)

    def send(
        self,
        target: str | Listening,
        message: bytes,
        *options: str,
        sender: str = SENDER,
        recipients: tuple[str, ...] = (RECIPIENT,),
    ) -> Outcome:
        """`ehlo send` with a message from a file."""
        file = self._folder / f"{next(self._serial)}.eml"
        file.write_bytes(message)
        envelope = ["-f", sender, *(word for recipient in recipients for word in ("-t", recipient))]
        return self._session("send", target, (*envelope, "--data", str(file), *options))

    def _session(self, command: str, target: str | Listening, options: tuple[str, ...]) -> Outcome:
        where = target if isinstance(target, str) else f"{target.host}:{target.port}"
        words = ("--timeout", "30", "--helo", HELO, "--json", *options)
        status, out, err = self.run(command, where, *words)
        assert err == ""
        document = json.loads(out)
        if len(out) < LARGE_DOCUMENT:
            VALIDATOR.validate(document)
        assert document["verdict"]["exit_status"] == status
        events = [event_from_json(event) for event in document["transcript"]]
        check_transcript(events)
        return Outcome(status, document, events)


def check_transcript(events: list[Event]) -> None:
    """What is true of the transcript of every client session."""
    assert events
    # A server may answer before it was asked; the answer stands behind the question all the same. So the time
    # runs forward for each side by itself, and for all of them up to the greeting.
    for side in ("client", "server", "net"):
        times = [event.t for event in events if event.who == side]
        assert times == sorted(times)
    start = [event.t for event in events if event.stage in ("dns", "connect", "tls", "banner")]
    assert start == sorted(start)
    assert all(0 <= event.began <= event.t for event in events)
    connected = any(event.kind == "connect" and "error" not in event.facts for event in events)
    assert [event.kind for event in events].count("close") == connected
    assert not connected or events[-1].kind == "close"
    stream = io.StringIO()
    write(Transcript(Header("client", 0.0), events), stream)
    assert read(io.StringIO(stream.getvalue())).events == events
