"""The application: one table of endpoints, from which the routes and the OpenAPI document are made, and the guards.

request ──> guards (Host, origin) ──> route ──> handler ──> guards (headers) ──> response
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
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
from ehlo.web import control, messages
from ehlo.web.context import Context, Json

#: A message is small; what is larger is not meant for us.
_MAX_BODY = 1_000_000
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Endpoint(NamedTuple):
    """One entry of the API: its doc string is its description. `query` and `body` name what it takes."""

    method: str
    path: str
    handler: Callable[[Request], Any]
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    gives: str = "application/json"


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/v1/lab", control.lab),
    Endpoint("GET", "/api/v1/sessions", control.sessions, ("start", "limit")),
    Endpoint("GET", "/api/v1/session/{number:int}", control.session),
    Endpoint("GET", "/api/v1/session/{number:int}/transcript", control.transcript, gives="application/x-ndjson"),
    Endpoint("GET", "/api/v1/faults", control.faults),
    Endpoint("POST", "/api/v1/faults", control.add_fault, body=("stage", "title", "when", "do")),
    Endpoint("PATCH", "/api/v1/fault/{id}", control.switch_fault, body=("enabled",)),
    Endpoint("DELETE", "/api/v1/fault/{id}", control.remove_fault),
    Endpoint("GET", "/api/v1/scenarios", control.scenarios),
    Endpoint("PUT", "/api/v1/scenario", control.use_scenario, body=("name",)),
    Endpoint("GET", "/api/v1/events", control.events, gives="text/event-stream"),
    Endpoint("GET", "/api/v1/info", messages.info),
    Endpoint("GET", "/api/v1/webui", messages.webui),
    Endpoint("GET", "/api/v1/messages", messages.messages, ("start", "limit")),
    Endpoint("PUT", "/api/v1/messages", messages.mark, body=("IDs", "Read"), gives="text/plain"),
    Endpoint("DELETE", "/api/v1/messages", messages.delete, body=("IDs",), gives="text/plain"),
    Endpoint("GET", "/api/v1/search", messages.search, ("query", "start", "limit")),
    Endpoint("DELETE", "/api/v1/search", messages.delete_found, ("query",), gives="text/plain"),
    Endpoint("GET", "/api/v1/tags", messages.tags),
    Endpoint("PUT", "/api/v1/tags", messages.set_tags, body=("IDs", "Tags"), gives="text/plain"),
    Endpoint("GET", "/api/v1/message/{id}", messages.message),
    Endpoint("GET", "/api/v1/message/{id}/headers", messages.headers),
    Endpoint("GET", "/api/v1/message/{id}/raw", messages.source, gives="text/plain"),
    Endpoint("GET", "/api/v1/message/{id}/part/{part}", messages.part, gives="application/octet-stream"),
    Endpoint("GET", "/api/v1/message/{id}/checks", messages.checks),
    Endpoint("POST", "/api/v1/message/{id}/release", messages.release, body=("To",), gives="text/plain"),
    Endpoint("GET", "/view/{id}.html", messages.view_html, gives="text/html"),
    Endpoint("GET", "/view/{id}.txt", messages.view_text, gives="text/plain"),
)


def make_app(context: Context, names: frozenset[str] = frozenset()) -> ASGIApp:
    """The application for a lab. `names` are the host names, beyond this machine's own, that pages may call it by."""
    routes = [Route(each.path, each.handler, methods=[each.method]) for each in ENDPOINTS]
    routes += [
        Route("/", _static("index.html", "text/html; charset=utf-8")),
        Route("/static/app.js", _static("app.js", "text/javascript; charset=utf-8")),
        Route("/static/style.css", _static("style.css", "text/css; charset=utf-8")),
        Route("/api/v1/openapi.json", _openapi),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _broken})
    app.state.context = context
    return Guards(app, _LOCAL_NAMES | names)


def _static(name: str, media_type: str) -> Callable[[Request], Response]:
    @cache
    def content() -> bytes:
        return (files("ehlo.web") / "static" / name).read_bytes()

    def give(_: Request) -> Response:
        return Response(content(), media_type=media_type, headers={"Cache-Control": "no-cache"})

    return give


def _refused(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return Json({"Error": detail}, status)


def _broken(_: Request, __: Exception) -> Response:
    return Json({"Error": "The lab could not answer this; that is its own fault."}, 500)


def _openapi(_: Request) -> Response:
    return Json(openapi())


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document (version 3.1) of the API."""
    paths: dict[str, Any] = {}
    for method, path, handler, query, body, gives in ENDPOINTS:
        shown = path.replace(":int", "")
        names = [part.strip("{}") for part in shown.replace(".html", "").replace(".txt", "").split("/") if "{" in part]
        operation: dict[str, Any] = {
            "operationId": f"{method.lower()}-{handler.__name__.replace('_', '-')}",
            "summary": (handler.__doc__ or "").strip(),
            "parameters": [
                *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
                *({"name": name, "in": "query", "schema": {"type": "string"}} for name in query),
            ],
            "responses": {
                "200": {"description": "Done.", "content": {gives: {}}},
                "default": {
                    "description": "What was wrong, in one sentence.",
                    "content": {
                        "application/json": {"schema": {"type": "object", "properties": {"Error": {"type": "string"}}}}
                    },
                },
            },
        }
        if body:
            schema = {"type": "object", "properties": {name: {} for name in body}}
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        paths.setdefault(shown, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ehlo lab",
            "version": __version__,
            "description": "A mail server to practise and to test against. Messages have the paths of Mailpit's API.",
        },
        "paths": paths,
    }


class Guards:
    """What stands between a browser's other pages and the lab.

    A page from elsewhere can make a browser send requests here. So the Host must be a name of this lab (against DNS
    rebinding), and whatever changes something must not come from another site. Programs send no Origin and are free.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        problem = self._problem(scope["method"], headers)
        if problem:
            await Json({"Error": problem}, 403)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                given.setdefault("Content-Security-Policy", _PAGE_POLICY)
                given.setdefault("X-Content-Type-Options", "nosniff")
                given.setdefault("Referrer-Policy", "no-referrer")
                given.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                given.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                given.setdefault("Cache-Control", "no-store")
            await send(message)

        if "//" in scope["path"]:
            # Some programs put a slash too many before a path, and Mailpit forgives them.
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        await self._app(scope, receive, send_guarded)

    def _problem(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() not in self._names:
            return "This is not a name of the lab; --http-name allows one."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > _MAX_BODY:
            return "The request is too large."
        if method in ("GET", "HEAD"):
            return ""
        origin = headers.get("origin", "")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "The request comes from another site."
        if origin and origin.partition("://")[2] != host:
            return "The request comes from another site."
        return ""
