"""`ehlo explain` on much: log lines that tell of no failure, lines that do, replies of which no two are alike."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

from bench.measure import Figure, interleaved
from ehlo.explain.case import Case, explain_case
from ehlo.explain.logs import read_log, summarize
from ehlo.knowledge.rules import load_rules

_LINES, _REPLIES, _DISTINCT = 400_000, 100_000, 20_000
_DOMAINS = 1000


def figures(runs: int) -> Iterator[Figure]:
    """Both on one core, from bytes in memory to groups."""
    idle, busy = _idle(), _busy()
    medians = interleaved(
        runs,
        {
            "logs-lines": _rate(idle, _LINES, 0),
            "logs-replies": _rate(busy, _REPLIES, _REPLIES),
            "replies": _classified(_distinct()),
        },
    )
    yield Figure(
        "logs-lines", "log lines of no interest, thousands a second", "", 200, True, medians["logs-lines"], unit=" k/s"
    )
    yield Figure(
        "logs-replies",
        "log lines with a reply, read, classified and grouped, thousands a second",
        "",
        20,
        True,
        medians["logs-replies"],
        unit=" k/s",
    )
    yield Figure(
        "replies",
        "replies of which no two are alike, each explained, thousands a second",
        "",
        20,
        True,
        medians["replies"],
        unit=" k/s",
    )


def _rate(data: bytes, lines: int, failures: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        groups = summarize(read_log(io.BytesIO(data)))
        seconds = time.perf_counter() - start
        if sum(group.count for group in groups) != failures:
            raise RuntimeError(f"{failures} failures were expected, {groups} found")
        return lines / seconds / 1000

    return run


def _classified(cases: list[Case]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        for case in cases:
            explain_case(case)
        return len(cases) / (time.perf_counter() - start) / 1000

    return run


def _distinct() -> list[Case]:
    """The examples of the catalogue in turn, each with an id of its own."""
    examples = [example for rule in load_rules() for example in rule.examples if example[:3].isdecimal()]
    chosen = (examples[number % len(examples)] for number in range(_DISTINCT))
    return [
        Case(text=f"{example[4:]} (id {number})", code=int(example[:3]), stage="rcpt")
        for number, example in enumerate(chosen)
    ]


def _idle() -> bytes:
    """Messages that come in and go out."""
    lines: list[str] = []
    for number in range(_LINES // 5):
        head, queue = _head(number), f"{0xA1B2C3D000 + number:X}"
        client = f"mail-{number % 997}.example.net[192.0.2.{number % 250}]"
        lines += [
            f"{head}/smtpd[{number % 30_000}]: connect from {client}",
            f"{head}/smtpd[{number % 30_000}]: {queue}: client={client}",
            f"{head}/qmgr[4711]: {queue}: from=<user{number}@example.net>, size={number * 7}, nrcpt=1 (queue active)",
            f"{head}/smtp[{number % 30_000}]: {queue}: to=<user{number}@example.com>, relay=mx.example.com"
            f"[198.51.100.1]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9F)",
            f"{head}/qmgr[4711]: {queue}: removed",
        ]
    return "\n".join(lines).encode()


def _busy() -> bytes:
    """Failures alone: of each line a reply or an error is made."""
    lines: list[str] = []
    for number in range(_REPLIES):
        head, queue = _head(number), f"{0xA1B2C3D000 + number:X}"
        domain = f"example{number % _DOMAINS}.com"
        user, mx = f"user{number}@{domain}", f"mx.{domain}[192.0.2.{number % 250}]"
        delivery = f"{head}/smtp[{number % 30_000}]: {queue}: to=<{user}>, relay={mx}:25, delay=1.2, dsn="
        client = f"unknown[192.0.2.{number % 250}]"
        lines.append(
            (
                f"{delivery}5.1.1, status=bounced (host {mx} said: 550 5.1.1 <{user}>: Recipient address rejected: User"
                " unknown in virtual mailbox table (in reply to RCPT TO command))",
                f"{delivery}4.4.1, status=deferred (connect to {mx}:25: Connection timed out)",
                f"{head}/smtpd[{number % 30_000}]: NOQUEUE: reject: RCPT from {client}: 554 5.7.1 Service unavailable;"
                f" Client host [192.0.2.{number % 250}] blocked using zen.spamhaus.org; from=<a{number}@example.net>"
                f" to=<{user}> proto=ESMTP helo=<host{number}>",
                f"{head}/smtpd[{number % 30_000}]: warning: {client}: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            )[number % 4]
        )
    return "\n".join(lines).encode()


def _head(number: int) -> str:
    return f"Nov  4 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02} mx1 postfix"
