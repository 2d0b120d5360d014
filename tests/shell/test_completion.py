"""What may come next, by the state and what the server offers."""

from __future__ import annotations

import pytest

from ehlo.shell.commands import COMMANDS
from ehlo.shell.completion import complete
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.states import State

OFFERED = Capabilities(
    "mail.example.com", "", {"SIZE": ("1000",), "AUTH": ("PLAIN", "LOGIN"), "DSN": (), "STARTTLS": ()}
)
ADDRESSES = ("alice@example.com", "bob@example.com")


def ways(text: str, state: State, capabilities: Capabilities | None = OFFERED) -> list[str]:
    """The lines that completion makes of a text."""
    helpers = [(command.name, command.summary) for command in COMMANDS.values()]
    found = complete(text, state, capabilities, helo="here.org", addresses=ADDRESSES, helpers=helpers)
    return [text[: len(text) - completion.replaces] + completion.text for completion in found]


@pytest.mark.parametrize(
    ("state", "text", "expected"),
    [
        (State.GREETED, "e", ["EHLO ", "EXPN "]),
        (State.GREETED, "EHLO ", ["EHLO here.org"]),
        (State.GREETED, "M", []),
        (State.READY, "m", ["MAIL FROM:<"]),
        (State.READY, "S", ["STARTTLS"]),
        (State.READY, "A", ["AUTH "]),
        (State.READY, "AUTH p", ["AUTH PLAIN"]),
        (State.READY, "MAIL f", ["MAIL FROM:<"]),
        (State.READY, "MAIL FROM:<al", ["MAIL FROM:<alice@example.com>"]),
        (
            State.READY,
            "MAIL FROM:<a@b.c> ",
            [
                "MAIL FROM:<a@b.c> SIZE=",
                "MAIL FROM:<a@b.c> RET=",
                "MAIL FROM:<a@b.c> ENVID=",
                "MAIL FROM:<a@b.c> AUTH=",
            ],
        ),
        (State.READY, "MAIL FROM:<a@b.c> RET=", ["MAIL FROM:<a@b.c> RET=FULL", "MAIL FROM:<a@b.c> RET=HDRS"]),
        (State.READY, "MAIL FROM:<a@b.c>", []),
        (State.MAIL, "RC", ["RCPT TO:<"]),
        (State.RCPT, "RCPT TO:<b", ["RCPT TO:<bob@example.com>"]),
        # What is there already is no way to go on.
        (State.MAIL, "RCPT TO:<", ["RCPT TO:<alice@example.com>", "RCPT TO:<bob@example.com>"]),
        (State.MAIL, "rcpt to:<b", ["rcpt to:<bob@example.com>"]),
        (State.MAIL, "RCPT t", ["RCPT TO:<"]),
        (State.RCPT, "RCPT TO:<b@c> n", ["RCPT TO:<b@c> NOTIFY="]),
        (State.RCPT, "B", []),
        (State.CONTENT, "D", []),
        (State.AUTH, "D", []),
        (State.CONTENT, ":st", [":starttls"]),
        (State.READY, ":auth L", [":auth LOGIN"]),
        (State.READY, ":help ch", [":help chunk"]),
        (State.READY, ":x", []),
    ],
)
def test_completion(state: State, text: str, expected: list[str]) -> None:
    assert ways(text, state) == expected


def test_what_is_most_likely_comes_first() -> None:
    assert ways("", State.GREETED)[0] == "EHLO "
    assert ways("", State.READY)[0] == "MAIL FROM:<"
    assert ways("", State.MAIL)[0] == "RCPT TO:<"
    assert ways("", State.RCPT)[0] == "DATA"


def test_extensions_that_are_not_offered_are_not_proposed() -> None:
    nothing = Capabilities("mail.example.com", "", {})
    assert not {"STARTTLS", "AUTH ", "ETRN ", "XCLIENT "} & set(ways("", State.READY, nothing))
    assert ways("MAIL FROM:<a@b.c> ", State.READY, nothing) == []


def test_lmtp_begins_with_lhlo() -> None:
    assert next(way.text for way in complete("", State.GREETED, None, lmtp=True)) == "LHLO "
    assert "LHLO " not in ways("", State.GREETED)


def test_each_helper_says_what_it_does() -> None:
    assert all(command.summary and not command.summary.endswith(".") for command in COMMANDS.values())
