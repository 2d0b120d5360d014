"""Proves the harness itself: each peer does what it is there for, seen by Python's smtplib."""

from __future__ import annotations

import itertools
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from .aio import AioServer, aiosmtpd_server
from .certificates import Authority, Certificate
from .debian import PeerMissing, tree
from .exim import exim
from .fixtures import skip_if_missing
from .npm import npm_smtp_server
from .postfix import postfix
from .processes import free_port
from .sink import Sink, smtp_sink, smtp_source
from .world import (
    HOST,
    OUTSIDE_RECIPIENT,
    PASSWORD,
    REFUSED_SENDER,
    SENDER,
    SIZE_LIMIT,
    UNKNOWN_RECIPIENT,
    USER,
    MailServer,
)

pytestmark = pytest.mark.peer

TIMEOUT = 10.0
RECIPIENT = "recipient@example.com"
PERMANENT = range(500, 600)
SMALL_LIMIT = 20_000

# Lines that begin with dots, a lone dot, the longest line RFC 5321 allows, bytes beyond ASCII, a
# line that mbox files would escape, and trailing blanks.
BODY = (
    b".one dot\r\n..two dots\r\n.\r\n"
    + b"x" * 998
    + b"\r\nb\xc3\xbccher \xff\xfe\r\nFrom here\r\n\r\nblanks  \t\r\nend\r\n"
)

Server = MailServer | AioServer
Starter = Callable[..., AbstractContextManager[Server]]
serial = itertools.count()


@pytest.fixture(
    params=["postfix_server", "exim_server", "npm_server", "opensmtpd_server", "sendmail_server", "aiosmtpd_server"]
)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server that knows mailboxes, in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(
    params=[postfix, exim, npm_smtp_server, aiosmtpd_server],
    ids=["postfix", "exim", "npm", "aiosmtpd"],
)
def start(request: pytest.FixtureRequest) -> Starter:
    """Return the function that starts each of them."""
    found: Starter = request.param
    return found


@pytest.fixture
def client(server: Server) -> Iterator[smtplib.SMTP]:
    """Begin a session with the server, after EHLO."""
    with session(server) as begun:
        yield begun


@contextmanager
def session(server: Server | Sink, host: str = HOST) -> Iterator[smtplib.SMTP]:
    """Connect, say EHLO, and QUIT in the end."""
    with smtplib.SMTP(host, server.port, timeout=TIMEOUT) as client:
        client.ehlo("client.yourdomain.com")
        yield client


def message() -> bytes:
    """Return a message like no other, with everything in it that a transfer can break."""
    number = next(serial)
    # With a date and an identity: some servers give a message those that has none.
    header = (
        f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: number {number}\r\n"
        f"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <{number}@yourdomain.com>\r\n\r\n"
    )
    return header.encode() + BODY


def with_lf(content: bytes) -> bytes:
    """Return the content with the line endings that servers store."""
    return content.replace(b"\r\n", b"\n")


def test_delivers_every_byte(server: Server, client: smtplib.SMTP) -> None:
    sent = message()
    before = len(server.deliveries(RECIPIENT))
    assert client.sendmail(SENDER, [RECIPIENT], sent, mail_options=["BODY=8BITMIME"]) == {}
    delivered = server.wait_for(RECIPIENT, before + 1)[-1]
    assert with_lf(delivered).endswith(with_lf(sent))


def test_refuses_an_unknown_recipient(client: smtplib.SMTP) -> None:
    client.mail(SENDER)
    assert client.rcpt(UNKNOWN_RECIPIENT)[0] == 550
    assert client.rcpt(RECIPIENT)[0] == 250


def test_relays_nothing(client: smtplib.SMTP) -> None:
    client.mail(SENDER)
    assert client.rcpt(OUTSIDE_RECIPIENT)[0] in PERMANENT


def test_refuses_a_sender(client: smtplib.SMTP) -> None:
    assert client.mail(REFUSED_SENDER)[0] in PERMANENT
    assert client.mail(SENDER)[0] == 250


def test_refuses_a_declared_size(client: smtplib.SMTP, request: pytest.FixtureRequest) -> None:
    assert client.esmtp_features["size"] == str(SIZE_LIMIT)
    # OpenSMTPD does not look at the size that is declared, only at what then comes.
    expected = 250 if request.node.callspec.params["server"] == "opensmtpd_server" else 552
    assert client.mail(SENDER, [f"SIZE={SIZE_LIMIT * 2}"])[0] == expected


def test_refuses_content_that_is_too_large(start: Starter) -> None:
    with skip_if_missing(), start(size_limit=SMALL_LIMIT) as server:
        with session(server) as client:
            client.mail(SENDER)
            client.rcpt(RECIPIENT)
            code, _ = client.data(message() + b"more and more\r\n" * SMALL_LIMIT)
        assert code == 552
        assert server.deliveries(RECIPIENT) == []


def test_starttls_is_not_offered_without_a_certificate(start: Starter) -> None:
    with skip_if_missing(), start() as server, session(server) as client:
        assert not client.has_extn("starttls")


def test_starttls(server: Server, client: smtplib.SMTP, ca: Authority) -> None:
    sent = message()
    before = len(server.deliveries(RECIPIENT))
    client.starttls(context=ca.client_context())
    client.sendmail(SENDER, [RECIPIENT], sent)
    assert with_lf(server.wait_for(RECIPIENT, before + 1)[-1]).endswith(with_lf(sent))


@pytest.mark.parametrize("name", ["postfix_server", "exim_server"])
def test_tls_on_connect(name: str, request: pytest.FixtureRequest, ca: Authority) -> None:
    server: MailServer = request.getfixturevalue(name)
    assert server.tls_port is not None
    trusting = ca.client_context()
    with smtplib.SMTP_SSL(HOST, server.tls_port, timeout=TIMEOUT, context=trusting) as client:
        client.ehlo("client.yourdomain.com")
        assert client.mail(SENDER)[0] == 250


def test_the_log_tells_of_a_refusal(postfix_server: MailServer, exim_server: MailServer) -> None:
    for server in (postfix_server, exim_server):
        with session(server) as client:
            client.mail(SENDER)
            client.rcpt("logged@example.com")
        deadline = time.monotonic() + TIMEOUT
        while "logged@example.com" not in server.log():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_setting_of_postfix_can_be_changed() -> None:
    with (
        skip_if_missing(),
        postfix(settings={"smtpd_banner": "changed"}) as server,
        socket.create_connection((server.host, server.port), TIMEOUT) as connection,
    ):
        assert connection.recv(100) == b"220 changed\r\n"


def test_exim_knows_a_user(exim_server: MailServer) -> None:
    for method in ("auth_plain", "auth_login"):
        with session(exim_server) as client:
            client.user, client.password = USER, "wrong"
            mechanism = method.removeprefix("auth_").upper()
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.auth(mechanism, getattr(client, method))
            client.password = PASSWORD
            assert client.auth(mechanism, getattr(client, method))[0] == 235


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_aiosmtpd_knows_a_user() -> None:
    with aiosmtpd_server(user=USER, auth_required=True) as server:
        with session(server) as client:
            assert client.mail(SENDER)[0] == 530
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login(USER, "wrong")
            client.login(USER, PASSWORD)
            client.sendmail(SENDER, [RECIPIENT], message())
        (envelope,) = server.envelopes
        assert (envelope.user, envelope.tls) == (USER, False)


def test_aiosmtpd_takes_tls_on_connect(ca: Authority) -> None:
    with aiosmtpd_server(ca.good, tls_on_connect=True) as server:
        trusting = ca.client_context()
        with smtplib.SMTP_SSL(HOST, server.port, timeout=TIMEOUT, context=trusting) as client:
            client.sendmail(SENDER, [RECIPIENT], message())
        assert server.envelopes[0].tls


def test_aiosmtpd_speaks_lmtp() -> None:
    with aiosmtpd_server(lmtp=True) as server:
        with smtplib.LMTP(server.host, server.port) as client:
            assert client.sendmail(SENDER, [RECIPIENT], message()) == {}
        assert len(server.deliveries(RECIPIENT)) == 1


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Authority.expired, "certificate has expired"),
        (Authority.not_yet_valid, "certificate is not yet valid"),
        (Authority.wrong_name, "not valid for"),
        (Authority.self_signed, "self-signed certificate"),
    ],
)
def test_bad_certificates(make: Callable[[Authority], Certificate], complaint: str, ca: Authority) -> None:
    with aiosmtpd_server(make(ca)) as server, session(server, "localhost") as client:
        with pytest.raises(ssl.SSLCertVerificationError) as failure:
            client.starttls(context=ca.client_context())
        assert complaint in failure.value.verify_message


def test_sink_keeps_every_byte(sink_server: Sink) -> None:
    sent = message()
    before = len(sink_server.messages())
    with session(sink_server) as client:
        client.sendmail(SENDER, [RECIPIENT, UNKNOWN_RECIPIENT], sent, ["BODY=8BITMIME"])
    kept = sink_server.wait_for(before + 1)[-1]
    assert kept.content == with_lf(sent)
    assert kept.helo == "client.yourdomain.com"
    assert kept.mail == f"<{SENDER}> BODY=8BITMIME"
    assert kept.recipients == (f"<{RECIPIENT}>", f"<{UNKNOWN_RECIPIENT}>")


def test_sink_takes_options() -> None:
    with skip_if_missing(), smtp_sink("-f", "rcpt", keep=False) as sink, session(sink) as client:
        client.mail(SENDER)
        assert client.rcpt(RECIPIENT)[0] in PERMANENT


def test_source_sends_to_aiosmtpd(aiosmtpd_server: AioServer) -> None:
    before = len(aiosmtpd_server.envelopes)
    with skip_if_missing():
        options = ("-s", "2", "-m", "10", "-f", SENDER, "-t", RECIPIENT)
        result = smtp_source(aiosmtpd_server.host, aiosmtpd_server.port, *options)
    assert (result.returncode, result.stdout) == (0, "")
    assert len(aiosmtpd_server.envelopes) == before + 10


def test_a_missing_peer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHLO_PEERS", str(tmp_path))
    with pytest.raises(PeerMissing, match=r"^peer missing: no-such-package"):
        tree("no-such-package", "usr/sbin/no-such-program")


ORPHAN = """
import importlib, os, pathlib, signal, sys
processes = importlib.import_module(sys.argv[1])
port = int(sys.argv[2])
command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
with processes.running(command, ports=[port], output=pathlib.Path(sys.argv[3])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_servers_die_with_a_killed_test_run(tmp_path: Path) -> None:
    port = free_port()
    killed = subprocess.run(
        [sys.executable, "-c", ORPHAN, f"{__package__}.processes", str(port), tmp_path / "output"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        timeout=30,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + TIMEOUT
    while is_answered(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_answered(port: int) -> bool:
    """Tell whether somebody listens on the port."""
    try:
        socket.create_connection((HOST, port), TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    return True
