"""Dovecot as an LMTP server and as a submission server, run from its unpacked packages.

It is the peer with the most ways to log in; ANONYMOUS is for its SASL socket only. Dovecot's
submission server keeps nothing: it passes each command on to a real server, which here is an
aiosmtpd of its own, in the attribute `relay`. LMTP delivers into the mailboxes, with a reply for
each recipient.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import pwd
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .aio import AioServer, aiosmtpd_server
from .certificates import Certificate
from .debian import tree
from .namespaces import inside
from .processes import Account, free_port, home, running
from .world import FULL_MAILBOX, HOST, MAILBOXES, PASSWORD, SERVER_NAME, SIZE_LIMIT, USER, MailServer

PACKAGES = {
    "dovecot-core": "usr/sbin/dovecot",
    "dovecot-lmtpd": "usr/lib/dovecot/lmtp",
    "dovecot-submissiond": "usr/lib/dovecot/submission",
}
RUNS_AS = "daemon"
LOGS_IN_AS = "nobody"
DELIVERS_AS = "mail"
MECHANISMS = "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 anonymous xoauth2 oauthbearer external"
ANONYMOUS = "anonymous"
SASL_SOCKET = "sasl"
TOKEN_SECRET = b"what the issuer of tokens shares with Dovecot"


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotServer(MailServer):
    """A running Dovecot: `port` and `tls_port` are for submission, the others say what they are."""

    relay: AioServer
    """Where submitted messages end up."""
    sasl_socket: Path
    """Where another server can ask Dovecot about a login."""


@contextlib.contextmanager
def dovecot(
    certificate: Certificate | None = None,
    *,
    size_limit: int = SIZE_LIMIT,
    user: str = USER,
    password: str = PASSWORD,
    mechanisms: str = MECHANISMS,
    settings: str = "",
) -> Iterator[DovecotServer]:
    """Run Dovecot; with a certificate it offers STARTTLS, and submission with TLS on connect.

    It asks clients for a certificate, which AUTH EXTERNAL needs; :func:`token` makes what XOAUTH2
    and OAUTHBEARER need. One mailbox, ``full@example.com``, is over its quota. `settings` are
    further lines of the configuration.
    """
    roots = [tree(package, program) for package, program in PACKAGES.items()]
    layers = [root / "usr" for root in roots if root != Path("/")]
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(home("dovecot"))
        ports = Ports(certificate is not None)
        relay = ends.enter_context(aiosmtpd_server(size_limit=size_limit, enable_SMTPUTF8=False))
        for name in ("mail", "run", "state"):
            (folder / name).mkdir()
        _account(DELIVERS_AS).give(folder / "mail")
        _write_users(folder, user, password)
        key = folder / "keys/default/HS256/default"
        key.parent.mkdir(parents=True)
        key.write_text(base64.b64encode(TOKEN_SECRET).decode())
        (folder / "oauth2.conf").write_text(OAUTH2.format(folder=folder))
        configuration = folder / "dovecot.conf"
        text = CONFIGURATION.format(
            folder=folder,
            ports=ports,
            relay=relay,
            size_limit=size_limit,
            mechanisms=mechanisms,
        )
        if certificate:
            files = certificate.copy_to(folder / "tls")
            text += TLS.format(files=files, ports=ports)
        configuration.write_text(text + settings)
        command: list[str | Path] = ["/usr/sbin/dovecot", "-F", "-c", configuration]
        if layers:
            command = inside(command, over={"/usr": layers}, name="dovecot-core")
        log_file = folder / "log"
        ends.enter_context(running(command, ports=ports.all(), output=log_file))
        maildirs = {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}
        yield DovecotServer(
            HOST,
            ports.plain,
            ports.tls,
            log_file,
            maildirs,
            proxy_port=ports.proxy,
            xclient_port=ports.plain,
            lmtp_port=ports.lmtp,
            lmtp_socket=folder / "run" / "lmtp",
            relay=relay,
            sasl_socket=folder / "run" / SASL_SOCKET,
        )


def token(user: str = USER, *, lifetime: float = 3600.0) -> str:
    """Return a token for XOAUTH2 and OAUTHBEARER, in the form of a JWT (RFC 7519).

    With a `lifetime` below zero it has run out.
    """
    now = int(time.time())
    claims = {
        "iss": "https://issuer.example.com",
        "aud": "mail",
        "sub": user,
        "iat": now - 60,
        "nbf": now - 60,
        "exp": int(now + lifetime),
    }
    signed = b".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(TOKEN_SECRET, signed, hashlib.sha256).digest()
    return (signed + b"." + _encoded(signature)).decode()


class Ports:
    """The ports of one Dovecot."""

    def __init__(self, tls: bool) -> None:
        self.plain = free_port()
        self.proxy = free_port()
        self.lmtp = free_port()
        self.tls = free_port() if tls else None

    def all(self) -> list[int]:
        """Return those that something listens on."""
        return [port for port in (self.plain, self.proxy, self.lmtp, self.tls) if port is not None]


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _account(name: str) -> Account:
    entry = pwd.getpwnam(name)
    return Account(entry.pw_uid, entry.pw_gid)


def _write_users(folder: Path, user: str, password: str) -> None:
    (folder / "passwords").write_text(f"{user}:{{PLAIN}}{password}\n")
    # Whoever logs in has to exist as well.
    lines = [f"{name}:::::{folder}/mail/{name}::\n" for name in (*MAILBOXES, user, ANONYMOUS)]
    # One byte and no more: every message is too much.
    lines.append(f"{FULL_MAILBOX}:::::{folder}/mail/{FULL_MAILBOX}::userdb_quota_rule=*:storage=1B\n")
    (folder / "mailboxes").write_text("".join(lines))


OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = sub
"""

CONFIGURATION = f"""\
protocols = submission lmtp
hostname = {SERVER_NAME}
base_dir = {{folder}}/run
state_dir = {{folder}}/state
log_path = /dev/stderr
listen = {HOST}
default_internal_user = {RUNS_AS}
default_internal_group = {RUNS_AS}
default_login_user = {LOGS_IN_AS}
first_valid_uid = 1
mail_uid = {DELIVERS_AS}
mail_gid = {DELIVERS_AS}
mail_home = {{folder}}/mail/%u
mail_location = maildir:~
ssl = no
verbose_proctitle = no
shutdown_clients = yes
auth_failure_delay = 0
auth_verbose = yes
auth_realms =
auth_mechanisms = {{mechanisms}}
auth_anonymous_username = {ANONYMOUS}
disable_plaintext_auth = no
submission_max_mail_size = {{size_limit}}
submission_relay_host = {HOST}
submission_relay_port = {{relay.port}}
submission_relay_trusted = no
haproxy_trusted_networks = 127.0.0.0/8
passdb {{{{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {{folder}}/oauth2.conf
}}}}
passdb {{{{
  driver = static
  mechanisms = external
  args = nopassword=y
}}}}
passdb {{{{
  driver = passwd-file
  mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256
  args = {{folder}}/passwords
}}}}
userdb {{{{
  driver = passwd-file
  args = username_format=%u {{folder}}/mailboxes
}}}}
plugin {{{{
  quota = maildir:all
  quota_grace = 0
}}}}
protocol lmtp {{{{
  mail_plugins = quota
  login_trusted_networks = 127.0.0.0/8
}}}}
protocol submission {{{{
  login_trusted_networks = 127.0.0.0/8
}}}}
service submission-login {{{{
  process_min_avail = 1
  inet_listener submission {{{{
    port = {{ports.plain}}
  }}}}
  inet_listener submissions {{{{
    port = 0
  }}}}
  inet_listener proxied {{{{
    port = {{ports.proxy}}
    haproxy = yes
  }}}}
}}}}
service anvil {{{{
  # Without it there is no delay for those who failed before.
  unix_listener anvil-auth-penalty {{{{
    mode = 0
  }}}}
}}}}
service auth {{{{
  unix_listener {SASL_SOCKET} {{{{
    mode = 0666
  }}}}
}}}}
service lmtp {{{{
  unix_listener lmtp {{{{
    mode = 0666
  }}}}
  inet_listener lmtp {{{{
    port = {{ports.lmtp}}
  }}}}
}}}}
"""

TLS = """\
ssl = yes
ssl_cert = <{files.chain}
ssl_key = <{files.key}
ssl_ca = <{files.authority}
ssl_require_crl = no
ssl_verify_client_cert = yes
auth_ssl_username_from_cert = yes
service submission-login {{
  inet_listener submissions {{
    port = {ports.tls}
    ssl = yes
  }}
}}
"""
