"""Parameters of MAIL and RCPT (RFC 5321 §4.1.2, "esmtp-param"), and their encodings.

`PARAMETERS` is the table of those that are registered: where each may stand, the shape of its
value and the extension that must have been offered. One line there teaches the reader a new one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Keyword in upper case to value; None where there is no "=".
Parameters = dict[str, str | None]

#: No registered keyword comes near it, and a reply that repeats one still fits its line.
MAX_KEYWORD = 64

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*")
#: RFC 5321 §4.1.2 esmtp-value, with the UTF-8 of RFC 6531 §3.3.
_VALUE = re.compile(r"[^\x00-\x20=\x7f]+")
_XTEXT = r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})+"


class ParameterError(ValueError):
    """A parameter that cannot stand as it does. The message is one sentence."""


class Parameter(NamedTuple):
    """What the standard says about one parameter. `value` None: it takes no value. `form` says in words what
    `value` says as a pattern."""

    verbs: tuple[str, ...]
    value: str | None
    extension: str
    source: str
    form: str = ""


PARAMETERS: dict[str, Parameter] = {
    "SIZE": Parameter(("MAIL",), r"[0-9]{1,20}", "SIZE", "RFC 1870 §5", "a number of octets"),
    "BODY": Parameter(
        ("MAIL",),
        r"(?i:7BIT|8BITMIME|BINARYMIME)",
        "8BITMIME",
        "RFC 6152 §2",
        "7BIT, 8BITMIME or BINARYMIME",
    ),
    "SMTPUTF8": Parameter(("MAIL", "VRFY", "EXPN"), None, "SMTPUTF8", "RFC 6531 §3.4"),
    "RET": Parameter(("MAIL",), r"(?i:FULL|HDRS)", "DSN", "RFC 3461 §4.3", "FULL or HDRS"),
    "ENVID": Parameter(("MAIL",), _XTEXT, "DSN", "RFC 3461 §4.4", "a text that is not empty, as xtext"),
    "NOTIFY": Parameter(
        ("RCPT",),
        r"(?i:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})",
        "DSN",
        "RFC 3461 §4.1",
        "never, or some of success,failure,delay with commas between",
    ),
    "ORCPT": Parameter(
        ("RCPT",),
        rf"(?i:utf-8;\S+|[a-z0-9\-]+;{_XTEXT})",
        "DSN",
        "RFC 3461 §4.2",
        "an address, as xtext behind its type: rfc822;someone@example.com",
    ),
    "AUTH": Parameter(("MAIL",), rf"(?:<>|{_XTEXT})", "AUTH", "RFC 4954 §5", "an address as xtext, or <>"),
    "REQUIRETLS": Parameter(("MAIL",), None, "REQUIRETLS", "RFC 8689 §2"),
    "MT-PRIORITY": Parameter(("MAIL",), r"-?[0-9]", "MT-PRIORITY", "RFC 6710 §4.1", "a number from -9 to 9"),
    "BY": Parameter(
        ("MAIL",),
        r"-?[0-9]{1,9};(?i:[RN]T?)",
        "DELIVERBY",
        "RFC 2852 §4",
        "SECONDS;R to have it returned then or SECONDS;N to be told, and T behind that for a trace: 3600;R",
    ),
    "HOLDFOR": Parameter(
        ("MAIL",), r"[0-9]{1,9}", "FUTURERELEASE", "RFC 4865 §5", "a number of seconds, of at most 9 digits"
    ),
    "HOLDUNTIL": Parameter(
        ("MAIL",),
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+\-][0-9]{2}:[0-9]{2})",
        "FUTURERELEASE",
        "RFC 4865 §5",
        "a date and time such as 2030-01-01T08:00:00Z",
    ),
    "PRDR": Parameter(("MAIL",), None, "PRDR", "draft-hall-prdr §3.1"),
    "RRVS": Parameter(
        ("RCPT",), r"[0-9TZ:;+\-.CR]+", "RRVS", "RFC 7293 §3.1", "a date and time such as 2030-01-01T08:00:00Z"
    ),
}


def parse_parameters(text: str) -> Parameters:
    """Read what follows the path. Raises `ParameterError` on a bad shape or a repeated keyword."""
    parameters: Parameters = {}
    for word in text.replace("\t", " ").split(" "):
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword) or len(keyword) > MAX_KEYWORD:
            raise ParameterError(f"'{keyword[:MAX_KEYWORD]}' is not a parameter keyword.")
        if equals and not _VALUE.fullmatch(value):
            raise ParameterError(f"{keyword.upper()}= is not followed by a value that may stand there.")
        if keyword.upper() in parameters:
            raise ParameterError(f"{keyword.upper()} is given twice.")
        parameters[keyword.upper()] = value if equals else None
    return parameters


def format_parameters(parameters: Parameters) -> str:
    """The reverse of `parse_parameters`, with a space before each. Raises `ParameterError`."""
    if not parameters:
        return ""
    words = []
    for keyword, value in parameters.items():
        if not _KEYWORD.fullmatch(keyword) or len(keyword) > MAX_KEYWORD:
            raise ParameterError(f"'{keyword[:MAX_KEYWORD]}' is not a parameter keyword.")
        if value is not None and not _VALUE.fullmatch(value):
            raise ParameterError(f"The value of {keyword} has a character that may not stand there.")
        words.append(f" {keyword}" if value is None else f" {keyword}={value}")
    return "".join(words)


def check_parameter(verb: str, keyword: str, value: str | None) -> str | None:
    """One sentence about what is wrong with a parameter, or None. An unknown keyword is wrong."""
    known = PARAMETERS.get(keyword)
    if known is None:
        return f"{keyword} is not a parameter that is known here."
    if verb not in known.verbs:
        return f"{keyword} belongs to {' or '.join(known.verbs)}, not to {verb} ({known.source})."
    if known.value is None:
        return None if value is None else f"{keyword} takes no value ({known.source})."
    if value is None or not re.fullmatch(known.value, value):
        return f"The value of {keyword} is {known.form} ({known.source})."
    return None


def extension_of(keyword: str, value: str | None) -> str:
    """The extension that a parameter belongs to; empty when the parameter is not known."""
    if keyword == "BODY" and value is not None and value.upper() == "BINARYMIME":
        # RFC 3030 §3: the value belongs to an extension of its own.
        return "BINARYMIME"
    known = PARAMETERS.get(keyword)
    return known.extension if known is not None else ""


def encode_xtext(text: str) -> str:
    """xtext, in which ENVID, ORCPT and AUTH= carry arbitrary text (RFC 3461 §4)."""
    return "".join(
        char if "!" <= char <= "~" and char not in "+=" else "".join(f"+{byte:02X}" for byte in char.encode())
        for char in text
    )


def decode_xtext(text: str) -> str:
    """The reverse of `encode_xtext`. Raises `ParameterError`."""
    if text and not re.fullmatch(_XTEXT, text):
        raise ParameterError("The text is not xtext (RFC 3461 §4).")
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("ascii"))
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ParameterError("The xtext does not hold UTF-8.") from None
