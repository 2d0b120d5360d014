"""A Kerberos realm on loopback: MIT's key distribution center, run from the unpacked package, with one user.

Its services are the mail servers, which prove themselves by the keys in `keytab`; the user's ticket lies in `tickets`.
Everything is found by environment variables; nothing of the machine's own Kerberos is read or changed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .debian import PeerMissing, shared_library, tree
from .processes import free_port, home, running
from .world import HOST, PASSWORD, SERVER_NAME, USER

REALM = "YOURDOMAIN.COM"
#: Which names a server is asked for by, and so needs a key for.
SERVERS = ("localhost", HOST, SERVER_NAME)
#: What ehlo itself needs (its extra `kerberos`).
MODULES = ("spnego", "gssapi", "krb5")


@dataclass(frozen=True, slots=True)
class KerberosRealm:
    """A running realm: its settings, the servers' keys, the user's tickets."""

    settings: Path
    keytab: Path
    tickets: Path

    @property
    def for_servers(self) -> Mapping[str, str]:
        """The variables that a server needs."""
        # Who keeps replayed tickets away would keep a file in /var/tmp for that.
        return {"KRB5_CONFIG": str(self.settings), "KRB5_KTNAME": str(self.keytab), "KRB5RCACHENAME": "none:"}

    @property
    def for_clients(self) -> Mapping[str, str]:
        """The variables that a client needs."""
        return {"KRB5_CONFIG": str(self.settings), "KRB5CCNAME": f"FILE:{self.tickets}"}


@contextlib.contextmanager
def kerberos(user: str = USER.partition("@")[0], password: str = PASSWORD) -> Iterator[KerberosRealm]:
    """Run a realm that knows one user, who has a ticket, and the names of the mail servers."""
    center = tree("krb5-kdc", "usr/sbin/krb5kdc")
    administration = tree("krb5-admin-server", "usr/sbin/kadmin.local")
    client = tree("krb5-user", "usr/bin/kinit")
    # Without its plug-in Cyrus SASL would just not offer GSSAPI.
    shared_library("sasl2/libgssapiv2.so", "libsasl2-modules-gssapi-mit")
    plugin = next(center.glob("usr/lib/*/krb5/plugins/kdb"), None)
    if plugin is None:
        raise PeerMissing("krb5-kdc")
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            raise PeerMissing(f"the Python package {module}")
    with home("kerberos") as folder:
        port = free_port()
        realm = KerberosRealm(folder / "krb5.conf", folder / "keytab", folder / "tickets")
        realm.settings.write_text(SETTINGS.format(realm=REALM, host=HOST, port=port))
        (folder / "kdc.conf").write_text(CENTER.format(realm=REALM, folder=folder, host=HOST, port=port, plugin=plugin))
        variables = {"KRB5_CONFIG": str(realm.settings), "KRB5_KDC_PROFILE": str(folder / "kdc.conf")}

        def run(*command: str | Path, given: str = "") -> None:
            environment = {**os.environ, **variables, "KRB5CCNAME": f"FILE:{realm.tickets}"}
            subprocess.run(
                command, input=given, text=True, check=True, capture_output=True, timeout=30, env=environment
            )

        run(center / "usr/sbin/kdb5_util", "create", "-s", "-P", "the master key of nothing")
        services = [f"smtp/{name}" for name in SERVERS]
        requests = [f'addprinc -pw "{password}" {user}', *(f"addprinc -randkey {service}" for service in services)]
        requests.append(f"ktadd -k {realm.keytab} {' '.join(services)}")
        run(administration / "usr/sbin/kadmin.local", given="".join(f"{request}\n" for request in requests))
        # Servers give up root before they read it, and it opens nothing but this realm.
        realm.keytab.chmod(0o644)
        command: list[str | Path] = [center / "usr/sbin/krb5kdc", "-n"]
        with running(command, ports=[port], output=folder / "output", environment=variables):
            run(client / "usr/bin/kinit", user, given=f"{password}\n")
            yield realm


SETTINGS = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  ignore_acceptor_hostname = true
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = {host}:{port}
  }}
"""

CENTER = """\
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = {host}:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principals
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
[dbmodules]
  db_module_dir = {plugin}
[logging]
  default = FILE:{folder}/log
"""
