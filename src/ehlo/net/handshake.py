"""What a TLS handshake says in clear, read beside OpenSSL: the group of the key exchange, the version that
the server chose, the alert with which a side gave up, and what is spoken instead of TLS. Python's `ssl` tells
none of these.

The reader sees a copy of what comes from the peer and only looks. It never raises: what it does not
understand it leaves alone, since the handshake itself is OpenSSL's business.
"""

from __future__ import annotations

from ehlo.smtp.states import VERBS

#: TLS Supported Groups registry (RFC 8446 §4.2.7, RFC 7919, RFC 8422, draft-ietf-tls-ecdhe-mlkem).
GROUPS = {
    23: "P-256",
    24: "P-384",
    25: "P-521",
    29: "X25519",
    30: "X448",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    259: "ffdhe6144",
    260: "ffdhe8192",
    4587: "P-256+ML-KEM-768",
    4588: "X25519+ML-KEM-768",
    4589: "P-384+ML-KEM-1024",
}
#: RFC 8446 §6 and, for those in brackets of age, RFC 5246 §7.2.
ALERTS = {
    0: "close notify",
    10: "unexpected message",
    20: "bad record mac",
    21: "decryption failed",
    22: "record overflow",
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown ca",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
    86: "inappropriate fallback",
    90: "user canceled",
    109: "missing extension",
    110: "unsupported extension",
    112: "unrecognized name",
    113: "bad certificate status response",
    115: "unknown psk identity",
    116: "certificate required",
    120: "no application protocol",
}
VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}

_ALERT, _HANDSHAKE = 21, 22
#: RFC 8446 §5.1: what a record of TLS, and so a handshake, may begin with.
_RECORDS = range(20, 24)
_PROXY = (b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n")
_HTTP = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI"})
_SERVER_HELLO, _SERVER_KEY_EXCHANGE = 2, 12
_KEY_SHARE, _SUPPORTED_VERSIONS = 51, 43
#: Certificates come in between, and some servers send many; nothing of interest lies further on.
_MOST = 131_072


class HandshakeReader:
    """Looks over the shoulder of a handshake. Empty strings: not seen (yet).

    `language` is what the other side speaks if it is not TLS and if that can be told, with its first word.
    """

    __slots__ = ("_done", "_messages", "_records", "alert", "group", "language", "version")

    def __init__(self) -> None:
        self.version = ""
        self.group = ""
        self.alert = ""
        self.language = ""
        self._records = bytearray()
        self._messages = bytearray()
        self._done = False

    def feed(self, data: bytes) -> None:
        """Take what came from the other side."""
        if self._done or len(self._records) + len(self._messages) > _MOST:
            return
        self._records += data
        if self._records and self._records[0] not in _RECORDS:
            self.language = _language(bytes(self._records[:16]))
            return
        while len(self._records) >= 5:
            kind, length = self._records[0], int.from_bytes(self._records[3:5], "big")
            if len(self._records) < 5 + length:
                return
            payload = bytes(self._records[5 : 5 + length])
            del self._records[: 5 + length]
            if kind == _HANDSHAKE:
                self._messages += payload
                self._read_messages()
            elif kind == _ALERT and length == 2:
                self.alert = ALERTS.get(payload[1], f"number {payload[1]}")
            else:
                # Encrypted from here on, or no TLS at all.
                self._done = kind not in (_ALERT, 20)

    def _read_messages(self) -> None:
        while len(self._messages) >= 4:
            kind, length = self._messages[0], int.from_bytes(self._messages[1:4], "big")
            if len(self._messages) < 4 + length:
                return
            body = bytes(self._messages[4 : 4 + length])
            del self._messages[: 4 + length]
            if kind == _SERVER_HELLO:
                self._server_hello(body)
            elif kind == _SERVER_KEY_EXCHANGE:
                self._server_key_exchange(body)

    def _server_hello(self, body: bytes) -> None:
        """RFC 8446 §4.1.3, which kept the shape of RFC 5246 §7.4.1.3."""
        self.version = VERSIONS.get(int.from_bytes(body[:2], "big"), "")
        position = 35 + (body[34] if len(body) > 34 else 0) + 3 + 2
        while position + 4 <= len(body):
            kind = int.from_bytes(body[position : position + 2], "big")
            length = int.from_bytes(body[position + 2 : position + 4], "big")
            value = int.from_bytes(body[position + 4 : position + 6], "big")
            position += 4 + length
            if kind == _SUPPORTED_VERSIONS:
                self.version = VERSIONS.get(value, self.version)
            elif kind == _KEY_SHARE:
                self.group = GROUPS.get(value, f"group {value}")

    def _server_key_exchange(self, body: bytes) -> None:
        """Up to TLS 1.2: a named curve (RFC 8422 §5.4), or else the length of a prime (RFC 5246 §7.4.3)."""
        if body[:1] == b"\x03":
            group = int.from_bytes(body[1:3], "big")
            self.group = GROUPS.get(group, f"group {group}")
        elif len(body) > 2:
            self.group = f"DH {8 * int.from_bytes(body[:2], 'big')}"


def _language(beginning: bytes) -> str:
    """The language that begins like this, with its first word; empty if it is none that is known."""
    word = beginning.split(maxsplit=1)[0].decode("latin-1").upper() if beginning.strip() else ""
    if word in VERBS:
        return f"SMTP in clear ({word})"
    if word in _HTTP:
        return f"HTTP in clear ({word})"
    # RFC 4253 §4.2, and haproxy's proxy-protocol.txt §2.1, §2.2.
    return "SSH" if word.startswith("SSH-") else "a PROXY header" if beginning.startswith(_PROXY) else ""
