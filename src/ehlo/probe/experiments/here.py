"""This machine: its address and that address's names, block lists, the password that was read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from ehlo.net.names import LookupFailedError, look_up
from ehlo.probe.experiments.bench import Bench, Trial
from ehlo.transcript.transcript import Transcript

#: Block lists that are asked for one's own address, where the user wants that.
_LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com")
#: Longest wait for the DNS, in seconds.
_LOOK_UP = 5.0
#: What look-ups say of a name that is not there, as opposed to one that nobody could tell about.
_ABSENT = frozenset({"no-such-host", "no-address"})


# Its address.

#: What a reply to EHLO repeats, in brackets, and what a refusal blames.
_ADDRESS = r"(?:IPv6:)?([0-9a-f:][0-9a-f.:]{2,44})"
_REPEATED = re.compile(rf"[\[(]{_ADDRESS}[\])]", re.IGNORECASE)
_BLAMED = re.compile(rf"(?:client host|your ip(?: address)?|connections? from) \[?{_ADDRESS}", re.IGNORECASE)


def own_address(transcript: Transcript) -> str:
    """This side's address: as the server sees it, where its EHLO reply or a refusal says so, else the socket's own.

    Empty when neither is known.
    """
    for event in transcript.events:
        if event.who == "server" and event.kind == "line":
            pattern = _REPEATED if event.stage == "ehlo" else _BLAMED
            for found in pattern.finditer(event.text):
                if address := _parsed(found[1]):
                    return address
    local = next((event.fact("local") for event in transcript.events if event.kind == "connect"), "")
    return _parsed(local.rpartition(":")[0].strip("[]")) or _parsed(local)


def _parsed(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def hindrance_of_address(bench: Bench) -> str:
    """Why nothing can be looked up about this machine's address."""
    address = own_address(bench.transcript)
    if not address:
        return "this machine's address, as the server sees it, is not known"
    if not bench.wishes.is_public(address):
        return f"{address} is a private address: no public list and no public DNS knows it"
    return ""


def calls_for_address(bench: Bench) -> bool:
    """Whether the address may be what the server does not like."""
    by_policy = bench.uncertain and bench.refused_at("banner", "ehlo", "mail", "rcpt")
    return bench.failing and (bench.names("own-address") or (by_policy and not hindrance_of_address(bench)))


def addresses_name(bench: Bench) -> Iterator[Trial]:
    """The name of the address, and whether that leads back to it (RFC 8601 §3, iprev)."""
    address = own_address(bench.transcript)
    what = f"the name of {address}"
    try:
        names = look_up(ip_address(address).reverse_pointer, "PTR", _LOOK_UP, bench.nameserver)
    except LookupFailedError as failure:
        yield Trial(what, False, failure.message, failure.error)
        return
    yield Trial(what, True, ", ".join(names))
    for name in names:
        trial = _leads_back(bench, name, address)
        yield trial
        if trial.worked:
            return


def _leads_back(bench: Bench, name: str, address: str) -> Trial:
    kind = "AAAA" if ":" in address else "A"
    what = f"the addresses of {name}"
    try:
        found = look_up(name, kind, _LOOK_UP, bench.nameserver)
    except LookupFailedError as failure:
        return Trial(what, False, failure.message, failure.error)
    return Trial(what, address in found, ", ".join(found))


def conclude_address(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether the address has a name that leads back to it."""
    if trials[-1].worked:
        return "name-confirmed"
    if any(trial.seen and trial.seen not in _ABSENT for trial in trials):
        # Of what the DNS did not answer, nobody can say that it is not there.
        return ""
    return "name-does-not-lead-back" if trials[0].worked else "no-name-here"


# Block lists.


def hindrance_of_lists(bench: Bench) -> str:
    """Why no list is asked."""
    if not bench.wishes.lists:
        return "with --lists, block lists would be asked for this machine's address"
    return hindrance_of_address(bench)


def lists(bench: Bench) -> Iterator[Trial]:
    """What each block list says of this machine's address (RFC 5782 §2.1)."""
    address = own_address(bench.transcript)
    reverse = ip_address(address).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    for zone in _LISTS:
        yield _asked(bench, zone, f"{reverse}.{zone}")


def _asked(bench: Bench, zone: str, name: str) -> Trial:
    try:
        answers = look_up(name, "A", _LOOK_UP, bench.nameserver)
    except LookupFailedError as failure:
        if failure.error in _ABSENT:
            return Trial(zone, True, "not listed")
        return Trial(zone, False, failure.message, "no-answer")
    # Spamhaus: 127.255.255.x is an answer about the question (an open resolver, too many), not about the address.
    about = [answer for answer in answers if answer.startswith("127.") and not answer.startswith("127.255.255.")]
    if not about:
        return Trial(zone, False, f"does not answer this resolver: {', '.join(answers)}", "no-answer")
    return Trial(zone, False, f"listed: {', '.join(about)}", "listed")


def conclude_lists(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether the address is on a list; a list that did not answer says nothing."""
    said = {trial.seen for trial in trials}
    return "listed-here" if "listed" in said else "" if "no-answer" in said else "not-listed"


# The password.


def password(bench: Bench) -> Iterator[Trial]:
    """The password's length and a fingerprint, which show whether it is the one that was meant, and not more."""
    credentials = bench.plan.credentials
    if credentials is None:
        return
    secret = credentials.password
    digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    odd = [
        what
        for what, holds in (
            ("space at the beginning or end", secret != secret.strip()),
            ("a line break", "\n" in secret or "\r" in secret),
            ("quotes around it", len(secret) > 1 and secret[0] == secret[-1] and secret[0] in "\"'"),
            ("characters beyond ASCII", not secret.isascii()),
        )
        if holds
    ]
    detail = f"{len(secret)} characters, SHA-256 begins with {digest}" + (f"; {', '.join(odd)}" if odd else "")
    yield Trial("the password as it was read", not odd, detail)


def conclude_password(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether it looks as if something had changed it."""
    return "" if trials[0].worked else "password-mangled"
