"""Mechanisms without a secret: EXTERNAL, by the TLS certificate, and ANONYMOUS."""

from __future__ import annotations

from ehlo.smtp.sasl.mechanism import Contents, Credentials, MechanismExchange, Side, all_secret, text_of


def external(credentials: Credentials) -> MechanismExchange:
    """EXTERNAL (RFC 4422 appendix A): who one is has been shown outside of SASL, by a client certificate."""
    yield (credentials.authzid or credentials.user).encode()


def anonymous(credentials: Credentials) -> MechanismExchange:
    """ANONYMOUS (RFC 4505): a trace of whoever is there, which may be an address."""
    yield (credentials.user or "anonymous").encode()


def explain_identity(who: Side, data: bytes) -> str:
    """A step of these mechanisms."""
    if who == "server":
        return "asks for the identity"
    return f"as {text_of(data)}" if data else "as whom the certificate names"


def read_external(number: int, response: bytes) -> Contents:
    """EXTERNAL: as whom, which is no secret; the proof is elsewhere."""
    return Contents(text_of(response), public=True) if number == 1 else all_secret(number, response)


def read_anonymous(number: int, response: bytes) -> Contents:
    """ANONYMOUS: a trace, and no user."""
    return Contents(public=True) if number == 1 else all_secret(number, response)
