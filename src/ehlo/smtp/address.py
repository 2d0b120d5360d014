"""Addresses and paths: the grammar of RFC 5321 §4.1.2 with the SMTPUTF8 additions of RFC 6531 §3.3.

`parse_path` is strict. What a server may forgive around a path (a missing angle bracket, a
space after the colon) is the business of the command reader.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: RFC 5321 §4.5.3.1.1 to §4.5.3.1.3, in octets.
MAX_LOCAL_PART = 64
MAX_DOMAIN = 255
MAX_PATH = 256

# Each class is written as what it excludes, all of it ASCII: so it holds every non-ASCII character, as RFC 6531
# §3.3 wants it, and compiles in a tenth of the time that the same class with Unicode ranges takes.
_ATOM = r"[^\x00-\x20\"(),.:;<>@\[\\\]\x7f]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED_STRING = re.compile(r'"(?:[^\x00-\x1f"\\\x7f]|\\[\x20-\x7e])*"')
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-`{-\x7f]"
_LABEL = rf"{_LETTER_OR_DIGIT}(?:[^\x00-,./:-@\[-`{{-\x7f]*{_LETTER_OR_DIGIT})?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9\-]*[A-Za-z0-9]:[\x21-\x5a\x5e-\x7e]+")


#: How much of a text that is no address an error repeats, so that the reason still fits a reply line.
_SHOWN = 80


class AddressError(ValueError):
    """`text` is not an address. The message is one sentence that says why."""

    def __init__(self, text: str, why: str) -> None:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        super().__init__(f"'{shown}' is not a mail address: {why}.")
        self.text = text
        self.why = why


class Mailbox(NamedTuple):
    """local-part@domain. The local part is kept as written, quotes included.

    `domain` is None only for `Postmaster`, which RFC 5321 §4.5.1 allows without one.
    """

    local_part: str
    domain: str | None

    def __str__(self) -> str:
        return self.local_part if self.domain is None else f"{self.local_part}@{self.domain}"

    @property
    def unquoted(self) -> str:
        """The local part as the mailbox's owner means it, without quoting (RFC 5321 §4.1.2)."""
        if not self.local_part.startswith('"'):
            return self.local_part
        return re.sub(r"\\(.)", r"\1", self.local_part[1:-1])

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take this address (RFC 6531 §3.2)."""
        return not (self.local_part.isascii() and (self.domain or "").isascii())


class Path(NamedTuple):
    """A reverse-path or forward-path; `mailbox` None is the null path `<>`.

    `route` is the source route, which must be accepted and is to be ignored (RFC 5321 §4.1.1.3).
    """

    mailbox: Mailbox | None
    route: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The path with its angle brackets, as it stands in a command."""
        route = ",".join("@" + domain for domain in self.route) + ":" if self.route else ""
        return f"<{route}{'' if self.mailbox is None else self.mailbox}>"

    @property
    def address(self) -> str:
        """The mailbox alone; empty for the null path."""
        return "" if self.mailbox is None else str(self.mailbox)


NULL_PATH = Path(None)


def _has_surrogates(text: str) -> bool:
    """Whether characters stand for octets that are not UTF-8 (PEP 383)."""
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def parse_domain(text: str) -> str:
    """Check a domain or an address literal. Raises `AddressError`."""
    if text.startswith("["):
        return _parse_literal(text)
    if not _DOMAIN.fullmatch(text) or _has_surrogates(text):
        raise AddressError(text, "the domain has a character, a dot or a hyphen where none may be")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_DOMAIN:
        raise AddressError(text, "the domain is longer than 255 octets")
    return text


def _parse_literal(text: str) -> str:
    inside = text[1:-1]
    if not text.endswith("]"):
        raise AddressError(text, "the address literal lacks its closing bracket")
    if _IPV4.fullmatch(inside):
        return text
    if inside[:5].upper() == "IPV6:":
        from ipaddress import AddressValueError, IPv6Address

        try:
            zone = IPv6Address(inside[5:]).scope_id
        except AddressValueError:
            raise AddressError(text, "what follows IPv6: is not an IPv6 address") from None
        if zone is not None:
            # RFC 5321 §4.1.3 has no zones, which mean something on one machine alone.
            raise AddressError(text, "an IPv6 address in a literal has no zone")
        return text
    if not _GENERAL_LITERAL.fullmatch(inside):
        raise AddressError(text, "the brackets hold neither an IPv4 nor an IPv6: address")
    return text


def parse_mailbox(text: str) -> Mailbox:
    """Read `local-part@domain`. Raises `AddressError`."""
    if _has_surrogates(text):
        raise AddressError(ascii(text)[1:-1], "it is not valid UTF-8")
    found = _QUOTED_STRING.match(text) if text.startswith('"') else _DOT_STRING.match(text)
    if not found:
        if text.startswith('"'):
            raise AddressError(text, "the quoted local part is not closed")
        raise AddressError(text, "the part before the @ is empty or begins with a character that needs quoting")
    local_part, rest = found[0], text[found.end() :]
    if not rest:
        raise AddressError(text, "there is no @ with a domain behind it")
    if not rest.startswith("@"):
        raise AddressError(text, f"the character '{rest[0]}' may stand there only inside quotes")
    if len(local_part.encode()) > MAX_LOCAL_PART:
        raise AddressError(text, "the part before the @ is longer than 64 octets")
    if rest == "@":
        raise AddressError(text, "nothing stands behind the @")
    try:
        return Mailbox(local_part, parse_domain(rest[1:]))
    except AddressError as error:
        raise AddressError(text, error.why) from None


def parse_path(text: str, *, brackets: bool = True) -> Path:
    """Read a path: `<user@domain>`, `<@relay,@relay2:user@domain>`, `<>` or `<Postmaster>`.

    With `brackets=False` the angle brackets may be missing. Raises `AddressError`.
    """
    if text.startswith("<"):
        if not text.endswith(">"):
            raise AddressError(text, "the closing > is missing")
        inside = text[1:-1]
    elif brackets:
        raise AddressError(text, "it must stand in angle brackets")
    else:
        inside = text
    if not inside:
        return NULL_PATH
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATH + (0 if text.startswith("<") else -2):
        raise AddressError(text, "the path is longer than 256 octets")
    if inside.lower() == "postmaster":
        return Path(Mailbox(inside, None))
    route: tuple[str, ...] = ()
    if inside.startswith("@"):
        hops, colon, inside = inside.partition(":")
        if not colon:
            raise AddressError(text, "the source route is not followed by a colon and an address")
        if not all(hop.startswith("@") for hop in hops.split(",")):
            raise AddressError(text, "each domain of a source route begins with @")
        route = tuple(parse_domain(hop[1:]) for hop in hops.split(","))
    try:
        return Path(parse_mailbox(inside), route)
    except AddressError as error:
        raise AddressError(text, error.why) from None
