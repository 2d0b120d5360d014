"""The shell on a pseudo-terminal, as a person uses it."""

from __future__ import annotations

import base64
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

from ehlo.lab import Lab, Policy, RunningLab
from peers.silent import Close, Expect, Hang, Pause, Send, Step, scripted

PASSWORD = "wonder+land"
CTRL_C, CTRL_D, TAB, ENTER = "\x03", "\x04", "\t", "\r"
#: No machine is so slow; what is waited for comes at once or never.
PATIENCE = 30.0


class _Screen(pyte.Screen):
    """A screen that answers the questions of programs (where is the cursor?)."""

    child: pexpect.spawn[bytes] | None = None

    def write_process_input(self, data: str) -> None:
        if self.child is not None:
            self.child.send(data)


class Terminal:
    """A person at a shell, on a screen of 100 by 60: `types` keys, `sees` text."""

    def __init__(self, target: str, folder: Path, *words: str) -> None:
        environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(folder), "NO_COLOR": "1"}
        command = ["-m", "ehlo", "shell", target, "--helo", "here.org", *words]
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable, command, dimensions=(60, 100), timeout=PATIENCE, env=environment
        )
        self._screen = _Screen(100, 60)
        self._screen.child = self._child
        self._stream = pyte.ByteStream(self._screen)
        self.history = folder / "ehlo" / "shell_history"
        self.ended = False

    def types(self, *keys: str) -> None:
        for key in keys:
            self._child.send(key)

    @property
    def screen(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def sees(self, text: str, times: int = 1) -> str:
        """Wait until a text is on the screen; gives the screen."""
        deadline = time.monotonic() + PATIENCE
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} is not on the screen:\n{self.screen}"
            assert not self.ended, f"the shell ended:\n{self.screen}"
            self.reads()
        return self.screen

    def reads(self) -> None:
        """Take what the shell has written, if it has."""
        try:
            self._stream.feed(self._child.read_nonblocking(65536, timeout=0.1))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            self.ended = True

    def prompt(self) -> None:
        """Wait for a prompt with nothing behind it."""
        deadline = time.monotonic() + PATIENCE
        while self._screen.display[self._screen.cursor.y].rstrip() not in ("»", "│"):
            assert time.monotonic() < deadline, f"there is no prompt:\n{self.screen}"
            self.reads()

    def sees_end(self) -> int:
        """Wait for the end: exit status."""
        while not self.ended:
            self.reads()
        self._child.close()
        return int(self._child.exitstatus) if self._child.exitstatus is not None else -1

    def interrupts(self) -> None:
        self._child.kill(signal.SIGINT)

    def close(self) -> None:
        self._child.close(force=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": PASSWORD})).running() as lab:
        yield lab


@pytest.fixture
def terminal(lab: RunningLab, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(f"127.0.0.1:{lab.port}", tmp_path, "--insecure")
    yield terminal
    terminal.close()


def test_completion_knows_the_state(terminal: Terminal) -> None:
    terminal.prompt()
    assert "220 mail.example.com" in terminal.screen
    terminal.types("EH", TAB)
    terminal.sees("» EHLO")
    terminal.types(TAB)
    terminal.sees("» EHLO here.org")
    terminal.types(ENTER)
    terminal.sees("250 DSN")
    terminal.prompt()
    terminal.types("M", TAB)
    terminal.sees("» MAIL FROM:<")
    terminal.types("me@here.org> R", TAB)
    terminal.sees("RET=")
    terminal.types("HDRS", ENTER)
    terminal.sees("250 2.1.0 Ok")
    terminal.prompt()
    terminal.types("R", TAB)
    # Two commands begin so: the menu says what each is for.
    screen = terminal.sees("names a recipient; repeated for each")
    assert "forgets sender and recipients" in screen
    assert "MAIL FROM:<  names" not in screen


def test_tls_and_login_in_mid_session(terminal: Terminal) -> None:
    terminal.prompt()
    terminal.types("EHLO here.org", ENTER)
    terminal.sees("250 DSN")
    terminal.types(":starttls", ENTER)
    terminal.sees("encrypted from here on")
    terminal.types("EHLO here.org", ENTER)
    terminal.sees("AUTH PLAIN LOGIN")
    terminal.types(":auth", ENTER)
    terminal.sees("user:")
    terminal.types("alice", ENTER)
    terminal.sees("password:")
    terminal.types(PASSWORD, ENTER)
    assert PASSWORD not in terminal.sees("235 2.7.0")
    terminal.prompt()
    terminal.types("MAIL FROM:<me@here.org>", ENTER)
    terminal.sees("250 2.1.0")
    terminal.prompt()
    terminal.types(CTRL_D)
    assert terminal.sees_end() == 0
    assert "221 2.0.0 Bye" in terminal.screen


def test_a_wrong_order_is_hinted_at_and_sent_all_the_same(terminal: Terminal) -> None:
    terminal.prompt()
    terminal.types("RCPT TO:<a@b.c>", ENTER)
    terminal.sees("RCPT does not belong here: EHLO or HELO is due. Enter sends it all the same.")
    terminal.sees("» RCPT TO:<a@b.c>", 2)
    assert "503" not in terminal.screen
    terminal.types(ENTER)
    terminal.sees("503 5.5.1 Error: send HELO/EHLO first")
    terminal.prompt()
    terminal.types("DATA", ENTER)
    terminal.sees("DATA does not belong here")
    terminal.sees("» DATA", 2)
    terminal.types(CTRL_C)
    terminal.prompt()
    terminal.types("NOOP", ENTER)
    terminal.sees("250 2.0.0 Ok")


def test_a_message_line_by_line(terminal: Terminal, lab: RunningLab) -> None:
    for line, answer in (
        ("HELO here.org", "250 mail.example.com"),
        ("MAIL FROM:<me@here.org>", "250 2.1.0"),
        ("RCPT TO:<recipient@example.com>", "250 2.1.5"),
        ("DATA", "type the message"),
        ("Subject: typed", "│ Subject: typed"),
        ("", "│ Subject: typed"),
        (".hidden", "sent as ..hidden"),
        (".", "queued as"),
    ):
        terminal.prompt()
        terminal.types(line, ENTER)
        terminal.sees(answer)
    assert lab.lab.messages[-1].content == b"Subject: typed\r\n\r\n.hidden\r\n"
    # The address is known now.
    terminal.prompt()
    terminal.types("MAIL FROM:<m", TAB)
    terminal.sees("» MAIL FROM:<me@here.org>", 2)


def test_ctrl_c_clears_the_line_and_stops_a_wait_but_keeps_the_session(tmp_path: Path) -> None:
    with scripted([Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"NOOP"), Hang()]) as server:
        terminal = Terminal(f"{server.host}:{server.port}", tmp_path)
        terminal.prompt()
        terminal.types("MAIL", CTRL_C)
        terminal.prompt()
        terminal.types("NOOP", ENTER)
        deadline = time.monotonic() + PATIENCE
        while b"NOOP\r\n" not in server.received:
            assert time.monotonic() < deadline
            terminal.reads()
        # No prompt while the answer is due: Ctrl-C is a signal then.
        terminal.interrupts()
        terminal.sees("no answer yet; the session is still there")
        terminal.prompt()
        terminal.types(":close", ENTER)
        terminal.sees("connection closed")
        terminal.prompt()
        terminal.types(":quit", ENTER)
        assert terminal.sees_end() == 0


def test_the_server_speaks_unasked_and_closes_while_one_types(tmp_path: Path) -> None:
    goodbye = b"421 4.4.2 mail.example.com Error: timeout exceeded\r\n"
    steps: list[Step] = [Send(b"220 mail.example.com ESMTP\r\n"), Pause(1.0), Send(goodbye), Close()]
    with scripted(steps) as server:
        terminal = Terminal(f"{server.host}:{server.port}", tmp_path)
        terminal.sees("220 mail.example.com ESMTP")
        terminal.types("MAIL FR")
        terminal.sees("421 4.4.2 mail.example.com Error: timeout exceeded")
        terminal.sees("the session is over")
        # What was typed is still there.
        terminal.sees("» MAIL FR")
        terminal.types(CTRL_C)
        terminal.prompt()
        terminal.types("NOOP", ENTER)
        terminal.sees("The session is over; :again begins another like it")
        terminal.prompt()
        terminal.types(CTRL_D)
        assert terminal.sees_end() == 0


def test_the_history_has_no_secrets(terminal: Terminal) -> None:
    encoded = base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
    for line, answer in (
        ("EHLO here.org", "250 DSN"),
        (f":b64 \\0alice\\0{PASSWORD}", encoded),
        (f"AUTH PLAIN {encoded}", "Enter sends it all the same."),
        ("", "538 5.7.11"),
        (":starttls", "encrypted"),
        ("EHLO here.org", "AUTH PLAIN LOGIN"),
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        (base64.b64encode(b"alice").decode(), "334 UGFzc3dvcmQ6"),
        (base64.b64encode(PASSWORD.encode()).decode(), "235 2.7.0"),
    ):
        if line:
            terminal.prompt()
        else:
            terminal.sees("» AUTH PLAIN", 2)
        terminal.types(line, ENTER)
        terminal.sees(answer)
    terminal.prompt()
    terminal.types(":quit", ENTER)
    assert terminal.sees_end() == 0
    kept = terminal.history.read_text()
    assert "AUTH PLAIN\n" in kept
    assert "EHLO here.org" in kept
    for secret in (PASSWORD, encoded, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in kept
