"""Clients that nobody here wrote, each against each persona: a message arrives as sent, a refusal is understood."""

from __future__ import annotations

import asyncio
import json
import shlex
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ehlo.lab import Lab, Policy, RunningLab, load_persona
from ehlo.lab.persona import persona_names
from ehlo.transcript import exchanges
from peers.debian import cache_folder
from peers.exim import exim
from peers.fixtures import skip_if_missing
from peers.postfix import postfix
from peers.sink import smtp_source

Programs = Callable[[str], Path]

SENDER, RECIPIENT, UNKNOWN = "sender@yourdomain.com", "recipient@example.com", "nobody@example.com"
MESSAGE = (
    b"From: sender@yourdomain.com\r\nTo: recipient@example.com\r\nSubject: one for all\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@yourdomain.com>\r\n\r\n.hidden\r\n..two\r\nlast\r\n"
)
BODY = MESSAGE.partition(b"\r\n\r\n")[2]


class Setting(NamedTuple):
    """What a client works with."""

    lab: RunningLab
    program: Programs
    folder: Path

    @property
    def encrypted(self) -> bool:
        """Whether the persona has STARTTLS."""
        return "STARTTLS" in self.lab.lab.persona.keywords

    @property
    def message(self) -> Path:
        file = self.folder / "message.eml"
        file.write_bytes(MESSAGE)
        return file

    @property
    def authority(self) -> Path:
        file = self.folder / "authority.pem"
        file.write_bytes(self.lab.lab.identity.authority)
        return file


def run(*command: str | Path, stdin: bytes = b"") -> tuple[bool, str]:
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, timeout=60)
    return done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")


# Each client takes the recipient, and gives whether it is content and what it says.


def swaks(it: Setting, recipient: str) -> tuple[bool, str]:
    tls = ["-tls"] if it.encrypted else []
    server = f"127.0.0.1:{it.lab.port}"
    return run(it.program("swaks"), "-s", server, "-f", SENDER, "-t", recipient, "--data", f"@{it.message}", *tls)


def curl(it: Setting, recipient: str) -> tuple[bool, str]:
    tls = ["--ssl-reqd", "--cacert", str(it.authority)] if it.encrypted else []
    return run(
        it.program("curl"), "-v", f"smtp://127.0.0.1:{it.lab.port}/yourdomain.com", *tls,
        "--mail-from", SENDER, "--mail-rcpt", recipient, "--upload-file", it.message,
    )  # fmt: skip


def msmtp(it: Setting, recipient: str) -> tuple[bool, str]:
    tls = ["--tls=on", f"--tls-trust-file={it.authority}"] if it.encrypted else ["--tls=off"]
    return run(
        it.program("msmtp"), "--file=/dev/null", "--host=localhost", f"--port={it.lab.port}", *tls,
        f"--from={SENDER}", recipient, stdin=MESSAGE.replace(b"\r\n", b"\n"),
    )  # fmt: skip


def python_smtplib(it: Setting, recipient: str) -> tuple[bool, str]:
    with smtplib.SMTP("localhost", it.lab.port, timeout=30) as client:
        if it.encrypted:
            client.starttls(context=it.lab.ssl_context())
        try:
            client.sendmail(SENDER, [recipient], MESSAGE)
        except smtplib.SMTPRecipientsRefused as refusal:
            code, text = refusal.recipients[recipient]
            return False, f"{code} {text.decode()}"
    return True, ""


def aiosmtplib(it: Setting, recipient: str) -> tuple[bool, str]:
    import aiosmtplib

    tls = {"start_tls": True, "tls_context": it.lab.ssl_context()} if it.encrypted else {"start_tls": False}
    try:
        asyncio.run(
            aiosmtplib.send(
                MESSAGE, sender=SENDER, recipients=[recipient], hostname="localhost", port=it.lab.port, **tls
            )
        )
    except aiosmtplib.SMTPRecipientsRefused as refusal:
        return False, f"{refusal.recipients[0].code} {refusal.recipients[0].message}"
    return True, ""


NODEMAILER = """
const nodemailer = require('nodemailer');
const it = JSON.parse(process.argv[1]);
nodemailer.createTransport({host: 'localhost', port: it.port, secure: false, requireTLS: it.encrypted,
  ignoreTLS: !it.encrypted, tls: {ca: it.authority}})
  .sendMail({envelope: {from: it.sender, to: [it.recipient]}, raw: it.message})
  .then(() => process.exit(0), error => { console.log(error.message); process.exit(1); });
"""


def nodemailer(it: Setting, recipient: str) -> tuple[bool, str]:
    modules = cache_folder() / "smtp-server" / "node_modules"
    if not (modules / "nodemailer").is_dir():
        pytest.skip("nodemailer is not there")
    about = {
        "port": it.lab.port,
        "encrypted": it.encrypted,
        "authority": it.lab.lab.identity.authority.decode(),
        "sender": SENDER,
        "recipient": recipient,
        "message": MESSAGE.decode(),
    }
    done = subprocess.run(
        [str(it.program("node")), "-e", NODEMAILER, json.dumps(about)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=modules.parent,
    )
    return done.returncode == 0, done.stdout + done.stderr


CLIENTS = [swaks, curl, msmtp, python_smtplib, aiosmtplib, nodemailer]


@pytest.fixture(name="lab")
def running_lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    with Lab(load_persona(request.param), Policy(users={"alice": "wonderland"})).running() as lab:
        yield lab


each_persona = pytest.mark.parametrize("lab", persona_names(), indirect=True)
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


@pytest.mark.peer
@each_persona
@each_client
def test_a_message_arrives(
    lab: RunningLab, client: Callable[[Setting, str], tuple[bool, str]], peer_program: Programs, tmp_path: Path
) -> None:
    it = Setting(lab, peer_program, tmp_path)
    content, said = client(it, RECIPIENT)
    assert content, said
    message = lab.wait_for(to=RECIPIENT)
    assert message.sender.address == SENDER
    # Some add fields of their own above, or a line end below.
    assert message.content.partition(b"\r\n\r\n")[2].rstrip() == BODY.rstrip()
    tls = any(event.kind == "tls" and "error" not in event.facts for event in message.transcript.events)
    assert tls == it.encrypted


@pytest.mark.peer
@each_persona
@each_client
def test_a_refusal_is_understood(
    lab: RunningLab, client: Callable[[Setting, str], tuple[bool, str]], peer_program: Programs, tmp_path: Path
) -> None:
    content, said = client(Setting(lab, peer_program, tmp_path), UNKNOWN)
    assert not content
    assert "550" in said
    assert lab.messages == []
    replies = [event.text for event in lab.sessions[-1].events if event.who == "server" and event.stage == "rcpt"]
    reason = replies[0][4:].removeprefix("5.1.1 ").removeprefix("5.1.10 ")[:20]
    # curl shows the code alone unless it is asked for all; msmtp wraps.
    assert reason in " ".join(said.split())


@pytest.mark.peer
@each_persona
def test_smtp_source(lab: RunningLab) -> None:
    with skip_if_missing():
        done = smtp_source(lab.host, lab.port, "-s", "4", "-m", "40", "-f", SENDER, "-t", RECIPIENT)
    assert done.returncode == 0, done.stderr
    assert len(lab.messages) == 40


def outcomes(lab: RunningLab) -> list[str]:
    """What the server said to each RCPT of the relay, in order of time."""
    return [
        str(step.reply.code)
        for transcript in lab.sessions
        for step in exchanges(transcript.events)
        if step.verb == "RCPT" and step.reply is not None
    ]


def submit(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail(SENDER, [RECIPIENT], MESSAGE)


@pytest.mark.peer
@each_persona
def test_postfix_relays_and_tries_again(lab: RunningLab) -> None:
    lab.fault("rcpt", reply="450 4.2.0 Greylisted, come back later", times=1)
    settings = {
        "relayhost": f"[127.0.0.1]:{lab.port}",
        "virtual_mailbox_domains": "",
        "relay_domains": "example.com",
        "relay_transport": "smtp",
        "smtp_tls_security_level": "may",
        # Less, and it looks at a message again that is still on its way, and then leaves it alone for minutes.
        "queue_run_delay": "3s",
        "minimal_backoff_time": "3s",
        "maximal_backoff_time": "3s",
    }
    with skip_if_missing(), postfix(settings=settings) as relay:
        submit(relay.port)
        message = lab.wait_for(to=RECIPIENT, timeout=60)
    assert message.content.partition(b"\r\n\r\n")[2] == BODY
    assert outcomes(lab) == ["450", "250"]


@pytest.mark.peer
@each_persona
def test_exim_relays_and_tries_again(lab: RunningLab) -> None:
    lab.fault("rcpt", reply="450 4.2.0 Greylisted, come back later", times=1)
    with skip_if_missing(), exim(smarthost=lab.port) as relay:
        submit(relay.port)
        deadline = time.monotonic() + 60
        while "450" not in outcomes(lab):
            assert time.monotonic() < deadline, relay.log_file.read_text()
            time.sleep(0.1)
        while not lab.messages:
            assert time.monotonic() < deadline, relay.log_file.read_text()
            subprocess.run([*shlex.split(relay.pipe)[:-1], "-qff"], capture_output=True, timeout=60)
            time.sleep(0.5)
    assert lab.messages[0].content.partition(b"\r\n\r\n")[2] == BODY
    assert outcomes(lab) == ["450", "250"]
