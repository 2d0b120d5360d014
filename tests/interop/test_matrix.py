"""The interoperability matrix: each server, each feature that it offers. docs/interop.md shows what passed.

What a server offers is what it says to EHLO; so nothing is left out by hand, and nothing claimed. A feature that
is offered must work: the session ends well, and where it carries a message, the message arrives.

After a change of peers: EHLO_UPDATE_DOCS=1 pytest tests/interop/test_matrix.py writes the table anew.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import ehlo
from ehlo.net.settings import TLSSettings
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.sasl import MECHANISMS
from peers.aio import AioServer, aiosmtpd_server
from peers.certificates import Authority
from peers.dovecot import DovecotServer, token
from peers.npm import TOKEN
from peers.world import FULL_MAILBOX, PASSWORD, SENDER, USER, MailServer

from .client import Ehlo, Outcome

pytestmark = pytest.mark.peer

DOCUMENT = Path(__file__).parents[2] / "docs" / "interop.md"
RECIPIENT = "recipient@example.com"
MECHANISM_NAMES = tuple(dict.fromkeys(mechanism.keyword for mechanism in MECHANISMS.values()))


class Site(NamedTuple):
    """A server to ask: the fixture that runs it, whether it is asked in LMTP, which versions of the PROXY
    protocol it knows, and a token that it takes."""

    name: str
    fixture: str
    lmtp: bool = False
    proxy: tuple[str, ...] = ("v1", "v2")
    token: Callable[[], str] = token


SITES = (
    Site("Postfix", "postfix_auth_server"),
    Site("Exim", "exim_heavy_server"),
    Site("OpenSMTPD", "opensmtpd_server", proxy=("v2",)),
    Site("Sendmail", "sendmail_server"),
    Site("Dovecot submission", "dovecot_server"),
    Site("Dovecot LMTP", "dovecot_server", lmtp=True),
    Site("aiosmtpd", "aiosmtpd_auth_server"),
    Site("smtp-server (npm)", "npm_server", proxy=("v1",), token=lambda: TOKEN),
    Site("smtp-server, LMTP", "npm_server", lmtp=True, token=lambda: TOKEN),
)

#: What Cyrus SASL offers and nobody has registered.
UNREGISTERED = {"SCRAM-SHA-224", "SCRAM-SHA-384"}

#: feature -> server -> how it went: "yes", or "-" where it is not offered.
RESULTS: dict[str, dict[str, str]] = {}


class Meeting:
    """ehlo and one server."""

    def __init__(self, site: Site, server: MailServer | AioServer, command: Ehlo, ca: Authority, folder: Path) -> None:
        self.site = site
        self.server = server
        self.ehlo = command
        self.ca = ca
        self._folder = folder
        self._serial = itertools.count()

    @property
    def target(self) -> str:
        if self.site.lmtp:
            assert isinstance(self.server, MailServer)
            return f"lmtp://{self.server.host}:{self.server.lmtp_port}"
        return f"{self.server.host}:{self.server.port}"

    @property
    def trust(self) -> tuple[str, ...]:
        return ("--ca-file", str(self.ca.file), "--verify")

    def offers(self, *, tls: bool = True, port: int | None = None) -> Capabilities:
        """What the server says to EHLO, under TLS where it can."""
        target = self.target if port is None else f"{self.server.host}:{port}"
        # Some servers offer EXTERNAL only to those who have shown a certificate.
        own = self.ca.client(USER)
        settings = TLSSettings(certificate=str(own.chain), key=str(own.key))
        with ehlo.connect(target, ca_file=str(self.ca.file), insecure=True, tls=settings) as smtp:
            smtp.ehlo()
            if tls and "STARTTLS" in smtp.capabilities:
                smtp.starttls()
            return smtp.capabilities

    def check(self, *options: str, target: str = "") -> Outcome:
        """A check up to RCPT, which must go well."""
        envelope = () if self.site.name.startswith("Dovecot sub") else ("-f", SENDER, "-t", RECIPIENT)
        outcome = self.ehlo.check(target or self.target, *envelope, *self.trust, *options)
        assert outcome.answer == (0, "quit", None, None), outcome.document["verdict"]
        return outcome

    def send(self, *options: str, body: bytes = b"hello\r\n", target: str = "") -> Outcome:
        """Send a message, which must arrive."""
        mark = secrets.token_hex(8).encode()
        message = b"Subject: " + mark + b"\r\nFrom: sender@yourdomain.com\r\n\r\n" + body
        login = self.login("PLAIN") if isinstance(self.server, DovecotServer) and not self.site.lmtp else ()
        outcome = self.ehlo.send(target or self.target, message, *self.trust, *login, *options)
        assert outcome.answer == (0, "quit", None, None), outcome.document["verdict"]
        arrived = self._wait_for(mark)
        assert arrived.replace(b"\r\n", b"\n").endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))
        return outcome

    def login(self, mechanism: str) -> tuple[str, ...]:
        """The options to log in by a mechanism."""
        secret = self.site.token() if mechanism in ("XOAUTH2", "OAUTHBEARER") else PASSWORD
        file = self._folder / f"secret{next(self._serial)}"
        file.write_text(secret + "\n")
        kind = next(known for known in MECHANISMS.values() if known.keyword == mechanism).secret
        options = ["--auth", mechanism]
        if mechanism not in ("ANONYMOUS", "GSSAPI"):
            options += ["--user", USER]
        if kind != "none":
            options += ["--password-file", str(file)]
        if mechanism == "EXTERNAL":
            certificate = self.ca.client(USER)
            options += ["--cert", str(certificate.chain), "--key", str(certificate.key)]
        return tuple(options)

    def _wait_for(self, mark: bytes) -> bytes:
        store = self.server
        if isinstance(store, DovecotServer) and not self.site.lmtp:
            store = store.relay
        before = len(store.deliveries(RECIPIENT))
        for count in itertools.count(max(before, 1)):
            found = [message for message in store.wait_for(RECIPIENT, count, timeout=30) if mark in message]
            if found:
                return found[0]
        raise AssertionError


def _tls_on_connect(meeting: Meeting) -> bool:
    port = getattr(meeting.server, "tls_port", None)
    if port is None or meeting.site.lmtp:
        return False
    meeting.check(target=f"smtps://{meeting.server.host}:{port}")
    return True


def _starttls(meeting: Meeting) -> bool:
    if "STARTTLS" not in meeting.offers(tls=False):
        return False
    meeting.check("--starttls", "require")
    return True


def _pipelining(meeting: Meeting) -> bool:
    if "PIPELINING" not in meeting.offers():
        return False
    meeting.send("--pipeline", "yes")
    return True


def _chunking(meeting: Meeting) -> bool:
    if "CHUNKING" not in meeting.offers():
        return False
    outcome = meeting.send("--chunking", "50", body=b"..\r\n" + b"one line after the other\r\n" * 20)
    assert outcome.commands.count("BDAT") > 5
    return True


def _binarymime(meeting: Meeting) -> bool:
    if "BINARYMIME" not in meeting.offers():
        return False
    meeting.send("--body-type", "binarymime", body=b"\0\x01\xff bare \n and\r\n")
    return True


def _eightbitmime(meeting: Meeting) -> bool:
    if "8BITMIME" not in meeting.offers():
        return False
    outcome = meeting.send(body="Grüße\r\n".encode())
    assert any("BODY=8BITMIME" in line for line in outcome.lines)
    return True


def _smtputf8(meeting: Meeting) -> bool:
    if "SMTPUTF8" not in meeting.offers():
        return False
    meeting.send("--smtputf8", "-f", "grüße@yourdomain.com")
    return True


def _dsn(meeting: Meeting) -> bool:
    if "DSN" not in meeting.offers():
        return False
    meeting.send("--ret", "hdrs", "--envid", "a+b=c", "--notify", "failure,delay", "--orcpt", RECIPIENT)
    return True


def _size(meeting: Meeting) -> bool:
    if "SIZE" not in meeting.offers():
        return False
    outcome = meeting.send()
    assert any(" SIZE=" in line for line in outcome.lines)
    return True


def _prdr(meeting: Meeting) -> bool:
    if "PRDR" not in meeting.offers():
        return False
    meeting.send("--prdr", "-t", "other@example.com")
    return True


def _deliver_by(meeting: Meeting) -> bool:
    if "DELIVERBY" not in meeting.offers():
        return False
    meeting.send("--deliver-by", "3600;R")
    return True


def _lmtp(meeting: Meeting) -> bool:
    if not meeting.site.lmtp:
        return False
    assert isinstance(meeting.server, MailServer)
    meeting.send()
    socket = f"lmtp://{meeting.server.lmtp_socket}"
    for target in (meeting.target, socket):
        outcome = meeting.ehlo.send(
            target, b"Subject: x\r\n\r\nhello\r\n", recipients=(RECIPIENT, FULL_MAILBOX, "other@example.com")
        )
        # Each recipient has an answer of its own behind the dot.
        assert [reply for reply in outcome.replies if reply.startswith("message")][0::2] == ["message 250"] * 2
        assert outcome.answer[:2] == (20, "message")
        assert meeting.site.name != "Dovecot LMTP" or outcome.rules[0] == "mailbox-full"
    return True


def _pipe(meeting: Meeting) -> bool:
    command = getattr(meeting.server, "pipe", None)
    if command is None or meeting.site.lmtp:
        return False
    meeting.send(target=f"pipe:{command}")
    return True


def _xclient(meeting: Meeting) -> bool:
    port = getattr(meeting.server, "xclient_port", None)
    if port is None or meeting.site.lmtp or "XCLIENT" not in meeting.offers(port=port):
        return False
    target = f"{meeting.server.host}:{port}"
    for before in ((), ("--xclient-before-tls",)):
        meeting.check("--xclient", "ADDR=192.0.2.77", "--xclient", "HELO=there.example", *before, target=target)
    return True


def _proxy(version: str) -> Callable[[Meeting], bool]:
    def feature(meeting: Meeting) -> bool:
        port = getattr(meeting.server, "proxy_port", None)
        if port is None or meeting.site.lmtp or version not in meeting.site.proxy:
            return False
        target = f"{meeting.server.host}:{port}"
        meeting.check("--proxy", f"{version} 192.0.2.78:4711 192.0.2.1:25", target=target)
        if isinstance(meeting.server, MailServer):
            deadline = time.monotonic() + 30
            while "192.0.2.78" not in meeting.server.log():
                assert time.monotonic() < deadline
                time.sleep(0.02)
        return True

    return feature


def _auth(mechanism: str) -> Callable[[Meeting], bool]:
    def feature(meeting: Meeting) -> bool:
        if mechanism not in meeting.offers().auth:
            return False
        outcome = meeting.check(*meeting.login(mechanism))
        assert "auth 235" in outcome.replies
        assert any(line.startswith(f"C: AUTH {mechanism}") for line in outcome.lines)
        return True

    return feature


FEATURES: dict[str, Callable[[Meeting], bool]] = {
    "TLS on connect": _tls_on_connect,
    "STARTTLS": _starttls,
    "PIPELINING": _pipelining,
    "CHUNKING": _chunking,
    "BINARYMIME": _binarymime,
    "8BITMIME": _eightbitmime,
    "SMTPUTF8": _smtputf8,
    "DSN": _dsn,
    "SIZE": _size,
    "PRDR": _prdr,
    "DELIVERBY": _deliver_by,
    "LMTP": _lmtp,
    "a pipe to a command": _pipe,
    "XCLIENT": _xclient,
    "PROXY v1": _proxy("v1"),
    "PROXY v2": _proxy("v2"),
    **{f"AUTH {name}": _auth(name) for name in MECHANISM_NAMES},
}


@pytest.fixture(scope="module")
def aiosmtpd_auth_server(ca: Authority) -> Iterator[AioServer]:
    with aiosmtpd_server(ca.good, user=USER, enable_SMTPUTF8=True) as server:
        yield server


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_meeting(
    site: Site,
    feature: str,
    request: pytest.FixtureRequest,
    blocking_ehlo: Ehlo,
    ca: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if feature == "AUTH GSSAPI":
        # Where there is no Kerberos nobody offers it, which says nothing of the server.
        request.getfixturevalue("kerberos_realm")
    server = request.getfixturevalue(site.fixture)
    if site.name == "Exim":
        # It knows the first version of NTLM alone; this is how pyspnego is told to speak it.
        monkeypatch.setenv("LM_COMPAT_LEVEL", "1")
    offered = FEATURES[feature](Meeting(site, server, blocking_ehlo, ca, tmp_path))
    RESULTS.setdefault(feature, {})[site.name] = "yes" if offered else "-"


def test_every_mechanism_that_is_offered_is_known(
    request: pytest.FixtureRequest, blocking_ehlo: Ehlo, ca: Authority, tmp_path: Path
) -> None:
    unknown = set()
    for site in SITES:
        meeting = Meeting(site, request.getfixturevalue(site.fixture), blocking_ehlo, ca, tmp_path)
        unknown |= set(meeting.offers().auth) - set(MECHANISM_NAMES) - UNREGISTERED
    assert unknown == set()


def _table() -> Iterator[str]:
    yield "| | " + " | ".join(site.name for site in SITES) + " |"
    yield "|---|" + "---|" * len(SITES)
    for feature in FEATURES:
        row = [RESULTS[feature][site.name] for site in SITES]
        if "yes" in row:
            yield f"| {feature} | " + " | ".join(row) + " |"


def test_the_document_shows_what_passed() -> None:
    complete = all(len(RESULTS.get(feature, {})) == len(SITES) for feature in FEATURES)
    if not complete:
        pytest.skip("not all cells of the matrix were run")
    text = DOCUMENT.read_text("utf-8")
    before, table, after = text.partition("| | Postfix")
    table, blank, after = (table + after).partition("\n\n")
    renewed = before + "\n".join(_table()) + blank + after
    if os.environ.get("EHLO_UPDATE_DOCS"):
        DOCUMENT.write_text(renewed, "utf-8")
    assert renewed == DOCUMENT.read_text("utf-8")
