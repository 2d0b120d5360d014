"""The rule catalogue: each rule is one piece of knowledge about what a reply or an error means.

Rules are data, in `data/rules/*.toml`; docs/rules.md says how to write one. This module only loads
them. Which rule holds for a session is decided by `ehlo.diagnosis`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal, NamedTuple, cast, get_args

from ehlo.knowledge.data import read_data, rule_files
from ehlo.smtp.stages import STAGES, Stage

Layer = Literal[
    "network",
    "dns",
    "tls",
    "greeting",
    "sender",
    "recipient",
    "auth",
    "policy",
    "reputation",
    "content",
    "server",
    "protocol",
    "client",
]

LAYERS: tuple[Layer, ...] = get_args(Layer)


class When(NamedTuple):
    """Conditions of a rule, all of which must hold. A rule may have several such sets: one is enough.

    `codes` has reply codes, with "5yz" for a class; `enhanced` enhanced status codes, with "X.1.1" for
    any class; `text` patterns, one of which must occur in the reply's text, and `not_text` patterns none of
    which may; `errors` ids of errors below SMTP; `certificates` ids of what is wrong with a certificate.
    """

    codes: frozenset[str] = frozenset()
    enhanced: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None
    not_text: re.Pattern[str] | None = None
    errors: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()

    @property
    def weight(self) -> int:
        """How much the rule knows: of several rules that hold, the heaviest is the answer.

        The text of a reply outweighs its codes, since servers use 550 for everything.
        """
        exact = any(code.isdecimal() for code in self.codes)
        return (
            8 * (self.text is not None) + 4 * bool(self.enhanced) + 2 * exact + bool(self.codes) + 4 * bool(self.errors)
        )


class Rule(NamedTuple):
    """One rule.

    `title`, `why` and `fix` may name {recipient}, {sender}, {helo}, {host}, {address} and {stage}.
    `examples` are replies for which the rule is the first to hold, at the first of its `stages`;
    `counterexamples` are replies for which it does not hold at all.
    """

    id: str
    title: str
    layer: Layer
    stages: tuple[Stage, ...]
    when: tuple[When, ...]
    why: str
    fix: tuple[str, ...]
    refs: tuple[str, ...]
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()


class RuleError(ValueError):
    """A rule that is not well-formed. The message names it and says what is wrong."""


@cache
def load_rules() -> tuple[Rule, ...]:
    """All rules, in the order of the files and of the rules in them. Raises `RuleError`."""
    rules: list[Rule] = []
    for name in rule_files():
        rules += parse_rules(read_data(name))
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise RuleError(f"The rule {rule.id} is there twice.")
        seen.add(rule.id)
    return tuple(rules)


def parse_rules(text: str) -> list[Rule]:
    """Read the rules of one TOML file. Raises `RuleError`."""
    import tomllib

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(str(error)) from None
    return [_rule(name, table) for name, table in tables.items()]


def _rule(name: str, table: dict[str, Any]) -> Rule:
    unknown = set(table) - set(Rule._fields)
    missing = {"title", "layer", "stages", "when", "why", "fix", "refs"} - set(table)
    if unknown or missing:
        raise RuleError(f"The rule {name} has unknown keys {sorted(unknown)} or lacks {sorted(missing)}.")
    if table["layer"] not in LAYERS:
        raise RuleError(f"The rule {name} names a layer '{table['layer']}' that does not exist.")
    if not table["stages"] or not set(table["stages"]) <= set(STAGES):
        raise RuleError(f"The rule {name} names a stage that does not exist.")
    return Rule(
        id=name,
        title=table["title"],
        layer=cast(Layer, table["layer"]),
        stages=tuple(table["stages"]),
        when=tuple(_when(name, when) for when in _as_list(table["when"])),
        why=table["why"],
        fix=tuple(table["fix"]),
        refs=tuple(table["refs"]),
        examples=tuple(table.get("examples", ())),
        counterexamples=tuple(table.get("counterexamples", ())),
    )


def _as_list(when: Any) -> list[dict[str, list[str]]]:
    return when if isinstance(when, list) else [when]


def _when(name: str, table: dict[str, list[str]]) -> When:
    unknown = set(table) - set(When._fields)
    if unknown or not table:
        raise RuleError(f"The conditions of the rule {name} are empty or have unknown keys {sorted(unknown)}.")
    return When(
        codes=frozenset(table.get("codes", ())),
        enhanced=frozenset(table.get("enhanced", ())),
        text=_pattern(name, table.get("text", [])),
        not_text=_pattern(name, table.get("not_text", [])),
        errors=frozenset(table.get("errors", ())),
        certificates=frozenset(table.get("certificates", ())),
    )


def _pattern(name: str, alternatives: list[str]) -> re.Pattern[str] | None:
    if not alternatives:
        return None
    try:
        return re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.IGNORECASE)
    except re.error as error:
        raise RuleError(f"A text pattern of the rule {name} is not a regular expression: {error}.") from None
