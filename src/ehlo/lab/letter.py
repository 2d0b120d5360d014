"""What can be read out of a message that the lab took: who wrote it, what it says, what hangs on it.

A message is any octets whatever, up to `MAX_SIZE` and beyond: nothing here raises, nothing asks the network,
and the time taken grows with the size alone. How octets become entities and text is `ehlo.mime`; this module
says which of them are the text, the attachments and the pictures in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from ehlo.mime import (
    Entity,
    Person,
    body_text,
    clean,
    content,
    decode_text,
    decode_words,
    identifier,
    one_line,
    plain_text,
    read_date,
    read_people,
    walk,
)

#: How much of a body `summarize` decodes, and how many characters of it are shown.
MAX_LOOK = 64 * 1024
MAX_SNIPPET = 250
#: How much of each body a search looks through.
MAX_SEARCHED = 1024 * 1024

_CID = re.compile(r"""((?:=|\burl\()\s{0,9}(?:["']|&quot;|&\#3[49];)?\s{0,9})cid:([^\s"'<>()&]+)""", re.IGNORECASE)


class Part(NamedTuple):
    """A body part that is shown beside the text.

    `id` is its place in the MIME tree: `2.1` is the first part of the second part. `filename` is without
    directories and empty if there is none. `content_id` is without angle brackets. `size` counts decoded octets.
    """

    id: str
    filename: str
    content_type: str
    content_id: str
    size: int
    inline: bool


class Summary(NamedTuple):
    """A line in a list of messages. `message_id` is without angle brackets; `date` always knows its time zone."""

    message_id: str
    subject: str
    sender: Person
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    bcc: tuple[Person, ...]
    reply_to: tuple[Person, ...]
    date: datetime | None
    attachments: int
    snippet: str


class Letter(NamedTuple):
    """A message as its reader sees it. `text` and `html` are empty if the message has none.

    `attachments` and `inline` are apart: what the HTML shows (a logo) is nothing that the reader was sent.
    """

    summary: Summary
    return_path: str
    text: str
    html: str
    attachments: tuple[Part, ...]
    inline: tuple[Part, ...]
    headers: tuple[tuple[str, str], ...]


class _Sorted(NamedTuple):
    """The parts of a message by what they are to its reader."""

    text: list[Entity]
    html: list[Entity]
    attachments: list[Entity]
    inline: list[Entity]


def _sort(entities: list[Entity]) -> _Sorted:
    text: list[Entity] = []
    html: list[Entity] = []
    attachments: list[Entity] = []
    inline: list[Entity] = []
    for entity in entities:
        if entity.parts:
            continue
        body = html if entity.content_type == "text/html" else text
        readable = entity.content_type.startswith(("text/plain", "text/html", "multipart/"))
        # A name alone makes no attachment of the first text: some programs give names to all parts.
        named = entity.filename and (entity.disposition or body)
        if readable and entity.disposition != "attachment" and not named:
            body.append(entity)
        elif _is_inline(entity):
            inline.append(entity)
        else:
            attachments.append(entity)
    return _Sorted(text, html, attachments, inline)


def _is_inline(entity: Entity) -> bool:
    """Whether the HTML shows it. Some programs call all that they embed attachments: pictures are believed less."""
    if entity.within == "multipart/related":
        return entity.disposition != "attachment" or entity.content_type.startswith("image/")
    return entity.disposition == "inline" and bool(_content_id(entity))


def _content_id(entity: Entity) -> str:
    return identifier(entity.header.first("content-id"))


def _summary(raw: bytes, entities: list[Entity], parts: _Sorted) -> Summary:
    header = entities[0].header

    def people(name: str) -> tuple[Person, ...]:
        return tuple(person for value in header.all(name) for person in read_people(value))

    snippet = ""
    for entity in [*parts.text[:1], *parts.html[:1]]:
        text = body_text(raw, entity, MAX_LOOK)
        snippet = snippet or " ".join((plain_text(text) if entity in parts.html else text).split())
    sender = people("from") or people("sender")
    return Summary(
        message_id=identifier(header.first("message-id")),
        subject=one_line(decode_words(header.first("subject"))),
        sender=sender[0] if sender else Person("", ""),
        to=people("to"),
        cc=people("cc"),
        bcc=people("bcc"),
        reply_to=people("reply-to"),
        date=read_date(header.first("date")),
        attachments=len(parts.attachments),
        snippet=snippet[:MAX_SNIPPET].rstrip(),
    )


def summarize(raw: bytes) -> Summary:
    """What a list of messages shows. Quick: of the bodies, `MAX_LOOK` octets are decoded."""
    entities = walk(raw)
    return _summary(raw, entities, _sort(entities))


def read_letter(raw: bytes) -> Letter:
    """Everything that a reader sees of a message."""
    entities = walk(raw)
    parts = _sort(entities)
    header = entities[0].header

    def described(chosen: list[Entity], inline: bool) -> Iterator[Part]:
        for one in chosen:
            yield Part(one.id, one.filename, one.content_type, _content_id(one), len(content(raw, one)), inline)

    senders = read_people(header.first("return-path"))
    return Letter(
        summary=_summary(raw, entities, parts),
        return_path=senders[0].address if senders else "",
        text="\n".join(body_text(raw, entity) for entity in parts.text),
        html="\n".join(body_text(raw, entity) for entity in parts.html),
        attachments=tuple(described(parts.attachments, False)),
        inline=tuple(described(parts.inline, True)),
        headers=tuple((one_line(name), one_line(decode_words(decode_text(v, "")))) for name, v in header.fields),
    )


def part_content(raw: bytes, part_id: str) -> tuple[str, str, bytes] | None:
    """The content type, file name and decoded octets of a part; None if there is no part of that id."""
    for entity in walk(raw):
        if entity.id == part_id and not entity.parts:
            return entity.content_type, entity.filename, content(raw, entity)
    return None


def search_text(raw: bytes) -> str:
    """What a search through messages shall find: subject, people, texts, file names. One after the other in lines."""
    entities = walk(raw)
    parts = _sort(entities)
    summary = _summary(raw, entities, parts)
    people = [summary.sender, *summary.to, *summary.cc, *summary.bcc, *summary.reply_to]
    files = [entity.filename for entity in [*parts.attachments, *parts.inline]]
    lines = [
        summary.subject,
        *(f"{name} {address}".strip() for name, address in people),
        summary.message_id,
        *(body_text(raw, entity, MAX_SEARCHED) for entity in parts.text),
        *(plain_text(body_text(raw, entity, MAX_SEARCHED)) for entity in parts.html),
        *files,
    ]
    return "\n".join(line for line in lines if line)


def html_document(letter: Letter, cid_url: Callable[[str], str]) -> str:
    """The HTML with each `cid:` reference (RFC 2392) replaced by what `cid_url` makes of the content id.

    Nothing else is changed: that the HTML does no harm is the business of the frame that shows it.
    """

    def address(found: re.Match[str]) -> str:
        url = cid_url(clean(unquote(found[2])))
        # What would end the attribute or the `url()` is percent-encoded, whatever the content id was.
        return found[1] + quote(clean(url), safe="!#$%&*+,/:;=?@[]~")

    return _CID.sub(address, letter.html)
