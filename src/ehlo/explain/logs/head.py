"""What stands before a log line's message: container, priority, time, host, program.

Known: syslog (RFC 3164, RFC 5424, with ISO times, of rsyslog, journalctl and BSD), Exim's own times, JSON lines of
journalctl and of Docker, and the prefixes of `docker compose logs` and of Kubernetes. A line may have none of them.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple


class Head(NamedTuple):
    """A line taken apart. `program` is the name in syslog, such as `postfix/smtp`."""

    when: datetime | None
    host: str
    program: str
    message: str


#: A byte order mark, as it is or written out, and the name of a container.
_BEFORE = re.compile(r"(?:\ufeff|\\ufeff)?(?:[\w.-]{1,80} *\| ?)?")
_TIME = re.compile(
    r"(?:<\d{1,3}>)?(?:(1) )?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?"
    r"(?:((?:19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?: ?(Z|UTC|[+-]\d\d:?\d\d)(?![\w-]))?"
    r"|([^\W\d_]{3}\.? [ \d]?\d) (?:((?:19|20)\d\d) )?(\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?: ((?:19|20)\d\d)(?= ))?)"
    r"[ ,]*"
)
_PROGRAM = r"([A-Za-z][\w.+-]*(?:/[\w.+-]+)*)(?:\[\d+\])?: (?:\[ID \d+ [\w.]+\] )?"
_SYSLOG = re.compile(rf"(?:([^\s:\[]+) )?(?:<?\w+[.:]\w+>? )?{_PROGRAM}")
_RFC5424 = re.compile(r"(\S+) (\S+) (\S+) (\S+) (?:-|(?:\[[^\]]*\])+) ?(?:\ufeff|\\ufeff|BOM)?")
_CRI = re.compile(r"std(?:out|err) [FP] ")
_PID = re.compile(r"\[\d+\] ")
#: Syslog writes them in English, whatever the locale.
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6} | {
    "Jul": 7,
    "Aug": 8,
    "Sep": 9,
    "Oct": 10,
    "Nov": 11,
    "Dec": 12,
}


def take_apart(line: str, today: date) -> Head:
    """The parts of a line. A time without a year is taken for the last such day up to `today`."""
    if line.startswith("{"):
        return _json(line, today)
    return _text(line, today)


def _text(line: str, today: date, depth: int = 0) -> Head:
    rest = line
    if "|" in line[:90] or line.startswith(("\ufeff", "\\ufeff")):
        before = _BEFORE.match(line)
        rest = line[before.end() :] if before else line
    found = _TIME.match(rest)
    when: datetime | None = None
    if found is not None:
        version, iso, zone, day, year, clock, late_year = found.groups()
        when = _iso(iso, zone) if iso else _dated(day, clock, year or late_year or "", today)
        rest = rest[found.end() :]
        if version:
            fields = _RFC5424.match(rest)
            if fields is not None:
                return Head(when, _nil(fields[1]), _nil(fields[2]), rest[fields.end() :])
        cri = _CRI.match(rest)
        if cri is not None:
            rest = rest[cri.end() :]
        if depth < 2 and _TIME.match(rest):
            inner = _text(rest, today, depth + 1)
            return inner if inner.when else inner._replace(when=when)
        if rest.startswith("["):
            pid = _PID.match(rest)
            rest = rest[pid.end() :] if pid else rest
    fields = _SYSLOG.match(rest)
    # Without a time, what looks like a program could be a queue id.
    if fields is None or (fields[1] is None and not _known(fields[2])):
        return Head(when, "", "", rest.lstrip())
    return Head(when, fields[1] or "", fields[2], rest[fields.end() :])


def _known(program: str) -> bool:
    low = program.lower()
    return "/" in low or any(name in low for name in ("postfix", "exim", "sendmail", "sm-mta", "smtpd"))


def _nil(value: str) -> str:
    return "" if value == "-" else value


def _json(line: str, today: date) -> Head:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError):
        return Head(None, "", "", line)
    if not isinstance(table, dict):
        return Head(None, "", "", line)
    if isinstance(table.get("log"), str):
        inner = _text(table["log"].rstrip("\n"), today)
        return inner if inner.when else inner._replace(when=_stamp(table.get("time")))
    message = table.get("MESSAGE", table.get("message", table.get("msg", "")))
    if isinstance(message, list):
        message = bytes(octet for octet in message if isinstance(octet, int) and 0 <= octet < 256).decode(
            "utf-8", "replace"
        )
    if not isinstance(message, str):
        return Head(None, "", "", line)
    when = _stamp(table.get("timestamp", table.get("@timestamp", table.get("time"))))
    micro = table.get("_SOURCE_REALTIME_TIMESTAMP", table.get("__REALTIME_TIMESTAMP"))
    if isinstance(micro, str) and micro.isdecimal() and len(micro) < 18:
        when = datetime.fromtimestamp(int(micro) / 1e6, timezone.utc)  # noqa: UP017
    host = table.get("_HOSTNAME", table.get("host", table.get("hostname", "")))
    program = table.get("SYSLOG_IDENTIFIER", table.get("program", table.get("ident", "")))
    if not program:
        inner = _text(message, today)
        return inner if inner.when else inner._replace(when=when)
    return Head(when, host if isinstance(host, str) else "", program if isinstance(program, str) else "", message)


def _stamp(value: object) -> datetime | None:
    found = _TIME.match(value) if isinstance(value, str) else None
    return _iso(found[2], found[3]) if found is not None and found[2] else None


@lru_cache(4096)
def _iso(text: str, zone: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace(",", ".")[:26] + {"UTC": "Z"}.get(zone or "", zone or ""))
    except ValueError:
        return None


@lru_cache(4096)
def _dated(day: str, clock: str, year: str, today: date) -> datetime | None:
    name, _, number = day.partition(" ")
    month = _MONTHS.get(name[:3], 0)
    tries = (int(year),) if year else tuple(range(today.year, today.year - 9, -1))
    for guess in tries:
        try:
            when = datetime(guess, month, int(number), int(clock[:2]), int(clock[3:5]), min(59, int(clock[6:8])))
        except ValueError:
            continue
        if year or when.date() <= today + timedelta(days=1):
            return when
    return None
