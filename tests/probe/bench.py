"""What the tests of experiments share: plans against a lab, the experiments after a session, a server with limits."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Literal

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.lab import Lab, RunningLab
from ehlo.lab.scenario import make_fault
from ehlo.net.blocking import run
from ehlo.net.names import Nameserver
from ehlo.probe.experiments import Bench, Outcome, Wishes, investigate
from ehlo.probe.plan import Plan, Timeouts
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.transcript.event import Event, Facts
from ehlo.transcript.transcript import Transcript

SOON = Wishes(pace=0.0, patience=10.0, listen=3.0, ports=())


def plan_for(server: RunningLab | str, **changes: Any) -> Plan:
    target = server if isinstance(server, str) else f"{server.host}:{server.port}"
    plan = Plan(
        parse_target(target),
        helo="client.example",
        sender=parse_path("<me@here.example>"),
        recipients=(parse_path("<recipient@example.com>"),),
        starttls="never",
        timeouts=Timeouts(2.0),
    )
    return plan._replace(**changes)


def first_session(plan: Plan) -> Transcript:
    session = client_session(plan)
    run(session)
    return session.recorder.transcript


def bench_for(
    plan: Plan,
    transcript: Transcript,
    wishes: Wishes = SOON,
    nameserver: str = "",
    verdict: Verdict | None = None,
) -> Bench:
    host, _, port = nameserver.rpartition(":")
    asked = Nameserver(host, int(port)) if nameserver else None
    return Bench(plan, transcript, verdict or judge(transcript), lambda session: run(session), wishes, asked)


def experiments_of(bench: Bench) -> list[Outcome]:
    return [step for step in investigate(bench) if isinstance(step, Outcome)]


def sessions(plan: Plan, wishes: Wishes = SOON, nameserver: str = "") -> list[Outcome]:
    """The experiments after a session with this plan."""
    return experiments_of(bench_for(plan, first_session(plan), wishes, nameserver))


def faulty(stage: str, **words: object) -> Lab:
    return Lab(faults=[make_fault(stage, "", words)])


def proved(outcomes: list[Outcome]) -> str:
    """The cause that was found."""
    causes = [outcome.finding for outcome in outcomes if outcome.names_the_cause]
    assert len(causes) <= 1
    return causes[0].rule.removeprefix("proved-") if causes and causes[0] else ""


def shown(outcomes: list[Outcome]) -> dict[str, str]:
    """What each experiment proved, cause or not; or why it was not made."""
    return {
        outcome.name: outcome.finding.rule.removeprefix("proved-") if outcome.finding else outcome.remark
        for outcome in outcomes
    }


def looked_up(transcript: Transcript, host: str, addresses: list[str]) -> Transcript:
    """The transcript of a session with an address as that of one with a host that has these addresses."""
    facts: Facts = {"name": host, "query": "A AAAA", "answers": [*addresses]}
    return transcript._replace(events=[Event(0.0, "net", "dns", "dns", None, 0.0, facts), *transcript.events])


Limit = Literal["none", "line", "cut", "swallow", "commands"]


class Gate:
    """A server behind something with a limit.

    `line`: it hangs up on a line of more than 512 octets. `cut`: it hangs up on more than `most` octets at once,
    `swallow`: it takes them and says nothing more. `commands`: it takes a chunk's octets for commands. Of a message, it
    hangs up on any.
    """

    def __init__(self, limit: Limit, offered: str, most: int) -> None:
        self.messages = 0
        self.sessions = 0
        self._limit = limit
        self._offered = offered
        self._most = most
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.sessions += 1
            with client, contextlib.suppress(OSError):
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        client.sendall(b"220 gate.example\r\n")
        waiting = b""
        while data := client.recv(1 << 17):
            waiting += data
            if self._limit in ("cut", "swallow") and len(waiting) > self._most:
                if self._limit == "cut":
                    return
                while client.recv(1 << 17):
                    pass
                return
            while b"\n" in waiting:
                line, _, rest = waiting.partition(b"\n")
                if self._limit == "line" and len(line) >= 512:
                    return
                verb, *words = line.split()
                if verb.upper() == b"BDAT" and self._limit != "commands":
                    size = int(words[0])
                    if len(rest) < size:
                        break
                    rest = rest[size:]
                    client.sendall(b"503 5.5.1 no transaction\r\n")
                else:
                    client.sendall(self._answer(verb.upper()))
                waiting = rest
                if verb.upper() == b"DATA":
                    client.recv(1 << 17)
                    return
                if verb.upper() == b"QUIT":
                    return

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            return f"250-gate.example\r\n250 {self._offered}\r\n".encode()
        return {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 2.0.0 fine\r\n")


@contextlib.contextmanager
def gate(limit: Limit, offered: str = "CHUNKING", most: int = 1_450) -> Iterator[Gate]:
    server = Gate(limit, offered, most)
    try:
        yield server
    finally:
        server.close()
