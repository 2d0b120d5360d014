"""The schema of scenario files has the words of the code, and what it refuses cannot be used."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ehlo.lab.authority import KINDS, VERSIONS
from ehlo.lab.deviate import MANGLES
from ehlo.lab.faults import KEYS, Action, Condition
from ehlo.lab.persona import persona_names
from ehlo.lab.policy import Limits, Policy
from ehlo.lab.scenario import (
    _RENAMED,
    FAULT_STAGES,
    HANDSHAKES,
    Scenario,
    ScenarioError,
    parse_scenario,
    scenario_names,
)
from ehlo.smtp.sasl.server import SERVER_MECHANISMS

SCHEMA: dict[str, Any] = json.loads((files("ehlo.lab") / "scenario.schema.json").read_text("utf-8"))
PARTS: dict[str, Any] = SCHEMA["$defs"]
VALIDATOR = Draft202012Validator(SCHEMA)


def keys(part: str) -> set[str]:
    return set(PARTS[part]["properties"])


def choices(part: str, name: str) -> list[str]:
    found: list[str] = PARTS[part]["properties"][name]["enum"]
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", scenario_names())
def test_what_ships_satisfies_it(name: str) -> None:
    text = (files("ehlo.lab") / "scenarios" / f"{name}.toml").read_text("utf-8")
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))] == []


def test_its_keys_are_those_of_the_code() -> None:
    renamed = {field: name for name, field in _RENAMED.items()}
    assert set(SCHEMA["properties"]) == set(Scenario._fields) - {"name"}
    assert keys("policy") == set(Policy._fields)
    assert keys("limits") == set(Limits._fields)
    assert keys("when") == {renamed.get(field, field) for field in Condition._fields}
    assert keys("do") == set(Action._fields)


def test_its_choices_are_those_of_the_code() -> None:
    assert SCHEMA["properties"]["persona"]["enum"] == list(persona_names())
    assert choices("fault", "stage") == list(FAULT_STAGES)
    assert choices("do", "mangle") == list(MANGLES)
    assert choices("do", "certificate") == list(KINDS)
    assert choices("do", "handshake") == list(HANDSHAKES)
    assert PARTS["version"]["enum"] == list(VERSIONS)
    assert PARTS["key"]["enum"] == list(KEYS)
    assert PARTS["mechanism"]["enum"] == list(SERVER_MECHANISMS)


def test_its_defaults_are_those_of_the_code() -> None:
    for part, defaults in (("policy", Policy()._asdict()), ("limits", Limits()._asdict())):
        for name, each in PARTS[part]["properties"].items():
            if "default" in each:
                expected = defaults[name]
                assert each["default"] == (list(expected) if isinstance(expected, tuple) else expected), name
            elif part == "limits":
                assert defaults[name] == 0, name


FAULT = "[[faults]]\nstage = 'rcpt'\n"
WRONG = (
    "titel = 'a word that nobody knows'",
    "title = 1",
    "description = ['a', 'list']",
    "command = true",
    "persona = 'qmail'",
    "host = 5",
    "seed = 'seven'",
    "seed = true",
    "seed = inf",
    "seed = 1.5",
    "persona = ''",
    "[policy]\nbare_lf = ''",
    "[policy.limits]\nsize = -1",
    "[policy]\nquotas = { 'a@example.com' = -1 }",
    "[policy]\nusers = { alice = ['wonderland'] }",
    "[[faults]]\nstage = 'rcpt'\nwhen = { first = 1.5 }\ndo = { close = true }",
    "[[faults]]\nstage = 'rcpt'\nwhen = { first = -1 }\ndo = { close = true }",
    "[[faults]]\nstage = 'rcpt'\ndo = { pieces = true }",
    "[[faults]]\nstage = 'rcpt'\ndo = { delay = inf }",
    "policy = 'none'",
    "faults = { stage = 'rcpt' }",
    "faults = ['rcpt']",
    "[policy]\nmailbox = 'alice@example.com'",
    "[policy]\nmailboxes = 5",
    "[policy]\nmailboxes = [5]",
    "[policy]\nany_recipient = 'yes'",
    "[policy]\nany_login = 1",
    "[policy]\naliases = ['a@example.com']",
    "[policy]\naliases = { 'a@example.com' = 1 }",
    "[policy]\nquotas = { 'a@example.com' = 'many' }",
    "[policy]\nquotas = ['a@example.com']",
    "[policy]\nusers = ['alice']",
    "[policy]\nmechanisms = ['ROT13']",
    "[policy]\nbare_lf = 'forbid'",
    "[policy]\nextensions = 8",
    "[policy.limits]\nsise = 1000",
    "[policy.limits]\nsize = '1 MB'",
    "[policy.limits]\nidle = true",
    "[[faults]]\ndo = { close = true }",
    "[[faults]]\nstage = 'connect'\ndo = { close = true }",
    "[[faults]]\nstage = 'RCPT'\ndo = { close = true }",
    FAULT,
    FAULT + "do = {}",
    FAULT + "do = 'close'",
    FAULT + "reply = '450 Later'",
    FAULT + "title = 5\ndo = { close = true }",
    FAULT + "when = 'always'\ndo = { close = true }",
    FAULT + "when = { recipient = 'a@example.com' }\ndo = { close = true }",
    FAULT + "when = { to = ['a@example.com'] }\ndo = { close = true }",
    FAULT + "when = { tls = 'yes' }\ndo = { close = true }",
    FAULT + "when = { first = 'once' }\ndo = { close = true }",
    FAULT + "when = { rate = 5 }\ndo = { close = true }",
    FAULT + "when = { rate = '5 a minute' }\ndo = { close = true }",
    FAULT + "when = { rate = '5/fortnight' }\ndo = { close = true }",
    FAULT + "when = { probability = 34 }\ndo = { close = true }",
    FAULT + "when = { probability = -0.1 }\ndo = { close = true }",
    FAULT + "when = { per = ['address'] }\ndo = { close = true }",
    FAULT + "when = { for = '2 s' }\ndo = { close = true }",
    FAULT + "do = { answer = '450 Later' }",
    FAULT + "do = { reply = 'Later' }",
    FAULT + "do = { reply = '650 Later' }",
    FAULT + "do = { reply = '4500 Later' }",
    FAULT + "do = { reply = 450 }",
    FAULT + "do = { reply = [] }",
    FAULT + "do = { reply = ['more', '450 Later'] }",
    FAULT + "do = { raw = 5 }",
    FAULT + "do = { mangle = 'badly' }",
    FAULT + "do = { silent = 1 }",
    FAULT + "do = { delay = -1 }",
    FAULT + "do = { delay = '2 s' }",
    FAULT + "do = { delay = 2000000000 }",
    FAULT + "do = { pieces = [0] }",
    FAULT + "do = { pieces = ['1'] }",
    FAULT + "do = { close_after = -5 }",
    FAULT + "do = { drop = 5 }",
    FAULT + "do = { certificate = 'old' }",
    FAULT + "do = { tls_min = 1.2 }",
    FAULT + "do = { tls_max = '1.4' }",
    FAULT + "do = { handshake = 'open' }",
)


@pytest.mark.parametrize("text", WRONG)
def test_what_it_refuses_cannot_be_used(text: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("wrong", text)
    assert str(caught.value).startswith("The scenario wrong: ")
    assert str(caught.value).endswith(".")


RIGHT = (
    "",
    "title = 'nothing else'",
    "[policy]\nmailboxes = 'alice@example.com'\nusers = { alice = '1234' }\nmechanisms = 'PLAIN'",
    "[policy.limits]\nidle = 0.5\nsize = 1000",
    FAULT + "when = { rate = '10/30 seconds', per = 'client' }\ndo = { close = true }",
    FAULT + "when = { rate = '5 / minute' }\ndo = { close = true }",
    FAULT + "do = { reply = '{1} as you wish' }",
    FAULT + "do = { reply = '250' }",
    FAULT + 'do = { reply = "450 two\\nlines" }',
    FAULT + "do = { reply = ['450 two', 'lines'], close = true, delay = 1.5 }",
    FAULT + "do = { pieces = 5, pause = 0.1 }",
)


@pytest.mark.parametrize("text", RIGHT)
def test_what_it_takes_can_be_used(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))] == []
    parse_scenario("right", text)
