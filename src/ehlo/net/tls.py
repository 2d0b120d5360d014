"""TLS over memory: bytes in, bytes out, no socket. Both ends; the drivers never see TLS."""

from __future__ import annotations

import contextlib
import os
import ssl
import warnings
from typing import NamedTuple

from ehlo.net.certificates import CertificateFacts, inspect_certificates
from ehlo.net.handshake import HandshakeReader
from ehlo.net.settings import DEFAULT_TLS, TLS_VERSIONS, TLSSettings
from ehlo.transcript.event import JsonValue

_READ_SIZE = 65536


class TLSFacts(NamedTuple):
    """What a handshake brought. `certificate` is None when this side is the server.

    `group` is that of the key exchange, empty where it could not be seen. `unique` is the channel binding
    tls-unique (RFC 5929 §3), which TLS 1.3 does not have. `client` is whom a client's own certificate is for, which
    was verified; empty without one.
    """

    version: str
    cipher: str
    bits: int
    certificate: CertificateFacts | None
    group: str = ""
    unique: bytes = b""
    client: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The facts of a `tls` event (docs/transcript.md)."""
        out: dict[str, JsonValue] = {"version": self.version, "cipher": self.cipher, "bits": self.bits}
        if self.group:
            out["group"] = self.group
        if self.certificate is not None:
            out.update(self.certificate.to_json())
        return out


def client_context(settings: TLSSettings = DEFAULT_TLS) -> ssl.SSLContext:
    """The context of a client session. It verifies nothing by itself: the certificate is judged
    after the handshake, so that an SMTP session can go on without (RFC 7435, RFC 3207 §4.1).

    Raises `TLSSettingsError` for settings that OpenSSL does not take.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if settings == DEFAULT_TLS:
        return context
    return _with_settings(context, settings)


class TLSSettingsError(ValueError):
    """Settings that cannot be used. The message is one sentence."""


def _with_settings(context: ssl.SSLContext, settings: TLSSettings) -> ssl.SSLContext:
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise TLSSettingsError(f"OpenSSL knows no cipher in '{settings.ciphers}'.") from None
    # Someone who asks for an old version wants to see it, not OpenSSL's opinion of it.
    old = settings.maximum in TLS_VERSIONS[:2] or settings.minimum in TLS_VERSIONS[:2]
    if old and not settings.ciphers:
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if settings.minimum:
            context.minimum_version = _VERSIONS[settings.minimum]
        if settings.maximum:
            if not settings.minimum:
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = _VERSIONS[settings.maximum]
    if settings.certificate:
        name = settings.certificate
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(name, settings.key or None, password="")
        except ssl.SSLError as error:
            why = _why_unusable(name, settings.key, error)
            raise TLSSettingsError(f"The client certificate '{name}' cannot be used: {why}.") from None
        except OSError as error:
            if settings.key and os.access(name, os.R_OK):
                raise TLSSettingsError(f"The key '{settings.key}' cannot be read: {error.strerror}.") from None
            raise TLSSettingsError(f"The client certificate '{name}' cannot be read: {error.strerror}.") from None
    return context


def _why_unusable(certificate: str, key: str, error: ssl.SSLError) -> str:
    """What is wrong with a certificate and its key: OpenSSL says neither which of the two it is, nor what it missed."""
    with open(certificate, "rb") as stream:
        own = stream.read()
    if b"-----BEGIN CERTIFICATE-----" not in own and b"-----BEGIN TRUSTED CERTIFICATE-----" not in own:
        return "there is no certificate in PEM form in this file"
    where = f"in '{key}'" if key else "in this file"
    if key:
        with open(key, "rb") as stream:
            own = stream.read()
    if b"PRIVATE KEY-----" not in own:
        return f"there is no private key {where}" + ("" if key else ", and no other file was named for it")
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the private key {where} belongs to another certificate"
    if b"ENCRYPTED" in own:
        return f"the private key {where} is protected by a passphrase; a copy without one is needed"
    return f"OpenSSL cannot read what is {where}"


_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class TLSLayer:
    """One end of a TLS connection over two memory buffers. `reader` watches the handshake."""

    __slots__ = ("_incoming", "_object", "_outgoing", "reader")

    def __init__(self, context: ssl.SSLContext, sni: str = "") -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        server_side = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self.reader: HandshakeReader | None = HandshakeReader()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=sni or None
        )

    def feed(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self.reader is not None:
            self.reader.feed(data)
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
        version = self._object.version() or ""
        certificate = inspect_certificates(self._object, name, trust) if trust is not None else None
        group = self.reader.group if self.reader is not None else ""
        self.reader = None
        unique = b"" if version == "TLSv1.3" else self._object.get_channel_binding("tls-unique") or b""
        client = "" if trust is not None else _common_name(self._object.getpeercert())
        return TLSFacts(version, cipher[0], cipher[2], certificate, group, unique, client)

    def failure(self, error: OSError) -> str:
        """In plain words why a handshake failed, as far as OpenSSL and the other side say it."""
        return explain_failure(error, self.reader)


def _common_name(certificate: object) -> str:
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    return next((str(value) for part in subject for name, value in part if name == "commonName"), "")


def explain_failure(error: OSError, reader: HandshakeReader | None = None) -> str:
    """OpenSSL's reason in plain words. (`ssl.SSLError` is an `OSError`.)"""
    reason = str(getattr(error, "reason", None) or error)
    plain = reason.replace("_", " ").lower()
    version = reader.version if reader is not None else ""
    if reader is not None and reader.alert:
        return f"the other side gave up with the alert '{reader.alert}'"
    if "_ALERT_" in reason:
        return f"the other side gave up with the alert '{plain.partition(' alert ')[2]}'"
    if reader is not None and reader.language:
        return f"what came from the other side is not TLS but {reader.language}"
    if reason == "WRONG_VERSION_NUMBER" and not version:
        return "what came from the other side is not TLS (wrong version number)"
    if reason in ("UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION") and version:
        return f"the server chose {version}, which this side does not take (unsupported protocol)"
    return plain
