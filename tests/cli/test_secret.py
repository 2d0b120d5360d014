"""Where a password comes from, what is said if it cannot be had, and that it is shown nowhere."""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from ehlo.cli import secret
from ehlo.cli.commands import UsageError
from ehlo.cli.main import main
from ehlo.lab import Lab, Policy, RunningLab

PASSWORD = "wonderland-7"
PRINT = f"{sys.executable} -c "


class Wallet(keyring.backend.KeyringBackend):
    """A keyring with one password, or with a fault."""

    priority = 1.0
    fault: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        if self.fault is not None:
            raise self.fault
        return {("ehlo", "alice"): PASSWORD, ("work", "alice"): f"{PASSWORD} at work"}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def wallet() -> Iterator[None]:
    before = keyring.core._keyring_backend
    keyring.set_keyring(Wallet())  # type: ignore[no-untyped-call]
    yield
    keyring.core._keyring_backend = before


def read(*words: str) -> str:
    """The password that a command line leads to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user", default="alice")
    secret.add_secret_options(parser)
    return secret.read_secret(parser.parse_args(words))


def complaint(*words: str) -> str:
    with pytest.raises(UsageError) as error:
        read(*words)
    return str(error.value)


# A file.


@pytest.mark.parametrize(
    "content", [b"wonderland-7", b"wonderland-7\n", b"wonderland-7\r\n", b"wonderland-7\nmore\n\xff"]
)
def test_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read("--password-file", str(file)) == PASSWORD


def test_spaces_belong_to_the_password(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"  \xc3\xbc \t\n")
    assert read("--password-file", str(file)) == "  ü \t"


def test_files_without_a_password(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content, sentence in (
        (b"", f"The first line of the password file '{file}' is empty."),
        (b"\nx", f"The first line of the password file '{file}' is empty."),
        (b"a\0b", f"The first line of the password file '{file}' is not text in UTF-8, or contains a NUL character."),
        (b"\xff", f"The password file '{file}' is not UTF-8."),
    ):
        file.write_bytes(content)
        assert complaint("--password-file", str(file)) == sentence
    assert complaint("--password-file", "/nonexistent") == (
        "The password file '/nonexistent' cannot be read: No such file or directory."
    )


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"wonderland-7\n")))
    assert read("--password-file", "-") == PASSWORD


def test_standard_input_is_one_thing_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["send", "h", "-f", "<>", "-t", "a@b.c", "--user", "u", "--password-file", "-", "--data", "-"]
    assert main(words) == 2
    assert capsys.readouterr().err == "ehlo send: Standard input cannot be both the password and the message.\n"


# The environment.


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORK_PASSWORD", f"{PASSWORD} at work")
    assert read("--password-env", "WORK_PASSWORD") == f"{PASSWORD} at work"
    monkeypatch.setenv("EHLO_PASSWORD", PASSWORD)
    assert read() == PASSWORD
    # The command line outweighs the environment.
    assert read("--password-env", "WORK_PASSWORD") == f"{PASSWORD} at work"
    monkeypatch.setenv("EHLO_PASSWORD", "")
    assert complaint() == "The password in $EHLO_PASSWORD is empty."
    monkeypatch.setenv("EHLO_PASSWORD", "\udcff")
    assert complaint() == "The password in $EHLO_PASSWORD is not text in UTF-8, or contains a NUL character."
    assert complaint("--password-env", "NO_SUCH") == (
        "--password-env NO_SUCH: there is no such variable in the environment."
    )


# A program.


def test_command() -> None:
    assert read("--password-command", "echo wonderland-7") == PASSWORD
    assert read("--password-command", "printf 'wonderland-7\\r\\nuser: alice\\n'") == PASSWORD


def test_command_is_run_without_a_shell() -> None:
    assert read("--password-command", "echo '$HOME' `id` > /dev/null; x") == "$HOME `id` > /dev/null; x"


def test_command_may_speak_to_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    command = PRINT + "\"import sys; print('Touch the key!', file=sys.stderr); print('wonderland-7')\""
    assert read("--password-command", command) == PASSWORD
    assert capfd.readouterr() == ("", "Touch the key!\n")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("false", "--password-command: 'false' failed with exit status 1."),
        ("sh -c 'echo wonderland-7; exit 3'", "--password-command: 'sh' failed with exit status 3."),
        ("sh -c 'kill -9 $$'", "--password-command: 'sh' was ended by signal 9."),
        ("true", "The first line that 'true' (--password-command) printed is empty."),
        ("printf '\\n'", "The first line that 'printf' (--password-command) printed is empty."),
        ("printf '\\377'", "--password-command: what 'printf' printed is not UTF-8."),
        ("echo 'x", "--password-command: the quotes of the command do not match."),
        (" ", "--password-command: the command is empty."),
        ("no-such-program", "--password-command: 'no-such-program' cannot be run: No such file or directory."),
        ("/dev/null x", "--password-command: '/dev/null' cannot be run: Permission denied."),
        ("a\0b", "--password-command: 'a\0b' cannot be run: embedded null byte."),
    ],
)
def test_commands_that_fail(command: str, sentence: str) -> None:
    assert complaint("--password-command", command) == sentence


def test_command_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret._COMMAND_SECONDS == 60
    monkeypatch.setattr(secret, "_COMMAND_SECONDS", 0.3)
    begin = time.monotonic()
    assert complaint("--password-command", "sleep 30") == (
        "--password-command: 'sleep' has printed no password within 0.3 seconds, and was ended. "
        "Does it wait for somebody to unlock something?"
    )
    assert time.monotonic() - begin < 10


# A keyring.


@pytest.mark.usefixtures("wallet")
def test_keyring() -> None:
    assert read("--password-keyring") == PASSWORD
    assert read("--password-keyring", "work") == f"{PASSWORD} at work"
    assert complaint("--password-keyring", "home") == (
        "--password-keyring: the keyring has no password of 'alice' under 'home'; "
        "it is put there by: keyring set home alice"
    )


@pytest.mark.usefixtures("wallet")
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (keyring.errors.KeyringLocked("It is locked.\nSecond line"), "the keyring cannot be read: It is locked."),
        (keyring.errors.InitError(), "the keyring cannot be read: InitError."),
        (ZeroDivisionError("a fault of a backend"), "the keyring cannot be read: a fault of a backend."),
        (keyring.errors.NoKeyringError("a long text"), "this system has no keyring that can be used."),
    ],
)
def test_keyrings_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, fault: Exception, sentence: str) -> None:
    monkeypatch.setattr(Wallet, "fault", fault)
    assert complaint("--password-keyring") == f"--password-keyring: {sentence}"


def test_keyring_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert complaint("--password-keyring") == (
        "--password-keyring needs the library keyring: pip install 'ehlo[keyring]'"
    )


# A terminal.


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", answer)
    assert read() == PASSWORD
    assert asked == ["Password of alice: "]

    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", end)
    assert complaint() == "No password was given."


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert complaint() == (
        "--user needs a password: --password-file, --password-command, --password-keyring, --password-env, "
        "$EHLO_PASSWORD, or a terminal to ask at."
    )


# All of them.


def test_two_sources_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "h", "--user", "u", "--password-env", "V", "--password-command", "pass"]) == 2
    assert capsys.readouterr().err == (
        "ehlo check: --password-env and --password-command: each says where the password is, and only one may.\n"
    )


@pytest.fixture(name="lab", scope="module")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": PASSWORD})).running() as lab:
        yield lab


@pytest.mark.parametrize("view", [["-v"], ["--json"], ["-q"], []])
@pytest.mark.parametrize("source", ["file", "env", "command", "variable"])
def test_the_password_is_shown_nowhere(lab: RunningLab, tmp_path: Path, source: str, view: list[str]) -> None:
    """Whole processes: on their outputs, in their record, and in their words, which `ps` shows."""
    file, record = tmp_path / "secret", tmp_path / "session.jsonl"
    file.write_text(f"{PASSWORD}\n")
    options = {
        "file": ["--password-file", str(file)],
        "env": ["--password-env", "LOGIN"],
        "command": ["--password-command", f"cat {file}"],
        "variable": [],
    }[source]
    command = [sys.executable, "-m", "ehlo", "check", f"127.0.0.1:{lab.port}", "--user", "alice", "--insecure"]
    command += ["--record", str(record), *options, *view]
    environment = {**os.environ, "LOGIN" if source == "env" else "EHLO_PASSWORD": PASSWORD}
    if source in ("file", "command"):
        del environment["EHLO_PASSWORD"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    hidden = [PASSWORD, base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()]
    for text in (done.stdout, done.stderr, record.read_text(), " ".join(command)):
        assert not [word for word in hidden if word in text]
    events = [json.loads(line) for line in record.read_text().splitlines()]
    assert any(event.get("text") == "235 2.7.0 Authentication successful" for event in events)
