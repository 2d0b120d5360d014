"""What a SASL mechanism is (RFC 4422): a generator, and what has to be known about it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Literal, NamedTuple

#: First yields the initial response (None: it has none), then is sent each challenge and yields the response to it.
#: Knows nothing of base64 or of lines. Raises `MechanismError` when the exchange cannot go on.
MechanismExchange = Generator[bytes | None, bytes, None]

Side = Literal["client", "server"]


class MechanismError(Exception):
    """An exchange that cannot go on: the message, one sentence, says why."""


class ChannelBinding(NamedTuple):
    """What ties a login to its TLS connection (RFC 5056): `kind` is "tls-server-end-point", "tls-unique" or
    "tls-exporter" (RFC 5929, RFC 9266)."""

    kind: str
    data: bytes


class Credentials(NamedTuple):
    """Who logs in, and with what. `repr` never shows the secret.

    `password` is the password, or the token for OAuth. `authzid` is whom to act as, if that is another.
    `host` and `port` are the server's, `binding` that of the connection.
    """

    user: str = ""
    password: str = ""
    authzid: str = ""
    realm: str = ""
    host: str = ""
    port: int = 0
    binding: ChannelBinding | None = None

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=…)"


class Contents(NamedTuple):
    """What a response has in it for whoever reads a record: the `user` who logs in, empty where it does not say;
    `secrets`, by which others could log in, or find out the password. `public`: nothing in it is secret."""

    user: str = ""
    secrets: tuple[bytes, ...] = ()
    public: bool = False


def all_secret(_: int, response: bytes) -> Contents:
    """A response of which nothing can be told."""
    return Contents(secrets=(response,))


def text_of(data: bytes) -> str:
    """Octets as text to look at."""
    return data.decode("utf-8", "backslashreplace")


class Mechanism(NamedTuple):
    """A mechanism, and what has to be known about it.

    `name` is what users type, `keyword` what stands behind AUTH. `secret` says what it logs in with. `in_clear`:
    whoever listens can log in afterwards. `standing` is what is said against its use, and by whom. Those that
    need an `extra` library are taken only when they are named. `binding`: it needs a channel binding.

    `explain` says in a few words what a decoded challenge or response is, and never has a secret in it; `show`
    has all of it, for those who want to see the secrets. `read` gives what a response has in it, by its number in
    the exchange, from 1 on.
    """

    name: str
    keyword: str
    start: Callable[[Credentials], MechanismExchange]
    explain: Callable[[Side, bytes], str]
    secret: Literal["password", "token", "none"]
    summary: str
    reference: str
    in_clear: bool = False
    standing: str = ""
    extra: str = ""
    binding: bool = False
    read: Callable[[int, bytes], Contents] = all_secret
    show: Callable[[bytes], str] = text_of
