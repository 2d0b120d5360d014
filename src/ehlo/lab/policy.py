"""What a lab server takes and what it refuses, and what it has received."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ehlo.smtp.address import Mailbox, Path
from ehlo.transcript.transcript import Transcript

#: RFC 5321 §4.5.1: every domain has a postmaster.
POSTMASTER = "postmaster"


class Policy(NamedTuple):
    """Who may write to whom. Addresses are in lower case.

    `mailboxes` are those that exist, at `domains` that the server is responsible for; with
    `any_recipient` everything is taken. `refused_senders` are turned away at MAIL. `users` maps
    names to passwords; AUTH with these `mechanisms` is offered, under TLS alone, when there are any.
    `extensions` are further keyword lines of the EHLO reply.
    """

    domains: frozenset[str] = frozenset({"example.com"})
    mailboxes: frozenset[str] = frozenset({"recipient@example.com"})
    any_recipient: bool = False
    refused_senders: frozenset[str] = frozenset()
    users: Mapping[str, str] = MappingProxyType({})
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    extensions: tuple[str, ...] = ()

    def refusal(self, mailbox: Mailbox) -> str | None:
        """The situation (a key of `Persona.replies`) in which a recipient is refused, or None."""
        if self.any_recipient or mailbox.domain is None:
            return None
        domain = mailbox.domain.lower()
        if domain not in self.domains:
            return "relay-denied"
        local_part = mailbox.unquoted.lower()
        if local_part == POSTMASTER or f"{local_part}@{domain}" in self.mailboxes:
            return None
        return "mailbox-unknown"


class Message(NamedTuple):
    """A message that the lab took. `content` is what came before the dot, without dot-stuffing."""

    id: str
    sender: Path
    recipients: tuple[Path, ...]
    content: bytes
    transcript: Transcript
