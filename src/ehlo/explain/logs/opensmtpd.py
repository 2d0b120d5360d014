"""OpenSMTPD: deliveries with their result=, and commands of clients that failed."""

from __future__ import annotations

import re

from ehlo.explain.case import Case
from ehlo.explain.logs.found import Found, failure, split_reply, stage_of
from ehlo.smtp.stages import Stage

#: A line without any of these is of no interest.
NEEDLES = (b"PermFail", b"TempFail", b"failed-command", b"bad-input", b" reason=")

_FIELD = re.compile(r'\b(\w+)=(?:"([^"]*)"|<([^>]*)>|([^\s",]+))')
_SESSION = re.compile(r"([0-9a-f]{8,16}) (smtp|mta|mda) ")


def read(message: str) -> Found | None:
    """What a line says, without its prefix; None where that is nothing of interest."""
    found = _SESSION.match(message)
    if found is None and not message.startswith(("smtp", "mta", "mda", "delivery")):
        return None
    kind = found[2] if found else message.partition(" ")[0]
    session = found[1] if found else ""
    fields = {name: quoted or path or plain for name, quoted, path, plain in _FIELD.findall(message)}
    if "failed-command" in message or "bad-input" in message:
        return _command(fields, session)
    if fields.get("result") in ("PermFail", "TempFail"):
        return _delivery(fields)
    if kind == "mta" and "reason" in fields and (" error " in message or "event=error" in message):
        return _unreachable(fields, session)
    if kind.startswith("smtp") and "reason" in fields:
        return _gone(fields, session)
    return None


def _delivery(fields: dict[str, str]) -> Found:
    said = fields.get("stat", "")
    permanent = fields["result"] == "PermFail"
    reply = split_reply(said)
    error, stage = ("", None) if reply.code else failure(said)
    server = fields.get("relay", "")
    server = re.sub(r"^\S+ \((\S+)\)$", r"\1", server)
    code = reply.code or (0 if error or permanent else 450)
    recipient = fields.get("to") or fields.get("rcpt", "")
    case = Case(reply.text, code, reply.status, error, stage, recipient, fields.get("from", ""), server)
    return Found("out", case, fields.get("evpid", ""), server)


def _command(fields: dict[str, str], session: str) -> Found | None:
    command = fields.get("command", "")
    reply = split_reply(fields.get("result", ""))
    if reply.code < 400:
        return None
    # Who is turned away at once has given no command.
    stage = stage_of(command) or (
        "message" if command == "." else "ehlo" if command or "command" not in fields else "banner"
    )
    address = re.search(r"<([^>]*)>?", command)
    case = Case(reply.text, reply.code, reply.status, stage=stage)
    if address is not None and stage == "mail":
        case = case._replace(sender=address[1])
    elif address is not None:
        case = case._replace(recipient=address[1])
    return Found("in", case, session, _peer(fields))


def _unreachable(fields: dict[str, str], session: str) -> Found:
    reason = fields["reason"]
    error, stage = failure(reason)
    if "TLS" in reason or "handshake" in reason:
        error, stage = "tls-failed", "starttls"
    server = _peer(fields)
    case = Case(reason, error=error or "connect-failed", stage=stage or "connect", server=server)
    return Found("out", case, session, server)


def _gone(fields: dict[str, str], session: str) -> Found | None:
    reason = fields["reason"]
    if reason in ("quit", "disconnect"):
        return None
    stage: Stage = "ehlo"
    error = "client-timed-out" if "timeout" in reason.lower() else "client-lost"
    if "handshake" in reason.lower() or "tls" in reason.lower():
        error, stage = "client-tls-failed", "starttls"
    return Found("in", Case(reason, error=error, stage=stage), session, _peer(fields))


def _peer(fields: dict[str, str]) -> str:
    host = fields.get("host", "")
    address = fields.get("address", "")
    return address if host in ("", "<unknown>", "unknown") else host
