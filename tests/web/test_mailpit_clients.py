"""What was written for Mailpit's API works here by changing a port: two of its clients from npm ask for everything."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from peers.debian import cache_folder
from web.conftest import Page
from web.test_api import MULTIPART

SUBJECT = "number one"


@pytest.fixture
def answers(page: Page, tmp_path: Path) -> Any:
    modules = cache_folder() / "mailpit-api" / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / "mailpit-api").is_dir():
        pytest.skip("Node.js or mailpit-api is not there")
    page.send(MULTIPART.replace(b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", SUBJECT.encode()), to="bob@example.com")
    page.send(b"Subject: other\r\n\r\nx\r\n")
    page.send(b"Subject: third\r\n\r\nx\r\n")
    # Modules are looked for beside the program.
    (tmp_path / "node_modules").symlink_to(modules)
    program = tmp_path / "mailpit.mjs"
    program.write_bytes((Path(__file__).parent / "mailpit.mjs").read_bytes())
    done = subprocess.run([node, str(program), page.url, SUBJECT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_everything_that_mailpits_clients_ask_for(answers: Any) -> None:
    assert answers["info"]["Messages"] == 3
    assert answers["configuration"]["MessageRelay"]["Enabled"] is False
    assert [message["Subject"] for message in answers["list"]["messages"]] == ["third", "other", SUBJECT]
    assert answers["search"]["messages_count"] == 1
    summary = answers["summary"]
    assert (summary["From"]["Address"], summary["To"][0]["Address"]) == ("ann@here.example", "bob@example.com")
    assert summary["Text"].strip() == "the text"
    assert answers["latest"] == answers["list"]["messages"][0]["ID"]
    assert answers["headers"]["Subject"] == [SUBJECT]
    assert answers["part"] == "%PDF"
    assert answers["source"].startswith("From: ")
    assert "<b>html</b>" in answers["html"]
    assert answers["text"].strip() == "the text"
    assert answers["tags"] == ["mine"]
    assert answers["unread"] == 2
    assert answers["waited"] == summary["ID"]
    assert answers["afterOne"] == 1


def test_cypress(answers: Any) -> None:
    cypress = answers["cypress"]
    assert (cypress["all"], cypress["bySubject"], cypress["byTo"]) == (3, 1, 1)
    assert (cypress["subject"], cypress["from"], cypress["to"]) == (SUBJECT, "ann@here.example", ["bob@example.com"])
    assert cypress["attachments"] == ["report.pdf"]
    assert "<b>html</b>" in cypress["html"]
    assert cypress["text"].strip() == "the text"
    assert (cypress["read"], cypress["unread"]) == ("ok", 3)
    assert (cypress["afterSearch"], cypress["afterAll"]) == (2, 0)
