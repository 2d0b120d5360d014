"""`--investigate` of `ehlo check` and `ehlo send`, as a user meets it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from ehlo.cli.main import main
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import make_fault
from ehlo.probe import experiments
from ehlo.probe.experiments import Wishes

SCHEMA = json.loads((files("ehlo.report") / "schema.json").read_text())
ENVELOPE = ("-f", "me@here.example", "-t", "recipient@example.com", "--starttls", "never", "--timeout", "5")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pauses that courtesy asks for elsewhere."""
    monkeypatch.setattr(experiments, "Wishes", lambda *wishes: Wishes(*wishes)._replace(pace=0.0))


def lab(stage: str = "", **words: object) -> Lab:
    return Lab(faults=[make_fault(stage, "", words)] if stage else [])


def run(lab: Lab, capsys: pytest.CaptureFixture[str], command: str, *options: str) -> tuple[int, str, int, int]:
    """Exit status, output, the sessions that the server saw, the messages that it took."""
    with lab.running() as running:
        status = main([command, f"{running.host}:{running.port}", *ENVELOPE, *options])
        return status, capsys.readouterr().out, lab.session_count, len(lab.messages)


def document(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_a_certain_cause_is_not_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    listed = lab("rcpt", reply="554 5.7.1 Client host [127.0.0.1] blocked using zen.spamhaus.org")
    _, out, sessions, _ = run(listed, capsys, "check", "--investigate")
    assert sessions == 1
    assert "with --lists, block lists would be asked for this machine's address" in out
    assert "After the experiments" not in out


def test_a_list_that_cannot_be_asked_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, sessions, _ = run(lab(), capsys, "check", "--investigate", "--lists")
    assert "127.0.0.1 is a private address: no public list and no public DNS knows it" in out
    # The other one is the invented address.
    assert sessions == 2


def test_a_catch_all_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    everybody = lab("rcpt", reply="250 2.1.5 Ok")
    status, out, sessions, _ = run(everybody, capsys, "check", "--investigate", "--json")
    found = document(out)
    assert (status, sessions) == (0, 2)
    assert [finding["rule"] for finding in found["verdict"]["findings"]] == ["proved-catch-all"]
    assert found["verdict"]["layer"] is None
    assert found["experiments"][0]["rule"] == "proved-catch-all"


def test_the_verdict_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    name = lab("rcpt", reply="550 5.7.1 Policy", helo="here.example")
    options = ("--helo", "here.example", "--investigate")
    status, out, _, _ = run(name, capsys, "check", *options)
    last = out.rpartition("After the experiments")[2]
    assert "greeting · The name that the client greets with" in last
    assert "Experiment: other names to greet with" in out
    again = lab("rcpt", reply="550 5.7.1 Policy", helo="here.example")
    same, out, _, _ = run(again, capsys, "check", *options, "--json")
    verdict = document(out)["verdict"]
    assert status == same == verdict["exit_status"] == 18
    assert (verdict["layer"], verdict["findings"][0]["rule"]) == ("greeting", "proved-helo-is-the-cause")


def test_send_delivers_once_and_its_experiments_never(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, sessions, messages = run(lab(), capsys, "send", "--investigate")
    assert (sessions, messages) == (2, 1)
    assert "Experiment: an address that cannot exist" in out


def test_send_reaches_the_ladder_of_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, sessions, messages = run(
        lab("message", silent=True, close=True, lose=True), capsys, "send", "--investigate", "--json"
    )
    found = document(out)
    assert status == 20
    assert [experiment["name"] for experiment in found["experiments"]] == ["sizes"]
    assert found["experiments"][0]["rule"] == "proved-size-does-not-matter"
    assert found["verdict"]["findings"][0]["rule"] == "message-unanswered"
    assert (sessions, messages) == (2, 0)


def test_a_password_is_not_in_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHLO_PASSWORD", "wonder land ")
    refused = Lab(policy=Policy(users={"me": "x"}, auth_in_clear=True))
    login = ("--user", "me", "--auth-in-clear", "--investigate")
    status, out, sessions, _ = run(refused, capsys, "check", *login)
    assert (status, sessions) == (16, 1)
    assert "12 characters" in out
    assert "wonder land" not in out


@pytest.mark.parametrize("command", ["check", "send"])
@pytest.mark.parametrize("options", [("--wait=-1",), ("--control", "smtp:/x y")])
def test_what_cannot_be_meant(command: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "127.0.0.1:1", *ENVELOPE, "--investigate", *options]) == 2
    assert options[0].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "send"])
def test_the_help_says_that_nothing_is_delivered(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "They deliver nothing." in capsys.readouterr().out
