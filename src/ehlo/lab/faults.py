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
from random import Random
from types import TracebackType
from typing import NamedTuple, Self

from ehlo.lab.conditions import Condition, Moment, Rate, found
from ehlo.smtp.reply import fitted
from ehlo.smtp.stages import Stage

#: Bounds memory when clients invent addresses: the counters of the keys seen longest ago are forgotten.
_MAX_KEYS = 10_000


class Action(NamedTuple):
    """What a fault does. Several may go together: a delay, then a reply, then a close.

    `reply` is given in place of the one that was due: its lines, the first with the code. What is said counts: if it
    grants the command, the server does what it was asked, and otherwise not. `raw` is what is sent in its place, octet
    for octet; `mangle` names a way of `deviate.MANGLES` to spoil it. `silent` sends nothing.
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

    @property
    def acts_after(self) -> int:
        """After how many octets of the message it closes or stalls; -1 when it does neither."""
        return max(self.close_after, self.stall_after)


def grants(stage: Stage, code: int) -> bool:
    """Whether a reply says yes to what is asked for at a stage; at `auth` also "go on" (RFC 5321 §4.3.2)."""
    category = code // 100
    return category == 3 if stage == "data" else category == 2 or (stage == "auth" and category == 3)


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


def _say_nothing(_: str) -> None:
    """Who is told of what nobody wants to hear."""


class Switch:
    """A fault in a lab: whether it is on, since when, and how often it has struck. `own` marks the scenario's own.

    As a context manager it removes the fault in the end.
    """

    __slots__ = ("_enabled", "_faults", "fault", "hits", "id", "own", "since")

    def __init__(self, faults: Faults, number: str, fault: Fault, since: float, *, own: bool = False) -> None:
        self._faults = faults
        self._enabled = True
        self.id = number
        self.fault = fault
        self.since = since
        self.hits = 0
        self.own = own

    @property
    def enabled(self) -> bool:
        """Whether it is on; to be set, too. On again, it counts from the beginning. Raises `KeyError` when it was
        removed."""
        return self._enabled

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._faults.switch(self.id, on=on)

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

    def remove_added(self) -> None:
        """Remove the faults that were added by hand; those of the scenario stay."""
        self._switches = [switch for switch in self._switches if switch.own]
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
            # Of a copy: sessions may be counting on another thread.
            for key in tuple(self._counters):
                if key[0] == number:
                    self._counters.pop(key, None)
        switch._enabled = on
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

    def strike(
        self, moment: Moment, note: Callable[[str], None] = _say_nothing, *, within: bool = False
    ) -> Strike | None:
        """The fault that strikes at this moment, if one does. Asking counts. `note` hears of what went wrong. `within`
        asks only those that act within the message."""
        for switch in self._by_stage.get(moment.stage, ()):
            if within and switch.fault.do.acts_after < 0:
                continue
            try:
                groups = found(switch.fault.when, moment)
            except TimeoutError:
                note(f"fault: {switch.fault.title}: its regular expression took too long, and does not hold")
                continue
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

    # What a client sent never breaks the line, and is not repeated endlessly.
    return fitted(_FIELD.sub(lambda field: fields.get(field[1], "")[:256], line))
