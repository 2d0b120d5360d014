"""Faults: deviations on demand, each at a stage, under a condition, doing something.

    Moment (where a session is)  ──> Faults.strike ──> Action (what to do now), or None

A fault is data. Whether it strikes is decided here, by counters that belong to the lab and not to a session, so that
"refuse the first time, accept the second" works across sessions. What an action does to the bytes is in `deviate.py`,
what it does to the session in `serve.py`. There is no I/O here; the clock and the dice are given.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address, ip_network
from random import Random
from types import TracebackType
from typing import Literal, NamedTuple, Self, get_args

from ehlo.smtp.stages import Stage

#: What counters can be kept apart by.
Key = Literal["client", "helo", "from", "to", "from-domain", "to-domain", "user", "session"]
KEYS: tuple[Key, ...] = get_args(Key)

#: Bounds memory when clients invent addresses: the counters of the keys seen longest ago are forgotten.
_MAX_KEYS = 10_000


class Moment(NamedTuple):
    """Where a session is when a fault could strike. `client` is the client's address, `number` the session's;
    `size` and `content` are those of a message, `size` also what MAIL declared."""

    stage: Stage
    client: str = ""
    number: int = 0
    helo: str = ""
    sender: str = ""
    recipient: str = ""
    user: str = ""
    tls: bool = False
    size: int = 0
    content: bytes = b""

    def key(self, per: Iterable[Key]) -> tuple[str, ...]:
        """The counter's key."""
        return tuple(_KEY_OF[name](self) for name in per)


_KEY_OF: dict[Key, Callable[[Moment], str]] = {
    "client": lambda moment: moment.client,
    "helo": lambda moment: moment.helo.lower(),
    "from": lambda moment: moment.sender.lower(),
    "to": lambda moment: moment.recipient.lower(),
    "from-domain": lambda moment: moment.sender.lower().rpartition("@")[2],
    "to-domain": lambda moment: moment.recipient.lower().rpartition("@")[2],
    "user": lambda moment: moment.user,
    "session": lambda moment: str(moment.number),
}


class Rate(NamedTuple):
    """So many in so many seconds."""

    times: int
    seconds: float


class Condition(NamedTuple):
    """When a fault strikes: all that is given must hold.

    `sender`, `recipient`, `helo` and `user` are patterns with `*` and `?`, or regular expressions between slashes;
    `client` is an address, a network or a pattern. `text` is a regular expression that occurs in the message,
    `larger` the octets that a message has more of; `tls` whether the session is encrypted.

    Of the times that all this holds, counted apart for each combination of `per`: only the `first` so many; only
    the `nth`; only `every` so-manieth; only `after` so many; only above a `rate`; only until `wait` seconds after the
    first time (a greylist); only within `within` seconds of being switched on; only with a `probability`.
    """

    sender: str = ""
    recipient: str = ""
    helo: str = ""
    client: str = ""
    user: str = ""
    text: str = ""
    larger: int = 0
    tls: bool | None = None
    first: int = 0
    nth: int = 0
    every: int = 0
    after: int = 0
    rate: Rate | None = None
    wait: float = 0.0
    within: float = 0.0
    probability: float = 1.0
    per: tuple[Key, ...] = ()


class Action(NamedTuple):
    """What a fault does. Several may go together: a delay, then a reply, then a close.

    `reply` is given in place of the one that was due: its lines, the first with the code. `raw` is what is sent in
    its place, octet for octet; `mangle` names a way of `deviate.MANGLES` to spoil it. `silent` sends nothing.
    `delay` is seconds before; `pieces` are sizes in which it is written, with a `pause` of so many seconds between
    them (without `pieces`, between octets); `hold` keeps it back until the next one. `close` and `reset` end the
    connection, in order or not.
    `close_after` and `stall_after` wait for so many octets of the message and then close, or stop reading for `stall`
    seconds (a `stall` without `stall_after` begins at once). `lose` accepts a message and forgets it.

    At `ehlo`: `drop`, `add` keywords; `mask` them as some firewalls do. At `tls`: `certificate` is a kind of
    `authority.KINDS`; `tls_min`, `tls_max` are versions; `handshake` is "close", "garbage" or "silent".
    """

    reply: tuple[str, ...] = ()
    raw: bytes | None = None
    mangle: str = ""
    silent: bool = False
    delay: float = 0.0
    pieces: tuple[int, ...] = ()
    pause: float = 0.0
    hold: bool = False
    close: bool = False
    reset: bool = False
    close_after: int = -1
    stall: float = 0.0
    stall_after: int = -1
    lose: bool = False
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    mask: bool = False
    certificate: str = ""
    tls_min: str = ""
    tls_max: str = ""
    handshake: str = ""


class Fault(NamedTuple):
    """One deviation."""

    stage: Stage
    when: Condition
    do: Action
    title: str = ""


class Strike(NamedTuple):
    """A fault that strikes now: its action, with what its patterns found filled in to the reply."""

    fault: Fault
    do: Action


class Switch:
    """A fault in a lab: whether it is on, since when, and how often it has struck. `own` marks the scenario's own.

    As a context manager it removes the fault in the end.
    """

    __slots__ = ("_faults", "enabled", "fault", "hits", "id", "own", "since")

    def __init__(self, faults: Faults, number: str, fault: Fault, since: float, *, own: bool = False) -> None:
        self._faults = faults
        self.id = number
        self.fault = fault
        self.enabled = True
        self.since = since
        self.hits = 0
        self.own = own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the fault out of the lab, if it is still there."""
        with contextlib.suppress(KeyError):
            self._faults.remove(self.id)


class Faults:
    """The faults of a lab, in the order in which they are asked: the first whose condition holds strikes.

    `on_change` is called when a fault comes, goes, is switched, or strikes.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._dice = Random(seed)  # noqa: S311 - dice that fall the same way again, not a secret
        self._switches: list[Switch] = []
        self._counters: dict[tuple[str, tuple[str, ...]], _Counter] = {}
        self._serial = 0
        self._by_stage: dict[Stage, list[Switch]] = {}
        #: Whether any is switched on.
        self.active = False
        self.on_change = on_change
        for fault in faults:
            self.add(fault, own=True)

    @property
    def switches(self) -> tuple[Switch, ...]:
        """All of them, in order."""
        return tuple(self._switches)

    def add(self, fault: Fault, *, own: bool = False) -> Switch:
        """Add a fault and switch it on. Those added by hand are asked before the scenario's own."""
        self._serial += 1
        switch = Switch(self, str(self._serial), fault, self._clock(), own=own)
        if own:
            self._switches.append(switch)
        else:
            self._switches.insert(0, switch)
        self._changed()
        return switch

    def remove(self, number: str) -> None:
        """Remove a fault. Raises `KeyError`."""
        self._switches.remove(self[number])
        self._changed()

    def __getitem__(self, number: str) -> Switch:
        """A fault by its id. Raises `KeyError`."""
        for switch in self._switches:
            if switch.id == number:
                return switch
        raise KeyError(number)

    def switch(self, number: str, *, on: bool) -> None:
        """Switch a fault on or off. On again, it counts from the beginning. Raises `KeyError`."""
        switch = self[number]
        if on and not switch.enabled:
            switch.since = self._clock()
            self._counters = {key: counter for key, counter in self._counters.items() if key[0] != number}
        switch.enabled = on
        self._changed()

    def clear(self) -> None:
        """Remove all faults, and forget what was counted."""
        self._switches.clear()
        self._counters.clear()
        self._changed()

    def replace(self, faults: Iterable[Fault], seed: int = 0) -> None:
        """Take another scenario's faults in place of the last one's. Those added by hand stay."""
        self._switches = [switch for switch in self._switches if not switch.own]
        self._dice = Random(seed)  # noqa: S311
        for fault in faults:
            self.add(fault, own=True)
        self._changed()

    def at(self, stage: Stage) -> bool:
        """Whether any fault is switched on for a stage."""
        return stage in self._by_stage

    def strike(self, moment: Moment) -> Strike | None:
        """The fault that strikes at this moment, if one does. Asking counts."""
        for switch in self._by_stage.get(moment.stage, ()):
            groups = _matches(switch.fault.when, moment)
            if groups is not None and self._due(switch, moment):
                switch.hits += 1
                if self.on_change is not None:
                    self.on_change()
                do = switch.fault.do
                return Strike(switch.fault, do._replace(reply=tuple(_fill(line, moment, groups) for line in do.reply)))
        return None

    def _due(self, switch: Switch, moment: Moment) -> bool:
        when, now = switch.fault.when, self._clock()
        if when.within and now - switch.since > when.within:
            return False
        key = (switch.id, moment.key(when.per))
        counter = self._counters.pop(key, None) or _Counter(now)
        self._counters[key] = counter
        if len(self._counters) > _MAX_KEYS:
            del self._counters[next(iter(self._counters))]
        counter.count += 1
        count = counter.count
        if (when.first and count > when.first) or (when.nth and count != when.nth):
            return False
        if (when.every and count % when.every) or count <= when.after:
            return False
        if when.wait and now - counter.began >= when.wait:
            return False
        if when.rate is not None and not counter.above(when.rate, now):
            return False
        return when.probability >= 1.0 or self._dice.random() < when.probability

    def _changed(self) -> None:
        by_stage: dict[Stage, list[Switch]] = {}
        for switch in self._switches:
            if switch.enabled:
                by_stage.setdefault(switch.fault.stage, []).append(switch)
        # In one step: sessions may be asking from another thread.
        self._by_stage = by_stage
        self.active = bool(by_stage)
        if self.on_change is not None:
            self.on_change()


class _Counter:
    """How often a condition has held for one key."""

    __slots__ = ("began", "count", "times")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.times: deque[float] | None = None

    def above(self, rate: Rate, now: float) -> bool:
        """Whether one more is more than the rate allows; what is refused does not count as used."""
        times = self.times = deque() if self.times is None else self.times
        while times and now - times[0] >= rate.seconds:
            times.popleft()
        if len(times) >= rate.times:
            return True
        times.append(now)
        return False


def _matches(when: Condition, moment: Moment) -> tuple[str, ...] | None:
    """None when the condition does not hold; else what the groups of its regular expressions found."""
    groups: tuple[str, ...] = ()
    for pattern, text in (
        (when.sender, moment.sender),
        (when.recipient, moment.recipient),
        (when.helo, moment.helo),
        (when.user, moment.user),
    ):
        if pattern:
            found = _find(pattern, text)
            if found is None:
                return None
            groups += tuple(group or "" for group in found.groups())
    if when.client and not _is_client(when.client, moment.client):
        return None
    if when.tls is not None and when.tls != moment.tls:
        return None
    if when.larger and moment.size <= when.larger:
        return None
    if when.text:
        found = pattern_of(f"/{when.text}/").search(moment.content.decode("utf-8", "replace"))
        if found is None:
            return None
        groups += tuple(group or "" for group in found.groups())
    return groups


def _find(pattern: str, text: str) -> re.Match[str] | None:
    """A regular expression may occur anywhere, a pattern is of the whole text."""
    compiled = pattern_of(pattern)
    return compiled.search(text) if _is_regular(pattern) else compiled.fullmatch(text)


def _is_regular(pattern: str) -> bool:
    return len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/")


@lru_cache(256)
def pattern_of(text: str) -> re.Pattern[str]:
    """What a pattern of a condition matches, without regard to case. Raises `re.error`."""
    if _is_regular(text):
        return re.compile(text[1:-1], re.IGNORECASE)
    # Only `*` and `?` are special: brackets are at home in addresses.
    return re.compile(translate(text.replace("[", "[[]")), re.IGNORECASE)


def _is_client(wanted: str, client: str) -> bool:
    try:
        return ip_address(client) in ip_network(wanted, strict=False)
    except ValueError:
        return _find(wanted, client) is not None


_FIELD = re.compile(r"\{(\d|from|to|helo|client|user|id)\}")


def _fill(line: str, moment: Moment, groups: tuple[str, ...]) -> str:
    fields = {
        "from": moment.sender,
        "to": moment.recipient,
        "helo": moment.helo,
        "client": moment.client,
        "user": moment.user,
        "id": f"{moment.number:06X}",
        **{str(number): group for number, group in enumerate(groups, start=1)},
    }

    def value(found: re.Match[str]) -> str:
        # What a client sent never breaks the line, and is not repeated endlessly.
        text = fields.get(found[1], "")[:256]
        return "".join(char if char.isprintable() else "?" for char in text)

    return _FIELD.sub(value, line)
