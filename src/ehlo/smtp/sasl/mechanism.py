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


class Mechanism(NamedTuple):
    """A mechanism, and what has to be known about it.

    `name` is what users type, `keyword` what stands behind AUTH. `secret` says what it logs in with. `in_clear`:
    whoever listens can log in afterwards. `obsolete` mechanisms come last, those that need an `extra` library
    only when they are named. `binding`: it needs a channel binding. `explain` says in a few words what a
    decoded challenge or response is, and never has a secret in it.
    """

    name: str
    keyword: str
    start: Callable[[Credentials], MechanismExchange]
    explain: Callable[[Side, bytes], str]
    secret: Literal["password", "token", "none"]
    summary: str
    reference: str
    in_clear: bool = False
    obsolete: bool = False
    extra: str = ""
    binding: bool = False


def text_of(data: bytes) -> str:
    """Octets as text to look at."""
    return data.decode("utf-8", "backslashreplace")
