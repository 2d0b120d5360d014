"""Failures grouped by cause: the rule that knows most of each; where no rule does, what was said.

A million lines are a few hundred different answers. What a case means is found out once for all cases whose texts
are alike when addresses, numbers and ids are masked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ehlo.diagnosis.verdict import Finding
from ehlo.explain.case import Case, explain_case
from ehlo.explain.logs.found import Direction
from ehlo.explain.logs.reader import Entry

#: Masked texts whose meaning is remembered: many more than a server's log has; bounds memory where a log is hostile.
_REMEMBERED = 20_000
#: Groups that are told apart by their texts, and names that are counted in all of them: bounds memory likewise.
_MAX_GROUPS, _MAX_NAMES = 5_000, 500_000
_MAX_NAME = 255
_EXAMPLES, _TOP = 3, 5
_MASKED_TEXT = 400
#: A word with a digit or an @ in it.
_WORD = re.compile(r"(?<![^\s<>()\[\]\"',;=])[^\s<>()\[\]\"',;=0-9@]*+[0-9@][^\s<>()\[\]\"',;=]*+")


class Group(NamedTuple):
    """Failures of one cause.

    `finding` names a recipient, a sender or a server only where all have the same. `domains` has the recipients'
    domains, `peers` the other sides, `texts` what was said (masked); each with how often, the most frequent first.
    """

    count: int  # type: ignore[assignment]  # what it is for everyone who reads a group
    finding: Finding
    direction: Direction
    first: datetime | None
    last: datetime | None
    domains: tuple[tuple[str, int], ...]
    peers: tuple[tuple[str, int], ...]
    texts: tuple[tuple[str, int], ...]
    examples: tuple[str, ...]
    lines: tuple[int, ...]
    case: Case


def masked(case: Case) -> str:
    """A case's text without what differs from line to line: addresses, numbers, ids, the domains of its envelope."""
    text = case.text[:_MASKED_TEXT]
    for address in (case.recipient, case.sender):
        local, _, domain = address.rpartition("@")
        if len(domain) > 3 and domain in text:
            text = text.replace(domain, "#")
        if local and f'"{local}"' in text:
            text = text.replace(f'"{local}"', '"#"')
    if case.server and case.server in text:
        text = text.replace(case.server, "#")
    return _WORD.sub("#", text)


def summarize(entries: Iterable[Entry]) -> list[Group]:
    """The causes of failures, the most frequent first."""
    # Both dictionaries have the cause's key by what was said and where; `known` is forgotten when it is full.
    known: dict[tuple[object, ...], _Tally] = {}
    tallies: dict[tuple[object, ...], _Tally] = {}
    room = _Room(_MAX_NAMES)
    for entry in entries:
        case = entry.case
        text = masked(case)
        key = (entry.direction, text, case.code, case.status, case.error, case.stage)
        tally = known.get(key)
        if tally is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            tally = known[key] = _tally(entry, text, tallies, room)
        tally.add(entry, text)
    return sorted((tally.group() for tally in tallies.values()), key=lambda group: -group.count)


def _tally(entry: Entry, text: str, tallies: dict[tuple[object, ...], _Tally], room: _Room) -> _Tally:
    """The tally of an entry's cause."""
    finding = explain_case(entry.case._replace(recipient="", sender="", server=""))
    cause: tuple[object, ...] = (entry.direction, finding.rule, finding.title)
    if finding.certainty != "certain" and len(tallies) < _MAX_GROUPS:
        # The rule knows hardly more than the code; then what was said is the cause.
        cause = (*cause, text)
    tally = tallies.get(cause)
    if tally is None:
        tally = tallies[cause] = _Tally(entry, room)
    return tally


class _Room:
    """Counts names as long as there is room for new ones."""

    __slots__ = ("_left",)

    def __init__(self, names: int) -> None:
        self._left = names

    def count(self, counter: dict[str, int], name: str) -> None:
        """Count a name once more."""
        known = counter.get(name)
        if known is not None:
            counter[name] = known + 1
        elif self._left:
            self._left -= 1
            counter[name] = 1


class _Tally:
    """Counts what a cause did."""

    __slots__ = (
        "_count",
        "_domains",
        "_entry",
        "_examples",
        "_first",
        "_last",
        "_lines",
        "_peers",
        "_recipient",
        "_room",
        "_sender",
        "_server",
        "_texts",
    )

    def __init__(self, entry: Entry, room: _Room) -> None:
        self._entry = entry
        self._room = room
        self._count = 0
        self._first: tuple[float, datetime] | None = None
        self._last: tuple[float, datetime] | None = None
        self._domains: Counter[str] = Counter()
        self._peers: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()
        self._examples: dict[str, tuple[int, str]] = {}
        self._lines: list[tuple[int, str]] = []
        self._recipient, self._sender, self._server = entry.case.recipient, entry.case.sender, entry.case.server

    def add(self, entry: Entry, text: str) -> None:
        """Count an entry."""
        self._count += 1
        case = entry.case
        if entry.when is not None:
            at = entry.when.timestamp()
            if self._first is None or at < self._first[0]:
                self._first = at, entry.when
            if self._last is None or at > self._last[0]:
                self._last = at, entry.when
        if case.recipient:
            self._room.count(self._domains, case.recipient.rpartition("@")[2].lower()[:_MAX_NAME])
        if entry.peer:
            self._room.count(self._peers, entry.peer[:_MAX_NAME])
        self._room.count(self._texts, text)
        if case.recipient != self._recipient:
            self._recipient = ""
        if case.sender != self._sender:
            self._sender = ""
        if case.server != self._server:
            self._server = ""
        # Different texts make better examples than the first three lines.
        if len(self._examples) < _EXAMPLES:
            self._examples.setdefault(text, entry.line)
            if len(self._lines) < _EXAMPLES:
                self._lines.append(entry.line)

    def group(self) -> Group:
        """What was counted."""
        case = self._entry.case
        same = case._replace(recipient=self._recipient, sender=self._sender, server=self._server)
        examples = sorted(dict.fromkeys([*self._examples.values(), *self._lines][:_EXAMPLES]))
        return Group(
            self._count,
            explain_case(same),
            self._entry.direction,
            self._first[1] if self._first else None,
            self._last[1] if self._last else None,
            tuple(self._domains.most_common(_TOP)),
            tuple(self._peers.most_common(_TOP)),
            tuple(self._texts.most_common(_TOP)),
            tuple(text for _, text in examples),
            tuple(number for number, _ in examples),
            case,
        )
