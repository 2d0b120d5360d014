"""Fixtures of these tests: the command line by each driver, and each server in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from .client import DRIVERS, Ehlo
from .servers import Peer

SERVERS = {
    "postfix": "postfix_server",
    "exim": "exim_server",
    "aiosmtpd": "aiosmtpd_server",
    "sink": "sink_server",
}


@pytest.fixture(params=DRIVERS)
def ehlo(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Ehlo:
    """The command line, by each of the drivers."""
    return Ehlo(request.param, capsys, monkeypatch, tmp_path)


@pytest.fixture
def blocking_ehlo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ehlo:
    """The command line as it is, where what is asked does not depend on the driver."""
    return Ehlo("blocking", capsys, monkeypatch, tmp_path)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Peer:
    """Each server, in turn."""
    return Peer(request.param, request.getfixturevalue(SERVERS[request.param]))


@pytest.fixture(params=[name for name in SERVERS if name != "sink"])
def choosy_server(request: pytest.FixtureRequest) -> Peer:
    """Each server that refuses senders and recipients that it does not know, and offers TLS."""
    return Peer(request.param, request.getfixturevalue(SERVERS[request.param]))
