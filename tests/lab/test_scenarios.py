"""Every scenario that ships does what it says, over a plain socket, and ends a check with the rule it names."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ehlo.cli.main import main
from ehlo.knowledge.rules import load_rules
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import ScenarioError, load_scenario, scenario_names
from lab.script import play

SECRET = "wonderland"
RULES = frozenset(rule.id for rule in load_rules())


def test_there_are_many() -> None:
    assert len(scenario_names()) >= 60


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_does_what_it_says(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.title
    assert scenario.description
    with Lab(scenario=scenario).running() as lab:
        assert play(scenario.script, lab) > 0


@pytest.mark.parametrize("name", scenario_names())
def test_a_check_says_what_is_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = load_scenario(name)
    if "BIG_FILE" in scenario.command:
        (tmp_path / "big.eml").write_bytes(b"Subject: big\r\n\r\n" + b"a line of a large message\r\n" * 200_000)
    command, *options = scenario.command.split()
    options = [{"LAB_CA": str(tmp_path / "ca.pem"), "BIG_FILE": str(tmp_path / "big.eml")}.get(w, w) for w in options]
    if "-f" not in options:
        options += ["-f", "sender@yourdomain.com"]
    if "-t" not in options:
        options += ["-t", "recipient@example.com"]
    if "--timeout" not in options:
        options += ["--timeout", "20"]
    monkeypatch.setenv("LAB_PASSWORD", SECRET)
    with Lab(scenario=scenario).running() as lab:
        # How long the command takes is not what is proved: for the faults, time stands still.
        now = time.monotonic()
        monkeypatch.setattr(lab.lab.faults, "_clock", lambda: now)
        (tmp_path / "ca.pem").write_bytes(lab.lab.identity.authority)
        status = main([command, f"127.0.0.1:{lab.port}", *options, "--json"])
    shown, complaints = capsys.readouterr()
    assert complaints == ""
    verdict = json.loads(shown)["verdict"]
    assert verdict["exit_status"] == status
    rules = [finding["rule"] for finding in verdict["findings"]]
    if scenario.rule:
        assert scenario.rule in RULES
        assert rules[:1] == [scenario.rule]
    else:
        assert verdict["outcome"] == "accepted", rules


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("any_login = true\nmechanisms = ['SCRAM-SHA-256']", "Every login is taken by PLAIN, LOGIN,"),
        ("auth_required = true", "A login is required, and nobody can log in"),
        ("tls_required = true", "TLS is required, and the persona minimal has no STARTTLS"),
    ],
)
def test_what_nobody_can_satisfy_is_refused_whenever_it_is_chosen(policy: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"persona = 'minimal'\n[policy]\n{policy}\n")
    with pytest.raises(ScenarioError, match=said), Lab(scenario=load_scenario(file)).running():
        pass
    with Lab().running() as lab:
        with pytest.raises(ScenarioError, match=said):
            lab.scenario(file)
        # It stays as it was.
        assert (lab.lab.persona.name, lab.lab.policy, lab.lab.scenario) == ("postfix", Policy(), None)
    if "tls" in policy:
        with Lab().running(doors={"smtps": 0}) as lab:
            lab.scenario(file)
