"""A bounce cut into what it is made of: header, fields of its reports, text for people, the message that came back."""

from __future__ import annotations

import re
from typing import NamedTuple

from ehlo.mime import Entity, Header, body_text, plain_text, read_header, walk

#: How much of a text is looked at; what bounces say fits into a page, and then the message follows.
MAX_TEXT = 64 * 1024
#: The length of a line that may announce the returned message, and how much behind it shows whether it does.
MAX_HEADING = 200
MAX_LOOK = 8 * 1024
#: Of the lines behind such a line, how many may stand before the first field of the message.
LOOKED_AT = 3
#: How many text parts are read.
MAX_TEXTS = 8

_REPORTS = ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification")
_RETURNED = ("message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header", "message/global-headers")

#: The line before the message that came back, where it is no part of its own.
_BEFORE_RETURNED = re.compile(
    r"""^[ \t|>*-]*(?:
        (?:-+[ ]?)?(?:below|enclosed|included|attached|following|this|here)[ ](?:this[ ]line[ ])?(?:is|are)
            [ ](?:a[ ]|the[ ])?(?:copy|header|original|text|message|beginning)\b.*
      | (?:the[ ])?(?:original|returned|unsent|undelivered|failed|bounced|your|message)[ ]
            (?:e?-?mail|message|text|header|headers?[ ]of)?[ ]?(?:mail[ ]info|headers?|body|text)?[ ]?
            (?:follows?)?[ ]?(?:below|:)?[ ]*(?:[|.:]|-{3,}|\*{3,})[ -]*
      | (?:the[ ])?(?:header|text|body|beginning|content)s?[ ]of[ ]the[ ](?:original|returned|undelivered)[ ]
            (?:e?-?mail|message).*
      | (?:original|unsent|returned|undelivered|message|rejected)[ ](?:e?-?mail[ ]|message[ ]|text[ ]|headers?[ ])*
            follows?\b.*
      | (?:received|return-path):[ ]?.+
    )$""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_FIELD = re.compile(r"^([!-9;-~]{1,60}) ?:(?: |$|\S)")
#: Fields that a returned message has, and that the text of a bounce has not at the beginning of three lines.
_OF_MAIL = {"received", "return-path", "message-id", "from", "to", "subject", "date", "mime-version", "x-mailer"}
_OF_MAIL |= {"dkim-signature", "content-type", "content-transfer-encoding", "user-agent"}


class Parts(NamedTuple):
    """The parts of a bounce. `text` ends where the returned message begins; `returned` is the latter's header."""

    header: Header
    text: str
    reports: tuple[str, ...]
    feedback: str
    returned: Header
    body: str
    content_type: str
    parameters: dict[str, str]


def cut(raw: bytes) -> Parts:
    """Cut a mail into its parts."""
    entities = walk(raw)
    texts: list[str] = []
    pages: list[str] = []
    reports: list[str] = []
    feedback = ""
    returned: Header | None = None
    body = ""
    for entity in entities:
        if entity.parts:
            continue
        kind = entity.content_type
        if kind in _REPORTS:
            reports.append(body_text(raw, entity, MAX_TEXT))
        elif kind == "message/feedback-report":
            feedback = feedback or body_text(raw, entity, MAX_TEXT)
        elif kind in _RETURNED or _is_attached(entity):
            if returned is None and (kind in _RETURNED or kind.startswith("text/")):
                returned, body = _message(raw, entity)
        elif kind == "text/html":
            if len(pages) < MAX_TEXTS:
                pages.append(plain_text(body_text(raw, entity, MAX_TEXT)))
        elif kind.startswith(("text/", "multipart/")) and len(texts) < MAX_TEXTS:
            texts.append(body_text(raw, entity, MAX_TEXT))
    text = "\n\n".join(texts if any(text.strip() for text in texts) else pages)
    told, rest = _split_returned(text)
    if returned is None or not returned.fields:
        returned = read_header(rest.lstrip("\r\n -|").encode("utf-8", "replace"))
        body = body or rest
    first = entities[0]
    return Parts(first.header, told, tuple(reports), feedback, returned, body, first.content_type, first.parameters)


def _is_attached(entity: Entity) -> bool:
    return entity.disposition == "attachment" or entity.content_type.startswith(("image/", "application/", "message/"))


def _message(raw: bytes, entity: Entity) -> tuple[Header, str]:
    text = body_text(raw, entity, MAX_TEXT)
    return read_header(text.lstrip("\n").encode("utf-8", "replace")), text


def _split_returned(text: str) -> tuple[str, str]:
    """The text of the bounce, and the message that follows it in the same part."""
    end = len(text)
    start = 0
    for line in text.split("\n"):
        # A longer line is no heading; and what stands at the very beginning is what the bounce is about.
        heading = len(line) <= MAX_HEADING and _BEFORE_RETURNED.match(line) and re.search(r"\w", text[:start])
        if heading and _is_returned(text[start : start + MAX_LOOK]):
            end = start
            break
        start += len(line) + 1
    at = _header_begins(text[:end])
    return (text[:at], text[at:]) if at < end else (text[:end], _after_line(text[end:]))


def _after_line(text: str) -> str:
    first, feed, rest = text.partition("\n")
    if first.lower().startswith(("received:", "return-path:")):
        return text
    return rest if feed else ""


def _is_returned(rest: str) -> bool:
    """Whether what follows such a line is a message, or nothing: some systems leave the message out."""
    lines = [line for line in rest.split("\n", 40)[1:40] if line.strip(" -\t|*=")]
    if not lines:
        return True
    fields = [found[1].lower() for line in lines[:LOOKED_AT] if (found := _FIELD.match(line.strip()))]
    return any(name in _OF_MAIL or name.startswith("x-") for name in fields) and "diagnostic-code" not in fields


def _header_begins(text: str) -> int:
    """Where three fields of a mail's header follow one another; the end of the text if they do nowhere."""
    at = start = run = 0
    for line in text.split("\n"):
        found = _FIELD.match(line)
        if found and (found[1].lower() in _OF_MAIL or (run and found[1].lower().startswith("x-"))):
            start, run = (at, 1) if not run else (start, run + 1)
            if run == 3 and start:
                return start
        elif not (run and line[:1] in (" ", "\t")):
            run = 0
        at += len(line) + 1
    return len(text)
