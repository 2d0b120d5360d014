"""Personas: how a lab server talks. Each is a TOML file in `personas/`, with every reply it may give."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple

from ehlo.smtp.reply import Reply


class Persona(NamedTuple):
    """A way of talking.

    `replies` maps a situation to its reply. `size` is the bound on a message in octets, `recipients`
    that on a transaction's recipients, `errors` that on a session's refusals.
    """

    name: str
    host: str
    greeting: Reply
    keywords: tuple[str, ...]
    size: int
    recipients: int
    errors: int
    replies: dict[str, Reply]

    def reply(self, situation: str, **fields: str) -> Reply:
        """The reply for a situation, with `{field}`s filled in."""
        reply = self.replies[situation]
        if not fields:
            return reply
        # What a client sent is repeated in full or not at all, and never breaks the line.
        safe = {
            name: "".join(c if c.isprintable() else "?" for c in text)[:256] for name, text in fields.items()
        }
        return Reply(reply.code, (reply.lines[0].format(**safe),))


def load_persona(name: str = "postfix") -> Persona:
    """A persona that comes with ehlo. Raises `KeyError` when there is none of that name."""
    source = files("ehlo.lab") / "personas" / f"{name}.toml"
    if not source.is_file():
        raise KeyError(name)
    table = tomllib.loads(source.read_text("utf-8"))
    return Persona(
        name=table["name"],
        host=table["host"],
        greeting=_reply(table["greeting"]),
        keywords=tuple(table["keywords"]),
        size=table["size"],
        recipients=table["recipients"],
        errors=table["errors"],
        replies={situation: _reply(text) for situation, text in table["replies"].items()},
    )


def _reply(text: str) -> Reply:
    code, _, rest = text.partition(" ")
    return Reply(int(code), (rest,))
