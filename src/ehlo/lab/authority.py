"""A certificate authority made on the spot, and certificates for the lab server, good ones and bad ones."""

from __future__ import annotations

import re
import ssl
import tempfile
import threading
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
    """A server's certificate, with those between it and the authority behind it, and its key; and the authority's
    certificate, by which it is verified. All in PEM form; without an authority it was given from outside."""

    certificate: bytes
    key: bytes
    authority: bytes


class _Issuer(NamedTuple):
    """Who signs certificates: a name and a key, and a certificate of its own."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject


class Authority:
    """An authority that issues certificates for `names`, and for one host more if asked."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._root = _authority("ehlo lab authority")
        self._between = self._below(_elliptic_key())
        self._issued: dict[tuple[str, str], Identity] = {}
        self._issuing = threading.Lock()

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM."""
        return _pem(self._root.certificate)

    @property
    def intermediate(self) -> bytes:
        """The certificate between the authority's own and one of the kind "missing-intermediate", PEM."""
        return _pem(self._between.certificate)

    def issue(self, kind: str = "", host: str = "") -> Identity:
        """A certificate of a kind of `KINDS`, or a good one; made once, whichever thread asks first."""
        with self._issuing:
            if (kind, host) not in self._issued:
                self._issued[kind, host] = self._make(kind, (host, *self._names) if host else self._names)
            return self._issued[kind, host]

    def _make(self, kind: str, own: tuple[str, ...]) -> Identity:
        key = _rsa_key(1024) if kind == "weak-key" else _elliptic_key()
        names = ("other.example.org",) if kind == "wrong-name" else () if kind == "no-name" else own
        # RFC 5280 §4.1.2.6: a subject may be empty; a name there would count where no other is.
        subject = _name(names[0]) if names else _name("")
        issuer = self._issuer_of(kind, subject, key)
        now = datetime.now(UTC)
        begin, end = now - timedelta(hours=1), now + _LIFETIME
        if kind == "expired":
            begin, end = now - _LIFETIME, now - _DAY
        elif kind == "not-yet-valid":
            begin, end = now + _DAY, now + _LIFETIME
        signed = _sign(subject, key.public_key(), issuer.name, issuer.key, names=names, begin=begin, end=end)
        chain = _pem(signed)
        if kind == "sha1":
            # The one between is of RSA, for the sake of this signature, and is sent along.
            chain = _signed_with_sha1(signed, issuer.key) + _pem(issuer.certificate)
        return Identity(chain, _key_pem(key), self.certificate)

    def _issuer_of(self, kind: str, subject: x509.Name, key: PrivateKey) -> _Issuer:
        if kind == "self-signed":
            return _Issuer(_sign(subject, key.public_key(), subject, key), key)
        if kind == "unknown-ca":
            return _authority("another authority")
        if kind == "missing-intermediate":
            return self._between
        return self._below(_rsa_key(2048)) if kind == "sha1" else self._root

    def _below(self, key: PrivateKey) -> _Issuer:
        """An authority below this one."""
        return _Issuer(_sign(_name("ehlo lab intermediate"), key.public_key(), self._root.name, self._root.key), key)


def _authority(name: str) -> _Issuer:
    key = _elliptic_key()
    return _Issuer(_sign(_name(name), key.public_key(), _name(name), key, path_length=1), key)


def make_identity(*names: str) -> Identity:
    """A new authority and a certificate for `names` (host names and addresses). Takes milliseconds."""
    return Authority(*names).issue()


def server_context(identity: Identity, lowest: str = "", highest: str = "", *, clients: bytes = b"") -> ssl.SSLContext:
    """A context for the server's end with this identity, and with versions of TLS such as "1.2" where given.

    With `clients`, an authority's certificate in PEM form, clients are asked for certificates of their own. Raises
    `ssl.SSLError` for an identity that is none.
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
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(path, password="")
        except ssl.SSLError:
            # A key or a signature too weak for OpenSSL, which is what some faults are about.
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.load_cert_chain(path, password="")
    return context


_FIRST_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def first_certificate(chain: bytes) -> bytes:
    """The server's own certificate, the first of a PEM file, in DER. Raises `ValueError` when there is none."""
    found = _FIRST_CERTIFICATE.search(chain)
    if found is None:
        raise ValueError("there is no certificate in PEM form")
    return ssl.PEM_cert_to_DER_cert(found[0].decode("ascii"))


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

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


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


def _elliptic_key() -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, bits)


def _sign(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    names: tuple[str, ...] | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    path_length: int = 0,
) -> x509.Certificate:
    """A certificate for `names`, or without them that of an authority, with so many others below it at most."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
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
    constraints = x509.BasicConstraints(ca=is_authority, path_length=path_length if is_authority else None)
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end or begin + _LIFETIME)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    if is_authority:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    else:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(text) for text in names]), critical=False)
    return builder.sign(key, SHA256())


#: The object identifiers of RSA with SHA-256 and with SHA-1 (RFC 8017 appendix A.2.4), in DER: of one length.
_RSA_WITH_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_RSA_WITH_SHA1 = bytes.fromhex("06092a864886f70d010105")


def _signed_with_sha1(certificate: x509.Certificate, key: PrivateKey) -> bytes:
    """A certificate by an issuer with a key of RSA, signed anew with SHA-1, PEM.

    `cryptography` makes no such certificates any more. But the two kinds of signature differ in the name of the
    algorithm alone, which stands in the signed part and behind it, and in the signature itself, which comes last.
    """
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import Encoding

    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("This takes a key of RSA.")
    signed = certificate.tbs_certificate_bytes.replace(_RSA_WITH_SHA256, _RSA_WITH_SHA1)
    signature = key.sign(signed, padding.PKCS1v15(), SHA1())  # noqa: S303 - what the fault is about
    whole = certificate.public_bytes(Encoding.DER).replace(_RSA_WITH_SHA256, _RSA_WITH_SHA1)
    return ssl.DER_cert_to_PEM_cert(whole[: -len(signature)] + signature).encode("ascii")
