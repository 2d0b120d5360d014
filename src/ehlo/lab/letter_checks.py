"""What the receivers of a message will find wrong with it: header fields, lines, MIME, HTML, signatures.

The message alone is looked at: no name is looked up and no signature verified, so what is said about DKIM and DMARC
is what can be seen without the DNS. Like `letter`, this takes any octets, never raises, and takes a time that grows
with the size alone.

A check is a function that takes a `_Mail` and returns a sentence about what is wrong, or nothing; and an entry in
`_RULES` that says how bad that is, what to do, and where it is written. The rest is done by `check_letter`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from ehlo.lab.letter import Letter, read_letter
from ehlo.mime import (
    MAX_DEPTH,
    MAX_HEADER,
    Entity,
    Header,
    Person,
    find_codec,
    read_date,
    read_people,
    walk,
)

Level = Literal["error", "warning", "hint"]

#: How many octets a line may have, and how many characters it should have (RFC 5322 §2.1.1), without its end.
MAX_LINE = 998
GOOD_LINE = 78
#: How many recipients To and Cc may name before it looks like a mailing list made by hand.
MAX_NAMED = 100
#: How far the Date may be from the time at which the message came.
MAX_DRIFT = timedelta(days=1)
#: How many things one sentence names.
_MAX_NAMES = 3

#: RFC 5322 §3.6, the table: fields that may stand once only.
_ONCE = ("Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject")
_ONCE_MIME = ("MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Disposition")
_ENCODINGS = {"7bit", "8bit", "binary", "base64", "quoted-printable"}
#: RFC 6376 §3.5: tags that no signature may lack.
_DKIM_TAGS = ("v", "a", "b", "bh", "d", "h", "s")
#: Endings of files that large receivers refuse, whatever is in them.
_PROGRAM = re.compile(
    r"\.(?:ade|adp|apk|app|appx|bat|chm|cmd|com|cpl|dll|exe|hta|ins|iso|isp|jar|jnlp|js|jse|lnk|mde|msc|msi|msix|msp|mst"
    r"|pif|ps1|reg|scr|sct|shb|sys|vb|vbe|vbs|vhd|vxd|wsc|wsf|wsh|xll)\Z",
    re.IGNORECASE,
)
#: Below these, organisations have the third label: the most common ones, where a list of all would need an update.
_SECONDS = {
    "jp": "ac co go ne or",
    "uk": "ac co gov ltd me net nhs org plc sch",
    "nz": "ac co net org",
    "za": "ac co org",
    "id il ke th": "co",
    "kr": "co go or",
    "in": "co gov",
    "at": "co or",
    "ar bd co eg hk my ng pe ph pk sa sg tw ua ve vn": "com",
    "tr": "com edu",
    "au": "com edu gov net org",
    "cn": "com edu net org",
    "pl": "com edu org",
    "mx": "com gob org",
    "br": "com gov net nom org",
}
_SUFFIXES = frozenset(
    f"{second}.{top}" for tops, seconds in _SECONDS.items() for top in tops.split() for second in seconds.split()
)

_MESSAGE_ID = re.compile(r"<[^<>@]+@[^<>]+>")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BROKEN_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+(?:\r?\n|\Z))")
_BULK = {"bulk", "list", "junk"}

_ACTIVE = re.compile(r"<(script|form|iframe|frame|object|embed|applet)(?![a-z0-9-])", re.IGNORECASE)
_LOADING = re.compile(
    r"<(?:img|image|input|video|audio|source|body|table|tr|td|th|link)(?![a-z0-9-])[^<>]*", re.IGNORECASE
)
_REMOTE = re.compile(
    r"""(?<![\w-])(?:src|srcset|poster|background|href)\s{0,9}=\s{0,9}["']?\s{0,9}(?:https?:)?//""", re.IGNORECASE
)
_REMOTE_STYLE = re.compile(r"""\burl\(\s{0,9}(?:["']|&quot;|&\#3[49];)?\s{0,9}(?:https?:)?//""", re.IGNORECASE)


class Check(NamedTuple):
    """Something that is wrong with a message.

    `title` names it in a few words. `detail` says in one sentence what is wrong in this message, in another what to
    do. `ref` is where it is written, such as "RFC 5322 section 3.6"; empty if it is written nowhere.
    """

    level: Level
    title: str
    detail: str
    ref: str


class _Mail(NamedTuple):
    """What the checks look at: a message, taken apart once."""

    raw: bytes
    sender: str
    recipients: tuple[str, ...]
    now: datetime
    entities: tuple[Entity, ...]
    letter: Letter
    authors: tuple[Person, ...]
    signatures: tuple[dict[str, str], ...]

    @property
    def header(self) -> Header:
        return self.entities[0].header

    @property
    def leaves(self) -> Iterator[Entity]:
        """The entities that have a body of their own."""
        return (entity for entity in self.entities if not entity.parts)

    @property
    def domain(self) -> str:
        """The domain that DMARC is about: the one in From. Empty if there is none."""
        return next((_domain(author.address) for author in self.authors if _is_address(author.address)), "")

    @property
    def bulk(self) -> bool:
        """Whether it says of itself that it went to many."""
        precedence = self.header.first("precedence").strip().lower()
        return precedence in _BULK or bool(self.header.first("list-id"))


class _Rule(NamedTuple):
    level: Level
    title: str
    #: What is wrong with this message, as a sentence; empty if nothing is.
    look: Callable[[_Mail], str]
    #: What to do about it, as a sentence.
    remedy: str
    ref: str


def check_letter(
    raw: bytes, sender: str = "", recipients: tuple[str, ...] = (), *, now: datetime | None = None
) -> list[Check]:
    """What is wrong with a message, the most serious first.

    `raw` is the message as it came over the wire. `sender` and `recipients` are its envelope's addresses, if known.
    `now` is when it came, and knows its time zone; without it, it came just now.
    """
    entities = tuple(walk(raw))
    header = entities[0].header
    mail = _Mail(
        raw,
        sender,
        recipients,
        now or datetime.now(UTC),
        entities,
        read_letter(raw),
        tuple(person for value in header.all("from") for person in read_people(value)),
        tuple(_tags(value) for value in header.all("dkim-signature")),
    )
    found = [
        Check(rule.level, rule.title, f"{fact} {rule.remedy}", rule.ref) for rule in _RULES if (fact := rule.look(mail))
    ]
    order: tuple[Level, ...] = ("error", "warning", "hint")
    return sorted(found, key=lambda check: order.index(check.level))


# Words


def _shown(text: str) -> str:
    """A piece of the message as it may stand in a sentence."""
    text = "".join(c if c.isprintable() else "?" for c in text[:80]) + ("…" if len(text) > 80 else "")
    return f"“{text}”"


def _named(names: Iterable[str]) -> str:
    """Several things in a sentence: the first few, and how many others there are."""
    all_names = list(names)
    more = len(all_names) - _MAX_NAMES
    return ", ".join(all_names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _times(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"


def _place(entity: Entity) -> str:
    return f"part {entity.id}" if entity.within else "the message"


def _places(entities: Iterable[Entity]) -> str:
    return _named(_place(entity) for entity in entities)


# Domains


def _is_address(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return bool(local and domain)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _organisation(domain: str) -> str:
    """The organisational domain (RFC 7489 §3.2), as well as it is known without the list of public suffixes."""
    domain = domain.strip().rstrip(".").lower()
    if not domain.isascii() and len(domain) < 255:
        with suppress(UnicodeError):
            domain = domain.encode("idna").decode("ascii")
    labels = domain.split(".")
    return ".".join(labels[-3 if ".".join(labels[-2:]) in _SUFFIXES else -2 :])


def _tags(value: str) -> dict[str, str]:
    """The tags of a DKIM-Signature (RFC 6376 §3.2), without the white space that may stand anywhere in them."""
    pairs = (tag.partition("=") for tag in "".join(value.split()).split(";"))
    return {name: text for name, sign, text in pairs if sign}


# Header fields


def _lacks(name: str) -> Callable[[_Mail], str]:
    def look(mail: _Mail) -> str:
        return "" if mail.header.all(name.lower()) else f"The header has no {name} field."

    return look


def _doubled(header: Header, names: tuple[str, ...]) -> list[str]:
    count = Counter(name.lower() for name, _ in header.fields)
    return [f"{count[name.lower()]} {name} fields" for name in names if count[name.lower()] > 1]


def _doubled_fields(mail: _Mail) -> str:
    doubled = _doubled(mail.header, _ONCE)
    return f"The header has {_named(doubled)}." if doubled else ""


def _doubled_mime(mail: _Mail) -> str:
    doubled = [(_place(entity), names) for entity in mail.entities if (names := _doubled(entity.header, _ONCE_MIME))]
    return f"The header of {doubled[0][0]} has {_named(doubled[0][1])}." if doubled else ""


def _stray_line(mail: _Mail) -> str:
    at = mail.header.stray
    if at is None:
        return ""
    line = mail.raw[at : at + 100].partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    return f"The line {_shown(line)} stands in the header and is no field, so the body begins there."


def _author_without_address(mail: _Mail) -> str:
    values = mail.header.all("from")
    if not values or any(_is_address(author.address) for author in mail.authors):
        return ""
    return (
        f"The From field is {_shown(values[0])}, which holds no address." if values[0] else "The From field is empty."
    )


def _authors_without_sender(mail: _Mail) -> str:
    if len(mail.authors) < 2 or mail.header.all("sender"):
        return ""
    return f"The From field names {len(mail.authors)} authors, and there is no Sender field."


def _date_unreadable(mail: _Mail) -> str:
    dates = mail.header.all("date")
    return f"The Date is {_shown(dates[0])}, which is no date." if dates and not read_date(dates[0]) else ""


def _date_far(mail: _Mail) -> str:
    date = read_date(mail.header.first("date"))
    if date is None or abs(date - mail.now) <= MAX_DRIFT:
        return ""
    days = abs(date - mail.now).days
    return f"The Date is {_times(days, 'day', 'days')} {'before' if date < mail.now else 'after'} the message came."


def _message_id(mail: _Mail) -> str:
    values = mail.header.all("message-id")
    if not values or _MESSAGE_ID.search(values[0]):
        return ""
    return f"The Message-ID is {_shown(values[0])}, which has not the form <left@right>."


def _no_recipient_fields(mail: _Mail) -> str:
    if any(mail.header.all(name) for name in ("to", "cc", "bcc")):
        return ""
    return "The header has no To, Cc or Bcc field."


def _no_subject(mail: _Mail) -> str:
    if mail.letter.summary.subject:
        return ""
    return "The Subject is empty." if mail.header.all("subject") else "The header has no Subject field."


def _blind_copies(mail: _Mail) -> str:
    people = [person.address or person.name for person in mail.letter.summary.bcc]
    return f"The Bcc field names {_named(map(_shown, people))}, for all recipients to read." if people else ""


def _many_recipients(mail: _Mail) -> str:
    count = len(mail.letter.summary.to) + len(mail.letter.summary.cc)
    return f"To and Cc name {count} recipients." if count > MAX_NAMED else ""


def _nobody_named(mail: _Mail) -> str:
    summary = mail.letter.summary
    named = {person.address.lower() for person in (*summary.to, *summary.cc, *summary.bcc)}
    if mail.bulk or not named or not mail.recipients or named & {address.lower() for address in mail.recipients}:
        return ""
    return "The header names none of the recipients to whom the message was sent."


def _return_path(mail: _Mail) -> str:
    return "The header has a Return-Path field already." if mail.header.all("return-path") else ""


def _unsubscribe(mail: _Mail) -> str:
    if not mail.bulk or mail.header.first("list-unsubscribe"):
        return ""
    return "The message says that it went to many, and has no List-Unsubscribe field."


def _one_click(mail: _Mail) -> str:
    way = mail.header.first("list-unsubscribe")
    if not mail.bulk or not way or ("https:" in way.lower() and mail.header.first("list-unsubscribe-post")):
        return ""
    return "List-Unsubscribe does not work with one click."


# Octets


def _long_line(mail: _Mail) -> str:
    raw, at, number = mail.raw, 0, 1
    while len(raw) - at > MAX_LINE:
        # Lines that end within reach need no look of their own: on to the last of them.
        feed = raw.rfind(b"\n", at, at + MAX_LINE + 2)
        if feed < 0:
            end = raw.find(b"\n", at)
            end = len(raw) if end < 0 else end
            length = end - at - (raw[end - 1] == 0x0D)
            return f"Line {number} has {length} octets." if length > MAX_LINE else ""
        number += raw.count(b"\n", at, feed + 1)
        at = feed + 1
    return ""


def _long_header_line(mail: _Mail) -> str:
    for line in mail.raw[: min(mail.header.end, MAX_HEADER)].split(b"\n"):
        if len(line) > GOOD_LINE and len(text := line.rstrip(b"\r").decode("utf-8", "replace")) > GOOD_LINE:
            return f"The line {_shown(text[:30])}… has {len(text)} characters."
    return ""


def _bare_ends(mail: _Mail) -> str:
    ends = mail.raw.count(b"\r\n")
    returns, feeds = mail.raw.count(b"\r") - ends, mail.raw.count(b"\n") - ends
    bare = [
        *([_times(returns, "CR without LF", "CRs without LF")] if returns else ()),
        *([_times(feeds, "LF without CR", "LFs without CR")] if feeds else ()),
    ]
    return f"The message has {' and '.join(bare)}." if bare else ""


def _nuls(mail: _Mail) -> str:
    count = mail.raw.count(0)
    return f"The message has {_times(count, 'NUL octet', 'NUL octets')}." if count else ""


def _eight_bit_fields(mail: _Mail) -> Iterator[tuple[str, bool]]:
    """The fields of all entities that are not ASCII, and whether they are UTF-8."""
    for entity in mail.entities:
        for name, value in entity.header.fields:
            if not (name.isascii() and value.isascii()):
                try:
                    value.decode("utf-8")
                except UnicodeDecodeError:
                    yield name, False
                else:
                    yield name, True


def _header_not_utf8(mail: _Mail) -> str:
    names = [name for name, good in _eight_bit_fields(mail) if not good]
    return f"There are octets above 127 that are no UTF-8 in {_named(map(_shown, names))}." if names else ""


def _header_utf8(mail: _Mail) -> str:
    names = [name for name, good in _eight_bit_fields(mail) if good]
    return f"There is UTF-8 that is not encoded in {_named(map(_shown, names))}." if names else ""


def _eight_bit_body(mail: _Mail) -> str:
    found = [e for e in mail.leaves if e.encoding not in {"8bit", "binary"} and not _body(mail, e).isascii()]
    if not found:
        return ""
    said = found[0].encoding
    said = f"says {_shown(said)}" if said else "is missing"
    return f"There are octets above 127 in {_places(found)}, but Content-Transfer-Encoding {said}."


# MIME


def _body(mail: _Mail, entity: Entity) -> bytes:
    return mail.raw[entity.start : entity.end]


def _no_version(mail: _Mail) -> str:
    uses = any(mail.header.all(name) for name in ("content-type", "content-transfer-encoding"))
    return (
        "The message uses MIME, but has no MIME-Version field." if uses and not mail.header.all("mime-version") else ""
    )


def _multiparts(mail: _Mail) -> Iterator[Entity]:
    """The multiparts but for those that are nested too deep to be read."""
    return (
        entity
        for entity in mail.entities
        if entity.content_type.startswith("multipart/") and entity.id.count(".") < MAX_DEPTH - 1
    )


def _no_boundary(mail: _Mail) -> str:
    found = [entity for entity in _multiparts(mail) if not entity.parameters.get("boundary")]
    return f"There is a multipart without boundary parameter: {_places(found)}." if found else ""


def _no_parts(mail: _Mail) -> str:
    found = [e for e in _multiparts(mail) if e.parameters.get("boundary") and not e.parts]
    return f"There is a multipart in which its boundary never stands: {_places(found)}." if found else ""


def _not_closed(mail: _Mail) -> str:
    found = [entity for entity in _multiparts(mail) if entity.parts and not entity.closed]
    return f"There is a multipart without its last boundary line: {_places(found)}." if found else ""


def _type_unreadable(mail: _Mail) -> str:
    # What cannot be read, `walk` takes for text/plain, or for a message within a digest.
    for entity in mail.entities:
        value = entity.header.first("content-type")
        if value and not value.lstrip().lower().startswith(entity.content_type):
            return f"The Content-Type of {_place(entity)} is {_shown(value)}, which names no type."
    return ""


def _broken_base64(mail: _Mail) -> str:
    found = [e for e in mail.leaves if e.encoding == "base64" and not _is_base64(_body(mail, e))]
    return f"There is broken base64 in {_places(found)}." if found else ""


def _is_base64(body: bytes) -> bool:
    packed = body.translate(None, b" \t\r\n")
    bare = packed.rstrip(b"=")
    return len(packed) % 4 == 0 and len(packed) - len(bare) <= 2 and not bare.translate(None, _BASE64)


def _broken_quoted(mail: _Mail) -> str:
    found = [e for e in mail.leaves if e.encoding == "quoted-printable" and _BROKEN_QUOTED.search(_body(mail, e))]
    return f"There is an “=” with no code after it in {_places(found)}." if found else ""


def _unknown_encoding(mail: _Mail) -> str:
    found = [e for e in mail.entities if e.header.all("content-transfer-encoding") and e.encoding not in _ENCODINGS]
    if not found:
        return ""
    said = found[0].header.first("content-transfer-encoding")
    return f"The Content-Transfer-Encoding of {_place(found[0])} is {_shown(said)}."


def _encoded_multipart(mail: _Mail) -> str:
    found = [e for e in _multiparts(mail) if e.encoding in {"base64", "quoted-printable"}]
    return f"A multipart is encoded in {found[0].encoding}: {_places(found)}." if found else ""


def _unknown_charset(mail: _Mail) -> str:
    for entity in mail.leaves:
        charset = entity.parameters.get("charset", "")
        if entity.content_type.startswith("text/") and charset and not find_codec(charset):
            return f"The charset of {_place(entity)} is {_shown(charset)}."
    return ""


# What the reader sees


def _html_alone(mail: _Mail) -> str:
    html, text = mail.letter.html.strip(), mail.letter.text.strip()
    return "The message has HTML and no text beside it." if html and not text else ""


def _remote(mail: _Mail) -> str:
    html = mail.letter.html
    count = sum(1 for tag in _LOADING.finditer(html) if _REMOTE.search(tag[0]))
    count += sum(1 for _ in _REMOTE_STYLE.finditer(html))
    return f"The HTML loads {_times(count, 'thing', 'things')} from elsewhere, such as images." if count else ""


def _active(mail: _Mail) -> str:
    tags = dict.fromkeys(found[1].lower() for found in _ACTIVE.finditer(mail.letter.html))
    return f"The HTML has {_named(f'<{tag}>' for tag in tags)}." if tags else ""


def _programs(mail: _Mail) -> str:
    names = [entity.filename for entity in mail.leaves]
    names = [name for name in names if _PROGRAM.search(name.rstrip(". "))]
    return f"Attached is {_named(map(_shown, names))}." if names else ""


# DKIM and DMARC


def _unsigned(mail: _Mail) -> str:
    return "" if mail.signatures else "The message has no DKIM-Signature field."


def _lacking_tags(mail: _Mail) -> str:
    for tags in mail.signatures:
        lacking = [f"{name}=" for name in _DKIM_TAGS if not tags.get(name)]
        if lacking:
            return f"The DKIM-Signature of {_shown(tags.get('d', ''))} lacks {', '.join(lacking)}."
    return ""


def _signatures_where(mail: _Mail, wrong: Callable[[dict[str, str]], bool]) -> str:
    """The domains of the signatures with which something is wrong."""
    return _named(_shown(tags.get("d", "")) for tags in mail.signatures if wrong(tags))


def _from_unsigned(mail: _Mail) -> str:
    found = _signatures_where(mail, lambda tags: bool(tags.get("h")) and "from" not in tags["h"].lower().split(":"))
    return f"The DKIM-Signature of {found} does not sign the From field." if found else ""


def _sha1(mail: _Mail) -> str:
    found = _signatures_where(mail, lambda tags: tags.get("a", "").lower().endswith("-sha1"))
    return f"The DKIM-Signature of {found} is made with SHA-1." if found else ""


def _length_tag(mail: _Mail) -> str:
    found = _signatures_where(mail, lambda tags: "l" in tags)
    return (
        f"The DKIM-Signature of {found} has the tag l=, so anything can be added below what is signed." if found else ""
    )


def _signature_not_aligned(mail: _Mail) -> str:
    domains = [tags["d"] for tags in mail.signatures if tags.get("d")]
    if not domains or not mail.domain or _organisation(mail.domain) in map(_organisation, domains):
        return ""
    return f"From is at {_shown(mail.domain)}, but signed by {_named(map(_shown, domains))}."


def _sender_not_aligned(mail: _Mail) -> str:
    if not _is_address(mail.sender) or not mail.domain:
        return ""
    domain = _domain(mail.sender)
    if _organisation(domain) == _organisation(mail.domain):
        return ""
    return (
        f"The envelope's sender is at {_shown(domain)} and From at {_shown(mail.domain)}, so SPF will not help DMARC."
    )


#: All checks. Within a level, the most serious first.
_RULES: tuple[_Rule, ...] = (
    _Rule(
        "error",
        "No From field",
        _lacks("From"),
        "Add one with the author's address: many receivers refuse a message without it.",
        "RFC 5322 section 3.6",
    ),
    _Rule(
        "error",
        "From without an address",
        _author_without_address,
        "Write it as Name <name@example.com>.",
        "RFC 5322 section 3.6.2",
    ),
    _Rule(
        "error",
        "Several authors, no Sender",
        _authors_without_sender,
        "Add a Sender field with the one who sends it, or leave one author.",
        "RFC 5322 section 3.6.2",
    ),
    _Rule(
        "error",
        "Doubled header field",
        _doubled_fields,
        "Keep one of each: large receivers refuse a message with two.",
        "RFC 5322 section 3.6",
    ),
    _Rule(
        "error",
        "Line in the header that is no field",
        _stray_line,
        "Begin it with a name and a colon, or with a space if it continues the line before.",
        "RFC 5322 section 2.2",
    ),
    _Rule(
        "error",
        "No Date field",
        _lacks("Date"),
        "Add the time at which the message was written.",
        "RFC 5322 section 3.6.1",
    ),
    _Rule(
        "error",
        "Date not readable",
        _date_unreadable,
        "Write it like Tue, 01 Jul 2025 10:52:37 +0200.",
        "RFC 5322 section 3.3",
    ),
    _Rule(
        "error",
        "CR or LF alone",
        _bare_ends,
        "End every line with CRLF: servers refuse others since they allow to smuggle messages.",
        "RFC 5322 section 2.3",
    ),
    _Rule(
        "error",
        "Line too long",
        _long_line,
        "Break it, or encode the body in quoted-printable or base64: a line may have 998 octets.",
        "RFC 5322 section 2.1.1",
    ),
    _Rule(
        "error",
        "NUL octets",
        _nuls,
        "Encode the body in base64: servers cut or refuse a message with NUL.",
        "RFC 2045 section 2.8",
    ),
    _Rule(
        "error",
        "Header that is no UTF-8",
        _header_not_utf8,
        "Write other characters than ASCII as encoded words, such as =?utf-8?q?caf=C3=A9?=.",
        "RFC 2047 section 2",
    ),
    _Rule(
        "error",
        "Multipart without boundary",
        _no_boundary,
        "Add one to its Content-Type: no reader can cut it into parts.",
        "RFC 2046 section 5.1.1",
    ),
    _Rule(
        "error",
        "Multipart without parts",
        _no_parts,
        "Use the boundary of the Content-Type in the body, after two hyphens, on lines of its own.",
        "RFC 2046 section 5.1.1",
    ),
    _Rule(
        "error",
        "Multipart not closed",
        _not_closed,
        "End it with the boundary between two hyphens each; if that was written, the message was cut off.",
        "RFC 2046 section 5.1.1",
    ),
    _Rule(
        "error",
        "Content-Type not readable",
        _type_unreadable,
        "Write it as type/subtype; until then it is read as text/plain.",
        "RFC 2045 section 5.1",
    ),
    _Rule(
        "error",
        "Doubled MIME field",
        _doubled_mime,
        "Keep one of each: readers differ in which they believe, and receivers take that for an attack.",
        "RFC 2045 section 3",
    ),
    _Rule(
        "error",
        "Base64 broken",
        _broken_base64,
        "Encode it anew: the length must be a multiple of four, with padding at the end alone.",
        "RFC 2045 section 6.8",
    ),
    _Rule(
        "error",
        "Unknown transfer encoding",
        _unknown_encoding,
        "Use 7bit, 8bit, binary, quoted-printable or base64.",
        "RFC 2045 section 6.1",
    ),
    _Rule(
        "error",
        "Multipart encoded as a whole",
        _encoded_multipart,
        "Encode its parts instead.",
        "RFC 2045 section 6.4",
    ),
    _Rule(
        "error",
        "DKIM-Signature lacks tags",
        _lacking_tags,
        "Have the signer write v, a, b, bh, d, h and s: without them the signature does not count.",
        "RFC 6376 section 3.5",
    ),
    _Rule(
        "error",
        "DKIM-Signature does not sign From",
        _from_unsigned,
        "Name from in its tag h=: without that the signature does not count.",
        "RFC 6376 section 5.4",
    ),
    _Rule(
        "error",
        "DKIM-Signature with SHA-1",
        _sha1,
        "Sign with rsa-sha256 or ed25519-sha256: a signature with SHA-1 does not count.",
        "RFC 8301 section 3.1",
    ),
    _Rule(
        "warning",
        "Bcc left in the message",
        _blind_copies,
        "Take the field out before sending, and name the recipients in the envelope alone.",
        "RFC 5322 section 3.6.3",
    ),
    _Rule(
        "warning",
        "No Message-ID field",
        _lacks("Message-ID"),
        "Add one: receivers take a message without it for spam, and answers cannot refer to it.",
        "RFC 5322 section 3.6.4",
    ),
    _Rule(
        "warning",
        "Message-ID without @",
        _message_id,
        "Write something unique to the left and your domain to the right.",
        "RFC 5322 section 3.6.4",
    ),
    _Rule(
        "warning",
        "Date far from now",
        _date_far,
        "Set the clock of the system that writes the messages, and write the Date when sending.",
        "RFC 5322 section 3.6.1",
    ),
    _Rule(
        "warning",
        "No recipient in the header",
        _no_recipient_fields,
        "Add To, or To: undisclosed-recipients:; if nobody shall be named.",
        "RFC 5322 section 3.6.3",
    ),
    _Rule(
        "warning",
        "Eight-bit body not declared",
        _eight_bit_body,
        "Say Content-Transfer-Encoding: 8bit, or encode the body in quoted-printable or base64.",
        "RFC 2045 section 6.2",
    ),
    _Rule(
        "warning",
        "Header needs SMTPUTF8",
        _header_utf8,
        "Write it as encoded words, or send with SMTPUTF8 to servers that have it.",
        "RFC 6532 section 3.2",
    ),
    _Rule(
        "warning",
        "Quoted-printable broken",
        _broken_quoted,
        "Write each “=” of the text as =3D.",
        "RFC 2045 section 6.7",
    ),
    _Rule(
        "warning",
        "Unknown charset",
        _unknown_charset,
        "Use utf-8.",
        "RFC 2046 section 4.1.2",
    ),
    _Rule(
        "warning",
        "No MIME-Version field",
        _no_version,
        "Add MIME-Version: 1.0.",
        "RFC 2045 section 4",
    ),
    _Rule(
        "warning",
        "Return-Path before delivery",
        _return_path,
        "Leave it out: the server that delivers writes it.",
        "RFC 5321 section 4.4",
    ),
    _Rule(
        "warning",
        "Attached program",
        _programs,
        "Send a link instead: large receivers refuse such files, even in archives.",
        "",
    ),
    _Rule(
        "warning",
        "Signed by another domain",
        _signature_not_aligned,
        "Sign with the domain in From: without that, DKIM does not help DMARC.",
        "RFC 7489 section 3.1.1",
    ),
    _Rule(
        "warning",
        "DKIM-Signature with length",
        _length_tag,
        "Have the signer leave it out.",
        "RFC 6376 section 8.2",
    ),
    _Rule(
        "warning",
        "Bulk mail without List-Unsubscribe",
        _unsubscribe,
        "Add one: large receivers require it.",
        "RFC 2369 section 3.2",
    ),
    _Rule(
        "warning",
        "HTML without text",
        _html_alone,
        "Add the same in text/plain, as the first part of a multipart/alternative.",
        "RFC 2046 section 5.1.4",
    ),
    _Rule(
        "warning",
        "Very many recipients",
        _many_recipients,
        "Send to each alone, or through a mailing list.",
        "",
    ),
    _Rule(
        "hint",
        "No DKIM-Signature",
        _unsigned,
        "If the message was taken before your server signs it, all is well; otherwise have it sign.",
        "RFC 6376 section 5",
    ),
    _Rule(
        "hint",
        "Envelope of another domain",
        _sender_not_aligned,
        "Use a sender below the domain in From, or rely on DKIM.",
        "RFC 7489 section 3.1.2",
    ),
    _Rule(
        "hint",
        "Recipients not in the header",
        _nobody_named,
        "If these are not blind copies, correct the To field.",
        "RFC 5322 section 3.6.3",
    ),
    _Rule(
        "hint",
        "No subject",
        _no_subject,
        "Add one: some receivers take a message without it for spam.",
        "RFC 5322 section 3.6.5",
    ),
    _Rule(
        "hint",
        "No unsubscribing with one click",
        _one_click,
        "Add an https: address to it, and List-Unsubscribe-Post: List-Unsubscribe=One-Click.",
        "RFC 8058 section 3.1",
    ),
    _Rule(
        "hint",
        "HTML with scripts, forms or frames",
        _active,
        "Leave it out: receivers take it out or refuse the message.",
        "",
    ),
    _Rule(
        "hint",
        "HTML that loads from elsewhere",
        _remote,
        "See that it reads well without: most readers block that until they are asked.",
        "",
    ),
    _Rule(
        "hint",
        "Long line in the header",
        _long_header_line,
        "Fold it: a line should have no more than 78 characters.",
        "RFC 5322 section 2.1.1",
    ),
)
