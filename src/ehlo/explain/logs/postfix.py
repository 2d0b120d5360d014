"""Postfix: deliveries that failed, and what smtpd, postscreen and cleanup refused or lost."""

from __future__ import annotations

import re

from ehlo.explain.case import Case
from ehlo.explain.logs.found import Direction, Found, failure, specific, split_reply, stage_of
from ehlo.smtp.stages import Stage

#: A line without any of these is of no interest.
NEEDLES = (
    b"status=bounced",
    b"status=deferred",
    b"status=undeliverable",
    b"status=expired",
    b"status=SOFTBOUNCE",
    b"reject: ",
    # Lost clients, time-outs, and all that postscreen calls a misdeed.
    b" after ",
    b"SSL_accept error",
    b"authentication failed: ",
    b"non-SMTP command",
    b"limit exceeded",
    b"said: ",
    b"refused to talk",
    b": connect to ",
    b"TLS library problem",
    b"connect to Milter service",
    b"SASL: Connect to ",
    b"fatal: ",
)

_DELIVERY = re.compile(
    r"(?:([0-9A-Za-z]{5,20}): )?to=<([^>]*)>,?(?: orig_to=<[^>]*>,)?(?: relay=([^\s,\[]+))?"
    r"(?:.* dsn=([245]\.\d{1,3}\.\d{1,3}))?"
)
_QUEUE = re.compile(r"([0-9A-Za-z]{5,20}): ")
_ANSWER = re.compile(
    r"(?:SASL authentication failed; )?(?:host|server) ([^\s\[]+)\[([^\]]*)\](?::\d+)?"
    r" (said|refused to talk to me):? (.*)",
    re.DOTALL,
)
#: A socket of the machine, where the address of a server would stand.
_SOCKET = re.compile(r"\[([^\]\s]*/[^\]\s]*)\]")
_CLIENT = r"([^\s\[]*)\[([^\]]*)\](?::\d+)?"
_REJECT = re.compile(
    rf"(?:(\w+): )?(?:milter-|proxy-)?reject: ([A-Za-z-]+(?: [a-z-]+)*) from {_CLIENT}: (.*)", re.DOTALL
)
_CONTENT = re.compile(rf"(?:(\w+): )reject: (header|body|mime-header|nested-header) (.*) from {_CLIENT}; from=<(.*)")
_ENVELOPE = re.compile(r"([^>]*)>,?(?: to=<([^>]*)>)?")
_LOST = re.compile(
    rf"(lost connection|timeout|too many errors|improper command pipelining) after ([A-Z-]+).* from {_CLIENT}"
)
_SSL = re.compile(rf"SSL_accept error from {_CLIENT}: (.*)")
_SASL = re.compile(rf"{_CLIENT}: SASL ([\w-]+) authentication failed: (.*?)(?:, sasl_username=(.*))?$")
_NON_SMTP = re.compile(rf"non-SMTP command from {_CLIENT}: (.*)")
_LIMIT = re.compile(rf"([A-Z][\w ]* limit exceeded): (?:(\d+) )?from {_CLIENT}")
_POSTSCREEN = re.compile(
    r"(PREGREET|HANGUP|COMMAND PIPELINING|BARE NEWLINE)\b.* (?:after|from) .*\[([0-9A-Fa-f:.]+)\]:\d+(?:: (.*))?"
)
#: What a client did, and the error that stands for it.
_MISDEEDS = {
    "lost connection": "client-lost",
    "timeout": "client-timed-out",
    "too many errors": "too-many-errors",
    "improper command pipelining": "pipelined-unoffered",
}


#: Parts of the mail server that do not answer it: no other server or client is to blame.
_OWN_TROUBLE: tuple[tuple[str, str, Stage], ...] = (
    ("warning: connect to Milter service", "milter-unreachable", "mail"),
    ("warning: SASL: Connect to ", "sasl-unreachable", "connect"),
)

#: Programs of Postfix that are clients; of all others clients are the other side.
_CLIENTS = frozenset({"smtp", "lmtp"})


def read(message: str, program: str = "") -> Found | None:
    """What a line of a program says, without its prefix; None where that is nothing of interest."""
    for words, error, stage in _OWN_TROUBLE:
        if message.startswith(words):
            return Found("in", Case(message.removeprefix("warning: "), error=error, stage=stage))
    if message.startswith(("warning: TLS library problem", "fatal: ")):
        return _trouble(message, "out" if program.rpartition("/")[2] in _CLIENTS else "in")
    at = message.find(" status=")
    if at >= 0 and (found := _DELIVERY.match(message[:at])) is not None:
        return _delivery(found, message[at + 8 :])
    if "reject: " in message:
        return _rejected(message)
    if "status=expired" in message:
        return _expired(message)
    for needle, reader in _READERS:
        if needle in message:
            return reader(message)
    return None


def _delivery(head: re.Match[str], tail: str) -> Found | None:
    outcome, _, reason = tail.partition(" (")
    if outcome.startswith(("sent", "deliverable", "filtered")):
        return None
    queue, recipient, relay, dsn = head.groups()
    case, peer = _reason(reason.removesuffix(")"), dsn or "")
    if not peer and relay and relay not in ("none", "local", "virtual"):
        peer = relay
    return Found("out", case._replace(recipient=recipient, server=peer), queue or "", peer)


def _reason(reason: str, dsn: str) -> tuple[Case, str]:
    """What stands in the parentheses behind status=, and which server it tells of."""
    while reason.startswith("delivery temporarily suspended: "):
        reason = reason[32:]
    answer = _ANSWER.match(reason)
    if answer is not None:
        stage: Stage | None = "banner" if answer[3] != "said" else None
        said, _, where = answer[4].rpartition(" (in reply to ")
        if said:
            stage = stage_of(where.removesuffix(")").removesuffix(" command"))
        elif reason.startswith("SASL"):
            stage = "auth"
        reply = split_reply(said or answer[4])
        status = reply.status or specific(dsn)
        return Case(reply.text, reply.code, status, stage=stage, server=answer[1]), answer[1]
    error, stage = failure(reason)
    peer = ""
    for word in ("connect to ", "conversation with ", "connection with ", "by host ", "SSL session: ", "to server "):
        _, _, rest = reason.partition(word)
        if rest:
            peer = re.split(r"[\[\s:]", rest, maxsplit=1)[0]
            break
    if error == "no-such-socket" and (socket := _SOCKET.search(reason)):
        peer = socket[1]
    if not error and "exceeds size limit" in reason:
        stage = "mail"
    return Case(reason, 0, specific(dsn), error=error, stage=stage, server=peer), peer


def _expired(message: str) -> Found:
    queue = _QUEUE.match(message)
    sender = re.search(r"from=<([^>]*)>", message)
    case = Case(
        "expired, returned to sender", 0, "5.4.7", error="expired", stage="connect", sender=sender[1] if sender else ""
    )
    return Found("out", case, queue[1] if queue else "")


def _attempt(message: str) -> Found | None:
    """A server that answered no, after which another one was tried."""
    queue = _QUEUE.match(message)
    rest = message[queue.end() :] if queue else message
    if not _ANSWER.match(rest) and not rest.startswith("connect to "):
        return None
    case, peer = _reason(rest, "")
    return Found("out", case, queue[1] if queue else "", peer) if case.code >= 400 or case.error else None


def _rejected(message: str) -> Found | None:
    found = _REJECT.match(message)
    if found is None:
        return _content(message)
    queue, command, name, address, rest = found.groups()
    said, _, envelope = rest.rpartition("; from=<")
    sender = recipient = ""
    if said:
        parts = _ENVELOPE.match(envelope)
        if parts is not None:
            sender, recipient = parts[1], parts[2] or ""
    else:
        said = rest
        only_to = re.search(r"; to=<([^>]*)>", rest)
        if only_to is not None:
            said, recipient = rest[: only_to.start()], only_to[1]
    reply = split_reply(said)
    stage = stage_of(command)
    case = Case(reply.text, reply.code, reply.status, stage=stage, recipient=recipient, sender=sender)
    if not reply.code and not reply.status and stage == "banner":
        # postscreen's words for 421 are not a reply.
        case = case._replace(code=421)
    return Found("in", case, "" if queue in (None, "NOQUEUE") else queue, _peer(name, address))


def _content(message: str) -> Found | None:
    found = _CONTENT.match(message)
    if found is None:
        return None
    queue, _, _, name, address, rest = found.groups()
    envelope, _, said = rest.partition(": ")
    parts = _ENVELOPE.match(envelope)
    reply = split_reply(said)
    case = Case(reply.text, reply.code, reply.status, stage="message")
    if parts is not None:
        case = case._replace(sender=parts[1], recipient=parts[2] or "")
    return Found("in", case, queue, _peer(name, address))


def _lost(message: str) -> Found | None:
    found = _LOST.search(message)
    if found is None:
        return None
    what, command, name, address = found.groups()
    stage = stage_of(command)
    if command == "DATA" and what != "improper command pipelining":
        # The message was on its way.
        stage = "message"
    case = Case(f"{what} after {command}", error=_MISDEEDS[what], stage=stage or "ehlo")
    return Found("in", case, _queue(message), _peer(name, address))


def _queue(message: str) -> str:
    queue = _QUEUE.match(message)
    return "" if queue is None or queue[1] == "warning" else queue[1]


def _tls(message: str) -> Found | None:
    found = _SSL.search(message)
    if found is None:
        return None
    case = Case(f"SSL_accept error: {found[3]}", error="client-tls-failed", stage="starttls")
    return Found("in", case, peer=_peer(found[1], found[2]))


def _login(message: str) -> Found | None:
    found = _SASL.search(message)
    if found is None:
        return None
    name, address, mechanism, reason, user = found.groups()
    busy = "connection lost" in reason.lower() or "temporary" in reason.lower()
    case = Case(
        f"SASL {mechanism} authentication failed: {reason}",
        454 if busy else 535,
        "4.7.0" if busy else "5.7.8",
        stage="auth",
        sender=user or "",
    )
    return Found("in", case, peer=_peer(name, address))


def _trouble(message: str, direction: Direction) -> Found:
    """What a program says of itself, and of no client or server: OpenSSL's errors, and why it stopped."""
    if message.startswith("fatal: "):
        return Found(direction, Case(message, error="server-stopped", stage="connect"))
    error = "tls-failed" if direction == "out" else "client-tls-failed"
    return Found(direction, Case(message.removeprefix("warning: "), error=error, stage="starttls"))


def _no_smtp(message: str) -> Found | None:
    found = _NON_SMTP.search(message)
    if found is None:
        return None
    case = Case(f"non-SMTP command: {found[3]}", error="not-smtp", stage="ehlo")
    return Found("in", case, peer=_peer(found[1], found[2]))


def _limit(message: str) -> Found | None:
    found = _LIMIT.search(message)
    if found is None:
        return None
    what = found[1]
    stages: tuple[tuple[str, Stage], ...] = (("Connection", "banner"), ("Recipient", "rcpt"), ("TLS", "starttls"))
    stage: Stage = next((at for word, at in stages if word in what), "mail")
    case = Case(f"{what}: {found[2] or ''}".rstrip(": "), 421 if stage == "banner" else 450, "4.7.0", stage=stage)
    return Found("in", case, peer=_peer(found[3], found[4]))


def _postscreen(message: str) -> Found | None:
    found = _POSTSCREEN.match(message)
    if found is None:
        return None
    what, address, data = found.groups()
    error = {"HANGUP": "client-lost", "COMMAND PIPELINING": "pipelined-unoffered", "BARE NEWLINE": "bare-lf"}.get(what)
    stage: Stage = "banner" if what == "HANGUP" else "ehlo"
    text = f"{what}: {data}" if data else what
    return Found("in", Case(text, error=error or "early-talker", stage=stage), peer=address)


def _peer(name: str, address: str) -> str:
    return address if name in ("", "unknown") else name


_READERS = (
    (" said: ", _attempt),
    ("refused to talk", _attempt),
    ("connect to ", _attempt),
    ("authentication failed: ", _login),
    ("SSL_accept error", _tls),
    ("non-SMTP command", _no_smtp),
    ("limit exceeded", _limit),
    ("PREGREET", _postscreen),
    ("HANGUP", _postscreen),
    ("COMMAND PIPELINING", _postscreen),
    ("BARE NEWLINE", _postscreen),
    (" after ", _lost),
)
