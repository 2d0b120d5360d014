"""Proves the misbehaving servers: each does to a plain socket exactly what its script says."""

from __future__ import annotations

import smtplib
import socket
import ssl

import pytest

from .certificates import Authority
from .silent import (
    Close,
    Expect,
    Flood,
    Handshake,
    Hang,
    Pause,
    ReadContent,
    Reset,
    ScriptedServer,
    Send,
    Step,
    refusing_port,
    scripted,
    silent,
    unanswered_port,
)
from .world import HOST

TIMEOUT = 10.0
SHORT = 0.2


def connect(server: ScriptedServer, timeout: float = TIMEOUT) -> socket.socket:
    """Return a socket connected to the server."""
    return socket.create_connection((server.host, server.port), timeout)


def test_silent_server_says_nothing() -> None:
    with silent() as server, connect(server, SHORT) as client:
        client.sendall(b"EHLO x\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert server.received == [b"EHLO x\r\n"]
    assert server.problems == []


def test_refusing_port() -> None:
    with refusing_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), TIMEOUT)


def test_unanswered_port() -> None:
    with unanswered_port() as port, pytest.raises(TimeoutError):
        socket.create_connection((HOST, port), SHORT)


@pytest.mark.parametrize("content", [b"Subject: x\r\n\r\n.dot\r\n", b""])
def test_a_whole_session(content: bytes) -> None:
    script: list[Step] = [Send(b"220 mail.example.com\r\n"), Expect(b"EHLO"), Send(b"250 ok\r\n")]
    for command in (b"MAIL FROM:<", b"RCPT TO:<"):
        script += [Expect(command), Send(b"250 ok\r\n")]
    script += [Expect(b"DATA"), Send(b"354 go on\r\n"), ReadContent(), Send(b"250 kept\r\n")]
    script += [Expect(b"QUIT"), Send(b"221 bye\r\n")]
    with scripted(script) as server:
        with smtplib.SMTP(server.host, server.port, "x", TIMEOUT) as client:
            client.sendmail("a@yourdomain.com", ["b@example.com"], content)
        server.wait()
    assert server.problems == []
    assert server.received[0].endswith(b"\r\n.\r\nQUIT\r\n")


def test_an_unexpected_line_is_a_problem() -> None:
    with scripted([Expect(b"EHLO")]) as server, connect(server) as client:
        client.sendall(b"HELO x\r\n")
        assert client.recv(1) == b""
        server.wait()
        assert "expected b'EHLO', got b'HELO x\\r\\n'" in server.problems[0]


def test_close_and_reset() -> None:
    with scripted([Send(b"220 "), Close()], [Expect(), Reset()]) as server:
        with connect(server) as client:
            assert client.makefile("rb").read() == b"220 "
        for _ in range(2):
            with connect(server) as client:
                client.sendall(b"EHLO x\r\n")
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_close_within_the_content() -> None:
    with scripted([ReadContent(1000), Reset()]) as server, connect(server) as client:
        client.sendall(b"x" * 1000)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert server.received == [b"x" * 1000]


def test_bytes_one_by_one() -> None:
    script: list[Step] = [Send(b"22", pause=0.01), Pause(0.01), Send(b"0\r\n")]
    with scripted(script) as server, connect(server) as client:
        assert client.recv(10) == b"2"
        assert client.makefile("rb").read() == b"20\r\n"


def test_flood_until_the_client_goes_away() -> None:
    with scripted([Flood(b"220-and more\r\n")]) as server:
        with connect(server) as client:
            assert client.recv(4) == b"220-"
        server.wait()
        assert len(server.problems) == 1


def test_plain_text_smuggled_in_before_tls(ca: Authority) -> None:
    script: list[Step] = [
        Expect(b"STARTTLS"),
        Send(b"220 go\r\n250 smuggled\r\n"),
        Handshake(ca.good.server_context()),
        Send(b"250 inside\r\n"),
        Hang(),
    ]
    with scripted(script) as server, connect(server) as client:
        client.sendall(b"STARTTLS\r\n")
        assert client.recv(100) == b"220 go\r\n250 smuggled\r\n"
        with ca.client_context().wrap_socket(client, server_hostname="localhost") as inside:
            assert inside.recv(100) == b"250 inside\r\n"


def test_a_failed_handshake_is_a_problem(ca: Authority) -> None:
    with scripted([Handshake(ca.self_signed().server_context())]) as server:
        with connect(server) as client, pytest.raises(ssl.SSLCertVerificationError):
            ca.client_context().wrap_socket(client, server_hostname="localhost")
        server.wait()
        assert "ALERT" in server.problems[0].upper()
