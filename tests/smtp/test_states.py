"""The state machine (RFC 5321 §4.1.4): every verb in every state, for both ends of a session."""

from __future__ import annotations

import pytest

from ehlo.smtp.command import parse_command
from ehlo.smtp.deviations import LocalProtocolError
from ehlo.smtp.events import AuthResponse, ChunkReceived, CommandReceived, CommandRejected, NeedData
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.states import ALLOWED, State, after, why_not
from wire import Client, Server, client, server

COMMANDS = {
    "EHLO": "EHLO here.org",
    "HELO": "HELO here.org",
    "LHLO": "LHLO here.org",
    "MAIL": "MAIL FROM:<sender@yourdomain.com>",
    "RCPT": "RCPT TO:<recipient@example.com>",
    "DATA": "DATA",
    "BDAT": "BDAT 0",
    "RSET": "RSET",
    "NOOP": "NOOP",
    "QUIT": "QUIT",
    "HELP": "HELP",
    "VRFY": "VRFY Smith",
    "EXPN": "EXPN list",
    "AUTH": "AUTH LOGIN",
    "STARTTLS": "STARTTLS",
    "ETRN": "ETRN example.com",
    "XCLIENT": "XCLIENT ADDR=192.0.2.1",
    "XYZZY": "XYZZY",
}

#: Which may be given. In TURNED_AWAY: RFC 5321 §3.1. BDAT: RFC 3030. AUTH: RFC 4954. STARTTLS: RFC 3207.
TABLE = """
                EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT HELP VRFY EXPN AUTH STARTTLS ETRN XCLIENT XYZZY
    CONNECTED    -    -    -    -    -    -    -    -    -    -    -    -    -    -    -        -    -       -
    TURNED_AWAY  -    -    -    -    -    -    -    -    -    yes  -    -    -    -    -        -    -       -
    GREETED      yes  yes  yes  -    -    -    -    yes  yes  yes  yes  yes  yes  -    -        -    -       -
    READY        yes  yes  yes  yes  -    -    -    yes  yes  yes  yes  yes  yes  yes  yes      yes  yes     -
    MAIL         yes  yes  yes  -    yes  -    -    yes  yes  yes  yes  yes  yes  -    -        -    -       -
    RCPT         yes  yes  yes  -    yes  yes  yes  yes  yes  yes  yes  yes  yes  -    -        -    -       -
    CONTENT      -    -    -    -    -    -    -    -    -    -    -    -    -    -    -        -    -       -
    CHUNKING     yes  yes  yes  -    -    -    yes  yes  yes  yes  -    -    -    -    -        -    -       -
    AUTH         -    -    -    -    -    -    -    -    -    -    -    -    -    -    -        -    -       -
    TLS          -    -    -    -    -    -    -    -    -    -    -    -    -    -    -        -    -       -
    CLOSED       -    -    -    -    -    -    -    -    -    -    -    -    -    -    -        -    -       -
"""


def _cells() -> list[tuple[State, str, bool]]:
    head, *rows = TABLE.strip("\n").splitlines()
    return [
        (State[words[0]], verb, cell == "yes")
        for row in rows
        if (words := row.split())
        for verb, cell in zip(head.split(), words[1:], strict=True)
    ]


CELLS = _cells()

GREETED = "S: 220 mail.example.com ESMTP\n"
READY = GREETED + "C: EHLO here.org\nS: 250 mail.example.com\n"
MAIL = READY + "C: MAIL FROM:<sender@yourdomain.com>\nS: 250 Ok\n"
RCPT = MAIL + "C: RCPT TO:<recipient@example.com>\nS: 250 Ok\n"
#: How each state is reached: a conversation that both ends can play.
WAYS = {
    State.TURNED_AWAY: "S: 554 No SMTP service here",
    State.GREETED: GREETED,
    State.READY: READY,
    State.MAIL: MAIL,
    State.RCPT: RCPT,
    State.CONTENT: RCPT + "C: DATA\nS: 354 Go on",
    State.CHUNKING: RCPT + "C: BDAT 0\nS: 250 Go on",
    State.AUTH: READY + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6",
    State.TLS: READY + "C: STARTTLS\nS: 220 Go on",
    State.CLOSED: READY + "C: QUIT\nS: 221 Bye",
}
REACHED = [cell for cell in CELLS if cell[0] is not State.CONNECTED]


def test_the_table_is_complete() -> None:
    assert {(state, verb) for state, verb, _ in CELLS} == {(state, verb) for state in State for verb in COMMANDS}
    assert set().union(*ALLOWED.values()) < set(COMMANDS)


@pytest.mark.parametrize(("state", "verb", "allowed"), CELLS)
def test_table(state: State, verb: str, allowed: bool) -> None:
    assert (verb in ALLOWED[state]) is allowed


@pytest.mark.parametrize("state", WAYS)
def test_both_ends_arrive(state: State) -> None:
    assert client(WAYS[state]).state is state
    assert server(WAYS[state]).state is state


@pytest.mark.parametrize(("state", "verb", "allowed"), REACHED)
def test_client(state: State, verb: str, allowed: bool) -> None:
    conn, command = client(WAYS[state]).conn, parse_command(COMMANDS[verb].encode() + b"\r\n")
    if allowed:
        assert conn.send(command) == COMMANDS[verb].encode() + b"\r\n"
    else:
        with pytest.raises(LocalProtocolError, match=f"^{verb} may not be given here: "):
            conn.send(command)
    assert conn.state is state


@pytest.mark.parametrize(("state", "verb", "allowed"), REACHED)
def test_server(state: State, verb: str, allowed: bool) -> None:
    conn = server(WAYS[state]).conn
    conn.receive_data(COMMANDS[verb].encode() + b"\r\n")
    event = conn.next_event()
    if state is State.CONTENT:
        assert isinstance(event, NeedData)
    elif state is State.AUTH:
        assert isinstance(event, AuthResponse)
    elif verb == "BDAT":
        # Its octets follow whatever its fate (RFC 3030 §2), so it comes in any case.
        assert isinstance(event, ChunkReceived)
        assert (event.refusal is None) is allowed
    elif verb == "LHLO":
        # A server of SMTP does not know it (RFC 2033 §4.1), whatever the state.
        assert isinstance(event, CommandRejected)
        assert event.reply.code == 500
    elif allowed:
        assert isinstance(event, CommandReceived)
        assert event.command.verb == verb
    else:
        assert isinstance(event, CommandRejected)
        assert (event.verb, event.reply.code) == (verb, 500 if verb == "XYZZY" else 503)
    assert conn.state is state


def test_before_the_greeting_nothing_may_be_said() -> None:
    for line in COMMANDS.values():
        with pytest.raises(LocalProtocolError, match="the greeting has not come yet"):
            Client() << line
    with pytest.raises(LocalProtocolError, match="has not been answered"):
        Server().conn.next_event()


@pytest.mark.parametrize(
    ("state", "command", "reply", "then"),
    [
        (State.GREETED, "EHLO here.org", "250 x", State.READY),
        (State.GREETED, "HELO here.org", "250 x", State.READY),
        (State.GREETED, "EHLO here.org", "500 What?", State.GREETED),
        (State.GREETED, "RSET", "250 Ok", State.GREETED),
        (State.READY, "EHLO here.org", "550 No", State.READY),
        (State.READY, "MAIL FROM:<>", "250 Ok", State.MAIL),
        (State.READY, "MAIL FROM:<>", "450 Later", State.READY),
        (State.READY, "STARTTLS", "454 No TLS now", State.READY),
        (State.READY, "AUTH PLAIN AGEAYg==", "235 In", State.READY),
        (State.READY, "AUTH PLAIN AGEAYg==", "535 Out", State.READY),
        # XCLIENT: the session begins anew.
        (State.READY, "XCLIENT ADDR=192.0.2.1", "220 x", State.GREETED),
        (State.MAIL, "RCPT TO:<a@b.c>", "250 Ok", State.RCPT),
        (State.MAIL, "RCPT TO:<a@b.c>", "550 No", State.MAIL),
        (State.MAIL, "RSET", "250 Ok", State.READY),
        # RFC 5321 §4.1.4: EHLO in mid-session resets as RSET does.
        (State.MAIL, "EHLO here.org", "250 x", State.READY),
        (State.RCPT, "EHLO here.org", "250 x", State.READY),
        (State.RCPT, "RCPT TO:<d@e.f>", "550 No", State.RCPT),
        (State.RCPT, "NOOP", "250 Ok", State.RCPT),
        (State.RCPT, "VRFY Smith", "252 Perhaps", State.RCPT),
        (State.RCPT, "DATA", "451 Later", State.RCPT),
        (State.RCPT, "RSET", "250 Ok", State.READY),
        (State.RCPT, "QUIT", "221 Bye", State.CLOSED),
        # RFC 5321 §3.8: 421 may answer any command.
        (State.RCPT, "NOOP", "421 Shutting down", State.CLOSED),
        (State.TURNED_AWAY, "QUIT", "221 Bye", State.CLOSED),
        # RFC 4954 §4: no more challenge, no more exchange.
        (State.AUTH, "YQ==", "334 UGFzc3dvcmQ6", State.AUTH),
        (State.AUTH, "YQ==", "235 In", State.READY),
        (State.AUTH, "YQ==", "535 Out", State.READY),
        (State.AUTH, "*", "501 Cancelled", State.READY),
        # RFC 5321 §4.1.1.4: whatever is said to the message, the transaction is over.
        (State.CONTENT, ".", "250 Queued", State.READY),
        (State.CONTENT, ".", "452 Later", State.READY),
        (State.CONTENT, ".", "554 Spam", State.READY),
        (State.CONTENT, ".", "354 What?", State.READY),
        (State.CONTENT, ".", "421 Shutting down", State.CLOSED),
    ],
)
def test_transition(state: State, command: str, reply: str, then: State) -> None:
    conversation = f"{WAYS[state]}\nC: {command}\nS: {reply}"
    assert client(conversation).state is then
    assert server(conversation).state is then


@pytest.mark.parametrize(
    ("code", "then"),
    [(220, "GREETED"), (421, "CLOSED"), (450, "TURNED_AWAY"), (554, "TURNED_AWAY"), (354, "TURNED_AWAY")],
)
def test_greeting(code: int, then: str) -> None:
    assert client(f"S: {code} x").state is State[then]
    assert server(f"S: {code} x").state is State[then]


@pytest.mark.parametrize("code", [99, 199, 650, 999])
def test_a_greeting_of_no_known_class_leaves_quit(code: int) -> None:
    session = Client() >> f"{code:03} x" << "QUIT" >> "221 Bye"
    assert session.state is State.CLOSED


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_session_that_is_over_does_not_begin_again(verb: str) -> None:
    assert {after(State.CLOSED, verb, code) for code in (220, 250, 334, 354, 421, 550)} == {State.CLOSED}


def test_the_reason_names_the_state() -> None:
    assert why_not(State.MAIL, "DATA") == (
        "DATA may not be given here: the sender was accepted: recipients are due (RFC 5321 §4.1.4)."
    )


def test_lmtp_has_lhlo_and_nothing_else() -> None:
    conn = ServerConnection(lmtp=True)
    conn.send(Reply(220, ("here",)))
    conn.receive_data(b"EHLO x\r\nHELO x\r\nLHLO x\r\n")
    for verb in ("EHLO", "HELO"):
        event = conn.next_event()
        assert isinstance(event, CommandRejected)
        assert (event.verb, event.reply.code) == (verb, 500)
        conn.send(event.reply)
    event = conn.next_event()
    assert isinstance(event, CommandReceived)
    assert event.command.verb == "LHLO"
