"""The shell on a pseudo-terminal, as a person uses it."""

from __future__ import annotations

import base64
import os
import re
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
    """A person at a shell, on a screen of 60 lines: `types` keys, `sees` text."""

    def __init__(self, target: str, folder: Path, *words: str, columns: int = 100) -> None:
        environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(folder), "NO_COLOR": "1"}
        environment.pop("COLUMNS", None)
        command = ["-m", "ehlo", "shell", target, "--helo", "here.org", *words]
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable, command, dimensions=(60, columns), timeout=PATIENCE, env=environment
        )
        # A key is pressed once what it is an answer to has been seen; to wait before each as well proves nothing.
        self._child.delaybeforesend = None
        self._screen = _Screen(columns, 60)
        self._screen.child = self._child
        self._stream = pyte.ByteStream(self._screen)
        self.history = folder / "ehlo" / "shell_history"
        self.ended = False

    def types(self, *keys: str) -> None:
        for key in keys:
            self._child.send(key)

    def pastes(self, text: str) -> None:
        """What a terminal sends for a paste."""
        self._child.send(f"\x1b[200~{text}\x1b[201~")

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


def says(terminal: Terminal, *exchanges: tuple[str, str]) -> None:
    """Type lines, each with what is seen then. An empty line is the second Enter behind a hint; Ctrl-C takes the line
    back that is at the prompt."""
    for line, answer in exchanges:
        if line == CTRL_C:
            terminal.types(line)
            terminal.prompt()
            continue
        if line:
            terminal.prompt()
        terminal.types(line, ENTER)
        terminal.sees(answer)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_history_has_no_secrets(terminal: Terminal) -> None:
    """Also where they stand in a wrong place, and behind an AUTH that was refused."""
    plain = in_base64(f"\0alice\0{PASSWORD}")
    says(
        terminal,
        ("EHLO here.org", "250 DSN"),
        (f":b64 \\0alice\\0{PASSWORD}", plain),
        (f":unb64 {in_base64(PASSWORD)}", f"\n{PASSWORD}"),
        (f"AUTH PLAIN {plain}", "does not offer AUTH in clear; it may after :starttls. Enter sends it all the"),
        ("", "538 5.7.11"),
        # The exchange that was refused goes on, in the mind of whoever types.
        (in_base64(PASSWORD), "The line does not begin with a command."),
        ("", "502 5.5.2"),
        (PASSWORD, f"» {PASSWORD}\n! The line does not begin with a command."),
        (CTRL_C, ""),
        (f"AUTH PLAIN{plain}", f"» AUTH PLAIN{plain}\n! The server does not offer AUTH"),
        ("", "538 5.7.11"),
        (f"AUTHPLAIN {plain}", "AUTHPLAIN is no command of SMTP."),
        (CTRL_C, ""),
        (f":raw AUTH PLAIN {plain}\\r\\n", "Encryption needed"),
        (f":b46 {plain}", "There is no command :b46"),
        (f":auth {PASSWORD}", "there is no mechanism"),
        (f":auth PLAIN alice {PASSWORD}", "no more; the password is asked for"),
        (":starttls", "encrypted from here on"),
        ("EHLO here.org", "AUTH PLAIN LOGIN"),
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        (in_base64("alice"), "334 UGFzc3dvcmQ6"),
        (in_base64(PASSWORD), "235 2.7.0"),
    )
    terminal.prompt()
    terminal.pastes(f"AUTH LOGIN\n{in_base64('alice')}\n{in_base64(PASSWORD)}\nNOOP")
    terminal.types(ENTER)
    # Who is logged in cannot log in again, so what follows would be answers to nothing.
    terminal.sees("503 5.5.1")
    terminal.sees(f"» {in_base64('alice')}", 2)
    says(terminal, ("", "502 5.5.2"))
    terminal.sees(f"» {in_base64(PASSWORD)}", 2)
    says(terminal, ("", "C: NOOP"))
    terminal.prompt()
    terminal.types(":quit", ENTER)
    assert terminal.sees_end() == 0
    kept = terminal.history.read_text()
    for line in ("AUTH PLAIN", "AUTH LOGIN", ":auth PLAIN", "EHLO here.org", ":starttls", "NOOP"):
        assert f"+{line}\n" in kept
    # Wherever its bytes stand among those that are encoded with it, base64 of the password has one of these in it.
    pieces = {in_base64("x" * shift + PASSWORD)[4 if shift else 0 : -4] for shift in range(3)}
    for secret in (PASSWORD, plain, in_base64("alice"), *pieces):
        assert secret not in kept


def test_ctrl_c_leaves_a_login(terminal: Terminal) -> None:
    says(terminal, ("EHLO here.org", "250 DSN"), (":starttls", "encrypted from here on"))
    says(terminal, ("EHLO here.org", "AUTH PLAIN LOGIN"), (":auth", "user:"))
    terminal.types("ali", CTRL_C)
    says(terminal, ("NOOP", "250 2.0.0 Ok"), (":auth PLAIN alice", "password:"))
    terminal.types(CTRL_C)
    terminal.prompt()
    assert "there is no login" not in terminal.screen
    assert "user: alice" not in terminal.screen


def test_nobody_is_asked_for_a_password_in_vain(terminal: Terminal) -> None:
    says(
        terminal,
        (":auth", "AUTH does not belong here: EHLO or HELO is due."),
        ("EHLO here.org", "250 DSN"),
        (":auth", "the server does not offer AUTH here"),
        (":auth PLAIN alice", "the password was not sent: the connection is not encrypted"),
        # Nothing secret goes out, so this one may.
        (":auth EXTERNAL", "it may after :starttls. Enter sends it all the same."),
        ("", "C: AUTH EXTERNAL"),
        ("QUIT", "connection closed"),
        (":auth", "The session is over; :again begins another like it"),
    )
    terminal.prompt()
    assert "user:" not in terminal.screen
    assert "password:" not in terminal.screen


def test_starttls_that_is_refused_claims_nothing(terminal: Terminal) -> None:
    says(
        terminal, ("EHLO here.org", "250 DSN"), (":starttls", "encrypted from here on"), ("EHLO x", "AUTH PLAIN LOGIN")
    )
    says(terminal, (":starttls", "The connection is encrypted already. Enter sends"), ("", "554 5.5.1"))
    terminal.prompt()
    assert terminal.screen.count("encrypted from here on") == 1


def test_a_chunk_in_the_wrong_place_is_sent_on_a_second_enter(terminal: Terminal) -> None:
    says(
        terminal,
        ("EHLO here.org", "250 DSN"),
        (":chunk last hi", "BDAT does not belong here: a transaction may begin."),
    )
    assert "C: BDAT" not in terminal.screen
    says(
        terminal,
        ("", "C: BDAT 2 LAST"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("RCPT TO:<recipient@example.com>", "250 2.1.5"),
    )
    says(terminal, (":chunk last hi", "The server does not offer CHUNKING. Enter sends"), ("", "502 5.5.2"))


def test_lines_are_wrapped_between_words(lab: RunningLab, tmp_path: Path) -> None:
    terminal = Terminal(f"127.0.0.1:{lab.port}", tmp_path, columns=60)
    says(
        terminal,
        ("RCPT TO:<a@b.c>", "EHLO or HELO is due. Enter\n  sends it all the same."),
        (CTRL_C, ""),
        (":help", f":again{' ' * 20}Connect anew, and do again all\n{' ' * 26}that was done in this session\n"),
        (":help auth", "unless --auth-in-clear allows it."),
        (":explain 550 5.7.1 Relaying denied", "\ntry: "),
        (":help foo", "There is no command foo; :help lists them."),
    )
    assert re.search(r"\ntry: .*\n {5}\S", terminal.screen)
    terminal.close()


def test_the_toolbar_is_shortened_between_words(lab: RunningLab, tmp_path: Path) -> None:
    terminal = Terminal(f"127.0.0.1:{lab.port}", tmp_path, columns=60)
    says(terminal, ("EHLO here.org", "250 DSN"))
    terminal.prompt()
    terminal.sees(" in clear · a transaction may begin · MAIL STARTTLS EHLO …")
    says(terminal, ("STARTTLS", "220 2.0.0"))
    terminal.sees(" in clear · the TLS handshake is due · :starttls makes it")
    terminal.close()


def test_several_lines_are_pasted_at_once(terminal: Terminal, lab: RunningLab) -> None:
    terminal.prompt()
    envelope = "HELO here.org\nMAIL FROM: <me@here.org>\nRCPT TO:<recipient@example.com>\n"
    terminal.pastes(f"{envelope}DATA\nSubject: pasted\n\nHELO dear\n.\nNOOP\n")
    terminal.types(ENTER)
    # A line that is wrong waits for a second Enter, and the others wait for it.
    terminal.sees("No space may stand after the colon")
    assert "C: RCPT" not in terminal.screen
    terminal.types(ENTER)
    terminal.sees("C: NOOP")
    terminal.prompt()
    assert lab.lab.messages[-1].content == b"Subject: pasted\r\n\r\nHELO dear\r\n"
    terminal.types(CTRL_D)
    assert terminal.sees_end() == 0
    assert "dear" not in terminal.history.read_text()


def test_what_is_typed_while_an_answer_is_due_waits_for_the_prompt(tmp_path: Path) -> None:
    steps: list[Step] = [Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"NOOP"), Expect(b"HELP"), Hang()]
    with scripted(steps) as server:
        terminal = Terminal(f"{server.host}:{server.port}", tmp_path)
        terminal.prompt()
        terminal.types("NOOP", ENTER)
        deadline = time.monotonic() + PATIENCE
        while b"NOOP\r\n" not in server.received:
            assert time.monotonic() < deadline
            terminal.reads()
        terminal.types("HELP")
        terminal.interrupts()
        terminal.sees("no answer yet")
        terminal.sees("» HELP")
        assert [line for line in terminal.screen.splitlines() if "HELP" in line and "·" not in line] == ["» HELP"]
        terminal.close()


def test_an_answer_stands_beneath_its_line_however_fast_one_types(terminal: Terminal) -> None:
    terminal.prompt()
    terminal.types(":help foo", ENTER, ":wait x", ENTER, ":b64 hi", ENTER)
    terminal.sees("aGk=")
    shown = [line for line in terminal.screen.splitlines() if line.startswith(("✗", "» :", "aGk="))]
    assert shown == [
        "» :help foo",
        "✗ There is no command foo; :help lists them.",
        "» :wait x",
        "✗ 'x' is no number of seconds.",
        "» :b64 hi",
        "aGk=",
    ]


def test_again_does_not_repeat_what_came_to_nothing(terminal: Terminal) -> None:
    says(terminal, ("EHLO here.org", "250 DSN"), (":auth", "does not offer AUTH here"), ("NOOP", "250 2.0.0 Ok"))
    says(terminal, (":again", "C: NOOP"))
    terminal.prompt()
    assert terminal.screen.count("does not offer AUTH here") == 1


def test_ctrl_c_before_the_greeting(tmp_path: Path) -> None:
    with scripted([Hang()]) as server:
        terminal = Terminal(f"{server.host}:{server.port}", tmp_path)
        terminal.sees(f"{server.host}:{server.port}")
        terminal.interrupts()
        terminal.sees("no greeting yet; the session is still there")
        terminal.prompt()
        terminal.types(CTRL_D)
        assert terminal.sees_end() == 0
