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
        """The reply for a situation whose text has `{field}`s, filled in. Those without are in `replies`."""
        reply = self.replies[situation]
        return Reply(reply.code, (reply.lines[0].format_map(_Printable(fields)),))


class _Printable(dict[str, str]):
    """Fields for a reply. What a client sent never breaks the line, and is not repeated endlessly."""

    def __getitem__(self, name: str) -> str:
        text = super().__getitem__(name)[:256]
        return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


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
