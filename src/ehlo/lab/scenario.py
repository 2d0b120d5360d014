"""Scenarios: how a lab server behaves. A persona (how it talks), a policy (mailboxes, users, limits) and faults.

A scenario is a TOML file, ehlo's own in `scenarios/`; docs/scenarios.md says what may stand in it, and
`scenario.schema.json` says the same to programs. This module reads them and says in one sentence what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, cast

from ehlo.lab.authority import KINDS, VERSIONS
from ehlo.lab.deviate import MANGLES
from ehlo.lab.faults import KEYS, Action, Condition, Fault, Key, Rate, pattern_of
from ehlo.lab.persona import persona_names
from ehlo.lab.policy import Limits, Policy
from ehlo.smtp.sasl.server import SERVER_MECHANISMS
from ehlo.smtp.stages import STAGES, Stage

#: Faults have no say in what comes before the server hears of a client.
FAULT_STAGES: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage not in ("dns", "connect"))
HANDSHAKES = ("close", "garbage", "silent")


class ScenarioError(ValueError):
    """A scenario that cannot be used. The message is one sentence."""


class Scenario(NamedTuple):
    """One scenario.

    `command` is how to see it with ehlo, and `rule` the id of the rule that this ends with, if there is one;
    `script` is a session that shows what it does, in the language of docs/scenarios.md.
    """

    name: str
    title: str
    description: str = ""
    rule: str = ""
    command: str = "check"
    script: str = ""
    persona: str = "postfix"
    host: str = ""
    policy: Policy = Policy()
    faults: tuple[Fault, ...] = ()
    seed: int = 0


DEFAULT = Scenario("", "A server that behaves")


@cache
def scenario_names() -> tuple[str, ...]:
    """The scenarios that come with ehlo, in alphabetical order."""
    folder = files("ehlo.lab") / "scenarios"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


@cache
def load_scenario(name: str) -> Scenario:
    """A scenario by its name, or a file's if the name has a dot or a slash. Raises `ScenarioError`."""
    if "/" in name or "." in name:
        try:
            text = Path(name).read_text("utf-8")
        except OSError as error:
            raise ScenarioError(f"The scenario {name} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ScenarioError(f"The scenario {name} is not text in UTF-8.") from None
        return parse_scenario(Path(name).stem, text)
    if name not in scenario_names():
        close = _closest(name, scenario_names())
        hint = f"; did you mean {close}?" if close else "; ehlo lab --list shows them."
        raise ScenarioError(f"There is no scenario {name}{hint}")
    return parse_scenario(name, (files("ehlo.lab") / "scenarios" / f"{name}.toml").read_text("utf-8"))


def _closest(name: str, names: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, 1)), "")


def parse_scenario(name: str, text: str) -> Scenario:
    """Read a scenario. Raises `ScenarioError`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"The scenario {name} is not TOML: {error}.") from None
    try:
        return _scenario(name, table)
    except ScenarioError as error:
        raise ScenarioError(f"The scenario {name}: {error}") from None


def _scenario(name: str, table: dict[str, Any]) -> Scenario:
    known = {"title", "description", "rule", "command", "script", "persona", "host", "policy", "faults", "seed"}
    _only(table, known, "a scenario")
    persona = _text(table, "persona") if "persona" in table else "postfix"
    if persona not in persona_names():
        raise ScenarioError(f"there is no persona {persona}: {', '.join(persona_names())}.")
    faults = table.get("faults", [])
    if not isinstance(faults, list):
        raise ScenarioError("faults are written as [[faults]].")
    return Scenario(
        name,
        _text(table, "title") or name,
        _text(table, "description").strip(),
        _text(table, "rule"),
        _text(table, "command") or "check",
        _text(table, "script"),
        persona,
        _text(table, "host"),
        _policy(table.get("policy", {})),
        tuple(parse_fault(fault) for fault in faults),
        _whole(table, "seed"),
    )


def _policy(table: Any) -> Policy:
    table = _table(table, "policy")
    plain = {"any_recipient", "any_login", "auth_in_clear", "auth_required", "own_senders", "tls_required", "xclient"}
    known = {"domains", "mailboxes", "aliases", "quotas", "refused_senders", "users", "mechanisms"}
    _only(table, plain | known | {"extensions", "bare_lf", "limits"}, "policy")
    policy = Policy()._replace(**cast(Any, {name: _flag(table, name) for name in plain}))
    mailboxes = [word.lower() for word in _words(table, "mailboxes")]
    if wrong := next((mailbox for mailbox in mailboxes if not mailbox.partition("@")[2]), ""):
        raise ScenarioError(f"the mailbox {wrong} has no domain.")
    if mailboxes:
        domains = frozenset(mailbox.rpartition("@")[2] for mailbox in mailboxes)
        policy = policy._replace(mailboxes=frozenset(mailboxes), domains=domains)
    if domains_given := _words(table, "domains"):
        policy = policy._replace(domains=frozenset(word.lower() for word in domains_given))
    if mechanisms := _words(table, "mechanisms"):
        for word in mechanisms:
            if word not in SERVER_MECHANISMS:
                raise ScenarioError(f"there is no mechanism {word}: {', '.join(SERVER_MECHANISMS)}.")
        policy = policy._replace(mechanisms=mechanisms)
    bare_lf = _text(table, "bare_lf") if "bare_lf" in table else "keep"
    if bare_lf not in ("keep", "refuse", "lenient"):
        raise ScenarioError(f"bare_lf is keep, refuse or lenient, not {bare_lf}.")
    aliases = {
        alias.lower(): tuple(word.lower() for word in _words(_table(table.get("aliases", {}), "aliases"), alias))
        for alias in _table(table.get("aliases", {}), "aliases")
    }
    quotas = _table(table.get("quotas", {}), "quotas")
    users = _table(table.get("users", {}), "users")
    return policy._replace(
        aliases=aliases,
        quotas={mailbox.lower(): _whole(quotas, mailbox) for mailbox in quotas},
        refused_senders=frozenset(word.lower() for word in _words(table, "refused_senders")),
        users={name: _text(users, name) for name in users},
        extensions=_words(table, "extensions"),
        bare_lf=cast(Any, bare_lf),
        limits=_limits(table.get("limits", {})),
    )


def _limits(table: Any) -> Limits:
    table = _table(table, "limits")
    _only(table, set(Limits._fields), "limits")
    numbers = {name: (_number if name in ("idle", "seconds") else _whole)(table, name) for name in table}
    return Limits(**cast(Any, numbers))


# Faults.

_RENAMED = {"from": "sender", "to": "recipient", "for": "within"}


def parse_fault(table: Any) -> Fault:
    """A fault from a table such as {"stage": "rcpt", "when": {"first": 1}, "do": {"reply": "450 4.2.0 Later"}}.

    Raises `ScenarioError`.
    """
    table = _table(table, "a fault")
    _only(table, {"stage", "title", "when", "do"}, "a fault")
    stage = _text(table, "stage")
    if stage not in FAULT_STAGES:
        raise ScenarioError(f"a fault has one of the stages {', '.join(FAULT_STAGES)}, not '{stage}'.")
    do = _action(table.get("do", {}))
    if do == Action():
        raise ScenarioError("a fault without `do` does nothing.")
    when = _condition(table.get("when", {}))
    return Fault(stage, when, do, _text(table, "title") or describe(do))


_FRIENDLY = {"sender": "from", "recipient": "to", "within": "for", "times": "first"}


def make_fault(stage: str, title: str, words: Mapping[str, object]) -> Fault:
    """A fault from words of `when` and `do` together, in Python's names. Raises `ScenarioError`."""
    table: dict[str, Any] = {"stage": stage, "title": title, "when": {}, "do": {}}
    for name, value in words.items():
        plain = list(value) if isinstance(value, tuple) else value
        if name in Action._fields:
            table["do"][name] = plain.decode("utf-8", "surrogateescape") if isinstance(plain, bytes) else plain
        else:
            table["when"][_FRIENDLY.get(name, name)] = plain
    return parse_fault(table)


def _condition(table: Any) -> Condition:
    table = _table(table, "when")
    shown = {**{name: name for name in Condition._fields}, **_RENAMED}
    known = {name for name in shown if name not in _RENAMED.values()}
    _only(table, known, "when")
    values: dict[str, Any] = {}
    for name in table:
        field = shown[name]
        if field == "rate":
            values[field] = _rate(_text(table, name))
        elif field == "per":
            words = _words(table, name)
            if wrong := set(words) - set(KEYS):
                raise ScenarioError(f"per is some of {', '.join(KEYS)}, not {', '.join(sorted(wrong))}.")
            values[field] = cast(tuple[Key, ...], words)
        elif field == "tls":
            values[field] = _flag(table, name)
        elif field in ("wait", "within", "probability"):
            values[field] = _number(table, name)
        elif field in ("larger", "first", "nth", "every", "after"):
            values[field] = _whole(table, name)
        else:
            values[field] = _pattern(name, _text(table, name))
    condition = Condition(**values)
    if not 0.0 <= condition.probability <= 1.0:
        raise ScenarioError("a probability is a number from 0 to 1.")
    return condition


def _pattern(name: str, text: str) -> str:
    try:
        pattern_of(f"/{text}/" if name == "text" else text)
    except re.error as error:
        raise ScenarioError(f"{name} = '{text}' is no regular expression: {error}.") from None
    return text


_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def _rate(text: str) -> Rate:
    found = re.fullmatch(r"(\d+)\s*/\s*(?:(\d+)\s*)?(second|minute|hour|day)s?", text)
    if found is None:
        raise ScenarioError(f"a rate is written as 5/minute or 10/30 seconds, not '{text}'.")
    if not int(found[1]) or found[2] == "0":
        raise ScenarioError("a rate is of at least 1 in at least 1 second.")
    return Rate(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])


_CHOICES: dict[str, tuple[str, ...]] = {
    "mangle": tuple(MANGLES),
    "certificate": KINDS,
    "tls_min": VERSIONS,
    "tls_max": VERSIONS,
    "handshake": HANDSHAKES,
}


def _action(table: Any) -> Action:
    table = _table(table, "do")
    _only(table, set(Action._fields), "do")
    defaults = Action()._asdict()
    values: dict[str, Any] = {}
    for name in table:
        default = defaults[name]
        if name == "raw":
            values[name] = _text(table, name).encode("utf-8", "surrogateescape")
        elif name == "reply":
            values[name] = _reply(_words(table, name))
        elif isinstance(default, bool):
            values[name] = _flag(table, name)
        elif isinstance(default, int | float):
            values[name] = (_whole if isinstance(default, int) else _number)(table, name)
        elif name == "pieces":
            sizes = table[name] if isinstance(table[name], list) else [table[name]]
            if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
                raise ScenarioError("pieces are whole numbers from 1 on.")
            values[name] = tuple(sizes)
        elif isinstance(default, tuple):
            values[name] = _words(table, name)
        else:
            word = _text(table, name)
            if word not in _CHOICES[name]:
                raise ScenarioError(f"{name} is one of {', '.join(_CHOICES[name])}, not '{word}'.")
            values[name] = word
    return Action(**values)


def _reply(lines: tuple[str, ...]) -> tuple[str, ...]:
    lines = tuple(part for line in lines for part in line.split("\n"))
    # A code may be filled in from a pattern's groups, "{1}".
    if any(not line.isprintable() for line in lines):
        raise ScenarioError("a reply is of printable characters; other octets are for `raw`.")
    if not lines or not re.match(r"([2-5][0-5][0-9]|[{]\d[}])( |$)", lines[0]):
        raise ScenarioError(f"a reply begins with its code, as in '450 4.2.0 Later': '{' '.join(lines)}'.")
    return lines


def describe(do: Action) -> str:
    """An action in a few words."""
    parts: list[str] = []
    for name, value in do._asdict().items():
        if value == Action()._asdict()[name]:
            continue
        if name == "reply":
            parts.append(value[0])
        elif value is True:
            parts.append(name)
        elif isinstance(value, tuple):
            parts.append(f"{name} {' '.join(map(str, value))}")
        else:
            parts.append(f"{name} {value!r}" if isinstance(value, bytes) else f"{name} {value}")
    return ", ".join(parts)


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """A fault as `parse_fault` reads it."""
    back = {field: name for name, field in _RENAMED.items()}
    when: dict[str, Any] = {}
    for name, value in fault.when._asdict().items():
        if value == Condition()._asdict()[name]:
            continue
        if isinstance(value, Rate):
            value = f"{value.times}/{value.seconds:g} seconds"
        when[back.get(name, name)] = list(value) if isinstance(value, tuple) else value
    do: dict[str, Any] = {}
    for name, value in fault.do._asdict().items():
        if value == Action()._asdict()[name]:
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        do[name] = list(value) if isinstance(value, tuple) else value
    return {"stage": fault.stage, "title": fault.title, "when": when, "do": do}


# What TOML and JSON give, with one sentence for each mistake.


def _only(table: Mapping[str, object], known: set[str], what: str) -> None:
    for name in table:
        if name not in known:
            raise ScenarioError(f"{what} has no key {name}: {', '.join(sorted(known))}.")


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{name} is a table.")
    return value


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise ScenarioError(f"{name} is a text.")
    return value


def _words(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ScenarioError(f"{name} is a list of texts.")
    return tuple(value)


def _number(table: Mapping[str, Any], name: str) -> float:
    value = table.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
        raise ScenarioError(f"{name} is a number from 0 on.")
    return float(value)


def _whole(table: Mapping[str, Any], name: str) -> int:
    value = _number(table, name)
    if value != int(value):
        raise ScenarioError(f"{name} is a whole number.")
    return int(value)


def _flag(table: Mapping[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise ScenarioError(f"{name} is true or false.")
    return value
