"""The messages over HTTP: the core of Mailpit's API, v1, whose paths and names these are."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ehlo import __version__
from ehlo.lab.letter import html_document, part_content, read_letter
from ehlo.lab.letter_checks import check_letter
from ehlo.lab.letter_json import blind_copies, letter_to_json
from ehlo.lab.query import check_query
from ehlo.lab.store import Store, Stored
from ehlo.mime import plain_text
from ehlo.smtp.address import AddressError, parse_path
from ehlo.web.context import MAX_BODY, Json, context_of

JsonObject = dict[str, Any]

#: What one request may list.
_MAX_LIMIT = 1000
#: An HTML part in a frame: it runs nothing, loads nothing, sends nothing, and belongs to no origin.
_VIEW_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
#: The types of what no browser runs; all else is not called by its type.
_HARMLESS = re.compile(
    r"(?:image/(?!svg)|audio/|video/)[\w.+-]+|text/(?:plain|csv|calendar|vcard)|application/(?:pdf|zip|json)", re.ASCII
)
#: What browsers open connections for before they ask the policy: the hints of `<link>`, and frames. With no network
#: these are of no other use, so others stand in for them that are parsed in the same places and do nothing.
_CONNECTING = re.compile(r"<(/?)(link|i?frame)(?=[\s/>])", re.IGNORECASE | re.ASCII)
_INERT = {"link": "basefont", "frame": "basefont", "iframe": "noembed"}


def message_to_json(stored: Stored) -> JsonObject:
    """A message as a line in the list."""
    summary = {name: value for name, value in stored.summary.items() if name != "Date"}
    return {
        "ID": stored.id,
        **summary,
        "Bcc": blind_copies(summary, stored.recipients),
        "Read": stored.read,
        "Created": datetime.fromtimestamp(stored.created, UTC).isoformat(timespec="milliseconds"),
        "Username": stored.user,
        "Tags": list(stored.tags),
        "Size": stored.size,
        "Session": stored.session,
        "Envelope": _envelope(stored),
    }


def _envelope(stored: Stored) -> JsonObject:
    """Who the message came from and went to: header fields may say otherwise, or nothing."""
    return {"From": stored.sender, "To": list(stored.recipients)}


async def body_of(request: Request) -> JsonObject:
    """The JSON object that a request brings; empty without a body. Raises `HTTPException`."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            # Its length was not said in advance.
            raise HTTPException(413, "The request is too large.")
    try:
        value = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body of the request is not JSON.") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "The body of the request is not a JSON object.")
    return value


async def fields_of(request: Request, *names: str) -> JsonObject:
    """What a request brings that changes something, under the names of the API. Raises `HTTPException`.

    Mailpit matches names without regard to case. Any other name is refused: without IDs such a request means all
    messages, and a slip must not.
    """
    known = {name.lower(): name for name in names}
    out: JsonObject = {}
    for given, value in (await body_of(request)).items():
        name = known.get(given.lower(), "")
        if not name:
            takes = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
            raise HTTPException(400, f"{given[:100]} is not known here; this takes {takes}.")
        if name in out:
            raise HTTPException(400, f"{name} stands there twice.")
        out[name] = value
    return out


def _words(table: JsonObject, name: str) -> list[str]:
    value = table.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise HTTPException(400, f"{name} is a list of texts.")
    return value


def number_from(request: Request, name: str, default: int, most: int = 2**31) -> int:
    """A number of the query string."""
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdecimal()):
        raise HTTPException(400, f"{name} is a number from 0 on.")
    return min(int(text[:12]), most) if text else default


def _store(request: Request) -> Store:
    store = context_of(request).lab.store
    if store is None:
        raise HTTPException(404, "This lab keeps nothing.")
    return store


def _found(request: Request) -> tuple[Store, Stored, bytes]:
    store, id_, query = _store(request), request.path_params["id"], request.query_params.get("query", "")
    if query and id_ == "latest":
        id_ = next((newest.id for newest in store.messages(query, 0, 1).messages), "")
    stored = store.message(id_)
    raw = store.raw(stored.id) if stored is not None else None
    if stored is None or raw is None:
        raise HTTPException(404, "There is no such message.")
    return store, stored, raw


def info(request: Request) -> Response:
    """What this is, and how much it holds."""
    store, lab = _store(request), context_of(request).lab
    tags: dict[str, int] = {tag: store.tagged(tag) for tag in store.tags()}
    return Json(
        {
            "Version": __version__,
            "LatestVersion": "",
            "Database": store.path or "memory",
            "DatabaseSize": store.octets,
            "Messages": store.count,
            "Unread": store.unread(),
            "Tags": tags,
            "RuntimeStats": {"SMTPAccepted": lab.message_count, "Sessions": lab.session_count},
        }
    )


def alive(_: Request) -> Response:
    """Whether the lab runs."""
    return PlainTextResponse("ok")


def ready(_: Request) -> Response:
    """Whether the lab takes mail: it does as soon as it answers here."""
    return PlainTextResponse("ok")


def webui(request: Request) -> Response:
    """What the page of Mailpit asks for first."""
    release = context_of(request).release
    relay = {"Enabled": bool(release), "SMTPServer": release, "ReturnPath": "", "AllowedRecipients": ""}
    return Json({"Label": "", "MessageRelay": relay, "SpamAssassin": False, "DuplicatesIgnored": False})


def messages(request: Request) -> Response:
    """The messages, the newest first."""
    return _list(request, "")


def search(request: Request) -> Response:
    """The messages that a query finds."""
    return _list(request, request.query_params.get("query", ""))


def _list(request: Request, query: str) -> Response:
    store = _store(request)
    start, limit = number_from(request, "start", 0), number_from(request, "limit", 50, _MAX_LIMIT)
    found = store.messages(query, start, limit)
    return Json(
        {
            "total": store.count,
            "unread": store.unread(),
            "count": len(found.messages),
            "messages_count": found.total,
            # Before the query, which may end in a quote that is not closed.
            "messages_unread": store.messages(f"is:unread {query}", 0, 0).total,
            "start": start,
            "tags": store.tags(),
            "messages": [message_to_json(stored) for stored in found.messages],
        }
    )


async def mark(request: Request) -> Response:
    """Mark messages as read or unread: those of these IDs, those that a query finds, or all."""
    body = await fields_of(request, "IDs", "Read", "Search")
    # Clients with types say all names, and leave empty what they do not mean.
    read, query = body.get("Read", False), body.get("Search", "")
    if not isinstance(read, bool):
        raise HTTPException(400, "Read is true or false.")
    if not isinstance(query, str):
        raise HTTPException(400, "Search is a query.")
    store, ids = _store(request), _words(body, "IDs") or None
    if query:
        if ids:
            raise HTTPException(400, "Messages are named by IDs or by Search, not by both.")
        ids = _found_by(store, query)
    store.mark(ids, read=read)
    context_of(request).feed.messages_changed()
    return PlainTextResponse("ok")


async def delete(request: Request) -> Response:
    """Delete messages; all of them without IDs."""
    ids = _words(await fields_of(request, "IDs"), "IDs") or None
    _store(request).delete(ids)
    context_of(request).feed.tell("deleted", {"IDs": ids} if ids else {})
    return PlainTextResponse("ok")


async def delete_found(request: Request) -> Response:
    """Delete the messages that a query finds."""
    store = _store(request)
    ids = _found_by(store, request.query_params.get("query", ""))
    store.delete(ids)
    context_of(request).feed.tell("deleted", {"IDs": ids})
    return PlainTextResponse("ok")


def _found_by(store: Store, query: str) -> list[str]:
    """The IDs of all that a query finds of which something is to become. Raises `HTTPException`."""
    if not query.strip():
        raise HTTPException(400, "A query is needed.")
    try:
        # What can hold for no message holds for all with a minus before it.
        check_query(query)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return [stored.id for stored in store.messages(query, 0, store.count or 1).messages]


def tags(request: Request) -> Response:
    """All tags in use."""
    return Json(_store(request).tags())


async def set_tags(request: Request) -> Response:
    """Give messages these tags and no others."""
    body = await fields_of(request, "IDs", "Tags")
    _store(request).tag(_words(body, "IDs"), _words(body, "Tags"))
    context_of(request).feed.messages_changed()
    return PlainTextResponse("ok")


def message(request: Request) -> Response:
    """One message, taken apart; it counts as read from now on. The ID "latest" is the newest, or the newest that a
    query finds."""
    store, stored, raw = _found(request)
    if not stored.read:
        store.mark([stored.id], read=True)
        context_of(request).feed.messages_changed()
    letter = letter_to_json(read_letter(raw))
    return Json(
        {
            "ID": stored.id,
            **letter,
            "Bcc": blind_copies(letter, stored.recipients),
            "ReturnPath": letter["ReturnPath"] or stored.sender,
            "Date": letter["Date"] or datetime.fromtimestamp(stored.created, UTC).isoformat(timespec="milliseconds"),
            "Tags": list(stored.tags),
            "Size": stored.size,
            "Username": stored.user,
            "Session": stored.session,
            "Envelope": _envelope(stored),
        }
    )


def headers(request: Request) -> Response:
    """The header fields, each with all its values."""
    _, _, raw = _found(request)
    out: dict[str, list[str]] = {}
    for name, value in read_letter(raw).headers:
        out.setdefault(name, []).append(value)
    return Json(out)


def source(request: Request) -> Response:
    """The message as it came."""
    _, _, raw = _found(request)
    return Response(raw, media_type="text/plain; charset=utf-8")


def part(request: Request) -> Response:
    """The octets of one part, to be saved."""
    _, _, raw = _found(request)
    found = part_content(raw, request.path_params["part"])
    if found is None:
        raise HTTPException(404, "The message has no such part.")
    content_type, filename, content = found
    return Response(
        content,
        headers={
            "Content-Type": content_type if _HARMLESS.fullmatch(content_type) else "application/octet-stream",
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(filename or 'part')}",
            "Content-Security-Policy": "sandbox",
        },
    )


def checks(request: Request) -> Response:
    """What its receivers would find wrong with the message."""
    _, stored, raw = _found(request)
    when = datetime.fromtimestamp(stored.created, UTC)
    found = check_letter(raw, stored.sender, stored.recipients, now=when)
    return Json({"checks": [check._asdict() for check in found]})


def view_html(request: Request) -> Response:
    """The HTML of a message, for a sandboxed frame."""
    _, _, raw = _found(request)
    letter = read_letter(raw)
    inline = {part.content_id: part.id for part in (*letter.inline, *letter.attachments) if part.content_id}

    def embedded(content_id: str) -> str:
        found = part_content(raw, inline.get(content_id, ""))
        if found is None or not found[0].startswith("image/"):
            return "data:,"
        return f"data:{found[0]};base64,{base64.b64encode(found[2]).decode('ascii')}"

    html = _CONNECTING.sub(_inert, html_document(letter, embedded))
    return Response(html, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _VIEW_POLICY})


def _inert(tag: re.Match[str]) -> str:
    return f"<{tag[1]}{_INERT[tag[2].lower()]}"


def view_text(request: Request) -> Response:
    """The text of a message."""
    _, _, raw = _found(request)
    letter = read_letter(raw)
    return PlainTextResponse(letter.text or plain_text(letter.html))


async def release(request: Request) -> Response:
    """Send a message on to the real server that the lab was given. Unless that takes it for everybody, the answer is
    502, and says for whom it did."""
    context = context_of(request)
    if not context.release:
        raise HTTPException(403, "This lab was given no server to release messages to (--release).")
    recipients = _words(await fields_of(request, "To"), "To")
    if not recipients:
        raise HTTPException(400, "To names nobody.")
    for recipient in recipients:
        problem = _not_a_recipient(recipient)
        if problem:
            raise HTTPException(400, problem)
    _, stored, raw = _found(request)
    released = await context.send_on(stored.sender, recipients, raw)
    if not released.problem:
        return PlainTextResponse("ok")
    refused = [{"Address": address, "Reply": reply} for address, reply in released.refused]
    return Json({"Error": released.problem, "Accepted": list(released.accepted), "Refused": refused}, 502)


def _not_a_recipient(text: str) -> str:
    """Why the real server need not be asked, in one sentence; empty for an address."""
    try:
        path = parse_path(text.strip(), brackets=False)
    except AddressError as error:
        return f"{error}."
    return "" if path.address else "To has an empty address, which nobody can receive mail at."
