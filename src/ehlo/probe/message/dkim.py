"""DKIM signatures (RFC 6376, RFC 8463), computed by dkimpy, which is not always there."""

from __future__ import annotations

import base64
from typing import NamedTuple

from ehlo.probe.message.compose import MessageError

#: RFC 6376 §5.4.1 recommends these; what is signed and missing cannot be added unseen.
_SIGNED = (b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type")


class DKIMKey(NamedTuple):
    """Who signs: domain, selector, and the private key in PEM form (RSA or Ed25519)."""

    domain: str
    selector: str
    key: bytes

    def __repr__(self) -> str:
        return f"DKIMKey(domain={self.domain!r}, selector={self.selector!r}, key=…)"


def sign(message: bytes, key: DKIMKey) -> bytes:
    """The message with a signature above it. Its line endings must be those that it is sent with. Raises
    `MessageError`."""
    try:
        import dkim
    except ImportError:
        raise MessageError("DKIM needs a library: pip install 'ehlo[dkim]'.") from None
    algorithm, private = _private_key(key.key)
    if algorithm == b"ed25519-sha256":
        try:
            import nacl.signing  # noqa: F401 - dkimpy needs it and says so in a traceback
        except ImportError:
            raise MessageError("Signing by Ed25519 needs a library: pip install 'ehlo[dkim]'.") from None
    try:
        signature = dkim.sign(
            message,
            key.selector.encode("idna"),
            key.domain.encode("idna"),
            private,
            canonicalize=(b"relaxed", b"relaxed"),
            signature_algorithm=algorithm,
            include_headers=_SIGNED,
        )
    except (dkim.DKIMException, ValueError, UnicodeError) as error:
        raise MessageError(f"The message cannot be signed: {str(error).rstrip('.')}.") from None
    return bytes(signature) + message


def _private_key(pem: bytes) -> tuple[bytes, bytes]:
    """The algorithm, and the key as dkimpy wants it. Raises `MessageError`."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise MessageError("The DKIM key is no private key in PEM form, or needs a password.") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return b"ed25519-sha256", base64.b64encode(raw)
    if isinstance(key, rsa.RSAPrivateKey):
        return b"rsa-sha256", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    raise MessageError("A DKIM key is of RSA or Ed25519 (RFC 6376 §3.3, RFC 8463).")
