"""Servers that break the rules: each is named, bounded and shown in plain characters, with the right exit status."""

from __future__ import annotations

import pytest

from ehlo.cli.main import main
from peers.silent import Close, Expect, Flood, Hang, ReadContent, Reset, Send, Step, scripted

ENVELOPE = ["-f", "a@here.org", "-t", "b@example.com", "--helo", "here.org", "--timeout", "5"]
HELLO: list[Step] = [Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO")]
READY: list[Step] = [*HELLO, Send(b"250 mail.example.com\r\n")]
STARTTLS: list[Step] = [*HELLO, Send(b"250-mail.example.com\r\n250 STARTTLS\r\n"), Expect(b"STARTTLS")]
MAIL: list[Step] = [*READY, Expect(b"MAIL")]
RCPT: list[Step] = [*MAIL, Send(b"250 2.1.0 Ok\r\n"), Expect(b"RCPT")]
BYE: list[Step] = [Expect(b"QUIT"), Send(b"221 2.0.0 Bye\r\n"), Close()]
GOOD_END: list[Step] = [Send(b"250 2.1.5 Ok\r\n"), *BYE]

ESCAPES = b"220 \x1b]0;owned\x07\x1b[2J\x9b31m \xe2\x80\xae hi\r\n"

CASES: dict[str, tuple[list[Step], int, str | None]] = {
    "terminal escapes": (
        [Send(ESCAPES), *READY[1:], Expect(b"MAIL"), *RCPT[4:], *GOOD_END],
        0,
        None,
    ),
    "NULs": ([Send(b"220 a\0b\0\r\n"), *READY[1:], Expect(b"MAIL"), *RCPT[4:], *GOOD_END], 0, None),
    "LF-only lines": (
        [Send(b"220 hi\n"), Expect(b"EHLO"), Send(b"250-hi\n250 SIZE\n"), Expect(b"MAIL"), *RCPT[4:], *GOOD_END],
        0,
        None,
    ),
    "1 MB line": ([Send(b"220 " + b"x" * 1_000_000 + b"\r\n"), Close()], 13, "endless-line"),
    "line without end": ([Flood(b"x" * 65536)], 13, "endless-line"),
    "reply without end": ([Flood(b"220-hi\r\n" * 1000)], 13, "endless-reply"),
    "EHLO reply without end": ([*HELLO, Flood(b"250-X\r\n" * 1000)], 14, "endless-reply"),
    "no code": ([*MAIL, Send(b"sure, go on\r\n"), Hang()], 17, "not-a-reply"),
    "HTTP": ([Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Close()], 13, "web-server-answers"),
    "IMAP": ([Send(b"* OK IMAP4rev1 ready\r\n"), Hang()], 13, "imap-server-answers"),
    "SSH": ([Send(b"SSH-2.0-OpenSSH_9.2\r\n"), Hang()], 13, "ssh-server-answers"),
    "code changes": ([*MAIL, Send(b"250-so\r\n550 no\r\n"), *BYE], 17, "sender-refused"),
    "bytes before TLS": ([*STARTTLS, Send(b"220 go\r\n250 injected\r\n"), Hang()], 15, "bytes-before-tls"),
    "garbage in the handshake": (
        [*STARTTLS, Send(b"220 go\r\n"), ReadContent(10), Send(b"no TLS here\r\n"), Hang()],
        15,
        "starttls-failed",
    ),
    "421 instead of an answer": ([*MAIL, Send(b"421 4.3.2 shutting down\r\n"), Close()], 17, "server-shuts-down"),
    "421 unasked": ([*READY, Send(b"421 4.4.2 too slow\r\n"), Expect(b"MAIL"), Close()], 17, "service-closing"),
    "close instead of a greeting": ([Close()], 13, "closed-before-greeting"),
    "close after EHLO": ([*HELLO, Close()], 14, "connection-lost"),
    "reset after RCPT": ([*RCPT, Reset()], 18, "connection-lost"),
    "silence after MAIL": ([*MAIL, Hang()], 17, "no-answer"),
    "greeting that does not end": ([Send(b"220-hi\r\n220-there\r\n"), Hang()], 13, "no-answer"),
    "reply that does not end": ([*RCPT, Send(b"250-2.1.5 so\r\n"), Hang()], 18, "no-answer"),
    "silence in mid-line": ([*RCPT, Send(b"250 2.1.5 so"), Hang()], 18, "no-answer"),
    "close in mid-line": ([*RCPT, Send(b"250 2.1.5 so"), Close()], 18, "connection-lost"),
    "silence after an alert of TLS": ([Send(b"\x15\x03\x01\0\x02\x02F"), Hang()], 13, "tls-from-the-start"),
    "alert of TLS": ([Send(b"\x15\x03\x01\0\x02\x02F"), Close()], 13, "tls-from-the-start"),
    "handshake of TLS": ([Send(b"\x16\x03\x03\0\x31\x02\n"), Hang()], 13, "tls-from-the-start"),
    "odd greeting code": ([Send(b"354 go on\r\n"), *BYE], 13, "unexpected-reply"),
    "octet by octet": (
        [
            Send(b"220 mail.example.com ESMTP\r\n", pause=0.0005), Expect(b"EHLO"),
            Send(b"250-mail.example.com\r\n250 PIPELINING\r\n", pause=0.0005), Expect(b"MAIL"), *RCPT[4:], *GOOD_END,
        ],
        0,
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("options", [[], ["-v"]], ids=["brief", "verbose"])
@pytest.mark.parametrize("name", CASES)
def test_hostile_server(name: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    steps, status, rule = CASES[name]
    patience = ["--timeout", "1"] if name.startswith("silence") or name.endswith("not end") else []
    with scripted(steps) as server:
        assert main(["check", f"{server.host}:{server.port}", *ENVELOPE, *patience, *options]) == status
    out, err = capsys.readouterr()
    assert err == ""
    assert all(char == "\n" or char.isprintable() for char in out)
    assert len(out) < 60_000
    assert rule is None or rule in out


@pytest.mark.parametrize("name", ["silence in mid-line", "close in mid-line"])
def test_half_a_line_is_shown_and_is_no_answer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(CASES[name][0]) as server:
        main(["check", f"{server.host}:{server.port}", *ENVELOPE, "--timeout", "1"])
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line[4:10] == "rcpt  "] == ["✗"]
    assert "seen  S: 250 2.1.5 so" in shown


def test_what_was_injected_before_the_handshake_is_not_shown_as_if_all_was_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted(CASES["bytes before TLS"][0]) as server:
        main(["check", f"{server.host}:{server.port}", *ENVELOPE])
    shown = capsys.readouterr().out
    assert [line.split()[:2] for line in shown.splitlines() if "starttls" in line] == [["✗", "starttls"]]
    assert "  seen  S: 250 injected" in shown


def test_terminal_escapes_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(CASES["terminal escapes"][0]) as server:
        main(["check", f"{server.host}:{server.port}", *ENVELOPE])
    shown = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07\\x1b[2J" in shown
    assert "control characters" in shown
