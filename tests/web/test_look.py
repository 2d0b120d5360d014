"""How the page looks and is used, measured in a real browser: contrast, the size of targets, columns, the keyboard."""

from __future__ import annotations

import itertools
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from web.conftest import Page, Watched

PHONE = {"width": 375, "height": 740}
DESK = {"width": 1280, "height": 800}

LETTER = b"""\
From: Ann <ann@here.example>
To: Bob <bob@example.com>, Carol <carol@example.com>
Subject: Quarterly figures and the agenda for Thursday
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

text
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename=figures.pdf

x
--b--
""".replace(b"\n", b"\r\n")


@pytest.fixture
def full(page: Page) -> Page:
    """A lab that has something of everything."""
    page.send(LETTER)
    with smtplib.SMTP(page.lab.host, page.lab.port, "localhost") as smtp:
        smtp.starttls(context=page.lab.ssl_context())
        for number in range(30):
            smtp.sendmail("a@here.example", [f"{number}@example.com"], b"Subject: x\r\n\r\nhi\r\n")
        smtp.docmd("RCPT TO:<a@b.example>")
    page.lab.fault("rcpt", reply="450 4.2.0 <{to}>: Recipient address rejected: Greylisted", times=1)
    page.lab.fault("mail", delay=0.1).enabled = False
    return page


def views(page: Page) -> Iterator[tuple[str, str]]:
    """All that the page can show: a hash, and a tab to choose there."""
    message = f"#/message/{page.lab.messages[0].id}"
    session = page.http.get("/api/v1/sessions").json()["sessions"][0]["number"]
    yield "#/messages", ""
    for tab in ("text", "headers", "source", "checks", "attachments"):
        yield message, f"tab-{tab}"
    yield "#/messages?q=nothing+has+this", ""
    yield "#/sessions", ""
    yield f"#/session/{session}", ""
    yield f"#/session/{session}", "unfold-messages"
    yield "#/faults", ""


def show(tab: Tab, page: Page, hash_: str, chosen: str) -> None:
    tab.goto(f"{page.url}/{hash_}")
    expect(tab.get_by_test_id("live")).to_have_text("connected")
    if chosen:
        tab.get_by_test_id(chosen).click()
    if hash_ == "#/faults":
        expect(tab.get_by_test_id("scenario-item").first).to_be_visible()
    elif "/session/" in hash_:
        expect(tab.get_by_test_id("finding").first).to_be_visible()
    tab.wait_for_timeout(250)


def opened(browser: Browser, size: dict[str, int], **options: Any) -> Tab:
    context = browser.new_context(viewport=size, **options)  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    return context.new_page()


#: All text that can be seen, with the contrast between it and what is behind it (WCAG 2.1, section 1.4.3).
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const colour = rgba(getComputedStyle(node).backgroundColor);
    if (colour[3] === 1 || !node.parentElement) return colour[3] === 1 ? colour : over(colour, [255, 255, 255, 1]);
    return over(colour, behind(node.parentElement));
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, node = text.parentElement;
    if (!text.data.trim() || node.closest(":disabled, .unseen, template, script, svg, [hidden]")) continue;
    const visible = node.checkVisibility({visibilityProperty: true, opacityProperty: true});
    if (!visible || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), back = behind(node), ink = over(rgba(style.color), back);
    const [a, b] = [luminance(ink), luminance(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${text.data.trim().slice(0, 40)}`);
  }
  return low;
}"""

#: What can be pressed and answers to less than 44 pixels (WCAG 2.5.5): a finger that is 21 off the middle misses it.
SMALL = """() => {
  const small = [];
  for (const node of document.querySelectorAll("a, button, input, select, textarea")) {
    if (node.disabled || node.closest(".skip, template, [hidden]")) continue;
    if (!node.checkVisibility() || !node.getClientRects().length) continue;
    node.scrollIntoView({block: "center", inline: "center"});
    const box = node.getClientRects()[0], x = box.x + box.width / 2, y = box.y + box.height / 2;
    const inside = (dx, dy) => {
      const hit = document.elementFromPoint(x + dx, y + dy);
      const label = hit && hit.closest("label");
      return hit && (node.contains(hit) || (label && label.contains(node)));
    };
    const narrow = box.width < 44 && !inside(21, 0) && !inside(-21, 0);
    const name = node.textContent.trim() || node.name || node.id;
    if (!inside(0, 21) || !inside(0, -21)) small.push(`${name}: ${box.width} x ${box.height}`);
    else if (narrow && node.type !== "checkbox") small.push(`${name} is narrow: ${box.width}`);
  }
  return small;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_text_can_be_read(browser: Browser, full: Page, scheme: str, size: dict[str, int]) -> None:
    tab = opened(browser, size, color_scheme=scheme)
    for view in views(full):
        show(tab, full, *view)
        assert tab.evaluate(CONTRAST) == [], view
    full.http.request("DELETE", "/api/v1/messages")
    show(tab, full, "#/messages", "")
    assert tab.evaluate(CONTRAST) == []
    tab.context.close()


def test_fingers_hit_what_they_aim_at(browser: Browser, full: Page) -> None:
    tab = opened(browser, PHONE, has_touch=True, is_mobile=True)
    for view in views(full):
        show(tab, full, *view)
        assert tab.evaluate(SMALL) == [], view
    full.http.request("DELETE", "/api/v1/messages")
    show(tab, full, "#/messages", "")
    assert tab.evaluate(SMALL) == []
    tab.context.close()


def test_on_a_phone_the_switches_come_first(browser: Browser, full: Page) -> None:
    tab = opened(browser, PHONE, has_touch=True, is_mobile=True)
    show(tab, full, "#/faults", "")
    switch = tab.get_by_test_id("fault-switch")
    expect(switch.first).to_be_in_viewport()
    expect(switch.last).to_be_in_viewport()
    # The scenarios scroll with the page, not in a box of their own; a button leads there.
    assert tab.evaluate(
        "document.querySelector('.scenarios').scrollHeight <= document.querySelector('.scenarios').clientHeight + 1"
    )
    tab.get_by_role("button", name="Choose another scenario").click()
    expect(tab.get_by_label("Filter scenarios")).to_be_focused()
    expect(tab.get_by_test_id("scenario-item").first).to_be_in_viewport()
    tab.context.close()


def test_a_row_of_tabs_shows_that_it_goes_on(browser: Browser, full: Page) -> None:
    tab = opened(browser, PHONE)
    show(tab, full, f"#/message/{full.lab.messages[0].id}", "tab-text")
    row = tab.get_by_role("tablist", name="Parts of the message")
    expect(row).to_have_class("tabs sideways behind")
    assert row.evaluate("(row) => getComputedStyle(row).maskImage") != "none"
    tab.get_by_test_id("tab-attachments").click()
    expect(row).to_have_class("tabs sideways before")
    expect(tab.get_by_test_id("tab-attachments")).to_be_in_viewport(ratio=1)
    tab.set_viewport_size(DESK)  # type: ignore[arg-type]
    expect(row).to_have_class("tabs sideways")
    tab.context.close()


def test_files_on_a_phone(browser: Browser, page: Page) -> None:
    """The lines of a long name are close together, and a size is on one line."""
    name = "a name that goes on and on until it is too long for a line.pdf"
    files = "".join(
        f'--b\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n{"x" * 5000}\r\n'
        for kind in ("application/pdf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    )
    id_ = page.send(f"Content-Type: multipart/mixed; boundary=b\r\n\r\n{files}--b--\r\n".encode())
    tab = opened(browser, PHONE)
    show(tab, page, f"#/message/{id_}", "tab-attachments")
    rows = tab.locator(".files-table tbody tr")
    expect(rows).to_have_count(2)
    lines = "(node) => { const range = document.createRange(); range.selectNodeContents(node); return "
    for row in rows.all():
        assert row.locator("td").nth(2).evaluate(lines + "range.getClientRects().length; }") == 1
        tops = row.locator("a").evaluate(lines + "[...range.getClientRects()].map((box) => box.top); }")
        assert all(after - before < 30 for before, after in itertools.pairwise(tops)), tops
        assert row.locator("a").bounding_box()["height"] >= 44  # type: ignore[index]
    assert rows.first.locator("td").nth(1).evaluate(lines + "range.getClientRects().length; }") == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.context.close()


@pytest.mark.parametrize("width", [375, 900, 1280])
def test_labels_of_a_row_are_level(browser: Browser, full: Page, width: int) -> None:
    tab = opened(browser, {"width": width, "height": 800})
    show(tab, full, "#/faults", "")
    boxes: list[list[float]] = tab.evaluate(
        """() => [...document.querySelectorAll(".fault-form .field")].map((field) => {
             const [label, control] = [...field.children].map((node) => node.getBoundingClientRect());
             return [label.y, control.y, control.height];
           })"""
    )
    for label, control, height in boxes:
        others = [box for box in boxes if abs(box[0] - label) < 12]
        assert all(box == [label, control, height] for box in others), boxes
    tab.context.close()


def focused(tab: Tab) -> str:
    name: str = tab.evaluate(
        "() => [document.activeElement].map((node) => node.dataset.testid || node.id || node.textContent.trim())[0]"
    )
    return name


def test_a_list_is_one_stop_of_the_tab_key(watched: Watched, full: Page) -> None:
    tab = watched.tab
    tab.get_by_test_id("nav-faults").click()
    expect(tab.get_by_test_id("scenario-item").nth(60)).to_be_attached()
    tab.get_by_label("Filter scenarios").focus()
    tab.keyboard.press("Tab")
    assert focused(tab) == "scenario-item"
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    items = tab.get_by_test_id("scenario-item")
    expect(items.nth(2)).to_be_focused()
    tab.keyboard.press("End")
    expect(items.last).to_be_focused()
    expect(items.last).to_be_in_viewport()
    tab.keyboard.press("Home")
    expect(items.first).to_be_focused()
    tab.keyboard.press("Tab")
    assert focused(tab) == "fault-switch"
    tab.keyboard.press("Shift+Tab")
    assert focused(tab) == "scenario-item"
    tab.get_by_test_id("nav-messages").click()
    expect(tab.get_by_test_id("message-row")).to_have_count(31)
    # What is not shown yet cannot have the focus.
    expect(tab.locator("#delete-all")).to_be_visible()
    tab.locator("#delete-all").focus()
    expect(tab.locator("#delete-all")).to_be_focused()
    tab.keyboard.press("Tab")
    assert focused(tab) == "message-row"
    tab.keyboard.press("Tab")
    assert focused(tab) == "detail"


def test_what_has_the_focus_can_be_seen(watched: Watched, full: Page) -> None:
    tab = watched.tab
    for hash_, _ in views(full):
        tab.goto(f"{full.url}/{hash_}")
        tab.locator("body").focus()
        for _ in range(25):
            tab.keyboard.press("Tab")
            seen = tab.evaluate(
                """() => { const node = document.activeElement, style = getComputedStyle(node);
                     const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                     return node === document.body || outlined; }"""
            )
            assert seen, (hash_, focused(tab))


def test_how_to_send_looks_like_a_link(watched: Watched, full: Page) -> None:
    tab = watched.tab
    button = tab.get_by_test_id("howto")
    colours = "(node) => [getComputedStyle(node).color, getComputedStyle(node).textDecorationLine]"
    assert button.evaluate(colours) == tab.locator(".where .scenario").evaluate(colours)
    button.click()
    heading = tab.get_by_role("heading", name="How to send mail here")
    expect(heading).to_be_visible()
    # It stays while mail comes in.
    full.lab.lab.faults.clear()
    full.send(b"Subject: meanwhile\r\n\r\n")
    expect(tab.get_by_test_id("message-row").first).to_contain_text("meanwhile")
    expect(heading).to_be_visible()
    tab.get_by_test_id("nav-sessions").click()
    expect(heading).to_be_hidden()
