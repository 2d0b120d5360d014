"""The report page: one file that looks right, loads nothing, runs its one button alone, and has no secrets in it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.cli.main import main
from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of, judge, titles_of
from ehlo.diagnosis.verdict import Verdict
from ehlo.probe.experiments import Outcome, Trial, settled
from ehlo.report.finding import Cause
from ehlo.report.page import findings_page, postmaster_letter, session_page
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Header, Transcript

from .pages import page_of, session, words_of


class Tags(HTMLParser):
    """All tags and attributes of a page, and what its scripts are."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


def check_inert(page: str) -> None:
    """Nothing in a page is fetched, and nothing runs but the script that copies, which the policy names."""
    parser = Tags()
    parser.feed(page)
    for tag, attributes in parser.tags:
        assert tag not in ("iframe", "object", "embed", "link", "base", "form", "img")
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")]
    (script,) = parser.scripts
    assert script == (files("ehlo.report.page") / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (attributes["content"] for _, attributes in parser.tags if "http-equiv" in attributes)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert "url(" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)


def test_a_session() -> None:
    transcript = session(hostile=True)
    shown = redact(transcript)
    page = session_page(shown, judge(shown))
    check_inert(page)
    assert "wonderland" not in page
    assert "AGFsaWNlAHdvbmRlcmxhbmQ" not in page
    for text in (
        "The server has no mailbox for recipient@example.com",
        "Step by step",
        "The certificate",
        "Dear postmaster",
    ):
        assert text in page
    assert "&lt;script&gt;document.title" in page


def test_a_session_that_went_well() -> None:
    transcript = session()
    well = [event for event in transcript.events if event.stage != "rcpt"]
    page = session_page(transcript._replace(events=well), judge(transcript._replace(events=well)))
    assert "Dear postmaster" not in page
    check_inert(page)


@given(
    st.lists(
        st.builds(
            Event,
            st.floats(0, 9),
            st.sampled_from(["client", "server", "net"]),
            st.sampled_from(["line", "data", "tls", "error", "note", "close", "connect"]),
            st.sampled_from(["banner", "ehlo", "starttls", "mail", "rcpt", "quit"]),
            st.binary(max_size=40),
            st.none(),
            st.dictionaries(
                st.sampled_from(["message", "detail", "error", "version"]), st.text(max_size=20), max_size=2
            ),
        ),
        max_size=8,
    ),
    st.text(max_size=20),
)
def test_any_transcript_makes_an_inert_page(events: list[Event], target: str) -> None:
    transcript = Transcript(Header("client", 1e9, target), sorted(events, key=lambda event: event.t))
    verdict = judge(transcript)
    check_inert(session_page(transcript, verdict))
    check_inert(findings_page(target, target, [Cause(target, finding) for finding in verdict.findings]))


# What is in it.


def test_what_else_it_could_be_and_what_would_tell() -> None:
    page, verdict = page_of("rcpt", reply="550 5.7.1 Policy")
    words = words_of(page)
    assert len(verdict.findings[0].alternatives) > 2
    for rule, title in titles_of(verdict.findings[0].alternatives):
        assert f"{title} {rule}" in words
    assert "What would tell: --investigate , with the experiment recipients" in words
    assert "likely, not certain" in words


def test_whose_it_is_to_mend() -> None:
    page, _ = page_of("rcpt", reply="550 5.7.25 The sending address has no PTR record")
    assert "reputation · no-reverse-name · certain · for this side to mend" in words_of(page)
    assert "By the evidence it is this side that has to act" in words_of(page)


def test_a_reply_is_seen_as_it_stood() -> None:
    page, _ = page_of("rcpt", reply=["550 5.1.1 No such", "5.1.1 user"])
    assert "Seen 550-5.1.1 No such 550 5.1.1 user" in words_of(page)


def test_each_box_says_in_words_what_it_is() -> None:
    refused, _ = page_of("rcpt", reply="550 no")
    postponed, _ = page_of("rcpt", reply="450 4.2.0 later")
    cut, _ = page_of("rcpt", close=True, silent=True)
    well = words_of(session_page(*_well()))
    assert "✗ Refused " in words_of(refused)
    assert "! Also noticed" in words_of(refused)
    assert "✗ Refused for now" in words_of(postponed)
    assert "✗ Failed" in words_of(cut)
    assert "✓ All went well" in well


def _well() -> tuple[Transcript, Verdict]:
    transcript = session()
    transcript = transcript._replace(events=[event for event in transcript.events if event.stage != "rcpt"])
    return transcript, judge(transcript)


def test_what_experiments_proved() -> None:
    page, verdict = page_of("rcpt", reply="550 5.7.1 Policy")
    transcript = session()
    (finding,) = findings_of([Evidence("rcpt", (), error="helo-is-the-cause")])
    speaks = {"clear": True, "starttls": False, "tls": False}
    experiments = [
        Outcome("helo", "other names", (Trial("HELO x", True, "rcpt: 250"),), finding, names_the_cause=True),
        Outcome("recipients", "other recipients", (Trial("postmaster", False, "rcpt: 550 no"),)),
        Outcome("lists", "block lists", (), remark="the address is private"),
        Outcome("ports", "every port", (Trial("port 25", True, "in clear", speaks=speaks),)),
    ]
    page = session_page(transcript, settled(verdict, experiments), experiments)
    check_inert(page)
    words = words_of(page)
    assert "✗ The cause, as experiments proved The name that the client greets with" in words
    assert "✗ Refused A rule of the server is against this mail" in words
    # They have been made: nobody needs to be told to.
    assert "What would tell" not in words
    assert "✗ did not work: postmaster rcpt: 550 no This tells nothing new." in words
    assert "The address is private." in words
    assert "port in clear STARTTLS TLS from the start seen 25 ✓ yes – no – no in clear" in words


def test_a_log_says_how_often_when_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, page = tmp_path / "mail.log", tmp_path / "log.html"
    said = (
        "(host mx.example.net[192.0.2.99] said: 550 5.7.1 reverse name does not match or resolve (in reply to RCPT TO))"
    )
    log.write_text(
        "".join(
            f"2026-03-01T{hour:02}:31:07+00:00 mail postfix/smtp[5]: 4F2A1: to=<bob@example.net>, "
            f"relay=mx.example.net[192.0.2.99]:25, dsn=5.7.1, status=bounced {said}\n"
            for hour in (9, 11)
        )
    )
    assert main(["explain", str(log), "-q", "--html", str(page)]) == 0
    assert capsys.readouterr().out == ""
    text = page.read_text()
    check_inert(text)
    words = words_of(text)
    assert "2 × The name of the sending address does not lead back to it" in words
    assert "seen 2026-03-01 09:31 to 2026-03-01 11:31" in words
    assert "with mx.example.net (2 ×)" in words
    assert "mail to example.net (2 ×)" in words
    assert "It could also be The sending address has no name in the DNS (PTR record) no-reverse-name" in words
    assert "Seen 550 5.7.1 reverse name does not match or resolve" in words
    assert "Lines of the log 1 2026-03-01T09:31:07+00:00 mail postfix/smtp[5]" in words


def test_an_answer_that_is_none_of_a_failure(tmp_path: Path) -> None:
    page = tmp_path / "reply.html"
    assert main(["explain", "250 2.1.5 Ok", "-q", "--html", str(page)]) == 0
    assert "✓ All went well 250 2.1.5 Ok" in words_of(page.read_text())


def test_starttls_and_the_greeting_have_the_same_code_and_not_the_same_meaning() -> None:
    page, _ = page_of("rcpt", reply="550 no")
    titles = {
        html.unescape(said): html.unescape(title)
        for title, said in re.findall(r'<summary title="([^"]*)">.*?<code>(.*?)</code>', page)
    }
    assert titles["220 2.0.0 Ready to start TLS"] == "Ready to start TLS"
    assert titles["220 mail.example.com ESMTP Postfix"] == "Service ready"


# The letter.


def test_the_letter_says_when_where_and_what() -> None:
    transcript = redact(session())
    letter = postmaster_letter(transcript, judge(transcript))
    assert "UTC" in letter
    assert "RCPT TO:<recipient@example.com>" in letter
    assert "550 5.1.1" in letter
    assert "250-PIPELINING" not in letter
    assert "wonderland" not in letter


@pytest.mark.parametrize(
    ("stage", "words", "says"),
    [
        ("rcpt", {"reply": "550 no"}, "refused the recipient (RCPT)."),
        ("rcpt", {"reply": "450 later"}, "refused the recipient (RCPT), for now."),
        ("mail", {"reply": "550 no"}, "refused the sender (MAIL)."),
        ("banner", {"reply": "554 no"}, "turned us away in its greeting."),
        ("rcpt", {"silent": True, "close": True}, "failed at the stage rcpt, without an answer that says why."),
    ],
)
def test_the_letter_says_what_the_server_did(stage: str, words: dict[str, Any], says: str) -> None:
    page, _ = page_of(stage, **words)
    assert says in words_of(page)
    assert "did not come to its end" not in page
