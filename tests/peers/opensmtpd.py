"""OpenSMTPD on loopback ports, run from the unpacked package.

It insists on accounts of its own, on an empty folder to be locked up in, and on its queue being in
one place. In the mount namespace it runs in all that is there, and every mailbox is a user, too.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .certificates import Certificate
from .debian import tree
from .namespaces import inside
from .processes import free_port, home, running
from .world import DOMAIN, HOST, MAILBOXES, PASSWORD, REFUSED_SENDER, SERVER_NAME, SIZE_LIMIT, USER, MailServer

PACKAGE = "opensmtpd"
DELIVERS_AS = "mail"


@contextlib.contextmanager
def opensmtpd(
    certificate: Certificate | None = None,
    *,
    size_limit: int = SIZE_LIMIT,
    user: str = USER,
    password: str = PASSWORD,
    settings: str = "",
) -> Iterator[MailServer]:
    """Run OpenSMTPD; with a certificate it offers STARTTLS, and TLS on connect on a second port.

    A further port is for those who come through a proxy (version 2 only). AUTH is offered inside
    TLS only, for one user; logging in changes nothing else. `settings` are further lines of the
    configuration, before those set here.
    """
    root = tree(PACKAGE, "usr/sbin/smtpd")
    with home(PACKAGE) as folder:
        port, proxy_port = free_port(), free_port()
        tls_port = free_port() if certificate else None
        _make_folders(folder)
        _write_accounts(folder / "etc")
        (folder / "credentials").write_text(f"{user}\t{_hashed(root, password)}\n")
        kinds = {port: "", proxy_port: "proxy-v2"}
        pki = ""
        if certificate:
            files = certificate.copy_to(folder / "tls")
            files.key.chmod(0o600)
            pki = PKI.format(files=files)
            offered = f"pki {SERVER_NAME} auth-optional <credentials>"
            kinds = {number: f"tls {offered} {kind}" for number, kind in kinds.items()}
            kinds[tls_port or 0] = f"smtps {offered}"
        listeners = "".join(
            f'listen on {HOST} port {number} {kind} hostname {SERVER_NAME} filter "refuse"\n'
            for number, kind in kinds.items()
        )
        configuration = folder / "smtpd.conf"
        configuration.write_text(
            settings + pki + CONFIGURATION.format(folder=folder, size_limit=size_limit, listeners=listeners)
        )
        command = inside(
            ["/usr/sbin/smtpd", "-d", "-f", configuration],
            over={"/usr": [root / "usr"], "/etc": [folder / "etc"]}
            if root != Path("/")
            else {"/etc": [folder / "etc"]},
            at={"/var/lib": folder / "lib", "/var/spool": folder / "spool", "/run": folder / "run"},
            name=PACKAGE,
        )
        log_file = folder / "log"
        with running(command, ports=list(kinds), output=log_file):
            maildirs = {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}
            yield MailServer(HOST, port, tls_port, log_file, maildirs, proxy_port=proxy_port)


def _make_folders(folder: Path) -> None:
    for name in ("etc", "lib/opensmtpd/empty", "spool", "run", "mail"):
        (folder / name).mkdir(parents=True)
    # The queue; everything must belong to whom smtpd thinks it should, or it does not start.
    (folder / "spool/smtpd").mkdir(mode=0o711)


def _write_accounts(etc: Path) -> None:
    owner = pwd.getpwnam(DELIVERS_AS)
    group = owner.pw_gid
    homes = etc.parent / "mail"
    users = [
        f"{mailbox.partition('@')[0]}:x:{owner.pw_uid}:{group}::{homes}/{mailbox}:/bin/sh" for mailbox in MAILBOXES
    ]
    for mailbox in MAILBOXES:
        (homes / mailbox).mkdir()
        (homes / mailbox).chmod(0o755)
        os.chown(homes / mailbox, owner.pw_uid, group)
    (etc / "passwd").write_text("\n".join([ACCOUNTS, *users, ""]))
    (etc / "group").write_text(f"root:x:0:\nopensmtpd:x:65530:\nopensmtpq:x:65529:\nmail:x:{group}:\n")


def _hashed(root: Path, password: str) -> str:
    encrypt = root / "usr/libexec/opensmtpd/encrypt"
    done = subprocess.run([str(encrypt), password], check=True, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()


ACCOUNTS = """\
root:x:0:0::/root:/bin/sh
opensmtpd:x:65530:65530::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:65529:65529::/var/lib/opensmtpd/empty:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin"""

PKI = f"""\
pki {SERVER_NAME} cert "{{files.chain}}"
pki {SERVER_NAME} key "{{files.key}}"
"""

CONFIGURATION = f"""\
smtp max-message-size "{{size_limit}}"
table credentials file:{{folder}}/credentials
table mailboxes {{{{ {", ".join(f'"{mailbox}"' for mailbox in MAILBOXES)} }}}}
table refused {{{{ "{REFUSED_SENDER}" }}}}
filter "refuse" phase mail-from match mail-from <refused> reject "550 5.7.1 Sender refused"
{{listeners}}
action "deliver" maildir "{{folder}}/mail/%{{{{dest.user}}}}@{DOMAIN}"
match from any for rcpt-to <mailboxes> action "deliver"
"""
