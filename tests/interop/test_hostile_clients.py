"""Clients that break the rules: the lab keeps their transcript and goes on serving others."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from ehlo.lab import Lab, Limits, Policy, RunningLab
from ehlo.transcript import Transcript

ENVELOPE = b"EHLO x.org\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n"


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(limits=Limits(idle=30))).running() as lab:
        yield lab
        # Whatever a test's client did: the next one is served.
        assert talk(lab, b"EHLO next.org\r\nQUIT\r\n").endswith(b"221 2.0.0 Bye\r\n")


def talk(lab: RunningLab, said: bytes) -> bytes:
    """Say all of it, close our side, and read what comes until the lab closes."""
    with socket.create_connection((lab.host, lab.port), timeout=30) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                answer += data
        return answer


def finished(lab: RunningLab) -> Transcript:
    """The last session's transcript, once that session has ended."""
    deadline = time.monotonic() + 30
    while lab.lab.sessions[-1].events[-1].kind != "close":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return lab.lab.sessions[-1]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"EHL", b""),
        (b"\0\0\0\r\nQUIT\r\n", b"502 5.5.2 Error: command not recognized\r\n221 2.0.0 Bye\r\n"),
        (b"x" * 1_000_000 + b"\r\nQUIT\r\n", b"500 5.5.2 Error: line too long\r\n221 2.0.0 Bye\r\n"),
        (b"MAIL FROM:<a@b.org>\r\nQUIT\r\n", b"503 5.5.1 Error: send HELO/EHLO first\r\n221 2.0.0 Bye\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"502 5.5.2 Error: command not recognized\r\n" * 3),
    ],
    ids=["half a command", "NULs", "1 MB line", "wrong order", "HTTP"],
)
def test_nonsense_is_answered(lab: RunningLab, said: bytes, answer: bytes) -> None:
    assert talk(lab, said) == b"220 mail.example.com ESMTP Postfix\r\n" + answer
    assert finished(lab).events[-1].kind == "close"


def test_twenty_errors_are_enough(lab: RunningLab) -> None:
    replies = talk(lab, b"WRONG\r\n" * 30).splitlines()
    assert len(replies) == 21
    assert replies[-1].startswith(b"421 4.7.0")


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"])
def test_only_crlf_dot_crlf_ends_a_message(lab: RunningLab, end: bytes) -> None:
    """SMTP smuggling: a second message behind an end that is none stays part of the first."""
    smuggled = (
        b"Subject: one\r\n\r\nhi" + end + b"MAIL FROM:<evil@b.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n"
    )
    talk(lab, ENVELOPE + smuggled + b"Subject: two\r\n\r\n.\r\nQUIT\r\n")
    (message,) = lab.lab.messages
    assert b"evil@b.org" in message.content
    assert message.sender.address == "a@b.org"


def test_what_follows_starttls_in_clear_is_dropped(lab: RunningLab) -> None:
    with socket.create_connection((lab.host, lab.port), timeout=30) as client:
        client.sendall(b"EHLO x.org\r\nSTARTTLS\r\nMAIL FROM:<injected@b.org>\r\n")
        answer = b""
        while b"Ready to start TLS" not in answer:
            answer += client.recv(65536)
    transcript = finished(lab)
    assert not [event for event in transcript.events if "injected" in event.text]
    assert [event.fact("error") for event in transcript.events if event.kind == "note"] == ["bytes-before-tls"]


def test_a_cut_in_the_message_keeps_what_came(lab: RunningLab) -> None:
    talk(lab, ENVELOPE + b"Subject: cut\r\n\r\nhalf a li")
    partial = next(event for event in finished(lab).events if event.kind == "data")
    assert partial.facts["partial"] is True
    assert (partial.data or b"").startswith(b"Subject: cut\r\n\r\nhalf a li")
    assert not lab.lab.messages


def test_a_reset_ends_the_session(lab: RunningLab) -> None:
    client = socket.create_connection((lab.host, lab.port), timeout=30)
    client.recv(100)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    errors = [event.fact("error") for event in finished(lab).events if event.kind == "error"]
    assert errors
    assert errors[0] in ("reset", "closed")


def test_a_silent_client_is_let_go() -> None:
    with (
        Lab(policy=Policy(limits=Limits(idle=0.2))).running() as lab,
        socket.create_connection((lab.host, lab.port), timeout=30) as client,
        client.makefile("rb") as replies,
    ):
        assert replies.readlines()[-1] == b"421 4.4.2 mail.example.com Error: timeout exceeded\r\n"
