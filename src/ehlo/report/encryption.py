"""A TLS handshake in words: the line of its step, and what stands beneath.

facts of a `tls` event (docs/transcript.md) ──> summary, shorter forms of it, details
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from ehlo.diagnosis.evidence import certificate_problems
from ehlo.report.text import utc_date
from ehlo.transcript.event import JsonValue

#: In a few words what is wrong with a certificate, by the id of the problem. Those that are not here need
#: particulars, or are known by the TLS library's words alone.
_PROBLEMS = {
    "self-signed": "self-signed",
    "unknown-root": "unknown authority",
    "unknown-issuer": "unknown authority",
    "incomplete-chain": "incomplete chain",
    "revoked": "revoked",
    "weak-key": "weak key",
    "weak-signature": "weak signature",
    "missing": "no certificate",
}


class Detail(NamedTuple):
    """What else there is to say of a step: what it is about, and parts that a line may be broken between."""

    label: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.label}: {', '.join(self.parts)}"


def tls_summary(facts: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """The most important of a handshake: version, name, days left, or what is wrong. Shorter forms follow, for
    lines with less room; numbers are in all of them."""
    version = version_name(str(facts.get("version", "")))
    if problems := _in_words(facts):
        counted = [f"{version}, not verified: {len(problems)} faults"] if len(problems) > 1 else []
        return f"{version}, not verified: {', '.join(problems)}", *counted, f"{version}, not verified"
    days = facts.get("days_left")
    if not isinstance(days, int):
        return (version,)
    name, left = matching_name(_strings(facts, "names"), str(facts.get("name") or "")), _days(days)
    if not name:
        return f"{version}, certificate without a name, {left}", f"{version}, {left}"
    return f"{version}, certificate for {name}, {left}", f"{version}, {name}, {left}", f"{version}, {left}"


def tls_details(facts: Mapping[str, JsonValue]) -> tuple[Detail, ...]:
    """How it is encrypted, what is wrong with the certificate, in the TLS library's own words, the chain as it was
    sent, and the names."""
    group = facts.get("group")
    cipher = (str(facts.get("cipher") or ""), f"key exchange {group}" if group else "")
    chain = cast("list[Mapping[str, JsonValue]]", facts.get("chain") or [])
    names = _strings(facts, "names")
    details = [Detail("cipher", cipher), Detail("wrong", tuple(certificate_problems(facts).values()))]
    details += [Detail("chain", _link(link)) for link in chain]
    # One name that is good is in the summary.
    if len(names) > 1 or certificate_problems(facts):
        details.append(Detail("names", names))
    filled = [detail._replace(parts=tuple(filter(None, detail.parts))) for detail in details]
    return tuple(detail for detail in filled if detail.parts)


def version_name(version: str) -> str:
    """A version as people write it: "TLS 1.3" for OpenSSL's TLSv1.3, "TLS 1.0" for its TLSv1."""
    name, _, number = version.partition("v")
    if not number:
        return version
    return f"{name} {number}" if "." in number else f"{name} {number}.0"


def matching_name(names: tuple[str, ...], wanted: str) -> str:
    """That of a certificate's names by which it is for a host; the first one if there is none."""
    host = wanted.rstrip(".").lower()
    # RFC 9525 §6.3: a wildcard stands for one whole label, the leftmost.
    wildcard = "*." + host.partition(".")[2]
    by_rank = sorted(names, key=lambda name: (name.lower() != host, name.lower() != wildcard))
    return next(iter(by_rank), "")


def _in_words(facts: Mapping[str, JsonValue]) -> list[str]:
    """What is wrong with the certificate, each in a few words."""
    return [_fault(problem, words, facts) for problem, words in certificate_problems(facts).items()]


def _fault(problem: str, words: str, facts: Mapping[str, JsonValue]) -> str:
    days = facts.get("days_left")
    if problem == "expired" and isinstance(days, int) and days < 0:
        return _days(days)
    if problem == "not-yet-valid":
        return f"not valid before {_date(facts.get('not_before'))}"
    if problem == "wrong-name":
        return f"not for {facts.get('name') or 'this host'}"
    return _PROBLEMS.get(problem, words)


def _link(link: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """One certificate: whose, by whom, from when to when."""
    subject, issuer = str(link.get("subject") or "?"), str(link.get("issuer") or "?")
    signed = "self-signed" if subject == issuer else f"signed by {issuer}"
    begins, ends, days = link.get("not_before"), link.get("not_after"), link.get("days_left")
    # Records of older versions have the end alone.
    valid = f"{_date(begins)} to {_date(ends)}" if begins is not None else f"until {_date(ends)}"
    if link.get("begun") is False:
        return subject, signed, f"{valid} (not valid yet)"
    return subject, signed, f"{valid} ({_days(days)})" if isinstance(days, int) else valid


def _days(days: int) -> str:
    """Whole days until a certificate expires, in words; negative after it."""
    if days < 0:
        # The first day after the end counts as -1.
        return f"expired {_count(-days - 1)} ago" if days < -1 else "expired today"
    return f"{_count(days)} left" if days else "less than a day left"


def _count(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


def _date(seconds: JsonValue) -> str:
    return utc_date(float(seconds)) if isinstance(seconds, int | float) else "?"


def _strings(facts: Mapping[str, JsonValue], key: str) -> tuple[str, ...]:
    return tuple(str(value) for value in cast("list[JsonValue]", facts.get(key) or []))
