"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import smtplib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright
from playwright.sync_api import Page as Tab

from ehlo.lab import Lab, Policy
from ehlo.web.serving import WebServer
from web.conftest import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

HOSTILE_HTML = b"""\
Subject: <script>document.title='subject'</script><img src=x onerror=alert(1)>
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><head><meta http-equiv="refresh" content="0; url=http://127.0.0.1:1/refresh">
<script>parent.document.title = 'taken'; fetch('http://127.0.0.1:1/fetch')</script>
<link rel=stylesheet href="http://127.0.0.1:1/style.css"></head>
<body onload="document.title='loaded'"><h1>harmless text</h1>
<img src="http://127.0.0.1:1/pixel.gif"><iframe src="http://127.0.0.1:1/frame"></iframe>
<form action="http://127.0.0.1:1/form" method=post><input name=a value=b><button id=go>go</button></form>
<script>document.forms[0].submit()</script>
<a href="javascript:alert(1)">link</a></body></html>
""".replace(b"\n", b"\r\n")


expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


class Watched:
    """A tab whose requests and complaints are kept."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url
        self.requests: list[str] = []
        self.errors: list[str] = []
        tab.on("request", lambda request: self.requests.append(request.url))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))

    def elsewhere(self) -> list[str]:
        """Requests to anything but the lab."""
        return [url for url in self.requests if not url.startswith((self.url, "data:", "about:"))]


@pytest.fixture
def watched(browser: Browser, page: Page) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    watched = Watched(context.new_page(), page.url)
    watched.tab.goto(page.url + "/")
    expect(watched.tab.get_by_test_id("live")).to_have_text("connected")
    yield watched
    assert not watched.errors
    assert not watched.elsewhere()
    context.close()


def test_the_empty_state_shows_how_to_send(watched: Watched, page: Page) -> None:
    empty = watched.tab.get_by_test_id("empty")
    expect(empty).to_be_visible()
    for language in ("ehlo", "python", "node", "php", "java", "go"):
        watched.tab.get_by_test_id(f"howto-{language}").click()
        expect(empty).to_contain_text(str(page.lab.port))


def test_a_mail_arrives_while_the_page_is_open(watched: Watched, page: Page) -> None:
    tab = watched.tab
    page.send(b"Subject: just now\r\nFrom: Ann <ann@here.example>\r\n\r\nthe text of it\r\n")
    row = tab.get_by_test_id("message-row")
    expect(row).to_contain_text("just now")
    row.click()
    tab.get_by_test_id("tab-text").click()
    expect(tab.get_by_text("the text of it").last).to_be_visible()
    tab.get_by_test_id("tab-source").click()
    expect(tab.get_by_text("From: Ann <ann@here.example>").last).to_be_visible()
    tab.get_by_test_id("tab-checks").click()
    expect(tab.get_by_text("No Date field", exact=True)).to_be_visible()


def test_a_session_line_by_line(watched: Watched, page: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-sessions").click()
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example") as smtp:
        smtp.ehlo()
        row = tab.get_by_test_id("session-row")
        expect(row).to_have_count(1)
        row.click()
        lines = tab.get_by_test_id("conversation").get_by_test_id("line")
        expect(lines.first).to_contain_text("220 mail.example.com ESMTP Postfix")
        smtp.mail("live@here.example")
        expect(tab.get_by_test_id("conversation")).to_contain_text("live@here.example")
    expect(tab.get_by_test_id("waterfall")).to_be_visible()
    expect(tab.get_by_test_id("finding").first).to_contain_text("STARTTLS")
    with tab.expect_download() as download:
        tab.get_by_test_id("transcript").click()
    assert download.value.suggested_filename.endswith(".jsonl")


def test_a_fault_is_switched_on_here_and_the_next_session_shows_it(watched: Watched, page: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-faults").click()
    tab.locator('[data-testid=preset][data-preset="greylist-once"]').click()
    expect(tab.get_by_test_id("fault-row")).to_have_count(1)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        page.send()
    expect(tab.get_by_test_id("fault-row")).to_contain_text("1")
    page.send()
    switch = tab.get_by_test_id("fault-switch")
    switch.click()
    expect(switch).not_to_be_checked()
    switch.click()
    expect(switch).to_be_checked()
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        page.send()
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").first.click()
    expect(tab.get_by_test_id("conversation")).to_contain_text("450 4.2.0")


def test_a_scenario_is_chosen(watched: Watched, page: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-faults").click()
    tab.locator('[data-testid=scenario-item][data-scenario="disk-full"]').click()
    expect(tab.get_by_test_id("fault-row")).to_contain_text("disk full")
    with pytest.raises(smtplib.SMTPSenderRefused, match="Insufficient"):
        page.send()


@pytest.fixture
def elsewhere() -> Iterator[list[str]]:
    """A server that nobody may ask for anything: what was asked all the same. Its port is the first entry."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked.append(str(server.server_port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield asked
    server.shutdown()
    server.server_close()


def test_hostile_html_does_nothing(watched: Watched, page: Page, elsewhere: list[str]) -> None:
    tab = watched.tab
    page.send(HOSTILE_HTML.replace(b"127.0.0.1:1/", b"127.0.0.1:" + elsewhere[0].encode() + b"/"))
    row = tab.get_by_test_id("message-row")
    # A hostile subject is text.
    expect(row).to_contain_text("<script>document.title='subject'</script><img src=x onerror=alert(1)>")
    row.click()
    tab.get_by_test_id("tab-html").click()
    frame = tab.frame_locator("[data-testid=html-frame]")
    expect(frame.get_by_text("harmless text")).to_be_visible()
    handle = tab.get_by_test_id("html-frame")
    assert handle.get_attribute("sandbox") == ""
    frame.locator("#go").click()
    tab.wait_for_timeout(1500)
    expect(frame.get_by_text("harmless text")).to_be_visible()
    assert "taken" not in tab.title()
    assert "subject" not in tab.title()
    assert tab.locator("script").count() == 1
    assert elsewhere[1:] == []
    # What the browser refused to fetch counts as asked for by the tab, but never left it.
    watched.requests.clear()


def test_a_hostile_greeting_is_text(watched: Watched, page: Page) -> None:
    greeting = "220 <b onmouseover=alert(1)>x</b>\x1b[2J<script>document.title='y'</script>\r\n"
    page.lab.fault("banner", raw=greeting)
    page.send()
    tab = watched.tab
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").first.click()
    expect(tab.get_by_test_id("line").first).to_contain_text("<b onmouseover=alert(1)>x</b>")
    assert tab.title() != "y"
    assert tab.locator("b[onmouseover]").count() == 0


def test_a_message_is_released_after_a_question(browser: Browser) -> None:
    upstream = Lab(policy=Policy(any_recipient=True))
    with upstream.running() as real:
        lab = Lab()
        web = WebServer(lab, release=f"{real.host}:{real.port}")
        lab.companions.append(web)
        with lab.running() as thread:
            Page(thread, web).send(b"Subject: release me\r\n\r\nnow\r\n")
            tab = browser.new_page()
            tab.goto(f"http://127.0.0.1:{web.port}/#/message/{thread.messages[0].id}")
            button = tab.get_by_test_id("release")
            button.click()
            expect(button).to_have_text("Really send it to recipient@example.com?")
            assert real.messages == []
            button.click()
            expect(button).to_have_text("Released")
            tab.close()
        (message,) = real.messages
    assert message.content == b"Subject: release me\r\n\r\nnow\r\n"
    assert [path.address for path in message.recipients] == ["recipient@example.com"]


def test_by_keyboard(watched: Watched, page: Page) -> None:
    for number in range(3):
        page.send(f"Subject: number {number}\r\n\r\n".encode())
    tab = watched.tab
    expect(tab.get_by_test_id("message-row")).to_have_count(3)
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(f"{page.url}/#/message/{page.lab.messages[1].id}")
    expect(tab.get_by_test_id("tab-text")).to_be_visible()
    tab.keyboard.press("d")
    expect(tab.get_by_test_id("message-row")).to_have_count(2)
    tab.keyboard.press("/")
    tab.keyboard.type("subject:0")
    expect(tab.get_by_test_id("message-row")).to_have_count(1)
    tab.keyboard.press("Escape")
    tab.keyboard.press("?")
    expect(tab.locator("dialog[open]")).to_be_visible()


def test_everything_is_deleted_after_a_question(watched: Watched, page: Page) -> None:
    page.send()
    tab = watched.tab
    tab.get_by_test_id("delete-all").click()
    tab.get_by_test_id("confirm-delete").click()
    expect(tab.get_by_test_id("empty")).to_be_visible()
    assert page.lab.messages == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits(browser: Browser, page: Page, width: int, scheme: str) -> None:
    page.send(b"Subject: " + b"long " * 60 + b"\r\n\r\n" + b"x" * 900 + b"\r\n")
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = context.new_page()
    number = page.http.get("/api/v1/sessions").json()["sessions"][0]["number"]
    for view in ("#/messages", f"#/message/{page.lab.messages[0].id}", "#/sessions", f"#/session/{number}", "#/faults"):
        tab.goto(f"{page.url}/{view}")
        tab.wait_for_load_state("load")
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view
    context.close()


def test_another_site_cannot_use_it(browser: Browser, page: Page) -> None:
    """A page from elsewhere: neither a form nor a script of its reaches the lab."""
    page.send()
    context = browser.new_context()
    tab = context.new_page()
    tab.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body="<body></body>"))
    tab.goto("http://evil.example/")
    for options in ("{method: 'DELETE'}", "{method: 'PUT', body: '{}', mode: 'no-cors'}", "{}"):
        with pytest.raises(Error):
            tab.evaluate(f"fetch('{page.url}/api/v1/messages', {options}).then(answer => answer.text())")
    tab.evaluate(
        f"() => new Promise(done => {{ const f = document.createElement('form'); f.action='{page.url}/api/v1/faults';"
        "f.method='post'; f.target='hidden'; const i = document.createElement('iframe'); i.name='hidden';"
        "document.body.append(i, f); i.onload = done; f.submit(); })"
    )
    assert page.http.get("/api/v1/faults").json()["faults"] == []
    assert len(page.lab.messages) == 1
    context.close()
