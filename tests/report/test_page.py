"""The report page: one file that looks right, loads nothing, runs nothing, and has no secrets in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect, sync_playwright

from ehlo.diagnosis.judge import judge
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import make_fault
from ehlo.net.blocking import run
from ehlo.probe.experiments import Outcome, Trial
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.report.page import findings_page, postmaster_letter, session_page
from ehlo.smtp.address import parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Header, Transcript

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "220 <script>document.title='x'</script><img src=http://127.0.0.1:1/ onerror=alert(1)>\x1b[2J\u202e"


def session(**words: Any) -> Transcript:
    """A session in which the recipient is refused, with a login."""
    policy = Policy(users={"alice": "wonderland"}, mailboxes=frozenset({"other@example.com"}))
    faults = [make_fault("banner", "", {"raw": HOSTILE + "\r\n"})] if words.get("hostile") else []
    with Lab(policy=policy, faults=faults).running() as lab:
        plan = Plan(
            parse_target(f"{lab.host}:{lab.port}"),
            helo="client.example",
            sender=parse_path("<me@here.example>"),
            recipients=(parse_path("<recipient@example.com>"),),
            credentials=Credentials("alice", "wonderland"),
            insecure=True,
        )
        client = client_session(plan)
        run(client)
    return client.recorder.transcript


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


def check_inert(page: str) -> None:
    """Nothing in a page runs or is fetched."""
    for tag, attributes in tags_of(page):
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "img")
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")]
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
        "Where the time went",
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
    check_inert(findings_page(target, target, [(target, finding) for finding in verdict.findings]))


def test_the_letter_says_when_where_and_what() -> None:
    transcript = redact(session())
    letter = postmaster_letter(transcript, judge(transcript))
    assert "UTC" in letter
    assert "RCPT TO:<recipient@example.com>" in letter
    assert "550 5.1.1" in letter
    assert "250-PIPELINING" not in letter
    assert "wonderland" not in letter


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shown = redact(session(hostile=True))
    experiments = [Outcome("helo", "other names", (Trial("HELO x", True, "y" * 300),))]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(session_page(shown, judge(shown), experiments), "utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_in_a_browser(browser: Browser, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert complaints == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    expect(tab.get_by_role("heading", name="The server has no mailbox")).to_be_visible()
    line = tab.locator("details.line", has_text="MAIL FROM").first
    line.locator("summary").focus()
    tab.keyboard.press("Enter")
    expect(line.locator("p")).to_be_visible()
    colours = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert (colours[0] == "rgb(255, 255, 255)") == (scheme == "light")
    assert tab.title().startswith("ehlo check")
    assert tab.get_by_role("img").count() == 1
    context.close()


def test_printed(browser: Browser, report: Path) -> None:
    tab = browser.new_page()
    tab.goto(report.as_uri())
    tab.emulate_media(media="print")
    assert tab.pdf()[:5] == b"%PDF-"
    expect(tab.get_by_text("Dear postmaster")).to_be_visible()
    tab.close()
