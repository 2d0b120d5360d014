"""Replies as people copy them, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.explain.case import explain_case
from ehlo.explain.replies import read_replies


@pytest.mark.parametrize(
    ("text", "code", "status", "rule"),
    [
        ("550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown", 550, "5.1.1", "recipient-unknown"),
        (
            "550-5.1.1 The email account that you tried to reach\n550 5.1.1 does not exist.",
            550,
            "5.1.1",
            "recipient-unknown",
        ),
        ("S: 554 5.7.1 <x@y.example>: Relay access denied", 554, "5.7.1", "relay-denied"),
        ("<** 450 4.2.0 <x@y.example>: Greylisted", 450, "4.2.0", "greylisted"),
        ("server said: 452 4.2.2 over quota", 452, "4.2.2", "mailbox-full"),
        ("5.2.2", 0, "5.2.2", "mailbox-full"),
        ("user unknown", 0, "", "recipient-unknown"),
        ("Diagnostic: #5.1.1 smtp; 550 No such user", 550, "5.1.1", "recipient-unknown"),
        ("b'535 5.7.8 Error: authentication failed'", 535, "5.7.8", "credentials-wrong"),
    ],
)
def test_a_reply(text: str, code: int, status: str, rule: str) -> None:
    (case,) = read_replies(text)
    assert (case.code, case.status) == (code, status)
    assert explain_case(case).rule == rule


def test_wrapped_lines_belong_together() -> None:
    (case,) = read_replies("550 5.7.1 Service unavailable; client host\n  blocked by a list")
    assert case.text == "5.7.1 Service unavailable; client host blocked by a list"


def test_several_replies() -> None:
    cases = read_replies("250 2.1.0 Ok\n550 5.1.1 User unknown\n250 2.0.0 Bye")
    assert [case.code for case in cases] == [250, 550, 250]


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("host mx said: 550 No (in reply to RCPT TO command)", "rcpt"),
        ("host mx said: 550 No (in reply to end of DATA command)", "message"),
        ("550 No (in reply to MAIL FROM command)", "mail"),
        ("host mx refused to talk to me: 554 No", "banner"),
        ("SMTP error after AUTH: 535 no", "auth"),
        ("550 No", None),
    ],
)
def test_where_it_was_said(text: str, stage: str | None) -> None:
    assert read_replies(text)[0].stage == stage


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for case in read_replies(text):
        finding = explain_case(case)
        assert finding.title


def test_nothing() -> None:
    assert read_replies(" \n ") == []


def test_a_long_text_is_no_reply_but_may_have_one() -> None:
    text = "A page about mail, with 2.1.0 in it.\n" * 40
    assert read_replies(text) == []
    (case,) = read_replies(f"{text}They said 5.7.1 relaying denied, and no more.\n{text}")
    assert (case.seen, case.status) == ("They said 5.7.1 relaying denied, and no more.", "5.7.1")
