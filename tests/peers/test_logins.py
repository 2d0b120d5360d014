"""Proves that the peers know their user: msmtp and curl log in, each by every mechanism it can."""

from __future__ import annotations

import base64
import smtplib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from . import npm
from .certificates import Authority
from .dovecot import DovecotServer, token
from .world import PASSWORD, USER, MailServer

pytestmark = pytest.mark.peer

TIMEOUT = 20.0
REFUSED = 77
"""How msmtp ends when a server does not believe it: EX_NOPERM of sysexits.h."""

MSMTP = {
    "dovecot_server": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer external",
    "postfix_auth_server": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256",
    "postfix_dovecot_server": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer",
    "exim_server": "plain login cram-md5",
    "exim_heavy_server": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 external",
    "opensmtpd_server": "plain login",
    # EXTERNAL, too, but any certificate of a known authority is right for it.
    "sendmail_server": "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256",
    "npm_server": "plain login cram-md5 xoauth2",
}

#: Where NTLM, ANONYMOUS and SCRAM-SHA-512 are offered, which msmtp cannot do.
CURL_NTLM = ["postfix_auth_server", "exim_heavy_server"]
ANONYMOUS = ["postfix_auth_server", "postfix_dovecot_server", "exim_heavy_server"]
SCRAM_SHA_512 = ["postfix_auth_server", "exim_heavy_server"]

Program = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "mechanism"),
    [(name, mechanism) for name, mechanisms in MSMTP.items() for mechanism in mechanisms.split()],
)
def test_msmtp_logs_in(
    name: str,
    mechanism: str,
    request: pytest.FixtureRequest,
    peer_program: Program,
    ca: Authority,
    tmp_path: Path,
) -> None:
    server: MailServer = request.getfixturevalue(name)
    certificate = ca.client(USER)
    secret = tmp_path / "secret"

    def send() -> subprocess.CompletedProcess[str]:
        options = {
            "host": "localhost",
            "port": server.port,
            "from": USER,
            "auth": mechanism,
            "user": USER,
            "passwordeval": f"cat '{secret}'",
            "tls": "on",
            "tls-starttls": "on",
            "tls-trust-file": ca.file,
        }
        if mechanism == "external":
            options |= {"tls-cert-file": certificate.chain, "tls-key-file": certificate.key}
        return subprocess.run(
            [
                str(peer_program("msmtp")),
                "--file=/dev/null",
                *(f"--{option}={value}" for option, value in options.items()),
                "recipient@example.com",
            ],
            input="Subject: logged in\n\nbody\n",
            text=True,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )

    def given(lifetime: float, password: str) -> str:
        if mechanism in {"xoauth2", "oauthbearer"} and name != "npm_server":
            password = token(lifetime=lifetime)
        return password + "\n"

    right = npm.TOKEN if (name, mechanism) == ("npm_server", "xoauth2") else PASSWORD
    secret.write_text(given(3600, right))
    accepted = send()
    assert accepted.returncode == 0, accepted.stderr
    if mechanism == "external":
        certificate = ca.client("stranger@yourdomain.com")
    else:
        secret.write_text(given(-3600, "wrong"))
    refused = send()
    assert refused.returncode == REFUSED, refused.stderr


@pytest.mark.parametrize("name", CURL_NTLM)
def test_curl_logs_in_by_ntlm(name: str, request: pytest.FixtureRequest, peer_program: Program, tmp_path: Path) -> None:
    server: MailServer = request.getfixturevalue(name)
    message = tmp_path / "message"
    message.write_text("Subject: logged in\n\nbody\n")
    curl = [
        str(peer_program("curl")),
        "--silent",
        f"smtp://{server.host}:{server.port}",
        "--login-options",
        "AUTH=NTLM",
    ]
    curl += ["--mail-from", USER, "--mail-rcpt", "recipient@example.com", "--upload-file", str(message)]
    for password, status in ((PASSWORD, 0), ("wrong", 67)):
        command = [*curl, "--user", f"{USER}:{password}"]
        assert subprocess.run(command, check=False, timeout=TIMEOUT).returncode == status


@pytest.mark.parametrize("name", ANONYMOUS)
def test_anonymous(name: str, request: pytest.FixtureRequest) -> None:
    server: MailServer = request.getfixturevalue(name)
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as client:
        client.ehlo("client.yourdomain.com")
        assert "ANONYMOUS" in client.esmtp_features["auth"].split()
        assert client.auth("ANONYMOUS", lambda _=None: "somebody")[0] == 235


@pytest.mark.parametrize("name", SCRAM_SHA_512)
def test_scram_sha_512(name: str, request: pytest.FixtureRequest) -> None:
    server: MailServer = request.getfixturevalue(name)
    scram = pytest.importorskip("scramp").ScramClient(["SCRAM-SHA-512"], USER, PASSWORD)
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as client:
        client.ehlo("client.yourdomain.com")
        assert "SCRAM-SHA-512" in client.esmtp_features["auth"].split()

        def spoken(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        code, challenge = client.docmd("AUTH SCRAM-SHA-512", spoken(scram.get_client_first()))
        assert code == 334
        scram.set_server_first(base64.b64decode(challenge).decode())
        code, challenge = client.docmd(spoken(scram.get_client_final()))
        assert code == 334
        scram.set_server_final(base64.b64decode(challenge).decode())
        assert client.docmd("")[0] == 235


def test_dovecot_keeps_what_was_submitted(dovecot_server: DovecotServer, peer_program: Program) -> None:
    before = len(dovecot_server.relay.envelopes)
    swaks = [str(peer_program("swaks")), "--server", f"{dovecot_server.host}:{dovecot_server.port}"]
    options = ["--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD, "--from", USER]
    subprocess.run(
        [*swaks, *options, "--to", "recipient@example.com"],
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    assert len(dovecot_server.relay.envelopes) == before + 1
