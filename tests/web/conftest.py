"""A lab with its page, for all tests of this folder."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import httpx
import pytest

from ehlo.lab import Lab, Policy, RunningLab
from ehlo.web.serving import WebServer


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
