"""What stands between other pages and the lab, for every route there is: one that is added later is tested, too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Route

from ehlo.web.app import make_routes
from web.conftest import Page

ROUTES = [(method, route) for route in make_routes() for method in sorted(route.methods or ())]
IDS = [f"{method} {route.path}" for method, route in ROUTES]
CHANGING = [each for each in ROUTES if each[0] not in ("GET", "HEAD")]
READING = [each for each in ROUTES if each[0] == "GET"]

each_route = pytest.mark.parametrize(("method", "route"), ROUTES, ids=IDS)

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
]


def path(route: Route, page: Page) -> str:
    """The path of a route, to things that are there where it names one."""
    ids = {"number": "1", "id": page.lab.messages[-1].id if page.lab.messages else "none", "part": "1"}
    return re.sub(r"{(\w+)[^}]*}", lambda name: ids[name[1]], route.path)


def ask(page: Page, method: str, route: Route, headers: dict[str, str]) -> httpx.Response:
    """The answer to a request, of a stream its head alone."""
    with page.http.stream(method, path(route, page), headers=headers) as answer:
        if "event-stream" not in answer.headers["content-type"]:
            answer.read()
        return answer


@pytest.fixture
def full(page: Page) -> Iterator[Page]:
    """A lab that has something to lose."""
    page.send()
    page.lab.fault("mail", reply="451 4.3.0 Not now")
    before = kept(page)
    yield page
    assert kept(page) == before


def kept(page: Page) -> object:
    lab = page.lab.lab
    assert lab.store is not None
    return lab.store.messages(), [(switch.id, switch.enabled) for switch in lab.faults.switches], lab.scenario


@each_route
def test_another_host_name_is_refused(full: Page, method: str, route: Route) -> None:
    for host in (
        "evil.example",
        "evil.example:8025",
        "127.0.0.1.evil.example",
        "[::2]:80",
        "x@localhost",
        "localhost.evil",
        "",
    ):
        assert ask(full, method, route, {"Host": host}).status_code in (400, 403), host


@pytest.mark.parametrize(("method", "route"), CHANGING, ids=[f"{method} {route.path}" for method, route in CHANGING])
def test_another_site_changes_nothing(full: Page, method: str, route: Route) -> None:
    for headers in FOREIGN:
        assert ask(full, method, route, headers).status_code == 403, headers


def test_the_page_itself_may(page: Page) -> None:
    page.send()
    own = {"Origin": page.url, "Sec-Fetch-Site": "same-origin"}
    assert page.http.request("DELETE", "/api/v1/messages", headers=own).status_code == 200
    assert page.lab.messages == []


@pytest.mark.parametrize(("method", "route"), READING, ids=[route.path for _, route in READING])
def test_another_site_embeds_and_fetches_nothing(full: Page, method: str, route: Route) -> None:
    """To open a message marks it as read: an image in another page must not do that."""
    for mode, dest in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert ask(full, method, route, headers).status_code == 403


@pytest.mark.parametrize(("method", "route"), READING, ids=[route.path for _, route in READING])
def test_a_link_from_another_site_may_lead_here(page: Page, method: str, route: Route) -> None:
    page.send()
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(page, method, route, headers).status_code in (200, 404)


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return {name: sources.strip() for name, _, sources in (each.strip().partition(" ") for each in policy.split(";"))}


def assert_guarded(answer: httpx.Response) -> None:
    policy = directives(answer)
    if policy.keys() != {"sandbox"}:
        assert policy["default-src"] == "'none'"
        assert policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == ("'self'" if "sandbox" in policy else "'none'")
        assert policy.get("script-src", "'none'") == ("'none'" if "sandbox" in policy else "'self'")
        assert "unsafe" not in policy.get("script-src", "") + policy.get("connect-src", "")
        assert "http" not in answer.headers["content-security-policy"]
    assert policy.get("sandbox", "") == ""
    for name, value in (
        ("x-content-type-options", "nosniff"),
        ("x-dns-prefetch-control", "off"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ):
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] in ("no-store", "no-cache")
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers


@each_route
def test_every_answer_has_the_policy(page: Page, method: str, route: Route) -> None:
    page.send()
    assert_guarded(ask(page, method, route, {}))


@each_route
def test_a_refusal_has_the_policy_too(page: Page, method: str, route: Route) -> None:
    assert_guarded(ask(page, method, route, {"Host": "evil.example"}))


@pytest.mark.parametrize("where", ["/nowhere", "/api/v1/nothing", "/static/../app.py", "/view/none.html"])
def test_what_is_not_there_has_the_policy_too(page: Page, where: str) -> None:
    answer = page.http.get(where)
    assert answer.status_code == 404
    assert_guarded(answer)


def test_only_the_page_and_mail_in_a_sandbox_are_html(page: Page) -> None:
    page.send(b"Content-Type: text/html\r\n\r\n<script>1</script>\r\n")
    for method, route in READING:
        answer = ask(page, method, route, {})
        if answer.headers["content-type"].startswith(("text/html", "image/svg", "text/xml", "application/xhtml")):
            assert route.path == "/" or "sandbox" in directives(answer), route.path


def test_a_body_of_unknown_length_is_bounded(page: Page) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    assert page.http.post("/api/v1/faults", content=endless()).status_code == 413
