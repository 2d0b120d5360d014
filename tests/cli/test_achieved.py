"""What is said of a message when something went wrong: whether it was taken, for whom, or whether nobody knows."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from ehlo.lab import Lab, Policy
from program import run_here

POLICY = Policy(mailboxes=frozenset({"a@example.com", "b@example.com"}))


def session(command: str, lab_port: int, *options: str) -> subprocess.CompletedProcess[str]:
    """A session in clear with a lab."""
    in_clear = ["-f", "me@here.org", "--helo", "here.org", "--starttls", "never"]
    return run_here(command, f"127.0.0.1:{lab_port}", *in_clear, *options)


def verdict_of(text: str) -> str:
    """What stands below the steps, without the advice."""
    below = text.partition("quit  ")[2].partition("\n\n")[2]
    return "\n".join(line for line in below.splitlines() if line[:2] in ("✓ ", "✗ ", "! "))


def test_some_recipients_are_refused() -> None:
    to = [word for name in ("a", "x", "b", "y") for word in ("-t", f"{name}@example.com")]
    with Lab(policy=POLICY).running() as lab:
        done = session("send", lab.port, *to)
        assert len(lab.messages) == 1
    assert done.returncode == 18
    said = "✓ The server (Postfix) took the message for 2 recipients, but not for x@example.com, y@example.com."
    assert said in " ".join(done.stdout.split())


def test_each_recipient_has_an_answer_of_its_own() -> None:
    with Lab(policy=POLICY).running(doors={"lmtp": 0}) as lab:
        lab.fault("message", to="b@example.com", reply="452 4.2.2 Full")
        done = session("send", lab.ports["lmtp"], "--lmtp", "-t", "a@example.com", "-t", "b@example.com")
    assert done.returncode == 20
    assert " took the message for a@example.com, but not for b@example.com." in " ".join(done.stdout.split())


def test_nobody_took_it() -> None:
    with Lab(policy=POLICY).running() as lab:
        done = session("send", lab.port, "-t", "x@example.com")
    assert " took the message" not in done.stdout


@pytest.mark.parametrize(("command", "said"), [("send", "took the message"), ("check", "would take mail")])
@pytest.mark.parametrize("fault", [{"silent": True}, {"close": True, "silent": True}])
def test_only_quit_goes_wrong(command: str, said: str, fault: dict[str, Any]) -> None:
    with Lab(policy=POLICY).running() as lab, lab.fault("quit", **fault):
        done = session(command, lab.port, "-t", "a@example.com", "--timeout", "quit=0.3")
    assert done.returncode == 21
    first, second = verdict_of(done.stdout).splitlines()
    assert first == f"✓ The server (Postfix) {said} for a@example.com."
    assert second.startswith("! server · The server does not answer QUIT")


def test_yes_to_data_asks_for_no_message() -> None:
    with Lab(policy=POLICY).running() as lab, lab.fault("data", reply="250 2.0.0 Ok"):
        done = session("send", lab.port, "-t", "a@example.com")
        again = session("send", lab.port, "-t", "a@example.com", "--json")
        assert lab.messages == []
    assert done.returncode == 19
    assert verdict_of(done.stdout).startswith(
        "✗ protocol · The server agrees to DATA, but does not ask for the message"
    )
    assert json.loads(again.stdout)["verdict"]["outcome"] == "refused"


@pytest.mark.parametrize("stage", ["message", "quit"])
def test_a_check_delivers_nothing(stage: str) -> None:
    with Lab(policy=POLICY).running() as lab:
        done = session("check", lab.port, "-t", "a@example.com", "--stop-after", stage)
        assert (lab.messages, lab.sessions) == ([], [])
    assert done.returncode == 2
    assert done.stderr.startswith(f"ehlo check: --stop-after {stage}: a check delivers nothing; ehlo send goes so far.")
