"""What a lab answers by routine is what it would answer anyway."""

from __future__ import annotations

import random
import smtplib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.lab import Lab, Limits, Policy
from ehlo.lab.conditions import Condition
from ehlo.lab.faults import Action, Fault
from ehlo.lab.lab import _ENTRIES, Door
from ehlo.lab.persona import load_persona, persona_names
from ehlo.lab.routine import Routine
from ehlo.net.intents import Done, Send
from ehlo.net.session import Session
from ehlo.smtp.command import parse_command
from ehlo.smtp.events import CommandReceived
from ehlo.smtp.states import State

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<a@client.example>\r\n"
RCPT = b"RCPT TO:<recipient@example.com>\r\n"
ELSEWHERE = b"RCPT TO:<a@b.org>\r\n"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOGIN = b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n"
USERS = {"alice": "wonderland"}
MESSAGE = b"Subject: hello\r\n\r\nabout a lottery\r\n.\r\n"

LINES = (
    *(HELLO, b"HELO client.example\r\n", b"LHLO client.example\r\n"),
    *(MAIL, b"MAIL FROM:<>\r\n", b"MAIL FROM:<b@client.example> SIZE=1000\r\n", b"mail from:<a@client.example>\r\n"),
    *(RCPT, b"RCPT TO:<postmaster@example.com>\r\n", b"RCPT TO:<nobody@example.com>\r\n", ELSEWHERE),
    *(b"DATA\r\n", b"DATA\n", MESSAGE, b"NOOP\r\n.\r\n", b".\r\n", b"RSET\r\n", b"NOOP\r\n", b"VRFY recipient\r\n"),
    *(b"BDAT 6\r\n", b"BDAT 6 LAST\r\n", b"BDAT 0 LAST\r\n", b"BDAT 3\r\nabc", b"MAIL\r\n", b"\r\n", b"QUIT\r\n"),
    *(LOGIN, b"AUTH PLAIN\r\n", b"AGFsaWNlAHdvbmRlcmxhbmQ=\r\n", b"x" * 20_000),
    *(MAIL + RCPT + b"DATA\r\n", b"RSET\r\n" + MAIL, b"DATA\r\n" + MESSAGE, b"RS", b"ET\r\n"),
)
POLICIES = (
    Policy(),
    Policy(limits=Limits(recipients=2)),
    Policy(limits=Limits(messages=1)),
    Policy(limits=Limits(commands=6)),
    Policy(limits=Limits(errors=2)),
    Policy(quotas={"recipient@example.com": 1}),
    Policy(users=USERS, auth_in_clear=True, auth_required=True, own_senders=True),
    Policy(tls_required=True),
    Policy(refused_senders=frozenset({"a@client.example"})),
    Policy(extensions=("CHUNKING",), any_recipient=True),
)


class Played(NamedTuple):
    """What a lab said to each piece, what it recorded but for the times, and the messages it has by then."""

    said: list[bytes]
    events: Sequence[tuple[object, ...]]
    messages: Sequence[tuple[object, ...]]


def played(lab: Lab, door: Door, pieces: Iterable[bytes]) -> Played:
    """A session in which the client says this, a piece at a time."""
    session = lab._make_session(_ENTRIES[door], "127.0.0.1", 4000)
    assert isinstance(session, Session)
    need = session.start()
    said = [session.take_outgoing()]
    for piece in pieces:
        if isinstance(need, Done):
            break
        need = session.data_received(piece)
        said.append(session.take_outgoing())
    lab._ended(session)
    events = [(event.who, event.kind, event.stage, event.data, event.facts) for event in session.recorder.events]
    return Played(said, events, [(message.sender, message.recipients, message.content) for message in lab.messages])


def thinking(routine: Routine, *_: object) -> None:
    """Learn nothing."""


#: A transaction, in which all is learnt that can be.
WHOLE = [MAIL, RCPT, b"DATA\r\n", MESSAGE]
#: What must not be taken for what was learnt, or would be another answer by then.
MISLEADING = [
    (Policy(extensions=("CHUNKING",)), [*WHOLE, MAIL, RCPT, b"BDAT 6\r\n", b"DATA\r\n", b"BDAT 0 LAST\r\n"]),
    (Policy(), [*WHOLE, MAIL, b"x" * 20_000, RCPT, RCPT]),
    (Policy(), [*WHOLE, MAIL, b"RS", RCPT, RCPT]),
    (Policy(), [*WHOLE, MAIL, RCPT, b"DATA\r\n", b"DATA\r\n", RCPT, b".\r\n"]),
    (Policy(limits=Limits(messages=1)), [*WHOLE, *WHOLE]),
    (Policy(limits=Limits(recipients=2)), [MAIL, RCPT, RCPT, RCPT]),
    (Policy(limits=Limits(commands=6)), WHOLE),
    (Policy(quotas={"recipient@example.com": 1}), [*WHOLE, MAIL, RCPT]),
    (Policy(users=USERS, auth_in_clear=True, own_senders=True), [*WHOLE, LOGIN, MAIL, MAIL]),
    (Policy(users=USERS, auth_in_clear=True, auth_required=True), [LOGIN, *WHOLE]),
    (Policy(), [*WHOLE, b"NOOP\r\n", MAIL, b"NOOP\r\n", RCPT, b"NOOP\r\n"]),
    # To write to elsewhere is for who has logged in.
    (Policy(users=USERS, auth_in_clear=True), [MAIL, ELSEWHERE, b"RSET\r\n", LOGIN, MAIL, ELSEWHERE]),
]

sessions = st.lists(st.lists(st.sampled_from(LINES), max_size=14), min_size=1, max_size=3)


def assert_same(each: list[list[bytes]], policy: Policy, persona: str, door: Door) -> None:
    """Whatever clients say, one after the other: with what was learnt from those before or without, it is the same."""
    hello = HELLO.replace(b"EHLO", b"LHLO") if door == "lmtp" else HELLO
    results = []
    for learn in (Routine.learn, thinking):
        random.seed(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Routine, "learn", learn)
            # Exim's greeting says what time it is.
            patch.setattr("ehlo.lab.persona.localtime", lambda: NOON)
            lab = Lab(load_persona(persona), policy)
            # Twice, so that all that can be learnt was learnt.
            results.append([played(lab, door, [hello, *pieces]) for pieces in each * 2])
    assert results[0] == results[1]


@given(sessions, st.sampled_from(POLICIES), st.sampled_from(persona_names()), st.sampled_from(("smtp", "lmtp")))
def test_routine_changes_nothing(each: list[list[bytes]], policy: Policy, persona: str, door: Door) -> None:
    assert_same(each, policy, persona, door)


@pytest.mark.parametrize(("policy", "pieces"), MISLEADING)
def test_routine_is_not_misled(policy: Policy, pieces: list[bytes]) -> None:
    assert_same([pieces], policy, "postfix", "smtp")


@pytest.mark.parametrize(
    ("policy", "line", "situation"),
    [
        (Policy(tls_required=True), MAIL, "mail"),
        (Policy(auth_required=True), MAIL, "mail"),
        (Policy(own_senders=True), MAIL, "mail"),
        (Policy(limits=Limits(messages=9)), MAIL, "mail"),
        (Policy(quotas={"recipient@example.com": 9}), RCPT, "rcpt"),
        (Policy(), b"MAIL FROM:<a@client.example> SIZE=9\r\n", "mail"),
        (Policy(), b"NOOP\r\n", "noop"),
        (Policy(), RCPT, "too-many-recipients"),
    ],
)
def test_what_depends_on_more_is_not_learnt(policy: Policy, line: bytes, situation: str) -> None:
    persona = load_persona()
    routine = Routine(persona, policy)
    reply, event = persona.replies[situation], CommandReceived(line, "mail", parse_command(line))
    routine.learn(State.READY, event, reply, (event.command, Send(reply.encode(), "mail"), "mail", State.MAIL))
    assert routine.recall((State.READY, line)) is None


def lines_known(lab: Lab) -> set[bytes]:
    return {line for _, line in lab._routine._known}


def test_what_is_routine() -> None:
    lab = Lab()
    pieces = [HELLO, MAIL, RCPT, b"DATA\r\n", MESSAGE, b"RSET\r\n", b"VRFY recipient\r\n", b"QUIT\r\n"]
    played(lab, "smtp", pieces)
    assert lines_known(lab) == {HELLO, MAIL, RCPT, b"DATA\r\n"}


def test_what_differs_each_time_is_no_routine() -> None:
    """Gmail's replies carry an identity of the session, and the client's address."""
    lab = Lab(load_persona("gmail"))
    played(lab, "smtp", [HELLO, MAIL, RCPT])
    assert not lines_known(lab)


def test_a_fault_breaks_the_routine() -> None:
    lab = Lab()
    learn = partial(played, lab, "smtp", [HELLO, MAIL, RCPT])
    assert learn().said[-1] == b"250 2.1.5 Ok\r\n"
    lab.faults.add(Fault("rcpt", Condition(), Action(reply=("450 4.2.0 Greylisted",))))
    assert learn().said[-1] == b"450 4.2.0 Greylisted\r\n"


def test_a_welcome_under_other_conditions_is_no_routine() -> None:
    """It was learnt at a port for SMTP, and a fault may have spoiled it before it struck for the last time."""
    lab = Lab()
    usual = played(lab, "smtp", [HELLO, HELLO]).said[-1]
    assert played(lab, "lmtp", [HELLO]).said[-1].startswith(b"502 5.5.2 ")
    lab.faults.add(Fault("ehlo", Condition(first=1), Action(drop=("STARTTLS",))))
    assert played(lab, "smtp", [HELLO, HELLO]).said[1:] == [usual.replace(b"250-STARTTLS\r\n", b""), usual]
    assert lines_known(lab) == {HELLO}


def test_a_welcome_under_tls_is_no_routine() -> None:
    with Lab().running() as lab:
        for _ in range(2):
            with smtplib.SMTP(lab.host, lab.port, "client.example", timeout=30) as client:
                client.ehlo()
                assert client.has_extn("starttls")
                client.starttls(context=lab.ssl_context())
                client.ehlo()
                assert not client.has_extn("starttls")


def test_another_policy_is_another_routine() -> None:
    lab = Lab()
    assert played(lab, "smtp", [HELLO, MAIL, RCPT]).said[-1].startswith(b"250 2.1.5 ")
    lab.policy = Policy(mailboxes=frozenset())
    assert played(lab, "smtp", [HELLO, MAIL, RCPT]).said[-1].startswith(b"550 5.1.1 ")


def test_what_was_learnt_has_a_bound() -> None:
    lab = Lab(policy=Policy(any_recipient=True))
    pieces = (b"RSET\r\n" + MAIL + b"RCPT TO:<%d@example.com>\r\n" % number for number in range(3000))
    played(lab, "smtp", [HELLO, *pieces])
    assert 0 < len(lines_known(lab)) <= 1024
