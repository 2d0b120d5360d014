"""Packet captures: sessions come out of them, whatever happened to the packets on the way."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.cli.main import main
from ehlo.diagnosis.judge import judge
from ehlo.explain.pcap import PcapError, read_pcap
from ehlo.lab import RunningLab
from ehlo.transcript.transcript import Transcript

CLIENT, SERVER = ("192.0.2.7", 40000), ("198.51.100.25", 25)
FIN, SYN, RST, ACK = 1, 2, 4, 16
BEGAN = 1_700_000_000.0

Packet = tuple[float, bytes]


class Wire:
    """Writes the packets of a connection, and may then be asked to mistreat them."""

    def __init__(self, client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER, start: int = 1000) -> None:
        self.ends = {"C": client, "S": server}
        self.next = {"C": start, "S": start * 7 % 2**32}
        self.packets: list[Packet] = []
        self.t = BEGAN

    def send(self, who: str, flags: int = ACK, payload: bytes = b"", after: float = 0.01) -> Packet:
        self.t += after
        there = "S" if who == "C" else "C"
        packet = frame(self.ends[who], self.ends[there], self.next[who], self.next[there], flags, payload)
        self.next[who] = (self.next[who] + len(payload) + bool(flags & (SYN | FIN))) % 2**32
        self.packets.append((self.t, packet))
        return self.packets[-1]

    def open(self) -> Wire:
        self.send("C", SYN)
        self.send("S", SYN | ACK)
        self.send("C")
        return self

    def say(self, *lines: str) -> Wire:
        """Lines such as "C: QUIT"; those that follow each other are one segment each."""
        for line in lines:
            self.send(line[0], payload=line[3:].encode() + b"\r\n")
        return self

    def close(self) -> Wire:
        self.send("S", FIN | ACK)
        self.send("C", FIN | ACK)
        return self


def frame(source: tuple[str, int], to: tuple[str, int], seq: int, ack: int, flags: int, payload: bytes) -> bytes:
    """An Ethernet frame, filled up to its 60 octets."""
    tcp = struct.pack(">HHIIBBHHH", source[1], to[1], seq, ack, 5 << 4, flags, 65535, 0, 0) + payload
    if ":" in source[0]:
        addresses = socket.inet_pton(socket.AF_INET6, source[0]) + socket.inet_pton(socket.AF_INET6, to[0])
        network, kind = struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + addresses, b"\x86\xdd"
    else:
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
        network, kind = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses, b"\x08\x00"
    return (b"\x02" * 12 + kind + network + tcp).ljust(60, b"\0")


def pcap(packets: Iterable[Packet], link: int = 1) -> bytes:
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for t, data in packets:
        out += struct.pack("<IIII", int(t), int(t % 1 * 1e6), len(data), len(data)) + data
    return out


def pcapng(packets: Iterable[Packet]) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 65535))
    for t, data in packets:
        micro = int(t * 1e6)
        out += block(6, struct.pack("<IIIII", 0, micro >> 32, micro & 0xFFFFFFFF, len(data), len(data)) + data)
    return out


def only(packets: Iterable[Packet]) -> Transcript:
    (transcript,) = read_pcap(pcap(packets))
    return transcript


def told(transcript: Transcript) -> list[str]:
    out = []
    for event in transcript.events:
        what = event.text if event.kind == "line" else event.fact("error") or event.kind
        out.append(f"{event.stage} {event.who[0].upper() if event.who != 'net' else '-'} {what}")
    return out


def rule(transcript: Transcript) -> str:
    findings = judge(transcript).findings
    return findings[0].rule if findings else ""


REFUSED = (
    "S: 220 mail.example.com ESMTP Postfix",
    "C: EHLO here.org",
    "S: 250-mail.example.com",
    "S: 250 PIPELINING",
    "C: MAIL FROM:<a@example.com>",
    "S: 250 2.1.0 Ok",
    "C: RCPT TO:<nobody@example.com>",
    "S: 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown",
    "C: QUIT",
    "S: 221 2.0.0 Bye",
)


def test_a_session() -> None:
    transcript = only(Wire().open().say(*REFUSED).close().packets)
    assert transcript.header.target == "198.51.100.25:25"
    assert (transcript.header.role, round(transcript.header.started, 2)) == ("tap", BEGAN + 0.01)
    assert told(transcript) == [
        "connect - connect",
        "banner S 220 mail.example.com ESMTP Postfix",
        "ehlo C EHLO here.org",
        "ehlo S 250-mail.example.com",
        "ehlo S 250 PIPELINING",
        "mail C MAIL FROM:<a@example.com>",
        "mail S 250 2.1.0 Ok",
        "rcpt C RCPT TO:<nobody@example.com>",
        "rcpt S 550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown",
        "quit C QUIT",
        "quit S 221 2.0.0 Bye",
        "quit S close",
    ]
    assert rule(transcript) == "recipient-unknown"
    assert [event.t for event in transcript.events[:2]] == [0.01, 0.03]
    assert transcript.events[0].facts["local"] == "192.0.2.7:40000"


def test_pcapng_ipv6_and_sequence_numbers_that_wrap() -> None:
    wire = Wire(("2001:db8::7", 40000), ("2001:db8::25", 587), start=2**32 - 30).open().say(*REFUSED).close()
    (transcript,) = read_pcap(pcapng(wire.packets))
    assert transcript.header.target == "[2001:db8::25]:587"
    assert rule(transcript) == "recipient-unknown"
    assert len(transcript.events) == 12


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_segments_out_of_order_and_twice(random: object) -> None:
    wire = Wire().open()
    content = "C: " + "\r\n".join(f"line {number}" for number in range(40))
    wire.say(*REFUSED[:6], "C: RCPT TO:<a@example.com>", "S: 250 Ok", "C: DATA", "S: 354 go on")
    begun = len(wire.packets)
    for at in range(0, len(content), 37):
        wire.send("C", payload=(content[3:] + "\r\n.\r\n").encode()[at : at + 37])
    pieces = wire.packets[begun:]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    again = pieces[: len(pieces) // 2]
    wire.packets[begun:] = [(wire.t, data) for _, data in pieces + again]
    wire.say("S: 250 2.0.0 queued").close()
    transcript = only(wire.packets)
    (message,) = (event for event in transcript.events if event.kind == "data")
    assert message.data == content[3:].encode() + b"\r\n"
    assert judge(transcript).outcome == "accepted"


def test_a_gap_is_said_and_nothing_is_guessed_behind_it() -> None:
    wire = Wire().open().say(*REFUSED[:5])
    lost = wire.send("S", payload=b"250 2.1.0 Ok\r\n")
    wire.packets.remove(lost)
    wire.say(*REFUSED[6:]).close()
    transcript = only(wire.packets)
    assert "missing in the capture" in transcript.events[-1].fact("message")
    assert not judge(transcript).findings


def test_capture_that_begins_late() -> None:
    wire = Wire().open().say(*REFUSED).close()
    assert rule(only(wire.packets[3:])) == "recipient-unknown"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (("S", RST), ("rcpt", "reset", "connection-lost")),
        (("S", FIN | ACK), ("rcpt", "closed", "connection-lost")),
        (("C", FIN | ACK), ("rcpt", "timed-out", "no-answer")),
    ],
)
def test_ends_without_a_reply(end: tuple[str, int], expected: tuple[str, str, str]) -> None:
    wire = Wire().open().say(*REFUSED[:7])
    who, flags = end
    wire.send(who, flags, after=30)
    transcript = only(wire.packets)
    last = transcript.events[-1]
    assert (last.stage, last.fact("error"), rule(transcript)) == expected


def test_nobody_answers() -> None:
    silent, refused = Wire(), Wire(("192.0.2.7", 40001))
    for _ in range(3):
        silent.next["C"] = 1000
        silent.send("C", SYN, after=1)
    refused.send("C", SYN)
    refused.send("S", RST | ACK)
    first, second = read_pcap(pcap(silent.packets + refused.packets))
    assert (rule(first), rule(second)) == ("connection-timed-out", "connection-refused")


def test_other_traffic_is_left_out() -> None:
    web = Wire(("192.0.2.7", 40002), ("198.51.100.25", 443)).open().say("C: GET / HTTP/1.1", "S: HTTP/1.1 200 OK")
    odd_port = Wire(("192.0.2.7", 40003), ("198.51.100.25", 2600)).open().say(*REFUSED).close()
    assert [it.header.target for it in read_pcap(pcap(web.packets + odd_port.packets))] == ["198.51.100.25:2600"]


ALERT = b"\x15\x03\x03\x00\x02\x02\x46"


@pytest.mark.parametrize(("answer", "expected"), [(ALERT, "tls-old-version"), (b"", "tls-cut")])
def test_handshake_that_fails(answer: bytes, expected: str) -> None:
    wire = Wire().open().say(*REFUSED[:4], "C: STARTTLS", "S: 220 2.0.0 go")
    wire.send("C", payload=b"\x16\x03\x01\x00\x05hello")
    if answer:
        wire.send("S", payload=answer)
    wire.close()
    transcript = only(wire.packets)
    assert transcript.events[-1].stage == "starttls"
    assert rule(transcript) == expected


def test_password_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wire = Wire().open().say(*REFUSED[:4], "C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=", "S: 535 5.7.8 no").close()
    (tmp_path / "x.pcap").write_bytes(pcap(wire.packets))
    assert main(["explain", "-v", str(tmp_path / "x.pcap")]) == 0
    shown = capsys.readouterr().out
    assert "AGFsaWNlAHdvbmRlcmxhbmQ" not in shown
    assert "credentials-wrong" in shown


def test_many_sessions_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packets = [
        packet
        for number in range(6)
        for packet in Wire(("192.0.2.7", 40000 + number)).open().say(*REFUSED[: 7 + number // 2]).close().packets
    ]
    (tmp_path / "x.pcap").write_bytes(pcap(packets))
    assert main(["explain", str(tmp_path / "x.pcap")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("6 sessions, 6 of them failed\n\n      4 ×\n")


@pytest.mark.parametrize("data", [b"", b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1" + b"\xff" * 50])
def test_what_is_no_capture_is_said(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pcap").write_bytes(data)
    assert main(["explain", "--as", "pcap", str(tmp_path / "x.pcap")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


GOOD = pcap(Wire().open().say(*REFUSED).close().packets)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_captures_never_raise_anything_else(data: st.DataObject) -> None:
    octets = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 12))):
        octets[data.draw(st.integers(24, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        for transcript in read_pcap(bytes(octets[: data.draw(st.integers(0, len(octets)))])):
            judge(transcript)
    except PcapError:
        pass


@pytest.mark.peer
def test_what_the_kernel_sends(smtp_lab: RunningLab) -> None:
    """A session of ours, seen on the loopback device by a raw socket."""
    with sniffed(smtp_lab.port) as packets:
        main(["check", f"127.0.0.1:{smtp_lab.port}", "-f", "a@example.com", "-t", "nobody@example.com", "-q"])
        deadline = time.monotonic() + 60
        while not any("tls" in kinds(it) for it in read_pcap(pcap(packets))) and time.monotonic() < deadline:
            time.sleep(0.1)
    (transcript,) = (it for it in read_pcap(pcap(packets)) if it.header.target == f"127.0.0.1:{smtp_lab.port}")
    assert transcript.events[0].kind == "connect"
    assert "tls" in kinds(transcript)


def kinds(transcript: Transcript) -> list[str]:
    return [event.kind for event in transcript.events]


#: Number of the socket option (linux/socket.h); Python has no name for it.
SO_ATTACH_FILTER = 26


@contextmanager
def sniffed(port: int) -> Iterator[list[Packet]]:
    try:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    except (AttributeError, PermissionError):
        pytest.skip("only root may look at packets here")
    packets: list[Packet] = []
    wanted = struct.pack(">H", port)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                data, address = raw.recvfrom(65535)
            except TimeoutError:
                continue
            # The loopback device shows each packet twice: as it goes out, and as it comes in.
            if address[2] == 4 and wanted in (data[34:36], data[36:38]):
                packets.append((time.time(), data))

    with raw:
        # Chosen by the kernel: in Python, the packets of all tests at once would be too many to look at.
        listing = ctypes.create_string_buffer(
            b"".join(
                struct.pack("HBBI", *step)
                for step in (
                    (0x28, 0, 0, 34),  # load the half-word that is the source port
                    (0x15, 2, 0, port),  # take the packet if it is ours
                    (0x28, 0, 0, 36),  # and the one that is the destination port
                    (0x15, 0, 1, port),
                    (0x06, 0, 0, 0xFFFF),  # take
                    (0x06, 0, 0, 0),  # leave
                )
            )
        )
        raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 6, ctypes.addressof(listing)))
        raw.bind(("lo", 0))
        raw.settimeout(0.2)
        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield packets
        finally:
            over.set()
            thread.join()
