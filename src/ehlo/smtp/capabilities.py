"""What a server offers: the keywords of its reply to EHLO (RFC 5321 §4.1.1.1), with typed values."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from ehlo.smtp.deviations import Deviation
from ehlo.smtp.reply import Reply


class Capabilities(NamedTuple):
    """The extensions offered. `keywords` maps each keyword, in upper case and in the server's
    order, to its parameters as written. HELO yields no keywords."""

    domain: str
    greeting: str
    keywords: dict[str, tuple[str, ...]]
    deviations: tuple[Deviation, ...] = ()

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int | None:
        """The largest message taken, in octets; None when not said, 0 when there is no fixed
        limit (RFC 1870 §3)."""
        words = self.keywords.get("SIZE")
        if not words:
            return None if words is None else 0
        return int(words[0]) if words[0].isdecimal() and len(words[0]) <= 20 else None

    @property
    def auth(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, in upper case and in the server's order (RFC 4954 §3)."""
        return tuple(word.upper() for word in self.keywords.get("AUTH", ()))

    @property
    def limits(self) -> dict[str, int]:
        """The LIMITS extension's values, such as RCPTMAX (RFC 9422 §3)."""
        pairs = (word.partition("=") for word in self.keywords.get("LIMITS", ()))
        return {name.upper(): int(value) for name, _, value in pairs if value.isdecimal() and len(value) <= 6}

    @property
    def deliver_by(self) -> int | None:
        """The least time of DELIVERBY in seconds; 0 when any is taken; None when not offered
        (RFC 2852 §3)."""
        words = self.keywords.get("DELIVERBY")
        if words is None:
            return None
        return int(words[0]) if words and words[0].isdecimal() and len(words[0]) <= 9 else 0

    def lines(self) -> Iterable[str]:
        """Keyword lines as they stand in the reply, without the first line."""
        for keyword, words in self.keywords.items():
            yield " ".join((keyword, *words))


@lru_cache(maxsize=64)
def parse_capabilities(reply: Reply) -> Capabilities:
    """Read a positive reply to EHLO, HELO or LHLO. Never raises."""
    domain, _, greeting = reply.lines[0].partition(" ")
    keywords: dict[str, tuple[str, ...]] = {}
    deviations: list[Deviation] = []
    for line in reply.lines[1:]:
        words = line.split()
        if not words:
            continue
        keyword = words[0].upper()
        if keyword.startswith("AUTH="):
            # Servers from before RFC 2554, and those that humour clients from then.
            deviations.append(Deviation.AUTH_EQUALS)
            words = ["AUTH", *words[0][5:].split(), *words[1:]]
            keyword = "AUTH"
        known = keywords.get(keyword, ())
        keywords[keyword] = known + tuple(word for word in words[1:] if word not in known)
    return Capabilities(domain, greeting, keywords, tuple(deviations))
