"""What the API takes and gives, as JSON Schemas: the `components` of the OpenAPI document.

An object has just the properties that stand here: what an answer gains is entered here, too, or the tests fail.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TABLE: Schema = {"type": "object"}
_TIME: Schema = {"type": "string", "format": "date-time"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXTS = _list(_TEXT)
_PEOPLE = _list(_ref("Person"))

_LETTER: dict[str, Schema] = {
    "ID": _TEXT,
    "MessageID": _TEXT,
    "From": _ref("Person"),
    **dict.fromkeys(("To", "Cc", "Bcc", "ReplyTo"), _PEOPLE),
    "Subject": _TEXT,
    "Tags": _TEXTS,
    "Size": _NUMBER,
    "Username": _TEXT,
    "Session": _NUMBER,
    "Envelope": _ref("Envelope"),
}

_SESSION: dict[str, Schema] = {
    "number": _NUMBER,
    "started": _TIME,
    "client": _TEXT,
    "helo": _TEXT,
    "sender": {"type": "string", "description": "The last that was named."},
    "sender_count": _NUMBER,
    "recipients": {**_TEXTS, "description": "The first hundred, each once."},
    "recipient_count": _NUMBER,
    "user": _TEXT,
    "tls": _TEXT,
    "ended": _FLAG,
    "seconds": _SECONDS,
    "event_count": _NUMBER,
    "outcome": {"enum": ["running", "delivered", "refused", "broken", "nothing"]},
    "reply": {"type": "string", "description": "The last refusal."},
    "messages": {**_TEXTS, "description": "The IDs of the first hundred that are still there."},
    "message_count": _NUMBER,
}

_PART: dict[str, Schema] = {
    "start": _NUMBER,
    "events": _list(_ref("Event")),
    "steps": {**_list(_ref("Step")), "description": "Those that end in these events."},
}

SCHEMAS: dict[str, Schema] = {
    "Error": _object(Error={"type": "string", "description": "What was wrong, in one sentence."}),
    "NotReleased": _object(
        Error={"type": "string", "description": "What was wrong, in one sentence."},
        Accepted={**_TEXTS, "description": "Whom the server took the message for."},
        Refused=_list(_object(Address=_TEXT, Reply=_TEXT)),
    ),
    "Nothing": _object(),
    "Person": _object(Name=_TEXT, Address=_TEXT),
    "Envelope": _object(From=_TEXT, To=_TEXTS),
    "MessageRow": _object(**_LETTER, Attachments=_NUMBER, Snippet=_TEXT, Read=_FLAG, Created=_TIME),
    "Messages": _object(
        **dict.fromkeys(("total", "unread", "count", "messages_count", "messages_unread", "start"), _NUMBER),
        tags=_TEXTS,
        messages=_list(_ref("MessageRow")),
    ),
    "Part": _object(PartID=_TEXT, FileName=_TEXT, ContentType=_TEXT, ContentID=_TEXT, Size=_NUMBER),
    "Message": _object(
        **_LETTER,
        **dict.fromkeys(("Date", "ReturnPath", "Text", "HTML"), _TEXT),
        **dict.fromkeys(("Inline", "Attachments"), _list(_ref("Part"))),
    ),
    "Headers": _map(_TEXTS),
    "Tags": _TEXTS,
    "Check": _object(level={"enum": ["error", "warning", "hint"]}, title=_TEXT, detail=_TEXT, ref=_TEXT),
    "Checks": _object(checks=_list(_ref("Check"))),
    "Info": _object(
        **dict.fromkeys(("Version", "LatestVersion", "Database"), _TEXT),
        **dict.fromkeys(("DatabaseSize", "Messages", "Unread"), _NUMBER),
        Tags=_map(_NUMBER),
        RuntimeStats=_object(SMTPAccepted=_NUMBER, Sessions=_NUMBER),
    ),
    "WebUI": _object(
        Label=_TEXT,
        MessageRelay=_object(Enabled=_FLAG, SMTPServer=_TEXT, ReturnPath=_TEXT, AllowedRecipients=_TEXT),
        SpamAssassin=_FLAG,
        DuplicatesIgnored=_FLAG,
    ),
    "Lab": _object(
        **dict.fromkeys(("version", "host", "persona", "scenario", "title", "description"), _TEXT),
        ports={**_map(_TEXT), "description": "Host and port of each door."},
        **dict.fromkeys(("messages", "unread", "sessions"), _NUMBER),
        **dict.fromkeys(("mailboxes", "users"), _TEXTS),
        any_recipient=_FLAG,
        release=_FLAG,
        keeps={"type": "boolean", "description": "Whether messages and sessions are kept at all."},
    ),
    "Event": _object(
        t=_SECONDS,
        first={"type": ["number", "null"], "minimum": 0},
        who={"enum": ["client", "server", "net"]},
        **dict.fromkeys(("kind", "stage", "text", "explain"), _TEXT),
        fault=_FLAG,
    ),
    "Step": _object(stage=_TEXT, name=_TEXT, at=_SECONDS, seconds=_SECONDS, ok=_FLAG, text=_TEXT),
    "Title": _object(rule=_TEXT, title=_TEXT),
    "Finding": _object(
        **dict.fromkeys(("rule", "title", "layer", "why"), _TEXT),
        **dict.fromkeys(("fix", "refs"), _TEXTS),
        evidence={**_list(_NUMBER), "description": "Numbers of events."},
    ),
    "SessionRow": _object(**_SESSION, findings=_list(_ref("Title"))),
    "Sessions": _object(total=_NUMBER, sessions=_list(_ref("SessionRow"))),
    "Session": _object(**_SESSION, **_PART, findings=_list(_ref("Finding"))),
    "SessionPart": _object(number=_NUMBER, event_count=_NUMBER, ended=_FLAG, **_PART),
    "Fault": _object(
        **dict.fromkeys(("id", "stage", "title"), _TEXT),
        **dict.fromkeys(("when", "do"), _TABLE),
        enabled=_FLAG,
        hits=_NUMBER,
        own={"type": "boolean", "description": "Whether it belongs to the scenario."},
    ),
    "Faults": _object(faults=_list(_ref("Fault")), stages=_TEXTS),
    "Scenario": _object(**dict.fromkeys(("name", "title", "description", "rule", "persona"), _TEXT)),
    "Scenarios": _object(current=_TEXT, scenarios=_list(_ref("Scenario"))),
    "OpenAPI": _TABLE,
}

#: What stands in paths, queries and bodies, by its name.
PARAMETERS: dict[str, Schema] = {
    **dict.fromkeys(("number", "start", "limit"), _NUMBER),
    **dict.fromkeys(("id", "part", "query", "Search"), _TEXT),
    **dict.fromkeys(("stage", "title", "name"), _TEXT),
    **dict.fromkeys(("when", "do"), _TABLE),
    **dict.fromkeys(("IDs", "Tags", "To"), _TEXTS),
    **dict.fromkeys(("enabled", "Read"), _FLAG),
}
