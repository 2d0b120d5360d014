"""Mechanisms for an OAuth token: XOAUTH2 (Google's and Microsoft's own) and OAUTHBEARER (RFC 7628).

A server that refuses the token first sends the reason as JSON in a challenge; only the answer to that brings
the refusal.
"""

from __future__ import annotations

from ehlo.smtp.sasl.mechanism import Contents, Credentials, MechanismError, MechanismExchange, Side, text_of


def xoauth2(credentials: Credentials) -> MechanismExchange:
    """XOAUTH2 (developers.google.com/gmail/imap/xoauth2-protocol)."""
    _check(credentials)
    yield f"user={credentials.user}\x01auth=Bearer {credentials.password}\x01\x01".encode()
    yield b""


def oauthbearer(credentials: Credentials) -> MechanismExchange:
    """OAUTHBEARER (RFC 7628 §3.1)."""
    _check(credentials)
    # RFC 5801 §4: "=" and "," are escaped in the authorization identity.
    user = (credentials.authzid or credentials.user).replace("=", "=3D").replace(",", "=2C")
    place = f"host={credentials.host}\x01port={credentials.port}\x01" if credentials.host else ""
    yield f"n,a={user},\x01{place}auth=Bearer {credentials.password}\x01\x01".encode()
    # RFC 7628 §3.2.3: the client acknowledges the error.
    yield b"\x01"


def _check(credentials: Credentials) -> None:
    if "\x01" in credentials.user + credentials.password:
        raise MechanismError("User and token may not contain the octet 1 (RFC 7628 §3.1).")


def oauth_error(data: bytes) -> dict[str, str] | None:
    """The fields of a server's error, such as status and scope (RFC 7628 §3.2.2); None if it is none."""
    import json

    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def explain_oauth(who: Side, data: bytes) -> str:
    """A step of XOAUTH2 or OAUTHBEARER."""
    if who == "client":
        user = read_oauth(1, data).user
        return f"user {user}, and the token" if user else "acknowledges the error"
    error = oauth_error(data)
    if error is None:
        return ""
    return "OAuth error: " + ", ".join(f"{name} {value}" for name, value in error.items())


def read_oauth(_: int, response: bytes) -> Contents:
    """A response of XOAUTH2 or OAUTHBEARER: the user, and the token."""
    fields = dict(part.partition(b"=")[::2] for part in response.split(b"\x01"))
    # RFC 7628 §3.1 has the user in the GS2 header: n,a=user@example.com,
    user = fields.get(b"user") or fields.get(b"n,a", b"").removesuffix(b",")
    words = fields.get(b"auth", b"").split(b" ", 1)
    return Contents(text_of(user.replace(b"=2C", b",").replace(b"=3D", b"=")), (words[-1] or response,))
