"""The peers as pytest fixtures, each started once a test run, and only if a test asks for it.

For use in a `conftest.py`: import the fixtures by name. A test whose peer is not on this machine is
skipped with a reason that starts with ``peer missing:``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import aio, debian
from .certificates import Authority
from .dovecot import DovecotServer, dovecot
from .exim import exim
from .kerberos import KerberosRealm, kerberos
from .npm import npm_smtp_server
from .opensmtpd import opensmtpd
from .postfix import postfix
from .sendmail import sendmail
from .sink import Sink, smtp_sink
from .world import MailServer

__all__ = [
    "aiosmtpd_server",
    "ca",
    "dovecot_server",
    "exim_heavy_server",
    "exim_server",
    "kerberos_realm",
    "npm_server",
    "opensmtpd_server",
    "optional_realm",
    "peer_program",
    "postfix_auth_server",
    "postfix_dovecot_server",
    "postfix_server",
    "sendmail_server",
    "sink_server",
    "skip_if_missing",
]


@contextlib.contextmanager
def skip_if_missing() -> Iterator[None]:
    """Turn a missing peer into a skipped test."""
    try:
        yield
    except debian.PeerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that has issued all servers' certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def optional_realm() -> Iterator[KerberosRealm | debian.PeerMissing]:
    """Run a Kerberos realm, or tell why there is none: servers do without, tests do not."""
    with contextlib.ExitStack() as ends:
        try:
            found: KerberosRealm | debian.PeerMissing = ends.enter_context(kerberos())
        except debian.PeerMissing as missing:
            found = missing
        yield found


@pytest.fixture
def kerberos_realm(
    optional_realm: KerberosRealm | debian.PeerMissing, monkeypatch: pytest.MonkeyPatch
) -> KerberosRealm:
    """Return the realm; this process has a ticket of its user."""
    if isinstance(optional_realm, debian.PeerMissing):
        pytest.skip(str(optional_realm))
    for name, value in optional_realm.for_clients.items():
        monkeypatch.setenv(name, value)
    return optional_realm


def _realm(found: KerberosRealm | debian.PeerMissing) -> KerberosRealm | None:
    return found if isinstance(found, KerberosRealm) else None


@pytest.fixture(scope="session")
def postfix_server(ca: Authority) -> Iterator[MailServer]:
    """Run Postfix with STARTTLS and TLS on connect."""
    with skip_if_missing(), postfix(ca.good) as server:
        yield server


@pytest.fixture(scope="session")
def postfix_auth_server(ca: Authority, optional_realm: KerberosRealm | debian.PeerMissing) -> Iterator[MailServer]:
    """Run Postfix with AUTH by Cyrus SASL, which asks clients for a certificate."""
    realm = _realm(optional_realm)
    with skip_if_missing(), postfix(ca.good, sasl="cyrus", ask_certificate=True, realm=realm) as server:
        yield server


@pytest.fixture(scope="session")
def postfix_dovecot_server(ca: Authority, dovecot_server: DovecotServer) -> Iterator[MailServer]:
    """Run Postfix with AUTH by Dovecot SASL."""
    with skip_if_missing(), postfix(ca.good, sasl=dovecot_server.sasl_socket) as server:
        yield server


@pytest.fixture(scope="session")
def exim_server(ca: Authority) -> Iterator[MailServer]:
    """Run Exim with STARTTLS, TLS on connect and AUTH."""
    with skip_if_missing(), exim(ca.good) as server:
        yield server


@pytest.fixture(scope="session")
def exim_heavy_server(ca: Authority, optional_realm: KerberosRealm | debian.PeerMissing) -> Iterator[MailServer]:
    """Run the Exim with all mechanisms of AUTH, which asks clients for a certificate."""
    with skip_if_missing(), exim(ca.good, heavy=True, ask_certificate=True, realm=_realm(optional_realm)) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_server(ca: Authority) -> Iterator[DovecotServer]:
    """Run Dovecot: submission with TLS and all it knows of AUTH, and LMTP."""
    with skip_if_missing(), dovecot(ca.good) as server:
        yield server


@pytest.fixture(scope="session")
def npm_server(ca: Authority) -> Iterator[MailServer]:
    """Run the npm package smtp-server with all it knows, which asks clients for a certificate."""
    with skip_if_missing(), npm_smtp_server(ca.good, ask_certificate=True) as server:
        yield server


@pytest.fixture(scope="session")
def opensmtpd_server(ca: Authority) -> Iterator[MailServer]:
    """Run OpenSMTPD with STARTTLS and TLS on connect, and AUTH under TLS."""
    with skip_if_missing(), opensmtpd(ca.good) as server:
        yield server


@pytest.fixture(scope="session")
def sendmail_server(ca: Authority, optional_realm: KerberosRealm | debian.PeerMissing) -> Iterator[MailServer]:
    """Run Sendmail with STARTTLS, TLS on connect and AUTH; it asks clients for a certificate."""
    with skip_if_missing(), sendmail(ca.good, realm=_realm(optional_realm)) as server:
        yield server


@pytest.fixture(scope="session")
def sink_server() -> Iterator[Sink]:
    """Run a sink that takes everything."""
    with skip_if_missing(), smtp_sink() as sink:
        yield sink


@pytest.fixture(scope="session")
def aiosmtpd_server(ca: Authority) -> Iterator[aio.AioServer]:
    """Run aiosmtpd with STARTTLS, without AUTH."""
    with aio.aiosmtpd_server(ca.good) as server:
        yield server


@pytest.fixture(scope="session")
def peer_program() -> Callable[[str], Path]:
    """Return a function that finds a client such as ``swaks``, or skips the test."""

    def find(name: str) -> Path:
        with skip_if_missing():
            return debian.program(name)
        raise AssertionError("pytest.skip returned")

    return find
