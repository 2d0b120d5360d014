"""Messages of NTLM, read ([MS-NLMP] §2.2.1): what each says, in words; what is computed in it, in hexadecimal."""

from __future__ import annotations

from typing import NamedTuple

_SIGNATURE = b"NTLMSSP\0"
NEGOTIATE, CHALLENGE, AUTHENTICATE = 1, 2, 3
_KINDS = {NEGOTIATE: "NEGOTIATE", CHALLENGE: "CHALLENGE", AUTHENTICATE: "AUTHENTICATE"}

_UNICODE = 0x1
_VERSION = 0x02000000
#: [MS-NLMP] §2.2.2.5, by bit.
_FLAGS = {
    0x1: "Unicode",
    0x2: "OEM characters",
    0x4: "target wanted",
    0x10: "signing",
    0x20: "sealing",
    0x40: "datagrams",
    0x80: "LAN Manager key",
    0x200: "NTLM",
    0x800: "anonymous",
    0x1000: "domain given",
    0x2000: "workstation given",
    0x8000: "always sign",
    0x10000: "target is a domain",
    0x20000: "target is a server",
    0x80000: "extended session security",
    0x100000: "identify",
    0x400000: "LM session key",
    0x800000: "target information",
    _VERSION: "version",
    0x20000000: "128 bits",
    0x40000000: "key exchange",
    0x80000000: "56 bits",
}
#: [MS-NLMP] §2.2.2.1: the names in the target information, by number.
_NAMES = {
    1: "computer",
    2: "NetBIOS domain",
    3: "DNS computer",
    4: "DNS domain",
    5: "DNS forest",
    9: "service",
}
_TIME = 7


class NtlmMessage(NamedTuple):
    """One message: its `kind`, its `flags` in words, the names in it, and `octets`, what was computed or drawn, by
    name. `target` is whom the server takes itself for; `facts` are the names and the time in its target information.
    """

    kind: int
    flags: tuple[str, ...] = ()
    target: str = ""
    domain: str = ""
    user: str = ""
    workstation: str = ""
    version: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    octets: tuple[tuple[str, bytes], ...] = ()

    @property
    def account(self) -> str:
        """The user, with the domain where there is one."""
        return f"{self.domain}\\{self.user}" if self.domain and self.user else self.user

    def __str__(self) -> str:
        parts = [("target", self.target), ("domain", self.domain), ("user", self.user)]
        parts += [("workstation", self.workstation), ("flags", ", ".join(self.flags)), ("version", self.version)]
        parts += [*self.facts, *((name, octets.hex()) for name, octets in self.octets)]
        return "; ".join([_KINDS[self.kind], *(f"{name} {value}" for name, value in parts if value)])


def read_message(data: bytes) -> NtlmMessage | None:
    """A message, as far as it goes; None if it is none of NTLM."""
    kind = int.from_bytes(data[8:12], "little")
    if not data.startswith(_SIGNATURE) or kind not in _KINDS:
        return None
    return (_negotiate, _challenge, _authenticate)[kind - 1](data)


def _negotiate(data: bytes) -> NtlmMessage:
    flags = _number(data, 12)
    return NtlmMessage(
        NEGOTIATE,
        _in_words(flags),
        # [MS-NLMP] §2.2.1.1: nothing is agreed on yet, so these are in OEM characters.
        domain=_text(_field(data, 16), 0),
        workstation=_text(_field(data, 24), 0),
        version=_version(data, 32, flags),
    )


def _challenge(data: bytes) -> NtlmMessage:
    flags, information = _number(data, 20), _field(data, 40)
    return NtlmMessage(
        CHALLENGE,
        _in_words(flags),
        target=_text(_field(data, 12), flags),
        version=_version(data, 48, flags),
        facts=tuple(_target_information(information)),
        octets=(("challenge", data[24:32]),),
    )


def _authenticate(data: bytes) -> NtlmMessage:
    flags = _number(data, 60)
    return NtlmMessage(
        AUTHENTICATE,
        _in_words(flags),
        domain=_text(_field(data, 28), flags),
        user=_text(_field(data, 36), flags),
        workstation=_text(_field(data, 44), flags),
        version=_version(data, 64, flags),
        octets=(
            ("LM response", _field(data, 12)),
            ("NT response", _field(data, 20)),
            ("session key", _field(data, 52)),
        ),
    )


def _number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _field(data: bytes, at: int) -> bytes:
    """What a descriptor points to: length, room, and place, each counted in octets ([MS-NLMP] §2.2.1)."""
    length, place = _number(data, at, 2), _number(data, at + 4)
    return data[place : place + length]


def _text(octets: bytes, flags: int) -> str:
    if flags & _UNICODE:
        return octets.decode("utf-16-le", "backslashreplace")
    return octets.decode("ascii", "backslashreplace")


def _in_words(flags: int) -> tuple[str, ...]:
    return tuple(word for bit, word in _FLAGS.items() if flags & bit)


def _version(data: bytes, at: int, flags: int) -> str:
    if not flags & _VERSION or len(data) < at + 4:
        return ""
    return f"{data[at]}.{data[at + 1]}.{_number(data, at + 2, 2)}"


def _target_information(octets: bytes) -> list[tuple[str, str]]:
    """The names and the time in a list of pairs that ends with the number 0 ([MS-NLMP] §2.2.2.1)."""
    found = []
    position = 0
    while (number := _number(octets, position, 2)) and position + 4 <= len(octets):
        length = _number(octets, position + 2, 2)
        value = octets[position + 4 : position + 4 + length]
        if number in _NAMES:
            found.append((_NAMES[number], _text(value, _UNICODE)))
        elif number == _TIME:
            found.append(("time", _time(value)))
        position += 4 + length
    return found


def _time(value: bytes) -> str:
    from datetime import UTC, datetime, timedelta

    # [MS-DTYP] §2.3.3: FILETIME counts tenths of a microsecond since 1601.
    try:
        when = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=_number(value, 0, 8) // 10)
    except OverflowError:
        return value.hex()
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
