"""Who one says one is, and who writes to whom.

Many servers judge the HELO name and the sender only at RCPT, so these sessions go on as far as the first one did.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator, Sequence

from ehlo.probe.experiments.bench import Bench, Trial, only_time
from ehlo.smtp.address import NULL_PATH, AddressError, Mailbox, Path, parse_path

_AN_INVENTED_ADDRESS = "an invented address"
_LOGIN = "the login as sender"
#: Rules by which a server that knows its mailboxes refuses an address that is none of them.
_UNKNOWN = frozenset({"recipient-unknown", "recipient-refused", "recipient-access-denied", "recipient-by-policy"})


# The name to greet with.


def _helo_names(bench: Bench) -> list[str]:
    names = [socket.getfqdn()]
    domain = bench.plan.sender.mailbox.domain if bench.plan.sender.mailbox else None
    if domain:
        names += [f"mail.{domain}", domain]
    local = next((event.fact("local") for event in bench.transcript.events if event.kind == "connect"), "")
    address = local.rpartition(":")[0].strip("[]") if ":" in local else local
    if address:
        names.append(f"[IPv6:{address}]" if ":" in address else f"[{address}]")
    return [name for name in dict.fromkeys(names) if "." in name and name != bench.plan.helo][:3]


def helo(bench: Bench) -> Iterator[Trial]:
    """Other names, until one is taken."""
    for name in _helo_names(bench):
        trial = bench.try_(f"HELO {name}", bench.plan._replace(helo=name))
        yield trial
        if trial.worked:
            yield bench.try_as_before()
            return


def conclude_helo(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether it is the name."""
    if only_time(trials):
        return "works-now"
    return "helo-is-the-cause" if any(trial.worked for trial in trials) else "not-the-helo"


# The sender.


def _sender_paths(bench: Bench) -> list[tuple[str, Path]]:
    paths: list[tuple[str, Path]] = []
    user = bench.plan.credentials.user if bench.plan.credentials else ""
    if "@" in user:
        with contextlib.suppress(AddressError):
            paths.append((_LOGIN, parse_path(user, brackets=False)))
    paths.append(("the null sender", NULL_PATH))
    domain = bench.plan.sender.mailbox.domain if bench.plan.sender.mailbox else None
    if domain:
        paths.append(("postmaster as sender", Path(Mailbox("postmaster", domain))))
    return [(what, path) for what, path in paths if path != bench.plan.sender]


def senders(bench: Bench) -> Iterator[Trial]:
    """Other senders, until one is taken."""
    for what, path in _sender_paths(bench):
        trial = bench.try_(what, bench.plan._replace(sender=path))
        yield trial
        if trial.worked:
            yield bench.try_as_before()
            return


def conclude_senders(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether it is the sender."""
    if only_time(trials):
        return "works-now"
    worked = [trial.what for trial in trials if trial.worked]
    if _LOGIN in worked:
        return "sender-must-be-login"
    return "sender-is-the-cause" if worked else "not-the-sender"


# The recipient.


def has_domain(bench: Bench) -> bool:
    """Whether it is known at which domain to look for other recipients."""
    return bench.recipient is not None and bench.recipient.mailbox is not None and bool(bench.recipient.mailbox.domain)


def _try_recipient(bench: Bench, what: str, local: str) -> Trial:
    mailbox = bench.recipient.mailbox if bench.recipient is not None else None
    domain = mailbox.domain if mailbox is not None else None
    return bench.try_(what, bench.plan._replace(recipients=(Path(Mailbox(local, domain)),)))


def _try_invented(bench: Bench) -> Trial:
    return _try_recipient(bench, _AN_INVENTED_ADDRESS, f"ehlo-{secrets.token_hex(6)}")


def recipients(bench: Bench) -> Iterator[Trial]:
    """An address that cannot exist, and the one that every domain must have (RFC 5321 §4.5.1)."""
    invented = _try_invented(bench)
    yield invented
    postmaster = _try_recipient(bench, "postmaster", "postmaster")
    yield postmaster
    if invented.worked or postmaster.worked:
        yield bench.try_as_before()


def conclude_recipients(bench: Bench, trials: Sequence[Trial]) -> str:
    """Whether it is this recipient."""
    if only_time(trials):
        return "works-now"
    invented, postmaster = trials[0], trials[1]
    if invented.worked:
        return "this-recipient-alone"
    if not postmaster.worked:
        return "nobody-there-accepted"
    alike = bench.first is not None and bench.first.rule == invented.seen
    return "recipient-and-unknown-alike" if alike else "this-recipient-alone"


def invented(bench: Bench) -> Iterator[Trial]:
    """An address that cannot exist, where another has been accepted."""
    yield _try_invented(bench)


def calls_for_invented(bench: Bench) -> bool:
    """Whether a recipient was accepted: whether the server knows its mailboxes is then open."""
    accepted = any(step.verb == "RCPT" and step.outcome == "ok" for step in bench.steps)
    return bench.verdict.outcome == "accepted" and accepted and has_domain(bench)


def conclude_invented(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether being accepted says that a mailbox is there."""
    (trial,) = trials
    if trial.worked:
        return "catch-all"
    return "mailbox-known" if trial.refused == "for good" and trial.seen in _UNKNOWN else ""
