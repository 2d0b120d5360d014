"""What is wrong with a line before it is sent. A hint never stops anybody: a debugger lets you do wrong things."""

from __future__ import annotations

from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.command import Command, CommandError, line_limit, parse_command
from ehlo.smtp.deviations import Deviation
from ehlo.smtp.parameters import check_parameter, extension_of
from ehlo.smtp.states import ALLOWED, State

#: What a command belongs to that is no part of the basic protocol.
EXTENSION_OF_VERB = {
    "STARTTLS": "STARTTLS",
    "AUTH": "AUTH",
    "BDAT": "CHUNKING",
    "ETRN": "ETRN",
    "XCLIENT": "XCLIENT",
}
_KNOWN = frozenset().union(*ALLOWED.values())


def hint(line: str, state: State, capabilities: Capabilities | None, *, encrypted: bool = False) -> str:
    """One sentence about what is wrong with a command here and now; empty when nothing is.

    `capabilities` are the server's, None before EHLO.
    """
    if state is State.AUTH:
        return ""
    if state is State.TLS:
        return "The server waits for a TLS handshake; :starttls makes it."
    try:
        command = parse_command(line.encode("utf-8", "surrogateescape") + b"\r\n")
    except CommandError as error:
        return str(error)
    verb = command.verb
    if verb not in _KNOWN:
        return f"{verb} is no command of SMTP."
    if verb not in ALLOWED[state]:
        return f"{verb} does not belong here: {state.value}."
    return (
        _wrong_extension(verb, capabilities)
        or _wrong_path(command)
        or _wrong_parameter(command, capabilities)
        or _dangerous(command, encrypted=encrypted)
        or _too_long(line, verb)
    )


def _wrong_extension(verb: str, capabilities: Capabilities | None) -> str:
    extension = EXTENSION_OF_VERB.get(verb)
    if extension is None or capabilities is None or extension in capabilities:
        return ""
    return f"The server does not offer {extension}."


def _wrong_path(command: Command) -> str:
    if Deviation.SPACE_AFTER_COLON in command.deviations:
        return "No space may stand after the colon (RFC 5321 §3.3); many servers forgive it."
    if Deviation.NO_ANGLE_BRACKETS in command.deviations:
        return "The address belongs in angle brackets (RFC 5321 §4.1.2); many servers forgive it."
    return ""


def _wrong_parameter(command: Command, capabilities: Capabilities | None) -> str:
    for keyword, value in command.parameters.items():
        if wrong := check_parameter(command.verb, keyword, value):
            return wrong
        extension = extension_of(keyword, value)
        if capabilities is not None and extension not in capabilities:
            return f"{keyword} belongs to the extension {extension}, which the server does not offer."
    return ""


def _dangerous(command: Command, *, encrypted: bool) -> str:
    mechanism = command.argument.split(" ")[0].upper()
    if command.verb == "AUTH" and mechanism in ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER") and not encrypted:
        return f"AUTH {mechanism} lets everyone on the way read the password; :starttls first."
    if command.verb == "BDAT":
        return "The octets must follow at once; :chunk sends both."
    return ""


def _too_long(line: str, verb: str) -> str:
    limit = line_limit(verb)
    octets = len(line.encode("utf-8", "surrogateescape")) + 2
    return f"The line has {octets} octets; {limit} are allowed (RFC 5321 §4.5.3.1.4)." if octets > limit else ""
