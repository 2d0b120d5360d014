"""GSSAPI against real servers and a real Kerberos: what is said, and what stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers.kerberos import KerberosRealm
from peers.world import MailServer

from .client import Ehlo

pytestmark = pytest.mark.peer

#: The servers that take a ticket.
SERVERS = ["postfix_auth_server", "exim_heavy_server", "sendmail_server"]


@pytest.mark.parametrize("name", SERVERS)
def test_each_step_is_explained(
    name: str, kerberos_realm: KerberosRealm, request: pytest.FixtureRequest, blocking_ehlo: Ehlo
) -> None:
    server: MailServer = request.getfixturevalue(name)
    target = f"localhost:{server.port}"
    status, out, _ = blocking_ehlo.run("check", target, "--auth", "GSSAPI", "--insecure", "-v", "--show-secrets")
    assert status == 0, out
    text = " ".join(out.split())
    meanings = ["a Kerberos ticket: 60", "the proof that it is the server of the ticket: 60"]
    meanings += ["the security layers it has: 0504", "takes no security layer: 0504", "GSSAPI: 235"]
    assert [meaning for meaning in meanings if meaning not in text] == []
    status, out, _ = blocking_ehlo.run("check", target, "--auth", "GSSAPI", "--insecure", "-v")
    assert "C: AUTH GSSAPI [redacted]" in out


def test_without_a_ticket(
    kerberos_realm: KerberosRealm,
    postfix_auth_server: MailServer,
    ehlo: Ehlo,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/none")
    outcome = ehlo.check(postfix_auth_server, "--auth", "GSSAPI", "--insecure")
    assert outcome.answer == (16, "auth", "auth", "login-impossible")
    assert "GSSAPI: No Kerberos credentials available" in outcome.event("error").fact("message")


def test_a_server_that_kerberos_does_not_know(
    kerberos_realm: KerberosRealm, postfix_auth_server: MailServer, blocking_ehlo: Ehlo
) -> None:
    options = ("--auth", "GSSAPI", "--insecure", "--tls-name", "unknown.yourdomain.com")
    outcome = blocking_ehlo.check(postfix_auth_server, *options)
    assert outcome.answer == (16, "auth", "auth", "login-impossible")
    assert "not found in Kerberos database" in outcome.event("error").fact("message")


def test_nobody_acts_as_another(
    kerberos_realm: KerberosRealm, postfix_auth_server: MailServer, blocking_ehlo: Ehlo
) -> None:
    options = ("--auth", "GSSAPI", "--insecure", "--authzid", "somebody")
    outcome = blocking_ehlo.check(postfix_auth_server, *options)
    assert outcome.answer.status == 16
    assert outcome.replies[-2:] == ["auth 535", "quit 221"]
