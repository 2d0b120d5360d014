"""Exim on a loopback port, run from the unpacked package.

Debian's Exim was built for an account named Debian-exim and looks it up at every start. The account
is not created: nss_wrapper, a library loaded in front of the C library, shows Exim a list of users
in which it exists. Exim then never has to become root again (`deliver_drop_privilege`), which is
also why its configuration needs no place on a list of trusted files.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
from collections.abc import Iterator
from pathlib import Path

from .certificates import Certificate
from .debian import shared_library, tree
from .kerberos import KerberosRealm
from .processes import Account, free_port, home, running
from .sasl import write_settings
from .world import (
    DOMAIN,
    FULL_MAILBOX,
    HOST,
    MAILBOXES,
    PASSWORD,
    REFUSED_SENDER,
    SERVER_NAME,
    SIZE_LIMIT,
    USER,
    MailServer,
)

BUILT_FOR = "Debian-exim"
RUNS_AS = "mail"


@contextlib.contextmanager
def exim(
    certificate: Certificate | None = None,
    *,
    heavy: bool = False,
    size_limit: int = SIZE_LIMIT,
    user: str = USER,
    password: str = PASSWORD,
    ask_certificate: bool = False,
    realm: KerberosRealm | None = None,
    settings: str = "",
    smarthost: int = 0,
) -> Iterator[MailServer]:
    """Run Exim; with a certificate it offers STARTTLS, and TLS on connect on a second port.

    AUTH is offered to all, for one user; logging in changes nothing else. The `heavy` Exim knows
    more mechanisms, tickets of the Kerberos `realm` among them, and has a port for those who come
    through a proxy. With `ask_certificate` clients are asked for theirs, and AUTH EXTERNAL is offered
    to those that show one. Who asks for a reply for each recipient (PRDR) gets a bad one for
    ``full@example.com``; else that mailbox spoils the whole message. `settings` are further lines of the
    configuration's main section. With the port of a `smarthost` on this machine, mail is passed on
    there, and what is put off is due again at once.
    """
    package = "exim4-daemon-heavy" if heavy else "exim4-daemon-light"
    binary = tree(package, "usr/sbin/exim4") / "usr/sbin/exim4"
    wrapper = shared_library("libnss_wrapper.so", "libnss-wrapper")
    with home("exim") as folder:
        port = free_port()
        tls_port = free_port() if certificate else None
        proxy_port = free_port() if heavy else None
        ports = [number for number in (port, tls_port, proxy_port) if number is not None]
        account = _account()
        for name in ("spool", "log", "mail"):
            (folder / name).mkdir()
            account.give(folder / name)
        sections = [
            _names_and_places(folder, ports),
            "tls_advertise_hosts =",
            f"message_size_limit = {size_limit}",
            PROXY.format(port=proxy_port) if heavy else "",
            settings,
            POLICY,
            SMARTHOST.format(port=smarthost) if smarthost else DELIVERY.format(folder=folder, user=BUILT_FOR),
            AUTHENTICATORS.format(user=user, password=password),
            SPA.format(user=user, password=password) if heavy else "",
            *(_by_cyrus(mechanism) for mechanism in (*BY_CYRUS, *(["GSSAPI"] if realm else [])) if heavy),
        ]
        if certificate:
            files = certificate.copy_to(folder / "tls")
            account.give(files.chain, files.key)
            sections[1] = TLS.format(files=files, port=tls_port)
            if ask_certificate:
                sections[1] += CLIENT_CERTIFICATES.format(files=files)
        configuration = folder / "exim.conf"
        configuration.write_text("\n".join(sections))
        command: list[str | Path] = [binary, "-C", configuration, "-bdf"]
        variables = _account_list(folder, account, wrapper)
        if heavy:
            sasl = folder / "sasl"
            variables |= write_settings(sasl, "exim", user, password, account, realm) | {"SASL_CONF_PATH": str(sasl)}
        with running(command, ports=ports, output=folder / "output", environment=variables):
            maildirs = {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}
            log_file = folder / "log" / "main.log"
            assignments = [f"{name}={value}" for name, value in variables.items()]
            pipe = shlex.join(["env", *assignments, str(binary), "-C", str(configuration), "-bs"])
            yield MailServer(HOST, port, tls_port, log_file, maildirs, proxy_port=proxy_port, pipe=pipe)


def _account() -> Account:
    """Return who Exim runs as: an account of every Debian, or whoever runs the tests."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    entry = pwd.getpwnam(RUNS_AS)
    return Account(entry.pw_uid, entry.pw_gid)


def _account_list(folder: Path, account: Account, wrapper: Path) -> dict[str, str]:
    """Write the list of users that Exim is to see; return the variables that make it see them."""
    users = folder / "passwd"
    groups = folder / "group"
    users.write_text(f"root:x:0:0::/root:/bin/sh\n{BUILT_FOR}:x:{account.user}:{account.group}::/:/usr/sbin/nologin\n")
    groups.write_text(f"root:x:0:\n{BUILT_FOR}:x:{account.group}:\n")
    return {
        "LD_PRELOAD": str(wrapper),
        "NSS_WRAPPER_PASSWD": str(users),
        "NSS_WRAPPER_GROUP": str(groups),
    }


def _names_and_places(folder: Path, ports: list[int]) -> str:
    listeners = " ; ".join(f"[{HOST}]:{number}" for number in ports)
    return MAIN.format(folder=folder, name=SERVER_NAME, listeners=listeners)


MAIN = """\
primary_hostname = {name}
local_interfaces = <; {listeners}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s.log
pid_file_path = {folder}/spool/pid
deliver_drop_privilege = true
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP : SASL_CONF_PATH : OPENSSL_CONF : \
    KRB5_CONFIG : KRB5_KTNAME : KRB5RCACHENAME
add_environment =
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_reserve = 0
acl_smtp_mail = check_sender
acl_smtp_rcpt = check_recipient
acl_smtp_data = check_content
acl_smtp_data_prdr = check_content_for_one
prdr_enable = true
dsn_advertise_hosts = *
"""

PROXY = f"""\
hosts_proxy = ${{{{if eq{{{{$received_port}}}}{{{{{{port}}}}}}{{{{{HOST}}}}}}}}}
"""

TLS = """\
tls_advertise_hosts = *
tls_certificate = {files.chain}
tls_privatekey = {files.key}
tls_on_connect_ports = {port}
"""

CLIENT_CERTIFICATES = """\
tls_try_verify_hosts = *
tls_verify_certificates = {files.authority}
"""

# No texts of our own: a test is to see what Exim says.
POLICY = f"""\
begin acl
check_sender:
  deny    senders = {REFUSED_SENDER}
  accept
check_recipient:
  deny    domains = ! {DOMAIN}
          message = relay not permitted
  require verify = recipient
  accept
check_content:
  deny    ! condition = ${{if bool{{$prdr_requested}}}}
          condition = ${{if inlisti{{{FULL_MAILBOX}}}{{<, $recipients}}}}
  accept
check_content_for_one:
  deny    condition = ${{if eqi{{$local_part@$domain}}{{{FULL_MAILBOX}}}}}
  accept
"""

DELIVERY = f"""\
begin routers
mailboxes:
  driver = accept
  domains = {DOMAIN}
  local_parts = {" : ".join(mailbox.partition("@")[0] for mailbox in (*MAILBOXES, FULL_MAILBOX))}
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {{folder}}/mail/$local_part_data@{DOMAIN}
  create_directory
  maildir_format
  return_path_add
  envelope_to_add
  delivery_date_add
  user = {{user}}
"""

SMARTHOST = f"""\
begin routers
onward:
  driver = manualroute
  domains = {DOMAIN}
  route_list = * {HOST}
  self = send
  transport = smtp

begin transports
smtp:
  driver = smtp
  port = {{port}}

begin retry
* * F,1h,1s
"""

AUTHENTICATORS = """\
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and {{ {{eq{{$auth2}}{{{user}}}}} {{eq{{$auth3}}{{{password}}}}} }} }}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and {{ {{eq{{$auth1}}{{{user}}}}} {{eq{{$auth2}}{{{password}}}}} }} }}
  server_set_id = $auth1
cram_md5:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = ${{if def:tls_in_peercert}}
  server_param2 = ${{certextract{{subject,CN}}{{$tls_in_peercert}}}}
  server_condition = ${{if and {{ {{bool{{$tls_in_certificate_verified}}}} {{eq{{$auth2}}{{{user}}}}} }} }}
  server_set_id = $auth2
"""

SPA = """\
spa:
  driver = spa
  public_name = NTLM
  server_password = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
anonymous:
  driver = plaintext
  public_name = ANONYMOUS
  server_prompts = :
  server_condition = true
"""

# Exim leaves these to Cyrus SASL.
BY_CYRUS = ("DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")


def _by_cyrus(mechanism: str) -> str:
    name = mechanism.lower().replace("-", "_")
    return f"{name}:\n  driver = cyrus_sasl\n  public_name = {mechanism}\n  server_set_id = $auth1"
