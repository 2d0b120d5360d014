"""Messages from a template: a text with fields such as {to} and {n}."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ehlo.probe.message.compose import MessageError

#: The fields there are, with what they stand for.
FIELDS = {
    "from": "the sender's address",
    "to": "the recipients' addresses",
    "date": "the date and time, as a Date header has it",
    "message-id": "a new identifier, in angle brackets",
    "subject": "the subject given, or a default",
    "body": "the text given, or a default",
    "helo": "the name that the server is greeted with",
    "n": "the number of the message, from 1 on",
}
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}\r\n]*)\}|[{}]")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields filled in; {{ and }} are braces. Raises `MessageError`."""

    def value_of(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        name = found[1]
        if name is None or name not in values:
            known = " ".join(f"{{{field}}}" for field in values)
            raise MessageError(f"The template has {found[0]}; fields are {known}, and a brace is written twice.")
        return values[name]

    return _FIELD.sub(value_of, template)
