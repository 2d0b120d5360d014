"""Servers that speak something else than SMTP: how they begin, and how programs tell of such a greeting.

The rules about them (`interception.toml`) know them by the line that came in the place of a reply.
"""

from __future__ import annotations

import re

from ehlo.explain.case import Case

#: How HTTP, IMAP, POP3 and SSH begin.
FOREIGN = re.compile(
    r"HTTP/\d|<!DOCTYPE html|<html|\* (?:OK|BYE|PREAUTH)\b|\+OK\b|-ERR\b|SSH-\d", re.IGNORECASE
)  # fmt: skip

#: Go, nodemailer, aiosmtplib and Ruby quote the line.
_QUOTED = re.compile(
    r"(?:short response: |invalid response code: |Invalid greeting\. response="
    r"|Malformed SMTP response(?: line)?: b?['\"]|Net::SMTPUnknownError(?:: |\s?\())(?P<line>[^\n'\")]{1,300})"
)
#: smtplib takes four characters off and calls the code -1.
_CUT = re.compile(r"\(-1, b?['\"](?P<rest>[^\n'\"]{0,300})")
_CUT_OFF = (
    (re.compile(r"\[CAPABILITY|\S* ?IMAP"), "* OK "),
    (re.compile(r"/\d\.\d \d{3}"), "HTTP"),
    (re.compile(r"\d\.\d+-\w"), "SSH-"),
)


def foreign_server(line: str) -> Case:
    """The case of a server that sent this line in the place of its greeting."""
    seen = f"S: {line}"
    return Case(text=seen, error="no-reply-code", stage="banner", seen=seen)


def foreign_in(text: str) -> Case | None:
    """The foreign server that an exception tells of; None if it tells of none."""
    if found := _QUOTED.search(text):
        return foreign_server(found["line"]) if FOREIGN.match(found["line"]) else None
    found = _CUT.search(text)
    if found is None:
        return None
    rest = found["rest"]
    return foreign_server(next((before + rest for sign, before in _CUT_OFF if sign.match(rest)), rest))
