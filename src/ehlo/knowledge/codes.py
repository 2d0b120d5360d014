"""The code tables: what each reply code and each enhanced status code means, in plain words."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

from ehlo.knowledge.data import read_data
from ehlo.smtp.reply import EnhancedStatus, Reply


class Meaning(NamedTuple):
    """What a code means: a short `title`, one or two sentences, what to do (may be empty), the source."""

    title: str
    meaning: str
    action: str
    source: str


def _load(name: str) -> dict[str, dict[str, Any]]:
    import tomllib

    return tomllib.loads(read_data(name))


@cache
def _codes() -> dict[str, dict[str, Any]]:
    return _load("codes.toml")


@cache
def _enhanced() -> dict[str, dict[str, Any]]:
    return _load("enhanced.toml")


def reply_codes() -> frozenset[str]:
    """The basic codes in the table."""
    return frozenset(_codes())


def enhanced_codes() -> frozenset[str]:
    """The enhanced status codes in the table, as "X.1.1"."""
    return frozenset(_enhanced()) - {"class"}


def meaning_of_code(code: int) -> Meaning | None:
    """What a reply code means (RFC 5321 §4.2.3 and the RFCs that added some), or None."""
    entry = _codes().get(str(code))
    return None if entry is None else _meaning(entry)


def meaning_of_enhanced(status: EnhancedStatus) -> Meaning | None:
    """What an enhanced status code means (RFC 3463 and the IANA registry), or None.

    A detail that the registry does not have falls back to its subject: 5.7.99 to X.7.0.
    """
    table = _enhanced()
    entry = table.get(status.generic) or table.get(f"X.{status.subject}.0")
    if entry is None:
        return None
    meaning = _meaning(entry)
    if status.category == 2 and "positive" in entry:
        return meaning._replace(meaning=entry["positive"], action="")
    return meaning


def _meaning(entry: dict[str, Any]) -> Meaning:
    return Meaning(entry["title"], entry["meaning"], entry.get("action", ""), entry["source"])


def explain_reply(reply: Reply) -> str:
    """What a reply's codes say, in one or two sentences; the enhanced code says more than the basic one.

    Empty when no table knows them.
    """
    return _explain(reply.code, reply.enhanced)


def explain_or_say_unknown(reply: Reply) -> str:
    """The same, with a sentence of its own for codes that no table knows."""
    return explain_reply(reply) or f"No table knows the code {reply.code}."


@lru_cache(maxsize=4096)
def _explain(code: int, status: EnhancedStatus | None) -> str:
    meanings = [meaning_of_code(code)]
    if status is not None and status.category == code // 100:
        enhanced = meaning_of_enhanced(status)
        # X.0.0 says nothing that the basic code does not say.
        if enhanced is not None and (status.subject or status.detail):
            meanings = [enhanced]
    return " ".join(meaning.meaning for meaning in meanings if meaning is not None)
