"""Mechanisms for a user and a password: PLAIN, LOGIN, CRAM-MD5, DIGEST-MD5."""

from __future__ import annotations

import re

from ehlo.smtp.sasl.mechanism import (
    Contents,
    Credentials,
    MechanismError,
    MechanismExchange,
    Side,
    all_secret,
    text_of,
)


def plain(credentials: Credentials) -> MechanismExchange:
    """PLAIN (RFC 4616): authorization identity, user and password in one response."""
    parts = (credentials.authzid, credentials.user, credentials.password)
    if any("\0" in part for part in parts):
        raise MechanismError("User and password may not contain NUL (RFC 4616 §2).")
    yield "\0".join(parts).encode()


def explain_plain(who: Side, data: bytes) -> str:
    """A response of PLAIN."""
    if who == "server":
        return "asks for all of it"
    authzid, _, rest = data.partition(b"\0")
    user = text_of(rest.partition(b"\0")[0])
    return f"user {user} as {text_of(authzid)}, and the password" if authzid else f"user {user}, and the password"


def read_plain(number: int, response: bytes) -> Contents:
    """A response of PLAIN: the user, and the password."""
    if response.count(b"\0") != 2:
        return all_secret(number, response)
    _, user, password = response.split(b"\0")
    return Contents(text_of(user), (password,))


def login(credentials: Credentials) -> MechanismExchange:
    """LOGIN (draft-murchison-sasl-login): two challenges, whatever they say, for user and password."""
    yield None
    yield credentials.user.encode()
    yield credentials.password.encode()


def login_initial(credentials: Credentials) -> MechanismExchange:
    """LOGIN with the user name already behind AUTH, as some clients have it."""
    yield credentials.user.encode()
    yield credentials.password.encode()


def explain_login(who: Side, data: bytes) -> str:
    """A step of LOGIN."""
    if who == "client":
        return ""
    asked = data.lower()
    if b"user" in asked or b"login" in asked:
        return "asks for the user name"
    return "asks for the password" if b"pass" in asked else f"asks: {text_of(data)}"


def read_login(number: int, response: bytes) -> Contents:
    """A response of LOGIN: first the user, then the password."""
    return Contents(text_of(response), public=True) if number == 1 else all_secret(number, response)


def cram_md5(credentials: Credentials) -> MechanismExchange:
    """CRAM-MD5 (RFC 2195): the user, and a digest of the challenge made with the password."""
    import hmac

    challenge = yield None
    if not challenge:
        raise MechanismError("The server sent an empty challenge.")
    digest = hmac.new(credentials.password.encode(), challenge, "md5").hexdigest()
    yield f"{credentials.user} {digest}".encode()


def explain_cram_md5(who: Side, data: bytes) -> str:
    """A step of CRAM-MD5."""
    if who == "server":
        return f"challenge {text_of(data)}"
    user = read_cram_md5(1, data).user
    return f"user {user}, and a digest made with the password" if user else ""


def read_cram_md5(_: int, response: bytes) -> Contents:
    """The response of CRAM-MD5. What has another form may be a password in the wrong place."""
    form = re.fullmatch(rb"(.+) [0-9a-fA-F]{32}", response, re.DOTALL)
    return Contents(text_of(form[1]) if form is not None else "", (response, response[-32:]))


#: RFC 2831 §2.1.1: directives are words, or quoted strings with backslashes.
_DIRECTIVE = re.compile(r'\s*([!-+\--~]+?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)', re.DOTALL)
#: RFC 2831 §2.1.1: a challenge has fewer octets than this.
_MOST = 2048


def digest_md5(credentials: Credentials, *, cnonce: str = "", service: str = "smtp") -> MechanismExchange:
    """DIGEST-MD5 (RFC 2831, made historic by RFC 6331): digests both ways, without a security layer.

    `cnonce` is the client's nonce, `service` the name in the digest-uri; both are for tests.
    """
    import secrets

    challenge = read_directives((yield None))
    nonce = challenge.get("nonce")
    if not nonce:
        raise MechanismError("The server's challenge has no nonce (RFC 2831 §2.1.1).")
    if "qop" in challenge and "auth" not in re.split(r"[\s,]+", challenge["qop"]):
        raise MechanismError("The server wants a security layer, which SMTP clients do not speak any more.")
    realm = credentials.realm or challenge.get("realm", "")
    values = {
        "username": credentials.user,
        "realm": realm,
        "nonce": nonce,
        "nc": "00000001",
        "cnonce": cnonce or secrets.token_urlsafe(24),
        "digest-uri": f"{service}/{credentials.host}",
    }
    authzid = credentials.authzid
    response = digest_response(values, credentials.password, authzid, "AUTHENTICATE")
    quoted = [f'{name}="{_quoted(values[name])}"' for name in ("username", "realm", "nonce", "cnonce", "digest-uri")]
    plain_words = [f"nc={values['nc']}", "qop=auth", f"response={response}"]
    words = [*(["charset=utf-8"] if "charset" in challenge else []), *quoted, *plain_words]
    if authzid:
        words.append(f'authzid="{_quoted(authzid)}"')
    final = read_directives((yield ",".join(words).encode()))
    if final.get("rspauth") != digest_response(values, credentials.password, authzid, ""):
        raise MechanismError("The server's digest is wrong: it does not know the password, or somebody sits between.")
    yield b""


def read_directives(data: bytes) -> dict[str, str]:
    """The directives of a challenge or response (RFC 2831 §2.1). Raises `MechanismError`."""
    text = data[:_MOST].decode("utf-8", "replace")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _DIRECTIVE.match(text, position)
        if match is None:
            raise MechanismError("The server's challenge is not of the form that RFC 2831 has for it.")
        name, quoted, word = match.groups()
        # Several realms may be offered; the first one is taken.
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else word)
        position = match.end()
    return found


def _quoted(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def digest_response(values: dict[str, str], password: str, authzid: str, method: str) -> str:
    """RFC 2831 §2.1.2.1: the response for "AUTHENTICATE", the server's for an empty method."""
    import hashlib

    def h(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    secret = h(_latin(f"{values['username']}:{values['realm']}:{password}"))
    a1 = secret + f":{values['nonce']}:{values['cnonce']}".encode() + (f":{authzid}".encode() if authzid else b"")
    a2 = f"{method}:{values['digest-uri']}".encode()
    between = f":{values['nonce']}:{values['nc']}:{values['cnonce']}:auth:".encode()
    return h(h(a1).hex().encode() + between + h(a2).hex().encode()).hex()


def _latin(text: str) -> bytes:
    # RFC 2831 §2.1.2.1: what ISO 8859-1 can say is digested in it, all else in UTF-8.
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def explain_digest_md5(who: Side, data: bytes) -> str:
    """A step of DIGEST-MD5."""
    try:
        directives = read_directives(data)
    except MechanismError:
        return "not of the form of DIGEST-MD5"
    if who == "client":
        return f"user {directives.get('username', '?')}, and a digest made with the password" if data else "agrees"
    if "rspauth" in directives:
        return "the server's own digest, which proves that it knows the password"
    return f"challenge for the realm {directives.get('realm') or '(none)'}"


def read_digest_md5(number: int, response: bytes) -> Contents:
    """A response of DIGEST-MD5: the user, and the digest."""
    try:
        directives = read_directives(response)
    except MechanismError:
        return all_secret(number, response)
    user = directives.get("username", "") if "response" in directives else ""
    return Contents(user, (response, directives.get("response", "").encode()))
