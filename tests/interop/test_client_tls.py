"""The client under TLS with real servers: a certificate is always judged, and only what needs it stops."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from peers.aio import aiosmtpd_server
from peers.certificates import DAY, Authority
from peers.world import SENDER

from .client import Answer, Ehlo, Outcome
from .messages import RECIPIENT, SIMPLE
from .servers import BAD_CERTIFICATES, Peer, started

pytestmark = pytest.mark.peer

ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)
UNDER_TLS = ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "QUIT"]

BAD_SERVERS = [(name, rule) for name in ("postfix", "exim", "aiosmtpd") for rule in BAD_CERTIFICATES]
TLS_ON_CONNECT = ["postfix", "exim", "aiosmtpd"]


@pytest.fixture(scope="module", params=BAD_SERVERS, ids="-".join)
def bad_server(request: pytest.FixtureRequest, ca: Authority) -> Iterator[tuple[Peer, str]]:
    """Each server with each bad certificate, and the id of the rule that says what is bad."""
    name, rule = request.param
    with started(name, BAD_CERTIFICATES[rule](ca)) as server:
        yield server, rule


@pytest.fixture(scope="module", params=TLS_ON_CONNECT)
def smtps(request: pytest.FixtureRequest, ca: Authority) -> Iterator[str]:
    """A target where TLS begins on connect, at each server."""
    if request.param == "aiosmtpd":
        with aiosmtpd_server(ca.good, tls_on_connect=True) as server:
            yield f"smtps://{server.host}:{server.port}"
    else:
        yield Peer(request.param, request.getfixturevalue(f"{request.param}_server")).tls_target


@pytest.fixture(scope="module", params=TLS_ON_CONNECT)
def expired_smtps(request: pytest.FixtureRequest, ca: Authority) -> Iterator[str]:
    """The same, with a certificate that has expired."""
    if request.param == "aiosmtpd":
        with aiosmtpd_server(ca.expired(), tls_on_connect=True) as server:
            yield f"smtps://{server.host}:{server.port}"
    else:
        with started(request.param, ca.expired()) as peer:
            yield peer.tls_target


def is_verified(outcome: Outcome) -> object:
    return outcome.event("tls").facts["verified"]


def test_verified(ehlo: Ehlo, choosy_server: Peer, ca: Authority) -> None:
    outcome = ehlo.check(choosy_server, *ENVELOPE, "--ca-file", str(ca.file), "--verify", "--starttls", "require")
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.commands == UNDER_TLS
    tls = outcome.event("tls", "starttls")
    assert tls.facts["verified"] is True
    assert tls.facts["names"] == ["mail.example.com", "localhost", "127.0.0.1"]
    assert tls.facts["version"] == "TLSv1.3"
    assert outcome.replies.count("ehlo 250") == 2


def test_message_under_tls(ehlo: Ehlo, choosy_server: Peer, ca: Authority) -> None:
    before = choosy_server.count(RECIPIENT)
    outcome = ehlo.send(choosy_server, SIMPLE, "--ca-file", str(ca.file))
    assert outcome.answer == (0, "quit", None, None)
    assert choosy_server.arrived(RECIPIENT, before + 1) == choosy_server.keeps(SIMPLE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_name_is_the_one_that_was_asked_for(host: str, ehlo: Ehlo, choosy_server: Peer, ca: Authority) -> None:
    outcome = ehlo.check(f"{host}:{choosy_server.port}", "--ca-file", str(ca.file), "--verify")
    assert outcome.answer == (0, "quit", None, None)


def test_unknown_authority_is_a_finding_and_the_session_goes_on(ehlo: Ehlo, choosy_server: Peer) -> None:
    before = choosy_server.count(RECIPIENT)
    outcome = ehlo.send(choosy_server, SIMPLE)
    assert outcome.answer == (0, "quit", None, "certificate-unknown-issuer")
    assert is_verified(outcome) is False
    assert choosy_server.arrived(RECIPIENT, before + 1) == choosy_server.keeps(SIMPLE)


def test_verify_stops_before_anything_is_said(ehlo: Ehlo, choosy_server: Peer) -> None:
    outcome = ehlo.check(choosy_server, *ENVELOPE, "--verify")
    assert outcome.answer == (15, "starttls", "tls", "certificate-unknown-issuer")
    assert "certificate-required" in outcome.rules
    assert outcome.commands == ["EHLO", "STARTTLS"]


def test_bad_certificate(ehlo: Ehlo, bad_server: tuple[Peer, str], ca: Authority) -> None:
    server, rule = bad_server
    trust = "--ca-file", str(ca.file)
    outcome = ehlo.check(server, *ENVELOPE, *trust)
    assert outcome.answer == (0, "quit", None, rule)
    assert outcome.commands == UNDER_TLS
    assert is_verified(outcome) is False
    stopped = ehlo.check(server, *ENVELOPE, *trust, "--verify")
    assert stopped.answer == (15, "starttls", "tls", rule)
    assert "certificate-required" in stopped.rules
    assert "MAIL" not in stopped.commands
    assert ehlo.check(server, *ENVELOPE, *trust, "--verify", "--insecure").answer == (0, "quit", None, rule)


@pytest.mark.parametrize(
    ("days", "trusted", "rules"),
    [
        ((-30, -1), True, ["certificate-expired", "certificate-wrong-name"]),
        ((1, 30), True, ["certificate-not-yet-valid", "certificate-wrong-name"]),
        ((-30, -1), False, ["certificate-unknown-issuer", "certificate-expired", "certificate-wrong-name"]),
    ],
)
def test_all_that_is_wrong_with_a_certificate(
    ehlo: Ehlo, ca: Authority, days: tuple[int, int], trusted: bool, rules: list[str]
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + day * DAY for day in days)
    certificate = ca.issue("wrong", ("other.example.org",), not_before=begin, not_after=end)
    with aiosmtpd_server(certificate) as server:
        options = ["--ca-file", str(ca.file)] if trusted else []
        outcome = ehlo.check(server, *ENVELOPE, *options)
    assert outcome.rules == rules
    last = outcome.document["verdict"]["findings"][-1]
    assert last["title"] == f"The server's certificate is not for {server.host}"
    assert outcome.event("tls", "starttls").facts["name_verified"] is False


def test_tls_on_connect(ehlo: Ehlo, smtps: str, ca: Authority) -> None:
    outcome = ehlo.check(smtps, *ENVELOPE, "--ca-file", str(ca.file), "--verify")
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "QUIT"]
    assert outcome.event("tls", "tls").facts["verified"] is True
    kinds = [event.kind for event in outcome.events]
    assert kinds[: kinds.index("line")] == ["connect", "tls"]


def test_tls_on_connect_with_a_bad_certificate(ehlo: Ehlo, expired_smtps: str, ca: Authority) -> None:
    trust = "--ca-file", str(ca.file)
    assert ehlo.check(expired_smtps, *ENVELOPE, *trust).answer == (0, "quit", None, "certificate-expired")
    stopped = ehlo.check(expired_smtps, *ENVELOPE, *trust, "--verify")
    assert stopped.answer == (12, "tls", "tls", "certificate-expired")
    assert stopped.commands == []


def test_message_by_tls_on_connect(ehlo: Ehlo, ca: Authority) -> None:
    with aiosmtpd_server(ca.good, tls_on_connect=True) as server:
        outcome = ehlo.send(f"smtps://{server.host}:{server.port}", SIMPLE, "--ca-file", str(ca.file))
        assert outcome.answer == (0, "quit", None, None)
        (kept,) = server.envelopes
    assert (kept.content, kept.tls) == (SIMPLE, True)


def test_starttls_required_but_not_offered(ehlo: Ehlo) -> None:
    with started("aiosmtpd") as server:
        outcome = ehlo.check(server, *ENVELOPE, "--starttls", "require")
        assert outcome.answer == (15, "starttls", "tls", "starttls-not-offered")
        assert outcome.commands == ["EHLO", "QUIT"]
        assert ehlo.check(server, *ENVELOPE).answer == (0, "quit", None, None)


@pytest.mark.parametrize("name", ["postfix", "aiosmtpd"])
def test_server_that_wants_tls_first(name: str, ehlo: Ehlo, ca: Authority) -> None:
    settings: dict[str, object] = {"require_starttls": True}
    if name == "postfix":
        settings = {"settings": {"smtpd_tls_security_level": "encrypt"}}
    with started(name, ca.good, **settings) as server:
        outcome = ehlo.check(server, *ENVELOPE, "--starttls", "never")
        assert outcome.answer == (17, "mail", "tls", "tls-required")
        assert ehlo.check(server, *ENVELOPE, "--ca-file", str(ca.file)).status == 0


def test_plain_port_is_no_tls_port(ehlo: Ehlo, choosy_server: Peer) -> None:
    outcome = ehlo.check(f"smtps://{choosy_server.host}:{choosy_server.port}", *ENVELOPE)
    assert outcome.answer == (12, "tls", "client", "tls-on-plaintext-port")


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_tls_port_says_nothing_in_clear(name: str, ehlo: Ehlo, request: pytest.FixtureRequest) -> None:
    peer = Peer(name, request.getfixturevalue(f"{name}_server"))
    outcome = ehlo.check(peer.tls_target.removeprefix("smtps://"), *ENVELOPE, "--timeout", "banner=0.5")
    assert outcome.answer == Answer(13, "banner", "greeting", "silent-server")


def test_old_tls_alone_is_a_failed_handshake(ehlo: Ehlo, ca: Authority) -> None:
    settings = {"smtpd_tls_protocols": "<=TLSv1.1", "tls_preempt_cipherlist": "yes"}
    with started("postfix", ca.good, settings=settings) as server:
        outcome = ehlo.check(server, *ENVELOPE)
    assert outcome.answer == (15, "starttls", "tls", "tls-old-version")
    assert "error" in outcome.event("tls", "starttls").facts
