"""The server's end of a session: commands, refusals, bounds, the message, STARTTLS, AUTH."""

from __future__ import annotations

import pytest

from ehlo.smtp.address import NULL_PATH, parse_path
from ehlo.smtp.command import AUTH_LINE_LIMIT
from ehlo.smtp.deviations import Deviation, LocalProtocolError
from ehlo.smtp.events import CommandReceived, ContentReceived, NeedData
from ehlo.smtp.reply import Reply
from ehlo.smtp.states import State
from wire import TLS, Server, server

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


def test_a_whole_session() -> None:
    """RFC 5321 appendix D.1."""
    session = server("""
        S: 220 foo.com Simple Mail Transfer Service Ready
        C: EHLO bar.com
        S: 250-foo.com greets bar.com
        S: 250-8BITMIME
        S: 250 HELP
        C: MAIL FROM:<Smith@bar.com>
        S: 250 OK
        C: RCPT TO:<Jones@foo.com>
        S: 250 OK
        C: RCPT TO:<Green@foo.com>
        S: 550 No such user here
        C: DATA
        S: 354 Start mail input; end with <CRLF>.<CRLF>
        C: Blah blah blah...
        C: ..etc. etc. etc.
        C: .
        S: 250 OK
        C: QUIT
        S: 221 foo.com Service closing transmission channel
    """)
    content = b"Blah blah blah...\r\n.etc. etc. etc.\r\n"
    assert session.contents == [ContentReceived(content, len(content), "message")]
    assert [command.verb for command in session.commands] == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert session.state is State.CLOSED


def test_a_bounce_to_postmaster_by_a_source_route() -> None:
    session = server(f"""{READY}
        C: MAIL FROM:<>
        S: 250 Ok
        C: RCPT TO:<@relay.example:Postmaster@example.com>
        S: 250 Ok
        C: RCPT TO:<Postmaster>
        S: 250 Ok
    """)
    assert [command.path for command in session.commands[1:]] == [
        NULL_PATH,
        parse_path("<@relay.example:Postmaster@example.com>"),
        parse_path("<Postmaster>"),
    ]


def test_stages() -> None:
    session = server(RCPT + "C: NOOP\nS: 250 Ok\nC: EHLO again.org\nS: 250 x\nC: NOOP\nS: 250 Ok")
    stages = [(event.command.verb, event.stage) for event in session.events if isinstance(event, CommandReceived)]
    assert stages == [
        ("EHLO", "ehlo"),
        ("MAIL", "mail"),
        ("RCPT", "rcpt"),
        ("NOOP", "rcpt"),
        ("EHLO", "ehlo"),
        ("NOOP", "ehlo"),
    ]


def test_what_people_type_is_understood() -> None:
    """A space behind the colon and no brackets: wrong by RFC 5321 §3.3, and what telnet users write."""
    session = server(f"""{READY}
        C: mail from: sender@yourdomain.com
        S: 250 Ok
    """)
    assert session.commands[-1].path == parse_path("<sender@yourdomain.com>")
    assert session.commands[-1].deviations == (Deviation.SPACE_AFTER_COLON, Deviation.NO_ANGLE_BRACKETS)


def test_bare_lf_ends_a_command() -> None:
    session = Server() << "220 x" >> b"EHLO here.org\nNOOP\n" << "250 x" << "250 Ok"
    assert [command.deviations for command in session.commands] == [(Deviation.BARE_LF,)] * 2


# Refusals.


def test_refusals() -> None:
    session = server("""
        S: 220 x
        C: MAIL FROM:<sender@yourdomain.com>
        S: 503 …
        C: EHLO
        S: 501 …
        C: EHLO here.org
        S: 250 x
        C: DATA
        S: 503 …
        C: XYZZY
        S: 500 …
        C: MAIL FROM:<sender@yourdomain.com
        S: 501 …
        C: MAIL FROM:<sender@yourdomain.com>
        S: 250 Ok
        C: MAIL FROM:<sender@yourdomain.com>
        S: 503 …
        C: RCPT TO:<>
        S: 501 …
    """)
    assert [(event.verb, event.reply.lines[0][:5]) for event in session.refused] == [
        ("MAIL", "5.5.1"),
        ("EHLO", "5.5.4"),
        ("DATA", "5.5.1"),
        ("XYZZY", "5.5.2"),
        ("MAIL", "5.5.4"),
        ("MAIL", "5.5.1"),
        ("RCPT", "5.5.4"),
    ]
    assert session.state is State.MAIL


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<\x01\x1b[2J\x7f>\r\n",
        b"MAIL FROM:<a@b.c> \x07=1\r\n",
        b"MAIL FROM:<\xff\xfe>\r\n",
        "MAIL FROM:<ü ü>\r\n".encode(),
        b"MAIL FROM:<" + b"x" * 1500 + b">\r\n",
        b"MAIL FROM:<a@b.c> " + b"x" * 1500 + b"_=\r\n",
        b"MAIL FROM:<a@b.c> " + b"x" * 60 + b"=\r\n",
        b"\x00\x01\x02\r\n",
        b"\xff" * 3000 + b"\r\n",
    ],
)
def test_a_refusal_can_be_sent_whatever_was_refused(line: bytes) -> None:
    session = server(READY)
    session.conn.receive_data(line)
    session << ("501 …" if line.startswith(b"MAIL") else "500 …")
    assert session.refused[-1].reply.encode().isascii()


def test_a_long_wrong_address_leaves_room_for_the_reason() -> None:
    session = server(READY) >> b"MAIL FROM:<" + b"x" * 1500 + b"@>\r\n" << "501 …"
    assert "the path is longer than 256 octets" in session.refused[0].reply.lines[0]


def test_554_greeting_leaves_only_quit() -> None:
    """RFC 5321 §3.1: the server waits for QUIT and says 503 to everything else."""
    session = server("""
        S: 554 No SMTP service here
        C: EHLO here.org
        S: 503 …
        C: QUIT
        S: 221 Bye
    """)
    assert session.state is State.CLOSED


# Pipelining (RFC 2920).


def test_pipelined_commands_wait_for_their_answers() -> None:
    session = server(f"""{READY}
        C: MAIL FROM:<sender@yourdomain.com>
        C: RCPT TO:<one@example.com>
        C: RCPT TO:<two@example.com>
        C: DATA
        S: 250 Ok
        S: 550 No
        S: 250 Ok
        S: 354 Go on
        C: hi
        C: .
        C: MAIL FROM:<next@yourdomain.com>
        C: QUIT
        S: 250 Queued
        S: 250 Ok
        S: 221 Bye
    """)
    assert session.contents[0].content == b"hi\r\n"
    assert [command.verb for command in session.commands[1:]] == ["MAIL", "RCPT", "RCPT", "DATA", "MAIL", "QUIT"]


def test_what_follows_a_refused_data_is_commands() -> None:
    session = server(f"""{RCPT}
        C: DATA
        C: Subject: not a message
        C: .
        S: 451 Later
        S: 500 …
        S: 500 …
    """)
    assert session.state is State.RCPT


def test_each_event_is_answered_once() -> None:
    session = server(READY)
    with pytest.raises(LocalProtocolError, match="No command waits for a reply"):
        session.conn.send(Reply(250))
    session.conn.receive_data(b"NOOP\r\nNOOP\r\n")
    session.conn.next_event()
    with pytest.raises(LocalProtocolError, match="has not been answered"):
        session.conn.next_event()


def test_421_at_any_time() -> None:
    """RFC 5321 §3.8."""
    conn = server(DATA).conn
    assert conn.send(Reply(421, ("4.3.2 Shutting down",))) == b"421 4.3.2 Shutting down\r\n"
    assert conn.state is State.CLOSED


# The message.


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n"])
def test_no_message_is_smuggled(end: bytes) -> None:
    """RFC 5321 §4.1.1.4: only CRLF.CRLF ends the data; all else is content."""
    wire = b"hi" + end + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\nevil\r\n"
    session = server(DATA) >> wire + b".\r\n" << "250 Queued"
    assert isinstance(session.conn.next_event(), NeedData)
    assert [event.content for event in session.contents] == [wire.replace(b"\r\n.", b"\r\n")]
    assert [command.verb for command in session.commands] == ["EHLO", "MAIL", "RCPT", "DATA"]


def test_message_over_the_bound() -> None:
    """The rest is read and dropped, so that the refusal comes after the dot."""
    session = server(DATA, max_message=10)
    for _ in range(1000):
        session >> b"0123456789\r\n"
        assert isinstance(session.conn.next_event(), NeedData)
    session >> b".\r\n" << "552 Too big"
    assert session.contents == [ContentReceived(b"0123456789", 12_000, "message", truncated=True)]
    session.play("""
        C: MAIL FROM:<sender@yourdomain.com>
        S: 250 Ok
        C: RCPT TO:<recipient@example.com>
        S: 250 Ok
        C: DATA
        S: 354 Go on
        C: 12345678
        C: .
        S: 250 Queued
    """)
    assert session.contents[1] == ContentReceived(b"12345678\r\n", 10, "message")


# STARTTLS (RFC 3207).


def test_starttls_begins_the_session_anew() -> None:
    session = server(f"""{READY}
        C: STARTTLS
        S: 220 Go ahead
        == TLS ==
        C: MAIL FROM:<sender@yourdomain.com>
        S: 503 …
        C: EHLO here.org
        S: 250 x
        C: MAIL FROM:<sender@yourdomain.com>
        S: 250 Ok
    """)
    assert session.state is State.MAIL


def test_commands_in_clear_behind_starttls_are_discarded() -> None:
    """RFC 3207 §6, CVE-2011-0411."""
    session = server(READY) >> b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRC" << "220 Go ahead"
    assert session.conn.discard_before_tls() == b"EHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRC"
    session >> TLS
    assert isinstance(session.conn.next_event(), NeedData)
    session >> "EHLO here.org" << "250 x"
    assert [command.argument for command in session.commands] == ["here.org", "", "here.org"]


def test_tls_without_starttls() -> None:
    with pytest.raises(LocalProtocolError, match="A TLS handshake may not be given here"):
        server(READY) >> TLS


# AUTH (RFC 4954).


def test_auth_exchange() -> None:
    session = server(f"""{READY}
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: d29uZGVybGFuZA==
        S: 235 2.7.0 Authentication successful
    """)
    assert [event.response for event in session.responses] == [b"alice", b"wonderland"]
    assert session.state is State.READY


@pytest.mark.parametrize(("line", "response"), [("*", None), ("not base64", None), ("ü", None), ("=", b""), ("", b"")])
def test_auth_response(line: str, response: bytes | None) -> None:
    """RFC 4954 §4: "*" gives up; what is not base64 is refused; an empty line is an empty response."""
    session = server(READY) >> "AUTH LOGIN" << "334 VXNlcm5hbWU6" >> line << "501 Over"
    assert session.responses[-1].response == response
    assert session.state is State.READY


def test_a_response_over_the_bound_ends_the_exchange() -> None:
    session = server(READY) >> "AUTH PLAIN" << "334 " >> b"x" * AUTH_LINE_LIMIT + b"\r\n" << "500 …"
    assert session.refused[-1].deviation is Deviation.LINE_TOO_LONG
    assert session.state is State.READY
    session >> "MAIL FROM:<sender@yourdomain.com>" << "250 Ok"
