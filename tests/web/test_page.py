"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Response, expect

from ehlo.lab import Lab, Policy
from ehlo.web.serving import WebServer
from web.conftest import Page, Watched


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


def test_no_name_turns_the_direction_of_writing(watched: Watched, page: Page) -> None:
    tab = watched.tab
    names = "Subject: =?utf-8?q?=E2=80=AEgnp.exe?=\r\nFrom: =?utf-8?q?=E2=80=AEann?= <a@here.example>\r\n"
    page.send(f"{names}To: =?utf-8?q?=E2=81=A6bob?= <b@here.example>\r\n\r\nhi \u202ethere\r\n".encode())
    row = tab.get_by_test_id("message-row")
    for name in (
        "\u2039U+202E\u203agnp.exe",
        "\u2039U+202E\u203aann",
        "\u2039U+2066\u203abob",
        "hi \u2039U+202E\u203athere",
    ):
        expect(row).to_contain_text(name)
    row.click()
    expect(tab.get_by_role("heading", name="\u2039U+202E\u203agnp.exe")).to_be_visible()
    for name in ("\u2039U+202E\u203aann <a@here.example>", "\u2039U+2066\u203abob <b@here.example>"):
        expect(tab.locator(".facts")).to_contain_text(name)


def test_what_programs_mark_and_tag_is_seen(watched: Watched, page: Page) -> None:
    id_ = page.send(b"Subject: one\r\n\r\n")
    tab = watched.tab
    row = tab.get_by_test_id("message-row")
    expect(row).to_contain_text("(unread)")
    page.http.put("/api/v1/messages", json={"IDs": [id_], "Read": True})
    expect(row).not_to_contain_text("(unread)")
    page.http.put("/api/v1/messages", json={"Read": False})
    expect(row).to_contain_text("(unread)")
    expect(tab).to_have_title("(1) ehlo lab")
    page.http.get(f"/api/v1/message/{id_}")
    expect(row).not_to_contain_text("(unread)")
    expect(tab).to_have_title("ehlo lab")
    row.click()
    expect(tab.get_by_test_id("tags")).to_be_hidden()
    page.http.put("/api/v1/tags", json={"IDs": [id_], "Tags": ["mine", "later"]})
    expect(tab.get_by_test_id("tags").locator(".tag")).to_have_text(["mine", "later"])
    expect(row.locator(".tag")).to_have_text(["mine", "later"])
    page.http.put("/api/v1/messages", json={"IDs": [id_], "Read": False})
    expect(tab.get_by_test_id("toggle-read")).to_have_text("Mark read")
    page.http.put("/api/v1/tags", json={"IDs": [id_], "Tags": []})
    expect(tab.get_by_test_id("tags")).to_be_hidden()


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


def test_a_session_of_a_hundred_messages_while_it_is_open(watched: Watched, page: Page) -> None:
    """Every line comes, once and in order; what is the same for many messages is folded."""
    tab = watched.tab
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example") as smtp:
        smtp.ehlo()
        tab.get_by_test_id("nav-sessions").click()
        tab.get_by_test_id("session-row").click()
        lines = tab.get_by_test_id("conversation").get_by_test_id("line")
        expect(lines.first).to_contain_text("220 mail.example.com ESMTP Postfix")
        before = len(watched.requests)
        for number in range(100):
            smtp.sendmail("a@here.example", [f"{number}@example.com"], f"Subject: {number}\r\n\r\nhi\r\n".encode())
            if number == 50:
                expect(tab.get_by_test_id("conversation")).to_contain_text("<50@example.com>")
    events = page.lab.sessions[-1].events
    expect(lines).to_have_count(len(events))
    expect(tab.locator("#session-head")).to_contain_text("delivered")
    said = [text for text in lines.locator(".said").all_text_contents() if text.startswith("rcpt TO")]
    assert said == [f"rcpt TO:<{number}@example.com>" for number in range(100)]
    expect(tab.get_by_test_id("to-message")).to_have_count(10)
    tab.get_by_test_id("unfold-messages").click()
    expect(tab.get_by_test_id("to-message")).to_have_count(100)
    expect(tab.locator("#session-head")).not_to_contain_text("99@example.com")
    tab.get_by_test_id("unfold-recipients").click()
    expect(tab.locator("#session-head")).to_contain_text("99@example.com")
    expect(tab.get_by_test_id("waterfall").locator("rect")).to_have_count(20)
    tab.get_by_test_id("unfold-steps").click()
    expect(tab.get_by_test_id("waterfall").locator("rect")).to_have_count(403)
    # The page asks for what is new, not for each line and not for everything again.
    asked = [url for url in watched.requests[before:] if "/events?start=" in url]
    starts = [int(url.partition("start=")[2].partition("&")[0]) for url in asked]
    assert starts == sorted(set(starts))
    expect(tab.get_by_test_id("session-row")).to_contain_text("100 messages")
    expect(tab.get_by_test_id("session-row")).to_contain_text("1 finding")


def test_a_single_step_is_not_folded(watched: Watched, page: Page) -> None:
    tab = watched.tab
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example") as smtp:
        for _ in range(19):
            smtp.noop()
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").click()
    expect(tab.get_by_test_id("waterfall").locator("rect")).to_have_count(21)
    expect(tab.get_by_test_id("unfold-steps")).to_have_count(0)


def test_a_long_session_is_shown_in_parts(watched: Watched, page: Page) -> None:
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example") as smtp:
        smtp.ehlo()
        for _ in range(1100):
            smtp.noop()
        # What the last finding is about is far down.
        smtp.docmd("RCPT TO:<a@b.example>")
    tab = watched.tab
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").click()
    lines = tab.get_by_test_id("conversation").get_by_test_id("line")
    expect(lines).to_have_count(1500)
    tab.get_by_test_id("finding").get_by_role("button").last.click()
    expect(lines).to_have_count(len(page.lab.sessions[-1].events))
    expect(lines.get_by_text("503 5.5.1")).to_be_in_viewport()
    expect(tab.get_by_test_id("more-lines")).to_have_count(0)


def test_who_is_not_named_in_the_message_is_named_by_the_envelope(watched: Watched, page: Page) -> None:
    page.send(b"Subject: x\r\n\r\n", to="q@b.example", sender="a@b.example")
    row = watched.tab.get_by_test_id("message-row")
    expect(row).to_contain_text("a@b.example")
    expect(row).to_contain_text("to q@b.example")
    page.send(b"Subject: y\r\n\r\n", to="q@b.example", sender="")
    expect(row.first).to_contain_text("<>")


def test_the_list_beside_a_session_knows_it(watched: Watched, page: Page) -> None:
    """Who comes to a session from its message finds it in the list."""
    tab = watched.tab
    tab.get_by_test_id("nav-sessions").click()
    expect(tab.get_by_text("No session yet.")).to_be_visible()
    tab.get_by_test_id("nav-messages").click()
    page.send()
    tab.get_by_test_id("message-row").click()
    tab.get_by_test_id("to-session").click()
    expect(tab.get_by_test_id("session-row")).to_have_count(1)
    expect(tab.get_by_text("No session yet.")).to_be_hidden()


def test_a_handshake_is_called_one(watched: Watched, page: Page) -> None:
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example") as smtp:
        smtp.starttls(context=page.lab.ssl_context())
    tab = watched.tab
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").first.click()
    steps = tab.get_by_test_id("waterfall").locator(".stage")
    expect(steps).to_have_text(["banner", "ehlo", "starttls", "handshake", "quit"])


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
    with tab.expect_response(
        lambda answer: answer.request.method == "PATCH" and answer.request.post_data == '{"enabled":true}'
    ):
        # The switch has moved before the lab knows.
        switch.click()
    expect(switch).to_be_checked()
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        page.send()
    tab.get_by_test_id("nav-sessions").click()
    tab.get_by_test_id("session-row").first.click()
    expect(tab.get_by_test_id("conversation")).to_contain_text("450 4.2.0")


def test_an_error_goes_when_a_fault_was_added(watched: Watched, page: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-faults").click()
    tab.get_by_test_id("fault-add").click()
    expect(tab.get_by_test_id("fault-error")).to_have_text("Say what the fault does: a reply, a delay or a close.")
    tab.get_by_test_id("fault-json").fill('{"stage": "rcpt", "do": {"reply": "450 4.2.0 Later"}}')
    tab.get_by_test_id("fault-json-add").click()
    expect(tab.get_by_test_id("fault-row")).to_have_count(1)
    expect(tab.get_by_test_id("fault-error")).to_be_empty()
    tab.get_by_test_id("fault-json").fill("{")
    tab.get_by_test_id("fault-json-add").click()
    expect(tab.get_by_test_id("fault-json-error")).to_contain_text("This is not JSON")
    tab.locator('[data-testid=preset][data-preset="greylist-once"]').click()
    expect(tab.get_by_test_id("fault-row")).to_have_count(2)
    expect(tab.get_by_test_id("fault-json-error")).to_be_empty()


def test_a_scenario_is_chosen(watched: Watched, page: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-faults").click()
    tab.locator('[data-testid=scenario-item][data-scenario="disk-full"]').click()
    expect(tab.get_by_test_id("fault-row")).to_contain_text("disk full")
    with pytest.raises(smtplib.SMTPSenderRefused, match="Insufficient"):
        page.send()


class Elsewhere:
    """A server that nobody may turn to. It counts connections: even one without a word tells that mail was read."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        self.said: list[bytes] = []

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.listen, args=(client,), daemon=True).start()

    def listen(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(30)
            if said := client.recv(200):
                self.said.append(said)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    # accept() does not notice that its socket was closed.
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(30)


#: All ways known to us in which HTML makes a browser fetch, send or run something. URL is another site, LAB this one.
RAN = "document.documentElement.dataset.ran = 1; top.document.title = 'taken'"
HOSTILE_HEAD = f"""
<base href="URL/base/">
<meta http-equiv="refresh" content="0; url=URL/refresh">
<meta http-equiv="set-cookie" content="a=b">
<script>{RAN}; fetch('URL/fetch')</script>
<script src="URL/script.js"></script><script type=module src="URL/m.js"></script>
<script type="speculationrules">{{"prefetch": [{{"source": "list", "urls": ["URL/spec"]}}],
 "prerender": [{{"source": "list", "urls": ["URL/spec"]}}]}}</script>
<link rel=stylesheet href="URL/style.css"><link rel=preload as=image href="URL/preload.png">
<link rel=prefetch href="URL/prefetch"><link rel=prerender href="URL/prerender">
<link rel=preconnect href="URL"><link rel=dns-prefetch href="URL">
<link rel=modulepreload href="URL/module.js"><link rel=icon href="URL/icon.png">
<link rel=manifest href="URL/manifest">
<style>@import "URL/import.css"; @font-face {{ font-family: f; src: url(URL/font.woff2) }}
body {{ font-family: f; background: url(URL/css.png); cursor: url(URL/cursor.png), auto }}
h1::before {{ content: url(URL/content.png) }} ul {{ list-style: url(URL/list.png) }}</style>
"""
HOSTILE_BODY = f"""
<h1>harmless text</h1><p style="background-image: url(URL/inline.png)">and more</p><ul><li>item</ul>
<img src="URL/pixel.gif" onerror="{RAN}"><img srcset="URL/set.png 1x"><img src="relative.png">
<picture><source srcset="URL/source.png"><img src="URL/fallback.png"></picture>
<video src="URL/video.mp4" poster="URL/poster.png" autoplay onerror="{RAN}"></video>
<audio src="URL/audio.mp3" autoplay></audio>
<svg onload="{RAN}"><image href="URL/svg.png"/><use href="URL/use.svg#x"/><script>{RAN}</script></svg>
<iframe src="URL/frame"></iframe><iframe srcdoc="<script>{RAN}</script><img src='URL/srcdoc.png'>"></iframe>
<iframe src="LAB/api/v1/message/latest"></iframe><iframe src="javascript:{RAN}"></iframe>
<object data="URL/object"></object><embed src="URL/embed"><table background="URL/table.png"><tr><td>x</table>
<input type=image src="URL/button.png"><input autofocus onfocus="{RAN}"><details open ontoggle="{RAN}">d</details>
<div><template shadowrootmode=open><img src="URL/shadow.png"></template></div>
<img src="LAB/api/v1/message/latest"><link rel=stylesheet href="LAB/static/style.css">
<form id=f action="URL/form" method=post><input name=a value=b><button id=post>post</button></form>
<form action="LAB/api/v1/faults" method=post enctype=text/plain>
<input name='{{"stage":"mail","do":{{"close":true}},"title":"' value='"}}'><button id=lab>lab</button></form>
<script>document.forms[0].submit()</script>
<a id=js href="javascript:{RAN}">js</a> <a id=away href="URL/link" ping="URL/ping">away</a>
<a id=top target=_top href="URL/top">top</a> <a id=blank target=_blank href="URL/blank">blank</a>
<a id=save download href="LAB/api/v1/messages">save</a>
"""


def hostile_mail(url: str, lab: str) -> bytes:
    head, body = (text.replace("URL", url).replace("LAB", lab) for text in (HOSTILE_HEAD, HOSTILE_BODY))
    mail = f"""\
Subject: <script>document.title='subject'</script><img src=x onerror=alert(1)>
From: "<b>Eve</b>" <eve@evil.example>
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><head>{head}</head><body onload="{RAN}">{body}</body></html>
"""
    return mail.replace("\n", "\r\n").encode()


def test_hostile_html_does_nothing(watched: Watched, page: Page, elsewhere: Elsewhere) -> None:
    tab = watched.tab
    id_ = page.send(hostile_mail(elsewhere.url, page.url))
    row = tab.get_by_test_id("message-row")
    # A hostile subject, and a hostile name, are text.
    expect(row).to_contain_text("<script>document.title='subject'</script><img src=x onerror=alert(1)>")
    expect(row).to_contain_text("<b>Eve</b>")
    row.click()
    expect(tab.get_by_test_id("toggle-read")).to_have_text("Mark unread")
    page.http.put("/api/v1/messages", json={"Read": False})

    answered: list[str] = []
    popups: list[object] = []

    def answer(response: Response) -> None:
        if response.status < 400:
            answered.append(response.url.removeprefix(page.url))

    tab.on("response", answer)
    tab.context.on("page", lambda popup: popups.append(popup))
    frame = tab.frame_locator("[data-testid=html-frame]")

    def open_html() -> None:
        tab.get_by_test_id("tab-text").click()
        tab.get_by_test_id("tab-html").click()
        expect(frame.get_by_text("harmless text")).to_be_visible()

    open_html()
    assert tab.get_by_test_id("html-frame").get_attribute("sandbox") == ""
    tab.wait_for_timeout(1500)
    assert elsewhere.connections == 0
    assert frame.locator("html[data-ran]").count() == 0
    for button in ("js", "away", "top", "blank", "save", "post", "lab"):
        open_html()
        frame.locator(f"#{button}").click(force=True, no_wait_after=True)
        tab.wait_for_timeout(300)
        # A link may have taken the frame, and nothing else, to a page that the browser did not load.
        assert frame.locator("html[data-ran]").count() == 0
    # For a link that was clicked the browser may have opened a connection, but not said a word.
    assert elsewhere.said == []
    assert tab.url == f"{page.url}/#/message/{id_}"
    assert popups == []
    assert "taken" not in tab.title()
    assert "subject" not in tab.title()
    assert tab.locator("script").count() == 1
    assert page.http.get("/api/v1/faults").json()["faults"] == []
    # Nothing in the frame was given anything by the lab either; opening a message would have marked it as read.
    assert page.http.get("/api/v1/messages").json()["messages"][0]["Read"] is False
    assert {url for url in answered if url.startswith(("/static", "/view", "/api/v1/message/"))} == {
        f"/view/{id_}.html"
    }
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


@pytest.mark.parametrize("width", [390, 1280])
def test_a_message_is_released_to_whom_one_says(browser: Browser, width: int) -> None:
    """Test mail is addressed to real people: they get it only if somebody writes their addresses down."""
    upstream = Lab(policy=Policy(any_recipient=True))
    with upstream.running() as real:
        lab = Lab()
        web = WebServer(lab, release=f"{real.host}:{real.port}")
        lab.companions.append(web)
        with lab.running() as thread:
            Page(thread, web).send(b"Subject: release me\r\n\r\nnow\r\n")
            tab = browser.new_page(viewport={"width": width, "height": 740})
            tab.goto(f"http://127.0.0.1:{web.port}/#/message/{thread.messages[0].id}")
            button, field = tab.get_by_test_id("release"), tab.get_by_label("Send it to")
            for _ in range(3):
                # However often it is clicked, it sends nothing.
                button.click()
                button.click()
            expect(field).to_be_hidden()
            button.press("Enter")
            expect(field).to_be_focused()
            expect(field).to_have_value("")
            assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            send = tab.get_by_test_id("release-send")
            box = send.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            assert width > 560 or box["height"] >= 44
            send.click()
            expect(tab.get_by_test_id("release-error")).to_have_text("Say whom the message is to be sent to.")
            field.press("Escape")
            expect(field).to_be_hidden()
            expect(button).to_be_focused()
            assert "#/message/" in tab.url
            assert real.messages == []
            button.press("Enter")
            tab.keyboard.type('me@here.example, "a, b"@here.example')
            tab.keyboard.press("Enter")
            expect(tab.locator("#notice")).to_have_text('Released to me@here.example, "a, b"@here.example.')
            expect(field).to_be_hidden()
            button.click()
            expect(field).to_have_value("")
            field.fill("you@here.example")
            send.click()
            expect(tab.locator("#notice")).to_have_text("Released to you@here.example.")
            tab.close()
        first, second = real.messages
    assert first.content == b"Subject: release me\r\n\r\nnow\r\n"
    assert [path.address for path in first.recipients] == ["me@here.example", '"a, b"@here.example']
    assert [path.address for path in second.recipients] == ["you@here.example"]


def test_who_was_refused_is_asked_again_alone(browser: Browser) -> None:
    with Lab(policy=Policy(any_recipient=True)).running() as real:
        lab = Lab()
        web = WebServer(lab, release=f"{real.host}:{real.port}")
        lab.companions.append(web)
        with lab.running() as thread:
            Page(thread, web).send()
            tab = browser.new_page()
            tab.goto(f"http://127.0.0.1:{web.port}/#/message/{thread.messages[0].id}")
            tab.get_by_test_id("release").click()
            field, error = tab.get_by_label("Send it to"), tab.get_by_test_id("release-error")
            field.fill("ann@here.example, bob@here.example")
            with real.fault("rcpt", recipient="bob@*", reply="450 4.2.0 Later"):
                tab.keyboard.press("Enter")
                expect(error).to_contain_text(
                    "took the message for ann@here.example, and refused it for bob@here.example"
                )
                expect(error).to_contain_text("450 4.2.0 Later")
                expect(field).to_have_value("bob@here.example")
            tab.keyboard.press("Enter")
            expect(tab.locator("#notice")).to_have_text("Released to bob@here.example.")
            tab.close()
        assert [[path.address for path in one.recipients] for one in real.messages] == [
            ["ann@here.example"],
            ["bob@here.example"],
        ]


def test_of_a_long_text_the_beginning_is_shown(watched: Watched, page: Page) -> None:
    tab = watched.tab
    page.send(b"Subject: long\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(100_000)))
    tab.get_by_test_id("message-row").click()
    tab.get_by_test_id("tab-text").click()
    panel = tab.get_by_role("tabpanel")
    for name, size in (("text", "1.1 MB"), ("source", "1.2 MB")):
        tab.get_by_test_id(f"tab-{name}").click()
        expect(panel.locator(".panel-bar")).to_contain_text(f"{size}, of which the beginning is shown")
        assert panel.locator("pre").evaluate("pre => pre.textContent.length") == 500_000
    tab.get_by_test_id("tab-text").click()
    tab.get_by_role("link", name="The whole text").click()
    tab.wait_for_url("**/view/*.txt")
    assert tab.evaluate("document.body.textContent.length") > 1_000_000
    tab.go_back()
    page.send(b"Subject: short\r\n\r\nhi\r\n")
    tab.get_by_test_id("message-row").filter(has_text="short").click()
    expect(tab.get_by_role("heading", name="short")).to_be_visible()
    tab.get_by_test_id("tab-text").click()
    expect(panel.locator(".panel-bar")).to_have_count(0)
    expect(panel).to_have_text("hi")


def test_a_lab_that_keeps_nothing_says_so(browser: Browser) -> None:
    lab = Lab(store=None)
    web = WebServer(lab)
    lab.companions.append(web)
    with lab.running():
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{web.port}/")
        expect(tab.get_by_test_id("empty")).to_contain_text("it was told to keep nothing")
        tab.get_by_test_id("nav-sessions").click()
        expect(tab.locator("#no-sessions")).to_contain_text("No session is kept.")
        expect(tab.locator("#notice")).to_be_hidden()
        tab.close()


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


def test_the_ends_of_a_list_from_anywhere(watched: Watched, page: Page) -> None:
    for number in range(3):
        page.send(f"Subject: number {number}\r\n\r\n".encode())
    tab = watched.tab
    rows = tab.get_by_test_id("message-row")
    expect(rows).to_have_count(3)
    for key, row in (("End", rows.last), ("Home", rows.first)):
        tab.reload()
        expect(rows).to_have_count(3)
        tab.keyboard.press(key)
        expect(row).to_be_focused()
    rows.first.press("Enter")
    tab.get_by_test_id("tab-text").focus()
    tab.keyboard.press("End")
    # Whoever reads a message means the message.
    expect(tab.get_by_test_id("tab-text")).to_be_focused()


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
