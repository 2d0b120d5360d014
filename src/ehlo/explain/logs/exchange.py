"""Exchange: the protocol logs of connectors, and message tracking logs. Both are CSV with a `#Fields:` line.

A reply in a protocol log stands alone; the command that it answers is an earlier line of the same session. `<` is what
came, `>` what was sent, `*` what Exchange says of its own.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable
from typing import NamedTuple

from ehlo.explain.case import Case
from ehlo.explain.failures import failure_in
from ehlo.explain.logs.found import Found, failure, split_reply, stage_of

#: A line without any of these is of no interest.
NEEDLES = (
    b",>,5",
    b",>,4",
    b',>,"5',
    b',>,"4',
    b",<,5",
    b",<,4",
    b',<,"5',
    b',<,"4',
    b'">","5',
    b'">","4',
    b'"<","5',
    b'"<","4',
    b",Failed to connect",
    b',"Failed to connect',
    b"TLS negotiation failed",
    b",FAIL,",
    b",DEFER,",
    b",BADMAIL,",
)

#: Ports at which mail comes in.
_INCOMING = ("25", "465", "587", "2525")
_PATH = re.compile(r"(?:FROM|TO): ?<([^>]*)>", re.IGNORECASE)
_LED = re.compile(r"LED=([^}\]]*)")
#: Where message tracking logs of Exchange 2007 and later have their columns.
_COLUMNS = (
    "date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id,"
    "internal-message-id,message-id,network-message-id,recipient-address,recipient-status,total-bytes,recipient-count,"
    "related-recipient-address,reference,message-subject,sender-address"
)
_OLD_COLUMNS = _COLUMNS.replace("network-message-id,", "")
#: Gives the earlier lines of a session, the last one first.
Earlier = Callable[[str], list[str]]


def read(line: str, earlier: Earlier) -> Found | None:
    """What a whole line says; None where that is nothing of interest."""
    row = _row(line)
    said = _said(row)
    return _tracking(row) if said is None else _protocol(said, earlier)


class _Said(NamedTuple):
    """A line of a protocol log."""

    session: str
    local: str
    remote: str
    event: str
    data: str
    context: str


def _row(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _said(row: list[str]) -> _Said | None:
    """The columns of a protocol log; None for a line of another one."""
    if len(row) < 8 or row[6] not in ("<", ">", "*", "+", "-") or not row[3].isdecimal():
        return None
    return _Said(row[2], row[4], row[5], row[6], row[7], ",".join(row[8:]))


def _protocol(said: _Said, earlier: Earlier) -> Found | None:
    if said.event == "*":
        return _of_its_own(said)
    reply = split_reply(said.data)
    if reply.code < 400:
        return None
    outgoing = said.event == "<"
    peer = _host(said.remote)
    case = Case(reply.text, reply.code, reply.status, server=peer if outgoing else "")
    if reply.code in (530, 535, 538) and not outgoing:
        case = case._replace(stage="auth" if reply.code != 530 else "mail")
    before = [it for line in earlier(said.session) if (it := _said(_row(line))) and it.session == said.session]
    return Found("out" if outgoing else "in", _in_session(case, said.event, before), said.session, peer)


def _of_its_own(said: _Said) -> Found | None:
    """What Exchange says of a connection that did not come about, or of a handshake that failed."""
    found = failure_in(said.context)
    if found is None:
        return None
    incoming = said.local.rpartition(":")[2] in _INCOMING
    error = "client-tls-failed" if incoming and found.error == "tls-failed" else found.error
    peer = _host(said.remote)
    case = Case(said.context, error=error, certificate=found.certificate, stage=found.stage or "connect")
    return Found("in" if incoming else "out", case if incoming else case._replace(server=peer), said.session, peer)


def _in_session(case: Case, event: str, said: list[_Said]) -> Case:
    """The case with what the session's earlier lines say: the command that was answered, and the sender.

    Commands may come several at a time (RFC 2920); then the replies follow in the same order.
    """
    turns = [(it.event == event, it.data) for it in said if it.event in ("<", ">")]
    before = list(itertools.takewhile(lambda turn: turn[0], turns))
    commands = [data for _, data in itertools.takewhile(lambda turn: not turn[0], turns[len(before) :])][::-1]
    if not commands:
        return case
    answered = sum(data[3:4] != "-" for _, data in before)
    command = commands[min(answered, len(commands) - 1)]
    path = _PATH.search(command)
    case = case._replace(stage=stage_of(command) or case.stage)
    if path is not None and case.stage == "rcpt":
        case = case._replace(recipient=path[1])
    mail = next((data for reply, data in turns if not reply and data[:10].upper() == "MAIL FROM:"), "")
    sender = _PATH.search(mail)
    return case if sender is None else case._replace(sender=sender[1])


def _tracking(row: list[str]) -> Found | None:
    columns = (_COLUMNS if len(row) > 8 and "@" in "".join(row[12:13]) else _OLD_COLUMNS).split(",")
    fields = dict(zip(columns, row, strict=False))
    if fields.get("event-id") not in ("FAIL", "DEFER", "BADMAIL"):
        return None
    said = fields.get("recipient-status", "")
    led = _LED.search(said)
    text = (led[1] if led else said).strip("'{}[] ")
    reply = split_reply(text)
    recipient = fields.get("recipient-address", "").split(";")[0]
    error, stage = ("", None) if reply.code else failure(text)
    server = fields.get("server-hostname", "")
    code = reply.code or (0 if error else 450 if fields["event-id"] == "DEFER" else 550)
    case = Case(reply.text, code, reply.status, error, stage, recipient, fields.get("sender-address", ""), server)
    return Found("out", case, fields.get("internal-message-id", ""), server)


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]") or endpoint
