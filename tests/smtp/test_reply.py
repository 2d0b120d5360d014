"""Replies (RFC 5321 §4.2) and enhanced status codes (RFC 3463): the tolerant reader, the strict writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.deviations import Deviation, LocalProtocolError, RemoteProtocolError
from ehlo.smtp.reply import (
    MAX_REPLY_LINE,
    MAX_REPLY_LINES,
    MAX_REPLY_SIZE,
    EnhancedStatus,
    Reply,
    ReplyReader,
    decode_line,
    parse_reply_line,
)
from grammar import replies
from wire import reply_of


@pytest.mark.parametrize(
    ("wire", "code", "lines"),
    [
        (b"250 Ok\r\n", 250, ("Ok",)),
        (b"250 \r\n", 250, ("",)),
        # RFC 5321 §4.2: the text may be missing, and with it the space.
        (b"250\r\n", 250, ("",)),
        (b"250-mail.example.com\r\n250 SIZE\r\n", 250, ("mail.example.com", "SIZE")),
        (b"214-\r\n214-\tHelp\r\n214 End\r\n", 214, ("", "\tHelp", "End")),
        (b"550 5.1.1 No such user\r\n", 550, ("5.1.1 No such user",)),
        (b"250-220 is not a code here\r\n250 -\r\n", 250, ("220 is not a code here", "-")),
    ],
)
def test_read(wire: bytes, code: int, lines: tuple[str, ...]) -> None:
    assert reply_of(wire) == Reply(code, lines)


@pytest.mark.parametrize(
    ("wire", "reply", "deviation"),
    [
        (b"250 Ok\n", Reply(250, ("Ok",)), Deviation.BARE_LF),
        (b"250 O\rk\r\n", Reply(250, ("O\rk",)), Deviation.BARE_CR),
        (b"250 Ok\r\r\n", Reply(250, ("Ok\r",)), Deviation.BARE_CR),
        (b"250 O\0k\r\n", Reply(250, ("O\0k",)), Deviation.NUL),
        (b"250 \x1b[2J\r\n", Reply(250, ("\x1b[2J",)), Deviation.CONTROL),
        ("250 schön\r\n".encode(), Reply(250, ("schön",)), Deviation.NOT_ASCII),
        (b"250 sch\xf6n\r\n", Reply(250, ("sch\udcf6n",)), Deviation.NOT_UTF8),
        (b"250 " + b"x" * 507 + b"\r\n", Reply(250, ("x" * 507,)), Deviation.LINE_OVER_LIMIT),
        (b"260 Ok\r\n", Reply(260, ("Ok",)), Deviation.CODE_RANGE),
        (b"650 Ok\r\n", Reply(650, ("Ok",)), Deviation.CODE_RANGE),
        (b"099 Ok\r\n", Reply(99, ("Ok",)), Deviation.CODE_RANGE),
        (b"250Ok\r\n", Reply(250, ("Ok",)), Deviation.SEPARATOR),
        (b"250\tOk\r\n", Reply(250, ("Ok",)), Deviation.SEPARATOR),
        (b"250-a\r\n550 b\r\n", Reply(550, ("a", "b")), Deviation.CODE_CHANGED),
        (b"250-a\r\nb\r\n250 c\r\n", Reply(250, ("a", "b", "c")), Deviation.NO_CODE),
        (b"550 2.1.1 Odd\r\n", Reply(550, ("2.1.1 Odd",)), Deviation.CLASS_DIFFERS),
        (b"450-5.7.1 Odd\r\n450 5.7.1 Odd\r\n", Reply(450, ("5.7.1 Odd", "5.7.1 Odd")), Deviation.CLASS_DIFFERS),
    ],
)
def test_forgiven(wire: bytes, reply: Reply, deviation: Deviation) -> None:
    assert reply_of(wire) == reply._replace(deviations=(deviation,))


def test_a_deviation_is_noted_once_for_all_lines() -> None:
    assert reply_of(b"250-a\n250-b\0\n250 c\n").deviations == (Deviation.BARE_LF, Deviation.NUL)


def test_after_a_reply_nothing_of_it_is_left() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250-odd\n") is None
    assert reader.unfinished
    assert reader.feed(b"550 odd\n") is not None
    assert not reader.unfinished
    assert reader.feed(b"250 fine\r\n") == Reply(250, ("fine",))


@pytest.mark.parametrize(
    "line", [b"\r\n", b"hello\r\n", b"25 Ok\r\n", b"2500 Ok\r\n", b" 250 Ok\r\n", b"HTTP/1.1 400\r\n"]
)
def test_not_read(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        ReplyReader().feed(line)
    assert (raised.value.deviation, raised.value.line) == (Deviation.NO_CODE, line)


def test_512_octets_are_the_longest_proper_line() -> None:
    """RFC 5321 §4.5.3.1.5."""
    line = b"250 " + b"x" * 506 + b"\r\n"
    assert len(line) == 512
    assert reply_of(line).deviations == ()


@pytest.mark.parametrize(
    ("line", "most"),
    [
        (b"250-x\r\n", MAX_REPLY_LINES),
        # A line without a code belongs to the reply that has begun.
        (b"?\r\n", MAX_REPLY_LINES),
        (b"250-" + b"x" * 8000 + b"\r\n", MAX_REPLY_SIZE // 8006 + 2),
    ],
)
def test_endless_reply(line: bytes, most: int) -> None:
    """No more is kept than the bound of lines, or that of octets and one line."""
    reader, fed = ReplyReader(), [b"250-x\r\n"]
    reader.feed(fed[0])
    error = None
    while error is None:
        fed.append(line)
        try:
            reader.feed(line)
        except RemoteProtocolError as raised:
            error = raised
    assert error.deviation is Deviation.ENDLESS_REPLY
    assert len(fed) == most
    assert sum(map(len, fed)) <= MAX_REPLY_SIZE + MAX_REPLY_LINE


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("2.1.5 Ok", (2, 1, 5)),
        ("5.7.509 No", (5, 7, 509)),
        ("4.4.2", (4, 4, 2)),
        ("5.1.1: no space", None),
        ("3.1.1 no such class", None),
        ("5.1 short", None),
        ("5.1.1111 long", None),
        ("x 5.1.1", None),
    ],
)
def test_enhanced_status(text: str, status: tuple[int, int, int] | None) -> None:
    assert Reply(550, (text,)).enhanced == status
    assert EnhancedStatus.parse(text) == status


def test_enhanced_status_in_words() -> None:
    status = EnhancedStatus(5, 1, 1)
    assert (str(status), status.generic) == ("5.1.1", "X.1.1")


def test_the_text_is_without_codes() -> None:
    reply = reply_of(b"550-5.1.1 The mailbox\r\n550-5.1.1\r\n550 5.1.1 is not there\r\n")
    assert reply.text == "The mailbox is not there"
    assert str(reply) == "550 5.1.1 The mailbox 5.1.1 5.1.1 is not there"
    assert reply.category == 5


def test_the_first_line_with_an_enhanced_status_counts() -> None:
    assert Reply(250, ("mail.example.com", "2.1.0 a", "2.1.5 b")).enhanced == (2, 1, 0)


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250), b"250 \r\n"),
        (Reply(220, ("mail.example.com ESMTP",)), b"220 mail.example.com ESMTP\r\n"),
        (Reply(250, ("a-b", "c-d", "e-f")), b"250-a-b\r\n250-c-d\r\n250 e-f\r\n"),
        (Reply(250, ("sch\udcf6n",)), b"250 sch\xf6n\r\n"),
        (Reply(214, ("\thelp",)), b"214 \thelp\r\n"),
    ],
)
def test_written(reply: Reply, wire: bytes) -> None:
    assert reply.encode() == wire


@pytest.mark.parametrize(
    "reply",
    [
        Reply(199),
        Reply(560),
        Reply(260),
        Reply(1000),
        Reply(250, ()),
        Reply(250, ("a\r\n250 b",)),
        Reply(250, ("a\n",)),
        Reply(250, ("\0",)),
        Reply(250, ("\x7f",)),
        Reply(250, ("\ud800",)),
        Reply(250, ("ok", "x" * 507)),
        Reply(250, ("ü" * 254,)),
    ],
)
def test_not_written(reply: Reply) -> None:
    with pytest.raises(LocalProtocolError):
        reply.encode()


@given(st.integers(0, 999), st.text(max_size=20) | st.sampled_from(["x" * 506, "x" * 507, "a\tb", "a\x7fb", "ü"]))
def test_a_line_alone_is_encoded_as_in_company(code: int, text: str) -> None:
    """The short way, which most replies take, gives what the other gives, and refuses what that refuses."""
    reply = Reply(code, (text,))
    try:
        encoded = reply._encode_lines()
    except LocalProtocolError:
        with pytest.raises(LocalProtocolError):
            reply.encode()
    else:
        assert reply.encode() == encoded


@given(replies)
def test_what_is_written_is_read(reply: Reply) -> None:
    assert reply_of(reply.encode())[:2] == reply[:2]


@given(st.binary(max_size=30), st.sampled_from([b"", b"250", b"250-", b"2503", b"999 "]))
def test_any_line_can_be_read(rest: bytes, start: bytes) -> None:
    line = parse_reply_line(start + rest + b"\n")
    assert (line.code is None) == (Deviation.NO_CODE in line.deviations)
    assert not (line.more and line.code is None)


def test_a_line_that_was_cut_off_has_no_wrong_ending() -> None:
    assert decode_line(b"550 5.1.1 user unk") == ("550 5.1.1 user unk", [])
    assert decode_line(b"550 x\n") == ("550 x", [Deviation.BARE_LF])
