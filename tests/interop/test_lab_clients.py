"""Real clients deliver to the lab: swaks, curl, smtplib, msmtp, smtp-source. The bytes that arrive are those sent."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ehlo.lab import Lab, Policy, RunningLab
from peers.fixtures import skip_if_missing
from peers.sink import smtp_source

Programs = Callable[[str], Path]

SENDER, RECIPIENT, UNKNOWN = "sender@yourdomain.com", "recipient@example.com", "nobody@example.com"
MESSAGE = (
    b"From: sender@yourdomain.com\r\nTo: recipient@example.com\r\nSubject: bytes\r\n\r\n"
    b".\r\n..two\r\n.hidden\r\n" + b"x" * 900 + "\r\nGrüße\r\n".encode() + b"\r\nlast\r\n"
)


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": "wonderland"})).running() as lab:
        yield lab


@pytest.fixture(name="authority")
def authority_file(lab: RunningLab, tmp_path: Path) -> Path:
    file = tmp_path / "authority.pem"
    file.write_bytes(lab.lab.identity.authority)
    return file


@pytest.fixture(name="message")
def message_file(tmp_path: Path) -> Path:
    file = tmp_path / "message.eml"
    file.write_bytes(MESSAGE)
    return file


def run(*command: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in command], input=stdin, capture_output=True, timeout=60)


def verbs(lab: RunningLab) -> list[str]:
    events = lab.lab.sessions[-1].events
    return [event.text.split()[0].upper() for event in events if (event.who, event.kind) == ("client", "line")]


@pytest.mark.peer
@pytest.mark.parametrize("tls", [[], ["-tls"]], ids=["clear", "starttls"])
def test_swaks(lab: RunningLab, peer_program: Programs, message: Path, tls: list[str]) -> None:
    server = f"127.0.0.1:{lab.port}"
    done = run(peer_program("swaks"), "-s", server, "-f", SENDER, "-t", RECIPIENT, "--data", f"@{message}", *tls)
    assert done.returncode == 0, done.stdout
    # swaks adds a line end of its own behind the file.
    assert lab.lab.messages[-1].content.rstrip(b"\r\n") == MESSAGE.rstrip(b"\r\n")
    assert ("STARTTLS" in verbs(lab)) == bool(tls)


@pytest.mark.peer
def test_swaks_is_told_of_an_unknown_user(lab: RunningLab, peer_program: Programs) -> None:
    done = run(peer_program("swaks"), "-s", f"127.0.0.1:{lab.port}", "-f", SENDER, "-t", UNKNOWN)
    assert done.returncode == 24
    assert b"550 5.1.1 <nobody@example.com>" in done.stdout
    assert not lab.lab.messages


@pytest.mark.peer
def test_swaks_logs_in(lab: RunningLab, peer_program: Programs) -> None:
    login = ["-tls", "-a", "PLAIN", "-au", "alice", "-ap"]
    common: list[str | Path] = [
        peer_program("swaks"),
        "-s",
        f"127.0.0.1:{lab.port}",
        "-f",
        SENDER,
        "-t",
        "anybody@elsewhere.example",
    ]
    assert run(*common, *login, "wonderland").returncode == 0
    assert run(*common, *login, "wrong").returncode == 28


@pytest.mark.peer
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "starttls"])
def test_curl(lab: RunningLab, peer_program: Programs, message: Path, authority: Path, tls: bool) -> None:
    options: list[str | Path] = ["--ssl-reqd", "--cacert", authority] if tls else []
    done = run(
        peer_program("curl"), "-sS", f"smtp://127.0.0.1:{lab.port}/yourdomain.com", *options,
        "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", message,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert lab.lab.messages[-1].content == MESSAGE


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "starttls"])
def test_smtplib(lab: RunningLab, authority: Path, tls: bool) -> None:
    with smtplib.SMTP("localhost", lab.port, timeout=30) as client:
        if tls:
            client.starttls(context=ssl.create_default_context(cafile=str(authority)))
            client.login("alice", "wonderland")
        refused = client.sendmail(SENDER, [RECIPIENT] if tls else [RECIPIENT, UNKNOWN], MESSAGE)
    assert list(refused) == ([] if tls else [UNKNOWN])
    assert lab.lab.messages[-1].content == MESSAGE


def test_smtplib_is_refused_with_a_wrong_password(lab: RunningLab, authority: Path) -> None:
    with smtplib.SMTP("localhost", lab.port, timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(authority)))
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            client.login("alice", "wrong")
    assert refusal.value.smtp_code == 535


@pytest.mark.peer
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "starttls"])
def test_msmtp(lab: RunningLab, peer_program: Programs, authority: Path, tls: bool) -> None:
    security = ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={authority}"] if tls else ["--tls=off"]
    done = run(
        peer_program("msmtp"), "--file=/dev/null", "--host=localhost", f"--port={lab.port}", *security,
        f"--from={SENDER}", RECIPIENT, stdin=MESSAGE.replace(b"\r\n", b"\n"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # msmtp puts a Date before the message.
    assert lab.lab.messages[-1].content.endswith(MESSAGE)


@pytest.mark.peer
@pytest.mark.parametrize("options", [[], ["-d"]], ids=["a session a message", "many a session"])
def test_smtp_source(lab: RunningLab, options: list[str]) -> None:
    with skip_if_missing():
        done = smtp_source(
            lab.host, lab.port, *options, "-s", "10", "-m", "300", "-l", "2000", "-f", SENDER, "-t", RECIPIENT
        )
    assert done.returncode == 0, done.stderr
    assert len(lab.lab.messages) == 300
    assert len({message.id for message in lab.lab.messages}) == 300
    assert lab.lab.session_count == (10 if options else 300)
    assert all(transcript.events[-1].kind == "close" for transcript in lab.lab.sessions)
