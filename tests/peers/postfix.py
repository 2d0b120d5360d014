"""Postfix on a loopback port, run from the unpacked package.

Nothing of the machine is used or changed: configuration, queue and mailboxes lie in a folder of
their own, and instead of accounts named postfix and postdrop it uses accounts every Debian has.
No DNS is asked, nothing is relayed, nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from .certificates import Certificate
from .debian import PeerMissing, tree
from .kerberos import KerberosRealm
from .processes import Account, free_port, home, running
from .sasl import write_settings
from .world import (
    DOMAIN,
    HOST,
    MAILBOXES,
    PASSWORD,
    REFUSED_SENDER,
    SERVER_NAME,
    SIZE_LIMIT,
    USER,
    MailServer,
)

MAIL_OWNER = "daemon"
SETGID_GROUP = "staff"
DELIVERS_AS = "nobody"

# Postfix expects these inside its queue directory; True: they belong to the mail owner.
QUEUE_FOLDERS: Mapping[str, bool] = {
    **dict.fromkeys(("active", "bounce", "corrupt", "defer", "deferred", "flush"), True),
    **dict.fromkeys(("hold", "incoming", "private", "public", "maildrop", "saved", "trace"), True),
    "pid": False,
}

AUTH: Mapping[str, str] = {
    "smtpd_sasl_auth_enable": "yes",
    # By default ANONYMOUS is not offered.
    "smtpd_sasl_security_options": "",
    "smtpd_sasl_authenticated_header": "yes",
}


def package_tree() -> Path:
    """Return the root of the tree that Postfix lies in."""
    return tree("postfix", "usr/lib/postfix/sbin/master")


def environment(root: Path) -> dict[str, str]:
    """Return the environment variables that any program of the package needs to run."""
    return {"LD_LIBRARY_PATH": str(root / "usr/lib/postfix")}


@contextlib.contextmanager
def postfix(
    certificate: Certificate | None = None,
    *,
    size_limit: int = SIZE_LIMIT,
    sasl: Literal["cyrus"] | Path | None = None,
    user: str = USER,
    password: str = PASSWORD,
    ask_certificate: bool = False,
    realm: KerberosRealm | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[MailServer]:
    """Run Postfix; with a certificate it offers STARTTLS, and TLS on connect on a second port.

    Further ports are for those who come through a proxy, and for those who may use XCLIENT. AUTH is
    offered with `sasl`: by Cyrus SASL, for one user, or by the Dovecot that listens on the socket
    given. Logging in changes nothing else. With `ask_certificate` clients are asked for theirs; Cyrus SASL takes
    tickets of the Kerberos `realm`.

    `settings` are further parameters of ``main.cf``, or other values for those set here.
    """
    root = package_tree()
    if os.geteuid() != 0:
        raise PeerMissing("postfix", "only root can run it")
    with home("postfix") as folder:
        port, proxy_port, xclient_port = free_port(), free_port(), free_port()
        tls_port = free_port() if certificate else None
        maildirs = _make_folders(folder)
        parameters = _parameters(root, folder, size_limit)
        if sasl is not None:
            parameters |= AUTH
            if isinstance(sasl, Path):
                parameters |= {"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": str(sasl)}
        if certificate:
            files = certificate.copy_to(folder / "tls")
            parameters |= {
                "smtpd_tls_security_level": "may",
                "smtpd_tls_cert_file": str(files.chain),
                "smtpd_tls_key_file": str(files.key),
                "smtpd_tls_received_header": "yes",
            }
            if ask_certificate:
                parameters |= {"smtpd_tls_ask_ccert": "yes", "smtpd_tls_CAfile": str(files.authority)}
        parameters |= settings or {}
        main = "".join(f"{name} = {value}\n" for name, value in parameters.items())
        _configure(folder, main, _services(port, tls_port, proxy_port, xclient_port))
        command: list[str | Path] = [root / "usr/lib/postfix/sbin/master", "-d", "-c", folder / "config"]
        ports = [number for number in (port, tls_port, proxy_port, xclient_port) if number is not None]
        variables = {**environment(root), "MAIL_CONFIG": str(folder / "config")}
        if sasl == "cyrus":
            owner = pwd.getpwnam(MAIL_OWNER)
            reader = Account(owner.pw_uid, owner.pw_gid)
            # Debian's Postfix looks there, whatever cyrus_sasl_config_path says.
            variables |= write_settings(folder / "config" / "sasl", "smtpd", user, password, reader, realm)
        log_file = folder / "log"
        with running(command, ports=ports, output=log_file, environment=variables):
            yield MailServer(HOST, port, tls_port, log_file, maildirs, proxy_port=proxy_port, xclient_port=xclient_port)


def _make_folders(folder: Path) -> dict[str, Path]:
    owner = pwd.getpwnam(MAIL_OWNER)
    owner_account = Account(owner.pw_uid, owner.pw_gid)
    for name in ("config", "queue", "data", "mail"):
        (folder / name).mkdir()
    (folder / "log").touch()
    owner_account.give(folder / "data")
    for name, owned in QUEUE_FOLDERS.items():
        path = folder / "queue" / name
        path.mkdir()
        if owned:
            path.chmod(0o700)
            owner_account.give(path)
    setgid_group = grp.getgrnam(SETGID_GROUP).gr_gid
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        path = folder / "queue" / name
        os.chown(path, owner.pw_uid, setgid_group)
        path.chmod(mode)
    reader = pwd.getpwnam(DELIVERS_AS)
    Account(reader.pw_uid, reader.pw_gid).give(folder / "mail")
    return {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}


def _configure(folder: Path, main: str, services: str) -> None:
    for name, text in (("main.cf", main), ("master.cf", services)):
        file = folder / "config" / name
        file.write_text(text)
        # Postfix waits until a changed file is two seconds old, lest it be half written.
        os.utime(file, (0, 0))


def _parameters(root: Path, folder: Path, size_limit: int) -> dict[str, str]:
    delivers_as = pwd.getpwnam(DELIVERS_AS)
    mailboxes = " ".join(f"{{ {mailbox} = {mailbox}/ }}" for mailbox in MAILBOXES)
    refused = f"{{ {{ {REFUSED_SENDER} = REJECT }} }}"
    nothing_leaves = "error:5.4.4 This server sends nothing to other hosts"
    return {
        "compatibility_level": "3.6",
        # Where everything lies.
        "daemon_directory": str(root / "usr/lib/postfix/sbin"),
        "command_directory": str(root / "usr/sbin"),
        "shlib_directory": str(root / "usr/lib/postfix"),
        "meta_directory": str(root / "usr/share/postfix"),
        "sendmail_path": str(root / "usr/sbin/sendmail"),
        "queue_directory": str(folder / "queue"),
        "data_directory": str(folder / "data"),
        "maillog_file": str(folder / "log"),
        "maillog_file_prefixes": str(folder),
        # master keeps only these variables for the daemons it starts.
        "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH OPENSSL_CONF "
        "KRB5_CONFIG KRB5_KTNAME KRB5RCACHENAME TZ LANG=C",
        "mail_owner": MAIL_OWNER,
        "setgid_group": SETGID_GROUP,
        "default_privs": DELIVERS_AS,
        # Who the server is.
        "myhostname": SERVER_NAME,
        "mydomain": DOMAIN,
        "mydestination": "",
        "mynetworks": "",
        "inet_interfaces": "loopback-only",
        "inet_protocols": "ipv4",
        # No DNS, nothing to other hosts.
        "smtpd_peername_lookup": "no",
        "smtp_dns_support_level": "disabled",
        "default_transport": nothing_leaves,
        "relay_transport": nothing_leaves,
        "local_transport": nothing_leaves,
        "alias_maps": "",
        "alias_database": "",
        # A delivered message is what was sent, below the trace headers.
        "local_header_rewrite_clients": "",
        # Who gets mail and who does not.
        "virtual_transport": "virtual",
        "virtual_mailbox_domains": DOMAIN,
        "virtual_mailbox_base": str(folder / "mail"),
        "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
        "virtual_uid_maps": f"static:{delivers_as.pw_uid}",
        "virtual_gid_maps": f"static:{delivers_as.pw_gid}",
        "virtual_mailbox_limit": "0",
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "smtpd_sender_restrictions": f"check_sender_access inline:{refused}",
        "smtpd_delay_reject": "no",
        "message_size_limit": str(size_limit),
        "mailbox_size_limit": "0",
        # Tests refuse a lot and connect a lot: no pauses, no rate limits.
        "smtpd_error_sleep_time": "0",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_tls_security_level": "none",
        "smtp_tls_security_level": "none",
    }


def _services(port: int, tls_port: int | None, proxy_port: int, xclient_port: int) -> str:
    lines = [
        f"{HOST}:{port} inet n - n - - smtpd",
        f"{HOST}:{proxy_port} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy",
        f"{HOST}:{xclient_port} inet n - n - - smtpd -o smtpd_authorized_xclient_hosts=127.0.0.0/8",
    ]
    if tls_port is not None:
        lines.append(f"{HOST}:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes")
    return "\n".join([*lines, INNER_SERVICES])


INNER_SERVICES = """\
cleanup  unix n - n -     0 cleanup
qmgr     unix n - n 300   1 qmgr
tlsmgr   unix - - n 1000? 1 tlsmgr
rewrite  unix - - n -     - trivial-rewrite
bounce   unix - - n -     0 bounce
defer    unix - - n -     0 bounce
trace    unix - - n -     0 bounce
verify   unix - - n -     1 verify
flush    unix n - n 1000? 0 flush
proxymap unix - - n -     - proxymap
error    unix - - n -     - error
retry    unix - - n -     - error
discard  unix - - n -     - discard
virtual  unix - n n -     - virtual
smtp     unix - - n -     - smtp
anvil    unix - - n -     1 anvil
postlog  unix-dgram n - n - 1 postlogd
"""
