"""Which software or which provider stands behind a server, told from what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from ehlo.knowledge.data import read_data


class Product(NamedTuple):
    """A server software or a provider. `own` is the first command to look at when the server is one's own."""

    id: str
    name: str
    kind: str
    banner: tuple[str, ...]
    host: tuple[str, ...]
    reply: tuple[str, ...]
    own: str = ""


@cache
def load_products() -> tuple[Product, ...]:
    """All products and providers, those that outweigh others first."""
    import tomllib

    tables = tomllib.loads(read_data("products.toml"))
    return tuple(
        Product(
            name,
            table["name"],
            table["kind"],
            tuple(table.get("banner", ())),
            tuple(table.get("host", ())),
            tuple(table.get("reply", ())),
            table.get("own", ""),
        )
        for name, table in tables.items()
    )


def identify(banner: str = "", hosts: Iterable[str] = (), replies: Iterable[str] = ()) -> Product | None:
    """The product behind a banner's text (without its code), host names and texts of replies, or None."""
    names, texts = tuple(hosts), tuple(replies)
    for product in load_products():
        if _any(product.banner, (banner,)) or _any(product.host, names) or _any(product.reply, texts):
            return product
    return None


def _any(patterns: tuple[str, ...], texts: tuple[str, ...]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns for text in texts if text)
