"""What may come next: commands by the state, keywords by what the server offers, addresses used before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ehlo.knowledge.language import meaning_of_command, meaning_of_parameter
from ehlo.shell.hints import EXTENSION_OF_VERB
from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.parameters import PARAMETERS
from ehlo.smtp.states import ALLOWED, State

#: How these commands begin; the others are their verb alone.
_BEGINNINGS = {"MAIL": "MAIL FROM:<", "RCPT": "RCPT TO:<", "EHLO": "EHLO ", "HELO": "HELO ", "LHLO": "LHLO "}
_WITH_ARGUMENT = frozenset({"VRFY", "EXPN", "ETRN", "AUTH", "BDAT", "XCLIENT"})
#: What most likely comes next; the others follow by the alphabet.
_ORDER = {
    State.GREETED: ("EHLO", "LHLO", "HELO"),
    State.READY: ("MAIL", "STARTTLS", "AUTH"),
    State.MAIL: ("RCPT", "RSET"),
    State.RCPT: ("DATA", "RCPT", "BDAT", "RSET"),
    State.CHUNKING: ("BDAT", "RSET"),
}
_VALUES = {
    "BODY": ("8BITMIME", "7BIT", "BINARYMIME"),
    "RET": ("FULL", "HDRS"),
    "NOTIFY": ("NEVER", "SUCCESS", "FAILURE", "DELAY"),
}


class Completion(NamedTuple):
    """A way to go on: it takes the place of the last `replaces` characters, and means `meaning`."""

    text: str
    replaces: int
    meaning: str = ""


def complete(
    text: str,
    state: State,
    capabilities: Capabilities | None,
    *,
    helo: str = "",
    lmtp: bool = False,
    addresses: Iterable[str] = (),
    helpers: Iterable[tuple[str, str]] = (),
) -> Iterator[Completion]:
    """All ways to go on behind `text`. `helpers` are the names of colon commands with what they do.
    `lmtp`: LHLO takes the place of EHLO."""
    if state in (State.CONTENT, State.AUTH) and not text.startswith(":"):
        return
    if text.startswith(":"):
        words = text[1:]
        if " " not in words:
            yield from (
                Completion(f":{name}", len(text), meaning) for name, meaning in helpers if name.startswith(words)
            )
        elif words.startswith("auth "):
            yield from _mechanisms(words[5:], capabilities)
        elif words.startswith("help "):
            start = words[5:]
            yield from (Completion(name, len(start), meaning) for name, meaning in helpers if name.startswith(start))
        return
    verb, space, rest = text.partition(" ")
    verb = verb.upper()
    if not space:
        other = ("EHLO", "HELO") if lmtp else ("LHLO",)
        for completion in _commands(verb, len(text), state, capabilities):
            if not completion.text.startswith(other):
                yield completion
    elif verb in ("EHLO", "HELO", "LHLO"):
        if helo.startswith(rest):
            yield Completion(helo, len(rest), "this host")
    elif verb == "AUTH":
        yield from _mechanisms(rest, capabilities)
    elif verb in ("MAIL", "RCPT"):
        yield from _path(verb, rest, capabilities, addresses)


def _commands(start: str, typed: int, state: State, capabilities: Capabilities | None) -> Iterator[Completion]:
    allowed = ALLOWED[state]
    first = _ORDER.get(state, ())
    for verb in (*first, *sorted(allowed.difference(first))):
        extension = EXTENSION_OF_VERB.get(verb)
        offered = extension is None or (capabilities is not None and extension in capabilities)
        if offered and verb.startswith(start):
            whole = _BEGINNINGS.get(verb) or (f"{verb} " if verb in _WITH_ARGUMENT else verb)
            yield Completion(whole, typed, meaning_of_command(verb))


def _mechanisms(start: str, capabilities: Capabilities | None) -> Iterator[Completion]:
    for name in capabilities.auth if capabilities is not None else ():
        if name.startswith(start.upper()):
            yield Completion(name, len(start), "offered")


def _path(verb: str, rest: str, capabilities: Capabilities | None, addresses: Iterable[str]) -> Iterator[Completion]:
    keyword = "FROM:<" if verb == "MAIL" else "TO:<"
    path, bracket, parameters = rest.partition(">")
    if not bracket:
        if len(path) < len(keyword) and keyword.startswith(path.upper()):
            yield Completion(keyword, len(path))
        start = path.partition("<")[2] if "<" in path else None
        if start is not None:
            yield from (Completion(f"{known}>", len(start)) for known in addresses if known.startswith(start))
        return
    word = parameters.rpartition(" ")[2]
    name, equals, value = word.partition("=")
    if equals:
        for known in _VALUES.get(name.upper(), ()):
            if known.startswith(value.upper()):
                yield Completion(known, len(value))
    elif parameters.startswith(" ") and capabilities is not None:
        for name, parameter in PARAMETERS.items():
            if verb in parameter.verbs and parameter.extension in capabilities and name.startswith(word.upper()):
                whole = name if parameter.value is None else f"{name}="
                yield Completion(whole, len(word), meaning_of_parameter(name))
