"""The npm package smtp-server, which nodemailer's makers test their client with, run by Node.js.

``.ci/run`` puts it into the cache; ``smtp_server.js`` is the small program that starts it. It does
PROXY, XCLIENT, LMTP and XOAUTH2 in its own way, which no other peer shares code with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from .certificates import Certificate
from .debian import PeerMissing, cache_folder, program
from .processes import free_port, home, running
from .world import (
    FULL_MAILBOX,
    HOST,
    MAILBOXES,
    PASSWORD,
    REFUSED_SENDER,
    SERVER_NAME,
    SIZE_LIMIT,
    USER,
    MailServer,
)

PACKAGE = "smtp-server"
DRIVER = Path(__file__).with_name("smtp_server.js")
TOKEN = "a token that no issuer has signed"


@contextlib.contextmanager
def npm_smtp_server(
    certificate: Certificate | None = None,
    *,
    size_limit: int = SIZE_LIMIT,
    user: str = USER,
    password: str = PASSWORD,
    ask_certificate: bool = False,
) -> Iterator[MailServer]:
    """Run smtp-server; with a certificate it offers STARTTLS, and TLS on connect on a second port.

    Further ports are for those who come through a proxy (version 1 only), for XCLIENT and for LMTP,
    which is also spoken on a socket. AUTH is offered to all, for one user, with :data:`TOKEN` for
    XOAUTH2. One mailbox, ``full@example.com``, takes recipients and no content.
    """
    node = program("node")
    modules = cache_folder() / PACKAGE / "node_modules"
    if not (modules / PACKAGE / "package.json").exists():
        raise PeerMissing(PACKAGE)
    with home("npm") as folder:
        port, proxy_port, xclient_port, lmtp_port = (free_port() for _ in range(4))
        tls_port = free_port() if certificate else None
        lmtp_socket = folder / "mail" / "lmtp"
        mailboxes = (*MAILBOXES, FULL_MAILBOX)
        for mailbox in mailboxes:
            (folder / "mail" / mailbox / "new").mkdir(parents=True)
        listeners: list[tuple[int | str, dict[str, bool]]] = [
            (port, {}),
            (proxy_port, {"useProxy": True}),
            (xclient_port, {"useXClient": True, "useXForward": True}),
            (lmtp_port, {"lmtp": True}),
            (str(lmtp_socket), {"lmtp": True}),
        ]
        if tls_port is not None:
            listeners.append((tls_port, {"secure": True}))
        world: dict[str, object] = {
            "host": HOST,
            "name": SERVER_NAME,
            "size": size_limit,
            "mail": str(folder / "mail"),
            "mailboxes": mailboxes,
            "fullMailbox": FULL_MAILBOX,
            "refusedSender": REFUSED_SENDER,
            "user": user,
            "password": password,
            "token": TOKEN,
            "askCertificate": ask_certificate,
            "listeners": listeners,
        }
        if certificate:
            files = certificate.copy_to(folder / "tls")
            world |= {"chain": str(files.chain), "key": str(files.key), "authority": str(files.authority)}
        log_file = folder / "log"
        with running(
            [node, DRIVER, json.dumps(world)],
            ports=[number for number in (port, tls_port, proxy_port, xclient_port, lmtp_port) if number is not None],
            output=log_file,
            environment={"NODE_PATH": str(modules)},
        ):
            maildirs = {mailbox: folder / "mail" / mailbox for mailbox in MAILBOXES}
            yield MailServer(
                HOST,
                port,
                tls_port,
                log_file,
                maildirs,
                proxy_port=proxy_port,
                xclient_port=xclient_port,
                lmtp_port=lmtp_port,
                lmtp_socket=lmtp_socket,
            )
