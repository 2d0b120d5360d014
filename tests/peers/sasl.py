"""Cyrus SASL, by which Postfix, Exim and Sendmail know a user: a database and a file of settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .debian import shared_library, tree
from .kerberos import KerberosRealm
from .processes import Account

MECHANISMS = (
    "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 NTLM ANONYMOUS SCRAM-SHA-1 SCRAM-SHA-224 SCRAM-SHA-256 SCRAM-SHA-384 SCRAM-SHA-512"
)


def write_settings(
    folder: Path, application: str, user: str, password: str, reader: Account, realm: KerberosRealm | None = None
) -> dict[str, str]:
    """Write what Cyrus SASL needs to know one user into a new folder, for it to look in. With a `realm` it takes
    tickets of Kerberos, too.

    Returns variables for the server's environment: NTLM needs MD4, which OpenSSL has to be asked for.
    `application` is the name that the server calls itself by; `reader` is who the server runs as.
    """
    program = tree("sasl2-bin", "usr/sbin/saslpasswd2") / "usr/sbin/saslpasswd2"
    # The program would end well without its plug-in, and write nothing.
    shared_library("sasl2/libsasldb.so", "libsasl2-modules-db")
    shared_library("sasl2/libscram.so", "libsasl2-modules")
    folder.mkdir()
    database = folder / "users"
    subprocess.run(
        [str(program), "-f", str(database), "-c", "-p", user],
        input=password.encode(),
        check=True,
        capture_output=True,
        timeout=10,
        env=os.environ | {"LANG": "C"},
    )
    mechanisms = MECHANISMS if realm is None else f"{MECHANISMS} GSSAPI"
    (folder / f"{application}.conf").write_text(SETTINGS.format(database=database, mechanisms=mechanisms))
    openssl = folder / "openssl.cnf"
    openssl.write_text(OPENSSL)
    reader.give(folder, *folder.iterdir())
    return {"OPENSSL_CONF": str(openssl), **({} if realm is None else realm.for_servers)}


SETTINGS = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {database}
mech_list: {mechanisms}
log_level: 3
"""

OPENSSL = """\
openssl_conf = settings
[settings]
providers = providers
[providers]
default = active
legacy = active
[active]
activate = 1
"""
