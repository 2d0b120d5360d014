"""Messages as JSON, in the shape of Mailpit's API (its v1), so that programs written for it need not change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ehlo.lab.letter import Letter, Part, Summary
    from ehlo.mime import Person

JsonObject = dict[str, Any]


def person_to_json(person: Person) -> JsonObject:
    """Somebody whom a header names."""
    return {"Name": person.name, "Address": person.address}


def summary_to_json(summary: Summary) -> JsonObject:
    """What the headers of a message say, and how its text begins."""
    return {
        "MessageID": summary.message_id,
        "From": person_to_json(summary.sender),
        "To": [person_to_json(person) for person in summary.to],
        "Cc": [person_to_json(person) for person in summary.cc],
        "Bcc": [person_to_json(person) for person in summary.bcc],
        "ReplyTo": [person_to_json(person) for person in summary.reply_to],
        "Subject": summary.subject,
        "Date": summary.date.isoformat() if summary.date else "",
        "Attachments": summary.attachments,
        "Snippet": summary.snippet,
    }


def blind_copies(people: JsonObject, recipients: Iterable[str]) -> list[JsonObject]:
    """Who got a blind copy of a message: whom Bcc names, and whom the envelope alone does, which Mailpit says, too."""
    named = {who["Address"].lower() for field in ("To", "Cc", "Bcc") for who in people.get(field, ())}
    blind = [address for address in dict.fromkeys(recipients) if address.lower() not in named]
    return [*people.get("Bcc", ()), *({"Name": "", "Address": address} for address in blind)]


def part_to_json(part: Part) -> JsonObject:
    """An attachment, or what the HTML shows."""
    return {
        "PartID": part.id,
        "FileName": part.filename,
        "ContentType": part.content_type,
        "ContentID": part.content_id,
        "Size": part.size,
    }


def letter_to_json(letter: Letter) -> JsonObject:
    """A whole message as its reader sees it."""
    people = {name: value for name, value in summary_to_json(letter.summary).items() if name != "Snippet"}
    return {
        **people,
        "ReturnPath": letter.return_path,
        "Text": letter.text,
        "HTML": letter.html,
        "Inline": [part_to_json(part) for part in letter.inline],
        "Attachments": [part_to_json(part) for part in letter.attachments],
    }
