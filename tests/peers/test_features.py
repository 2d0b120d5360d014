"""Proves what is special about each peer: its extensions, its further ports, and that it ends completely."""

from __future__ import annotations

import ctypes
import os
import smtplib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from .certificates import Authority
from .dovecot import dovecot
from .exim import exim
from .fixtures import skip_if_missing
from .npm import npm_smtp_server
from .opensmtpd import opensmtpd
from .postfix import postfix
from .sendmail import sendmail
from .world import FULL_MAILBOX, HOST, SENDER, UNKNOWN_RECIPIENT, MailServer

pytestmark = pytest.mark.peer

TIMEOUT = 10.0
RECIPIENT = "recipient@example.com"
OTHER = "other@example.com"
PROXIED = "192.0.2.77"
PR_SET_CHILD_SUBREAPER = 36

KEYWORDS = {
    "dovecot_server": "8BITMIME AUTH BURL CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE STARTTLS XCLIENT",
    "postfix_server": "8BITMIME CHUNKING DSN ENHANCEDSTATUSCODES ETRN PIPELINING SIZE SMTPUTF8 STARTTLS VRFY",
    "postfix_auth_server": "AUTH",
    "postfix_dovecot_server": "AUTH",
    "exim_server": "8BITMIME AUTH CHUNKING DSN PIPECONNECT PIPELINING PRDR SIZE SMTPUTF8 STARTTLS",
    "exim_heavy_server": "8BITMIME AUTH CHUNKING DSN PIPECONNECT PIPELINING PRDR SIZE SMTPUTF8 STARTTLS",
    "opensmtpd_server": "8BITMIME DSN ENHANCEDSTATUSCODES HELP SIZE STARTTLS",
    "sendmail_server": "8BITMIME AUTH DELIVERBY DSN ENHANCEDSTATUSCODES ETRN EXPN HELP PIPELINING SIZE STARTTLS VERB",
    "npm_server": "8BITMIME AUTH DSN ENHANCEDSTATUSCODES PIPELINING SIZE SMTPUTF8 STARTTLS",
}
WITH_PROXY = [
    *((name, version) for name in ("dovecot_server", "postfix_server", "exim_heavy_server") for version in (1, 2)),
    ("npm_server", 1),
    ("opensmtpd_server", 2),
]
WITH_XCLIENT = ["dovecot_server", "postfix_server", "npm_server"]
WITH_TLS_ON_CONNECT = [
    *("dovecot_server", "postfix_server", "exim_server", "exim_heavy_server"),
    *("opensmtpd_server", "sendmail_server", "npm_server"),
]
SPEAKING_LMTP = ["dovecot_server", "npm_server"]
ASKING_FOR_CERTIFICATES = [
    "dovecot_server",
    "postfix_auth_server",
    "exim_heavy_server",
    "npm_server",
    "sendmail_server",
]

Starter = Callable[[Authority], AbstractContextManager[MailServer]]
STARTERS: dict[str, Starter] = {
    "postfix": lambda ca: postfix(ca.good),
    "exim": lambda ca: exim(ca.good),
    "exim_heavy": lambda ca: exim(ca.good, heavy=True),
    "dovecot": lambda ca: dovecot(ca.good),
    "opensmtpd": lambda ca: opensmtpd(ca.good),
    "sendmail": lambda ca: sendmail(ca.good),
    "npm": lambda ca: npm_smtp_server(ca.good),
}


class Line:
    """A plain socket that says lines and reads replies."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), TIMEOUT)
        self._reader = self.socket.makefile("rb")

    def say(self, line: str) -> str:
        """Send a line and return the reply to it."""
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> str:
        """Return the next reply, of however many lines."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            lines.append(self._reader.readline().decode())
        return "".join(lines)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self.socket.close()


@contextmanager
def line(port: int | None) -> Iterator[Line]:
    """Connect to a port that the peer must have."""
    assert port is not None
    connected = Line(port)
    try:
        yield connected
    finally:
        connected.close()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> MailServer:
    """Return the peer named by the test's parameter."""
    found: MailServer = request.getfixturevalue(request.param)
    return found


def wait_for_log(server: MailServer, text: str) -> None:
    """Wait until the server has logged the text."""
    deadline = time.monotonic() + TIMEOUT
    while text not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.02)


@pytest.mark.parametrize(("server", "keywords"), KEYWORDS.items(), indirect=["server"])
def test_offers(server: MailServer, keywords: str) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as client:
        client.ehlo("client.yourdomain.com")
        missing = [keyword for keyword in keywords.split() if not client.has_extn(keyword)]
        assert missing == [], client.esmtp_features


@pytest.mark.parametrize("server", WITH_TLS_ON_CONNECT, indirect=True)
def test_speaks_tls_on_connect(server: MailServer, ca: Authority) -> None:
    assert server.tls_port is not None
    with smtplib.SMTP_SSL(HOST, server.tls_port, timeout=TIMEOUT, context=ca.client_context()) as client:
        assert client.ehlo("client.yourdomain.com")[0] == 250


@pytest.mark.parametrize("server", ASKING_FOR_CERTIFICATES, indirect=True)
def test_asks_for_a_certificate(server: MailServer, ca: Authority) -> None:
    context = ca.client_context()
    told: list[str] = []
    # Nothing but this hook of the ssl module's own debugging says what the server asked for.
    context._msg_callback = lambda *message: told.append(repr(message[4]))  # type: ignore[attr-defined]
    with smtplib.SMTP(HOST, server.port, timeout=TIMEOUT) as client:
        client.starttls(context=context)
        assert client.ehlo("client.yourdomain.com")[0] == 250
    assert any("CERTIFICATE_REQUEST" in kind for kind in told), told


@pytest.mark.parametrize(("server", "version"), WITH_PROXY, indirect=["server"])
def test_believes_a_proxy(server: MailServer, version: int) -> None:
    port = 40_000 + version
    if version == 1:
        header = f"PROXY TCP4 {PROXIED} {HOST} {port} 25\r\n".encode()
    else:
        addresses = socket.inet_aton(PROXIED) + socket.inet_aton(HOST) + struct.pack("!HH", port, 25)
        header = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses)) + addresses
    with line(server.proxy_port) as client:
        client.socket.sendall(header)
        assert client.reply().startswith("220")
        assert client.say("EHLO client.yourdomain.com").startswith("250")
        client.say("QUIT")
    wait_for_log(server, PROXIED)


@pytest.mark.parametrize("server", WITH_XCLIENT, indirect=True)
def test_takes_another_address_from_the_client(server: MailServer) -> None:
    with line(server.xclient_port) as client:
        client.reply()
        assert "XCLIENT" in client.say("EHLO client.yourdomain.com")
        assert client.say("XCLIENT ADDR=192.0.2.78 NAME=[UNAVAILABLE]").startswith("220")
        assert client.say("EHLO client.yourdomain.com").startswith("250")
        client.say("QUIT")
    wait_for_log(server, "192.0.2.78")


@pytest.mark.parametrize("kind", ["port", "socket"])
@pytest.mark.parametrize("server", SPEAKING_LMTP, indirect=True)
def test_replies_for_each_recipient(kind: str, server: MailServer) -> None:
    before = len(server.deliveries(RECIPIENT))
    where = (HOST, server.lmtp_port) if kind == "port" else (str(server.lmtp_socket), 0)
    with smtplib.LMTP(*where) as client:  # type: ignore[arg-type]
        client.ehlo("client.yourdomain.com")
        client.mail(SENDER)
        assert client.rcpt(UNKNOWN_RECIPIENT)[0] == 550
        for mailbox in (RECIPIENT, FULL_MAILBOX, OTHER):
            assert client.rcpt(mailbox)[0] == 250
        replies = [client.data(b"Subject: x\r\n\r\nbody\r\n"), client.getreply(), client.getreply()]
    assert [code for code, _ in replies] == [250, 552, 250]
    server.wait_for(RECIPIENT, before + 1)


def test_exim_replies_for_each_recipient(exim_server: MailServer) -> None:
    before = len(exim_server.deliveries(RECIPIENT))
    with line(exim_server.port) as client:
        client.reply()
        client.say("EHLO client.yourdomain.com")
        assert client.say(f"MAIL FROM:<{SENDER}> PRDR").startswith("250")
        for mailbox in (RECIPIENT, FULL_MAILBOX):
            assert client.say(f"RCPT TO:<{mailbox}>").startswith("250")
        assert client.say("DATA").startswith("354")
        replies = [client.say("Subject: x\r\n\r\nbody\r\n."), client.reply(), client.reply(), client.reply()]
    assert [reply[:3] for reply in replies] == ["353", "250", "550", "250"]
    exim_server.wait_for(RECIPIENT, before + 1)


@pytest.mark.parametrize("name", STARTERS)
def test_leaves_no_process_behind(name: str, ca: Authority) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    # Whatever a server starts and does not wait for becomes a child of this process.
    assert library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        before = children()
        with skip_if_missing(), STARTERS[name](ca) as server:
            with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as client:
                client.ehlo("client.yourdomain.com")
            folder = server.log_file.parent
        left = children() - before
        deadline = time.monotonic() + 1
        # They have been killed, but that takes effect a moment later.
        while living := {name_of(child) for child in left if state(child) != "Z"}:
            assert time.monotonic() < deadline, living
            time.sleep(0.01)
        for child in left:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
    finally:
        library.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), TIMEOUT)


def children() -> set[int]:
    """Return this process's children, adopted ones too."""
    listed = Path("/proc/self/task").glob("*/children")
    return {int(child) for file in listed for child in file.read_text().split()}


def name_of(process: int) -> str:
    """Return the name of a process."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process}/comm").read_text().strip()
    return "one that is gone"


def state(process: int) -> str:
    """Return the letter that the kernel has for what a process does; Z is a dead one."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "Z"
