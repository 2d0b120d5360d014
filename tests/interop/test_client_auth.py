"""The client logs in to real servers, and keeps the password to itself where it should."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest

from ehlo.smtp.sasl import MECHANISMS
from peers.aio import AioServer
from peers.certificates import Authority
from peers.silent import Expect, Handshake, Hang, Send, Step, scripted
from peers.world import PASSWORD, SENDER, USER

from .client import Ehlo, Outcome
from .messages import RECIPIENT, SIMPLE
from .servers import Peer, started

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")]

ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)
LOGIN = ("--user", USER)
SECRETS = [PASSWORD, b64encode(PASSWORD.encode()).decode(), b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()]


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHLO_PASSWORD", PASSWORD)


@pytest.fixture(scope="module", params=["exim", "aiosmtpd"])
def login_server(request: pytest.FixtureRequest, ca: Authority) -> Iterator[Peer]:
    """Each server that knows a user, with STARTTLS."""
    if request.param == "exim":
        yield Peer("exim", request.getfixturevalue("exim_server"))
    else:
        with started("aiosmtpd", ca.good, user=USER) as server:
            yield server


@pytest.fixture(params=["PLAIN", "LOGIN"])
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each mechanism that all of these servers offer, as the only one that the client knows."""
    monkeypatch.setattr("ehlo.smtp.sasl.MECHANISMS", {request.param: MECHANISMS[request.param]})
    return str(request.param)


def auth_lines(outcome: Outcome) -> list[str]:
    return [event.text for event in outcome.events if event.who == "client" and event.stage == "auth" and event.data]


def test_login(mechanism: str, ehlo: Ehlo, login_server: Peer, ca: Authority) -> None:
    before = login_server.count(RECIPIENT)
    outcome = ehlo.send(login_server, SIMPLE, *LOGIN, "--ca-file", str(ca.file))
    assert outcome.answer == (0, "quit", None, None)
    shown = {
        "PLAIN": ["AUTH PLAIN [redacted]"],
        "LOGIN": ["AUTH LOGIN", b64encode(USER.encode()).decode(), "[redacted]"],
    }
    assert auth_lines(outcome) == shown[mechanism]
    assert outcome.replies[-6:] == [
        "auth 235",
        "mail 250",
        "rcpt 250",
        "data 354",
        "message 250",
        "quit 221",
    ]
    assert login_server.arrived(RECIPIENT, before + 1) == login_server.keeps(SIMPLE)
    if isinstance(login_server.server, AioServer):
        assert (login_server.server.envelopes[-1].user, login_server.server.envelopes[-1].tls) == (USER, True)
    else:
        assert f"A={mechanism.lower()}:{USER}" in login_server.server.log()  # type: ignore[union-attr]


def test_wrong_password(
    mechanism: str, ehlo: Ehlo, login_server: Peer, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EHLO_PASSWORD", "wrong")
    outcome = ehlo.check(login_server, *ENVELOPE, *LOGIN, "--ca-file", str(ca.file))
    assert outcome.answer == (16, "auth", "auth", "credentials-wrong")
    assert outcome.replies[-2:] == ["auth 535", "quit 221"]
    assert "MAIL" not in outcome.commands
    assert "wrong" not in str(outcome.document["transcript"])


def test_nothing_shows_the_password(mechanism: str, ehlo: Ehlo, login_server: Peer, ca: Authority) -> None:
    target = f"{login_server.host}:{login_server.port}"
    for words in (["-v"], ["--json"]):
        status, out, err = ehlo.run("check", target, *LOGIN, "--ca-file", str(ca.file), *words)
        assert (status, err) == (0, "")
        assert not [secret for secret in SECRETS if secret in out]
    shown = ehlo.run("check", target, *LOGIN, "--ca-file", str(ca.file), "-v", "--show-secrets")[1]
    assert [secret for secret in SECRETS if secret in shown]


def test_no_password_in_clear(ehlo: Ehlo, login_server: Peer) -> None:
    outcome = ehlo.check(login_server, *ENVELOPE, *LOGIN, "--starttls", "never", "--auth", "PLAIN")
    assert outcome.answer == (16, "auth", "auth", "auth-in-clear")
    assert outcome.commands == ["EHLO", "QUIT"]


def test_password_in_clear_when_told_to(mechanism: str, ehlo: Ehlo, login_server: Peer) -> None:
    outcome = ehlo.check(login_server, *ENVELOPE, *LOGIN, "--starttls", "never", "--auth-in-clear")
    assert outcome.answer == (0, "quit", None, None)
    assert "auth 235" in outcome.replies


def test_no_password_to_an_unverified_server(ehlo: Ehlo, login_server: Peer) -> None:
    outcome = ehlo.check(login_server, *ENVELOPE, *LOGIN)
    assert outcome.answer == (16, "auth", "tls", "certificate-required")
    assert outcome.commands == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    assert ehlo.check(login_server, *ENVELOPE, *LOGIN, "--insecure").answer.status == 0


def test_password_never_leaves_for_an_impostor(ehlo: Ehlo, ca: Authority) -> None:
    """The same, seen from the other side: every octet that the server was given, TLS taken off."""
    offer = Send(b"250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n")
    script: list[Step] = [
        *(Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO"), offer),
        *(Expect(b"STARTTLS"), Send(b"220 go\r\n"), Handshake(ca.self_signed().server_context())),
        *(Expect(b"EHLO"), offer, Hang()),
    ]
    with scripted(script) as server:
        outcome = ehlo.check(server, *LOGIN, "--timeout", "quit=0.2")
        server.wait()
    assert outcome.answer == (16, "auth", "tls", "certificate-required")
    (received,) = server.received
    assert b"EHLO" in received
    assert b"AUTH" not in received
    assert not [secret for secret in SECRETS if secret.encode() in received]


def test_login_required(ehlo: Ehlo, ca: Authority) -> None:
    with started("aiosmtpd", ca.good, user=USER, auth_required=True) as server:
        assert ehlo.check(server, *ENVELOPE).answer == (17, "mail", "auth", "login-required")
        assert ehlo.check(server, *ENVELOPE, *LOGIN, "--ca-file", str(ca.file)).answer == (0, "quit", None, None)


def test_login_where_none_is_offered(ehlo: Ehlo, postfix_server: object, ca: Authority) -> None:
    assert not isinstance(postfix_server, type(None))
    server = Peer("postfix", postfix_server)  # type: ignore[arg-type]
    outcome = ehlo.check(server, *LOGIN, "--ca-file", str(ca.file))
    assert outcome.answer == (16, "auth", "auth", "auth-not-offered")


def test_no_common_mechanism(ehlo: Ehlo, login_server: Peer, ca: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehlo.smtp.sasl.choose_mechanism", lambda offered, credentials: None)
    outcome = ehlo.check(login_server, *LOGIN, "--ca-file", str(ca.file))
    assert outcome.answer == (16, "auth", "auth", "no-common-mechanism")
