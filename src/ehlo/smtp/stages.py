"""The stages of a session, in order (see the table of words in docs/architecture.md)."""

from __future__ import annotations

from typing import Literal

Stage = Literal[
    "dns",
    "connect",
    "tls",
    "banner",
    "ehlo",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "message",
    "quit",
]

STAGES: tuple[Stage, ...] = (
    "dns",
    "connect",
    "tls",
    "banner",
    "ehlo",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "message",
    "quit",
)

#: The stage a command belongs to. Commands that are not here (NOOP, RSET, VRFY ...) belong to
#: the stage at which they are given.
STAGE_OF_VERB: dict[str, Stage] = {
    "EHLO": "ehlo",
    "HELO": "ehlo",
    "LHLO": "ehlo",
    "XCLIENT": "ehlo",
    "STARTTLS": "starttls",
    "AUTH": "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "BDAT": "message",
    "BDAT LAST": "message",
    "QUIT": "quit",
}
