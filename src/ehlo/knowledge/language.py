"""What commands and keywords are for, in the few words that fit beside them."""

from __future__ import annotations

from functools import cache

from ehlo.knowledge.data import read_data


@cache
def _tables() -> dict[str, dict[str, str]]:
    import tomllib

    return tomllib.loads(read_data("language.toml"))


def meaning_of_command(verb: str) -> str:
    """What a command is for; empty when it is not known."""
    return _tables()["commands"].get(verb.upper(), "")


def meaning_of_parameter(keyword: str) -> str:
    """What a parameter of MAIL or RCPT says; empty when it is not known."""
    return _tables()["parameters"].get(keyword.upper(), "")


def meaning_of_keyword(keyword: str) -> str:
    """What an EHLO keyword says; empty when it is not known."""
    return _tables()["keywords"].get(keyword.upper(), "")
