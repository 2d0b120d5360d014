"""docs/from-swaks.md: every command line in its tables is seen to work, and every option of swaks is in them.

What the lab of the other documents does not offer, this one does; and what a line is about must be seen on the wire.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from docs.examples import POLICY, ROOT, run, world
from docs.relay import make_command, unix_socket
from ehlo.lab import RunningLab
from ehlo.lab.lab import Door
from ehlo.smtp.sasl.server import SERVER_MECHANISMS
from peers.fixtures import peer_program as peer_program

DOCUMENT = (ROOT / "docs" / "from-swaks.md").read_text("utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"`(ehlo [^`]+)`", DOCUMENT.split("## Where to")[1])))
#: A lab that offers EXTERNAL asks for certificates, and takes none but its own.
SERVER = POLICY._replace(
    xclient=True,
    mechanisms=tuple(name for name in SERVER_MECHANISMS if name != "EXTERNAL"),
    extensions=("CHUNKING", "BINARYMIME", "SMTPUTF8", "PRDR"),
)
#: What is refused because it is about what a server refuses: a word of the command line, and the exit status.
WRONG_ON_PURPOSE = {"--instead": 14}
#: What the server must have seen of a line: a word of the command line, and what stands in the session.
SEEN = {
    "mx:": "EHLO",
    "unix:": "QUIT",
    "pipe:": "QUIT",
    "lmtp:": "LHLO",
    "smtps:": "TLSv1",
    "--tls-on-connect": "TLSv1",
    "--cc": "Cc: postmaster@example.com",
    "--stop-after mail": "MAIL FROM",
    "--starttls require": "TLSv1",
    "--auth LOGIN": "AUTH LOGIN",
    "--auth XOAUTH2": "AUTH XOAUTH2",
    "--auth SCRAM-SHA-256-PLUS": "AUTH SCRAM-SHA-256-PLUS",
    "--user": "235",
    "--prdr": "PRDR",
    "--chunking": "BDAT",
    "--smtputf8": "SMTPUTF8",
    "--ret": "RET=HDRS",
    "--notify": "NOTIFY=SUCCESS,FAILURE",
    "--xclient ADDR": "XCLIENT ADDR=192.0.2.1",
    "'XCLIENT ADDR": "XCLIENT ADDR=192.0.2.1",
    "--proxy 'v1 192": "PROXY TCP4 192.0.2.1 192.0.2.10 4711 25",
    "--proxy 'v2 [": "PROXY TCP6 2001:db8::1 2001:db8::2 4711 25",
    "--proxy 'v2 local": "PROXY LOCAL",
    "--proxy 'v1 unknown": "PROXY UNKNOWN",
    "ehlo send": "250 2.0.0 Ok: queued",
}


def of(table: Mapping[str, str | int], command: str) -> list[str | int]:
    """The entries of a table that are for a command line."""
    return [entry for word, entry in table.items() if word in command]


def doors(command: str) -> dict[int, Door]:
    """Which port of the server is behind which door."""
    return {465: "smtps", 24: "lmtp", 25: "proxy" if "--proxy" in command else "smtp"}


def all_have_ended(lab: RunningLab) -> bool:
    return not any(map(lab.lab.is_running, range(1, lab.lab.session_count + 1)))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_line_works(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with (
        world(tmp_path, SERVER, doors(command)) as lab,
        unix_socket(tmp_path / "run" / "mail.sock", lab.port),
        mock.patch("ehlo.cli.secret.sys.stdin.isatty", return_value=False, create=True),
    ):
        make_command(tmp_path / "bin" / "exim", lab.port, "-bs")
        status, output = run(command)
        assert lab.lab.wait_until(lambda: all_have_ended(lab), 30)
        session = "\n".join(
            f"{event.text} {' '.join(map(str, event.facts.values()))}"
            for transcript in lab.sessions
            for event in transcript.events
        )
    assert "bug in ehlo" not in output
    wrong = of(WRONG_ON_PURPOSE, command)
    assert status == (wrong[0] if wrong else 0), output
    # A question that is refused is no failure, but no line of these is about that; old versions of TLS are refused.
    assert ("✗" in output.partition("TLS versions")[0]) == bool(wrong)
    for seen in of(SEEN, command):
        assert str(seen) in session


@pytest.mark.peer
def test_no_option_of_swaks_is_missing(peer_program: object) -> None:
    swaks = peer_program("swaks")  # type: ignore[operator]
    manual = subprocess.run([swaks, "--help"], capture_output=True, text=True, timeout=60).stdout
    options = set(re.findall(r"^ {7,8}(-[-\w]+)(?=[ ,\n])", manual, re.MULTILINE))
    assert len(options) > 60
    table = DOCUMENT.replace("`, `-", " -")
    missing = {option for option in options if option not in table}
    assert missing == set()
