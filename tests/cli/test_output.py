"""What a person and a program see: views, JSON, records, secrets. Against the lab."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from docs.examples import FILES, mask, world
from docs.examples import run as run_example
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.report.style import Style
from ehlo.report.text import duration, pad, safe, shorten, size, width_of
from program import run_ehlo
from report.pages import words_of

PASSWORD = "wonderland-7"
SCHEMA = json.loads((files("ehlo.report") / "schema.json").read_text())


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": PASSWORD})).running() as lab:
        yield lab


def test_json_is_valid_and_alone_on_stdout(lab: RunningLab) -> None:
    done = run_ehlo("check", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com", "--json")
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert done.stderr == ""
    assert done.returncode == document["verdict"]["exit_status"] == 18
    assert document["verdict"]["outcome"] == "refused"
    assert document["verdict"]["layer"] == "recipient"
    assert document["verdict"]["findings"][0]["rule"] == "recipient-unknown"
    assert document["server"] == {"id": "postfix", "name": "Postfix", "kind": "product"}
    shown = [document["transcript"][number] for number in document["verdict"]["findings"][0]["evidence"]]
    assert [event["text"][:3] for event in shown] == ["RCP", "550"]
    assert {step["stage"] for step in document["stages"]} == set(SCHEMA["$defs"]["stage"]["enum"])


def test_show_shows_what_check_showed(lab: RunningLab, tmp_path: Path) -> None:
    record = str(tmp_path / "session.jsonl")
    words = [f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com", "-t", "recipient@example.com"]
    for options in ([], ["-v"], ["--color", "always"]):
        live = run_ehlo("check", *words, *options, "--record", record)
        assert run_ehlo("show", record, *options).stdout == live.stdout


def test_a_record_that_was_cut_off_ends_where_it_ends(lab: RunningLab, tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    run_ehlo("check", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com", "--record", str(record))
    whole = record.read_text()
    assert "The record ends here" not in run_ehlo("show", str(record)).stdout
    lines = whole.splitlines(keepends=True)
    greeted = "".join(lines[:3])
    mail = "".join(lines[: next(n for n, line in enumerate(lines) if "MAIL FROM" in line)])
    refused = "".join(lines[: next(n for n, line in enumerate(lines) if '"550 ' in line) + 1])
    for cut in (lines[0], greeted, greeted + lines[3][:20], mail):
        record.write_text(cut)
        done = run_ehlo("show", str(record))
        assert "! The record ends here, before the session does." in done.stdout
        assert ("answered well" not in done.stdout, done.returncode) == (True, 0)
        page = tmp_path / "page.html"
        document = json.loads(run_ehlo("show", str(record), "--json", "--html", str(page)).stdout)
        jsonschema.validate(document, SCHEMA)
        assert document["verdict"]["outcome"] == "interrupted"
        words = words_of(page.read_text())
        assert "The record ends here, before the session does." in words
        assert "answered well" not in words
        assert "Dear postmaster" not in words
        explained = run_ehlo("explain", str(record)).stdout
        assert "! The record ends here, before the session does." in explained
    record.write_text(greeted)
    assert "it does not say: no verdict." in " ".join(run_ehlo("show", str(record)).stdout.split())
    # What failed before remains true.
    record.write_text(refused)
    shown = run_ehlo("show", str(record)).stdout
    assert "! The record ends here, before the session does.\n\n✗ recipient · " in shown


def test_a_record_of_no_connection_is_whole(tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    assert run_ehlo("check", "127.0.0.1:1", "--record", str(record)).returncode == 11
    assert "The record ends here" not in run_ehlo("show", str(record)).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_disk_that_is_full_does_not_end_the_session(lab: RunningLab, options: list[str]) -> None:
    before = len(lab.lab.messages)
    words = ["send", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "recipient@example.com", *options]
    done = run_ehlo(*words, "--record", "/dev/full")
    assert done.stderr == "ehlo send: The record '/dev/full' cannot be written: No space left on device.\n"
    assert done.returncode == 0
    assert '"accepted"' in done.stdout if options else "✓ The server (Postfix) took the message" in done.stdout
    assert len(lab.lab.messages) == before + 1


def test_secrets_are_nowhere(lab: RunningLab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    record = tmp_path / "session.jsonl"
    words = ["check", f"127.0.0.1:{lab.port}", "--user", "alice", "--insecure", "--record", str(record)]
    plain = run_ehlo(*words, "-v", "--password-file", str(secret))
    document = run_ehlo(*words, "--json", env={"EHLO_PASSWORD": PASSWORD})
    assert plain.returncode == document.returncode == 0
    import base64

    hidden = [PASSWORD, base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()]
    for text in (plain.stdout, plain.stderr, document.stdout, record.read_text()):
        assert not [word for word in hidden if word in text]
    assert "AUTH PLAIN [redacted]" in plain.stdout
    assert '"user":"alice"' in record.read_text()
    shown = run_ehlo(*words, "-v", "--show-secrets", "--password-file", str(secret))
    assert hidden[1] in shown.stdout


def test_password_is_not_sent_to_an_unverified_server(lab: RunningLab) -> None:
    done = run_ehlo("check", f"127.0.0.1:{lab.port}", "--user", "alice", "--json", env={"EHLO_PASSWORD": PASSWORD})
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["stage"], verdict["findings"][0]["rule"]) == ("auth", "certificate-required")
    assert done.returncode == 16
    assert not [event for event in lab.lab.sessions[-1].events if event.text.startswith("AUTH")]


def test_quiet_says_nothing(lab: RunningLab) -> None:
    done = run_ehlo("check", f"127.0.0.1:{lab.port}", "-q", "-f", "a@here.org", "-t", "nobody@example.com")
    assert (done.returncode, done.stdout, done.stderr) == (18, "", "")


def test_exact_output(tmp_path: Path) -> None:
    with world(tmp_path):
        status, shown = run_example("ehlo check mail.example.com -f a@here.org -t recipient@example.com")
    assert status == 0
    assert mask(shown).splitlines() == [
        "mail.example.com",
        "",
        "  ✓ dns       A 192.0.2.10, AAAA none TIME",
        "  ✓ connect   192.0.2.10:25 TIME",
        "  ✓ banner    220 mail.example.com ESMTP Postfix TIME",
        "  ✓ ehlo      PIPELINING  SIZE 10.2 MB  VRFY  ETRN  STARTTLS … TIME",
        "  ✓ starttls  TLS 1.3, certificate for mail.example.com, 89 days left TIME",
        "              cipher  TLS_AES_256_GCM_SHA384, key exchange X25519",
        "              chain   mail.example.com, signed by ehlo lab authority,",
        "                      DATE to DATE (89 days left)",
        "  ✓ ehlo      under TLS also:  AUTH PLAIN LOGIN TIME",
        "  ✓ mail      250 2.1.0 Ok TIME",
        "  ✓ rcpt      recipient@example.com: 250 2.1.5 Ok TIME",
        "  ✓ quit      221 2.0.0 Bye TIME",
        "",
        "✓ The server (Postfix) would take mail for recipient@example.com.",
    ]


@pytest.mark.parametrize("columns", [40, 50, 80, 110])
def test_no_line_is_wider_than_the_terminal(lab: RunningLab, columns: int) -> None:
    words = ["check", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com"]
    shown = on_a_terminal(words, {"COLUMNS": str(columns), "NO_COLOR": "1"}, status=18)
    assert max(width_of(line) for line in shown.splitlines()) <= columns


def test_nothing_is_cut_where_there_is_no_terminal(lab: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("check", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com")
    monkeypatch.delenv("COLUMNS", raising=False)
    done = run_ehlo(*words, "--explain-tls")
    assert "…" not in done.stdout
    assert "ENHANCEDSTATUSCODES  8BITMIME  DSN" in done.stdout
    assert "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in" in done.stdout
    # Who asks for a width gets it.
    narrow = run_ehlo(*words, env={"COLUMNS": "80"}).stdout
    assert max(width_of(line) for line in narrow.splitlines()) <= 80


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("words", [["send", "--help"], ["explain", "mail.log"], ["rule", "recipient-unknown"]])
def test_whatever_characters_a_terminal_has(words: list[str], encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(FILES["mail.log"])
    words = [str(log) if word == "mail.log" else word for word in words]
    done = run_ehlo(*words, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr, done.stdout.isascii()) == (0, "", True)
    assert not re.search(r"\\x[0-9a-f]{2}|\\u2", done.stdout)


def test_ascii_terminals_get_ascii(lab: RunningLab) -> None:
    words = ["check", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "nobody@example.com"]
    shown = run_ehlo(*words, env={"PYTHONIOENCODING": "ascii"}).stdout
    assert shown.isascii()
    assert "x rcpt" in shown


def test_colour_on_a_terminal_alone(lab: RunningLab) -> None:
    words = ["check", f"127.0.0.1:{lab.port}"]
    assert "\x1b" not in run_ehlo(*words).stdout
    assert "\x1b[32m" in run_ehlo(*words, "--color", "always").stdout
    assert "\x1b[" in on_a_terminal(words, {})
    assert "\x1b[3" not in on_a_terminal(words, {"NO_COLOR": "1"})


def on_a_terminal(words: list[str], env: dict[str, str], status: int = 0) -> str:
    """What the command shows on a pseudo-terminal."""
    leader, follower = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ehlo", *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environment, "TERM": "xterm", **env},
    )
    os.close(follower)
    out = b""
    try:
        while chunk := os.read(leader, 65536):
            out += chunk
    except OSError:
        pass  # The other end is closed: that is how a pseudo-terminal says so.
    os.close(leader)
    assert process.wait(60) == status
    return out.decode()


def test_large_upload_shows_a_bar(lab: RunningLab, tmp_path: Path) -> None:
    message = tmp_path / "big.eml"
    message.write_bytes(b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" * 400_000)
    words = ["send", f"127.0.0.1:{lab.port}", "-f", "a@here.org", "-t", "recipient@example.com", "--data", str(message)]
    shown = on_a_terminal(words, {})
    assert re.search(r"sending \[=+ *\] +\d+ %", shown)


def test_lab_shows_the_conversation() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ehlo", "lab", "--port", "0"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    port = process.stdout.readline().strip().rpartition(":")[2]
    status = run_ehlo("check", f"127.0.0.1:{port}", "-f", "a@here.org", "-t", "nobody@example.com").returncode
    process.terminate()
    shown = process.communicate(timeout=30)[0]
    assert status == 18
    assert "#1    C: RCPT TO:<nobody@example.com>" in shown
    assert "0 messages, 1 session." in shown
    assert process.returncode == 0


# Text for a terminal.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\tb\r\n\0", "a\\tb\\r\\n\\0"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202edesrever", "\\u202edesrever"),
        ("\udcff", "\\xff"),
        ("Grüße 你好", "Grüße 你好"),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_widths() -> None:
    assert width_of("你好") == 4
    assert pad("你", 4) == "你  "
    assert shorten("abcdefghij", 5) == "abcd…"
    assert shorten("SIZE 10240000  DSN", 10) == "SIZE …"
    assert shorten("VRFY  ETRN  8BITMIME  DSN", 16) == "VRFY  ETRN …"
    assert shorten("one two 3554 days", 13) == "one two …"
    assert shorten("one two 3554 days", 14) == "one two 3554 …"
    assert shorten("certificate 3554", 14) == "certificate …"
    assert shorten("550 5.1.1 one two three four five six", 31, keep=9) == "550 5.1.1 … three four five six"
    assert shorten("550 5.1.1 one two three four five six", 30, keep=9) == "550 5.1.1 … four five six"
    assert shorten("550 5.1.1 too large: 12345678", 21, keep=9) == "550 5.1.1 … 12345678"
    assert shorten("550 5.1.1 too large: 123456789012", 21, keep=9) == "550 5.1.1 … "
    assert [duration(seconds) for seconds in (0.0001, 0.0314, 1.25, 125)] == ["<1 ms", "31 ms", "1.2 s", "2.1 min"]
    assert [size(octets) for octets in (1, 999, 10_240_000, 52_428_800)] == [
        "1 octets",
        "999 octets",
        "10.2 MB",
        "52.4 MB",
    ]


def test_plain_style_has_no_typography() -> None:
    style = Style(colour=False, unicode=False, width=80)
    assert style.plain("a · b … ü") == "a - b ... \\xfc"
    assert style.mark("ok") == "+"


def test_the_demo_keeps_its_own_words_within_a_narrow_terminal() -> None:
    shown = on_a_terminal(["demo"], {"COLUMNS": "40", "NO_COLOR": "1"})
    wire = re.compile(r"  [CS]: |\$ ehlo ")
    assert [line for line in shown.splitlines() if width_of(line) > 40 and not wire.match(line)] == []
    assert "  S: 250-SIZE 10240000\n" in shown.replace("\r", "")
