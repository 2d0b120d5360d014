"""The fields of delivery reports (RFC 3464, RFC 6533), from a part of their own or from within the text.

Some systems have labels of their own for the same things ("Recipient address", "Diagnostic code", "Remote system").
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: How many recipients of a report are read.
MAX_RECIPIENTS = 1_000

_LINE = re.compile(r"^[ \t]{0,4}([A-Za-z][A-Za-z -]{2,38}?)[ \t]*:[ \t]*(.*)$")
_NAMES = {
    "final-recipient": "final",
    "original-recipient": "original",
    "x-actual-recipient": "actual",
    "action": "action",
    "status": "status",
    "diagnostic-code": "diagnostic",
    "remote-mta": "remote",
    "reporting-mta": "reporting",
    "x-supplementary-info": "diagnostic",
    "x-display-name": "",
    "recipient address": "final",
    "original address": "original",
    "diagnostic code": "diagnostic",
    "remote system": "remote",
    "reason": "reason",
}
_ADDRESS = re.compile(r"[^\s<>;,\"']{1,128}@[^\s<>;,\"']{1,255}|\"[^\"\n]{1,128}\"@[^\s<>;,\"']{1,255}")


class Told(NamedTuple):
    """What a report, or a text, says of one recipient. `type` is that of the Diagnostic-Code, as "smtp"."""

    recipient: str = ""
    action: str = ""
    status: str = ""
    type: str = ""
    diagnostic: str = ""
    remote: str = ""
    original: str = ""


def read_report(text: str) -> list[Told]:
    """The recipients of a report's fields, in their order."""
    found: list[Told] = []
    group: dict[str, str] = {}
    last = ""
    blank = True
    for line in text.split("\n"):
        if not line.strip():
            blank = True
            continue
        field = _LINE.match(line)
        name = _NAMES.get(field[1].lower(), "") if field else ""
        if field and not (line[:1] in " \t" and not name):
            if not name:
                last = ""
                continue
            repeated = name in group and name in ("final", "action", "status", "diagnostic", "original")
            if (repeated and name == "final") or (blank and repeated):
                _add(found, group)
                group = {}
            elif repeated:
                last = name if name == "diagnostic" else ""
                if name == "diagnostic":
                    group[name] += f" {field[2].strip()}"
                continue
            group[name] = field[2].strip()
            last = name
        elif last and (line[:1] in " \t" or not blank) and len(group[last]) < 8_000:
            group[last] += f" {line.strip()}"
        blank = False
    _add(found, group)
    return found


def _add(found: list[Told], group: dict[str, str]) -> None:
    recipient = _address(group.get("final", "")) or _address(group.get("original", ""))
    if not (recipient or group.get("final")) or len(found) >= MAX_RECIPIENTS:
        return
    original = _address(group.get("original", ""))
    kind, mark, said = group.get("diagnostic", "").partition(";")
    if not mark or " " in kind.strip():
        kind, said = "", group.get("diagnostic", "")
    status = re.search(r"[245]\.\d{1,3}\.\d{1,3}", group.get("status", ""))
    found.append(
        Told(
            recipient=recipient,
            action=group.get("action", "").split(" ")[0].lower(),
            status=status[0] if status else "",
            type=kind.strip().lower(),
            diagnostic=said.strip() or group.get("reason", ""),
            remote=_host(group.get("remote", "")),
            original=original,
        )
    )


def _address(value: str) -> str:
    """The address in a field such as `rfc822; <user@example.com>` (also `utf-8;`, RFC 6533 §3)."""
    found = _ADDRESS.search(value.partition(";")[2] or value)
    return found[0].strip("<>.") if found else ""


def _host(value: str) -> str:
    host = re.match(r"\s*\[?([\w.:-]{1,255})", value.partition(";")[2] or value)
    return host[1].strip(".") if host else ""
