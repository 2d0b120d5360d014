"""Fixtures for tests of programs that send mail. pytest finds this by itself once ehlo is installed.

def test_the_welcome_mail(smtp_lab):
    sign_up("bob@example.com")
    assert "Welcome" in smtp_lab.wait_for(to="bob@example.com").text
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ehlo.lab.running import RunningLab


def _lab() -> RunningLab:
    # Nothing is loaded in test runs that do not use the lab.
    from ehlo.lab import Lab, Policy

    return Lab(policy=Policy(any_recipient=True, any_login=True, auth_in_clear=True)).running()


@pytest.fixture(scope="session")
def smtp_lab_session() -> Iterator[RunningLab]:
    """A lab for the whole test run: it takes mail to everybody, and every login."""
    with _lab() as lab:
        yield lab


@pytest.fixture
def smtp_lab(smtp_lab_session: RunningLab) -> Iterator[RunningLab]:
    """The lab of the test run as one test sees it: without messages, faults or scenarios of others."""
    smtp_lab_session.reset()
    yield smtp_lab_session
    smtp_lab_session.reset()


@pytest.fixture
def smtp_lab_env(smtp_lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Environment variables that say where the lab is (EMAIL_HOST, MAIL_SERVER, SMTP_HOST ...), set for one test."""
    authority = tmp_path / "smtp-lab-ca.pem"
    authority.write_bytes(smtp_lab.lab.identity.authority)
    environment = smtp_lab.environment(authority)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
