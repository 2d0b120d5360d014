"""What a lab server takes and what it refuses, and what it has received."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from ehlo.lab.persona import Persona
from ehlo.lab.tables import ScenarioError
from ehlo.smtp.address import Mailbox, Path
from ehlo.transcript.transcript import Transcript

if TYPE_CHECKING:
    from email.message import EmailMessage

#: RFC 5321 §4.5.1: every domain has a postmaster.
POSTMASTER = "postmaster"

#: Mechanisms by which a password or token is told, so that any can be accepted.
TOLD = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "ANONYMOUS")


class Limits(NamedTuple):
    """Bounds on what clients may use; 0 is the persona's own, or none.

    `sessions` at once, `per_client` of them from one address; `size` octets a message, `recipients` a transaction,
    `messages`, `commands` and refusals (`errors`) a session; `idle` seconds between commands, `seconds` a session;
    `memory` is what the unfinished messages of all sessions may take, in octets.
    """

    sessions: int = 5000
    per_client: int = 0
    size: int = 0
    recipients: int = 0
    messages: int = 0
    commands: int = 0
    errors: int = 0
    #: RFC 5321 §4.5.3.2.7: a server waits at least five minutes for the next command.
    idle: float = 300.0
    seconds: float = 0.0
    memory: int = 1_000_000_000


class Policy(NamedTuple):
    """Who may write to whom. Addresses are in lower case.

    `mailboxes` are those that exist, at `domains` that the server is responsible for; with
    `any_recipient` everything is taken. `aliases` lead to other mailboxes; `quotas` say how many messages a mailbox
    holds, whatever address it came to. `refused_senders` are turned away at MAIL.

    `users` maps names to passwords; AUTH with these `mechanisms` is offered when there are any, or with `any_login`,
    which takes every name and password. It is offered under TLS alone, unless `auth_in_clear`. `auth_required`,
    `tls_required` refuse MAIL without; with `own_senders` a sender must be who has logged in.

    `extensions` are further keyword lines of the EHLO reply, `xclient` offers XCLIENT. `bare_lf` in a message is kept
    as it is, refused, or taken for a line ending ("lenient", which lets messages be smuggled).
    """

    domains: frozenset[str] = frozenset({"example.com"})
    mailboxes: frozenset[str] = frozenset({"recipient@example.com"})
    any_recipient: bool = False
    aliases: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    quotas: Mapping[str, int] = MappingProxyType({})
    refused_senders: frozenset[str] = frozenset()
    users: Mapping[str, str] = MappingProxyType({})
    any_login: bool = False
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    auth_in_clear: bool = False
    auth_required: bool = False
    own_senders: bool = False
    tls_required: bool = False
    extensions: tuple[str, ...] = ()
    xclient: bool = False
    bare_lf: Literal["keep", "refuse", "lenient"] = "keep"
    limits: Limits = Limits()

    @property
    def offered(self) -> tuple[str, ...]:
        """The mechanisms of AUTH that are offered."""
        if self.any_login:
            return tuple(name for name in self.mechanisms if name in TOLD)
        return self.mechanisms if self.users else ()

    def refusal(self, mailbox: Mailbox) -> str | None:
        """The situation (a key of `Persona.replies`) in which a recipient is refused, or None."""
        if self.any_recipient or mailbox.domain is None:
            return None
        if mailbox.domain.lower() not in self.domains:
            return "relay-denied"
        address = self._name_of(mailbox)
        if address.startswith(f"{POSTMASTER}@") or address in self.mailboxes or address in self.aliases:
            return None
        return "mailbox-unknown"

    def deliveries(self, mailbox: Mailbox) -> frozenset[str]:
        """The mailboxes that mail for an address goes to, at the end of all aliases."""
        found: set[str] = set()
        left, seen = [self._name_of(mailbox)], set[str]()
        while left:
            address = left.pop()
            if address in self.aliases and address not in seen:
                targets = [self._known_as(target) for target in self.aliases[address]]
                # An alias may lead to the mailbox of its own name, besides others.
                found |= {address} & set(targets)
                left += set(targets) - {address}
            elif address not in seen:
                found.add(address)
            seen.add(address)
        return frozenset(found)

    def _name_of(self, mailbox: Mailbox) -> str:
        return self._known_as(f"{mailbox.unquoted}@{mailbox.domain or ''}".lower())

    def _known_as(self, address: str) -> str:
        """What the mailbox of an address is called here."""
        if address in self.mailboxes or address in self.aliases:
            return address
        # RFC 5233: what stands behind a plus is the mailbox's own business.
        local_part, _, domain = address.rpartition("@")
        return f"{local_part.partition('+')[0]}@{domain}"


def check_policy(policy: Policy, persona: Persona, *, tls_port: bool) -> None:
    """What is asked of clients must be possible for them; `tls_port`: there is a port with TLS from the start.

    Raises `ScenarioError`.
    """
    if policy.any_login and not policy.offered:
        raise ScenarioError(f"Every login is taken by {', '.join(TOLD)} alone: offer one of them with --mechanism.")
    if policy.auth_required and not policy.offered:
        raise ScenarioError("A login is required, and nobody can log in: there is no --user and no --any-login.")
    # At a port with TLS from the start it is not missed.
    if policy.tls_required and not tls_port and "STARTTLS" not in (*persona.keywords, *policy.extensions):
        raise ScenarioError(f"TLS is required, and the persona {persona.name} has no STARTTLS: it needs --tls-port.")


class Envelope(NamedTuple):
    """A message that is taken, on its way to the store; the fields are those of `Message`."""

    id: str
    sender: Path
    recipients: tuple[Path, ...]
    content: bytes
    session: int = 0
    client: str = ""
    user: str = ""


class Message(NamedTuple):
    """A message that the lab took. `content` is what came before the dot, without dot-stuffing; `session` is the
    number of the session that brought it, `client` its address."""

    id: str
    sender: Path
    recipients: tuple[Path, ...]
    content: bytes
    transcript: Transcript
    session: int = 0
    client: str = ""
    user: str = ""

    @property
    def email(self) -> EmailMessage:
        """The message, parsed by the standard library."""
        from email import message_from_bytes
        from email.policy import SMTPUTF8

        return message_from_bytes(self.content, policy=SMTPUTF8)

    @property
    def subject(self) -> str:
        """The subject, decoded; empty if there is none."""
        from ehlo.lab.letter import summarize

        return summarize(self.content).subject

    @property
    def text(self) -> str:
        """The text for its reader: the parts in plain text, or else what the HTML shows."""
        from ehlo.lab.letter import read_letter
        from ehlo.mime import plain_text

        letter = read_letter(self.content)
        return letter.text or plain_text(letter.html)
