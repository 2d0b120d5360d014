"""The report page in Debian's Chromium: at a desk and on a phone, in light and dark, by keyboard, aloud, on paper."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ehlo.diagnosis.judge import judge
from ehlo.probe.experiments import Outcome, Trial
from ehlo.report.page import session_page
from ehlo.transcript.redaction import redact

from .pages import session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LAST_LINE = "Could you please look why, and tell what should be changed?"
PHONE, DESK = 375, 1280


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
    trials = (Trial("postmaster", False, "y" * 300), Trial("an invented address", True, "rcpt: 250 2.1.5 Ok"))
    page = session_page(shown, judge(shown), [Outcome("recipients", "other recipients", trials)])
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, "utf-8")
    return path


@pytest.fixture(params=[(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")], ids=str)
def tab(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The report in a window, which is asked for nothing else and complains of nothing."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    yield page
    assert asked == [report.as_uri()]
    assert complaints == []
    context.close()


def test_it_fits_the_window(tab: Page) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.title().startswith("ehlo check")
    expect(tab.get_by_role("heading", name="The server has no mailbox")).to_be_visible()
    outside = tab.evaluate(
        "[...document.querySelectorAll('main *:not(.unseen):not(rect)')].filter(each => {"
        " const box = each.getBoundingClientRect(); return box.width && (box.left < 0 || box.right > innerWidth); })"
        ".map(each => each.outerHTML.slice(0, 80))"
    )
    assert outside == []


def test_it_is_dark_in_the_dark(tab: Page) -> None:
    dark = tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper, ink = tab.evaluate(
        "(({backgroundColor, color}) => [backgroundColor, color].map(each => each.match(/[0-9]+/g).map(Number)))"
        "(getComputedStyle(document.body))"
    )
    assert (sum(paper) < sum(ink)) == dark


def test_every_step_shows_its_bar_and_its_time(tab: Page) -> None:
    steps = tab.locator("#steps li")
    assert steps.count() >= 6
    for number in range(steps.count()):
        expect(steps.nth(number).locator(".took")).to_have_text(re.compile(r"^(<1|[0-9.]+) (ms|s)$"))
    boxes = tab.evaluate(
        "[...document.querySelectorAll('#steps svg, #steps .took')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.left, box.right, box.height])"
    )
    width = tab.evaluate("innerWidth")
    assert all(0 <= left < right <= width and height > 0 for left, right, height in boxes)


def test_a_line_is_explained_by_hovering_and_by_the_keyboard(tab: Page) -> None:
    line = tab.locator("details.line", has_text="MAIL FROM").first
    assert line.locator("summary").get_attribute("title") == "names the sender, who gets error reports"
    expect(line.locator("p")).to_be_hidden()
    line.locator("summary").focus()
    tab.keyboard.press("Enter")
    expect(line.locator("p")).to_be_visible()
    line.locator("summary").click()
    expect(line.locator("p")).to_be_hidden()


def test_the_line_that_says_no_is_marked(tab: Page) -> None:
    (refused,) = tab.locator(".line.bad").all()
    expect(refused).to_contain_text("550 5.1.1")
    expect(refused.locator(".wrong")).to_have_text("✗")
    # Whoever hears the page hears it, too.
    expect(refused.locator("summary")).to_contain_text("the server: ✗refused: 550 5.1.1")
    colours = tab.evaluate(
        "[...document.querySelectorAll('.line.server .said code')].map(each => getComputedStyle(each).color)"
    )
    assert len(set(colours)) == 2


def test_words_are_not_broken(tab: Page) -> None:
    name = tab.get_by_role("rowheader", name="postmaster")
    lines = name.evaluate(
        "each => { const text = document.createRange(); text.selectNodeContents(each);"
        " return text.getClientRects().length; }"
    )
    assert lines == 1


def test_the_letter_is_whole_and_can_be_copied(tab: Page) -> None:
    letter = tab.locator("#letter-text")
    assert letter.evaluate("each => each.scrollHeight <= each.clientHeight + 1 && each.scrollWidth <= each.clientWidth")
    expect(letter).to_contain_text(LAST_LINE)
    tab.get_by_role("button", name="Copy").click()
    expect(tab.get_by_role("status")).to_have_text("Copied.")
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied == letter.text_content()
    assert copied.startswith("Dear postmaster,\n")


def test_headings_in_order_and_landmarks(tab: Page) -> None:
    levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for role in ("main", "banner", "contentinfo"):
        assert tab.get_by_role(role).count() == 1
    for name in ("Verdict", "Step by step", "The conversation", "The certificate", "Experiments"):
        assert tab.get_by_role("region", name=name).count() == 1


def text_of(pdf: Path) -> str:
    """The text of a PDF, by what can read one."""
    if program := shutil.which("pdftotext"):
        return subprocess.run([program, "-layout", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    pypdf = pytest.importorskip("pypdf", reason="peer missing: neither pdftotext nor pypdf")
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(pdf).pages)


def test_printed(browser: Browser, report: Path, tmp_path: Path) -> None:
    tab = browser.new_page()
    tab.goto(report.as_uri())
    pdf = tmp_path / "report.pdf"
    tab.pdf(path=str(pdf), format="A4")
    printed = re.sub(r"\s+", " ", text_of(pdf))
    for words in (
        LAST_LINE,
        "Dear postmaster,",
        "names the sender, who gets error reports",
        "550 5.1.1",
        "221 2.0.0 Bye",
    ):
        assert words in printed
    assert "Copy" not in printed
    tab.close()
