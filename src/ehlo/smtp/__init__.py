"""SMTP itself: grammar, replies, extensions, and the two ends of a session.

Law of this package: no I/O, no clock, no logging. Bytes go in, events come out; a client or a
server of any kind can be built on it (see `client.ClientConnection`, `server.ServerConnection`).
"""

from ehlo.smtp.address import NULL_PATH, AddressError, Mailbox, Path, parse_domain, parse_mailbox, parse_path
from ehlo.smtp.capabilities import Capabilities, parse_capabilities
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, CommandError, auth, ehlo, helo, mail, parse_command, rcpt
from ehlo.smtp.deviations import Deviation, LocalProtocolError, ProtocolError, RemoteProtocolError
from ehlo.smtp.reply import EnhancedStatus, Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.stages import STAGES, Stage
from ehlo.smtp.states import CONNECT, CONTENT, State

__all__ = [
    "CONNECT",
    "CONTENT",
    "NULL_PATH",
    "STAGES",
    "AddressError",
    "Capabilities",
    "ClientConnection",
    "Command",
    "CommandError",
    "Deviation",
    "EnhancedStatus",
    "LocalProtocolError",
    "Mailbox",
    "Path",
    "ProtocolError",
    "RemoteProtocolError",
    "Reply",
    "ServerConnection",
    "Stage",
    "State",
    "auth",
    "ehlo",
    "helo",
    "mail",
    "parse_capabilities",
    "parse_command",
    "parse_domain",
    "parse_mailbox",
    "parse_path",
    "rcpt",
]
