"""The ways in which a peer's bytes may differ from the standard, each with a stable name.

The readers of this package forgive what can be understood and attach the deviation to the event;
what cannot be understood ends the session with a `RemoteProtocolError` that carries it. The names
appear in transcripts and in JSON, so they never change meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Deviation(StrEnum):
    """One difference from the standard. The value is the stable id, `.meaning` says it in words."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Deviation:  # noqa: D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Lines, both directions.
    BARE_LF = "bare-lf", "the line ends with LF alone instead of CRLF (RFC 5321 §2.3.8)"
    BARE_CR = "bare-cr", "there is a CR inside the line (RFC 5321 §2.3.8)"
    NUL = "nul", "the line contains NUL bytes (RFC 5321 §4.5.2)"
    CONTROL = "control-characters", "the line contains control characters (RFC 5321 §4.2)"
    NOT_UTF8 = "not-utf8", "the line is neither ASCII nor valid UTF-8 (RFC 6531 §3.7.4)"
    NOT_ASCII = "not-ascii", "the line contains non-ASCII text (RFC 5321 §4.2)"
    LINE_OVER_LIMIT = "line-over-limit", "the line is longer than the protocol allows (RFC 5321 §4.5.3.1)"
    LINE_TOO_LONG = "line-too-long", "the line does not end within the bound that is kept in memory"

    # Replies.
    NO_CODE = "no-reply-code", "the line does not begin with a three-digit reply code (RFC 5321 §4.2)"
    CODE_RANGE = "reply-code-range", "the reply code is outside 200-559 (RFC 5321 §4.2)"
    CODE_CHANGED = "reply-code-changed", "the lines of one reply carry different codes (RFC 5321 §4.2.1)"
    SEPARATOR = "reply-separator", "neither a space nor a hyphen follows the reply code (RFC 5321 §4.2.1)"
    CLASS_DIFFERS = (
        "enhanced-class-differs",
        "the enhanced status code and the reply code disagree about the class (RFC 2034 §4)",
    )
    ENDLESS_REPLY = "endless-reply", "the reply has more lines or octets than the bound kept in memory"
    UNASKED = "unasked-reply", "the server sent a reply that no command asked for"
    BYTES_BEFORE_TLS = (
        "bytes-before-tls",
        "bytes arrived between the STARTTLS command and the TLS handshake (RFC 3207 §6)",
    )

    # Commands.
    SPACE_AFTER_COLON = "space-after-colon", "there is a space between the colon and the path (RFC 5321 §3.3)"
    NO_ANGLE_BRACKETS = "no-angle-brackets", "the path is not in angle brackets (RFC 5321 §4.1.2)"
    TRAILING_SPACE = "trailing-space", "there is white space at the end of the command (RFC 5321 §4.1.1)"
    AUTH_EQUALS = "auth-equals", "AUTH= instead of AUTH, a form from before RFC 2554"


class ProtocolError(Exception):
    """Something the protocol does not allow. `detail` is one sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class LocalProtocolError(ProtocolError):
    """This side tried to say something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer said something that cannot be understood or would exceed a bound.

    `deviation` names it, `line` holds the offending bytes, cut to the bound.
    """

    def __init__(self, deviation: Deviation, line: bytes = b"") -> None:
        super().__init__(deviation.meaning)
        self.deviation = deviation
        self.line = line
