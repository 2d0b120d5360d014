"""A certificate authority made on the spot, and certificates for the lab server, good ones and bad ones."""

from __future__ import annotations

import ssl
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_LIFETIME = timedelta(days=90)
_DAY = timedelta(days=1)

#: What can be wrong with a certificate, for faults to show. "" is one with which nothing is.
KINDS = (
    "expired",
    "not-yet-valid",
    "wrong-name",
    "self-signed",
    "unknown-ca",
    "weak-key",
    "missing-intermediate",
    "sha1",
    "no-name",
)


class Identity(NamedTuple):
    """A server's certificate and key, and the authority's certificate that verifies it; PEM."""

    certificate: bytes
    key: bytes
    authority: bytes


class Authority:
    """An authority that issues certificates for `names`, and for one host more if asked."""

    def __init__(self, *names: str) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._names = names
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issued: dict[tuple[str, str], Identity] = {}
        self._root = _sign(_name("ehlo lab authority"), _name("ehlo lab authority"), self._key.public_key(), self._key)

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM."""
        return _pem(self._root)

    def issue(self, kind: str = "", host: str = "") -> Identity:
        """A certificate of a kind of `KINDS`, or a good one; made once."""
        if (kind, host) not in self._issued:
            self._issued[kind, host] = self._make(kind, (host, *self._names) if host else self._names)
        return self._issued[kind, host]

    def _make(self, kind: str, own: tuple[str, ...]) -> Identity:
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        weak = kind in ("weak-key", "sha1")
        bits = 1024 if kind == "weak-key" else 2048
        key: PrivateKey = rsa.generate_private_key(65537, bits) if weak else ec.generate_private_key(ec.SECP256R1())
        names = ("other.example.org",) if kind == "wrong-name" else () if kind == "no-name" else own
        subject = _name((names or own)[0])
        issuer, issuer_key = self._root.subject, self._key
        if kind == "self-signed":
            issuer, issuer_key = subject, key  # type: ignore[assignment]
        elif kind == "unknown-ca":
            issuer, issuer_key = _name("another authority"), ec.generate_private_key(ec.SECP256R1())
        elif kind == "missing-intermediate":
            # The one between is not sent along: nobody can go from the server's certificate to the authority's.
            issuer, issuer_key = _name("ehlo lab intermediate"), ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        begin, end = now - timedelta(hours=1), now + _LIFETIME
        if kind == "expired":
            begin, end = now - _LIFETIME, now - _DAY
        elif kind == "not-yet-valid":
            begin, end = now + _DAY, now + _LIFETIME
        signed = _sign(
            subject, issuer, key.public_key(), issuer_key, names=names, begin=begin, end=end, sha1=kind == "sha1"
        )
        return Identity(_pem(signed), _key_pem(key), self.certificate)


def make_identity(*names: str) -> Identity:
    """A new authority and a certificate for `names` (host names and addresses). Takes milliseconds."""
    return Authority(*names).issue()


def server_context(identity: Identity, lowest: str = "", highest: str = "", *, clients: bytes = b"") -> ssl.SSLContext:
    """A context for the server's end with this identity, and with versions of TLS such as "1.2" where given.

    With `clients`, an authority's certificate in PEM form, clients are asked for certificates of their own.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if clients:
        context.load_verify_locations(cadata=clients.decode("ascii"))
        context.verify_mode = ssl.CERT_OPTIONAL
    if lowest in ("1.0", "1.1") or highest in ("1.0", "1.1"):
        # OpenSSL has the old versions only at this level.
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if lowest:
            context.minimum_version = _VERSIONS[lowest]
        if highest:
            if not lowest:
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = _VERSIONS[highest]
    # `ssl` loads keys from files alone.
    with tempfile.TemporaryDirectory(prefix="ehlo-") as folder:
        path = Path(folder, "identity.pem")
        path.touch(mode=0o600)
        path.write_bytes(identity.key + identity.certificate)
        try:
            context.load_cert_chain(path)
        except ssl.SSLError:
            # A key too weak for OpenSSL, which is what some faults are about.
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.load_cert_chain(path)
    return context


VERSIONS = ("1.0", "1.1", "1.2", "1.3")
_VERSIONS = dict(
    zip(
        VERSIONS,
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        strict=True,
    )
)


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    key: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[str, ...] | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    sha1: bool = False,
) -> x509.Certificate:
    """A certificate for `names`, or without them that of an authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID

    begin = begin or datetime.now(UTC) - timedelta(hours=1)
    is_authority = names is None
    off = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage = x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **off)
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end or begin + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(usage, critical=True)
    )
    if is_authority:
        builder = builder.add_extension(issuer_id, critical=False)
    else:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id)
        builder = builder.add_extension(identifier, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(text) for text in names]), critical=False)
    return builder.sign(key, SHA1() if sha1 else SHA256())  # type: ignore[arg-type]  # noqa: S303 - what the fault is about
