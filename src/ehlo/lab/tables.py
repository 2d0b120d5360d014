"""What TOML and JSON give, read with one sentence for each mistake. Whoever reads a table asks here for its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ehlo.smtp.reply import REPLY_TEXT_LIMIT


class ScenarioError(ValueError):
    """A scenario or a fault that cannot be used. The message is one sentence."""


def only(table: Mapping[str, object], known: Iterable[str], what: str) -> None:
    """No other keys than these."""
    known = sorted(known)
    for name in table:
        if name not in known:
            raise ScenarioError(f"{what} has no key {name}: {', '.join(known)}.")


def table(value: Any, name: str) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise ScenarioError(f"{name} is a table.")
    return value


def text(table: Mapping[str, Any], name: str) -> str:
    """A text; empty when it is not there."""
    value = table.get(name, "")
    if not isinstance(value, str):
        raise ScenarioError(f"{name} is a text.")
    return value


def line(table: Mapping[str, Any], name: str) -> str:
    """A text of one line, which is shown as it is."""
    value = text(table, name)
    if not value.isprintable():
        raise ScenarioError(f"{name} is one line of printable characters.")
    return value


def words(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; a single one will do."""
    value = table.get(name, [])
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ScenarioError(f"{name} is a list of texts.")
    return tuple(value)


def keyword_lines(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Lines for the EHLO reply, each a keyword and its parameters."""
    lines = words(table, name)
    for each in lines:
        if not each.isprintable() or not each or each[0] == " ":
            raise ScenarioError(f"{name} has lines of printable characters that begin with a keyword, not {each!r}.")
        if len(each.encode()) > REPLY_TEXT_LIMIT:
            raise ScenarioError(f"a line of {name} has at most {REPLY_TEXT_LIMIT} octets.")
    return lines


def number(table: Mapping[str, Any], name: str) -> float:
    """A number from 0 on; 0 when it is not there."""
    value = table.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
        raise ScenarioError(f"{name} is a number from 0 on.")
    return float(value)


def whole(table: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 on."""
    value = number(table, name)
    if value != int(value):
        raise ScenarioError(f"{name} is a whole number.")
    return int(value)


def flag(table: Mapping[str, Any], name: str) -> bool:
    """True or false; false when it is not there."""
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise ScenarioError(f"{name} is true or false.")
    return value


def closest(name: str, names: Iterable[str]) -> str:
    """The one of these names that was probably meant; empty when none is near."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(names), 1)), "")
