"""SASL mechanisms, the server's side.

A mechanism is a generator. Started with `next`, it takes the initial response (None: there was none), then
yields each challenge and is sent the response to it. It returns the name of who has logged in, and raises
`MechanismError` when nobody has. To add one, write the generator and enter it in `SERVER_MECHANISMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import NamedTuple

from ehlo.smtp.sasl.mechanism import ChannelBinding, MechanismError
from ehlo.smtp.sasl.password import digest_response, read_directives


class Realm(NamedTuple):
    """Who may log in: `password_of` gives a user's password or token, None for who is not known. `bindings` are
    those of the TLS connection, `host` the server's name. With `anyone`, every password that is told is right.
    `external` is whom the client's own certificate is for."""

    password_of: Callable[[str], str | None]
    bindings: tuple[ChannelBinding, ...] = ()
    host: str = "localhost"
    anyone: bool = False
    external: str = ""

    def check(self, user: str, password: str) -> str:
        """The user, if that is the password. Raises `MechanismError`."""
        import hmac

        known = self.password_of(user)
        if self.anyone:
            return user
        if known is None or not hmac.compare_digest(known.encode(), password.encode()):
            raise MechanismError("user or password is wrong")
        return user


#: The fewest that scramp makes for every hash; passwords are kept in clear here, so more would protect nothing.
_ITERATIONS = 10_000

#: What it yields before the first challenge is not used.
ServerExchange = Generator[bytes, bytes | None, str]


def _plain(realm: Realm) -> ServerExchange:
    response = yield b""
    if response is None:
        response = yield b""
    parts = (response or b"").split(b"\0")
    if len(parts) != 3:
        raise MechanismError("PLAIN has three parts (RFC 4616 §2)")
    authzid, user, password = (part.decode("utf-8", "replace") for part in parts)
    if authzid and authzid != user:
        raise MechanismError(f"{user} may not act as {authzid}")
    return realm.check(user, password)


def _login(realm: Realm) -> ServerExchange:
    user = yield b""
    if user is None:
        user = yield b"Username:"
    password = yield b"Password:"
    return realm.check(*((part or b"").decode("utf-8", "replace") for part in (user, password)))


def _cram_md5(realm: Realm) -> ServerExchange:
    import hmac
    import secrets

    yield b""
    challenge = f"<{secrets.token_hex(12)}@{realm.host}>".encode()
    response = (yield challenge) or b""
    user, _, digest = response.decode("utf-8", "replace").rpartition(" ")
    expected = hmac.new((realm.password_of(user) or "").encode(), challenge, "md5").hexdigest()
    if realm.password_of(user) is None or not hmac.compare_digest(expected.encode(), digest.encode()):
        raise MechanismError("user or password is wrong")
    return user


def _digest_md5(realm: Realm) -> ServerExchange:
    import hmac
    import secrets

    yield b""
    nonce = secrets.token_urlsafe(24)
    challenge = f'realm="{realm.host}",nonce="{nonce}",qop="auth",charset=utf-8,algorithm=md5-sess'
    values = read_directives((yield challenge.encode()) or b"")
    user, password = values.get("username", ""), realm.password_of(values.get("username", ""))
    complete = {"username", "realm", "nonce", "nc", "cnonce", "digest-uri", "response"} <= set(values)
    if not complete or values["nonce"] != nonce or password is None:
        raise MechanismError("user or password is wrong")
    authzid = values.get("authzid", "")
    expected = digest_response(values, password, authzid, "AUTHENTICATE")
    if not hmac.compare_digest(expected.encode(), values["response"].encode()):
        raise MechanismError("user or password is wrong")
    yield f"rspauth={digest_response(values, password, authzid, '')}".encode()
    return user


def _scram(name: str, realm: Realm) -> ServerExchange:
    from scramp import ScramException, ScramMechanism

    first = yield b""
    if first is None:
        first = yield b""
    mechanism = ScramMechanism(f"SCRAM-{name}")

    users: list[str] = []

    def stored(user: str) -> tuple[bytes, bytes, bytes, int]:
        password = realm.password_of(user)
        if password is None:
            raise MechanismError("user or password is wrong")
        users.append(user)
        salt, stored_key, server_key, iterations = mechanism.make_auth_info(password, iteration_count=_ITERATIONS)
        return salt, stored_key, server_key, iterations

    text = (first or b"").decode("utf-8", "replace")
    kind = text.partition(",")[0].removeprefix("p=")
    binding = next((known for known in realm.bindings if known.kind == kind), None)
    if name.endswith("-PLUS") and binding is None:
        raise MechanismError("the login is not bound to this connection")
    try:
        server = mechanism.make_server(stored, channel_binding=None if binding is None else tuple(binding))
        server.set_client_first(text)
        final = yield str(server.get_server_first()).encode()
        server.set_client_final((final or b"").decode("utf-8", "replace"))
        yield str(server.get_server_final()).encode()
    except (ScramException, ValueError, IndexError, KeyError):
        raise MechanismError("user or password is wrong") from None
    return users[0]


def _xoauth2(realm: Realm) -> ServerExchange:
    response = yield b""
    if response is None:
        response = yield b""
    fields = dict(part.partition(b"=")[::2] for part in (response or b"").split(b"\x01"))
    user = fields.get(b"user", b"").decode("utf-8", "replace")
    return (yield from _bearer(realm, user, fields.get(b"auth", b"")))


def _oauthbearer(realm: Realm) -> ServerExchange:
    response = yield b""
    if response is None:
        response = yield b""
    header, *parts = (response or b"").split(b"\x01")
    fields = dict(part.partition(b"=")[::2] for part in parts)
    user = header.removeprefix(b"n,a=").rstrip(b",").decode("utf-8", "replace")
    user = user.replace("=2C", ",").replace("=3D", "=")
    return (yield from _bearer(realm, user, fields.get(b"auth", b"")))


def _bearer(realm: Realm, user: str, authorization: bytes) -> ServerExchange:
    try:
        return realm.check(user, authorization.decode("utf-8", "replace").removeprefix("Bearer "))
    except MechanismError:
        # RFC 7628 §3.2.2: the reason first; the refusal comes when the client has acknowledged it.
        yield b'{"status":"401","schemes":"bearer","scope":"mail"}'
        raise


def _anonymous(_: Realm) -> ServerExchange:
    response = yield b""
    if response is None:
        response = yield b""
    return "anonymous"


def _external(realm: Realm) -> ServerExchange:
    """RFC 4422 appendix A: the certificate says who it is, the response whom it wants to be."""
    response = yield b""
    if response is None:
        response = yield b""
    wanted = (response or b"").decode("utf-8", "replace")
    if not realm.external or wanted not in ("", realm.external) or realm.password_of(realm.external) is None:
        raise MechanismError("the certificate is not that user's")
    return realm.external


_HASHES = ("SHA3-512-PLUS", "SHA-512-PLUS", "SHA-256-PLUS", "SHA-1-PLUS", "SHA3-512", "SHA-512", "SHA-256", "SHA-1")

SERVER_MECHANISMS: dict[str, Callable[[Realm], ServerExchange]] = {
    **{f"SCRAM-{name}": partial(_scram, name) for name in _HASHES},
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
    "CRAM-MD5": _cram_md5,
    "DIGEST-MD5": _digest_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
    "EXTERNAL": _external,
    "ANONYMOUS": _anonymous,
}
