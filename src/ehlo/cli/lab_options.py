"""What the options of `ehlo lab` say, as the parts of a lab; what is wrong with one is said before the lab starts."""

from __future__ import annotations

import argparse
import ssl

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file, write_file
from ehlo.cli.options import target_from
from ehlo.lab.authority import Identity, first_certificate, server_context
from ehlo.lab.lab import Lab
from ehlo.lab.policy import Policy
from ehlo.lab.query import check_query
from ehlo.lab.scenario import DEFAULT, Scenario, ScenarioError, check_host, load_scenario
from ehlo.lab.store import Keep, Store, StoreError, TagRule
from ehlo.smtp.address import AddressError, Path, parse_path
from ehlo.smtp.sasl.server import SERVER_MECHANISMS


def check_options(args: argparse.Namespace) -> None:
    """Options that need others, or whose values cannot be. Raises `UsageError`."""
    if args.json:
        raise UsageError("--json goes with --list.")
    if args.exec is not None and not args.exec.strip():
        raise UsageError("--exec: there is no command.")
    if args.release is not None:
        try:
            target_from(args.release)
        except UsageError as error:
            raise UsageError(f"{f'--release {args.release}'.rstrip()}: {error}") from None
    for option, value in (
        ("--max-size", args.max_size),
        ("--max-sessions", args.max_sessions),
        ("--idle", args.idle),
        ("--keep", args.keep),
        ("--keep-size", args.keep_size),
        ("--keep-hours", args.keep_hours),
    ):
        if value is not None and not 0 < value < 1e12:
            raise UsageError(f"{option} {value:g}: it is a number above 0.")


def scenario_from(args: argparse.Namespace) -> Scenario:
    """The scenario. Raises `UsageError`."""
    if not args.scenario:
        return DEFAULT
    try:
        return load_scenario(args.scenario)
    except ScenarioError as error:
        raise UsageError(str(error)) from None


def adapted(args: argparse.Namespace, scenario: Scenario) -> Scenario:
    """A scenario with what the options say, which goes before what it says itself. Raises `UsageError`."""
    host = scenario.host
    if args.host is not None:
        try:
            host = check_host(args.host)
        except ScenarioError:
            raise UsageError(f"--host {args.host}: it is no host name.") from None
    return scenario._replace(
        persona=args.persona or scenario.persona,
        host=host,
        policy=_policy_from(args, scenario.policy),
        seed=scenario.seed if args.seed is None else args.seed,
    )


def _policy_from(args: argparse.Namespace, policy: Policy) -> Policy:
    """The scenario's policy with what the options say. Raises `UsageError`."""
    users = dict(policy.users)
    for pair in args.user:
        name, colon, password = pair.partition(":")
        if not (name and colon and password):
            raise UsageError(f"--user {pair.partition(':')[0]}: the form is NAME:PASSWORD.")
        users[name] = password
    mechanisms = tuple(name.upper() for name in args.mechanism)
    for name in mechanisms:
        if name not in SERVER_MECHANISMS:
            raise UsageError(f"--mechanism {name}: there are {', '.join(SERVER_MECHANISMS)}.")
    senders = frozenset(_path("--refuse-sender", sender).address.lower() for sender in args.refuse_sender)
    limits = policy.limits
    for name, value in (("size", args.max_size), ("sessions", args.max_sessions), ("idle", args.idle)):
        if value is not None:
            limits = limits._replace(**{name: value})
    policy = policy._replace(
        any_recipient=policy.any_recipient or args.any_recipient,
        refused_senders=policy.refused_senders | senders,
        users=users,
        any_login=policy.any_login or args.any_login,
        mechanisms=mechanisms or policy.mechanisms,
        auth_in_clear=policy.auth_in_clear or args.auth_in_clear,
        limits=limits,
    )
    if not args.mailbox:
        return policy
    mailboxes = frozenset(_mailbox(mailbox) for mailbox in args.mailbox)
    return policy._replace(mailboxes=mailboxes, domains=frozenset(mailbox.rpartition("@")[2] for mailbox in mailboxes))


def _path(option: str, word: str) -> Path:
    if not word.strip():
        raise UsageError(f"{option}: there is no address.")
    try:
        return parse_path(word.strip(), brackets=False)
    except AddressError as error:
        raise UsageError(f"{option} {word}: it is no mail address: {error.why}.") from None


def _mailbox(word: str) -> str:
    mailbox = _path("--mailbox", word).mailbox
    if mailbox is None or mailbox.domain is None:
        raise UsageError(f"--mailbox {word}: it has no domain.")
    return f"{mailbox.unquoted}@{mailbox.domain}".lower()


def identity_from(args: argparse.Namespace) -> Identity | None:
    """The certificate and the key that are given, if they are. Raises `UsageError`."""
    if not args.cert and not args.key:
        return None
    if not (args.cert and args.key):
        raise UsageError("--cert and --key belong together.")
    if args.ca_out:
        raise UsageError("--ca-out is for the lab's own authority; with --cert there is none.")
    identity = Identity(read_file(args.cert, "certificate"), read_file(args.key, "key"), b"")
    if b"ENCRYPTED" in identity.key:
        raise UsageError(f"--key {args.key}: it has a passphrase; openssl pkey -in {args.key} writes one without.")
    try:
        first_certificate(identity.certificate)
        server_context(identity)
    except (ssl.SSLError, ValueError) as error:
        # Where OpenSSL has no reason, ssl's own words are about its source.
        reason = getattr(error, "reason", None) or (
            "no key was found" if isinstance(error, ssl.SSLError) else str(error)
        )
        raise UsageError(
            f"--cert {args.cert}, --key {args.key}: they cannot be used: {reason.replace('_', ' ').lower()}."
        ) from None
    return identity


def store_from(args: argparse.Namespace) -> Store | None:
    """The store; None for none. Raises `UsageError`."""
    if args.no_capture:
        if args.store or args.export:
            raise UsageError("--no-capture keeps nothing: it does not go with --store or --export.")
        return None
    if args.durable and not args.store:
        raise UsageError("--durable is for a store in a file: --store FILE.")
    rules = [_tag_rule(rule) for rule in args.tag]
    keep = Keep()
    if args.keep is not None:
        keep = keep._replace(messages=args.keep, sessions=args.keep)
    if args.keep_size is not None:
        keep = keep._replace(octets=args.keep_size * 10**6)
    if args.keep_hours is not None:
        keep = keep._replace(seconds=args.keep_hours * 3600)
    if args.export:
        from ehlo.lab.export import check_export

        try:
            check_export(args.export)
        except OSError as error:
            raise UsageError(f"--export {args.export}: it cannot be written: {error.strerror or error}.") from None
    try:
        return Store(args.store or "", durable=args.durable, keep=keep, tag_rules=rules)
    except StoreError as error:
        raise UsageError(f"--store: {error}") from None


def _tag_rule(rule: str) -> TagRule:
    tag, equals, query = rule.partition("=")
    if not (tag.strip() and equals and query.strip()):
        raise UsageError(f"--tag {rule}: the form is TAG=QUERY, as in orders=subject:order.")
    try:
        check_query(query)
    except ValueError as error:
        raise UsageError(f"--tag {rule}: {error}") from None
    return TagRule(tag.strip(), query)


def write_certificates(args: argparse.Namespace, lab: Lab) -> None:
    """Write the certificates that are asked for. Raises `UsageError`."""
    if args.ca_out:
        write_file(args.ca_out, "certificate", lab.identity.authority)
    if args.client_cert_out:
        if not lab.policy.users:
            raise UsageError("--client-cert-out is for a user: --user NAME:PASSWORD.")
        user = lab.authority.issue(host=next(iter(lab.policy.users)))
        write_file(args.client_cert_out, "certificate", user.key + user.certificate, private=True)
