"""Mechanisms of Windows networks: NTLM ([MS-SMTPNTLM]) and GSSAPI, that is Kerberos (RFC 4752).

The computing is done by pyspnego, which is not always there. GSSAPI asks the Kerberos library for a ticket, and
that may ask the network: the one place in `ehlo.smtp` where a computation reaches outside.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ehlo.smtp.sasl.mechanism import Contents, Credentials, MechanismError, MechanismExchange, Side, all_secret

if TYPE_CHECKING:
    from spnego import ContextProxy

    from ehlo.smtp.sasl.ntlm import NtlmMessage

#: RFC 4752 §3.3: no security layer, and so no buffer.
_NO_LAYER = b"\x01\x00\x00\x00"


def ntlm(credentials: Credentials) -> MechanismExchange:
    """NTLM: a negotiation, a challenge, and a digest made with the password."""
    user = f"{credentials.realm}\\{credentials.user}" if credentials.realm else credentials.user
    context = _context(user, credentials.password, credentials.host, "ntlm")
    challenge = yield _step(context, None)
    if not challenge.startswith(b"NTLMSSP\0"):
        raise MechanismError("The server's challenge is not of the form of NTLM.")
    yield _step(context, challenge)


def gssapi(credentials: Credentials) -> MechanismExchange:
    """GSSAPI: a Kerberos ticket, then an agreement to use no security layer."""
    context = _context(credentials.user or None, credentials.password or None, credentials.host, "kerberos")
    token = _step(context, None)
    while not context.complete:
        token = _step(context, (yield token))
    # RFC 4752 §3.1: what is left of the context's tokens, then the offer of security layers.
    offer = yield token or b""
    try:
        layers = context.unwrap(offer).data
        if len(layers) != 4 or not layers[0] & 1:
            raise MechanismError("The server wants a security layer, which SMTP clients do not speak any more.")
        yield context.wrap(_NO_LAYER + credentials.authzid.encode(), encrypt=False).data
    except Exception as error:
        raise _failure(error) from None


def _context(user: str | None, password: str | None, host: str, protocol: Literal["ntlm", "kerberos"]) -> ContextProxy:
    try:
        import spnego

        return spnego.client(user, password, hostname=host or "localhost", service="smtp", protocol=protocol)
    except ImportError:
        # For Kerberos pyspnego itself needs the libraries of its extra, and says so only now.
        raise MechanismError(f"This mechanism needs a library: pip install 'ehlo[{protocol}]'.") from None
    except Exception as error:
        raise _failure(error) from None


def _step(context: ContextProxy, token: bytes | None) -> bytes | None:
    try:
        return context.step(token)
    except Exception as error:
        raise _failure(error) from None


#: GSSAPI's own words are the same for most errors; what follows "Minor" is what the mechanism says.
_GSS_ERROR = re.compile(r"^.*?\bMinor \(\d+\): (.+?)(?:, Context: .*)?$")


def _failure(error: Exception) -> MechanismError:
    """pyspnego and the libraries beneath it raise what they like; it is said in one line."""
    if isinstance(error, MechanismError):
        return error
    text = _GSS_ERROR.sub(r"\1", " ".join(str(error).split()))
    return MechanismError(text[:300] or type(error).__name__)


def _message(data: bytes) -> NtlmMessage | None:
    # Hardly any session has one, and all of them have this table of mechanisms.
    from ehlo.smtp.sasl.ntlm import read_message

    return read_message(data)


def explain_ntlm(who: Side, data: bytes) -> str:
    """A step of NTLM."""
    from ehlo.smtp.sasl.ntlm import CHALLENGE, NEGOTIATE

    message = _message(data)
    if message is None:
        return "asks to begin" if who == "server" else ""
    if message.kind == NEGOTIATE:
        return "what this side can do"
    if message.kind == CHALLENGE:
        return f"challenge of {message.target}" if message.target else "challenge"
    return f"user {message.account}, and a digest made with the password"


def read_ntlm(number: int, response: bytes) -> Contents:
    """A response of NTLM: the last one has the user."""
    message = _message(response)
    if message is None:
        return all_secret(number, response)
    return Contents(message.account, (response, *(octets for _, octets in message.octets)))


def show_ntlm(data: bytes) -> str:
    """A message of NTLM in full: what has a meaning in words, the rest in hexadecimal."""
    message = _message(data)
    return data.hex() if message is None else str(message)


def explain_gssapi(who: Side, data: bytes) -> str:
    """A step of GSSAPI: what kind of token it is; nothing in it can be read."""
    # RFC 2743 §3.1: tokens of the context are tagged; RFC 4121 §4.2.6.2: a wrapped message begins so.
    kind = "context" if data[:1] == b"\x60" else "wrapped" if data[:2] == b"\x05\x04" else ""
    meanings = {
        ("client", "context"): "a Kerberos ticket",
        ("client", "wrapped"): "takes no security layer",
        ("server", "context"): "the proof that it is the server of the ticket",
        ("server", "wrapped"): "the security layers it has",
    }
    return meanings.get((who, kind), "")


def show_gssapi(data: bytes) -> str:
    """A token of GSSAPI in full."""
    return data.hex()
