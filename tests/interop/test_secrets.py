"""One password, given in every way, is looked for wherever it could have been left behind."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehlo.cli.main import main
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.authority import Identity, make_identity
from ehlo.transcript.jsonl import read
from ehlo.transcript.redaction import redact

PASSWORD = "Wunder+Land/4711"
USER = "alice"
EHLO = [sys.executable, "-m", "ehlo"]
#: As it is, and in base64 wherever in a response it may stand: base64 of the same octets has three forms.
FORMS = [
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode(),
    *(base64.b64encode(b"\0" * shift + PASSWORD.encode()).decode()[4:-4] for shift in range(3)),
]
MECHANISMS = (
    "PLAIN",
    "LOGIN",
    "LOGIN-INITIAL",
    "XOAUTH2",
    "OAUTHBEARER",
    "CRAM-MD5",
    "DIGEST-MD5",
    "SCRAM-SHA-256-PLUS",
)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("127.0.0.1")


@pytest.fixture(scope="module")
def lab(identity: Identity) -> Iterator[RunningLab]:
    names = tuple(name.removesuffix("-INITIAL") for name in MECHANISMS)
    policy = Policy(users={USER: PASSWORD}, mechanisms=names, any_recipient=True)
    with Lab(policy=policy, identity=identity).running() as lab:
        yield lab


@pytest.fixture
def home(identity: Identity, tmp_path: Path) -> Path:
    (tmp_path / "authority.pem").write_bytes(identity.authority)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "print-password").write_text(f"#!/bin/sh\ncat {tmp_path}/password\n")
    (tmp_path / "print-password").chmod(0o755)
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(home / "state"), "HOME": str(home), **more}


def left_behind(home: Path, *texts: str) -> list[str]:
    """What has the password in it: files in the home (but for where it was put), or texts."""
    found = [
        file.name for file in home.rglob("*") if file.is_file() and file.name != "password" and _has(file.read_bytes())
    ]
    return found + [text for text in texts if _has(text.encode("utf-8", "surrogateescape"))]


def _has(octets: bytes) -> bool:
    return any(form.encode() in octets for form in FORMS)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("source", ["file", "environment", "variable", "command"])
def test_nothing_is_left_behind(
    mechanism: str,
    source: str,
    lab: RunningLab,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options, more = {
        "file": (["--password-file", str(home / "password")], {}),
        "environment": ([], {"EHLO_PASSWORD": PASSWORD}),
        "variable": (["--password-env", "MY_SECRET"], {"MY_SECRET": PASSWORD}),
        "command": (["--password-command", str(home / "print-password")], {}),
    }[source]
    session = ["-f", "a@b.c", "-t", "d@e.f", "--user", USER, "--auth", mechanism]
    session += ["--ca-file", str(home / "authority.pem"), "--record", str(home / "record.jsonl")]
    for name, value in environment(home, **more).items():
        monkeypatch.setenv(name, value)
    for view in (["-v"], ["--json"]):
        status = main(["send", f"127.0.0.1:{lab.port}", *session, *options, *view])
        out, err = capsys.readouterr()
        assert status == 0, out + err
        assert "235" in out
        assert "--json" in view or f"user {USER}" in " ".join(out.split())
        assert left_behind(home, out, err) == []
    assert (home / "record.jsonl").stat().st_size > 1000
    # Who it was stays, on both sides.
    ours = read((home / "record.jsonl").read_text("utf-8").splitlines(keepends=True))
    for transcript in (ours, redact(lab.lab.sessions[-1])):
        assert [event.fact("user") for event in transcript.events if event.fact("user")] == [USER]


def test_the_search_finds_what_is_shown_on_purpose(lab: RunningLab, home: Path) -> None:
    options = ["--insecure", "--show-secrets", "--json", "--password-file", str(home / "password")]
    for mechanism in ("PLAIN", "LOGIN", "XOAUTH2"):
        done = subprocess.run(
            [*EHLO, "check", f"127.0.0.1:{lab.port}", "--user", USER, "--auth", mechanism, *options],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(home),
        )
        assert left_behind(home, done.stdout) != []


def test_an_identity_is_shown(lab: RunningLab, home: Path) -> None:
    """EXTERNAL has nothing secret in it: the certificate is the proof."""
    done = subprocess.run(
        [*EHLO, "check", f"127.0.0.1:{lab.port}", "--user", USER, "--auth", "EXTERNAL", "--insecure", "-v"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(home),
    )
    assert done.returncode == 16, done.stderr
    assert f"C: AUTH EXTERNAL {base64.b64encode(USER.encode()).decode()}" in done.stdout
    assert f"as {USER}" in " ".join(done.stdout.split())


def test_the_list_of_processes_does_not_have_it(lab: RunningLab, home: Path) -> None:
    command = [*EHLO, "send", f"127.0.0.1:{lab.port}", "-f", "a@b.c", "-t", "d@e.f"]
    command += ["--insecure", "--user", USER, "--password-command", str(home / "print-password"), "--pause", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(home)) as process:
        looked = 0
        while process.poll() is None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    assert not _has(entry.read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue
            looked += 1
            time.sleep(0.01)
    assert process.returncode == 0
    assert looked > 3


def test_a_script_of_the_shell_does_not_keep_it(lab: RunningLab, home: Path) -> None:
    options = ["--password-file", str(home / "password"), "--record", str(home / "record.jsonl")]
    done = subprocess.run(
        [*EHLO, "shell", f"127.0.0.1:{lab.port}", "--user", USER, "--insecure", *options],
        input=f"EHLO x\n:starttls\nEHLO x\n:auth LOGIN\n:save {home}/saved.jsonl\n:again\n:verdict\n:explain\n",
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(home),
    )
    assert done.returncode == 0
    assert done.stdout.count("235 2.7.0") == 2
    assert left_behind(home, done.stdout, done.stderr) == []
