"""What is wrong with a line before it is sent. A hint never stops anybody: a debugger lets you do wrong things.

No hint repeats what stands behind AUTH or answers a challenge, nor a line that may be such an answer: that may be a
password.
"""

from __future__ import annotations

from ehlo.smtp.capabilities import Capabilities
from ehlo.smtp.command import Command, CommandError, decode_base64, line_limit, parse_command
from ehlo.smtp.deviations import Deviation
from ehlo.smtp.parameters import check_parameter, extension_of
from ehlo.smtp.states import ALLOWED, VERBS, State

#: What a command belongs to that is no part of the basic protocol.
EXTENSION_OF_VERB = {
    "STARTTLS": "STARTTLS",
    "AUTH": "AUTH",
    "BDAT": "CHUNKING",
    "ETRN": "ETRN",
    "XCLIENT": "XCLIENT",
}


def hint(
    line: str,
    state: State,
    capabilities: Capabilities | None,
    *,
    encrypted: bool = False,
    smtputf8: bool = False,
    secret: bool = False,
) -> str:
    """One sentence about what is wrong with a command here and now; empty when nothing is.

    `capabilities` are the server's, None before EHLO. `smtputf8`: the sender of the transaction that is under
    way was given with that parameter. `secret`: a line that is no command may be a
    password.
    """
    if state is State.AUTH:
        # RFC 4954 §4: "*" gives up; an empty response is an empty line.
        return "" if line == "*" or decode_base64(line) is not None else "This is not base64; :b64 TEXT makes it so."
    if state is State.TLS:
        return "The server waits for a TLS handshake; :starttls makes it."
    try:
        command = parse_command(line.encode("utf-8", "surrogateescape") + b"\r\n")
    except CommandError as error:
        return str(error)
    verb = command.verb
    if verb not in VERBS:
        return "This is no command of SMTP." if secret else f"{verb} is no command of SMTP."
    return (
        misplaced(verb, state, capabilities, encrypted=encrypted)
        or _wrong_path(command)
        or _wrong_parameter(command, capabilities)
        or _wrong_letters(command, capabilities, smtputf8=smtputf8)
        or _wrong_login(command, capabilities)
        or _dangerous(command, encrypted=encrypted)
        or _too_long(line, verb)
    )


def misplaced(verb: str, state: State, capabilities: Capabilities | None, *, encrypted: bool = False) -> str:
    """One sentence about why a command should not be given here and now, whatever stands behind it; empty when it
    may be."""
    if verb not in ALLOWED[state]:
        return f"{verb} does not belong here: {state.value}."
    if verb == "STARTTLS" and encrypted:
        return "The connection is encrypted already."
    extension = EXTENSION_OF_VERB.get(verb)
    if extension is None or capabilities is None or extension in capabilities:
        return ""
    if verb == "AUTH" and "STARTTLS" in capabilities and not encrypted:
        return "The server does not offer AUTH in clear; it may after :starttls."
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


def _wrong_letters(command: Command, capabilities: Capabilities | None, *, smtputf8: bool) -> str:
    verb = command.verb
    if verb in ("EHLO", "HELO", "LHLO") and not command.argument.isascii():
        return f"The name behind {verb} must be ASCII (RFC 6531 §3.7.1)."
    mailbox = command.path.mailbox if command.path is not None else None
    if mailbox is None or not mailbox.needs_smtputf8:
        return ""
    if capabilities is not None and "SMTPUTF8" not in capabilities:
        return "The address has non-ASCII characters, and the server does not offer SMTPUTF8."
    if verb == "MAIL" and "SMTPUTF8" not in command.parameters:
        return "An address with non-ASCII characters needs the parameter SMTPUTF8 (RFC 6531 §3.4)."
    if verb == "RCPT" and not smtputf8:
        return "An address with non-ASCII characters needs SMTPUTF8 behind MAIL (RFC 6531 §3.4)."
    return ""


def _wrong_login(command: Command, capabilities: Capabilities | None) -> str:
    if command.verb != "AUTH":
        return ""
    mechanism, _, response = command.argument.partition(" ")
    if capabilities is not None and mechanism.upper() not in capabilities.auth:
        return f"The server does not offer that mechanism, but {' '.join(capabilities.auth) or 'none'}."
    if response and decode_base64(response) is None:
        return "What stands behind the mechanism is not base64 (RFC 4954 §4); :b64 TEXT makes it so."
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
