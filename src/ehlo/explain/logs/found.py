"""What a reader of one product's lines gives, and what the readers share."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ehlo.explain.case import Case
from ehlo.smtp.stages import STAGE_OF_VERB, Stage

Direction = Literal["in", "out"]

_REPLY = re.compile(r"\s*([2-5][0-5][0-9])(?:[ \-:]+|$)(?:([245]\.\d{1,3}\.\d{1,3})(?![\d.]):?\s*)?(.*)", re.DOTALL)
_STATUS = re.compile(r"\s*#?([245]\.\d{1,3}\.\d{1,3})(?![\d.]):?\s*(.*)", re.DOTALL)


class Found(NamedTuple):
    """One line's answer or failure. `peer` is the other side: the server for "out", the client for "in"."""

    direction: Direction
    case: Case
    queue: str = ""
    peer: str = ""


class Said(NamedTuple):
    """A reply as a log has it, taken apart."""

    code: int
    status: str
    text: str


def split_reply(text: str) -> Said:
    """Codes and text. Lines that a log has joined lose the codes that each of them began with."""
    found = _REPLY.match(text)
    if found is None:
        found = _STATUS.match(text)
        return Said(0, "", text.strip()) if found is None else Said(0, found[1], found[2].strip())
    code, status, said = found[1], found[2] or "", found[3]
    if text.lstrip()[3:4] == "-":
        said = re.sub(rf"(?:\s|\\n|^){code}[- ](?:{re.escape(status)}(?: |$))?", " ", said)
    return Said(int(code), status, said.strip())


def specific(status: str) -> str:
    """An enhanced status code that a log made up itself, "5.0.0", says nothing."""
    return "" if status[1:] == ".0.0" else status


#: Parts of a text in lower case, the error that they tell of, and the stage where that follows from it.
_FAILURES: tuple[tuple[str, str, Stage | None], ...] = (
    ("nullmx", "no-mail", "dns"),
    ("null mx", "no-mail", "dns"),
    ("indicated no smtp service", "no-mail", "dns"),
    ("loops back to m", "loops-back", "connect"),
    ("points to local host", "loops-back", "connect"),
    ("remote host address is the local host", "loops-back", "connect"),
    ("host found but no data record", "no-address", "dns"),
    ("host not found, try again", "dns-failed", "dns"),
    ("name lookup failure", "dns-failed", "dns"),
    ("name server timeout", "dns-failed", "dns"),
    ("host lookup did not complete", "dns-failed", "dns"),
    ("temporary failure in name resolution", "dns-failed", "dns"),
    ("temporary failure in mx lookup", "dns-failed", "dns"),
    ("host or domain name not found", "no-such-host", "dns"),
    ("name or service not known", "no-such-host", "dns"),
    ("nodename nor servname", "no-such-host", "dns"),
    ("host not found", "no-such-host", "dns"),
    ("host unknown", "no-such-host", "dns"),
    ("non-existent hosts", "no-such-host", "dns"),
    ("non-existent domain", "no-such-host", "dns"),
    ("domain does not exist", "no-such-host", "dns"),
    ("no mx found", "no-such-host", "dns"),
    ("smtputf8 is required", "smtputf8-not-offered", "mail"),
    ("tls is required, but was not offered", "starttls-not-offered", "starttls"),
    ("did not offer tls", "starttls-not-offered", "starttls"),
    ("does not support starttls", "starttls-not-offered", "starttls"),
    ("tls not offered", "starttls-not-offered", "starttls"),
    ("certificate not trusted", "next-certificate", "starttls"),
    ("certificate not verified", "next-certificate", "starttls"),
    ("certificate verif", "next-certificate", "starttls"),
    ("certificate has expired", "next-certificate", "starttls"),
    ("handshake fail", "tls-failed", "starttls"),
    ("tls fail", "tls-failed", "starttls"),
    ("tls: ", "tls-failed", "starttls"),
    ("tls error", "tls-failed", "starttls"),
    ("(ssl_connect)", "tls-failed", "starttls"),
    ("(gnutls_handshake)", "tls-failed", "starttls"),
    ("ssl_connect error", "tls-failed", "starttls"),
    ("no mechanism available", "no-common-mechanism", "auth"),
    ("retry timeout exceeded", "expired", None),
    ("after a long failure period", "expired", None),
    ("failing for a long time", "expired", None),
    ("]: no such file or directory", "no-such-socket", "connect"),
    ("connection refused", "refused", "connect"),
    ("no route to host", "unreachable", "connect"),
    ("is unreachable", "unreachable", "connect"),
    ("network unreachable", "unreachable", "connect"),
    ("host is down", "unreachable", "connect"),
    ("no route to destination", "unreachable", "connect"),
    ("reset by ", "reset", None),
    ("broken pipe", "reset", None),
    ("lost connection", "closed", None),
    ("connection lost", "closed", None),
    ("closed connection", "closed", None),
    ("connection closed", "closed", None),
    ("connection dropped", "closed", None),
    ("read error from", "closed", None),
    ("timed out", "timed-out", None),
    ("timeout", "timed-out", None),
    ("cannot assign requested address", "local-address", "connect"),
)
#: What was going on, in the words of Postfix, Exim and Sendmail; the first that fits wins.
_DOING: tuple[tuple[str, Stage], ...] = (
    ("end of data", "message"),
    ("message body", "message"),
    ("message data", "message"),
    ("end of message", "message"),
    ("initial", "banner"),
    ("greeting", "banner"),
    ("handshake", "ehlo"),
    ("starttls", "starttls"),
    ("mail from", "mail"),
    ("rcpt to", "rcpt"),
    ("data command", "data"),
    ("after data", "data"),
    ("auth", "auth"),
    ("ehlo", "ehlo"),
    ("helo", "ehlo"),
    ("lhlo", "ehlo"),
    ("quit", "quit"),
)


def failure(text: str, stage: Stage | None = None) -> tuple[str, Stage | None]:
    """The error below SMTP that a text tells of ("" for none), and where it happened."""
    low = text.lower()
    for part, error, where in _FAILURES:
        if part in low:
            return error, where or stage or doing(low) or "connect"
    return "", stage


def doing(low: str) -> Stage | None:
    """The stage that a text in lower case speaks of: "while sending MAIL FROM", "after RCPT TO"."""
    for word in ("while ", "after ", "in response to ", "in reply to ", "during "):
        _, _, rest = low.partition(word)
        if rest:
            return next((stage for part, stage in _DOING if part in rest), None)
    return None


#: What servers call the command that was the last one, or that they refused.
_COMMANDS: dict[str, Stage] = {
    **STAGE_OF_VERB,
    "CONNECT": "banner",
    "INITIAL": "banner",
    "STARTUP": "banner",
    "MAIL FROM": "mail",
    "RCPT TO": "rcpt",
    "END": "message",
    "END-OF-MESSAGE": "message",
    "END-OF-DATA": "message",
    "END OF DATA": "message",
    "BODY": "message",
    "HEADER": "message",
    "EOM": "message",
}


def stage_of(command: str) -> Stage | None:
    """The stage of a command as logs write it: `RCPT TO`, `END-OF-MESSAGE`, `data`."""
    upper = command.upper().strip()
    if upper.startswith("END OF"):
        return "message"
    return _COMMANDS.get(upper) or _COMMANDS.get(re.split(r"[\s:]", upper, maxsplit=1)[0])
