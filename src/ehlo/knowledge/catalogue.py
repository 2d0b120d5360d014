"""The catalogue of rules, filed so that a reply finds its rules without asking each of them.

    text pattern ──> a literal that every text it matches contains ──> four characters of that literal
    reply        ──> all groups of four characters in it ──> the patterns filed there ──> the few that match

Conditions without a text are filed by what they ask for instead: an error, a certificate's fault, a code at a stage.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from ehlo.knowledge.literals import SIZE, Demands, demands_of, grams
from ehlo.smtp.reply import EnhancedStatus, Reply
from ehlo.smtp.stages import STAGES

if TYPE_CHECKING:
    from ehlo.knowledge.rules import Rule, When
    from ehlo.smtp.stages import Stage

#: What begins no part of a pattern that is to be taken as it stands.
_META = re.compile(r"[\\.^$*+?{}\[\]|()]")


class _Entry(NamedTuple):
    """A set of conditions in the file. Of what may not be in a text, `not_words` are plain, `not_patterns` are not."""

    order: tuple[int, int]
    rule: Rule
    weight: int
    codes: frozenset[str]
    enhanced: frozenset[str]
    not_words: tuple[str, ...]
    not_patterns: tuple[str, ...]
    when: When


#: What a literal costs that is too short to be filed by, for each time that it is shorter than this many characters.
_SHORT = 3000
_ORDER = attrgetter("order")
#: Conditions that weigh as much know the words of a reply, and not its codes alone.
WORDS = 8
#: The names that conditions know a code by.
Names = tuple[str, ...]
#: A rule that holds, and how much it knows.
Match = tuple["Rule", int]


class Key(NamedTuple):
    """What a text pattern is filed by.

    A text that it matches has one of the literals `first` and one of `second`; `parts` has, for each of `first`, the
    `SIZE` characters under which it is found, or none where it is too short. What is not known is the empty literal.
    """

    first: Sequence[str] = ("",)
    second: Sequence[str] = ("",)
    parts: Sequence[str] = ("",)


#: The keys of all text patterns.
Keys = Mapping[str, Key]


class _Filed:
    """A text pattern in the file, to be looked at where `literal` and one of `second` and `others` are in a text."""

    __slots__ = ("entry", "literal", "others", "pattern", "search", "second", "wanted")

    def __init__(self, literal: str, second: Sequence[str], pattern: str, entry: _Entry) -> None:
        self.literal = literal
        self.second, *self.others = second
        self.wanted = entry.codes
        self.pattern = pattern
        self.entry = entry
        #: Finds the pattern; it is compiled when it is first needed.
        self.search: Callable[[str], object] = self._first_search

    def _first_search(self, text: str) -> object:
        self.search = compiled(self.pattern).search
        return self.search(text)


class Catalogue:
    """All rules, in their order. Built once, and not changed. `keys` spare the search for what patterns demand."""

    def __init__(self, rules: Iterable[Rule], keys: Keys | None = None) -> None:
        self._rules = tuple(rules)
        self._by_id = {rule.id: rule for rule in self._rules}
        self._by_error: dict[str, list[_Entry]] = {}
        self._by_certificate: dict[str, list[_Entry]] = {}
        self._by_gram: dict[int, list[_Filed]] = {}
        #: Patterns of which no more than a few letters are known, or nothing: looked at each time.
        self._everywhere: list[_Filed] = []
        self._by_code: dict[str, list[_Entry]] = {}
        keys = keys_of(self._rules) if keys is None else keys
        for number, rule in enumerate(self._rules):
            for when in rule.when:
                self._file(number, rule, when, keys)
        self._grams = frozenset(self._by_gram)
        # Of a reply first its stage is asked for, and then what holds there; and codes are few.
        self._holding = lru_cache(maxsize=64)(self._search)
        self._coded = lru_cache(maxsize=4096)(self._find_coded)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, rule: str) -> Rule | None:
        """A rule by its id."""
        return self._by_id.get(rule)

    def for_reply(self, reply: Reply, stage: Stage) -> list[Match]:
        """The rules that hold for a reply at a stage, the one that knows most first."""
        return _each_once(entry for entry in self._holding(reply) if stage in entry.rule.stages)

    def stage_of(self, reply: Reply, stage: Stage | None = None) -> Stage:
        """The stage at which most is known of a reply that came at `stage`, or nobody says where.

        What was said outweighs where it was said, if a rule knows the words: servers judge late. At equal knowledge
        most refusals are of recipients.
        """
        holding = self._holding(reply)
        if stage is not None:
            holding = [entry for entry in holding if entry.weight >= WORDS]
            if not holding or any(stage in entry.rule.stages for entry in holding):
                return stage
        stages = {at for entry in holding if entry.weight == holding[0].weight for at in entry.rule.stages}
        if not stages or "rcpt" in stages:
            return "rcpt" if stage is None or stages else stage
        return next(at for at in STAGES if at in stages)

    def knows_words(self, reply: Reply) -> bool:
        """Whether any rule knows the words of a reply, and not its codes alone."""
        return any(entry.weight >= WORDS for entry in self._holding(reply))

    def for_error(self, error: str, seen: str, stage: Stage) -> list[Match]:
        """The rules that hold for an error below SMTP, in whose place `seen` came."""
        seen = seen.lower()
        entries = [entry for entry in self._by_error.get(error, ()) if stage in entry.rule.stages]
        return _each_once(sorted((entry for entry in entries if entry.when.says(seen)), key=_ORDER))

    def for_certificate(self, problem: str, stage: Stage) -> list[Match]:
        """The rules that hold for what is wrong with a certificate."""
        entries = [entry for entry in self._by_certificate.get(problem, ()) if stage in entry.rule.stages]
        return _each_once(sorted(entries, key=_ORDER))

    def _file(self, number: int, rule: Rule, when: When, keys: Keys) -> None:
        words = tuple(pattern for pattern in when.not_text if not _META.search(pattern))
        patterns = tuple(pattern for pattern in when.not_text if pattern not in words)
        weight = when.weight + 16 * rule.rank
        entry = _Entry((-weight, number), rule, weight, when.codes, when.enhanced, words, patterns, when)
        for error in when.errors:
            self._by_error.setdefault(error, []).append(entry)
        for problem in when.certificates:
            self._by_certificate.setdefault(problem, []).append(entry)
        if when.errors or when.certificates:
            return
        for pattern in when.text:
            key = keys[pattern]
            for literal, part in zip(key.first, key.parts, strict=True):
                filed = self._by_gram.setdefault(grams(part)[0][0], []) if part else self._everywhere
                filed.append(_Filed(literal, key.second, pattern, entry))
        if not when.text:
            for name in when.enhanced or when.codes:
                self._by_code.setdefault(name, []).append(entry)

    def _search(self, reply: Reply) -> list[_Entry]:
        """The conditions that hold for a reply, whatever its stage, the heaviest first.

        (Every reply goes through here, so the tests stand in the order of what they cost.)
        """
        text = reply.text.lower()
        codes = _names_of_code(reply.code)
        statuses = _names_of_status(reply.enhanced)
        filed = [self._everywhere]
        for numbers in grams(text):
            filed += map(self._by_gram.__getitem__, self._grams.intersection(numbers))
        found = [
            it.entry
            for several in filed
            for it in several
            if it.literal in text
            and (not it.wanted or not it.wanted.isdisjoint(codes))
            and (it.second in text or (it.others and _any_in(it.others, text)))
            and it.search(text)
            and _holds(it.entry, codes, statuses, text)
        ]
        always, unless = self._coded(codes, statuses)
        found += always
        found += [entry for entry in unless if _holds(entry, codes, statuses, text)]
        found.sort(key=_ORDER)
        return found

    def _find_coded(self, codes: Names, statuses: Names) -> tuple[list[_Entry], list[_Entry]]:
        """The conditions that ask for these codes and no text: those that hold, and those that some words forbid."""
        asked = (entry for name in codes + statuses for entry in self._by_code.get(name, ()))
        holding = [entry for entry in asked if _holds(entry, codes, statuses, "")]
        return (
            [entry for entry in holding if not (entry.not_words or entry.not_patterns)],
            [entry for entry in holding if entry.not_words or entry.not_patterns],
        )


@lru_cache(maxsize=1024)
def _names_of_code(code: int) -> Names:
    """How conditions name a reply code: itself, and its class."""
    return (str(code), f"{code // 100}yz")


@lru_cache(maxsize=4096)
def _names_of_status(status: EnhancedStatus | None) -> Names:
    return () if status is None else (str(status), status.generic)


def keys_of(rules: Iterable[Rule]) -> dict[str, Key]:
    """The keys of the patterns of rules; of what a pattern demands that is taken which the fewest examples have."""
    rules = list(rules)
    common = Counter(part for rule in rules for example in rule.examples for part in _parts(example.lower()))
    return {pattern: _key(demands_of(pattern), common) for rule in rules for when in rule.when for pattern in when.text}


def _key(demands: Demands, common: Counter[str]) -> Key:
    def rarest(literal: str) -> str:
        return min(_parts(literal), key=lambda part: common[part], default="")

    def cost(demand: frozenset[str]) -> int:
        return sum(common[rarest(it)] if len(it) >= SIZE else _SHORT // len(it) for it in demand)

    if not demands:
        return Key()
    first, *others = (sorted(demand) for demand in sorted(demands, key=cost))
    return Key(first, others[0] if others else [""], [rarest(literal) for literal in first])


def _parts(text: str) -> list[str]:
    return [text[at : at + SIZE] for at in range(len(text) - SIZE + 1)]


def _any_in(words: Sequence[str], text: str) -> bool:
    for word in words:  # noqa: SIM110  a generator costs more than all else here
        if word in text:
            return True
    return False


def _holds(entry: _Entry, codes: Names, statuses: Names, text: str) -> bool:
    """Whether what conditions ask for holds, but for the text that they want."""
    if entry.codes and entry.codes.isdisjoint(codes):
        return False
    if entry.enhanced and entry.enhanced.isdisjoint(statuses):
        return False
    for word in entry.not_words:
        if word in text:
            return False
    return not entry.not_patterns or not any(compiled(pattern).search(text) for pattern in entry.not_patterns)


def _each_once(entries: Iterable[_Entry]) -> list[Match]:
    """Each rule once, with the weight of the first of its conditions."""
    first: dict[str, Match] = {}
    for entry in entries:
        first.setdefault(entry.rule.id, (entry.rule, entry.weight))
    return list(first.values())


@lru_cache(maxsize=8192)
def compiled(pattern: str) -> re.Pattern[str]:
    """A text pattern of a rule; it is held against a text in lower case. Compiled when it is first needed."""
    return re.compile(pattern, re.ASCII)
