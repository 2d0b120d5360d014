"""Exim: mainlog and rejectlog, as files or through syslog."""

from __future__ import annotations

import re

from ehlo.explain.case import Case
from ehlo.explain.logs.found import Found, failure, split_reply, stage_of
from ehlo.smtp.stages import Stage

#: A line without any of these is of no interest.
NEEDLES = (
    b" ** ",
    b" == ",
    b" rejected ",
    b"authenticator failed",
    b"TLS error on",
    b"unexpected disconnection",
    b"sender verify fail",
    b"SMTP protocol ",
    b"SMTP syntax error",
    b" timeout ",
    b"lost while reading",
    b"dropped: too",
    b"refused: too",
    b"no host name found",
    b"no IP address found",
)

_ID = re.compile(r"([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) ")
_FAILED = re.compile(r"(\*\*|==) (?:<>|(\S+))(.*)", re.DOTALL)
_FIELD = re.compile(r" ([FPH])=(?:<([^>]*)>|(\S+)(?: \(\S*\))?(?: \[([^\]]*)\])?)")
_DEFER = re.compile(r" defer \((-?\d+)\)")
#: Messages that another process has in hand.
_CHATTER = re.compile(r"spool file is locked", re.IGNORECASE)
#: A client whose address and name do not lead to each other.
_NAMELESS = re.compile(r"no (?:host name found for IP address|IP address found for host) ([\w.:-]+)(?:.*\[([^\]]+)\])?")
_REMOTE = re.compile(
    r"(?:(?:SMTP|LMTP) error from remote (?:mail(?:er)?|mail server|mail host)(?: server)? (?:after|in response to)"
    r"|LMTP error after) (.*)",
    re.DOTALL,
)
#: No router took the address: its domain may be one of Exim's own, or one that it found no way to.
_NO_ROUTE = ("unrouteable address", "unroutable address")
_HOST = re.compile(r"(?:^|: )host (\S+) \[([^\]]*)\](?::\d+)?: ")
_CLIENT = re.compile(r"(?:H=|from |for )(?:(?!\(|\[)(\S+) )?(?:\(([^)]*)\) )?\[([^\]]*)\]")
_REJECTED = re.compile(
    r"(temporarily )?rejected (?:(RCPT|MAIL|EHLO|HELO|EHLO or HELO|DATA|AUTH|STARTTLS|VRFY|EXPN|ETRN|connection"
    r"|after DATA|by local_scan|from)(?: in \"[^\"]*\" ACL)?(?: (?:FROM:|TO:)?<([^>]*)>)?)"
    r"(?: H=\S*(?: \([^)]*\))?(?: \[[^\]]*\](?::\d+)?)?)?[^:]*: ?(.*)",
    re.DOTALL,
)
_SENDER = re.compile(r" F=<([^>]*)>")
_AUTH = re.compile(r"(\S+) authenticator (failed|temporarily failed) for .*?\]?(?::\d+)?: (\d{3} .*)")
_VERIFY = re.compile(r"sender verify (fail|defer) for <([^>]*)>(?:: (.*))?", re.DOTALL)
_REFUSED_STAGE: dict[str, Stage] = {
    "connection": "banner",
    "after DATA": "message",
    "by local_scan": "message",
    "from": "message",
    "EHLO or HELO": "ehlo",
}


def read(message: str) -> Found | None:
    """What a line says, without its prefix; None where that is nothing of interest."""
    found = _ID.match(message)
    queue = found[1] if found else ""
    rest = message[found.end() :] if found else message
    if rest.startswith(("** ", "== ")):
        return _failed(rest, queue)
    for needle, reader in _READERS:
        if needle in rest:
            result = reader(rest)
            return result and result._replace(queue=queue)
    return None


def _failed(rest: str, queue: str) -> Found | None:
    found = _FAILED.match(rest)
    if found is None:
        return None
    sign, address, tail = found[1], found[2] or "", found[3]
    fields, _, text = tail.partition(": ")
    if not text:
        # An address that could not be routed: "** nobody@example.com: Unrouteable address".
        address, text, fields = address.removesuffix(":"), tail.strip(), ""
    if not text or (sign == "==" and _CHATTER.search(text)):
        return None
    sender, server = "", ""
    for name, path, host, ip in _FIELD.findall(fields):
        if name == "H":
            server = host or ip
        else:
            sender = path or host
    if " <" in fields and fields.startswith(" <"):
        address = address or fields[2:].partition(">")[0]
    case = _answer(text, server, permanent=sign == "**")
    case = case._replace(recipient=address.removesuffix(":").strip("<>"), sender=sender)
    return Found("out", case, queue, case.server)


def _answer(text: str, server: str, *, permanent: bool) -> Case:
    remote = _REMOTE.match(text)
    if remote is None:
        error, stage = failure(text)
        if permanent and text.lower().startswith(_NO_ROUTE):
            error, stage = "not-routed", "rcpt"
        named = re.search(r"(?:[Hh]ost|with|to) (\S+) \[", text)
        server = server or (named[1] if named else "")
        reply = split_reply(text)
        code = reply.code or (0 if error or permanent or reply.status else 451)
        return Case(reply.text, code, reply.status, "" if reply.code else error, stage, server=server)
    command = remote[1].removeprefix("pipelined ").removeprefix("sending ").removeprefix("the ")
    host = _HOST.search(command)
    if host is not None:
        server, said, command = host[1], command[host.end() :], command[: host.start()]
    else:
        # The reply begins with its code; what the command had may have colons, too.
        colon = re.search(r": (?=[2-5][0-5]\d(?:[ -]|$))", command)
        said, command = (command[colon.end() :], command[: colon.start()]) if colon else (command, command)
    reply = split_reply(said)
    return Case(reply.text, reply.code, reply.status, stage=stage_of(command), server=server)


def _rejected(rest: str) -> Found | None:
    if rest.startswith("SMTP protocol synchronization"):
        return _synchronization(rest)
    found = _REJECTED.search(rest)
    if found is None:
        return None
    later, what, address, text = found.groups()
    text = text.strip().strip('"')
    reply = split_reply(text)
    usual = 451 if later else 552 if text.startswith("message too big") else 550
    code = reply.code or (int(reply.status[0] + "50") if reply.status else usual)
    sender = _SENDER.search(rest[: found.start()] + " ")
    case = Case(reply.text, code, reply.status, stage=_REFUSED_STAGE.get(what) or stage_of(what))
    if what == "RCPT":
        case = case._replace(recipient=address or "")
    if sender is not None or what in ("MAIL", "from"):
        case = case._replace(sender=sender[1] if sender else address or "")
    return Found("in", case, peer=_peer(rest))


def _synchronization(rest: str) -> Found:
    early = "without waiting for greeting" in rest
    text = rest.partition("(")[2].partition(")")[0]
    case = Case(text, error="early-talker" if early else "pipelined-unoffered", stage="ehlo")
    return Found("in", case, peer=_peer(rest))


def _login(rest: str) -> Found | None:
    found = _AUTH.match(rest)
    if found is None:
        return None
    reply = split_reply(found[3])
    text, _, user = reply.text.partition(" (set_id=")
    case = Case(text, reply.code, reply.status, stage="auth", sender=user.removesuffix(")"))
    return Found("in", case, peer=_peer(rest))


def _sender(rest: str) -> Found | None:
    found = _VERIFY.search(rest)
    if found is None:
        return None
    text = f"sender verify {found[1]}" + (f": {found[3]}" if found[3] else "")
    case = Case(text, 550 if found[1] == "fail" else 451, stage="mail", sender=found[2])
    return Found("in", case, peer=_peer(rest))


def _tls(rest: str) -> Found:
    outgoing = " connection to " in rest
    case = Case(rest, error="tls-failed" if outgoing else "client-tls-failed", stage="starttls")
    return Found("out" if outgoing else "in", case, peer=_peer(rest))


def _lost(rest: str) -> Found:
    low = rest.lower()
    error = "client-timed-out" if "timeout" in low else "client-lost"
    stage: Stage = "message" if "data" in low else "ehlo"
    return Found("in", Case(rest.partition(" from ")[0], error=error, stage=stage), peer=_peer(rest))


def _dropped(rest: str) -> Found:
    text = rest[rest.find("too ") :]
    if "connections" in text:
        return Found("in", Case(text, 421, stage="banner"), peer=_peer(rest))
    return Found("in", Case(text, error="too-many-errors", stage="ehlo"), peer=_peer(rest))


def _syntax(rest: str) -> Found:
    unknown = "unrecognized command" in rest
    case = Case(rest.partition(" H=")[0], error="not-smtp" if unknown else "wrong-syntax-by-client", stage="ehlo")
    return Found("in", case, peer=_peer(rest))


def _protocol(rest: str) -> Found:
    command = rest.partition('"')[2].partition('"')[0]
    text = rest.rpartition("] ")[2]
    case = Case(text, error="wrong-order-by-client", stage=stage_of(command) or "ehlo")
    return Found("in", case, peer=_peer(rest))


def _nameless(rest: str) -> Found | None:
    found = _NAMELESS.search(rest)
    if found is None:
        return None
    return Found("in", Case(found[0], stage="banner"), peer=found[2] or found[1])


def _peer(rest: str) -> str:
    found = _CLIENT.search(rest)
    return "" if found is None else found[1] or found[3]


_READERS = (
    ("authenticator failed", _login),
    ("authenticator temporarily failed", _login),
    ("rejected ", _rejected),
    ("sender verify ", _sender),
    ("TLS error on", _tls),
    ("unexpected disconnection", _lost),
    ("lost while reading", _lost),
    ("SMTP command timeout", _lost),
    ("SMTP data timeout", _lost),
    ("SMTP syntax error", _syntax),
    ("SMTP protocol error", _protocol),
    ("dropped: too", _dropped),
    ("refused: too", _dropped),
    ("no host name found", _nameless),
    ("no IP address found", _nameless),
)
