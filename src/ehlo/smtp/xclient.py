"""Attributes of XCLIENT, by which a client that may do so says whom the server shall take it for (Postfix's
XCLIENT_README)."""

from __future__ import annotations

from ehlo.smtp.parameters import decode_xtext, encode_xtext

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT", "REVERSE_NAME")
_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})


def xclient_attribute(name: str, value: str) -> str:
    """NAME=VALUE as it stands in the command. Raises `ValueError`, whose message is half a sentence."""
    name = name.upper()
    if name not in ATTRIBUTES:
        raise ValueError(f"there is no attribute {name}; there are {' '.join(ATTRIBUTES)}")
    if any(character in value for character in "\r\n\0"):
        raise ValueError("the value contains a line break")
    # IPv6 addresses have a prefix, and values are xtext.
    if name.endswith("ADDR") and ":" in value and not value.upper().startswith("IPV6:"):
        value = f"IPV6:{value}"
    return f"{name}={encode_xtext(value)}"


def xclient_values(argument: str) -> dict[str, str]:
    """The attributes behind XCLIENT with their values; empty is what is not known of the client.

    Raises `ParameterError` for a value that is not xtext.
    """
    words = (word.partition("=") for word in argument.split())
    known = {name.upper(): decode_xtext(value) for name, _, value in words}
    return {name: "" if value.upper() in _UNKNOWN else value for name, value in known.items()}
