"""Mechanisms for an OAuth token: XOAUTH2 (Google's and Microsoft's own) and OAUTHBEARER (RFC 7628).

A server that refuses the token first sends the reason as JSON in a challenge; only the answer to that brings
the refusal.
"""

from __future__ import annotations

from ehlo.smtp.sasl.mechanism import Credentials, MechanismError, MechanismExchange, Side, text_of


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
        fields = data.split(b"\x01")
        user = next((field[5:] for field in fields if field.startswith(b"user=")), b"")
        user = user or fields[0].removeprefix(b"n,a=").rstrip(b",")
        return f"user {text_of(user)}, and the token" if user else "acknowledges the error"
    error = oauth_error(data)
    if error is None:
        return ""
    return "OAuth error: " + ", ".join(f"{name} {value}" for name, value in error.items())
