"""The client of a session is the one that a PROXY header or XCLIENT names, as it is of its messages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ehlo.lab import Lab, Limits, Policy
from ehlo.lab.store import Store
from ehlo.net.proxy import proxy_header
from ehlo.web.readings import Readings
from lab.wire import EHLO, Wire

XCLIENT = EHLO + "S: 250-DSN\nS: 250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\n"
GREETED = "banner\n" + XCLIENT
AGAIN = "S: 220 mail.example.com ESMTP Postfix\n" + XCLIENT


def introduced(store: Store, header: bytes, script: str, door: str) -> tuple[str, str, str]:
    """The client in the session's row, in its transcript, and of its message."""
    lab = Lab(policy=Policy(xclient=True), store=store)
    with lab.running(doors={"proxy": 0}) as running:
        readings = Readings(lab)
        with Wire(running, door) as wire:
            wire.socket.sendall(header)
            wire.play(f"{script}SEND\n")
            row = readings.row(1)
            assert row is not None
            assert (row["ended"], row["client"]) == (False, running.sessions[0].header.target)
            wire.play("QUIT")
        deadline = time.monotonic() + 30
        while lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        store.flush()
        over, (transcript,), (message,) = readings.row(1), running.sessions, running.messages
        assert over is not None
        assert over["client"] == transcript.header.target == message.transcript.header.target == row["client"]
        return row["client"], transcript.header.target, message.client


@pytest.mark.parametrize("kept", ["memory", "file"])
@pytest.mark.parametrize(
    ("header", "script", "client", "address"),
    [
        ("v1 192.0.2.7:4711", GREETED, "192.0.2.7:4711", "192.0.2.7"),
        ("v2 192.0.2.7:4711", GREETED, "192.0.2.7:4711", "192.0.2.7"),
        ("v2 [2001:db8::7]:4711", GREETED, "[2001:db8::7]:4711", "2001:db8::7"),
        ("v1 unknown", GREETED, "127.0.0.1:*", "127.0.0.1"),
        ("v2 local", GREETED, "127.0.0.1:*", "127.0.0.1"),
        ("", GREETED + "C: XCLIENT ADDR=192.0.2.8 PORT=77\n" + AGAIN, "192.0.2.8:77", "192.0.2.8"),
        ("", GREETED + "C: xclient addr=IPV6:2001:db8::8\n" + AGAIN, "2001:db8::8", "2001:db8::8"),
        ("", GREETED + "C: XCLIENT ADDR=[UNAVAILABLE]\n" + AGAIN, "", ""),
        ("", GREETED + "C: XCLIENT HELO=there.example\n" + AGAIN, "127.0.0.1:*", "127.0.0.1"),
        ("v1 192.0.2.7:4711", GREETED + "C: XCLIENT ADDR=192.0.2.8\n" + AGAIN, "192.0.2.8", "192.0.2.8"),
        ("v1 192.0.2.7:4711", GREETED + "C: XCLIENT PORT=78\n" + AGAIN, "192.0.2.7:78", "192.0.2.7"),
    ],
)
def test_who_is_named_is_the_client(
    header: str, script: str, client: str, address: str, kept: str, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store.db") if kept == "file" else "")
    octets = proxy_header(header) if header else b""
    row, target, of_message = introduced(store, octets, script, "proxy" if header else "smtp")
    assert target == row
    assert (row.rpartition(":")[0] + ":*" if client.endswith(":*") else row, of_message) == (client, address)


def test_a_refused_introduction_names_nobody() -> None:
    with Lab().running() as running, Wire(running) as wire:
        wire.play("banner\n" + EHLO + "S: 250 DSN\nC: XCLIENT ADDR=192.0.2.8\n")
        assert wire.read(3) == b"502"
        assert running.sessions[0].header.target.startswith("127.0.0.1:")


def test_the_limit_for_each_client_is_for_the_one_that_a_proxy_names() -> None:
    lab = Lab(policy=Policy(limits=Limits(per_client=1)))
    with lab.running(doors={"proxy": 0}) as running:
        with Wire(running, "proxy") as one, Wire(running, "proxy") as other, Wire(running, "proxy") as one_again:
            one.socket.sendall(proxy_header("v1 192.0.2.7:4711"))
            one.play("banner")
            other.socket.sendall(proxy_header("v2 192.0.2.8:4711"))
            other.play("banner")
            one_again.socket.sendall(proxy_header("v2 192.0.2.7:4712"))
            one_again.play("S: 421 4.7.0 mail.example.com Error: too many connections from 192.0.2.7\nclosed")
            one.play("QUIT")
        with Wire(running, "proxy") as one:
            one.socket.sendall(proxy_header("v1 192.0.2.7:4713"))
            one.play("banner\nQUIT")
        deadline = time.monotonic() + 30
        while lab._sessions and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not lab._from


@pytest.mark.parametrize(("named", "user"), [("LOGIN=al+2Bice", "al+ice"), ("LOGIN=[UNAVAILABLE]", ""), ("PORT=9", "")])
def test_whom_xclient_names_is_the_user(named: str, user: str) -> None:
    with Lab(policy=Policy(xclient=True)).running() as running, Wire(running) as wire:
        wire.play(f"{GREETED}C: XCLIENT {named}\n{AGAIN}SEND\nQUIT")
        row = Readings(running.lab).row(1)
        assert row is not None
        assert (row["user"], running.messages[0].user) == (user, user)


@pytest.mark.parametrize("offered", [False, True])
def test_a_user_whom_xclient_did_not_get_to_name_is_none(offered: bool) -> None:
    with Lab(policy=Policy(xclient=offered)).running() as running, Wire(running) as wire:
        wire.play((GREETED if offered else "banner\n" + EHLO + "S: 250 DSN\n") + "C: XCLIENT LOGIN=alice+2\n")
        assert wire.read(1) == b"5"
        row = Readings(running.lab).row(1)
        assert row is not None
        assert row["user"] == ""
