"""The SMTP sessions in a packet capture (pcap or pcapng), as transcripts.

    packets ──> TCP segments (scapy) ──> the octets of each direction, in order ──> `Overheard` ──> transcripts

What was encrypted stays so: of TLS only the handshake is seen, and with which alert it ended.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from ehlo.net.handshake import HandshakeReader
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event, Facts, Kind, Who
from ehlo.transcript.overheard import Overheard
from ehlo.transcript.transcript import Header, Transcript

#: Where SMTP is expected (RFC 5321 §4.5.4.2, RFC 6409, RFC 8314, RFC 2033), with those of test servers.
PORTS = frozenset({24, 25, 465, 587, 1025, 2525})
#: A connection's segments that wait for one before them; then it is taken for lost.
_MOST_WAITING = 256
#: Connections at once; of more than that the oldest is let go.
_MOST_OPEN = 10_000
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_MODULUS = 1 << 32


class PcapError(ValueError):
    """What was given is no capture that can be read. The message is a sentence."""


class Segment(NamedTuple):
    """A TCP segment: `t` in seconds since 1970, addresses as text."""

    t: float
    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    flags: int
    payload: bytes


def read_pcap(data: bytes) -> Iterator[Transcript]:
    """The sessions in a capture, in the order in which they ended. Raises `PcapError`, at once or on the way."""
    open_: dict[tuple[tuple[str, int], ...], _Connection] = {}
    for segment in read_segments(data):
        key = tuple(sorted((segment.source, segment.destination)))
        connection = open_.get(key)
        if connection is None or (segment.flags & (_SYN | _ACK) == _SYN and connection.over):
            if connection is not None and (transcript := open_.pop(key).finish()):
                yield transcript
            if len(open_) >= _MOST_OPEN and (transcript := open_.pop(next(iter(open_))).finish()):
                yield transcript
            connection = open_[key] = _Connection(segment)
        connection.take(segment)
    for connection in open_.values():
        if transcript := connection.finish():
            yield transcript


def read_segments(data: bytes) -> Iterator[Segment]:
    """The TCP segments in a capture, over IPv4 and IPv6, whatever link they were seen on. Raises `PcapError`."""
    try:
        logging.getLogger("scapy").setLevel(logging.CRITICAL)
        import scapy.layers.inet6
        import scapy.layers.l2
        from scapy.error import Scapy_Exception
        from scapy.layers.inet import IP, TCP
        from scapy.utils import PcapReader
    except ImportError:
        raise PcapError("captures need a library: pip install 'ehlo[pcap]'") from None

    try:
        packets = PcapReader(io.BytesIO(data))  # type: ignore[arg-type]
    except (Scapy_Exception, EOFError, ValueError):
        raise PcapError("this is no capture in the formats pcap or pcapng.") from None
    while True:
        try:
            packet: Any = packets.read_packet()
        except EOFError:
            return
        except Exception as error:
            # What is broken in a capture, scapy reports with whatever exception its parts raise.
            raise PcapError(f"the capture is broken off or damaged: {type(error).__name__}.") from None
        if TCP not in packet:
            continue
        network = packet[IP] if IP in packet else packet[scapy.layers.inet6.IPv6] if _v6(packet) else None
        if network is None:
            continue
        tcp = packet[TCP]
        payload = bytes(tcp.payload)
        if packet.haslayer("Padding"):
            # An Ethernet frame has 60 octets at least, and what fills it up is not the segment's.
            payload = payload[: len(payload) - len(packet["Padding"].load)]
        source, destination = (str(network.src), int(tcp.sport)), (str(network.dst), int(tcp.dport))
        yield Segment(float(packet.time), source, destination, int(tcp.seq), int(tcp.flags), payload)


def _v6(packet: Any) -> bool:
    return bool(packet.haslayer("IPv6"))


class _Connection:
    """One TCP connection, from its first segment seen to its last."""

    def __init__(self, first: Segment) -> None:
        self._zero = first.t
        self._client, self._server = _ends(first)
        self._events: list[Event] = []
        self._smtp = Overheard(self._events.append)
        self._streams = {self._client: _Stream(), self._server: _Stream()}
        self._tls: HandshakeReader | None = None
        self._connected = self._spoke = self._broken = self._tls_told = False
        self._began: float | None = None
        self._last = 0.0
        self.over = False

    def take(self, segment: Segment) -> None:
        """Take the next segment as the capture has it."""
        t = self._last = max(self._last, round(segment.t - self._zero, 6))
        stream = self._streams[segment.source]
        who: Who = "client" if segment.source == self._client else "server"
        if segment.flags & _SYN:
            stream.start(segment.sequence)
            self._handshake(t, who)
            return
        if segment.flags & _RST:
            self._reset(t, who)
            return
        for octets in stream.take(segment.sequence, segment.payload):
            self._hear(t, who, octets, lost=stream.lost)
        if segment.flags & _FIN:
            self._close(t, who)

    def finish(self) -> Transcript | None:
        """All that is known of the session, if it was one of SMTP."""
        self._flush()
        if not (self._spoke or (self._server[1] in PORTS and self._began is not None)):
            return None
        if not self._connected and not self._events:
            self._failed_connect("timed-out", "nothing answered for as long as the capture lasts")
        self._smtp.end(self._last)
        if self._tls is not None and not self._tls_told:
            self._tell_tls(self._last)
        if not self.over and self._events:
            self._note("the capture ends here, before the session did")
        host, port = self._server
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Transcript(Header("tap", self._zero, target), self._events)

    def _flush(self) -> None:
        """Hear what still waits for a segment that never came."""
        for end, stream in self._streams.items():
            for octets in stream.rest():
                self._hear(self._last, "client" if end == self._client else "server", octets, lost=stream.lost)

    def _handshake(self, t: float, who: Who) -> None:
        if who == "client":
            self._began = t if self._began is None else self._began
        elif not self._connected:
            self._connected = True
            self._event(t, "net", "connect", self._where(local=True), self._began)

    def _where(self, *, local: bool = False) -> Facts:
        where: dict[str, str | int] = {"address": self._server[0], "port": self._server[1]}
        host, port = self._client
        return {**where, "local": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"} if local else where

    def _failed_connect(self, error: str, message: str) -> None:
        self._event(self._last, "net", "connect", {**self._where(), "error": error, "message": message}, self._began)
        self.over = True

    def _reset(self, t: float, who: Who) -> None:
        if not self._connected and who == "server":
            self._failed_connect("refused", "the server's machine refused the connection")
        elif not self.over:
            self._broke_off(t, who, "reset", f"the {who} reset the connection")

    def _close(self, t: float, who: Who) -> None:
        if not self.over:
            self._broke_off(t, who, "closed", f"the {who} closed the connection")

    def _broke_off(self, t: float, who: Who, error: str, message: str) -> None:
        self._flush()
        if self._broken:
            return
        self.over = True
        self._smtp.end(t)
        if self._tls is not None:
            self._tell_tls(t)
        elif self._smtp.waiting:
            waited = t - self._events[-1].t if self._events else t
            if who == "client":
                error, message = "timed-out", f"{message} after {waited:.0f} seconds without an answer"
            facts = {"error": error, "message": message}
            self._events.append(Event(t, "net", "error", self._smtp.stage, facts=facts))
        else:
            self._events.append(Event(t, who, "close", self._smtp.stage))

    def _hear(self, t: float, who: Who, octets: bytes, *, lost: bool) -> None:
        if self._broken:
            return
        if lost:
            # Which reply belongs to which command cannot be known behind a gap.
            self._broken = self.over = True
            self._smtp.end(t)
            self._note("octets are missing in the capture here, so what follows cannot be read")
            return
        if not self._spoke:
            # On a port of its own choice it is SMTP if a server greets first, and with a code (RFC 5321 §3.1).
            if self._server[1] not in PORTS and not (who == "server" and octets[:1] in (b"2", b"4", b"5")):
                self._broken = True
                return
            self._spoke = True
            if who == "client" and octets[:2] == b"\x16\x03":
                self._tls = HandshakeReader()
        if self._tls is None:
            rest = self._smtp.heard(t, who, octets)
            if not self._smtp.encrypted:
                return
            self._tls = HandshakeReader()
            octets, who = rest, "client"
        if who == "server" and not self._tls_told:
            self._tls.feed(octets)
            if self._tls.alert or self._tls.version:
                self._tell_tls(t)
        elif who == "client" and octets[:1] == b"\x15" and len(octets) >= 7 and not self._tls_told:
            self._tls.feed(octets)
            self._tell_tls(t)

    def _tell_tls(self, t: float) -> None:
        """The handshake, as much of it as goes over the wire in clear."""
        tls = self._tls
        if self._tls_told or tls is None:
            return
        self._tls_told = True
        stage: Stage = "starttls" if self._smtp.encrypted else "tls"
        facts: Facts = {"version": tls.version, "cipher": "", "bits": 0, "group": tls.group}
        if tls.alert or not tls.version:
            error = "tls-failed" if tls.alert else "tls-cut"
            message = f"the handshake ended with the alert '{tls.alert}'" if tls.alert else "there was no answer to it"
            facts = {"error": error, "message": message}
        self._events.append(Event(t, "net", "tls", stage, facts=facts))
        if "error" not in facts:
            self._note("what follows is encrypted, and a capture cannot show it")

    def _note(self, message: str) -> None:
        stage = self._events[-1].stage if self._events else "connect"
        self._events.append(Event(self._last, "net", "note", stage, facts={"message": message}))

    def _event(self, t: float, who: Who, kind: Kind, facts: Facts, first: float | None) -> None:
        self._events.append(Event(t, who, kind, "connect", None, first, facts))


def _ends(first: Segment) -> tuple[tuple[str, int], tuple[str, int]]:
    """The client and the server: who asks for the connection is the client, else the known port is the server's."""
    here, there = first.source, first.destination
    from_server = (
        bool(first.flags & _ACK)
        if first.flags & _SYN
        else here[1] in PORTS or (there[1] not in PORTS and first.payload[:3].isdigit())
    )
    return (there, here) if from_server else (here, there)


class _Stream:
    """One direction of a connection: segments in any order go in, octets in order come out (RFC 9293 §3.4)."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}
        #: Whether octets were missing before those that came out last.
        self.lost = False

    def start(self, sequence: int) -> None:
        self._next = (sequence + 1) % _MODULUS

    def take(self, sequence: int, payload: bytes) -> Iterator[bytes]:
        if not payload:
            return
        if self._next is None:
            self._next = sequence
        # Distances are counted modulo 2³²: what is more than half way round lies behind.
        if len(payload) > len(self._waiting.get(sequence, b"")):
            self._waiting[sequence] = payload
        yield from self._ready()
        if len(self._waiting) > _MOST_WAITING:
            yield from self._skip()

    def rest(self) -> Iterator[bytes]:
        while self._waiting:
            yield from self._skip()

    def _ready(self) -> Iterator[bytes]:
        found = True
        while found:
            found = False
            for sequence in list(self._waiting):
                ahead = self._ahead(sequence)
                if ahead <= 0:
                    payload = self._waiting.pop(sequence)[-ahead:] if ahead else self._waiting.pop(sequence)
                    if payload:
                        found = True
                        self._next = ((self._next or 0) + len(payload)) % _MODULUS
                        yield payload

    def _skip(self) -> Iterator[bytes]:
        self.lost = True
        self._next = min(self._waiting, key=self._ahead)
        yield from self._ready()

    def _ahead(self, sequence: int) -> int:
        distance = (sequence - (self._next or 0)) % _MODULUS
        return distance - _MODULUS if distance > _MODULUS // 2 else distance
