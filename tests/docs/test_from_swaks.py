"""docs/from-swaks.md: every command line in its tables is run, and every option of swaks is in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from docs.examples import ROOT, run, world
from peers.fixtures import peer_program as peer_program

DOCUMENT = (ROOT / "docs" / "from-swaks.md").read_text("utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"`(ehlo [^`]+)`", DOCUMENT.split("## Where to")[1])))
#: What cannot go well in the world of the examples, by a word of the command line: the stage that says so.
REFUSED = {
    ":0": 2,  # stands for a port
    "unix:": 11,
    "pipe:": 11,
    "lmtp:": 14,
    "smtps:": 12,
    "--tls-on-connect": 12,
    "--prdr": 17,
    "--chunking": 20,
    "--smtputf8": 17,
    "--xclient-before-tls": 14,
    "--xclient-optional": 0,
    "--xclient ADDR": 14,
    "XCLIENT ADDR": 14,
    # This server takes the header for a command, which it refuses; from then on its answers are one behind.
    "--proxy 'v1": 15,
    "--proxy 'v2": 14,
    "EHLO\\r": 14,
    # The lab refuses these logins; without a transaction behind it, that is how far the session came.
    "XOAUTH2": 16,
    "SCRAM-SHA-256-PLUS": 16,
    "--authzid": 16,
}


def expected(command: str) -> int:
    return next((status for word, status in REFUSED.items() if word in command), 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_line_works(command: str, tmp_path: Path) -> None:
    with world(tmp_path), mock.patch("ehlo.cli.secret.sys.stdin.isatty", return_value=False, create=True):
        status, output = run(command)
    assert "bug in ehlo" not in output
    assert status == expected(command), output


@pytest.mark.peer
def test_no_option_of_swaks_is_missing(peer_program: object) -> None:
    swaks = peer_program("swaks")  # type: ignore[operator]
    manual = subprocess.run([swaks, "--help"], capture_output=True, text=True, timeout=60).stdout
    options = set(re.findall(r"^ {7,8}(-[-\w]+)(?=[ ,\n])", manual, re.MULTILINE))
    assert len(options) > 60
    table = DOCUMENT.replace("`, `-", " -")
    missing = {option for option in options if option not in table}
    assert missing == set()
