"""Scenarios: how a lab server behaves. A persona (how it talks), a policy (mailboxes, users, limits) and faults.

A scenario is a TOML file, ehlo's own in `scenarios/`; docs/scenarios.md says what may stand in it, and
`scenario.schema.json` says the same to programs. This module reads them and says in one sentence what is wrong.
Faults are read in `fault_table.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, cast

from ehlo.knowledge.rules import load_rules
from ehlo.lab import tables
from ehlo.lab.fault_table import FAULT_STAGES, fault_to_json, make_fault, parse_fault
from ehlo.lab.faults import Fault
from ehlo.lab.persona import persona_names
from ehlo.lab.policy import POSTMASTER, Limits, Policy
from ehlo.lab.tables import ScenarioError, closest, flag, number, only, table, text, whole, words
from ehlo.smtp.address import AddressError, parse_domain, parse_mailbox, parse_path
from ehlo.smtp.sasl.server import SERVER_MECHANISMS

__all__ = [
    "DEFAULT",
    "FAULT_STAGES",
    "Scenario",
    "ScenarioError",
    "check_host",
    "fault_to_json",
    "load_scenario",
    "make_fault",
    "parse_fault",
    "parse_scenario",
    "scenario_names",
    "shipped_scenario",
]


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


def load_scenario(name: str | Path) -> Scenario:
    """A scenario by its name; or a file's, by its path or by a name with a dot or a slash. Raises `ScenarioError`.

    A file is read anew each time.
    """
    if isinstance(name, Path) or "/" in name or "." in name:
        try:
            content = Path(name).read_text("utf-8")
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise ScenarioError(f"The scenario {name} is not text in UTF-8.") from None
            why = error.strerror if isinstance(error, OSError) else error
            raise ScenarioError(f"The scenario {name} cannot be read: {why}.") from None
        return parse_scenario(Path(name).stem, content)
    return shipped_scenario(name)


@cache
def shipped_scenario(name: str) -> Scenario:
    """A scenario that comes with ehlo, by its name; it reads no other file. Raises `ScenarioError`."""
    if name not in scenario_names():
        near = closest(name, scenario_names())
        hint = f"; did you mean {near}?" if near else "; ehlo lab --list shows them."
        raise ScenarioError(f"There is no scenario {name}{hint}")
    return parse_scenario(name, (files("ehlo.lab") / "scenarios" / f"{name}.toml").read_text("utf-8"))


def parse_scenario(name: str, content: str) -> Scenario:
    """Read a scenario. Raises `ScenarioError`."""
    try:
        value = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"The scenario {name} is not TOML: {error}.") from None
    try:
        return _scenario(name, value)
    except ScenarioError as error:
        raise ScenarioError(f"The scenario {name}: {error}") from None


def _scenario(name: str, value: dict[str, Any]) -> Scenario:
    only(value, set(Scenario._fields) - {"name"}, "a scenario")
    persona = text(value, "persona") if "persona" in value else "postfix"
    if persona not in persona_names():
        raise ScenarioError(f"there is no persona {persona}: {', '.join(persona_names())}.")
    faults = value.get("faults", [])
    if not isinstance(faults, list):
        raise ScenarioError("faults are written as [[faults]].")
    return Scenario(
        name,
        tables.line(value, "title") or name,
        text(value, "description").strip(),
        _rule(text(value, "rule")),
        text(value, "command") or "check",
        text(value, "script"),
        persona,
        check_host(text(value, "host")) if "host" in value else "",
        _policy(value.get("policy", {})),
        tuple(_fault(number, fault) for number, fault in enumerate(faults, 1)),
        whole(value, "seed"),
    )


def _fault(number: int, value: Any) -> Fault:
    try:
        return parse_fault(value)
    except ScenarioError as error:
        stage = value.get("stage") if isinstance(value, dict) else None
        where = f" ({stage})" if stage in FAULT_STAGES else ""
        raise ScenarioError(f"fault {number}{where}: {error}") from None


def check_host(name: str) -> str:
    """What a server may call itself: a host name or an address literal. Raises `ScenarioError`."""
    try:
        if name.isprintable():
            return parse_domain(name)
    except AddressError:
        pass
    raise ScenarioError(f"host is a host name, not {name!r}.")


def _rule(id_: str) -> str:
    known = [rule.id for rule in load_rules()] if id_ else []
    if id_ and id_ not in known:
        near = closest(id_, known)
        raise ScenarioError(f"there is no rule {id_}{f'; did you mean {near}?' if near else '; ehlo rule lists them.'}")
    return id_


# Policy.


def _policy(value: Any) -> Policy:
    value = table(value, "policy")
    only(value, Policy._fields, "policy")
    flags = [name for name, default in Policy()._asdict().items() if isinstance(default, bool)]
    policy = Policy()._replace(**cast(Any, {name: flag(value, name) for name in flags}))
    # An empty list is one that was given: there is none.
    if "mailboxes" in value:
        mailboxes = frozenset(_addresses(value, "mailboxes"))
        domains = frozenset(mailbox.rpartition("@")[2] for mailbox in mailboxes) or policy.domains
        policy = policy._replace(mailboxes=mailboxes, domains=domains)
    if "domains" in value:
        policy = policy._replace(domains=frozenset(_domain(word) for word in words(value, "domains")))
    if "mechanisms" in value:
        mechanisms = words(value, "mechanisms")
        for word in mechanisms:
            if word not in SERVER_MECHANISMS:
                raise ScenarioError(f"there is no mechanism {word}: {', '.join(SERVER_MECHANISMS)}.")
        policy = policy._replace(mechanisms=mechanisms)
    bare_lf = text(value, "bare_lf") if "bare_lf" in value else "keep"
    if bare_lf not in ("keep", "refuse", "lenient"):
        raise ScenarioError(f"bare_lf is keep, refuse or lenient, not {bare_lf}.")
    users = table(value.get("users", {}), "users")
    policy = policy._replace(
        aliases=_aliases(table(value.get("aliases", {}), "aliases")),
        refused_senders=frozenset(_sender(word) for word in words(value, "refused_senders")),
        users={name: text(users, name) for name in users},
        extensions=tables.keyword_lines(value, "extensions"),
        bare_lf=cast(Any, bare_lf),
        limits=_limits(value.get("limits", {})),
    )
    return policy._replace(quotas=_quotas(table(value.get("quotas", {}), "quotas"), policy))


def _addresses(value: Mapping[str, Any], name: str) -> list[str]:
    return [_address(word) for word in words(value, name)]


def _address(word: str) -> str:
    if not word.partition("@")[2]:
        raise ScenarioError(f"the mailbox {word} has no domain.")
    try:
        mailbox = parse_mailbox(word)
    except AddressError as error:
        raise ScenarioError(str(error)) from None
    return f"{mailbox.unquoted}@{mailbox.domain}".lower()


def _domain(word: str) -> str:
    try:
        return parse_domain(word).lower()
    except AddressError:
        raise ScenarioError(f"'{word}' is no domain.") from None


def _sender(word: str) -> str:
    try:
        return parse_path(word, brackets=False).address.lower()
    except AddressError as error:
        raise ScenarioError(str(error)) from None


def _aliases(value: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    aliases = {_address(alias): tuple(_addresses(value, alias)) for alias in value}
    for alias in aliases:
        if not aliases[alias]:
            raise ScenarioError(f"the alias {alias} leads nowhere.")
        # To lead to the mailbox of its own name is allowed, beside others.
        if not set(aliases[alias]) - {alias} or _leads_back(alias, aliases):
            raise ScenarioError(f"the alias {alias} leads to itself.")
    return aliases


def _leads_back(alias: str, aliases: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether following an alias through others ends at itself."""
    left, seen = list(set(aliases[alias]) - {alias}), set[str]()
    while left:
        address = left.pop()
        if address not in seen:
            seen.add(address)
            left += aliases.get(address, ())
    return alias in seen


def _quotas(value: dict[str, Any], policy: Policy) -> dict[str, int]:
    quotas = {_address(mailbox): whole(value, mailbox) for mailbox in value}
    for mailbox in quotas:
        exists = policy.any_recipient or mailbox in policy.mailboxes or mailbox.startswith(f"{POSTMASTER}@")
        if mailbox in policy.aliases and mailbox not in policy.aliases[mailbox]:
            raise ScenarioError(f"{mailbox} is an alias, and a quota is for a mailbox.")
        if not exists and not any(mailbox in targets for targets in policy.aliases.values()):
            raise ScenarioError(f"a quota is for a mailbox, and {mailbox} is none.")
    return quotas


def _limits(value: Any) -> Limits:
    value = table(value, "limits")
    only(value, Limits._fields, "limits")
    numbers = {name: (number if name in ("idle", "seconds") else whole)(value, name) for name in value}
    return Limits(**cast(Any, numbers))
