"""TLS over memory: bytes in, bytes out, no socket. Both ends; the drivers never see TLS."""

from __future__ import annotations

import contextlib
import ssl
from typing import NamedTuple

from ehlo.net.certificates import CertificateFacts, inspect_certificates
from ehlo.transcript.event import JsonValue

_READ_SIZE = 65536


class TLSFacts(NamedTuple):
    """What a handshake brought. `certificate` is None when this side is the server."""

    version: str
    cipher: str
    bits: int
    certificate: CertificateFacts | None

    def to_json(self) -> dict[str, JsonValue]:
        """The facts of a `tls` event (docs/transcript.md)."""
        out: dict[str, JsonValue] = {"version": self.version, "cipher": self.cipher, "bits": self.bits}
        if self.certificate is not None:
            out.update(self.certificate.to_json())
        return out


def client_context() -> ssl.SSLContext:
    """The context of a client session. It verifies nothing by itself: the certificate is judged
    after the handshake, so that an SMTP session can go on without (RFC 7435, RFC 3207 §4.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TLSLayer:
    """One end of a TLS connection over two memory buffers."""

    __slots__ = ("_incoming", "_object", "_outgoing")

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        server_side = not name
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=name or None
        )

    def feed(self, data: bytes) -> None:
        """Take bytes from the network."""
        self._incoming.write(data)

    def feed_eof(self) -> None:
        """The network side was closed."""
        self._incoming.write_eof()

    def take_outgoing(self) -> bytes:
        """Bytes for the network."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is complete. Raises `ssl.SSLError`."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes:
        """All the plaintext there is. Raises `ssl.SSLError`; a proper close of the TLS layer is
        no error, it just brings nothing more."""
        parts = []
        try:
            while part := self._object.read(_READ_SIZE):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Encrypt; the result is in `take_outgoing`."""
        if data:
            self._object.write(data)

    def close(self) -> None:
        """Say goodbye, as far as that is possible without waiting for the other side."""
        # SSLWantRead: our close_notify is written, and nobody waits for theirs.
        with contextlib.suppress(OSError, ValueError):
            self._object.unwrap()

    def facts(self, name: str, trust: ssl.SSLContext | None) -> TLSFacts:
        """What the handshake brought; `trust` judges the certificate of a server called `name`."""
        cipher = self._object.cipher() or ("", "", 0)
        certificate = inspect_certificates(self._object, name, trust) if trust is not None else None
        return TLSFacts(self._object.version() or "", cipher[0], cipher[2], certificate)
