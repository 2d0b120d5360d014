"""The header of the PROXY protocol, versions 1 and 2, with which a load balancer tells a server who the
client is (haproxy's proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress
import socket

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_2, _LOCAL, _PROXY = 0x20, 0x00, 0x01
_TCP = {4: 0x11, 6: 0x21}


class ProxyError(ValueError):
    """Words that make no header. The message is one sentence."""


def proxy_header(words: str) -> bytes:
    """The header for "v1 SOURCE [DESTINATION]" or "v2 …", each an address with or without ":port"; for a
    connection of the proxy's own, "v1 unknown" or "v2 local". Raises `ProxyError`."""
    version, *rest = words.lower().split() or [""]
    if version not in ("v1", "v2") or not 1 <= len(rest) <= 2:
        raise ProxyError("the form is 'v1 SOURCE DESTINATION' or 'v2 SOURCE DESTINATION', each ADDRESS:PORT")
    if rest == ["unknown"] and version == "v1":
        return b"PROXY UNKNOWN\r\n"
    if rest == ["local"] and version == "v2":
        return _SIGNATURE + bytes((_VERSION_2 | _LOCAL, 0, 0, 0))
    source, source_port = _address(rest[0], 0)
    default = "127.0.0.1:25" if source.version == 4 else "[::1]:25"
    destination, port = _address(rest[1] if len(rest) > 1 else default, 25)
    if source.version != destination.version:
        raise ProxyError("both addresses must be of one family, IPv4 or IPv6")
    if version == "v1":
        return f"PROXY TCP{source.version} {source} {destination} {source_port} {port}\r\n".encode("ascii")
    body = source.packed + destination.packed + source_port.to_bytes(2, "big") + port.to_bytes(2, "big")
    family = bytes((_VERSION_2 | _PROXY, _TCP[source.version]))
    return _SIGNATURE + family + len(body).to_bytes(2, "big") + body


#: haproxy's proxy-protocol.txt §2.1: the longest header of version 1, and of version 2 with its longest addresses and
#: more additions than anybody sends.
_LONGEST_1, _LONGEST_2 = 107, 2048


def split_header(data: bytes) -> tuple[bytes, bytes] | None:
    """The header at the start of what a client sent, and the rest; None when more octets are needed.

    Raises `ProxyError` for what is no header.
    """
    if data.startswith(_SIGNATURE):
        if len(data) < 16:
            return None
        end = 16 + int.from_bytes(data[14:16], "big")
        known = (data[12], data[13]) in ((0x20, data[13]), (0x21, 0x11), (0x21, 0x21), (0x21, 0x00))
        shortest = {0x11: 28, 0x21: 52}.get(data[13], 16) if data[12] == 0x21 else 16
        if not known or not shortest <= end <= _LONGEST_2:
            raise ProxyError("the header of the PROXY protocol is malformed")
        return (data[:end], data[end:]) if len(data) >= end else None
    if data.startswith(b"PROXY "):
        line, ending, rest = data.partition(b"\r\n")
        if not ending:
            if len(data) > _LONGEST_1:
                raise ProxyError("the header of the PROXY protocol never ends")
            return None
        source_of(line + ending)
        return line + ending, rest
    if _SIGNATURE.startswith(data[: len(_SIGNATURE)]) or b"PROXY ".startswith(data[:6]):
        return None
    raise ProxyError("the client did not begin with a header of the PROXY protocol")


def source_of(header: bytes) -> tuple[str, int] | None:
    """The client's address and port in a header; None where it names none. Raises `ProxyError`.

    Whoever took a malformed header for one without an address would take the client for the proxy (§2.1, §2.2).
    """
    words = describe_header(header).split(" ")
    if words[1:2] == ["LOCAL" if header.startswith(_SIGNATURE) else "UNKNOWN"]:
        return None
    try:
        _, family, source, destination, *ports = words
        source_port, _ = (_port(port) for port in ports)
        address = ipaddress.ip_address(source)
        if {family} != {f"TCP{each.version}" for each in (address, ipaddress.ip_address(destination))}:
            raise ValueError(family)
    except ValueError:
        raise ProxyError("the header of the PROXY protocol is malformed") from None
    return str(address), source_port


def _address(word: str, port: int) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, colon, number = word.rpartition(":") if word.count(":") == 1 or "]:" in word else (word, "", "")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise ProxyError(f"'{word}' is no IP address") from None
    if colon:
        port = _port(number)
    return address, port


def _port(word: str) -> int:
    if not word.isdecimal() or len(word) > 5 or int(word) > 65535:
        raise ProxyError(f"'{word}' is no port")
    return int(word)


def describe_header(header: bytes) -> str:
    """A header in the words of version 1."""
    if not header.startswith(_SIGNATURE):
        return header.decode("ascii", "replace").removesuffix("\r\n")
    if header[12] & 0x0F == 0 or header[13] == 0:
        return "PROXY LOCAL"
    family, size, name = (socket.AF_INET, 4, "TCP4") if header[13] == _TCP[4] else (socket.AF_INET6, 16, "TCP6")
    addresses = [socket.inet_ntop(family, header[start : start + size]) for start in (16, 16 + size)]
    ports = [int.from_bytes(header[start : start + 2], "big") for start in (16 + 2 * size, 18 + 2 * size)]
    return f"PROXY {name} {addresses[0]} {addresses[1]} {ports[0]} {ports[1]}"
