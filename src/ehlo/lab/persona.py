"""Personas: how a lab server talks. Each is a TOML file in `personas/`, with every reply it may give."""

from __future__ import annotations

import random
import tomllib
from email.utils import localtime
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from ehlo.smtp.reply import Reply, fitted

_new = tuple.__new__

#: Of what a client said, no more is repeated.
_MOST_REPEATED = 256


class Persona(NamedTuple):
    """A way of talking.

    `replies` maps a situation to its reply, `hello` is the first line of the answer to EHLO. `size` is the bound on
    a message in octets, `recipients` that on a transaction's recipients, `errors` that on a session's refusals.
    Without `keywords` it does not know EHLO.
    """

    name: str
    host: str
    words: Reply
    hello: str
    keywords: tuple[str, ...]
    size: int
    recipients: int
    errors: int
    replies: dict[str, Reply]

    @property
    def greeting(self) -> Reply:
        """The greeting, as of now."""
        words = self.words
        if "{" not in words.lines[0]:
            return words
        fields = _Fields(date=f"{localtime():%a, %d %b %Y %H:%M:%S %z}")
        return Reply(words.code, (fitted(words.lines[0].format_map(fields)),))

    def welcome(self, helo: str, client: str) -> str:
        """The first line of the answer to EHLO or HELO."""
        return fitted(self.hello.format_map(_Fields(helo=helo[:_MOST_REPEATED], client=client)))

    def at(self, host: str) -> Persona:
        """The same way of talking on another host."""

        def moved(reply: Reply) -> Reply:
            return Reply(reply.code, tuple(line.replace(self.host, host) for line in reply.lines))

        return self._replace(
            host=host,
            words=moved(self.words),
            hello=self.hello.replace(self.host, host),
            replies={situation: moved(reply) for situation, reply in self.replies.items()},
        )

    def say(self, situation: str) -> Reply:
        """The reply for a situation that has nothing to fill in but an identity, if that."""
        reply = self.replies[situation]
        return self.reply(situation) if "{" in reply.lines[-1] else reply

    def reply(self, situation: str, **fields: str) -> Reply:
        """The reply for a situation whose text has `{field}`s, filled in."""
        code, lines, _ = self.replies[situation]
        known = _Fields()
        for name, text in fields.items():
            known[name] = text[:_MOST_REPEATED]
        # What a client sent never breaks the line.
        return _new(Reply, (code, tuple([fitted(line.format_map(known)) for line in lines]), ()))

    def taken(self, id_: str) -> Reply:
        """The reply to a message that is taken under this identity, which is all that may stand in it."""
        code, (line,), _ = self.replies["message"]
        return _new(Reply, (code, (line.replace("{id}", id_),), ()))


class _Fields(dict[str, str]):
    """Fields for a reply. There is always an identity; what else is not known is empty."""

    def __missing__(self, name: str) -> str:
        return _identity() if name == "id" else ""


def _identity() -> str:
    return f"{random.getrandbits(44):011X}"


@cache
def persona_names() -> tuple[str, ...]:
    """The personas that come with ehlo, Postfix first."""
    folder = files("ehlo.lab") / "personas"
    names = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    return ("postfix", *(name for name in names if name != "postfix"))


@cache
def load_persona(name: str = "postfix") -> Persona:
    """A persona that comes with ehlo. Raises `KeyError` when there is none of that name."""
    if name not in persona_names():
        raise KeyError(name)
    table = tomllib.loads((files("ehlo.lab") / "personas" / f"{name}.toml").read_text("utf-8"))
    return Persona(
        name=table["name"],
        host=table["host"],
        words=_reply(table["greeting"]),
        hello=table["hello"],
        keywords=tuple(table["keywords"]),
        size=table["size"],
        recipients=table["recipients"],
        errors=table["errors"],
        replies={situation: _reply(text) for situation, text in table["replies"].items()},
    )


def _reply(text: str) -> Reply:
    first, *rest = text.split("\n")
    return Reply(int(first[:3]), (first[4:], *rest))
