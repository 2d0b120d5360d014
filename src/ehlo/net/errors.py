"""What can go wrong below SMTP, each with a stable id that transcripts, rules and JSON use."""

from __future__ import annotations

import errno
import socket

from ehlo.smtp.stages import Stage

#: id -> what happened, as the beginning of a sentence for a person.
NETWORK_ERRORS = {
    "no-such-host": "the name does not exist in the DNS",
    "no-address": "the name exists, but has no address of the kind asked for",
    "dns-failed": "the DNS did not answer the question",
    "no-mail": "the domain says with a null MX that it takes no mail",
    "refused": "nothing listens on that port, or a firewall said no",
    "timed-out": "no answer came in time",
    "unreachable": "there is no route to that address",
    "reset": "the other side cut the connection",
    "closed": "the other side closed the connection",
    "local-address": "the source address cannot be used on this machine",
    "command-ended": "the command has ended",
    "connect-failed": "the connection could not be made",
    "not-started": "the command could not be started",
    "no-such-socket": "there is no socket of that name",
    "not-permitted": "the system does not permit it",
    "tls-failed": "the TLS handshake failed",
    "tls-cut": "the other side hung up in the TLS handshake",
    "tls-timed-out": "the TLS handshake did not end in time",
}


class SessionError(Exception):
    """The session cannot go on as it was. `error` is an id of `NETWORK_ERRORS` or the value of a
    `Deviation`; `message` is one sentence with the particulars."""

    def __init__(self, error: str, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.stage = stage
        self.message = message


_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timed-out",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ENOENT: "no-such-socket",
    errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted",
    errno.EADDRNOTAVAIL: "local-address",
    errno.EADDRINUSE: "local-address",
    # A source address of the other family.
    errno.EINVAL: "local-address",
    errno.EAFNOSUPPORT: "unreachable",
}


def classify_os_error(error: OSError, default: str) -> str:
    """The id for what the operating system reported."""
    if isinstance(error, TimeoutError):
        return "timed-out"
    return _BY_ERRNO.get(error.errno or 0, default)


def classify_lookup_error(error: socket.gaierror) -> str:
    """The id for a failed look-up. Resolvers differ in how they say that a name has no address."""
    if error.errno == socket.EAI_NONAME:
        return "no-such-host"
    if error.errno in (getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)):
        return "no-address"
    return "dns-failed"
