"""A DNS server on a loopback port that answers questions as a test wants it.

    with nameserver({"example.test": ["10 mx.example.test."], "mx.example.test A": ["192.0.2.1"]}) as address:
        ...  # --dns-server address

A name without a type is asked for its mail exchangers. A name that is not in the table does not exist. `SILENT` is
answered with nothing at all, `REFUSED` and the like with that error, an empty list says that the name has no such
record.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from peers.world import HOST

SILENT = "silent"
Zone = Mapping[str, "list[str] | str | dns.rcode.Rcode"]


@contextlib.contextmanager
def nameserver(zone: Zone) -> Iterator[str]:
    """Answer by UDP until the context is left; gives address and port as --dns-server takes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(listener, zone), daemon=True)
        thread.start()
        try:
            yield f"{HOST}:{port}"
        finally:
            # An empty datagram is no question: it ends the thread.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"", (HOST, port))
            thread.join(10)


def _serve(listener: socket.socket, zone: Zone) -> None:
    while True:
        wire, asker = listener.recvfrom(4096)
        if not wire:
            return
        answer = _answer(dns.message.from_wire(wire), zone)
        if answer is not None:
            listener.sendto(answer.to_wire(), asker)


def _answer(query: dns.message.Message, zone: Zone) -> dns.message.Message | None:
    (question,) = query.question
    name = question.name.to_text(omit_final_dot=True).lower()
    kind = dns.rdatatype.to_text(question.rdtype)
    known = zone.get(f"{name} {kind}", zone.get(name) if kind == "MX" else None)
    if known is None and any(entry.split(" ")[0] == name for entry in zone):
        known = []
    if known == SILENT:
        return None
    response = dns.message.make_response(query)
    response.flags |= dns.flags.RA
    if known is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif isinstance(known, dns.rcode.Rcode):
        response.set_rcode(known)
    elif known:
        assert isinstance(known, list)
        response.answer.append(dns.rrset.from_text_list(question.name, 300, "IN", kind, known))
    return response
