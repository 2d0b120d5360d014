"""Whatever the peer sends, in whatever pieces: the same events, no other error, bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ehlo.smtp.command import AUTH_LINE_LIMIT
from ehlo.smtp.events import ConnectionLost, ContentReceived, ReplyPart, ReplyReceived
from ehlo.smtp.reply import MAX_REPLY_LINE, MAX_REPLY_SIZE
from ehlo.smtp.states import State
from grammar import cut, places
from smtp.partners import ClientPartner, ServerPartner, held

#: CHUNKING cannot be reached yet, and the greeting comes before there are events.
STATES = set(State) - {State.CHUNKING, State.CONNECTED}
MAX_MESSAGE = 1000
#: What a driver reads at once.
PIECE = 4096


def _lines(*lines: str) -> list[bytes]:
    return [line.encode() + b"\r\n" for line in lines]


SERVER_SAYS = [
    *_lines("220 x", "250 Ok", "250-x", "250 AUTH LOGIN", "334 VXNlcm5hbWU6", "354 Go on", "235 In"),
    *_lines("221 Bye", "421 Later", "450 No", "550-5.1.1 No", "550 5.1.1 No", "503 What?", "100 ?", "999 ?"),
    *[
        b"\r\n",
        b"250 Ok\n",
        b"250",
        b"2",
        b"-",
        b"\r",
        b"250 \xff\0\x1b\r\n",
        b"250 " + b"x" * 600 + b"\r\n",
        b"x" * 5000,
    ],
]
CLIENT_SAYS = [
    *_lines("EHLO here.org", "MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA", "AUTH LOGIN", "YWxpY2U=", "YQ==", "*"),
    *_lines("STARTTLS", "RSET", "NOOP", "XYZZY", "RCPT TO:<>", "Subject: x", "", "..", "VRFY ü", "QUIT"),
    *[
        b".\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.",
        b"\r",
        b"\n",
        b".",
        b"MAIL",
        b"NOOP \xff\0\r\n",
        b"x" * 600,
        b"x" * 7000,
    ],
]


def bytes_made_of(says: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(says) | st.binary(max_size=20), max_size=25).map(b"".join)


_server_bytes, _client_bytes = bytes_made_of(SERVER_SAYS), bytes_made_of(CLIENT_SAYS)
_codes = st.lists(st.sampled_from([200, 200, 200, 250, 334, 354, 450, 550]), min_size=1, max_size=5)

A_LONG_SESSION = b"".join(
    [
        *_lines("220 x", "250-x", "250 AUTH LOGIN", "334 VXNlcm5hbWU6", "235 In", "220 Go", "250 x"),
        *_lines("250 Sender", "250 One", "550 Two", "354 Go on", "250 Queued", "334 a", "500 No", "454 No", "450 No"),
        *_lines("221 Bye"),
    ]
)
A_LONG_DIALOGUE = b"".join(
    [
        *_lines("EHLO here.org", "AUTH LOGIN", "YWxpY2U=", "YQ==", "STARTTLS", "EHLO here.org"),
        *_lines("MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA", "..a", "", ".", "QUIT"),
    ]
)


def hear(pieces: list[bytes]) -> ClientPartner:
    partner = ClientPartner()
    for piece in pieces:
        partner.feed(piece)
    partner.end()
    return partner


def serve(pieces: list[bytes], codes: list[int]) -> ServerPartner:
    partner = ServerPartner(codes, max_message=MAX_MESSAGE)
    for piece in pieces:
        partner.feed(piece)
    partner.end()
    return partner


def test_the_partners_meet_every_state() -> None:
    turned_away = hear([b"554 No\r\n"]).met | ServerPartner(greeting=554).met
    assert hear([A_LONG_SESSION]).met | turned_away == STATES
    server = ServerPartner(greeting=554)
    server.end()
    assert serve([A_LONG_DIALOGUE], [200]).met | server.met == STATES


@given(_server_bytes, places)
@example(A_LONG_SESSION, [7, 8, 9, 60])
def test_client_does_not_care_about_the_pieces(data: bytes, places: list[int]) -> None:
    whole, pieces = hear([data]), hear(cut(data, places))
    assert (pieces.events, pieces.error) == (whole.events, whole.error)


@given(_client_bytes, places, _codes)
@example(A_LONG_DIALOGUE, [7, 8, 9, 60], [200])
def test_server_does_not_care_about_the_pieces(data: bytes, places: list[int], codes: list[int]) -> None:
    assert serve(cut(data, places), codes).events == serve([data], codes).events


def octet_by_octet(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_client_takes_one_octet_at_a_time() -> None:
    whole, pieces = hear([A_LONG_SESSION]), hear(octet_by_octet(A_LONG_SESSION))
    assert pieces.events == whole.events
    assert [event.verb for event in pieces.events if isinstance(event, ReplyReceived)] == [
        "(connect)",
        "EHLO",
        *["AUTH", "AUTH", "STARTTLS", "EHLO"],
        *["MAIL", "RCPT", "RCPT", "DATA", "(content)"],
        *["QUIT", "AUTH", "STARTTLS", "MAIL", "QUIT"],
    ]


def test_server_takes_one_octet_at_a_time() -> None:
    whole, pieces = serve([A_LONG_DIALOGUE], [200]), serve(octet_by_octet(A_LONG_DIALOGUE), [200])
    assert pieces.events == whole.events
    assert [event.content for event in pieces.events if isinstance(event, ContentReceived)] == [b".a\r\n\r\n"]


@given(_server_bytes)
def test_each_line_is_in_one_event_of_the_client(data: bytes) -> None:
    """And nothing but `RemoteProtocolError` is raised: the partner catches that alone."""
    partner = hear([data])
    lines = [event.line for event in partner.events if isinstance(event, ReplyPart | ReplyReceived | ConnectionLost)]
    heard = b"".join(lines) + (partner.error[1] if partner.error else b"")
    assert data.startswith(heard)
    assert partner.error or heard == data


@given(bytes_made_of([said for said in CLIENT_SAYS if len(said) < 450 and said != b"QUIT\r\n"]))
def test_each_line_is_in_one_event_of_the_server(data: bytes) -> None:
    """And nothing at all is raised. (It always says 250, so nothing is content.)"""
    partner = serve([data], [250])
    assert b"".join(getattr(event, "line", b"") for event in partner.events) == data


@given(_client_bytes, _codes)
def test_no_error_and_no_more_of_a_message_than_its_bound(data: bytes, codes: list[int]) -> None:
    for event in serve([data], codes).events:
        if isinstance(event, ContentReceived):
            assert len(event.content) == min(event.size, MAX_MESSAGE)
            assert event.truncated is (event.size > MAX_MESSAGE)


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (b"", b"x" * PIECE),
        (b"", b"220-" + b"x" * (PIECE - 6) + b"\r\n"),
        (b"", b"220-x\r\n" * (PIECE // 7)),
        (b"220 x\r\n", b"250 x\r\n" * (PIECE // 7)),
        (b"220 x\r\n", b"334 x\r\n" * (PIECE // 7)),
        (b"220 x\r\n250 x\r\n", b"250-AUTH " + b"x" * (PIECE - 11) + b"\r\n"),
    ],
)
def test_a_server_that_never_ends_costs_the_client_little(start: bytes, flood: bytes) -> None:
    partner, most = ClientPartner(), 0
    partner.feed(start)
    for _ in range(100):
        partner.feed(flood)
        if partner.error:
            break
        most = max(most, held(partner.conn))
    # A reply up to its bounds, the same as capabilities, and an unfinished line.
    assert most <= 2 * (MAX_REPLY_SIZE + MAX_REPLY_LINE) + MAX_REPLY_LINE + 2 * PIECE


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (b"", b"x" * PIECE),
        (b"", b"EHLO " + b"x" * (PIECE - 7) + b"\r\n"),
        (b"EHLO x\r\n", b"NOOP\r\n" * (PIECE // 6)),
        (b"EHLO x\r\nAUTH LOGIN\r\n", b"x" * PIECE),
        (b"EHLO x\r\nAUTH LOGIN\r\n", b"YWxpY2U=\r\n" * (PIECE // 10)),
        (b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n", b"x" * PIECE),
        (b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n", b"\r\n." * (PIECE // 3)),
    ],
)
def test_a_client_that_never_ends_costs_the_server_little(start: bytes, flood: bytes) -> None:
    partner, most = ServerPartner(max_message=MAX_MESSAGE), 0
    partner.feed(start)
    for _ in range(100):
        partner.feed(flood)
        most = max(most, held(partner.conn))
    assert most <= AUTH_LINE_LIMIT + MAX_MESSAGE + 2 * PIECE
