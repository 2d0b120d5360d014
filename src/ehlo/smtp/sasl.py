"""SASL mechanisms, the client's side (RFC 4954, RFC 4422).

A mechanism is a generator: it first yields its initial response (None: it has none), then is sent
each challenge and yields the response to it. It knows nothing of base64 or of lines. To add one,
write the generator and enter it in `MECHANISMS`, strongest first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from ehlo.smtp.deviations import LocalProtocolError

MechanismExchange = Generator[bytes | None, bytes, None]


class Credentials(NamedTuple):
    """Who logs in, and the password. `repr` never shows the password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=…)"


def plain(credentials: Credentials) -> MechanismExchange:
    """PLAIN (RFC 4616): authorization identity (left empty), user and password in one response."""
    if "\0" in credentials.user or "\0" in credentials.password:
        raise LocalProtocolError("User and password may not contain NUL (RFC 4616 §2).")
    response = f"\0{credentials.user}\0{credentials.password}".encode()
    yield response


def login(credentials: Credentials) -> MechanismExchange:
    """LOGIN (draft-murchison-sasl-login): two challenges, whatever they say, for user and password."""
    yield None
    yield credentials.user.encode()
    yield credentials.password.encode()


MECHANISMS: dict[str, Callable[[Credentials], MechanismExchange]] = {"PLAIN": plain, "LOGIN": login}


def choose_mechanism(offered: tuple[str, ...]) -> str | None:
    """The strongest mechanism that both sides know, or None."""
    return next((name for name in MECHANISMS if name in offered), None)
