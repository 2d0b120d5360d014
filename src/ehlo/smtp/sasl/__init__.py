"""SASL mechanisms (RFC 4954, RFC 4422): the client's side; the server's is in `server.py`.

To add one, write the generator (see `mechanism.py`) and enter it in `MECHANISMS`, strongest first.
"""

from __future__ import annotations

from functools import partial

from ehlo.smtp.sasl.identity import anonymous, explain_identity, external, read_anonymous, read_external
from ehlo.smtp.sasl.mechanism import (
    ChannelBinding,
    Contents,
    Credentials,
    Mechanism,
    MechanismError,
    MechanismExchange,
    Side,
    all_secret,
)
from ehlo.smtp.sasl.oauth import explain_oauth, oauth_error, oauthbearer, read_oauth, xoauth2
from ehlo.smtp.sasl.password import (
    cram_md5,
    digest_md5,
    explain_cram_md5,
    explain_digest_md5,
    explain_login,
    explain_plain,
    login,
    login_initial,
    plain,
    read_cram_md5,
    read_digest_md5,
    read_login,
    read_plain,
)
from ehlo.smtp.sasl.scram import explain_scram, read_scram, scram
from ehlo.smtp.sasl.spnego import (
    explain_gssapi,
    explain_ntlm,
    gssapi,
    ntlm,
    read_ntlm,
    show_gssapi,
    show_ntlm,
)

__all__ = [
    "MECHANISMS",
    "ChannelBinding",
    "Contents",
    "Credentials",
    "Mechanism",
    "MechanismError",
    "MechanismExchange",
    "Side",
    "all_secret",
    "choose_mechanism",
    "explain_step",
    "mechanism_named",
    "mechanism_offered",
    "oauth_error",
    "read_response",
]


def _scram(name: str, reference: str) -> Mechanism:
    bound = name.endswith("-PLUS")
    summary = "both sides prove that they know the password" + (", bound to the TLS connection" if bound else "")
    start = partial(scram, name)
    return Mechanism(
        f"SCRAM-{name}",
        f"SCRAM-{name}",
        start,
        explain_scram,
        "password",
        summary,
        reference,
        binding=bound,
        read=read_scram,
    )


#: By name, the strongest first. What is not said of a mechanism is the default of `Mechanism`. For the `standing`
#: see the RFC, or IANA's registry of SASL mechanisms.
MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        _scram("SHA3-512-PLUS", "draft-melnikov-scram-sha3-512"),
        _scram("SHA-512-PLUS", "draft-melnikov-scram-sha-512"),
        _scram("SHA-256-PLUS", "RFC 7677"),
        _scram("SHA-1-PLUS", "RFC 5802"),
        _scram("SHA3-512", "draft-melnikov-scram-sha3-512"),
        _scram("SHA-512", "draft-melnikov-scram-sha-512"),
        _scram("SHA-256", "RFC 7677"),
        _scram("SHA-1", "RFC 5802"),
        Mechanism(
            "GSSAPI",
            "GSSAPI",
            gssapi,
            explain_gssapi,
            "none",
            "a Kerberos ticket",
            "RFC 4752",
            extra="kerberos",
            show=show_gssapi,
        ),
        Mechanism(
            "OAUTHBEARER",
            "OAUTHBEARER",
            oauthbearer,
            explain_oauth,
            "token",
            "an OAuth token",
            "RFC 7628",
            in_clear=True,
            read=read_oauth,
        ),
        Mechanism(
            "XOAUTH2",
            "XOAUTH2",
            xoauth2,
            explain_oauth,
            "token",
            "an OAuth token, as Google and Microsoft want it",
            "Google: XOAUTH2 protocol",
            in_clear=True,
            read=read_oauth,
        ),
        Mechanism(
            "CRAM-MD5",
            "CRAM-MD5",
            cram_md5,
            explain_cram_md5,
            "password",
            "a digest made with the password",
            "RFC 2195",
            standing="limited use, IANA",
            read=read_cram_md5,
        ),
        Mechanism(
            "PLAIN",
            "PLAIN",
            plain,
            explain_plain,
            "password",
            "the password as it is; for TLS alone",
            "RFC 4616",
            in_clear=True,
            read=read_plain,
        ),
        Mechanism(
            "LOGIN",
            "LOGIN",
            login,
            explain_login,
            "password",
            "user and password as they are, one after the other",
            "draft-murchison-sasl-login",
            in_clear=True,
            standing="obsolete, IANA",
            read=read_login,
        ),
        Mechanism(
            "LOGIN-INITIAL",
            "LOGIN",
            login_initial,
            explain_login,
            "password",
            "LOGIN with the user name already behind AUTH",
            "draft-murchison-sasl-login",
            in_clear=True,
            standing="obsolete, IANA",
            read=read_login,
        ),
        Mechanism(
            "NTLM",
            "NTLM",
            ntlm,
            explain_ntlm,
            "password",
            "Windows' own digest of the password",
            "[MS-SMTPNTLM]",
            standing="limited use, IANA",
            extra="ntlm",
            read=read_ntlm,
            show=show_ntlm,
        ),
        Mechanism(
            "DIGEST-MD5",
            "DIGEST-MD5",
            digest_md5,
            explain_digest_md5,
            "password",
            "digests both ways",
            "RFC 2831",
            standing="obsolete, RFC 6331",
            read=read_digest_md5,
        ),
        Mechanism(
            "EXTERNAL",
            "EXTERNAL",
            external,
            explain_identity,
            "none",
            "the client's TLS certificate",
            "RFC 4422 appendix A",
            read=read_external,
        ),
        Mechanism(
            "ANONYMOUS",
            "ANONYMOUS",
            anonymous,
            explain_identity,
            "none",
            "no login at all",
            "RFC 4505",
            read=read_anonymous,
        ),
    )
}


def choose_mechanism(offered: tuple[str, ...], credentials: Credentials) -> Mechanism | None:
    """The strongest mechanism that is offered and logs in with a password, or None.

    Mechanisms for tokens and tickets, and those that need a library, are for those who name them.
    """
    fitting = (
        mechanism
        for mechanism in MECHANISMS.values()
        if mechanism.keyword in offered
        and mechanism.secret == "password"  # noqa: S105 - the kind, not the secret
        and not mechanism.extra
        and (credentials.binding is not None or not mechanism.binding)
        and not (credentials.authzid and mechanism.keyword.startswith(("SCRAM-", "CRAM-", "LOGIN")))
    )
    return next(fitting, None)


def mechanism_named(name: str) -> Mechanism:
    """The mechanism of that name. Raises `MechanismError`, which lists those there are."""
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None:
        raise MechanismError(f"there is no mechanism {name}; ehlo knows {' '.join(MECHANISMS)}.")
    return mechanism


def explain_step(mechanism: Mechanism, who: Side, data: bytes) -> str:
    """What a decoded challenge or response is, in a few words and without its secrets; may be empty."""
    return mechanism.explain(who, data)


def mechanism_offered(keyword: str) -> Mechanism | None:
    """The mechanism that a server offers, or a client asks for, under a keyword; None if it is not known."""
    return next((known for known in MECHANISMS.values() if known.keyword == keyword.upper()), None)


def read_response(keyword: str, number: int, response: bytes) -> Contents:
    """What a response has in it, by its number in the exchange, from 1 on. Of mechanisms that are not known, all
    of it is secret."""
    mechanism = mechanism_offered(keyword)
    return all_secret(number, response) if mechanism is None else mechanism.read(number, response)
