"""SASL mechanisms, the client's side (RFC 4954, RFC 4422).

A mechanism is a generator: it first yields its initial response (None: it has none), then is sent
each challenge and yields the response to it. It knows nothing of base64 or of lines. To add one,
write the generator and enter it in `MECHANISMS`, strongest first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Literal, NamedTuple

MechanismExchange = Generator[bytes | None, bytes, None]


class MechanismError(Exception):
    """An exchange that cannot go on. The message is one sentence."""


class ChannelBinding(NamedTuple):
    """What ties a login to its TLS connection."""

    kind: str
    data: bytes


class Credentials(NamedTuple):
    """Who logs in, and the password. `repr` never shows the password."""

    user: str = ""
    password: str = ""
    authzid: str = ""
    realm: str = ""
    host: str = ""
    port: int = 0
    binding: ChannelBinding | None = None

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=…)"


class Mechanism(NamedTuple):
    """A mechanism."""

    name: str
    keyword: str
    start: Callable[[Credentials], MechanismExchange]
    secret: Literal["password", "token", "none"] = "password"
    in_clear: bool = True


def plain(credentials: Credentials) -> MechanismExchange:
    """PLAIN (RFC 4616): authorization identity, user and password in one response."""
    if "\0" in credentials.user or "\0" in credentials.password:
        raise MechanismError("User and password may not contain NUL (RFC 4616 §2).")
    yield f"{credentials.authzid}\0{credentials.user}\0{credentials.password}".encode()


def login(credentials: Credentials) -> MechanismExchange:
    """LOGIN (draft-murchison-sasl-login): two challenges, whatever they say, for user and password."""
    yield None
    yield credentials.user.encode()
    yield credentials.password.encode()


MECHANISMS = {"PLAIN": Mechanism("PLAIN", "PLAIN", plain), "LOGIN": Mechanism("LOGIN", "LOGIN", login)}


def choose_mechanism(offered: tuple[str, ...], credentials: Credentials) -> Mechanism | None:
    """The strongest mechanism that both sides know, or None."""
    return next((mechanism for name, mechanism in MECHANISMS.items() if name in offered), None)


def mechanism_named(name: str) -> Mechanism:
    """The mechanism of that name. Raises `MechanismError`."""
    if name not in MECHANISMS:
        raise MechanismError(f"ehlo knows no mechanism {name}.")
    return MECHANISMS[name]


def explain_step(mechanism: Mechanism, who: Literal["client", "server"], data: bytes) -> str:
    """One line about a decoded challenge or response."""
    if mechanism.keyword == "LOGIN" and who == "server":
        return "asks for the user name" if b"ser" in data else "asks for the password"
    return ""
