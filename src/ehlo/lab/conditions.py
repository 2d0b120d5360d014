"""When a fault strikes: what is known at a moment of a session, and what a condition asks of it.

    Moment (where a session is)  ──> found(condition, moment) ──> the groups of its patterns, or None

The part of a condition that counts (`first`, `rate` ...) is not looked at here: the counters are in `faults.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ehlo.smtp.stages import Stage

if TYPE_CHECKING:
    # It takes 20 ms to load, and most faults have no regular expression.
    import regex

#: What counters can be kept apart by.
Key = Literal["client", "helo", "from", "to", "from-domain", "to-domain", "user", "session"]
KEYS: tuple[Key, ...] = get_args(Key)

#: Seconds for a regular expression to find what it looks for; as a rule it takes some millionths of one.
_PATIENCE = 1.0


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
    an empty one is for the null sender, and for who has not logged in. `client` is an address, a network or a
    pattern. `text` is a regular expression that occurs in the message, `larger` the octets that a message has more of;
    `tls` whether the session is encrypted.

    Of the times that all this holds, counted apart for each combination of `per`: only the `first` so many; only
    the `nth`; only `every` so-manieth; only `after` so many; only above a `rate`; only until `wait` seconds after the
    first time (a greylist); only within `within` seconds of being switched on; only with a `probability`.
    """

    sender: str | None = None
    recipient: str | None = None
    helo: str | None = None
    client: str | None = None
    user: str | None = None
    text: str | None = None
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


def found(when: Condition, moment: Moment) -> tuple[str, ...] | None:
    """None when the condition does not hold; else what the groups of its regular expressions found.

    Raises `TimeoutError` when that takes too long.
    """
    if when.client is not None and not _is_client(when.client, moment.client):
        return None
    if when.tls is not None and when.tls != moment.tls:
        return None
    if when.larger and moment.size <= when.larger:
        return None
    groups: tuple[str, ...] = ()
    for pattern, text in (
        (when.sender, moment.sender),
        (when.recipient, moment.recipient),
        (when.helo, moment.helo),
        (when.user, moment.user),
    ):
        if pattern is not None:
            here = _find(pattern, text)
            if here is None:
                return None
            groups += here
    if when.text is not None:
        here = _search(when.text, moment.content.decode("utf-8", "replace"))
        return None if here is None else groups + here
    return groups


def _find(pattern: str, text: str) -> tuple[str, ...] | None:
    """A regular expression may occur anywhere, a pattern is of the whole text. The groups it found, or None."""
    if _is_regular(pattern):
        return _search(pattern[1:-1], text)
    return () if _plain(pattern).fullmatch(text) else None


def _is_regular(pattern: str) -> bool:
    return len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/")


def _search(expression: str, text: str) -> tuple[str, ...] | None:
    match = _expression(expression).search(text, timeout=_PATIENCE)
    return None if match is None else tuple(group or "" for group in match.groups())


def check_pattern(pattern: str) -> None:
    """Raises `ValueError`, with the reason, when a pattern is not one."""
    if _is_regular(pattern):
        check_expression(pattern[1:-1])


def check_expression(expression: str) -> None:
    """Raises `ValueError`, with the reason, when this is no regular expression."""
    import regex

    try:
        _expression(expression)
    except regex.error as error:
        raise ValueError(str(error)) from None


@lru_cache(256)
def _expression(text: str) -> regex.Pattern[str]:
    # Not `re`, which cannot be stopped: "(a+)+$" would keep the whole lab busy for years.
    import regex

    return regex.compile(text, regex.IGNORECASE)


@lru_cache(256)
def _plain(text: str) -> re.Pattern[str]:
    # Only `*` and `?` are special: brackets are at home in addresses.
    return re.compile(translate(text.replace("[", "[[]")), re.IGNORECASE)


def _is_client(wanted: str, client: str) -> bool:
    try:
        return ip_address(client) in ip_network(wanted, strict=False)
    except ValueError:
        return _find(wanted, client) is not None
