"""Sendmail: deliveries with their stat=, rulesets and milters that refuse, and clients that were lost."""

from __future__ import annotations

import re

from ehlo.explain.case import Case
from ehlo.explain.logs.found import Found, failure, specific, split_reply, stage_of
from ehlo.smtp.stages import Stage

#: A line without any of these is of no interest.
NEEDLES = (
    b", stat=",
    b"reject=",
    b"lost input channel",
    b"timeout waiting for input",
    b"did not issue MAIL",
    b"AUTH failure",
    b", error: accept failed",
    b", error: connect failed",
    b">... ",
)

_QUEUE = re.compile(r"([0-9A-Za-z]{8,20}): ")
_TO = re.compile(r"\bto=<?([^\s>,]+)")
_DSN = re.compile(r"\bdsn=([245]\.\d{1,3}\.\d{1,3})")
_RELAY = re.compile(r"\brelay=(?:([^\s,\[]+)\.?)? ?(?:\[([^\]]*)\])?")
_RULESET = re.compile(r"ruleset=(\w+), arg1=<?([^,>]*)>?,")
_MILTER = re.compile(r"Milter: (\w+)(?:=<?([^\s,>]*)>?)?")
_GONE = re.compile(
    r"(lost input channel|timeout waiting for input) from (?:([^\s\[]+) )?(?:\[([^\]]*)\])?"
    r".*? (?:after|during) ([\w ]+)"
)
_IDLE = re.compile(r"(?:([^\s\[]+) )?(?:\(may be forged\) )?\[([^\]]*)\](?: \(may be forged\))? did not issue")
_UNKNOWN = re.compile(r"<([^>]*)>\.\.\. (.*)")
_RULESETS: dict[str, Stage] = {
    "check_relay": "banner",
    "check_rcpt": "rcpt",
    "check_mail": "mail",
    "check_compat": "message",
    "check_data": "data",
    "check_eoh": "message",
    "check_vrfy": "rcpt",
    "check_etrn": "ehlo",
    "trust_auth": "auth",
    "tls_client": "mail",
    "tls_server": "starttls",
    "tls_rcpt": "rcpt",
}
_MILTERS: dict[str, Stage] = {"connect": "banner", "helo": "ehlo", "from": "mail", "to": "rcpt", "data": "message"}


def read(message: str) -> Found | None:
    """What a line says, without its prefix; None where that is nothing of interest."""
    queue = _QUEUE.match(message)
    for needle, reader in _READERS:
        if needle in message:
            found = reader(message)
            return found and found._replace(queue=queue[1] if queue else "")
    return None


def _delivery(message: str) -> Found | None:
    head, _, stat = message.partition(", stat=")
    if stat.startswith(("Sent", "queued")):
        return None
    head, _, said = head.partition(", reply=")
    dsn, recipient = _DSN.search(head), _TO.search(head)
    status = specific(dsn[1]) if dsn else ""
    server = _relay(head)
    stat = stat.removeprefix("Deferred: ")
    reply = split_reply(said if said[:1] in ("4", "5") else stat)
    error, stage = ("", None) if reply.code else failure(stat)
    where: Stage | None = stage or stage_of(said.partition("after ")[2])
    code = reply.code
    if stat.startswith("Deferred") and not status:
        code = code or 450
    case = Case(
        reply.text, code, reply.status or status, error, where, recipient[1] if recipient else "", server=server
    )
    return Found("out", case, peer=server)


def _refused(message: str) -> Found:
    head, _, said = message.partition("reject=")
    reply = split_reply(said)
    ruleset, milter = _RULESET.search(head), _MILTER.search(head)
    stage: Stage | None = None
    subject = ""
    if ruleset is not None:
        stage, subject = _RULESETS.get(ruleset[1]), ruleset[2]
    elif milter is not None:
        stage, subject = _MILTERS.get(milter[1]), milter[2] or ""
    text = reply.text
    address, dots, rest = text.partition("... ")
    if dots and address.startswith("<"):
        text = rest
    nested = split_reply(text)
    case = Case(nested.text, reply.code or nested.code, reply.status or nested.status, stage=stage)
    if stage == "rcpt":
        case = case._replace(recipient=subject)
    elif stage == "mail":
        case = case._replace(sender=subject)
    return Found("in", case, peer=_relay(head))


def _gone(message: str) -> Found | None:
    found = _GONE.search(message)
    if found is None:
        return None
    what, name, address, command = found.groups()
    error = "client-lost" if what.startswith("lost") else "client-timed-out"
    stage = stage_of(command.removeprefix("server ").removeprefix("client "))
    if stage == "data":
        stage = "message"
    case = Case(f"{what} after {command.strip()}", error=error, stage=stage or "ehlo")
    return Found("in", case, peer=name or address or "")


def _idle(message: str) -> Found | None:
    found = _IDLE.search(message)
    if found is None:
        return None
    case = Case("did not issue MAIL/EXPN/VRFY/ETRN", error="client-lost", stage="ehlo")
    return Found("in", case, peer=found[1] or found[2])


def _login(message: str) -> Found:
    text = message[message.find("AUTH failure") :].partition(", relay=")[0]
    user = re.search(r", user=([^,]*)", message)
    case = Case(text, 535, "5.7.0", stage="auth", sender=user[1] if user else "")
    return Found("in", case, peer=_relay(message))


def _tls(message: str) -> Found:
    outgoing = "connect failed" in message
    text = message[message.find("STARTTLS=") :].partition(", relay=")[0]
    case = Case(text, error="tls-failed" if outgoing else "client-tls-failed", stage="starttls")
    return Found("out" if outgoing else "in", case, peer=_relay(message))


def _unknown(message: str) -> Found | None:
    found = _UNKNOWN.search(message)
    if found is None or "reject" in message:
        return None
    address, text = found.groups()
    reply = split_reply(text)
    if not reply.code and "unknown" not in text.lower():
        return None
    case = Case(reply.text, reply.code or 550, reply.status or "5.1.1", stage="rcpt", recipient=address)
    return Found("in", case)


def _relay(message: str) -> str:
    found = _RELAY.search(message)
    return "" if found is None else (found[1] or found[2] or "").rstrip(".")


_READERS = (
    (", stat=", _delivery),
    ("reject=", _refused),
    ("lost input channel", _gone),
    ("timeout waiting for input", _gone),
    ("did not issue MAIL", _idle),
    ("AUTH failure", _login),
    (", error: accept failed", _tls),
    (", error: connect failed", _tls),
    (">... ", _unknown),
)
