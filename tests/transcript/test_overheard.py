"""What is overheard of a session is what its client and server have said, however the octets were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.smtp.content import DotStuffer
from ehlo.transcript.event import Event, Who
from ehlo.transcript.exchanges import exchanges
from ehlo.transcript.overheard import MAX_CONTENT, Overheard

MESSAGE = b"Subject: hi\r\n\r\n.a dot\r\n250 no reply\r\nQUIT\r\n"
STUFFED = DotStuffer().feed(MESSAGE) + b".\r\n"

#: Conversations: who, what goes over the wire in one piece, and as what it is told ("stage kind").
SESSIONS: dict[str, list[tuple[Who, bytes, list[str]]]] = {
    "one by one": [
        ("server", b"220 x\r\n", ["banner line"]),
        ("client", b"EHLO y\r\n", ["ehlo line"]),
        ("server", b"250-x\r\n250 SIZE\r\n", ["ehlo line", "ehlo line"]),
        ("client", b"MAIL FROM:<a@example.com>\r\n", ["mail line"]),
        ("server", b"250 ok\r\n", ["mail line"]),
        ("client", b"RCPT TO:<b@example.com>\r\n", ["rcpt line"]),
        ("server", b"250 ok\r\n", ["rcpt line"]),
        ("client", b"DATA\r\n", ["data line"]),
        ("server", b"354 go\r\n", ["data line"]),
        ("client", STUFFED, ["message data"]),
        ("server", b"250 ok\r\n", ["message line"]),
        ("client", b"QUIT\r\n", ["quit line"]),
        ("server", b"221 bye\r\n", ["quit line"]),
    ],
    "pipelined": [
        ("server", b"220 x\r\n", ["banner line"]),
        ("client", b"EHLO y\r\n", ["ehlo line"]),
        ("server", b"250 x\r\n", ["ehlo line"]),
        ("client", b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n", ["mail line", "rcpt line", "data line"]),
        ("server", b"250 ok\r\n250 ok\r\n354 go\r\n", ["mail line", "rcpt line", "data line"]),
        ("client", STUFFED + b"QUIT\r\n", ["message data", "quit line"]),
        ("server", b"250 ok\r\n221 bye\r\n", ["message line", "quit line"]),
    ],
    "chunks": [
        ("server", b"220 x\r\n", ["banner line"]),
        ("client", b"EHLO y\r\n", ["ehlo line"]),
        ("server", b"250 x\r\n", ["ehlo line"]),
        ("client", b"BDAT 5\r\na\r\n.\nBDAT 0 LAST\r\n", ["message line", "message data"] * 2),
        ("server", b"250 ok\r\n250 ok\r\n", ["message line"] * 2),
        ("client", b"QUIT\r\n", ["quit line"]),
    ],
    "login": [
        ("server", b"220 x\r\n", ["banner line"]),
        ("client", b"EHLO y\r\n", ["ehlo line"]),
        ("server", b"250 AUTH LOGIN\r\n", ["ehlo line"]),
        ("client", b"AUTH LOGIN\r\n", ["auth line"]),
        ("server", b"334 VXNlcm5hbWU6\r\n", ["auth line"]),
        ("client", b"YWxpY2U=\r\n", ["auth line"]),
        ("server", b"334 UGFzc3dvcmQ6\r\n", ["auth line"]),
        ("client", b"c2VjcmV0\r\n", ["auth line"]),
        ("server", b"535 no\r\n", ["auth line"]),
        ("client", b"QUIT\r\n", ["quit line"]),
        ("server", b"221 bye\r\n", ["quit line"]),
    ],
    "data refused": [
        ("server", b"220 x\r\n", ["banner line"]),
        ("client", b"HELO y\r\n", ["ehlo line"]),
        ("server", b"250 x\r\n", ["ehlo line"]),
        ("client", b"DATA\r\nNOOP\r\n", ["data line"]),
        ("server", b"503 no\r\n", ["data line"]),
        ("server", b"250 ok\r\n", ["data line"]),
    ],
}


def overhear(pieces: list[tuple[Who, bytes]]) -> list[Event]:
    events: list[Event] = []
    listener = Overheard(events.append)
    for number, (who, octets) in enumerate(pieces):
        assert listener.heard(float(number), who, octets) == b""
    listener.end(float(len(pieces)))
    return events


@pytest.mark.parametrize("name", [name for name in SESSIONS if name != "data refused"])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_however_it_is_cut(name: str, data: st.DataObject) -> None:
    pieces: list[tuple[Who, bytes]] = []
    expected: list[str] = []
    for who, octets, told in SESSIONS[name]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        edges = [0, *cuts, len(octets)]
        pieces += [(who, octets[start:end]) for start, end in pairwise(edges)]
        expected += [f"{who} {it}" for it in told]
    events = overhear(pieces)
    assert [f"{event.who} {event.stage} {event.kind}" for event in events] == expected
    assert all(event.began <= event.t for event in events)
    if name in ("one by one", "pipelined"):
        assert next(event.data for event in events if event.kind == "data") == MESSAGE


def test_what_follows_data_is_a_command_when_data_is_refused() -> None:
    events = overhear([(who, octets) for who, octets, _ in SESSIONS["data refused"]])
    assert [event.text for event in events][3:] == ["DATA", "503 no", "NOOP", "250 ok"]
    assert [exchange.verb for exchange in exchanges(events)][2:] == ["DATA", "NOOP"]


def test_behind_starttls_is_no_smtp() -> None:
    events: list[Event] = []
    listener = Overheard(events.append)
    assert listener.heard(0, "server", b"220 x\r\n") == b""
    # A client that does not wait for the reply has its handshake kept for it.
    assert listener.heard(1, "client", b"STARTTLS\r\n\x16\x03") == b""
    assert listener.heard(2, "server", b"220 go\r\n") == b"\x16\x03"
    assert listener.encrypted
    assert listener.heard(3, "server", b"\x16\x03\x03") == b"\x16\x03\x03"
    assert len(events) == 3


def test_a_message_cut_off_and_one_too_long() -> None:
    begun = [(who, octets) for who, octets, _ in SESSIONS["one by one"][:9]]
    (message,) = (it for it in overhear([*begun, ("client", b"half")]) if it.kind == "data")
    assert (message.data, message.facts["partial"]) == (b"half", True)
    long = b"x" * 998 + b"\r\n"
    (message,) = (it for it in overhear([*begun, ("client", long * 2000 + b".\r\n")]) if it.kind == "data")
    assert message.data is not None
    assert len(message.data) == MAX_CONTENT
    assert message.facts["received"] == 2_000_000


@given(st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=80)), max_size=40))
def test_never_raises(pieces: list[tuple[Who, bytes]]) -> None:
    events: list[Event] = []
    listener = Overheard(events.append)
    for number, (who, octets) in enumerate(pieces):
        listener.heard(float(number), who, octets)
    listener.end(99.0)
    exchanges(events)
