"""Options for TLS and for logging in."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.cli.secret import add_secret_options, names_secret, read_secret
from ehlo.net.settings import DEFAULT_TLS, TLS_VERSIONS, TLSSettings
from ehlo.probe.plan import Plan
from ehlo.smtp.address import AddressError, parse_domain
from ehlo.smtp.sasl import Credentials


def add_tls_options(parser: argparse.ArgumentParser, *, trials: bool = True) -> None:
    """How the connection is encrypted, and what of the certificate must be good. With `trials`, also what to
    do with the result."""
    group = parser.add_argument_group("TLS")
    group.add_argument(
        "--starttls", choices=("auto", "require", "never"), default="auto", help="auto: when it is offered (default)"
    )
    group.add_argument("--tls-on-connect", action="store_true", help="TLS before the greeting, as smtps:// has it")
    group.add_argument(
        "--verify",
        nargs="?",
        const="both",
        default="",
        choices=("both", "chain", "name"),
        help="stop if the certificate does not verify: both (default), its chain alone, or its name alone",
    )
    group.add_argument("--insecure", action="store_true", help="log in even if the certificate does not verify")
    group.add_argument("--ca-file", metavar="FILE", default="", help="trust the authorities in this PEM file alone")
    group.add_argument("--ca-path", metavar="FOLDER", default="", help="trust the authorities in this folder alone")
    group.add_argument("--tls-name", metavar="NAME", default="", help="the name the certificate must be for")
    group.add_argument("--sni", metavar="NAME", help="the name to ask the server for; '' for none (default: its own)")
    group.add_argument("--tls-min", choices=TLS_VERSIONS, default="", help="the oldest version of TLS to take")
    group.add_argument("--tls-max", choices=TLS_VERSIONS, default="", help="the newest version of TLS to take")
    group.add_argument("--ciphers", metavar="LIST", default="", help="ciphers up to TLS 1.2, as OpenSSL writes them")
    group.add_argument("--cert", metavar="FILE", default="", help="the client's own certificate, in PEM form")
    group.add_argument("--key", metavar="FILE", default="", help="its key, if that is in a file of its own")
    if not trials:
        return
    group.add_argument("--save-cert", metavar="FILE", help="write the server's certificate to a PEM file")
    group.add_argument("--save-chain", metavar="FILE", help="write all certificates that the server sent")
    group.add_argument("--explain-tls", action="store_true", help="try which versions of TLS the server takes")


def add_login_options(parser: argparse.ArgumentParser) -> None:
    """Who logs in, and how."""
    group = parser.add_argument_group("login")
    group.add_argument("--user", metavar="NAME", help="log in as this user")
    group.add_argument(
        "--auth",
        metavar="MECHANISM",
        action="append",
        default=[],
        help="log in by this mechanism, e.g. LOGIN, XOAUTH2, SCRAM-SHA-256 (default: the strongest offered)",
    )
    group.add_argument("--authzid", metavar="NAME", default="", help="act as this other user (authorization identity)")
    group.add_argument("--realm", metavar="REALM", default="", help="the realm, or the domain for NTLM")
    add_secret_options(group)
    group.add_argument("--auth-optional", action="store_true", help="go on without a login where it fails")
    group.add_argument("--auth-in-clear", action="store_true", help="log in even without encryption")


def with_security(args: argparse.Namespace, plan: Plan) -> Plan:
    """The plan with what these options say. Raises `UsageError`."""
    if args.tls_on_connect:
        if plan.target.lmtp:
            raise UsageError("--tls-on-connect: LMTP has no TLS on connect.")
        port = 465 if plan.target.port == 25 and plan.target.given.count(":") == 0 else plan.target.port
        plan = plan._replace(target=plan.target._replace(scheme="smtps", port=port))
    if args.starttls == "never" and args.verify and not plan.target.tls_on_connect:
        raise UsageError("--starttls never and --verify contradict each other: without TLS there is no certificate.")
    settings = TLSSettings(args.tls_min, args.tls_max, args.ciphers, args.cert, args.key)
    if args.key and not args.cert:
        raise UsageError("--key needs --cert.")
    if args.tls_min and args.tls_max and args.tls_min > args.tls_max:
        raise UsageError(f"--tls-min {args.tls_min} is newer than --tls-max {args.tls_max}.")
    if settings != DEFAULT_TLS:
        _check_settings(settings)
    if args.ca_file or args.ca_path:
        _check_authorities(args.ca_file, args.ca_path)
    return plan._replace(
        starttls=args.starttls,
        tls=settings,
        verify=args.verify,
        insecure=args.insecure,
        ca_file=args.ca_file,
        ca_path=args.ca_path,
        tls_name=_name("--tls-name", args.tls_name),
        sni=args.sni if not args.sni else _name("--sni", args.sni),
        credentials=_credentials(args),
        mechanisms=tuple(name.upper() for name in args.auth),
        auth_in_clear=args.auth_in_clear,
        auth_optional=args.auth_optional,
    )


def _name(option: str, name: str) -> str:
    if not name:
        return ""
    try:
        return parse_domain(name)
    except AddressError as error:
        raise UsageError(f"{option} {name}: {error.why}.") from None


def _check_settings(settings: TLSSettings) -> None:
    from ehlo.net.tls import TLSSettingsError, client_context

    try:
        client_context(settings)
    except TLSSettingsError as error:
        raise UsageError(str(error)) from None


def _check_authorities(ca_file: str, ca_path: str) -> None:
    import ssl

    from ehlo.net.certificates import trust_context

    for option, name in (("--ca-file", ca_file), ("--ca-path", ca_path)):
        kind = "file" if option == "--ca-file" else "folder"
        try:
            if name:
                trust_context(*((name, "") if kind == "file" else ("", name)))
        except ssl.SSLError:
            raise UsageError(f"{option} {name}: the {kind} holds no certificate in PEM form.") from None
        except OSError as error:
            raise UsageError(f"{option} {name}: the {kind} cannot be read: {error.strerror}.") from None


def _credentials(args: argparse.Namespace) -> Credentials | None:
    secrets = kinds_of_secret(args.auth)
    if args.user is None and not secrets:
        if names_secret(args):
            raise UsageError("A password needs a name: --user.")
        return None
    needs_secret = not secrets or secrets != {"none"}
    if args.user is None and needs_secret:
        raise UsageError(f"--auth {args.auth[0]} needs --user.")
    password = read_secret(args) if needs_secret else ""
    return Credentials(args.user or "", password, args.authzid, args.realm)


def kinds_of_secret(names: list[str]) -> set[str]:
    """What the named mechanisms log in with. Raises `UsageError` for a name that is none."""
    if not names:
        return set()
    from ehlo.smtp.sasl import MechanismError, mechanism_named

    try:
        return {mechanism_named(name.upper()).secret for name in names}
    except MechanismError as error:
        raise UsageError(f"--auth: {error}") from None
