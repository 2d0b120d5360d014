"""What is said of a line before it is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.shell.hints import hint
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.states import ALLOWED, State

OFFERED = Capabilities("mail.example.com", "", {"SIZE": ("1000",), "AUTH": ("PLAIN", "SCRAM-SHA-256"), "DSN": ()})
WITH_SMTPUTF8 = Capabilities("mail.example.com", "", {"SMTPUTF8": ()})
IN_CLEAR = Capabilities("mail.example.com", "", {"STARTTLS": ()})


@pytest.mark.parametrize(
    ("state", "line", "expected"),
    [
        (State.GREETED, "EHLO here.org", ""),
        (State.GREETED, "MAIL FROM:<a@b.c>", "MAIL does not belong here: EHLO or HELO is due."),
        (State.GREETED, "EHLO", "EHLO needs the client's name."),
        (State.READY, "MAIL FROM:<a@b.c> SIZE=10 RET=HDRS", ""),
        (State.READY, "MAIL FROM:<a@b.c> SIZE=x", "The value of SIZE is a number of octets (RFC 1870 §5)."),
        (State.READY, "MAIL FROM:<a@b.c> FOO=1", "FOO is not a parameter that is known here."),
        (
            State.READY,
            "MAIL FROM:<a@b.c> REQUIRETLS",
            "REQUIRETLS belongs to the extension REQUIRETLS, which the server does not offer.",
        ),
        (State.READY, "MAIL FROM:<a@b.c> NOTIFY=NEVER", "NOTIFY belongs to RCPT, not to MAIL (RFC 3461 §4.1)."),
        (
            State.READY,
            "MAIL FROM: <a@b.c>",
            "No space may stand after the colon (RFC 5321 §3.3); many servers forgive it.",
        ),
        (
            State.READY,
            "MAIL FROM:a@b.c",
            "The address belongs in angle brackets (RFC 5321 §4.1.2); many servers forgive it.",
        ),
        (State.READY, "MAIL TO:<a@b.c>", "MAIL is followed by FROM: and the address in angle brackets."),
        (State.READY, "STARTTLS", "The server does not offer STARTTLS."),
        (
            State.READY,
            "AUTH PLAIN",
            "AUTH PLAIN lets everyone on the way read the password; :starttls first.",
        ),
        (State.READY, "AUTH SCRAM-SHA-256", ""),
        (State.READY, "RCPT TO:<a@b.c>", "RCPT does not belong here: a transaction may begin."),
        (State.MAIL, "DATA", "DATA does not belong here: the sender was accepted: recipients are due."),
        (State.RCPT, "DATA now", "DATA takes no argument."),
        (State.RCPT, "BDAT 10", "The server does not offer CHUNKING."),
        (State.READY, "HELO", "HELO needs the client's name."),
        (State.READY, "XYZZY", "XYZZY is no command of SMTP."),
        (State.READY, "мail", "The line does not begin with a command."),
        (State.READY, "NOOP " + "x" * 600, "The line has 607 octets; 512 are allowed (RFC 5321 §4.5.3.1.4)."),
        (
            State.READY,
            "MAIL FROM:<bücher@b.c>",
            "The address has non-ASCII characters, and the server does not offer SMTPUTF8.",
        ),
        (State.GREETED, "EHLO bücher.example", "The name behind EHLO must be ASCII (RFC 6531 §3.7.1)."),
        (State.READY, "AUTH LOGIN", "The server does not offer that mechanism, but PLAIN SCRAM-SHA-256."),
        (
            State.READY,
            "AUTH PLAINAGFsaWNlAHNlY3JldA==",
            "The server does not offer that mechanism, but PLAIN SCRAM-SHA-256.",
        ),
        (
            State.READY,
            "AUTH SCRAM-SHA-256 n,,n=alice",
            "What stands behind the mechanism is not base64 (RFC 4954 §4); :b64 TEXT makes it so.",
        ),
        (State.AUTH, "alice", "This is not base64; :b64 TEXT makes it so."),
        (State.AUTH, "YWxpY2U=", ""),
        (State.AUTH, "*", ""),
        (State.AUTH, "", ""),
        (State.TLS, "EHLO here.org", "The server waits for a TLS handshake; :starttls makes it."),
    ],
)
def test_hint(state: State, line: str, expected: str) -> None:
    assert hint(line, state, OFFERED) == expected


def test_under_tls_a_password_may_be_sent() -> None:
    assert hint("AUTH PLAIN", State.READY, OFFERED, encrypted=True) == ""


def test_starttls_is_not_given_twice() -> None:
    assert hint("STARTTLS", State.READY, IN_CLEAR, encrypted=True) == "The connection is encrypted already."


def test_auth_may_be_offered_after_starttls() -> None:
    said = hint("AUTH PLAIN", State.READY, IN_CLEAR)
    assert said == "The server does not offer AUTH in clear; it may after :starttls."
    assert hint("AUTH PLAIN", State.READY, IN_CLEAR, encrypted=True) == "The server does not offer AUTH."


def test_letters_of_all_scripts_need_smtputf8_from_the_sender_on() -> None:
    needs = "An address with non-ASCII characters needs"
    assert hint("MAIL FROM:<bücher@b.c>", State.READY, WITH_SMTPUTF8).startswith(f"{needs} the parameter SMTPUTF8")
    assert hint("MAIL FROM:<bücher@b.c> SMTPUTF8", State.READY, WITH_SMTPUTF8) == ""
    assert hint("RCPT TO:<bücher@b.c>", State.MAIL, WITH_SMTPUTF8).startswith(f"{needs} SMTPUTF8 behind MAIL")
    assert hint("RCPT TO:<bücher@b.c>", State.MAIL, WITH_SMTPUTF8, smtputf8=True) == ""
    assert hint("RCPT TO:<a@b.c>", State.MAIL, WITH_SMTPUTF8) == ""


@given(
    st.text(alphabet="abcXYZ019+/=", min_size=5, max_size=40), st.sampled_from(["AUTH PLAIN ", "AUTH PLAIN", "AUTH "])
)
def test_no_hint_repeats_what_may_be_a_password(secret: str, before: str) -> None:
    assert secret not in hint(before + secret, State.READY, OFFERED, encrypted=True)
    assert secret not in hint(secret, State.AUTH, OFFERED)


def test_before_ehlo_nothing_is_known_of_extensions() -> None:
    assert hint("MAIL FROM:<a@b.c> RET=HDRS", State.READY, None) == ""


@given(st.text(max_size=80), st.sampled_from(State))
def test_any_line_gets_one_sentence_or_none(line: str, state: State) -> None:
    said = hint(line.replace("\n", " "), state, OFFERED)
    assert "\n" not in said
    assert not said or state is not State.AUTH or "base64" in said


@given(st.sampled_from(State), st.sampled_from(sorted(frozenset().union(*ALLOWED.values()))))
def test_order_is_that_of_the_state_table(state: State, verb: str) -> None:
    if state in (State.AUTH, State.TLS):
        return
    argument = {"MAIL": " FROM:<a@b.c>", "RCPT": " TO:<a@b.c>", "EHLO": " x", "HELO": " x", "LHLO": " x", "AUTH": " X"}
    said = hint(verb + argument.get(verb, ""), state, None)
    assert ("does not belong here" in said) is (verb not in ALLOWED[state])
