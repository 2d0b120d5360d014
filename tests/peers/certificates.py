"""Certificates for test servers: good ones from an authority made on the spot, and bad ones.

Each certificate is a pair of PEM files, as real servers want them. A client trusts the authority
through :attr:`Authority.file`.
"""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .world import HOST, SERVER_NAME

SERVER_NAMES = (SERVER_NAME, "localhost", HOST)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server certificate: the chain and the private key, each a PEM file."""

    chain: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a Python server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context

    @property
    def authority(self) -> Path:
        """The certificate of the authority that issued this one, which servers trust clients by."""
        return self.chain.parent / "authority.pem"

    def copy_to(self, folder: Path) -> Certificate:
        """Copy both files into a folder, so that a server can read them whoever it runs as."""
        folder.mkdir(exist_ok=True)
        copy = Certificate(folder / "chain.pem", folder / "key.pem")
        copy.chain.write_bytes(self.chain.read_bytes())
        copy.key.write_bytes(self.key.read_bytes())
        if self.authority.exists():
            copy.authority.write_bytes(self.authority.read_bytes())
        return copy


class Authority:
    """A certificate authority whose files lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA(organization_name="ehlo test authority")
        self.file = folder / "authority.pem"
        """The authority's own certificate, for clients to trust."""
        self._ca.cert_pem.write_to_path(self.file)
        self.good = self.issue("good")
        """Valid now, for all of :data:`SERVER_NAMES`."""

    def client_context(self) -> ssl.SSLContext:
        """Return a context for a Python client that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.file))

    def issue(
        self,
        name: str,
        identities: tuple[str, ...] = SERVER_NAMES,
        *,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> Certificate:
        """Issue a certificate; `name` is only that of its files."""
        return self._written(name, self._ca.issue_cert(*identities, not_before=not_before, not_after=not_after))

    def rsa(self) -> Certificate:
        """Issue a good certificate with a key of the old kind, which some servers need."""
        return self._written("rsa", self._ca.issue_cert(*SERVER_NAMES, key_type=trustme.KeyType.RSA))

    def client(self, name: str) -> Certificate:
        """Issue a certificate for a client to show, with the name of a user as its common name."""
        return self._written("client", self._ca.issue_cert(name, common_name=name))

    def expired(self) -> Certificate:
        """Issue a certificate that ran out yesterday."""
        now = _now()
        return self.issue("expired", not_before=now - 30 * DAY, not_after=now - DAY)

    def not_yet_valid(self) -> Certificate:
        """Issue a certificate that becomes valid tomorrow."""
        now = _now()
        return self.issue("not-yet-valid", not_before=now + DAY, not_after=now + 30 * DAY)

    def ending_soon(self, days: int = 5) -> Certificate:
        """Issue a certificate that is valid, but for a few more days only."""
        now = _now()
        return self.issue("ending-soon", not_before=now - 30 * DAY, not_after=now + days * DAY)

    def wrong_name(self) -> Certificate:
        """Issue a valid certificate for another host."""
        return self.issue("wrong-name", ("other.example.org",))

    def self_signed(self) -> Certificate:
        """Make a certificate for the right names that no authority stands behind."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
        names = x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME), x509.DNSName("localhost")])
        now = _now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 30 * DAY)
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        files = self._place("self-signed")
        files.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _written(self, name: str, leaf: trustme.LeafCert) -> Certificate:
        certificate = self._place(name)
        for number, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(certificate.chain, append=number > 0)
        leaf.private_key_pem.write_to_path(certificate.key)
        return certificate

    def _place(self, name: str) -> Certificate:
        return Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
