"""Commands: what a client says (RFC 5321 §4.1).

One type serves for all of them, because the state table and the transcript only ask for the
verb. `parse_command` reads what came over the wire, forgives what servers commonly forgive and
records it; the writer, `Command.encode`, is strict.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import NamedTuple

from ehlo.smtp.address import AddressError, Path, parse_domain, parse_path
from ehlo.smtp.deviations import Deviation, LocalProtocolError
from ehlo.smtp.parameters import ParameterError, Parameters, format_parameters, parse_parameters
from ehlo.smtp.reply import decode_line

#: RFC 5321 §4.5.3.1.4: a command line has at most 512 octets, CRLF included.
COMMAND_LINE_LIMIT = 512
#: By how much the extensions offered raise that limit: RFC 1870 §3 (26), RFC 6152 §2 (17),
#: RFC 3461 §5 (~ 600 for ENVID and ORCPT), RFC 6531 §3.4 (10 and twice the path), RFC 4954 §5 (500),
#: RFC 6710 (15), RFC 8689 §2 (11), RFC 4865 (34), RFC 2852 (17).
EXTENDED_LINE_LIMIT = 2048
#: RFC 4954 §4: AUTH and its responses may have 12288 octets.
AUTH_LINE_LIMIT = 12288

#: The keyword between these verbs and their path.
_PATH_VERBS = {"MAIL": "FROM", "RCPT": "TO"}
_NO_ARGUMENT = frozenset({"DATA", "QUIT", "RSET", "STARTTLS"})
_FORBIDDEN = re.compile(r"[\x00\r\n]")
_PLAIN_LINE = re.compile(rb"[\t\x20-\x7e]*\r\n")


class CommandError(ValueError):
    """A line that is not a command as the standard has it.

    `verb` is what it begins with, in upper case; `code` the reply code that fits (500 the verb,
    501 the argument); the message is one sentence.
    """

    def __init__(self, verb: str, why: str, code: int = 501) -> None:
        super().__init__(why)
        self.verb = verb
        self.code = code


class Command(NamedTuple):
    """One command.

    `argument` is the text behind the verb; MAIL and RCPT have `path` and `parameters` instead.
    `deviations` is what the reader forgave.
    """

    verb: str
    argument: str = ""
    path: Path | None = None
    parameters: Parameters = {}  # noqa: RUF012 - never changed, shared to be cheap
    deviations: tuple[Deviation, ...] = ()

    def __str__(self) -> str:
        """The command as it stands on the line, without CRLF."""
        if self.path is not None:
            keyword = _PATH_VERBS[self.verb]
            return f"{self.verb} {keyword}:{self.path}{format_parameters(self.parameters)}"
        return f"{self.verb} {self.argument}" if self.argument else self.verb

    def encode(self) -> bytes:
        """The bytes on the wire. Strict: raises `LocalProtocolError` on what may not be sent."""
        try:
            text = str(self)
            line = text.encode() + b"\r\n"
        except (ParameterError, UnicodeEncodeError) as error:
            raise LocalProtocolError(str(error)) from None
        if _FORBIDDEN.search(text):
            raise LocalProtocolError("A command may not contain CR, LF or NUL (RFC 5321 §4.1.1).")
        limit = line_limit(self.verb)
        if len(line) > limit:
            raise LocalProtocolError(f"A {self.verb} command has at most {limit} octets.")
        return line


def mail(reverse_path: Path, **parameters: str | None) -> Command:
    """MAIL FROM (RFC 5321 §4.1.1.2); keyword arguments become parameters: `SIZE="1000"`."""
    return Command("MAIL", path=reverse_path, parameters=parameters)


def rcpt(forward_path: Path, **parameters: str | None) -> Command:
    """RCPT TO (RFC 5321 §4.1.1.3)."""
    return Command("RCPT", path=forward_path, parameters=parameters)


def ehlo(domain: str) -> Command:
    """EHLO (RFC 5321 §4.1.1.1) with a domain or an address literal. Raises `AddressError`."""
    return Command("EHLO", parse_domain(domain))


def helo(domain: str) -> Command:
    """HELO, for servers that do not know EHLO (RFC 5321 §4.1.1.1). Raises `AddressError`."""
    return Command("HELO", parse_domain(domain))


def auth(mechanism: str, initial_response: bytes | None = None) -> Command:
    """AUTH (RFC 4954 §4). An empty initial response is sent as "="."""
    if initial_response is None:
        return Command("AUTH", mechanism)
    encoded = base64.b64encode(initial_response).decode("ascii") or "="
    return Command("AUTH", f"{mechanism} {encoded}")


def line_limit(verb: str) -> int:
    """The octets that a command's line may have, CRLF included."""
    if verb in _PATH_VERBS:
        return EXTENDED_LINE_LIMIT
    return AUTH_LINE_LIMIT if verb == "AUTH" else COMMAND_LINE_LIMIT


def decode_base64(text: str) -> bytes | None:
    """The octets of a base64 text as AUTH carries it, "=" meaning none; None if it is not base64."""
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def parse_command(line: bytes) -> Command:
    """Read one line with its ending. Raises `CommandError`."""
    # What follows AUTH may be a password, which stays in memory no longer than it must.
    return _parse(line) if line[:4].upper() == b"AUTH" else _parse_repeated(line)


@lru_cache(maxsize=1024)
def _parse_repeated(line: bytes) -> Command:
    # Clients repeat themselves, so the last lines read are remembered; a `Command` never changes.
    return _parse(line)


def _parse(line: bytes) -> Command:
    deviations: list[Deviation] = []
    if _PLAIN_LINE.fullmatch(line):
        text = line[:-2].decode("ascii")
    else:
        text, deviations = decode_line(line)
    stripped = text.rstrip(" \t")
    if stripped != text:
        deviations.append(Deviation.TRAILING_SPACE)
    verb, _, argument = stripped.partition(" ")
    # "ſ" becomes an S in upper case: a verb is compared only once it is known to be ASCII.
    verb = verb.upper() if verb.isascii() else verb
    if Deviation.NUL in deviations or Deviation.BARE_CR in deviations:
        raise CommandError(verb[:20], "The line contains NUL or CR characters.", 500)
    if verb in _PATH_VERBS:
        return _parse_path_command(verb, argument, deviations)
    if not verb.isascii() or not verb.replace("-", "").isalnum():
        raise CommandError(verb[:20], "The line does not begin with a command.", 500)
    return Command(verb, _check_argument(verb, argument.strip(" ")), deviations=tuple(deviations))


def _check_argument(verb: str, argument: str) -> str:
    if verb in _NO_ARGUMENT and argument:
        raise CommandError(verb, f"{verb} takes no argument.")
    if verb in ("EHLO", "HELO", "LHLO") and not argument:
        raise CommandError(verb, f"{verb} needs the client's name.")
    if verb == "AUTH" and not argument:
        raise CommandError(verb, "AUTH needs the name of a mechanism.")
    return argument


def _parse_path_command(verb: str, argument: str, deviations: list[Deviation]) -> Command:
    keyword = _PATH_VERBS[verb]
    if argument[: len(keyword) + 1].upper() != keyword + ":":
        raise CommandError(verb, f"{verb} is followed by {keyword}: and the address in angle brackets.")
    rest = argument[len(keyword) + 1 :]
    if rest.startswith(" "):
        rest = rest.lstrip(" ")
        deviations.append(Deviation.SPACE_AFTER_COLON)
    if rest.startswith("<"):
        end = _closing_bracket(rest)
        path_text, parameter_text = rest[:end], rest[end:]
    else:
        path_text, _, parameter_text = rest.partition(" ")
        deviations.append(Deviation.NO_ANGLE_BRACKETS)
        if not path_text:
            raise CommandError(verb, f"{verb} {keyword}: is followed by an address.")
    if parameter_text and rest.startswith("<") and not parameter_text.startswith(" "):
        raise CommandError(verb, "A space stands between the address and the parameters.")
    try:
        path = parse_path(path_text, brackets=False)
        parameters = parse_parameters(parameter_text) if parameter_text else {}
    except (AddressError, ParameterError) as error:
        raise CommandError(verb, str(error)) from None
    if verb == "RCPT" and path.mailbox is None:
        # RFC 5321 §4.1.1.3: the null path is for reverse-paths alone.
        raise CommandError(verb, "A recipient cannot be the null path <>.")
    return Command(verb, "", path, parameters, tuple(deviations))


def _closing_bracket(text: str) -> int:
    """Where the path that `text` begins with ends: a > inside a quoted local part does not count."""
    end = text.find(">")
    if '"' not in text[:end] or end < 0:
        return end + 1 if end >= 0 else len(text)
    quoted = escaped = False
    for position, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return position + 1
    return len(text)
