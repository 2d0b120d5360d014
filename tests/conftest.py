"""Makes the real peers' fixtures known to all tests, and keeps the developer's own configuration out of them."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import settings

from peers.fixtures import (
    aiosmtpd_server,
    ca,
    dovecot_server,
    exim_heavy_server,
    exim_server,
    kerberos_realm,
    npm_server,
    opensmtpd_server,
    optional_realm,
    peer_program,
    postfix_auth_server,
    postfix_dovecot_server,
    postfix_server,
    sendmail_server,
    sink_server,
)

#: How long an example may take says something of the machine alone.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

__all__ = [
    "aiosmtpd_server",
    "ca",
    "dovecot_server",
    "exim_heavy_server",
    "exim_server",
    "kerberos_realm",
    "npm_server",
    "opensmtpd_server",
    "optional_realm",
    "peer_program",
    "postfix_auth_server",
    "postfix_dovecot_server",
    "postfix_server",
    "sendmail_server",
    "sink_server",
]

#: Variables for the tests themselves; all others could be options of ehlo.
_FOR_TESTS = ("EHLO_PEERS", "EHLO_UPDATE_DOCS")

# Here and not in a fixture: what is started for a whole module, and each process, must have it as well.
for _name in [name for name in os.environ if name.startswith("EHLO_") and name not in _FOR_TESTS]:
    del os.environ[_name]
os.environ["EHLO_CONFIG"] = ""


@pytest.fixture(autouse=True)
def documented_configuration(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in docs/configuration.md run with the file that the document shows first, as config.toml."""
    callspec = getattr(request.node, "callspec", None)
    document = callspec.params.get("document") if callspec is not None else None
    if not isinstance(document, Path) or document.name != "configuration.md":
        return
    file = re.search(r"^```toml\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert file is not None
    tmp_path: Path = request.getfixturevalue("tmp_path")
    (tmp_path / "config.toml").write_text(file[1], "utf-8")
    monkeypatch.setenv("EHLO_CONFIG", "config.toml")
