"""Which of several things that went wrong matters most, and what a verdict says of the others."""

from __future__ import annotations

import pytest

from ehlo.diagnosis.judge import judge
from ehlo.explain.paste import read_paste

BEGIN = "S: 220 mail.example.com ESMTP\nC: EHLO here.org\nS: 250 mail.example.com\n"
MAIL = "C: MAIL FROM:<a@here.org>\nS: 250 2.1.0 Ok\n"
END = "C: QUIT\nS: 221 2.0.0 Bye\n"
UNKNOWN = "C: RCPT TO:<x@example.com>\nS: 550 5.1.1 <x@example.com>: User unknown\n"
TAKEN = "C: RCPT TO:<x@example.com>\nS: 250 2.1.5 Ok\n"
MISSPELT = "C: RCPT TO x@example.com\nS: 501 5.5.4 Syntax: RCPT TO:<address>\n"
MISNAMED = "C: RCPT TO:<x@@example.com>\nS: 501 5.1.3 Bad recipient address syntax\n"
NO_COMMAND = "C: RCTP TO:<x@example.com>\nS: 500 5.5.2 Error: command not recognized\n"
NO_MAIL = "C: RCPT TO:<x@example.com>\nS: 503 5.5.1 Error: need MAIL command\n"
LATER = "C: DTAA\nS: 500 5.5.2 Error: command not recognized\n"


@pytest.mark.parametrize(
    ("session", "outcome", "rules"),
    [
        (MAIL + MISSPELT + UNKNOWN, "refused", ["recipient-unknown", "syntax-refused"]),
        (MAIL + MISNAMED + UNKNOWN, "refused", ["recipient-unknown", "recipient-syntax"]),
        (MAIL + NO_COMMAND + UNKNOWN, "refused", ["recipient-unknown", "command-unknown"]),
        (NO_MAIL + MAIL + UNKNOWN, "refused", ["recipient-unknown", "transaction-not-begun"]),
        (MAIL + UNKNOWN + LATER, "refused", ["recipient-unknown", "command-unknown"]),
        # A mistake that was put right decides nothing.
        (MAIL + MISSPELT + TAKEN, "accepted", ["syntax-refused"]),
        (MAIL + NO_COMMAND + TAKEN, "accepted", ["command-unknown"]),
        ("C: MAIL FRM:<a@here.org>\nS: 501 5.5.4 Syntax\n" + MAIL + TAKEN, "accepted", ["syntax-refused"]),
        # One that was not, does; and what is right for one recipient is not for another.
        (MAIL + MISSPELT, "refused", ["syntax-refused"]),
        (MAIL + NO_COMMAND, "refused", ["command-unknown"]),
        (MAIL + MISNAMED + TAKEN, "refused", ["recipient-syntax"]),
    ],
)
def test_a_mistake_that_was_put_right_is_not_what_matters(session: str, outcome: str, rules: list[str]) -> None:
    paste = read_paste(BEGIN + session + END)
    assert paste is not None
    verdict = judge(paste.transcript)
    assert (verdict.outcome, [finding.rule for finding in verdict.findings]) == (outcome, rules)


def test_what_is_said_again_and_again_is_one_finding() -> None:
    session = "".join(f"C: line {number}\nS: 500 5.5.2 unknown command\n" for number in range(3))
    paste = read_paste(BEGIN + MAIL + session + END)
    assert paste is not None
    (finding,) = judge(paste.transcript).findings
    assert (finding.rule, finding.evidence) == ("command-unknown", (5, 6, 7, 8, 9, 10))
