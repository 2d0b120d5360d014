"""Bounds on what is kept, and the end of a connection, for both ends of a session."""

from __future__ import annotations

import pytest

from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import AUTH_LINE_LIMIT, COMMAND_LINE_LIMIT, EXTENDED_LINE_LIMIT
from ehlo.smtp.deviations import Deviation, RemoteProtocolError
from ehlo.smtp.events import ConnectionLost, NeedData, ReplyPart
from ehlo.smtp.reply import MAX_REPLY_LINE, MAX_REPLY_LINES
from ehlo.smtp.states import State
from wire import CLOSED, Client, Server, client, server

READY = """
    S: 220 mail.example.com ESMTP
    C: EHLO here.org
    S: 250-mail.example.com
    S: 250 PIPELINING
"""
RCPT = f"""{READY}
    C: MAIL FROM:<sender@yourdomain.com>
    S: 250 Ok
    C: RCPT TO:<recipient@example.com>
    S: 250 Ok
"""
DATA = f"""{RCPT}
    C: DATA
    S: 354 Go on
"""

# The client.


def test_client_line_over_512_octets_is_forgiven() -> None:
    session = Client() >> "220 " + "x" * 600
    assert session.replies[0].reply.deviations == (Deviation.LINE_OVER_LIMIT,)
    assert session.state is State.GREETED


def test_client_line_of_the_hard_bound_is_the_longest() -> None:
    session = Client() >> b"220 " + b"x" * (MAX_REPLY_LINE - 6) + b"\r\n"
    assert session.state is State.GREETED


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\r\n250 more\r\n"])
def test_client_line_over_the_hard_bound(ending: bytes) -> None:
    conn = ClientConnection()
    conn.receive_data(b"220 " + b"x" * (MAX_REPLY_LINE - 3) + ending)
    with pytest.raises(RemoteProtocolError) as raised:
        conn.next_event()
    assert raised.value.deviation is Deviation.LINE_TOO_LONG
    assert raised.value.line == b"220 " + b"x" * (MAX_REPLY_LINE - 4)
    assert conn.state is State.CLOSED


def test_client_endless_reply() -> None:
    conn = ClientConnection()
    for _ in range(MAX_REPLY_LINES - 1):
        conn.receive_data(b"220-and on\r\n")
        assert isinstance(conn.next_event(), ReplyPart)
    conn.receive_data(b"220-and on\r\n")
    with pytest.raises(RemoteProtocolError) as raised:
        conn.next_event()
    assert raised.value.deviation is Deviation.ENDLESS_REPLY
    assert conn.state is State.CLOSED


def test_client_what_is_not_smtp() -> None:
    conn = ClientConnection()
    conn.receive_data(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(RemoteProtocolError) as raised:
        conn.next_event()
    assert raised.value.deviation is Deviation.NO_CODE
    assert raised.value.line == b"HTTP/1.1 400 Bad Request\r\n"
    assert conn.state is State.CLOSED


def test_client_connection_closed_in_order() -> None:
    session = client(READY) >> CLOSED
    assert session.events[-1] == ConnectionLost(b"", "ehlo")
    assert session.state is State.CLOSED


def test_client_connection_closed_in_mid_line() -> None:
    """What came before is read first; the unfinished line is not lost."""
    conn = (client(RCPT) << "DATA").conn
    conn.receive_data(b"354-Go\r\n354 o")
    conn.receive_eof()
    assert conn.next_event() == ReplyPart(b"354-Go\r\n", "data")
    assert conn.next_event() == ConnectionLost(b"354 o", "data")


def test_client_nothing_received() -> None:
    assert isinstance(ClientConnection().next_event(), NeedData)


# The server.


@pytest.mark.parametrize(
    ("start", "limit"),
    [
        (b"NOOP ", COMMAND_LINE_LIMIT),
        (b"VRFY ", COMMAND_LINE_LIMIT),
        (b"MAIL FROM:<a@b.c> X=", EXTENDED_LINE_LIMIT),
        (b"AUTH PLAIN ", AUTH_LINE_LIMIT),
    ],
)
def test_server_longest_line(start: bytes, limit: int) -> None:
    """RFC 5321 §4.5.3.1.4 (512), with what extensions add (2048), RFC 4954 §4 (12288)."""
    longest = start + b"x" * (limit - len(start) - 2) + b"\r\n"
    session = server(READY) >> longest << "250 Ok"
    assert session.commands[-1].verb == start[:4].decode()
    session = server(READY) >> start + b"x" * (limit - len(start) - 1) + b"\r\n" << "500 …"
    expected = Deviation.LINE_TOO_LONG if limit == AUTH_LINE_LIMIT else Deviation.LINE_OVER_LIMIT
    assert session.refused[-1].deviation is expected
    assert session.state is State.READY


def test_server_line_without_end_is_dropped_as_it_comes() -> None:
    session = Server() << "220 x" >> b"x" * (AUTH_LINE_LIMIT + 1) << "500 …"
    assert session.refused[0].line == b"x" * AUTH_LINE_LIMIT
    for _ in range(100):
        session >> b"x" * 1000
        assert isinstance(session.conn.next_event(), NeedData)
    session >> b"end\r\nEHLO here.org\r\n" << "250 x"
    assert session.commands[0].argument == "here.org"


def test_server_connection_closed_in_mid_line() -> None:
    session = server(READY) >> b"NOOP\r\nMAI"
    session.conn.receive_eof()
    session << "250 Ok"
    assert session.conn.next_event() == ConnectionLost(b"MAI", "ehlo")
    assert session.state is State.CLOSED


def test_server_connection_closed_in_mid_message() -> None:
    session = server(DATA) >> b"Subject: half\r\n\r\nhal" >> CLOSED
    assert session.events[-1] == ConnectionLost(b"", "message", b"Subject: half\r\n\r\nhal")


def test_server_connection_closed_in_order() -> None:
    session = server(READY) >> CLOSED
    assert session.events[-1] == ConnectionLost(b"", "ehlo")
