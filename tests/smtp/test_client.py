"""The client's end of a session: replies matched to commands, bounds, STARTTLS, pipelining."""

from __future__ import annotations

import pytest

from ehlo.smtp.address import parse_path
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, ehlo, mail, rcpt
from ehlo.smtp.deviations import Deviation, LocalProtocolError, RemoteProtocolError
from ehlo.smtp.events import ReplyPart
from ehlo.smtp.reply import MAX_REPLY_LINE
from ehlo.smtp.states import State
from wire import CLOSED, TLS, client

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


def test_a_whole_session() -> None:
    """RFC 5321 appendix D.1."""
    session = client("""
        S: 220 foo.com Simple Mail Transfer Service Ready
        C: EHLO bar.com
        S: 250-foo.com greets bar.com
        S: 250-8BITMIME
        S: 250-SIZE
        S: 250-DSN
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
    assert session.heard == [
        "(connect) 220",
        "EHLO 250",
        "MAIL 250",
        "RCPT 250",
        "RCPT 550",
        "DATA 354",
        "(content) 250",
        "QUIT 221",
    ]
    assert [reply.stage for reply in session.replies] == [
        "banner",
        "ehlo",
        "mail",
        "rcpt",
        "rcpt",
        "data",
        "message",
        "quit",
    ]
    assert session.state is State.CLOSED


def test_capabilities_are_those_of_the_last_ehlo() -> None:
    session = client("S: 220 x")
    assert session.conn.capabilities is None
    session << "EHLO here.org" >> "250-x\r\n250 SIZE 5" << "EHLO here.org" >> "550 Not again"
    assert session.conn.capabilities is not None
    assert session.conn.capabilities.size == 5
    session << "HELO here.org" >> "250 x"
    assert session.conn.capabilities is not None
    assert session.conn.capabilities.keywords == {}


def test_stage_and_what_is_awaited() -> None:
    conn = ClientConnection()
    assert (conn.stage, conn.awaiting) == ("banner", True)
    conn.receive_data(b"220 x\r\n")
    conn.next_event()
    assert not conn.awaiting
    conn.send(ehlo("here.org"))
    assert (conn.stage, conn.awaiting) == ("ehlo", True)


def test_commands_without_a_stage_belong_to_the_one_they_are_given_in() -> None:
    session = client(RCPT) << "NOOP" >> "250 Ok"
    assert session.replies[-1].stage == "rcpt"


# Greetings.


def test_554_greeting_leaves_only_quit() -> None:
    """RFC 5321 §3.1."""
    session = client("""
        S: 554 No SMTP service here
    """)
    with pytest.raises(LocalProtocolError, match="only QUIT may follow"):
        session << "EHLO here.org"
    session << "QUIT" >> "221 Bye"
    assert session.heard == ["(connect) 554", "QUIT 221"]


def test_multi_line_greeting() -> None:
    session = client("""
        S: 220-mail.example.com ESMTP
        S: 220-No spam
        S: 220 Go
    """)
    assert [type(event) for event in session.events[:2]] == [ReplyPart, ReplyPart]
    assert session.replies[0].reply.lines == ("mail.example.com ESMTP", "No spam", "Go")
    assert session.state is State.GREETED


# Pipelining (RFC 2920).


def test_replies_are_matched_in_order() -> None:
    session = client(f"""{READY}
        C: MAIL FROM:<sender@yourdomain.com>
        C: RCPT TO:<one@example.com>
        C: RCPT TO:<two@example.com>
        C: DATA
        S: 250 Sender ok
        S: 550 No such user
        S: 250 Recipient ok
        S: 354 Go on
    """)
    assert session.heard[2:] == ["MAIL 250", "RCPT 550", "RCPT 250", "DATA 354"]
    assert session.state is State.CONTENT


def test_replies_in_one_piece_are_matched_in_order() -> None:
    session = client(READY) << mail(parse_path("<a@b.c>")) << rcpt(parse_path("<d@e.f>")) << Command("DATA")
    session >> b"250 Ok\r\n550-No\r\n550 such user\r\n503 No recipients\r\n"
    assert session.heard[2:] == ["MAIL 250", "RCPT 550", "DATA 503"]
    assert session.state is State.MAIL


def test_data_that_is_accepted_though_all_recipients_were_refused() -> None:
    """RFC 2920 §3.1: then the message is a single dot."""
    session = client(f"""{READY}
        C: MAIL FROM:<sender@yourdomain.com>
        C: RCPT TO:<one@example.com>
        C: DATA
        S: 250 Ok
        S: 550 No
        S: 354 Go on
        C: .
        S: 554 No valid recipients
    """)
    assert session.heard[-1] == "(content) 554"
    assert session.state is State.READY


@pytest.mark.parametrize("line", ["EHLO here.org", "NOOP", "VRFY Smith", "EXPN list", "HELP"])
def test_what_must_be_the_last_of_a_group(line: str) -> None:
    """RFC 2920 §3.1."""
    with pytest.raises(LocalProtocolError, match=r"must wait for the reply to .* \(RFC 2920"):
        client(READY) << line << "RSET"


def test_the_table_holds_for_what_is_sent_ahead() -> None:
    with pytest.raises(LocalProtocolError, match="recipients are due"):
        client(READY) << "MAIL FROM:<a@b.c>" << "DATA"


def test_421_in_mid_group_ends_the_session() -> None:
    session = client(READY) << "MAIL FROM:<a@b.c>" << "RCPT TO:<d@e.f>" >> "421 Shutting down"
    assert session.state is State.CLOSED
    with pytest.raises(LocalProtocolError, match="the session is over"):
        session << "DATA"
    session >> "250 Ok"
    assert session.state is State.CLOSED


# What the server says unasked.


def test_unasked_421() -> None:
    """RFC 5321 §3.8: a server that must shut down says 421 and closes."""
    session = client(RCPT) >> "421 4.3.2 Shutting down"
    assert (session.replies[-1].verb, session.replies[-1].stage) == ("", "rcpt")
    assert session.replies[-1].reply.deviations == (Deviation.UNASKED,)
    assert session.state is State.CLOSED
    with pytest.raises(LocalProtocolError, match="the session is over"):
        session << "DATA"
    session >> CLOSED


def test_another_unasked_reply_changes_nothing() -> None:
    session = client(RCPT) >> "250 By the way"
    assert session.replies[-1].reply.deviations == (Deviation.UNASKED,)
    assert session.state is State.RCPT
    session << "DATA" >> "354 Go on"
    assert session.heard[-1] == "DATA 354"


# STARTTLS (RFC 3207).

STARTTLS = f"""{READY}
    C: STARTTLS
    S: 220 Go ahead
"""


def test_after_starttls_the_session_begins_anew() -> None:
    """RFC 3207 §4.2: the client must forget what the server said before."""
    session = client(STARTTLS) >> TLS
    assert session.conn.capabilities is None
    with pytest.raises(LocalProtocolError, match="EHLO or HELO is due"):
        session << "MAIL FROM:<a@b.c>"
    session << "EHLO here.org" >> "250 x" << "MAIL FROM:<a@b.c>" >> "250 Ok"
    assert session.state is State.MAIL


@pytest.mark.parametrize("injected", [b"250 Injected\r\n", b"250-x\r\n250 AUTH PLAIN\r\n", b"2", b"\n", b"x" * 20000])
def test_bytes_in_clear_before_the_handshake(injected: bytes) -> None:
    """RFC 3207 §6, CVE-2011-0411: they must not become part of the protected session."""
    session = client(READY) << "STARTTLS"
    session.conn.receive_data(b"220 Go ahead\r\n" + injected)
    session.conn.next_event()
    with pytest.raises(RemoteProtocolError) as raised:
        session.conn.check_before_tls()
    assert raised.value.deviation is Deviation.BYTES_BEFORE_TLS
    assert raised.value.line == injected[:MAX_REPLY_LINE]


def test_tls_without_starttls() -> None:
    with pytest.raises(LocalProtocolError, match="A TLS handshake may not be given here"):
        client(READY) >> TLS


# AUTH (RFC 4954).


def test_auth_exchange() -> None:
    session = client(f"""{READY}
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: d29uZGVybGFuZA==
        S: 235 2.7.0 Authentication successful
    """)
    assert session.heard[2:] == ["AUTH 334", "AUTH 334", "AUTH 235"]
    assert {reply.stage for reply in session.replies[2:]} == {"auth"}


def test_auth_given_up() -> None:
    session = client(f"""{READY}
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: *
        S: 501 Authentication cancelled
    """)
    assert session.state is State.READY


def test_a_response_needs_a_challenge() -> None:
    with pytest.raises(LocalProtocolError, match="A SASL response may not be given here"):
        client(READY).conn.send_auth_response(b"alice")
    with pytest.raises(LocalProtocolError, match="must wait for the server's challenge"):
        client(READY) << "AUTH LOGIN" >> "334 VXNlcm5hbWU6" << "YWxpY2U=" << "d29uZGVybGFuZA=="


# The message.


def test_content_in_pieces_has_its_dots_stuffed() -> None:
    conn = (client(RCPT) << "DATA" >> "354 Go on").conn
    pieces = [conn.send_content(piece) for piece in (b".a\r", b"\n", b".", b"\r\nb")]
    assert b"".join(pieces) + conn.end_content() == b"..a\r\n..\r\nb\r\n.\r\n"


def test_content_needs_a_354() -> None:
    with pytest.raises(LocalProtocolError, match="The message may not be given here"):
        client(RCPT).conn.send_content(b"x")
    with pytest.raises(LocalProtocolError, match="The message may not be given here"):
        (client(RCPT) << "DATA" >> "451 Later").conn.end_content()


def test_content_ends_once() -> None:
    session = client(RCPT) << "DATA" >> "354 Go on" << "."
    with pytest.raises(LocalProtocolError, match="The message has ended"):
        session.conn.send_content(b"more")
    session >> "250 Queued" << "MAIL FROM:<a@b.c>"


# A debugger may do wrong on purpose.


def test_any_line_can_be_sent_and_gets_its_reply() -> None:
    session = client(READY)
    assert session.conn.send_literal(b"DATA\r\n") == b"DATA\r\n"
    session >> "503 Not yet"
    assert session.conn.send_literal(b"\r\n") == b"\r\n"
    session >> "500 What?"
    assert session.conn.send_literal(b"mail from: me\n") == b"mail from: me\n"
    session >> "250 Ok"
    assert session.heard[2:] == ["DATA 503", " 500", "MAIL 250"]
    assert session.state is State.MAIL


def test_a_line_belongs_to_the_stage_it_stands_for() -> None:
    session = client(READY)
    session.conn.send_literal(b"FOO\r\n", "mail")
    assert session.conn.stage == "mail"
    session >> "500 What?"
    session.conn.send_literal(b"NOOP\r\n")
    session >> "250 Ok"
    assert [reply.stage for reply in session.replies[-2:]] == ["mail", "mail"]


def test_a_line_may_be_typed_in_pieces() -> None:
    session = client(READY)
    assert session.conn.send_octets(b"MAIL FR") == b"MAIL FR"
    assert not session.conn.awaiting
    assert session.conn.send_octets(b"OM:<a@b.c>\r\n") == b"OM:<a@b.c>\r\n"
    session >> "250 Ok"
    assert session.heard[2:] == ["MAIL 250"]
    assert session.state is State.MAIL


def test_a_typed_message_is_answered_at_its_dot() -> None:
    session = client(RCPT) << "DATA" >> "354 Go on"
    for line in (b"Subject: x\r\n", b"\r\n", b"..\r\n", b"."):
        session.conn.send_octets(line)
        assert not session.conn.awaiting
    session.conn.send_octets(b"\r\n")
    assert session.conn.awaiting
    session >> "250 Queued"
    assert session.state is State.READY


def test_what_is_asked_after_ehlo_does_not_change_what_is_offered() -> None:
    session = client(READY) << "NOOP" >> "250 2.0.0 Ok" << "RSET" >> "250 2.0.0 Ok" << "VRFY a" >> "252 2.0.0 a"
    assert session.conn.capabilities is not None
    assert "PIPELINING" in session.conn.capabilities
    session << "HELO here.org" >> "250 mail.example.com"
    assert session.conn.capabilities.keywords == {}
