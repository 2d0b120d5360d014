"""The client and a network, or a server, that fails: refused, silent, slow, cut at every place."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiosmtpd.smtp import SMTP

from peers.aio import aiosmtpd_server
from peers.certificates import Authority
from peers.fixtures import skip_if_missing
from peers.silent import (
    Close,
    Expect,
    Handshake,
    Hang,
    ReadContent,
    Reset,
    Send,
    Step,
    refusing_port,
    scripted,
    silent,
    unanswered_port,
)
from peers.sink import smtp_sink
from peers.world import HOST, SENDER

from .client import Ehlo
from .messages import RECIPIENT, SIMPLE, TEN_MEGABYTES

ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)

#: A polite server, up to the reply to DATA.
GREETING: list[Step] = [Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO"), Send(b"250 mail.example.com\r\n")]
TO_DATA: list[Step] = [
    *GREETING,
    *(Expect(b"MAIL"), Send(b"250 2.1.0 Ok\r\n"), Expect(b"RCPT"), Send(b"250 2.1.5 Ok\r\n")),
    *(Expect(b"DATA"), Send(b"354 go on\r\n")),
]


def test_connection_refused(ehlo: Ehlo) -> None:
    with refusing_port() as port:
        outcome = ehlo.check(f"{HOST}:{port}", *ENVELOPE)
    assert outcome.answer == (11, "connect", "network", "connection-refused")
    assert outcome.document["verdict"]["outcome"] == "failed"
    (event,) = outcome.events
    assert (event.kind, event.facts["error"]) == ("connect", "refused")
    assert (event.facts["address"], event.facts["port"]) == (HOST, port)


def test_no_answer_to_the_connect(ehlo: Ehlo) -> None:
    with unanswered_port() as port:
        outcome = ehlo.check(f"{HOST}:{port}", "--timeout", "connect=0.3")
    assert outcome.answer == (11, "connect", "network", "connection-timed-out")


def test_source_address_that_is_not_ours(ehlo: Ehlo) -> None:
    # 192.0.2.0/24 belongs to nobody (RFC 5737), so it cannot be this machine's; nothing is sent there.
    with refusing_port() as port:
        outcome = ehlo.check(f"{HOST}:{port}", "--source", "192.0.2.1")
    assert outcome.answer == (11, "connect", "client", "source-address-unusable")


def test_source_address(ehlo: Ehlo) -> None:
    with scripted([*GREETING, Expect(b"QUIT"), Send(b"221 bye\r\n")]) as server:
        outcome = ehlo.check(server, "--source", "127.0.0.2")
    assert outcome.status == 0
    assert str(outcome.event("connect").facts["local"]).startswith("127.0.0.2:")


def test_silent_listener(ehlo: Ehlo) -> None:
    with silent() as server:
        outcome = ehlo.check(server, *ENVELOPE, "--timeout", "0.3")
    assert outcome.answer == (13, "banner", "greeting", "silent-server")
    assert [event.kind for event in outcome.events] == ["connect", "error", "close"]
    assert outcome.events[1].t - outcome.events[0].t >= 0.29


def test_silent_listener_on_a_tls_port(ehlo: Ehlo) -> None:
    with silent() as server:
        outcome = ehlo.check(f"smtps://{server.host}:{server.port}", "--timeout", "0.3")
    assert outcome.answer == (12, "tls", "tls", "tls-silent")


SILENT_AT = {
    "ehlo": (14, GREETING[:2]),
    "mail": (17, [*GREETING, Expect(b"MAIL")]),
    "rcpt": (18, TO_DATA[:6]),
    "data": (19, TO_DATA[:8]),
    "message": (20, [*TO_DATA, ReadContent()]),
    "quit": (21, [*TO_DATA, ReadContent(), Send(b"250 ok\r\n"), Expect(b"QUIT")]),
}


@pytest.mark.parametrize("stage", SILENT_AT)
def test_each_stage_has_its_own_time(stage: str, ehlo: Ehlo) -> None:
    """Also when the stage before it had far more time."""
    status, script = SILENT_AT[stage]
    began = time.monotonic()
    with scripted([*script, Hang()]) as server:
        quit_soon = ("--timeout", "quit=0.3") if stage != "quit" else ()
        outcome = ehlo.send(server, SIMPLE, "--timeout", "30", "--timeout", f"{stage}=0.3", *quit_soon)
    assert (outcome.answer.status, outcome.answer.stage) == (status, stage)
    assert outcome.answer.rule == {"message": "message-unanswered", "quit": "quit-unanswered"}.get(stage, "no-answer")
    assert time.monotonic() - began < 15


def test_slow_server_is_waited_for(ehlo: Ehlo) -> None:
    slowly = [Send(step.data, pause=0.004) if isinstance(step, Send) else step for step in GREETING]
    with scripted([*slowly, Expect(b"QUIT"), Send(b"221 bye\r\n")]) as server:
        outcome = ehlo.check(server)
    assert outcome.answer == (0, "quit", None, None)
    banner = next(event for event in outcome.events if event.stage == "banner")
    assert banner.first is not None
    assert banner.t - banner.first >= 0.1


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
class TestCut:
    """A connection that is cut, in order or by a reset."""

    def test_at_once(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([end]) as server:
            outcome = ehlo.check(server, *ENVELOPE)
        # A reset can come so early that connecting fails.
        assert outcome.answer in (
            (13, "banner", "greeting", "closed-before-greeting"),
            (11, "connect", "network", "connection-cut"),
        )

    def test_in_the_middle_of_the_banner(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([Send(b"220 mail.exam"), end]) as server:
            outcome = ehlo.check(server)
        assert outcome.answer.status in (13, 11)
        if end == Close():
            assert outcome.answer == (13, "banner", "greeting", "closed-before-greeting")
            assert outcome.events[1].data == b"220 mail.exam"

    def test_after_the_banner(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([*GREETING[:2], end]) as server:
            outcome = ehlo.check(server)
        assert outcome.answer == (14, "ehlo", "server", "connection-lost")

    def test_in_the_handshake(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([Expect(), end]) as server:
            outcome = ehlo.check(f"smtps://{server.host}:{server.port}")
        assert outcome.answer == (12, "tls", "tls", "tls-on-connect-cut")

    def test_after_data(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([*TO_DATA[:-1], end]) as server:
            outcome = ehlo.send(server, SIMPLE)
        assert outcome.answer == (19, "data", "server", "connection-lost")

    def test_in_the_middle_of_a_large_message(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([*TO_DATA, ReadContent(1_000_000), end]) as server:
            outcome = ehlo.send(server, TEN_MEGABYTES)
        assert outcome.answer == (20, "message", "content", "message-cut")
        sent = outcome.event("data")
        assert sent.facts["partial"] is True
        assert sent.facts["intended"] == len(TEN_MEGABYTES)
        assert sent.data is not None
        assert TEN_MEGABYTES.startswith(sent.data)
        assert len(sent.data) < len(TEN_MEGABYTES)

    def test_after_the_dot(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([*TO_DATA, ReadContent(), end]) as server:
            outcome = ehlo.send(server, SIMPLE)
        assert outcome.answer == (20, "message", "content", "message-unanswered")
        assert outcome.event("data").data == SIMPLE
        assert server.received[0].endswith(SIMPLE + b".\r\n")

    def test_instead_of_goodbye(self, end: Step, ehlo: Ehlo) -> None:
        with scripted([*TO_DATA, ReadContent(), Send(b"250 2.0.0 Ok\r\n"), Expect(b"QUIT"), end]) as server:
            outcome = ehlo.send(server, SIMPLE)
        assert outcome.answer == (21, "quit", "server", "quit-unanswered")


def test_cut_within_tls(ehlo: Ehlo, ca: Authority) -> None:
    script = [Handshake(ca.good.server_context()), *TO_DATA, ReadContent(100_000), Reset()]
    with scripted(script) as server:
        outcome = ehlo.send(f"smtps://{server.host}:{server.port}", TEN_MEGABYTES, "--ca-file", str(ca.file))
    assert outcome.answer == (20, "message", "content", "message-cut")


@pytest.mark.peer
def test_aiosmtpd_that_dies_in_the_middle_of_the_message(ehlo: Ehlo, monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(smtp: SMTP, _: str) -> None:
        await smtp.push("354 go on")
        assert isinstance(smtp.transport, asyncio.WriteTransport)
        await smtp._reader.readexactly(100_000)
        smtp.transport.abort()

    monkeypatch.setattr(SMTP, "smtp_DATA", die)
    with aiosmtpd_server() as server:
        outcome = ehlo.send(server, TEN_MEGABYTES)
        assert outcome.answer == (20, "message", "content", "message-cut")
        assert server.envelopes == []


@pytest.mark.peer
def test_refusal_before_the_message_has_been_sent(ehlo: Ehlo) -> None:
    """The sink says 550 right after DATA and closes without reading."""
    with skip_if_missing(), smtp_sink("-A", "0") as sink:
        outcome = ehlo.send(sink, TEN_MEGABYTES)
    assert (outcome.answer.status, outcome.answer.stage) == (20, "message")
    if ehlo.driver == "blocking":
        # Event loops throw away what they have not read when a write fails, so there it is a matter of luck.
        assert "message 550" in outcome.replies
