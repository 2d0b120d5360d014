"""The server's certificate: what it says, and whether it verifies.

A mail client that meets a bad certificate must be able to go on and report it; OpenSSL's own
verification, as Python offers it, ends the connection instead. So the session's handshake verifies
nothing, and the chain is judged afterwards by the same OpenSSL code: a second, local TLS client
with verification switched on is shown the same certificates in a handshake that goes no further.
That client stops where a real one would: at the certificate. That the server holds the key was proved
in the real handshake; here only the chain and the name are in question.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

from ehlo.transcript.event import JsonValue

_SECONDS_A_DAY = 86400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: id of what is wrong with a chain, by OpenSSL's verify code (x509_vfy.h).
_PROBLEMS = {
    9: "not-yet-valid",
    10: "expired",
    18: "self-signed",
    19: "unknown-root",
    20: "unknown-issuer",
    21: "incomplete-chain",
    23: "revoked",
    66: "weak-key",
    67: "weak-key",
    68: "weak-signature",
    62: "wrong-name",
    64: "wrong-name",
}


class Link(NamedTuple):
    """One certificate of a chain: whose, by whom, from when to when (seconds since 1970)."""

    subject: str
    issuer: str
    not_before: float
    not_after: float

    def to_json(self) -> dict[str, JsonValue]:
        """The certificate as it stands in a `tls` event."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "not_before": int(self.not_before),
            "not_after": int(self.not_after),
            "days_left": _days_until(self.not_after),
            "begun": self.not_before <= time.time(),
        }


class CertificateFacts(NamedTuple):
    """What a server's certificate says and what is wrong with it.

    `problems` has the ids of all that is wrong, with OpenSSL's words; it is empty when chain and name are good. OpenSSL
    stops at the first, so the dates and the name are judged by themselves. `name` is whose certificate it was to be.
    `chain` has the certificates as they were sent, in DER, `links` what each says of itself.
    """

    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    problems: dict[str, str]
    chain: tuple[bytes, ...]
    name: str = ""
    links: tuple[Link, ...] = ()

    @property
    def problem(self) -> str:
        """The id of the first thing wrong; empty when chain and name are good."""
        return next(iter(self.problems), "")

    @property
    def chain_problem(self) -> str:
        """The id of what is wrong with the chain; empty when it is good."""
        return "" if self.problem == "wrong-name" else self.problem

    @property
    def name_problem(self) -> str:
        """The id of what is wrong with the name, whoever signed the certificate; empty when it is good."""
        if not self.name:
            return ""
        return next((problem for problem in ("missing", "wrong-name") if problem in self.problems), "")

    @property
    def days_left(self) -> int:
        """Whole days until it expires; negative when that has happened."""
        return _days_until(self.not_after)

    def to_json(self) -> dict[str, JsonValue]:
        """The certificate's part of a `tls` event (docs/transcript.md)."""
        return {
            "verified": not self.problem,
            "problem": self.problem or None,
            "detail": self.problems.get(self.problem),
            "problems": dict(self.problems),
            "name": self.name,
            "names": list(self.names),
            "issuer": self.issuer,
            "not_before": int(self.not_before),
            "not_after": int(self.not_after),
            "days_left": self.days_left,
            "name_verified": not self.name_problem,
            "chain_length": len(self.chain),
            "chain": [link.to_json() for link in self.links],
            "fingerprint": "sha256:" + hashlib.sha256(self.chain[0]).hexdigest() if self.chain else None,
        }


def trust_context(ca_file: str = "", ca_path: str = "") -> ssl.SSLContext:
    """A context that verifies against the system's authorities, or against those in `ca_file` and the
    folder `ca_path` alone.

    The folder is one that `openssl rehash` has prepared, or any with certificates in PEM form. Raises
    `OSError` when something cannot be read and `ssl.SSLError` when it holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate stands in clear only in handshakes up to TLS 1.2, and its verification is
    # the same in all versions.
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    if ca_file or ca_path:
        if ca_file:
            context.load_verify_locations(ca_file)
        if ca_path:
            _load_folder(context, ca_path)
        return context
    paths = ssl.get_default_verify_paths()
    if os.environ.get(paths.openssl_cafile_env) is None and _is_hashed(paths.openssl_capath):
        # A folder is searched by hash when a chain needs it; a bundle costs 25 ms to read.
        context.load_verify_locations(capath=paths.openssl_capath)
    else:
        context.load_default_certs()
    return context


def _load_folder(context: ssl.SSLContext, folder: str) -> None:
    if _is_hashed(folder):
        context.load_verify_locations(capath=folder)
        return
    found = False
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            # A folder of certificates may hold keys and notes, too.
            with contextlib.suppress(ssl.SSLError):
                context.load_verify_locations(path)
                found = True
    if not found:
        raise ssl.SSLError(f"no certificate in {folder}")


def _is_hashed(folder: str | None) -> bool:
    try:
        with os.scandir(folder or "") as entries:
            return any(entry.name.endswith(".0") for entry in entries)
    except OSError:
        return False


def inspect_certificates(connection: ssl.SSLObject, name: str, trust: ssl.SSLContext) -> CertificateFacts:
    """Read and judge the certificates that the server of this finished handshake sent."""
    chain, infos = _peer_certificates(connection)
    info = infos[0] if infos else {}
    problems = verify_chain(chain, trust)
    if problems:
        problems |= _wrong_dates(info) | (verify_name(chain, name) if name else {})
    elif name:
        problems = verify_chain(chain, trust, name)
    return CertificateFacts(
        names=_names(info),
        issuer=_common_name(info.get("issuer")),
        not_before=_seconds(info.get("notBefore")),
        not_after=_seconds(info.get("notAfter")),
        problems=problems,
        chain=chain,
        name=name,
        links=tuple(
            Link(
                _common_name(info.get("subject")) or next(iter(_names(info)), ""),
                _common_name(info.get("issuer")),
                _seconds(info.get("notBefore")),
                _seconds(info.get("notAfter")),
            )
            for info in infos
        ),
    )


def _wrong_dates(info: dict[str, object]) -> dict[str, str]:
    """What is wrong with the dates of a certificate, whoever signed it."""
    now = time.time()
    if info and _seconds(info.get("notAfter")) < now:
        return {"expired": "certificate has expired"}
    return {"not-yet-valid": "certificate is not yet valid"} if _seconds(info.get("notBefore")) > now else {}


def verify_name(chain: tuple[bytes, ...], name: str) -> dict[str, str]:
    """What is wrong with the name of a chain's first certificate, which is to be for `name`, whoever signed it."""
    if not chain:
        return {}
    # Trusted by itself, it can only fail by its name (which OpenSSL checks before the dates).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=chain[0])
    return {wrong: words for wrong, words in verify_chain(chain[:1], context, name).items() if wrong == "wrong-name"}


def verify_chain(chain: tuple[bytes, ...], trust: ssl.SSLContext, name: str = "") -> dict[str, str]:
    """Judge a chain (DER, the server's own first), and that it belongs to `name` if one is given.

    Gives the id of the first thing that is wrong, with OpenSSL's words for it; nothing when all is well.
    """
    if not chain:
        return {"missing": "the server sent no certificate"}
    trust.check_hostname = bool(name)
    try:
        # The cipher suite must fit the key's kind, which only OpenSSL knows: RSA, then the others.
        for suite in (b"\xc0\x2f", b"\xc0\x2b"):
            try:
                _show_certificates(chain, trust, name, suite)
            except ssl.SSLWantReadError:
                return {}
            except ssl.SSLCertVerificationError as error:
                return {_PROBLEMS.get(error.verify_code, "not-verified"): error.verify_message.rstrip(".")}
            except ssl.SSLError as error:
                detail = (error.reason or str(error)).replace("_", " ").lower()
    finally:
        trust.check_hostname = False
    return {"not-verified": detail}


def _show_certificates(chain: tuple[bytes, ...], trust: ssl.SSLContext, name: str, suite: bytes) -> None:
    """Play the server up to its Certificate message (RFC 5246 §7.4.1.3, §7.4.2)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(incoming, outgoing, server_hostname=name or None)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()  # Its ClientHello offers what it always offers: nobody needs to read it.
    secure_renegotiation = b"\xff\x01\x00\x01\x00"
    hello = b"\x03\x03" + os.urandom(32) + b"\x00" + suite + b"\x00" + _vector(secure_renegotiation, 2)
    certificates = _vector(b"".join(_vector(certificate, 3) for certificate in chain), 3)
    flight = b"\x02" + _vector(hello, 3) + b"\x0b" + _vector(certificates, 3)
    for start in range(0, len(flight), 16384):
        incoming.write(b"\x16\x03\x03" + _vector(flight[start : start + 16384], 2))
    client.do_handshake()


def endpoint_hash(certificate: bytes) -> bytes:
    """The channel binding tls-server-end-point of a certificate in DER (RFC 5929 §4.1)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256

    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, MD5 | SHA1):
        algorithm = SHA256()
    return hashlib.new(algorithm.name.replace("sha3-", "sha3_"), certificate).digest()


def _vector(data: bytes, length_octets: int) -> bytes:
    return len(data).to_bytes(length_octets, "big") + data


def _peer_certificates(connection: ssl.SSLObject) -> tuple[tuple[bytes, ...], list[dict[str, object]]]:
    # Public Python gives the fields of a certificate only when it verified itself, and the chain
    # only from 3.13 on; the object beneath has had both since 3.10 (bpo-18233). `cryptography`
    # could read them too, for 50 ms of import at every STARTTLS.
    certificates = connection._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
    chain = tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in certificates)
    return chain, [certificate.get_info() for certificate in certificates]


def _names(info: dict[str, object]) -> tuple[str, ...]:
    alternatives = cast("tuple[tuple[str, str], ...]", info.get("subjectAltName", ()))
    names = tuple(
        _address(pair[1]) if pair[0] == "IP Address" else pair[1]
        for pair in alternatives
        if pair[0] in ("DNS", "IP Address")
    )
    common = _common_name(info.get("subject"))
    return names or ((common,) if common else ())


def _address(text: str) -> str:
    """An address as OpenSSL prints it (0:0:0:0:0:0:0:1), in the usual form (RFC 5952)."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text.strip()))
    except OSError:
        return text.strip()


def _common_name(name: object) -> str:
    # A name is a sequence of relative names, each a sequence of pairs.
    relative_names = cast("Sequence[Sequence[tuple[str, str]]]", name or ())
    pairs = dict(pair for relative_name in relative_names for pair in relative_name)
    return pairs.get("commonName") or pairs.get("organizationName") or ""


def _days_until(seconds: float) -> int:
    return int((seconds - time.time()) // _SECONDS_A_DAY)


def _seconds(when: object) -> float:
    """OpenSSL's "Nov 23 10:00:00 2026 GMT" as seconds since 1970. (`ssl.cert_time_to_seconds` does this
    too, by way of `strptime`, whose import takes longer than the handshake.)"""
    if not when:
        return 0.0
    from datetime import UTC, datetime

    month, day, clock, year, _ = str(when).split()
    hour, minute, second = map(int, clock.split(":"))
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC).timestamp()
