"""Sendmail on loopback ports, run from the unpacked package.

Its configuration is made by m4 from the parts in the package sendmail-cf, as its administrators do
it. Mail for the known mailboxes goes to a few lines of shell, which put it into a Maildir.
"""

from __future__ import annotations

import contextlib
import pwd
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .certificates import Certificate
from .debian import PeerMissing, cache_folder, program, tree
from .kerberos import KerberosRealm
from .namespaces import inside
from .processes import Account, free_port, home, running
from .sasl import write_settings
from .world import DOMAIN, HOST, MAILBOXES, PASSWORD, REFUSED_SENDER, SERVER_NAME, SIZE_LIMIT, USER, MailServer

DELIVERS_AS = "nobody"
#: Where it sees its own folder: it trusts no file below a folder that everybody can write to, as /tmp is.
SEEN_AT = Path("/mnt")
MECHANISMS = "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 NTLM ANONYMOUS EXTERNAL GSSAPI SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512"


@contextlib.contextmanager
def sendmail(
    certificate: Certificate | None = None,
    *,
    size_limit: int = SIZE_LIMIT,
    user: str = USER,
    password: str = PASSWORD,
    realm: KerberosRealm | None = None,
    settings: str = "",
) -> Iterator[MailServer]:
    """Run Sendmail; with a certificate it offers STARTTLS, and TLS on connect on a second port.

    AUTH is offered to all, for one user, and with a ticket of the Kerberos `realm`; logging in changes
    nothing else. `settings` are further lines of the configuration in m4, before the mailers.
    """
    root = tree("sendmail-bin", "usr/libexec/sendmail/sendmail")
    parts = _parts()
    with home("sendmail") as folder:
        port = free_port()
        tls_port = free_port() if certificate else None
        maildirs = _make_folders(folder)
        sasl = folder / "sasl"
        # Sendmail empties its environment; what its configuration sets is all that its libraries see.
        variables = write_settings(sasl, "Sendmail", user, password, Account(0, 0), realm)
        variables["SASL_CONF_PATH"] = str(sasl)
        tls = ""
        if certificate:
            files = certificate.copy_to(folder / "tls")
            files.key.chmod(0o600)
            tls = TLS.format(files=files, port=tls_port, host=HOST)
        master = CONFIGURATION.format(
            parts=parts,
            folder=folder,
            port=port,
            size_limit=size_limit,
            mailboxes=" ".join(mailbox.partition("@")[0] for mailbox in MAILBOXES),
            tls=tls,
            variables="".join(f"E{name}={value}\n" for name, value in variables.items()),
            settings=settings,
        )
        configuration = folder / "sendmail.cf"
        configuration.write_text(_expanded(parts, master))
        for file in (configuration, sasl / "Sendmail.conf", folder / "deliver"):
            file.write_text(file.read_text().replace(str(folder), str(SEEN_AT)))
        log_file = folder / "log"
        hosts = folder / "hosts"
        # At its start it waits a minute for a full name of the machine, whatever its configuration says.
        hosts.write_text(f"{HOST} {SERVER_NAME} localhost {socket.gethostname()}\n")
        command = inside(
            [root / "usr/libexec/sendmail/sendmail", "-bD", f"-C{SEEN_AT}/sendmail.cf", "-X", SEEN_AT / "log"],
            over={},
            at={"/etc/hosts": hosts, str(SEEN_AT): folder},
            name="sendmail-bin",
        )
        ports = [number for number in (port, tls_port) if number is not None]
        with running(command, ports=ports, output=folder / "output"):
            yield MailServer(HOST, port, tls_port, log_file, maildirs)


def _parts() -> Path:
    """Return the folder with the parts that a configuration is made of."""
    for root in (cache_folder() / "sendmail-cf", Path("/")):
        parts = root / "usr/share/sendmail/cf"
        if (parts / "m4/cf.m4").exists():
            return parts
    raise PeerMissing("sendmail-cf")


def _expanded(parts: Path, master: str) -> str:
    command = [str(program("m4")), f"-D_CF_DIR_={parts}/", "-"]
    return subprocess.run(command, input=master, check=True, capture_output=True, text=True, timeout=30).stdout


def _make_folders(folder: Path) -> dict[str, Path]:
    for name in ("queue", "mail"):
        (folder / name).mkdir(mode=0o700 if name == "queue" else 0o755)
    (folder / "service.switch").write_text("hosts files\naliases files\n")
    (folder / "helpfile").write_text(HELP)
    deliver = folder / "deliver"
    deliver.write_text(DELIVER.format(folder=folder, domain=DOMAIN))
    deliver.chmod(0o755)
    reader = pwd.getpwnam(DELIVERS_AS)
    account = Account(reader.pw_uid, reader.pw_gid)
    maildirs = {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}
    for maildir in maildirs.values():
        for place in (maildir, maildir / "new", maildir / "tmp"):
            place.mkdir()
            account.give(place)
    return maildirs


DELIVER = """\
#!/bin/sh
set -e
maildir={folder}/mail/$1@{domain}
cat > "$maildir/tmp/$$"
mv "$maildir/tmp/$$" "$maildir/new/$(date +%s%N).$$"
"""

HELP = """\
#vers\t2
cpyr\tCopyright of nobody
smtp\tThis is a server for tests.
"""

TLS = """\
define(`confSERVER_CERT', `{files.chain}')dnl
define(`confSERVER_KEY', `{files.key}')dnl
define(`confCACERT', `{files.authority}')dnl
define(`confCACERT_PATH', `{files.chain.parent}')dnl
DAEMON_OPTIONS(`Name=TLS, Addr={host}, Port={port}, M=s')dnl
"""

CONFIGURATION = f"""\
divert(0)dnl
include(`{{parts}}/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `{SERVER_NAME}')dnl
define(`confPID_FILE', `{{folder}}/pid')dnl
undefine(`ALIAS_FILE')dnl
define(`HELP_FILE', `{{folder}}/helpfile')dnl
define(`STATUS_FILE', `{{folder}}/statistics')dnl
define(`QUEUE_DIR', `{{folder}}/queue')dnl
define(`confSERVICE_SWITCH_FILE', `{{folder}}/service.switch')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupReadableKeyFile,DontWarnForwardFileInUnsafeDirPath')dnl
define(`confMAX_MESSAGE_SIZE', `{{size_limit}}')dnl
define(`confTO_IDENT', `0')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confDELAY_LA', `0')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confLOG_LEVEL', `15')dnl
define(`confPRIVACY_FLAGS', `')dnl
define(`confAUTH_MECHANISMS', `{MECHANISMS}')dnl
define(`confAUTH_OPTIONS', `')dnl
define(`confDELIVER_BY_MIN', `0')dnl
TRUST_AUTH_MECH(`{MECHANISMS}')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Name=MTA, Addr={HOST}, Port={{port}}')dnl
{{tls}}dnl
LOCAL_DOMAIN(`{DOMAIN}')dnl
define(`LOCAL_MAILER_PATH', `{{folder}}/deliver')dnl
define(`LOCAL_MAILER_ARGS', `deliver $u')dnl
define(`LOCAL_MAILER_FLAGS', `lsSun')dnl
define(`LOCAL_MAILER_EOL', `\\n')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `-mrfw')dnl
{{settings}}dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
C{{{{Mailbox}}}}{{mailboxes}}
{{variables}}dnl
LOCAL_RULE_0
R$={{{{Mailbox}}}} < @ {DOMAIN} . >\t$#local $: $1
R$+ < @ {DOMAIN} . >\t$#error $@ 5.1.1 $: "550 User unknown"
LOCAL_RULESETS
SLocal_check_rcpt
R$*\t$: $>canonify $1
R$+ < @ {DOMAIN} $* >\t$@ OK
R$*\t$#error $@ 5.7.1 $: "550 Relaying denied"
SLocal_check_mail
R$*\t$: $>canonify $1
R{REFUSED_SENDER.partition("@")[0]} < @ {REFUSED_SENDER.partition("@")[2]} . >\t$#error $@ 5.7.1 $: "550 Sender refused"
R{REFUSED_SENDER.partition("@")[0]} < @ {REFUSED_SENDER.partition("@")[2]} >\t$#error $@ 5.7.1 $: "550 Sender refused"
"""
