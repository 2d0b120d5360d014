"""The application: one table of endpoints, from which the routes and the OpenAPI document are made, and the guards.

request ──> guards (Host, origin) ──> route ──> handler ──> guards (headers) ──> response
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ehlo import __version__
from ehlo.lab.store import StoreError
from ehlo.web import control, messages
from ehlo.web.context import MAX_BODY, Context, Json
from ehlo.web.schemas import PARAMETERS, SCHEMAS

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Endpoint(NamedTuple):
    """One entry of the API: its doc string is its description.

    `query` and `body` name what it takes. `gives` is a media type, or the name of a schema (`ehlo.web.schemas`) for
    JSON of that shape; `status` is the answer's when all goes well. `wrong` are the shapes of answers that say more of
    what was wrong than one sentence, by their status.
    """

    method: str
    path: str
    handler: Callable[[Request], Any]
    gives: str
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    status: int = 200
    wrong: tuple[tuple[int, str], ...] = ()


def _file(name: str, media_type: str, description: str) -> Callable[[Request], Response]:
    """A handler that gives one of the page's own files."""

    @cache
    def content() -> bytes:
        return (files("ehlo.web") / "static" / name).read_bytes()

    def give(_: Request) -> Response:
        return Response(content(), media_type=f"{media_type}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    give.__doc__ = description
    give.__name__ = name.replace(".", "_")
    return give


def _openapi(_: Request) -> Response:
    """This table as an OpenAPI document."""
    return Json(openapi())


_SESSION = "/api/v1/session/{number:int}"
_MESSAGE = "/api/v1/message/{id}"
#: What says which message "latest" is.
_LATEST = ("query",)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/v1/lab", control.lab, "Lab"),
    Endpoint("GET", "/api/v1/sessions", control.sessions, "Sessions", ("start", "limit")),
    Endpoint("GET", _SESSION, control.session, "Session", ("start", "limit")),
    Endpoint("GET", f"{_SESSION}/events", control.session_events, "SessionPart", ("start", "limit")),
    Endpoint("GET", f"{_SESSION}/transcript", control.transcript, "application/x-ndjson"),
    Endpoint("GET", "/api/v1/faults", control.faults, "Faults"),
    Endpoint("POST", "/api/v1/faults", control.add_fault, "Fault", body=("stage", "title", "when", "do"), status=201),
    Endpoint("DELETE", "/api/v1/faults", control.remove_faults, "Nothing"),
    Endpoint("PATCH", "/api/v1/fault/{id}", control.switch_fault, "Fault", body=("enabled",)),
    Endpoint("DELETE", "/api/v1/fault/{id}", control.remove_fault, "Nothing"),
    Endpoint("GET", "/api/v1/scenarios", control.scenarios, "Scenarios"),
    Endpoint("PUT", "/api/v1/scenario", control.use_scenario, "Lab", body=("name",)),
    Endpoint("GET", "/api/v1/events", control.events, "text/event-stream"),
    Endpoint("GET", "/api/v1/info", messages.info, "Info"),
    Endpoint("GET", "/api/v1/webui", messages.webui, "WebUI"),
    Endpoint("GET", "/api/v1/messages", messages.messages, "Messages", ("start", "limit")),
    Endpoint("PUT", "/api/v1/messages", messages.mark, "text/plain", body=("IDs", "Read", "Search")),
    Endpoint("DELETE", "/api/v1/messages", messages.delete, "text/plain", body=("IDs",)),
    Endpoint("GET", "/api/v1/search", messages.search, "Messages", ("query", "start", "limit")),
    Endpoint("DELETE", "/api/v1/search", messages.delete_found, "text/plain", ("query",)),
    Endpoint("GET", "/api/v1/tags", messages.tags, "Tags"),
    Endpoint("PUT", "/api/v1/tags", messages.set_tags, "text/plain", body=("IDs", "Tags")),
    Endpoint("GET", _MESSAGE, messages.message, "Message", _LATEST),
    Endpoint("GET", f"{_MESSAGE}/headers", messages.headers, "Headers", _LATEST),
    Endpoint("GET", f"{_MESSAGE}/raw", messages.source, "text/plain", _LATEST),
    Endpoint("GET", f"{_MESSAGE}/part/{{part}}", messages.part, "application/octet-stream", _LATEST),
    Endpoint("GET", f"{_MESSAGE}/checks", messages.checks, "Checks", _LATEST),
    Endpoint(
        "POST", f"{_MESSAGE}/release", messages.release, "text/plain", body=("To",), wrong=((502, "NotReleased"),)
    ),
    Endpoint("GET", "/api/v1/openapi.json", _openapi, "OpenAPI"),
    Endpoint("GET", "/livez", messages.alive, "text/plain"),
    Endpoint("GET", "/readyz", messages.ready, "text/plain"),
    Endpoint("GET", "/view/{id}.html", messages.view_html, "text/html", _LATEST),
    Endpoint("GET", "/view/{id}.txt", messages.view_text, "text/plain", _LATEST),
    Endpoint("GET", "/", _file("index.html", "text/html", "The page."), "text/html"),
    Endpoint("GET", "/static/app.js", _file("app.js", "text/javascript", "Its script."), "text/javascript"),
    Endpoint("GET", "/static/style.css", _file("style.css", "text/css", "Its style sheet."), "text/css"),
)


def make_routes() -> list[Route]:
    """All routes there are."""
    return [
        Route(each.path, each.handler if each.method == "GET" else _to_the_letter(each), methods=[each.method])
        for each in ENDPOINTS
    ]


def _to_the_letter(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The handler of what changes something, for requests whose queries say nothing else than it takes: what is not
    understood might have said that less is meant."""

    async def handle(request: Request) -> Response:
        for name in request.query_params:
            if name not in endpoint.query:
                takes = f"this takes {' and '.join(endpoint.query)}" if endpoint.query else "this takes none"
                where = "what is meant is said in the body, as JSON" if endpoint.body else takes
                raise HTTPException(400, f"{name[:100]} is not known in the query; {where}.")
        response: Response = await endpoint.handler(request)
        return response

    return handle


def make_app(context: Context, names: frozenset[str] = frozenset()) -> ASGIApp:
    """The application for a lab. `names` are the host names, beyond this machine's own, that pages may call it by."""
    app = Starlette(
        routes=make_routes(), exception_handlers={HTTPException: _refused, StoreError: _full, Exception: _broken}
    )
    app.state.context = context
    return Guards(app, _LOCAL_NAMES | names)


def _refused(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    if detail == HTTPStatus(status).phrase:
        # Starlette's own: no endpoint was found.
        what = "There is nothing here" if status == 404 else f"{request.method} is not for this path"
        detail = f"{what}; /api/v1/openapi.json says what there is."
    return Json({"Error": detail}, status)


def _full(_: Request, error: Exception) -> Response:
    return Json({"Error": str(error)}, 507)


def _broken(_: Request, __: Exception) -> Response:
    return Json({"Error": "The lab could not answer this; that is its own fault."}, 500)


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document (version 3.1) of the API."""
    paths: dict[str, Any] = {}
    for each in ENDPOINTS:
        paths.setdefault(each.path.replace(":int", ""), {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ehlo lab",
            "version": __version__,
            "description": "A mail server to practise and to test against. Messages have the paths of Mailpit's API.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    def parameter(name: str, place: str) -> dict[str, Any]:
        return {"name": name, "in": place, "required": place == "path", "schema": PARAMETERS[name]}

    in_path = re.findall(r"{(\w+)", endpoint.path)
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}-{endpoint.handler.__name__.strip('_').replace('_', '-')}",
        "summary": " ".join((endpoint.handler.__doc__ or "").split()),
        "parameters": [
            *(parameter(name, "path") for name in in_path),
            *(parameter(name, "query") for name in endpoint.query),
        ],
        "responses": {
            str(endpoint.status): {"description": "Done.", "content": _content(endpoint.gives)},
            **{
                str(status): {"description": "Not done.", "content": _content(shape)}
                for status, shape in endpoint.wrong
            },
            "default": {"description": "What was wrong.", "content": _content("Error")},
        },
    }
    if endpoint.body:
        schema = {"type": "object", "properties": {name: PARAMETERS[name] for name in endpoint.body}}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _content(gives: str) -> dict[str, Any]:
    if gives in SCHEMAS:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{gives}"}}}
    return {gives: {}}


class Guards:
    """What stands between a browser's other pages and the lab.

    A page from elsewhere can make a browser send requests here. So the Host must be a name of this lab (against DNS
    rebinding), whatever changes something must not come from another site, and what only reads may be led to by a link
    from there, but neither fetched nor embedded. Programs send no Origin and are free.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                given.setdefault("Content-Security-Policy", _PAGE_POLICY)
                given.setdefault("X-Content-Type-Options", "nosniff")
                given.setdefault("X-DNS-Prefetch-Control", "off")
                given.setdefault("Referrer-Policy", "no-referrer")
                given.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                given.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                given.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        problem = self._problem(scope["method"], headers)
        if problem:
            await Json({"Error": problem}, 403)(scope, receive, send_guarded)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > MAX_BODY:
            await Json({"Error": "The request is too large."}, 413)(scope, receive, send_guarded)
            return
        if "//" in scope["path"]:
            # Some programs put a slash too many before a path, and Mailpit forgives them.
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        await self._app(scope, receive, send_guarded)

    def _problem(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() not in self._names:
            return "This is not a name of the lab; --http-name allows one."
        origin = headers.get("origin", "")
        foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if method in ("GET", "HEAD"):
            followed = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
            foreign = foreign and not followed
        else:
            foreign = foreign or (origin != "" and origin.partition("://")[2] != host)
        return "The request comes from another site." if foreign else ""
