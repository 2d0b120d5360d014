"""The schema of scenario files has the words of the code, and what it refuses cannot be used."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ehlo.lab.authority import KINDS, VERSIONS
from ehlo.lab.conditions import KEYS
from ehlo.lab.deviate import MANGLES
from ehlo.lab.fault_table import (
    ACTIONS_AT,
    CONDITIONS_AT,
    FILE_WORDS,
    HANDSHAKES,
    NEEDED_FOR,
    fault_to_json,
    make_fault,
    parse_fault,
)
from ehlo.lab.faults import Action
from ehlo.lab.persona import persona_names
from ehlo.lab.policy import Limits, Policy
from ehlo.lab.scenario import (
    FAULT_STAGES,
    Scenario,
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
)
from ehlo.smtp.sasl.server import SERVER_MECHANISMS
from ehlo.smtp.stages import Stage

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
    assert set(SCHEMA["properties"]) == set(Scenario._fields) - {"name"}
    assert keys("policy") == set(Policy._fields)
    assert keys("limits") == set(Limits._fields)
    assert keys("when") == set(FILE_WORDS)
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


SAMPLES: dict[str, Any] = {
    "reply": "450 Later",
    "raw": "x",
    "mangle": "twice",
    "pieces": [1],
    "drop": ["SIZE"],
    "add": ["X"],
    "certificate": "expired",
    "tls_min": "1.2",
    "tls_max": "1.2",
    "handshake": "close",
    **dict.fromkeys(("silent", "hold", "close", "reset", "lose", "mask"), True),
    **dict.fromkeys(("delay", "pause", "stall", "close_after"), 1),
    **dict.fromkeys(("from", "to", "helo", "client", "user", "text"), "x"),
    **dict.fromkeys(("larger", "first", "nth", "every", "after", "wait", "for"), 1),
    "tls": True,
    "rate": "1/minute",
    "probability": 0.5,
    "per": ["session"],
}


def agree(fault: dict[str, Any], allowed: bool) -> None:
    """The schema and the code say the same of a fault."""
    assert VALIDATOR.is_valid({"faults": [fault]}) == allowed
    if allowed:
        assert parse_fault(fault_to_json(parse_fault(fault))) == parse_fault(fault)
    else:
        with pytest.raises(ScenarioError, match=f"^at {fault['stage']} .*[.]$"):
            parse_fault(fault)


@pytest.mark.parametrize("stage", FAULT_STAGES)
def test_what_has_an_effect_at_a_stage(stage: Stage) -> None:
    something = {"delay": 1}
    for name in Action._fields:
        do = {"stall_after": 1, "stall": 1} if name == "stall_after" else {name: SAMPLES[name]}
        agree({"stage": stage, "do": do}, name in ACTIONS_AT[stage])
    for name, field in FILE_WORDS.items():
        counted = {"first": 1} if name == "per" else {}
        agree(
            {"stage": stage, "when": {name: SAMPLES[name], **counted}, "do": something}, field in CONDITIONS_AT[stage]
        )
    for key in KEYS:
        known = NEEDED_FOR.get(key, "client") in CONDITIONS_AT[stage]
        agree({"stage": stage, "when": {"per": [key], "first": 1}, "do": something}, known)


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
    FAULT + "when = { first = 0 }\ndo = { close = true }",
    FAULT + "when = { nth = 0 }\ndo = { close = true }",
    FAULT + "when = { every = 0.0 }\ndo = { close = true }",
    FAULT + "when = { for = 0 }\ndo = { close = true }",
    FAULT + "when = { rate = 5 }\ndo = { close = true }",
    FAULT + "when = { rate = '5 a minute' }\ndo = { close = true }",
    FAULT + "when = { rate = '5/fortnight' }\ndo = { close = true }",
    FAULT + "when = { probability = 34 }\ndo = { close = true }",
    FAULT + "when = { probability = -0.1 }\ndo = { close = true }",
    FAULT + "when = { per = ['address'] }\ndo = { close = true }",
    FAULT + "when = { per = 'to' }\ndo = { close = true }",
    FAULT + "when = { per = ['to'], probability = 0.5 }\ndo = { close = true }",
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
    # What would go out must be fit for a line.
    'host = "a b"',
    'host = "a\\tb"',
    'host = "a\\r\\nc"',
    "host = ''",
    'title = "two\\nlines"',
    '[policy]\nextensions = ["FOO\\r\\n250 BAR"]',
    "[policy]\nextensions = ['']",
    "[policy]\nextensions = [' FOO']",
    '[[faults]]\nstage = "ehlo"\ndo = { add = "FOO\\u0007" }',
    "[[faults]]\nstage = 'ehlo'\ndo = { add = [''] }",
    "[[faults]]\nstage = 'ehlo'\ndo = { drop = ['SIZE 1000'] }",
    FAULT + 'title = "\\u001b[2J"\ndo = { close = true }',
    "[[faults]]\nstage = 'data'\ndo = { stall_after = 5 }",
)

#: What the schema cannot say, but the code does.
WRONG_TOGETHER = (
    ("host = '-x-'", "host is a host name, not '-x-'."),
    ("host = 'x_y{}.example'", "host is a host name"),
    ("rule = 'recipient-unknwon'", "there is no rule recipient-unknwon; did you mean recipient-unknown?"),
    ("rule = 'qqqq'", "there is no rule qqqq; ehlo rule lists them."),
    ("[policy]\nmailboxes = ['alice']", "the mailbox alice has no domain."),
    ("[policy]\nmailboxes = ['a b@example.com']", "'a b@example.com' is not a mail address"),
    ("[policy]\ndomains = ['a b']", "'a b' is no domain."),
    ("[policy]\nrefused_senders = ['a b']", "'a b' is not a mail address"),
    ("[policy]\nquotas = { 'bob@example.com' = 1 }", "a quota is for a mailbox, and bob@example.com is none."),
    (
        "[policy]\naliases = { 'all@example.com' = 'recipient@example.com' }\nquotas = { 'all@example.com' = 1 }",
        "all@example.com is an alias, and a quota is for a mailbox.",
    ),
    ("[policy]\naliases = { 'a@example.com' = 'A@example.com' }", "the alias a@example.com leads to itself."),
    (
        "[policy]\naliases = { 'a@example.com' = 'b@example.com', 'b@example.com' = ['c@d.example', 'a@example.com'] }",
        "the alias a@example.com leads to itself.",
    ),
    ("[policy]\naliases = { 'a@example.com' = [] }", "the alias a@example.com leads nowhere."),
    ("[policy]\naliases = { 'a@example.com' = 'b c' }", "the mailbox b c has no domain."),
    (FAULT + "do = { reply = ['550-a', '551 b'] }", "behind '550-' each line begins with 550, unlike '551 b'."),
    (FAULT + "do = { reply = '550-a' }", "behind '550-' a further line has to follow."),
    (FAULT + 'do = { reply = "550 a\\u0007" }', "a reply is of printable characters"),
    (FAULT + f"do = {{ reply = '550 {'x' * 507}' }}", "a line of a reply has at most 512 octets"),
    (FAULT + f"do = {{ reply = '550 {'é' * 254}' }}", "a line of a reply has at most 512 octets"),
    (FAULT + "do = { raw = 'x', mangle = 'twice' }", "beside raw, mangle has no effect."),
    (FAULT + "do = { silent = true, hold = true }", "beside silent, hold has no effect."),
    (FAULT.replace("rcpt", "tls") + "do = { handshake = 'close', tls_min = '1.2' }", "beside handshake, tls_min has"),
    (
        FAULT.replace("rcpt", "tls") + "do = { tls_min = '1.3', tls_max = '1.1' }",
        "tls_min = 1.3 is above tls_max = 1.1.",
    ),
    (
        FAULT.replace("rcpt", "data") + "do = { close_after = 1, stall_after = 1, stall = 1 }",
        "beside close_after, stall",
    ),
    (FAULT.replace("rcpt", "data") + "do = { close_after = 1, reply = '451 No' }", "so close_after has no effect."),
    (FAULT.replace("rcpt", "message") + "do = { lose = true, reply = '550 No' }", "so lose has no effect."),
    (FAULT.replace("rcpt", "ehlo") + "do = { drop = 'SIZE', reply = '550 No' }", "so drop has no effect."),
    (FAULT + "when = { to = '/(/' }\ndo = { close = true }", "to = '/(/' is no regular expression: missing )"),
    (FAULT + "when = { client = '192.0.2.0/33' }\ndo = { close = true }", "client = '192.0.2.0/33' is no network."),
    (FAULT + "when = { client = '2001:db8::/x' }\ndo = { close = true }", "client = '2001:db8::/x' is no network."),
    (
        FAULT.replace("rcpt", "message") + "when = { text = '/lottery/' }\ndo = { close = true }",
        "text = '/lottery/' is a regular expression without slashes around it; one that is meant is written [/].",
    ),
    *(
        (FAULT + f"when = {{ {when} }}\ndo = {{ close = true }}", "there is no time of which all this holds.")
        for when in (
            "first = 2, nth = 3",
            "first = 2, every = 3",
            "first = 2, after = 2",
            "first = 5, every = 3, after = 3",
            "nth = 3, every = 2",
            "nth = 3, after = 3",
        )
    ),
    (FAULT + "do = { silent = false }", "a fault without `do` does nothing."),
    (FAULT + "when = { per = 'text' }\ndo = { close = true }", "per is some of client, helo,"),
)


@pytest.mark.parametrize(("text", "why"), WRONG_TOGETHER)
def test_what_does_not_go_together(text: str, why: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("wrong", text)
    where = f"fault 1 ({found[1]}): " if (found := re.search(r"stage = '(\w+)'", text)) else ""
    said = str(caught.value).removeprefix(f"The scenario wrong: {where}")
    assert said != str(caught.value)
    assert said.startswith(why) or said.endswith(why)
    assert str(caught.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (FAULT + "do = { close = true }\n" + FAULT + "do = { reply = 'x' }", "fault 2 (rcpt): a reply begins"),
        ("[[faults]]\nstage = 'rctp'\ndo = { close = true }", "fault 1: a fault has one of the stages"),
        ("[[faults]]\nstage = ['rcpt']\ndo = { close = true }", "fault 1: stage is a text."),
        ("faults = [5]", "fault 1: a fault is a table."),
    ],
)
def test_which_fault_is_wrong(text: str, where: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("wrong", text)
    assert str(caught.value).startswith(f"The scenario wrong: {where}")


@pytest.mark.parametrize(
    ("stage", "words", "why"),
    [
        ("rcpt", {"repply": "450 x"}, "a fault has no word repply; did you mean reply?"),
        ("rcpt", {"recipent": "x", "reply": "450 x"}, "a fault has no word recipent; did you mean recipient?"),
        ("rcpt", {"zzz": 1}, "a fault has no word zzz: add, after, certificate, client,"),
        ("mail", {"recipient": "x", "close": True}, "at mail nothing is known of recipient: there are larger, sender,"),
        ("rcpt", {"recipient": "/(/", "close": True}, "recipient = '/(/' is no regular expression"),
        ("rcpt", {"times": -1, "close": True}, "times is a number from 1 on."),
        ("rcpt", {"times": 0, "close": True}, "times is a number from 1 on."),
        ("rcpt", {"within": 0, "close": True}, "within is a number above 0."),
        ("rcpt", {"within": "long", "close": True}, "within is a number from 0 on."),
        ("rcpt", {"wait": 0, "close": True}, "wait is a number above 0."),
    ],
)
def test_python_has_its_own_names(stage: str, words: dict[str, object], why: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        make_fault(stage, "", words)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    "when",
    [
        {"client": "192.0.2.0/24"},
        {"client": "192.0.2.1"},
        {"client": "2001:db8::/32"},
        {"client": "192.0.*"},
        {"client": "/^192[.]0/"},
        {"first": 3, "every": 3},
        {"first": 6, "every": 3, "after": 3},
        {"nth": 4, "every": 2, "after": 3, "first": 4},
        {"every": 5, "after": 100},
    ],
)
def test_what_can_strike(when: dict[str, object]) -> None:
    make_fault("rcpt", "", {**when, "close": True})


def test_a_fault_is_called_by_what_it_does() -> None:
    words = {"delay": 1, "pause": 0.25, "pieces": 3, "reply": "450 Later"}
    assert make_fault("rcpt", "", words).title == "450 Later, delay 1, pieces 3, pause 0.25"


def test_the_names_of_files_are_known_to_python() -> None:
    own = make_fault("rcpt", "", {"sender": "a", "recipient": "b", "within": 1, "times": 2, "close": True})
    assert own == make_fault("rcpt", "", {"from": "a", "to": "b", "for": 1, "first": 2, "close": True})


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for host in ("one.example", "two.example"):
        file.write_text(f"host = '{host}'")
        assert load_scenario(file).host == load_scenario(str(file)).host == host
    for wrong in (tmp_path / "none.toml", tmp_path, "./\0"):
        with pytest.raises(ScenarioError, match=r"cannot be read: .*[.]$"):
            load_scenario(wrong)
    assert load_scenario("greylisted") is load_scenario("greylisted")


@pytest.mark.parametrize("text", WRONG)
def test_what_it_refuses_cannot_be_used(text: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    with pytest.raises(ScenarioError) as caught:
        parse_scenario("wrong", text)
    assert str(caught.value).startswith("The scenario wrong: ")
    assert str(caught.value).endswith(".")


def test_an_empty_list_is_none() -> None:
    nobody = parse_scenario("x", "[policy]\nmailboxes = []").policy
    assert not nobody.mailboxes
    assert nobody.domains == {"example.com"}
    assert parse_scenario("x", "[policy]\ndomains = []").policy.domains == frozenset()
    assert parse_scenario("x", "[policy]\nmechanisms = []\nusers = { a = 'b' }").policy.offered == ()
    assert parse_scenario("x", "").policy == Policy()


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
