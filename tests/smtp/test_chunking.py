"""BDAT (RFC 3030), and messages that are answered more than once: LMTP (RFC 2033), PRDR."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, ehlo, mail, rcpt
from ehlo.smtp.deviations import LocalProtocolError
from ehlo.smtp.events import (
    ChunkBegun,
    ChunkReceived,
    CommandRejected,
    ConnectionLost,
    ContentBegun,
    NeedData,
    ReplyReceived,
)
from ehlo.smtp.reply import Reply
from ehlo.smtp.states import State
from smtp.partners import PATH
from wire import CLOSED, Client, server

READY = """
    S: 220 mail.example.com ESMTP
    C: EHLO here.org
    S: 250-mail.example.com
    S: 250-CHUNKING
    S: 250 PIPELINING
    C: MAIL FROM:<sender@yourdomain.com>
    S: 250 Ok
    C: RCPT TO:<recipient@example.com>
    S: 250 Ok
"""


def test_chunks_on_the_wire() -> None:
    client = Client().play(READY)
    assert client.conn.send_chunk(b"Subject: hi\r\n\r\n", last=False) == b"BDAT 15\r\nSubject: hi\r\n\r\n"
    assert client.conn.send_chunk(b".\r\n", last=True) == b"BDAT 3 LAST\r\n.\r\n"
    client >> "250 15 octets" >> "250 queued"
    assert client.heard[-2:] == ["BDAT 250", "BDAT LAST 250"]
    assert client.state is State.READY


def test_a_chunk_must_wait_for_the_recipients() -> None:
    client = Client().play(READY)
    client.conn.send(rcpt(PATH))
    with pytest.raises(LocalProtocolError, match="BDAT must wait for the reply to RCPT"):
        client.conn.send_chunk(b"x", last=True)


def test_no_chunk_outside_a_transaction() -> None:
    client = Client() >> "220 mail.example.com ESMTP" << "EHLO here.org" >> "250 mail.example.com"
    with pytest.raises(LocalProtocolError, match="BDAT may not be given here"):
        client.conn.send_chunk(b"x", last=True)


def test_a_debugger_may_send_a_chunk_anywhere() -> None:
    client = Client() >> "220 mail.example.com ESMTP" << "EHLO here.org" >> "250 mail.example.com"
    assert client.conn.send_chunk(b"x", last=True, anyway=True) == b"BDAT 1 LAST\r\nx"
    client >> "503 Not yet"
    assert client.heard[-1] == "BDAT LAST 503"
    assert client.state is State.READY


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 20))
def test_any_octets_arrive_as_they_are(content: bytes, chunk_size: int, piece: int) -> None:
    client, there = Client().play(READY), server(READY)
    chunks = [content[start : start + chunk_size] for start in range(0, len(content), chunk_size)] or [b""]
    *before, last = chunks
    wire = b"".join(client.conn.send_chunk(chunk, last=False) for chunk in before)
    wire += client.conn.send_chunk(last, last=True)
    arrived, begun = [], list[bool]()
    for start in range(0, len(wire), piece):
        there.conn.receive_data(wire[start : start + piece])
        while not isinstance(event := there.conn.next_event(), NeedData):
            if isinstance(event, ChunkBegun):
                begun.append(event.first)
                continue
            assert isinstance(event, ChunkReceived)
            assert event.refusal is None
            assert bool(event.line) == (not event.size)
            assert not event.truncated
            arrived.append(event.content)
            client.incoming(there.conn.send(Reply(250, ("Ok",))))
    assert b"".join(arrived) == content
    assert begun == [number == 0 for number, chunk in enumerate(chunks) if chunk]
    assert there.state is client.state is State.READY


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=4), st.integers(0, 40), st.integers(1, 20))
def test_a_message_in_chunks_can_be_stopped_within(chunks: list[bytes], stop_after: int, piece: int) -> None:
    """Once, after so many octets of it or before its last, however it is cut; then it goes on."""
    there, content = server(READY), b"".join(chunks)
    *before, last = chunks
    wire = b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in before) + b"BDAT %d LAST\r\n" % len(last) + last
    there.conn.stop_after = stop_after
    arrived, stops = b"", list[bytes]()
    for start in range(0, len(wire), piece):
        there.conn.receive_data(wire[start : start + piece])
        while not isinstance(event := there.conn.next_event(), NeedData):
            if isinstance(event, ContentBegun):
                stops.append(arrived + event.content)
            elif isinstance(event, ChunkReceived):
                arrived += event.content
                there.conn.send(Reply(250, ("Ok",)))
    assert stops == [content[: min(stop_after, len(content) - 1)]]
    assert arrived == content
    assert there.state is State.READY


def test_what_shall_stop_a_message_goes_with_it() -> None:
    there = server(READY)
    there.conn.stop_after = 100
    there >> b"BDAT 2\r\nhi" << "250 Ok" >> b"RSET\r\n" << "250 Ok"
    assert there.conn.stop_after is None


def test_a_chunk_over_the_bound_is_read_and_dropped() -> None:
    there = server(READY, max_message=10)
    there >> b"BDAT 26 LAST\r\nabcdefghijklmnopqrstuvwxyzNOOP\r\n" << "552 too much" << "250 Ok"
    (chunk,) = there.chunks
    assert (chunk.content, chunk.size, chunk.truncated) == (b"abcdefghij", 26, True)


def test_the_octets_of_a_refused_chunk_are_not_taken_for_commands() -> None:
    there = server("S: 220 hi\nC: EHLO here.org\nS: 250 hi")
    there >> b"BDAT 6\r\nQUIT\r\nNOOP\r\n" << "503 no" << "250 Ok"
    assert there.chunks[0].refusal is not None
    assert there.state is State.READY


@pytest.mark.parametrize("argument", ["", "LAST", "-1", "1x", "1 LASTLY", "9" * 19, "0x10"])
def test_a_chunk_without_a_size(argument: str) -> None:
    there = server(READY)
    there >> f"BDAT {argument}"
    event = there.conn.next_event()
    assert isinstance(event, CommandRejected)
    assert event.reply.code == 501


def test_cut_within_a_chunk() -> None:
    there = server(READY) >> b"BDAT 100 LAST\r\nonly this" >> CLOSED
    lost = there.events[-1]
    assert isinstance(lost, ConnectionLost)
    assert lost.content == b"only this"


def in_lmtp(*codes: int) -> ClientConnection:
    """A session up to its recipients, each answered with one of the codes."""
    conn = ClientConnection(lmtp=True)
    replies = b"220 hi\r\n", b"250-hi\r\n250 CHUNKING\r\n", b"250 Ok\r\n", *(b"%d x\r\n" % code for code in codes)
    commands = [None, Command("LHLO", "here.org"), mail(PATH), *(rcpt(PATH) for _ in codes)]
    for command, reply in zip(commands, replies, strict=True):
        if command is not None:
            conn.send(command)
        conn.receive_data(reply)
        while not isinstance(conn.next_event(), NeedData):
            pass
    return conn


@pytest.mark.parametrize("chunked", [False, True])
def test_lmtp_answers_each_recipient_that_was_accepted(chunked: bool) -> None:
    conn = in_lmtp(250, 550, 250)
    if chunked:
        conn.send_chunk(b"hi\r\n", last=True)
    else:
        conn.send(Command("DATA"))
        conn.receive_data(b"354 go on\r\n")
        conn.next_event()
        conn.send_content(b"hi\r\n")
        conn.end_content()
    conn.receive_data(b"250 the first\r\n")
    assert isinstance(conn.next_event(), ReplyReceived)
    assert conn.awaiting
    conn.receive_data(b"452 the third\r\n")
    assert isinstance(conn.next_event(), ReplyReceived)
    assert not conn.awaiting
    assert conn.state is State.READY
    conn.send(mail(PATH))


def test_prdr_answers_each_recipient_and_then_them_all() -> None:
    client = Client().play(READY) << "RCPT TO:<second@example.com>" >> "250 Ok" << "DATA" >> "354 go on"
    client << "hi" << "." >> "353 each" >> "250 one" >> "550 two" >> "250 all"
    assert client.heard[-4:] == ["(content) 353", "(content) 250", "(content) 550", "(content) 250"]
    assert not client.conn.awaiting


def test_xclient_begins_anew() -> None:
    client = Client().play(READY.split("    C: MAIL")[0])
    client.conn.send(Command("XCLIENT", "ADDR=192.0.2.1"))
    client >> "220 mail.example.com ESMTP"
    assert client.state is State.GREETED
    assert client.conn.capabilities is None
    client.conn.send(ehlo("there.org"))


def test_any_octets_in_place_of_chunks() -> None:
    client = Client().play(READY)
    client.conn.send_literal_content(b"BDAT 2 LAST\r\nhi")
    client >> "250 Ok"
    assert client.heard[-1] == "BDAT LAST 250"
    assert client.state is State.READY
    with pytest.raises(LocalProtocolError, match="The message may not be given here"):
        client.conn.send_literal_content(b"more")
