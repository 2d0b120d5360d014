"""A lab with its page, and a browser that looks at it, for all tests of this folder."""

from __future__ import annotations

import shutil
import smtplib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from ehlo.lab import Lab, Policy, RunningLab
from ehlo.web.serving import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Page:
    """A lab that runs, and a client of its API."""

    def __init__(self, lab: RunningLab, web: WebServer) -> None:
        self.lab = lab
        self.web = web
        self.url = f"http://127.0.0.1:{web.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def send(
        self,
        message: bytes = b"Subject: hello\r\n\r\nhi\r\n",
        to: str = "recipient@example.com",
        sender: str = "a@here.example",
    ) -> str:
        """Deliver a message; gives its id."""
        with smtplib.SMTP(self.lab.host, self.lab.port, "client.example", timeout=30) as smtp:
            smtp.sendmail(sender, [to], message)
        return self.lab.messages[-1].id


@pytest.fixture(scope="module")
def running() -> Iterator[Page]:
    lab = Lab(policy=Policy(any_recipient=True, users={"alice": "wonderland"}, auth_in_clear=True))
    web = WebServer(lab)
    lab.companions.append(web)
    with lab.running() as thread:
        yield Page(thread, web)


@pytest.fixture
def page(running: Page) -> Page:
    running.lab.reset()
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
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
    """A tab with the page, which asks nobody else for anything and has no complaint."""
    from playwright.sync_api import expect

    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    watched = Watched(context.new_page(), page.url)
    watched.tab.goto(page.url + "/")
    expect(watched.tab.get_by_test_id("live")).to_have_text("connected")
    yield watched
    assert not watched.errors
    assert not watched.elsewhere()
    context.close()
