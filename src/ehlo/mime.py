"""Mail messages as octets (RFC 5322, RFC 2045 to 2047, RFC 2231): header sections, MIME parts, charsets, addresses.

A message is any octets whatever: nothing here raises, nothing asks the network, and the time taken grows with the
size alone. So the MIME structure (RFC 2046) is cut by searching for boundaries, not by the standard parser, which
nests as deep as a hostile message wants it to and looks at each line once a level. What the standard library does
well with one short value is left to it: continued parameters (RFC 2231) and dates.

Octets go in, text comes out, in this order: `walk` finds the entities, `content` decodes one, `decode_text` makes
characters of it, `clean` takes out what must not reach a terminal or a page.
"""

from __future__ import annotations

import binascii
import codecs
import encodings
import encodings.aliases
import html as html_entities
import pkgutil
import re
from datetime import UTC, datetime
from email.utils import decode_params, parsedate_to_datetime
from email.utils import unquote as unquote_string
from functools import cache
from typing import NamedTuple

#: How much of a header section is read. Real ones stay below 64 KiB.
MAX_HEADER = 256 * 1024
#: How much of a header field's value is taken apart into addresses or parameters.
MAX_ADDRESSES = 64 * 1024
MAX_PARAMETERS = 8 * 1024
#: Bounds on the MIME tree: entities below this depth are left whole, those after this number are not listed.
MAX_DEPTH = 20
MAX_PARTS = 1000

#: Characters that no result has: C0 and C1 controls other than tab and line feed, and halves of surrogate pairs.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
#: Characters that turn the direction of writing, with which `exe.pdf` is made of a file called `fdp.exe`.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")

_FIELD_NAME = re.compile(rb"([!-9;-~\x80-\xff]+)[ \t]*:")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:*+-]{1,60})\?([bBqQ])\?([^?]*)\?=")
_CHARSET = re.compile(r"[a-z0-9_.:+-]{1,40}")
#: Names of charsets that mail has and Python has not, or has in a narrower sense than those who send it.
_CHARSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-8-i": "iso-8859-8",
    "ks_c_5601-1987": "cp949",
    "latin1": "cp1252",
    "shift_jis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "x-gbk": "gb18030",
    "x-sjis": "cp932",
}
#: Codecs that are no charsets of mail: they write escapes, or take a time that grows with the square of the length.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))

_TOKEN = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|<([^<>]*)>?|([(,;:])|([^"<(,;:\[]+|\[[^\]]*\]?)', re.DOTALL)
_COMMENT_MARK = re.compile(r"\\.|[()]", re.DOTALL)
_MEDIA_TYPE = re.compile(r"\s*([a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80})\s*(?![^\s;(])", re.IGNORECASE)
_WORD = re.compile(r"\s*([A-Za-z0-9-]{1,40})")
_PARAMETER = re.compile(r';\s*+([^\s;="]++)\s*+=\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^;]*+)')

_MARKUP = re.compile(r"<(?:(!--)|(/?)([a-z][a-z0-9]{0,20})|[!?])", re.IGNORECASE)
_CHARACTER = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});?")
_UNSEEN = {tag: re.compile(f"</{tag}(?![a-z0-9])", re.IGNORECASE) for tag in ("script", "style", "template", "title")}
_CELLS = {"td", "th"}
_BLOCKS = set(
    "address article aside blockquote body br center dd div dl dt fieldset footer form "  # noqa: SIM905 - easier to read
    "h1 h2 h3 h4 h5 h6 header hr html li main nav ol p pre section table tr ul".split()
)


class Person(NamedTuple):
    """Somebody whom a header field names. Either half may be empty; the address is not checked."""

    name: str
    address: str


class Header(NamedTuple):
    """A header section: fields unfolded, as octets. `end` is where the body begins.

    `stray` is the place of a line that is no field and so ended the section, or None if an empty line did.
    """

    fields: tuple[tuple[str, bytes], ...]
    end: int
    stray: int | None = None

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name (in lower case), not decoded any further."""
        return [decode_text(value, "") for key, value in self.fields if key.lower() == name]

    def first(self, name: str) -> str:
        """The value of the first field of that name; empty if there is none."""
        return next((decode_text(value, "") for key, value in self.fields if key.lower() == name), "")


class Entity(NamedTuple):
    """A message or a body part (RFC 2045 §2.4): a header, and a body from `start` to `end`.

    `parts` counts what a multipart was cut into; with 0 it is read as a single body. `within` is the type of the
    multipart around it. `closed` is false if a multipart's last boundary line is missing.
    """

    id: str
    header: Header
    start: int
    end: int
    content_type: str
    parameters: dict[str, str]
    within: str
    parts: int
    closed: bool

    @property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding in lower case; empty if there is none."""
        found = _WORD.match(self.header.first("content-transfer-encoding"))
        return found[1].lower() if found else ""

    @property
    def disposition(self) -> str:
        """`inline`, `attachment` or what else was said; empty if nothing was."""
        found = _WORD.match(self.header.first("content-disposition"))
        return found[1].lower() if found else ""

    @property
    def filename(self) -> str:
        """The name that the sender gave it, without directories (RFC 2183 §2.3)."""
        name = read_parameters(self.header.first("content-disposition")).get("filename")
        name = name or self.parameters.get("name", "")
        return _TURNING.sub("", re.split(r"[/\\]", name)[-1]).strip()


def clean(text: str) -> str:
    """A text with line feeds alone between its lines, without what could harm a terminal or a page."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """A text cleaned, in one line."""
    return re.sub(r"[\n\t]", " ", clean(text)).strip()


@cache
def _codecs() -> frozenset[str]:
    """The names that Python's codecs have. It would look for others in the file system, and remember them for ever."""
    return frozenset(encodings.aliases.aliases) | {module.name for module in pkgutil.iter_modules(encodings.__path__)}


def find_codec(charset: str) -> str:
    """Python's name of the codec that reads a charset of mail; empty if there is none."""
    name = charset.strip("\"' ").lower()
    name = _CHARSETS.get(name, name)
    if not _CHARSET.fullmatch(name) or encodings.normalize_encoding(name).replace(".", "_") not in _codecs():
        return ""
    try:
        codec = codecs.lookup(name).name
        b"?".decode(codec, "replace")  # LookupError: it makes octets of octets
    except (LookupError, ValueError):
        return ""
    return "" if codec in _NO_CHARSETS else codec


def decode_text(octets: bytes, charset: str) -> str:
    """Characters for octets in a charset, as well as can be done. Without a charset UTF-8 is tried first."""
    codec = find_codec(charset) if charset else ""
    if codec and codec != "ascii":
        try:
            return octets.decode(codec, "replace").removeprefix("\ufeff")
        except ValueError:
            pass
    try:
        # Not final: octets that were cut off within a character are still UTF-8, if there were others before.
        text, length = codecs.utf_8_decode(octets, "strict", False)
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")
    if length < len(octets) and text.isascii():
        return octets.decode("cp1252", "replace")
    return text.removeprefix("\ufeff")


def decode_base64(octets: bytes) -> bytes:
    """The octets behind base64, up to the padding; what does not belong there is passed over (RFC 2045 §6.8)."""
    alphabet = octets.translate(None, _NOT_BASE64).partition(b"=")[0]
    if len(alphabet) % 4 == 1:
        alphabet = alphabet[:-1]
    return binascii.a2b_base64(alphabet + b"=" * (-len(alphabet) % 4))


def decode_words(text: str) -> str:
    """A header's text with the encoded words of RFC 2047 decoded."""
    if "=?" not in text:
        return text
    pieces: list[str | tuple[str, bytearray]] = []
    end = 0
    for found in _ENCODED_WORD.finditer(text):
        between = text[end : found.start()]
        charset = found[1].partition("*")[0].lower()  # RFC 2231 §5: a language may follow
        word = found[3].encode("utf-8", "replace")
        octets = decode_base64(word) if found[2] in "bB" else binascii.a2b_qp(word, header=True)
        last = pieces[-1] if pieces else ""
        # RFC 2047 §6.2: white space between two encoded words is not shown.
        if not isinstance(last, str) and not between.strip():
            if last[0] == charset:  # Many senders cut within a character, though §5 forbids it.
                last[1].extend(octets)
            else:
                pieces.append((charset, bytearray(octets)))
        else:
            pieces += [between, (charset, bytearray(octets))]
        end = found.end()
    pieces.append(text[end:])
    return "".join(piece if isinstance(piece, str) else decode_text(bytes(piece[1]), piece[0]) for piece in pieces)


def read_header(raw: bytes, start: int = 0, end: int | None = None) -> Header:
    """Read the header section that begins at `start`."""
    end = len(raw) if end is None else end
    fields: list[tuple[str, list[bytes]]] = []
    at = start
    while at < end:
        if at - start > MAX_HEADER:
            empty = re.compile(rb"\n\r?\n").search(raw, at - 1, end)
            at = empty.end() if empty else end
            break
        feed = raw.find(b"\n", at, end)
        after = end if feed < 0 else feed + 1
        line = raw[at:after].rstrip(b"\r\n")
        name = _FIELD_NAME.match(line)
        if not line:
            at = after
            break
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
        elif name:
            fields.append((decode_text(name[1], "ascii"), [line[name.end() :]]))
        elif not (at == start and line.startswith((b"From ", b">From "))):  # the line that an mbox begins with
            return Header(_joined(fields), at, at)
        at = after
    return Header(_joined(fields), at)


def _joined(fields: list[tuple[str, list[bytes]]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, b"".join(lines).strip(b" \t")) for name, lines in fields)


def read_parameters(value: str) -> dict[str, str]:
    """The parameters of a Content-Type or Content-Disposition, names in lower case, RFC 2231 and RFC 2047 decoded."""
    # The standard parser cuts in a time that grows with the square of the length: only what was cut is left to it.
    cut = [(found[1].lower(), found[2].strip()) for found in _PARAMETER.finditer(one_line(value[:MAX_PARAMETERS]))]
    try:
        read = decode_params([("", ""), *cut])[1:]
    except Exception:
        # It raises this and that on hostile values, and differs from release to release.
        return {}
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    for name, text in read:
        if isinstance(text, tuple):
            decoded = _decode_extended(text[0] or "", unquote_string(text[2]))
            extended.setdefault(name, one_line(decoded))
        else:
            plain.setdefault(name, one_line(decode_words(unquote_string(text))))
    return plain | extended


def _decode_extended(charset: str, text: str) -> str:
    try:
        return decode_text(text.encode("latin-1"), charset)
    except UnicodeEncodeError:
        return text


def read_people(value: str) -> tuple[Person, ...]:
    """The people in a field such as To (RFC 5322 §3.4), in whatever shape; names of groups are left out."""
    value = value[:MAX_ADDRESSES]
    people: list[Person] = []
    phrase: list[str] = []
    bare: list[str] = []
    comment = address = ""
    at = 0
    while at <= len(value):
        token = _TOKEN.match(value, at)
        quoted, angle, mark, word = token.groups() if token else (None, None, ",", None)
        at = token.end() if token else len(value) + 1
        if mark == "(":
            comment, at = _comment(value, at)
        elif quoted is not None:
            phrase.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
            bare.append(f'"{quoted}"')
        elif angle is not None:
            address = address or angle
            bare = []  # What stands before angle brackets is a name, even if they are empty.
        elif word is not None:
            phrase.append(word)
            bare.append(word)
        else:
            if mark != ":":
                people += _person("".join(phrase), "".join(bare), address, comment)
            phrase, bare, comment, address = [], [], "", ""
    return tuple(people)


def _comment(value: str, at: int) -> tuple[str, int]:
    """The comment (RFC 5322 §3.2.2) whose parenthesis ends before `at`, and where it ends."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(value, at):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if not depth:
            return value[at : mark.start()], mark.end()
    return value[at:], len(value)


def _person(phrase: str, bare: str, address: str, comment: str) -> list[Person]:
    if not address:
        # No angle brackets: the address stands alone, with or without quotes, or a name does.
        bare = " ".join(bare.split())
        local, sign, domain = bare.rpartition("@")
        if sign:
            start = local.rfind('"', 0, -1) if local.endswith('"') else local.rfind(" ") + 1
            start = max(start, 0)
            phrase, address = local[:start], local[start:] + sign + domain.partition(" ")[0]
        elif bare and " " not in bare and '"' not in bare:
            phrase, address = "", bare
    elif address.startswith("@"):
        address = address.rpartition(":")[2]  # RFC 5322 §4.4: a route is to be ignored
    name = " ".join(one_line(decode_words(phrase.strip() or comment)).split())
    between = " " if address.lstrip().startswith('"') else ""  # RFC 5322 §3.4.1: a quoted local part may have spaces
    person = Person(name, between.join(one_line(address).split()))
    return [person] if any(person) else []


def read_date(value: str) -> datetime | None:
    """The time that a Date field tells (RFC 5322 §3.3), or None."""
    try:
        date = parsedate_to_datetime(value[:200])
    except Exception:
        # ValueError by the documentation; others have been seen on hostile values.
        return None
    if not 1900 <= date.year <= 9998:
        return None  # It could not be moved to another time zone.
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def walk(raw: bytes) -> list[Entity]:
    """All entities of a message: the message itself first, then its parts, each before its own parts."""
    found: list[Entity] = []
    _grow(raw, 0, len(raw), "", "", found)
    return found


def _grow(raw: bytes, start: int, end: int, place: str, within: str, found: list[Entity]) -> None:
    header = read_header(raw, start, end)
    media = _MEDIA_TYPE.match(header.first("content-type"))
    default = "message/rfc822" if within == "multipart/digest" else "text/plain"
    content_type = media[1].lower() if media else default
    parameters = read_parameters(header.first("content-type"))
    spans: list[tuple[int, int]] = []
    closed = True
    if content_type.startswith("multipart/") and place.count(".") < MAX_DEPTH - 1:
        spans, closed = _split(raw, header.end, end, parameters.get("boundary", "").encode("utf-8"))
    own = place or ("" if spans else "1")
    found.append(Entity(own, header, header.end, end, content_type, parameters, within, len(spans), closed))
    for number, (first, last) in enumerate(spans, 1):
        if len(found) < MAX_PARTS:
            _grow(raw, first, last, f"{place}.{number}" if place else str(number), content_type, found)


def _split(raw: bytes, start: int, end: int, boundary: bytes) -> tuple[list[tuple[int, int]], bool]:
    """Cut a multipart's body at its boundary lines (RFC 2046 §5.1.1); and whether the closing one is there."""
    spans: list[tuple[int, int]] = []
    first: int | None = None
    line = b"--" + boundary
    at = start
    while boundary and len(spans) < MAX_PARTS and (found := raw.find(line, at, end)) >= 0:
        at = found + len(line)
        if found > start and raw[found - 1] != 0x0A:
            continue
        closing = raw.startswith(b"--", at, end)
        feed = raw.find(b"\n", at, end)
        feed = end if feed < 0 else feed
        if raw[at + 2 * closing : feed].strip(b" \t\r"):
            continue  # another boundary that begins with this one
        if first is not None:
            # The line end before a boundary belongs to the boundary.
            last = found - 2 if raw[found - 2 : found] == b"\r\n" else found - 1
            spans.append((first, max(first, last)))
        if closing:
            return spans, True
        first = min(feed + 1, end)
        at = feed
    if len(spans) >= MAX_PARTS:
        return spans, True
    if first is not None:
        spans.append((first, end))
    return spans, False


def content(raw: bytes, entity: Entity, limit: int | None = None) -> bytes:
    """An entity's body without its transfer encoding (RFC 2045 §6); of no more than `limit` encoded octets."""
    body = raw[entity.start : entity.end if limit is None else min(entity.end, entity.start + limit)]
    if entity.encoding == "base64":
        return decode_base64(body)
    if entity.encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def body_text(raw: bytes, entity: Entity, limit: int | None = None) -> str:
    """An entity\'s body as clean text, whatever its charset; of no more than `limit` encoded octets."""
    return clean(decode_text(content(raw, entity, limit), entity.parameters.get("charset", "")))


def identifier(value: str) -> str:
    """What stands in angle brackets (RFC 5322 §3.6.4), or everything if there are none."""
    found = re.search(r"<([^<>]*)>", value)
    return "".join(one_line(found[1] if found else value).split())


def plain_text(html: str) -> str:
    """The text that HTML shows, a line a block. Good enough to search and to skim; it is no browser."""
    pieces: list[str] = []
    at = 0
    while found := _MARKUP.search(html, at):
        pieces.append(html[at : found.start()])
        tag = (found[3] or "").lower()
        end = html.find("-->" if found[1] else ">", found.end())
        at = len(html) if end < 0 else end + (3 if found[1] else 1)
        if tag in _UNSEEN and not found[2]:
            closing = _UNSEEN[tag].search(html, at)
            at = closing.start() if closing else len(html)
        pieces.append("\n" if tag in _BLOCKS else " " if tag in _CELLS else "")
    pieces.append(html[at:])
    text = clean(_CHARACTER.sub(lambda found: html_entities.unescape(found[0]), "".join(pieces)))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
