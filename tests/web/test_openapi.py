"""The OpenAPI document: it has every route and no other, and what the lab really answers is what it says."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from starlette.routing import Route

from ehlo.lab import Lab
from ehlo.web.app import ENDPOINTS, make_app, make_routes, openapi
from ehlo.web.schemas import PARAMETERS
from ehlo.web.serving import WebServer
from web.conftest import Page

MAIL = b"""\
From: Ann <ann@here.example>
To: Bob <bob@example.com>
Cc: carol@example.com
Reply-To: office@here.example
Subject: figures
Date: Tue, 05 Mar 2024 10:00:00 +0100
Message-ID: <1@here.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p>text</p>
--b
Content-Type: image/png
Content-Disposition: attachment; filename=a.png

x
--b--
""".replace(b"\n", b"\r\n")


def test_it_is_one() -> None:
    validate(openapi())


def test_every_route_is_in_it_and_nothing_else() -> None:
    routes = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in make_routes()
        for method in (route.methods or ())
        # Starlette answers HEAD wherever it answers GET.
        if method != "HEAD"
    }
    assert routes == {(path, method) for path, entry in openapi()["paths"].items() for method in entry}


def test_the_application_has_these_routes_alone() -> None:
    app = make_app(None)._app  # type: ignore[arg-type, attr-defined]
    assert all(isinstance(route, Route) for route in app.routes)
    assert [route.path for route in app.routes] == [route.path for route in make_routes()]


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own() -> None:
    operations = [operation for entry in openapi()["paths"].values() for operation in entry.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(ENDPOINTS)
    assert all(operation["summary"].endswith(".") for operation in operations)


def test_no_parameter_is_without_use() -> None:
    used = {name for each in ENDPOINTS for name in (*each.query, *each.body, *re.findall(r"{(\w+)", each.path))}
    assert used == set(PARAMETERS)


def check(answer: httpx.Response, method: str, path: str) -> None:
    """What came is what the document says of this operation."""
    document = openapi()
    responses = document["paths"][path][method.lower()]["responses"]
    said = responses.get(str(answer.status_code), responses["default"])
    assert answer.status_code < 400 or said is responses["default"] or answer.status_code == 502, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in said["content"] or (said["content"].keys() == {"application/octet-stream"}), media_type
    schema = said["content"].get(media_type, {}).get("schema")
    if schema is not None:
        validator = Draft202012Validator({**schema, "components": document["components"]})
        assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer.json())] == []


def call(page: Page, method: str, path: str, body: Any = None, **ids: object) -> httpx.Response:
    """Ask, and hold the answer against the document."""
    where, _, query = path.partition("?")
    filled = where.format(**ids) + (f"?{query}" if query else "")
    answer = page.http.request(method, filled, json=body)
    check(answer, method, where)
    return answer


def test_what_comes_is_what_it_says(page: Page) -> None:
    id_ = page.send(MAIL, to="bob+orders@example.com")
    page.send(b"no header field at all\r\n")
    page.lab.fault("rcpt", reply="450 4.2.0 Later", times=1)
    with pytest.raises(Exception, match="Later"):
        page.send()
    number = page.http.get("/api/v1/sessions").json()["sessions"][-1]["number"]
    called = set()

    def done(method: str, path: str, body: Any = None, status: int = 200, **ids: object) -> Any:
        answer = call(page, method, path, body, id=ids.get("id", id_), number=ids.get("number", number), part="2")
        assert answer.status_code == status, answer.text
        called.add((method, path.partition("?")[0]))
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.content

    for path in ("/", "/static/app.js", "/static/style.css", "/api/v1/openapi.json", "/livez", "/readyz"):
        done("GET", path)
    for path in ("lab", "sessions", "sessions?limit=1", "faults", "scenarios", "info", "webui", "messages", "tags"):
        done("GET", f"/api/v1/{path}")
    for later in (0, 2):
        done("GET", "/api/v1/session/{number}", number=number + later)
    done("GET", "/api/v1/session/{number}/events?start=1&limit=3")
    done("GET", "/api/v1/session/{number}/transcript")
    done("GET", "/api/v1/session/{number}", number=10**9, status=404)
    done("GET", "/api/v1/search?query=subject:figures")
    done("GET", "/api/v1/search?query=nothing-has-this")
    for id_or_latest in (id_, "latest"):
        done("GET", "/api/v1/message/{id}", id=id_or_latest)
    done("GET", "/api/v1/message/{id}", id="none", status=404)
    for path in ("headers", "raw", "part/{part}", "checks"):
        done("GET", f"/api/v1/message/{{id}}/{path}")
    done("GET", "/view/{id}.html")
    done("GET", "/view/{id}.txt")
    done("POST", "/api/v1/message/{id}/release", {"To": ["a@b.example"]}, status=403)
    made = done("POST", "/api/v1/faults", {"stage": "mail", "when": {"from": "x@*"}, "do": {"close": True}}, status=201)
    done("POST", "/api/v1/faults", {"stage": "nowhere"}, status=400)
    done("PATCH", "/api/v1/fault/{id}", {"enabled": False}, id=made["id"])
    done("PATCH", "/api/v1/fault/{id}", {"enabled": "no"}, id=made["id"], status=400)
    done("DELETE", "/api/v1/fault/{id}", id=made["id"])
    done("DELETE", "/api/v1/faults")
    done("PUT", "/api/v1/scenario", {"name": "disk-full"})
    done("PUT", "/api/v1/scenario", {"name": "no-such"}, status=400)
    done("PUT", "/api/v1/messages", {"IDs": [id_], "Read": True})
    done("PUT", "/api/v1/tags", {"IDs": [id_], "Tags": ["later"]})
    done("DELETE", "/api/v1/search?query=subject:figures")
    done("DELETE", "/api/v1/messages", {"IDs": []})
    with page.http.stream("GET", "/api/v1/events") as stream:
        check(stream, "GET", "/api/v1/events")
    called.add(("GET", "/api/v1/events"))
    assert called == {(each.method, each.path.replace(":int", "")) for each in ENDPOINTS}


def test_a_release_that_failed_says_what_it_says() -> None:
    lab = Lab()
    web = WebServer(lab, release="127.0.0.1:1")
    lab.companions.append(web)
    with lab.running() as thread:
        page = Page(thread, web)
        answer = call(page, "POST", "/api/v1/message/{id}/release", {"To": ["a@b.example"]}, id=page.send())
        assert answer.status_code == 502
