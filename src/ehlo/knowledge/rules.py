"""The rule catalogue: each rule is one piece of knowledge about what a reply or an error means.

Rules are data, in `data/rules/*.toml`; docs/rules.md says how to write one. This module only loads
them. Which rule holds for a session is decided by `ehlo.diagnosis`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast, get_args

from ehlo.knowledge.catalogue import Catalogue, Key, compiled, keys_of
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


#: The data file that the rules are read from as long as it is up to date.
COMPILED = "rules.json"
#: Whose mistake it is, as seen from whoever sends: the own side's, the other's, or one cannot say.
Whose = Literal["ours", "theirs", "either"]
#: The stages of replies that may speak of anything: a bounce does not say where it was refused, and servers judge
#: names and addresses late. In a rule "*" stands for them.
EVERY_REPLY: tuple[Stage, ...] = ("rcpt", "message", "mail", "data", "ehlo", "banner", "auth", "starttls")


class When(NamedTuple):
    """Conditions of a rule, all of which must hold. A rule may have several such sets: one is enough.

    `codes` has reply codes, with "5yz" for a class; `enhanced` enhanced status codes, with "X.1.1" for
    any class; `text` patterns, one of which must occur in the reply's text in lower case, and `not_text` patterns none
    of which may; `errors` ids of errors below SMTP, of which `text` judges what was seen; `certificates` ids of what
    is wrong with a certificate.
    """

    codes: frozenset[str] = frozenset()
    enhanced: frozenset[str] = frozenset()
    text: tuple[str, ...] = ()
    not_text: tuple[str, ...] = ()
    errors: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()

    @property
    def weight(self) -> int:
        """How much the rule knows: of several rules that hold, the heaviest is the answer.

        The text of a reply outweighs its codes, since servers use 550 for everything.
        """
        exact = any(code.isdecimal() for code in self.codes)
        return 8 * bool(self.text) + 4 * bool(self.enhanced) + 2 * exact + bool(self.codes) + 4 * bool(self.errors)

    def says(self, text: str) -> bool:
        """Whether a text, in lower case, is as these conditions want it."""
        if self.text and not any(compiled(pattern).search(text) for pattern in self.text):
            return False
        return not any(compiled(pattern).search(text) for pattern in self.not_text)


class Rule(NamedTuple):
    """One rule.

    `title`, `why` and `fix` may name {recipient}, {sender}, {helo}, {host}, {address} and {stage}.
    `examples` are replies for which the rule is the first to hold, at the first of its `stages`;
    `counterexamples` are replies for which it does not hold at all. A rule with a `rank` goes before those without,
    as it knows the very words of one provider or product. `settings` has, for the software that sends, what to set
    there, and `server` the same for the software that answers. `alternatives` (in TOML: `or`) are the rules that a
    reply like this cannot exclude, `experiment` is what would. `scenario` is the lab's that ends with this rule.
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
    whose: Whose = "either"
    settings: Mapping[str, str] = MappingProxyType({})
    server: Mapping[str, str] = MappingProxyType({})
    alternatives: tuple[str, ...] = ()
    experiment: str = ""
    scenario: str = ""
    rank: int = 0


class RuleError(ValueError):
    """A rule that is not well-formed. The message names it and says what is wrong."""


@cache
def load_rules() -> Catalogue:
    """All rules, in the order of the files and of the rules in them. Raises `RuleError`."""
    tables, keys = _compiled() or _from_sources()
    rules = [_rule(name, table) for each in tables for name, table in each.items()]
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise RuleError(f"The rule {rule.id} is there twice.")
        seen.add(rule.id)
    return Catalogue(rules, keys)


#: The tables of the rule files, and the keys of their patterns.
_Tables = tuple[list[dict[str, Any]], dict[str, Key] | None]


def _compiled() -> _Tables | None:
    """What `compile_rules` made of the very files that are there; None if they have changed since.

    Reading TOML takes a fifth of a second here, and somebody waits for an explanation.
    """
    import json

    try:
        document = json.loads(read_data(COMPILED))
    except OSError:
        return None
    if document["digest"] != _digest():
        return None
    return document["tables"], {pattern: Key(*key) for pattern, key in document["keys"].items()}


def _from_sources() -> _Tables:
    return [_tables(read_data(name)) for name in rule_files()], None


def compile_rules() -> str:
    """The text of the file `COMPILED`: the rule files in a form that is read fast. `make docs` writes it."""
    import json

    tables, _ = _from_sources()
    rules = [_rule(name, table) for each in tables for name, table in each.items()]

    def lines(table: Mapping[str, object]) -> str:
        # One line an entry: whoever changes a rule sees that rule in the difference.
        return ",\n".join(f"{json.dumps(key)}: {json.dumps(table[key], ensure_ascii=False)}" for key in table)

    keys = lines(keys_of(rules))
    files = ",\n".join(f"{{\n{lines(each)}\n}}" for each in tables)
    return f'{{\n"digest": "{_digest()}",\n"keys": {{\n{keys}\n}},\n"tables": [\n{files}\n]\n}}\n'


def _digest() -> str:
    from hashlib import blake2b

    texts = (f"{name}\n{read_data(name)}" for name in rule_files())
    return blake2b("".join(texts).encode(), digest_size=16).hexdigest()


def parse_rules(text: str) -> list[Rule]:
    """Read the rules of one TOML file, and compile their patterns to see that they can be. Raises `RuleError`."""
    rules = [_rule(name, table) for name, table in _tables(text).items()]
    for rule in rules:
        _compile(rule)
    return rules


def _tables(text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(str(error)) from None


#: The key of TOML that has another name here.
_KEYS = {"alternatives": "or"}


def _rule(name: str, table: dict[str, Any]) -> Rule:
    unknown = set(table) - {_KEYS.get(field, field) for field in Rule._fields if field != "id"}
    missing = {"title", "layer", "stages", "when", "why", "fix", "refs"} - set(table)
    if unknown or missing:
        raise RuleError(f"The rule {name} has unknown keys {sorted(unknown)} or lacks {sorted(missing)}.")
    if table["layer"] not in LAYERS:
        raise RuleError(f"The rule {name} names a layer '{table['layer']}' that does not exist.")
    whose = table.get("whose", "either")
    if whose not in get_args(Whose):
        raise RuleError(f"The rule {name} says '{whose}', which is nobody's mistake.")
    return Rule(
        id=name,
        title=table["title"],
        layer=cast(Layer, table["layer"]),
        stages=_stages(name, table["stages"]),
        when=tuple(_when(name, when) for when in _as_list(table["when"])),
        why=table["why"],
        fix=tuple(table["fix"]),
        refs=tuple(table["refs"]),
        examples=tuple(table.get("examples", ())),
        counterexamples=tuple(table.get("counterexamples", ())),
        whose=whose,
        settings=table.get("settings", {}),
        server=table.get("server", {}),
        alternatives=tuple(table.get("or", ())),
        experiment=table.get("experiment", ""),
        scenario=table.get("scenario", ""),
        rank=table.get("rank", 0),
    )


def _stages(name: str, stages: list[str]) -> tuple[Stage, ...]:
    """The stages of a rule, each once, with "*" filled in."""
    named = [each for stage in stages for each in (EVERY_REPLY if stage == "*" else (stage,))]
    if not named or not set(named) <= set(STAGES):
        raise RuleError(f"The rule {name} names a stage that does not exist.")
    return cast("tuple[Stage, ...]", tuple(dict.fromkeys(named)))


def _as_list(when: Any) -> list[dict[str, list[str]]]:
    return when if isinstance(when, list) else [when]


def _when(name: str, table: dict[str, list[str]]) -> When:
    unknown = set(table) - set(When._fields)
    if unknown or not table:
        raise RuleError(f"The conditions of the rule {name} are empty or have unknown keys {sorted(unknown)}.")
    return When(
        codes=frozenset(table.get("codes", ())),
        enhanced=frozenset(table.get("enhanced", ())),
        text=tuple(table.get("text", ())),
        not_text=tuple(table.get("not_text", ())),
        errors=frozenset(table.get("errors", ())),
        certificates=frozenset(table.get("certificates", ())),
    )


#: Capitals in a pattern, other than in an escape such as \S: the text is in lower case, so they would never match.
_CAPITALS = re.compile(r"(?:\\.|[^A-Z\\])*[A-Z]")


def _compile(rule: Rule) -> None:
    for pattern in (pattern for when in rule.when for pattern in when.text + when.not_text):
        if _CAPITALS.match(pattern):
            raise RuleError(f"A text pattern of the rule {rule.id} has capital letters: {pattern}")
        try:
            compiled(pattern)
        except re.error as error:
            raise RuleError(f"A text pattern of the rule {rule.id} is not a regular expression: {error}.") from None
