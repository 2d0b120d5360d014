"""What may be searched for among captured messages: words with and without a field, as a condition of SQL.

    subject:invoice from:alice -tag:draft is:unread "two words"

The words are those of Mailpit's search, so that what was written for it goes on working.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Where(NamedTuple):
    """A condition of SQL on the table `messages`, and the values for its question marks. No value is in the text."""

    sql: str
    values: tuple[object, ...]


_ALL = Where("1", ())
_NONE = Where("0", ())

#: SQLite refuses conditions that nest deeper than 1,000. Nobody types as many words as this.
_MOST_WORDS = 250

_WORD = re.compile(r"""([-!]?)(?:([a-z-]+):)?("[^"]*"?|[^\s"]+)""", re.IGNORECASE)


def where(query: str) -> Where:
    """The condition for a query, all of whose words must hold. A field that is not known is an ordinary word.

    It needs the functions of SQL in `FUNCTIONS`. A query of too many words finds nothing.
    """
    # Halves of surrogate pairs and NULs are in no message, and SQLite takes neither.
    query = query.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    parts = list(dict.fromkeys(_word(found) for found in _WORD.finditer(query)))
    if not parts:
        return _ALL
    if len(parts) > _MOST_WORDS:
        return _NONE
    return Where(" AND ".join(part.sql for part in parts), tuple(value for part in parts for value in part.values))


def check_query(query: str) -> None:
    """Raises `ValueError` for a query with a word that can hold for no message; the message is one sentence."""
    for found in _WORD.finditer(query):
        if _condition(found) is _NONE:
            raise ValueError(f"'{found[2]}:' does not take '{found[3]}'.")


def _word(found: re.Match[str]) -> Where:
    condition = _condition(found)
    return Where(f"NOT ({condition.sql})", condition.values) if found[1] else condition


def _condition(found: re.Match[str]) -> Where:
    field, text = (found[2] or "").lower(), found[3].strip('"')
    return _FIELDS[field](text) if field in _FIELDS else _text(f"{found[2]}:{text}" if field else text)


def _holds(*columns: str) -> Callable[[str], Where]:
    def condition(text: str) -> Where:
        sql = " OR ".join(f"holds({column}, ?)" for column in columns)
        return Where(f"({sql})", (text.casefold(),) * len(columns))

    return condition


def _named(*columns: str) -> Callable[[str], Where]:
    """The same for addresses and identities, which are in no angle brackets where they are kept."""
    holds = _holds(*columns)
    return lambda text: holds(text.strip("<>") or text)


def _text(text: str) -> Where:
    if not text:
        return _ALL
    if len(text) < 3:
        # The index is of three characters at a time.
        return Where("number IN (SELECT rowid FROM found WHERE holds(text, ?))", (text.casefold(),))
    phrase = '"' + text.replace('"', '""') + '"'
    return Where("number IN (SELECT rowid FROM found WHERE text MATCH ?)", (phrase,))


def _tag(text: str) -> Where:
    return Where("has_line(tags, ?)", (text.casefold(),)) if text else _NONE


def _is(text: str) -> Where:
    return {"read": Where("read = 1", ()), "unread": Where("read = 0", ()), "tagged": Where("tags != ''", ())}.get(
        text.lower(), _NONE
    )


def _has(text: str) -> Where:
    return Where("attachments > 0", ()) if text.lower() in ("attachment", "attachments") else _NONE


def _size(sign: str) -> Callable[[str], Where]:
    def condition(text: str) -> Where:
        found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)([km]?)b?", text.lower())
        if found is None:
            return _NONE
        return Where(f"size {sign} ?", (float(found[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[found[2]],))

    return condition


def _date(sign: str) -> Callable[[str], Where]:
    def condition(text: str) -> Where:
        try:
            moment = datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            return _NONE
        return Where(f"created {sign} ?", ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(),))

    return condition


def _session(text: str) -> Where:
    return Where("session = ?", (int(text),)) if re.fullmatch(r"\d{1,15}", text) else _NONE


_FIELDS: dict[str, Callable[[str], Where]] = {
    "from": _named("author", "sender"),
    "to": _named("addressed", "recipients"),
    "cc": _named("copied"),
    "bcc": _named("blind(summary, recipients)"),
    "reply-to": _named("people(summary, 'ReplyTo')"),
    "addressed": _named("author", "sender", "addressed", "recipients", "people(summary, 'ReplyTo')"),
    "subject": _holds("subject"),
    "message-id": _named("json_extract(summary, '$.MessageID')"),
    "tag": _tag,
    "is": _is,
    "has": _has,
    "larger": _size(">"),
    "smaller": _size("<"),
    "after": _date(">="),
    "before": _date("<"),
    "session": _session,
}


def _text_holds(text: str | None, part: str) -> bool:
    return part in (text or "").casefold()


def _has_line(text: str, line: str) -> bool:
    return line in text.casefold().split("\n")


def _people(summary: str | None, field: str) -> str:
    """Whom a header field names."""
    return _names(json.loads(summary)[field] if summary else ())


def _blind(summary: str | None, recipients: str) -> str:
    """Who got a blind copy."""
    from ehlo.lab.letter_json import blind_copies

    return _names(blind_copies(json.loads(summary) if summary else {}, recipients.strip("\n").split("\n")))


def _names(people: Iterable[dict[str, str]]) -> str:
    return " ".join(f"{who['Name']} {who['Address']}" for who in people)


#: Functions that the conditions call, each of two values. SQLite's own know upper and lower case in ASCII alone, and
#: its LIKE no patterns as long as what people paste.
FUNCTIONS: dict[str, Callable[[Any, Any], bool | str]] = {
    "holds": _text_holds,
    "has_line": _has_line,
    "people": _people,
    "blind": _blind,
}
