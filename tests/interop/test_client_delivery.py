"""The client delivers: what arrives at real servers is, byte for byte, what was sent."""

from __future__ import annotations

import hashlib

import pytest
from aiosmtpd.smtp import SMTP

from peers.fixtures import skip_if_missing
from peers.sink import smtp_sink
from peers.world import SENDER, UNKNOWN_RECIPIENT, MailServer

from .client import Ehlo
from .messages import (
    BARE_LF,
    LONG_LINES,
    MESSAGES,
    OTHER,
    RECIPIENT,
    SECOND,
    SIMPLE,
    TEN_MEGABYTES,
    with_lf,
)
from .servers import Peer, started

pytestmark = pytest.mark.peer


def deliver(ehlo: Ehlo, server: Peer, message: bytes, *options: str) -> bytes:
    """Send a message, and give what arrived, with LF."""
    before = server.count(RECIPIENT)
    outcome = ehlo.send(server, message, "--starttls", "never", *options)
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.event("data").data == with_lf(message).replace(b"\n", b"\r\n")
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert outcome.replies == ["banner 220", "ehlo 250", "mail 250", "rcpt 250", "data 354", "message 250", "quit 221"]
    return server.arrived(RECIPIENT, before + 1)


@pytest.mark.parametrize("name", MESSAGES)
def test_message_arrives_byte_for_byte(name: str, ehlo: Ehlo, server: Peer) -> None:
    message = MESSAGES[name]
    assert deliver(ehlo, server, message) == server.keeps(message)


def test_bare_line_feeds_go_out_as_crlf(ehlo: Ehlo, server: Peer) -> None:
    assert deliver(ehlo, server, BARE_LF) == server.keeps(SIMPLE)


def test_long_lines(ehlo: Ehlo, server: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    # As delivered, aiosmtpd takes no line over RFC 5321's limit; the next test is about that.
    monkeypatch.setattr(SMTP, "line_length_limit", 2**16)
    assert deliver(ehlo, server, LONG_LINES) == server.keeps(LONG_LINES)


def test_line_over_the_limit_is_refused_after_the_dot(ehlo: Ehlo) -> None:
    with started("aiosmtpd") as server:
        outcome = ehlo.send(server, LONG_LINES)
        assert outcome.answer == (20, "message", "content", "line-too-long")
        assert outcome.lines[-3:] == [
            "S: 500 Line too long (see RFC5321 4.5.3.1.6)",
            "C: QUIT",
            "S: 221 Bye",
        ]
        assert server.count(RECIPIENT) == 0


def test_ten_megabytes(ehlo: Ehlo, server: Peer) -> None:
    arrived = deliver(ehlo, server, TEN_MEGABYTES)
    # Not the bytes themselves: a difference in ten megabytes would take pytest an hour to show.
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(server.keeps(TEN_MEGABYTES)).digest()


def test_ten_megabytes_under_tls(ehlo: Ehlo, choosy_server: Peer) -> None:
    before = choosy_server.count(RECIPIENT)
    assert ehlo.send(choosy_server, TEN_MEGABYTES, "--starttls", "require").status == 0
    arrived = choosy_server.arrived(RECIPIENT, before + 1)
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(choosy_server.keeps(TEN_MEGABYTES)).digest()


def test_size_and_8bit_are_declared(ehlo: Ehlo, choosy_server: Peer) -> None:
    message = MESSAGES["utf-8"]
    outcome = ehlo.send(choosy_server, message, "--starttls", "never")
    assert f"C: MAIL FROM:<{SENDER}> SIZE={len(message)} BODY=8BITMIME" in outcome.lines


def test_generated_message(ehlo: Ehlo, server: Peer) -> None:
    before = server.count(RECIPIENT)
    words = ["-f", SENDER, "-t", RECIPIENT, "--header", "Subject: Grüße", "--body", "über\n.\n", "--quiet"]
    assert ehlo.run("send", f"{server.host}:{server.port}", *words) == (0, "", "")
    header, _, body = server.arrived(RECIPIENT, before + 1).partition(b"\n\n")
    assert body == "über\n.\n".encode()
    names = [line.split(b":")[0] for line in header.splitlines()]
    assert {b"Date", b"From", b"To", b"Subject", b"Message-ID"} <= set(names)
    assert b"Subject: =?utf-8?" in header


def test_null_sender(ehlo: Ehlo, server: Peer) -> None:
    before = server.count(RECIPIENT)
    outcome = ehlo.send(server, SIMPLE, sender="<>")
    assert outcome.answer == (0, "quit", None, outcome.answer.rule)
    assert [line for line in outcome.lines if line.startswith("C: MAIL FROM:<>")]
    assert server.arrived(RECIPIENT, before + 1) == server.keeps(SIMPLE)


def test_several_recipients(ehlo: Ehlo, server: Peer) -> None:
    everybody = (RECIPIENT, OTHER, SECOND)
    before = [server.count(mailbox) for mailbox in everybody]
    outcome = ehlo.send(server, SIMPLE, recipients=everybody)
    assert outcome.status == 0
    assert outcome.replies.count("rcpt 250") == 3
    for mailbox, count in zip(everybody, before, strict=True):
        assert server.arrived(mailbox, count + 1) == server.keeps(SIMPLE)


def test_refused_recipient_does_not_keep_the_others_from_their_mail(ehlo: Ehlo, choosy_server: Peer) -> None:
    server = choosy_server
    before = server.count(RECIPIENT), server.count(SECOND)
    outcome = ehlo.send(
        server, SIMPLE, "--starttls", "never", recipients=(RECIPIENT, UNKNOWN_RECIPIENT, SECOND, "none@example.com")
    )
    assert outcome.answer == (18, "rcpt", "recipient", "recipient-unknown")
    assert [reply for reply in outcome.replies if reply.startswith("rcpt")] == [
        "rcpt 250",
        "rcpt 550",
        "rcpt 250",
        "rcpt 550",
    ]
    assert outcome.replies[-2:] == ["message 250", "quit 221"]
    titles = [finding["title"] for finding in outcome.document["verdict"]["findings"]]
    assert UNKNOWN_RECIPIENT in titles[0]
    assert "none@example.com" in titles[1]
    assert server.arrived(RECIPIENT, before[0] + 1) == server.keeps(SIMPLE)
    assert server.arrived(SECOND, before[1] + 1) == server.keeps(SIMPLE)


@pytest.mark.parametrize("options", [("-e",), ("-8", "-E", "-N"), ("-P",)])
def test_old_servers(options: tuple[str, ...], ehlo: Ehlo) -> None:
    """Without ESMTP, without 8BITMIME, behind a firewall that hides the banner."""
    with skip_if_missing(), smtp_sink(*options) as sink:
        outcome = ehlo.send(sink, MESSAGES["utf-8"])
        assert outcome.status == 0
        (kept,) = sink.wait_for(1)
    assert kept.content == with_lf(MESSAGES["utf-8"])
    assert kept.mail == f"<{SENDER}>"


def test_check_delivers_nothing(ehlo: Ehlo, choosy_server: Peer) -> None:
    assert isinstance(choosy_server, Peer)
    before = choosy_server.count(RECIPIENT)
    outcome = ehlo.check(choosy_server, "-f", SENDER, "-t", RECIPIENT, "--starttls", "never")
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "QUIT"]
    assert choosy_server.count(RECIPIENT) == before
    if isinstance(choosy_server.server, MailServer):
        assert outcome.document["server"]["id"] == choosy_server.name
