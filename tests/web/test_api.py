"""The API: what the page and test suites ask for, and what must not be possible."""

from __future__ import annotations

import base64
import json
import smtplib
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ehlo.lab import Lab, Policy
from ehlo.smtp.stages import Stage
from ehlo.transcript import jsonl
from ehlo.web.serving import WebServer
from web.conftest import Page

MULTIPART = b"""\
From: "Ann \xc3\x84" <ann@here.example>
To: Bob <bob@example.com>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8

the text
--b
Content-Type: text/html; charset=utf-8

<p>the <b>html</b></p>
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename=report.pdf
Content-Transfer-Encoding: base64

JVBERg==
--b--
""".replace(b"\n", b"\r\n")


def get(page: Page, path: str, **params: Any) -> Any:
    answer = page.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(page: Page, *lines: str) -> int:
    """Say some lines to the lab, each when the one before was answered, and hang up; gives the session's number."""
    with socket.create_connection((page.lab.host, page.lab.port), timeout=30) as client:
        replies = client.makefile("rb")
        for line in ("", *lines):
            client.sendall(f"{line}\r\n".encode() if line else b"")
            while replies.readline()[3:4] == b"-":
                pass
        replies.close()
    number: int = get(page, "/api/v1/sessions")["sessions"][0]["number"]
    while not get(page, f"/api/v1/session/{number}")["ended"]:
        time.sleep(0.01)
    return number


# Messages, as Mailpit's clients know them.


def said(page: Page, octets: bytes) -> int:
    """The number of a session in which a client says this behind the greeting, whatever it is answered."""
    with socket.create_connection((page.lab.host, page.lab.port), timeout=30) as client:
        stream = client.makefile("rb")
        stream.readline()
        client.sendall(octets)
        stream.read()
    number: int = get(page, "/api/v1/sessions")["sessions"][0]["number"]
    return number


def test_list_get_and_parts(page: Page) -> None:
    id_ = page.send(MULTIPART, to="bob+orders@example.com")
    (row,) = get(page, "/api/v1/messages")["messages"]
    assert row["ID"] == id_
    assert row["Subject"] == "Grüße"
    assert row["From"] == {"Name": "Ann Ä", "Address": "ann@here.example"}
    assert (row["Attachments"], row["Read"], row["Tags"]) == (1, False, ["orders"])
    message = get(page, f"/api/v1/message/{id_}")
    assert message["Text"].strip() == "the text"
    assert "<b>html</b>" in message["HTML"]
    assert message["Envelope"] == {"From": "a@here.example", "To": ["bob+orders@example.com"]}
    (part,) = message["Attachments"]
    assert (part["FileName"], part["ContentType"], part["Size"]) == ("report.pdf", "application/pdf", 4)
    assert page.http.get(f"/api/v1/message/{id_}/part/{part['PartID']}").content == b"%PDF"
    assert page.http.get(f"/api/v1/message/{id_}/raw").content == MULTIPART
    assert get(page, f"/api/v1/message/{id_}/headers")["Subject"] == ["Grüße"]
    assert get(page, "/api/v1/message/latest")["ID"] == id_
    assert get(page, "/api/v1/messages")["messages"][0]["Read"] is True


def test_the_envelope_says_what_the_header_does_not(page: Page) -> None:
    """As in Mailpit: who is named by the envelope alone got a blind copy, and MAIL has the return path."""
    id_ = page.send(b"To: Bob <Bob@example.com>\r\nSubject: x\r\n\r\n", to="bob@example.com")
    assert get(page, f"/api/v1/message/{id_}")["Bcc"] == []
    blind = page.send(b"To: Bob <bob@example.com>\r\nSubject: x\r\n\r\n", to="carol@example.com")
    bcc = [{"Name": "", "Address": "carol@example.com"}]
    message = get(page, f"/api/v1/message/{blind}")
    assert (message["Bcc"], message["ReturnPath"]) == (bcc, "a@here.example")
    assert get(page, "/api/v1/messages")["messages"][0]["Bcc"] == bcc
    written = page.send(b"Return-Path: <b@here.example>\r\nSubject: x\r\n\r\n")
    assert get(page, f"/api/v1/message/{written}")["ReturnPath"] == "b@here.example"


def test_it_is_alive_and_ready(page: Page) -> None:
    for path in ("/livez", "/readyz"):
        assert (page.http.get(path).status_code, page.http.get(path).text) == (200, "ok")


def test_pages_of_a_list(page: Page) -> None:
    ids = [page.send(f"Subject: {number}\r\n\r\n".encode()) for number in range(5)]
    first = get(page, "/api/v1/messages", limit=2)
    assert [row["ID"] for row in first["messages"]] == ids[:-3:-1]
    assert (first["total"], first["count"], first["unread"], first["messages_count"]) == (5, 2, 5, 5)
    assert [row["ID"] for row in get(page, "/api/v1/messages", start=4)["messages"]] == ids[:1]


@pytest.mark.parametrize("query", ['"', '"number', 'subject:"number', '-"nothing'])
def test_the_unread_ones_among_those_that_a_quote_without_end_finds(page: Page, query: str) -> None:
    """What is not closed goes to the end of the query, and to nothing that is asked beside it."""
    for number in range(2):
        page.send(f"Subject: number {number}\r\n\r\n".encode())
    get(page, "/api/v1/message/latest")
    found = get(page, "/api/v1/search", query=query)
    assert (found["messages_count"], found["messages_unread"]) == (2, 1)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/message/{id}",
        "/api/v1/message/{id}/headers",
        "/api/v1/message/{id}/raw",
        "/api/v1/message/{id}/part/{part}",
        "/api/v1/message/{id}/checks",
        "/view/{id}.html",
        "/view/{id}.txt",
    ],
)
def test_the_newest_that_a_query_finds(page: Page, path: str) -> None:
    """As in Mailpit: a test asks for the newest message to somebody, whatever else came meanwhile."""
    ids = [
        page.send(MULTIPART.replace(b"Bob <bob", b"<" + name), to="x@example.com")
        for name in (b"bob", b"bob", b"carol")
    ]

    def asked(id_: str, **query: str) -> tuple[int, bytes]:
        answer = page.http.get(path.format(id=id_, part="2"), params=query)
        return answer.status_code, answer.content

    page.send(b"Subject: another\r\n\r\n")
    assert asked("latest", query="to:bob") == asked(ids[1])
    assert asked("latest", query="to:carol is:unread") == asked(ids[2])
    assert asked("latest", query="to:eve")[0] == 404
    # It chooses among all messages; who names one has chosen.
    assert asked(ids[2], query="to:eve") == asked(ids[2])


def test_search_tags_and_read(page: Page) -> None:
    bill, note = (
        page.send(b"Subject: your bill\r\n\r\nplease pay\r\n"),
        page.send(b"Subject: a note\r\n\r\nhi there\r\n"),
    )
    found = get(page, "/api/v1/search", query="subject:bill")
    assert [row["ID"] for row in found["messages"]] == [bill]
    assert found["total"] == 2
    assert [row["ID"] for row in get(page, "/api/v1/search", query='"hi there"')["messages"]] == [note]
    page.http.put("/api/v1/tags", json={"IDs": [note], "Tags": ["later", "later"]})
    assert get(page, "/api/v1/tags") == ["later"]
    assert [row["ID"] for row in get(page, "/api/v1/search", query="tag:later")["messages"]] == [note]
    page.http.put("/api/v1/messages", json={"IDs": [bill], "Read": True})
    assert [row["ID"] for row in get(page, "/api/v1/search", query="is:unread")["messages"]] == [note]
    page.http.request("DELETE", "/api/v1/search", params={"query": "subject:bill"})
    assert get(page, "/api/v1/info")["Messages"] == 1
    page.http.request("DELETE", "/api/v1/messages", json={"IDs": []})
    assert get(page, "/api/v1/info")["Messages"] == 0


def test_what_a_query_finds_is_marked(page: Page) -> None:
    for subject in ("bill", "note", "bill"):
        page.send(f"Subject: {subject}\r\n\r\n".encode())
    assert page.http.put("/api/v1/messages", json={"Search": "subject:bill", "Read": True, "IDs": []}).text == "ok"
    assert [row["Read"] for row in get(page, "/api/v1/messages")["messages"]] == [True, False, True]
    id_ = get(page, "/api/v1/messages")["messages"][0]["ID"]
    assert page.http.put("/api/v1/messages", json={"Search": "", "Read": False, "IDs": [id_]}).text == "ok"
    assert [row["Read"] for row in get(page, "/api/v1/messages")["messages"]] == [False, False, True]
    # Nothing found is not everything.
    assert page.http.put("/api/v1/messages", json={"Search": "subject:none", "Read": False}).text == "ok"
    assert [row["Read"] for row in get(page, "/api/v1/messages")["messages"]] == [False, False, True]


@pytest.mark.parametrize("name", ["IDs", "ids", "IDS", "iDs"])
def test_names_in_any_case(page: Page, name: str) -> None:
    """As in Mailpit: what names one message must never be taken for all."""
    one, other = page.send(), page.send()
    assert page.http.put("/api/v1/messages", json={name: [one], "read": True}).status_code == 200
    assert [row["Read"] for row in get(page, "/api/v1/messages")["messages"]] == [False, True]
    assert page.http.put("/api/v1/tags", json={name: [one], "TAGS": ["mine"]}).status_code == 200
    assert [row["Tags"] for row in get(page, "/api/v1/messages")["messages"]] == [[], ["mine"]]
    assert page.http.request("DELETE", "/api/v1/messages", json={name: [one]}).status_code == 200
    assert [row["ID"] for row in get(page, "/api/v1/messages")["messages"]] == [other]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("DELETE", "messages", {"ID": ["x"]}, "ID is not known here; this takes IDs."),
        ("DELETE", "messages", {"IDs": ["x"], "ids": []}, "IDs stands there twice."),
        ("DELETE", "messages", {"IDs": ""}, "IDs is a list of texts."),
        ("DELETE", "messages", {"IDs": False}, "IDs is a list of texts."),
        (
            "DELETE",
            "messages?IDs=x",
            None,
            "IDs is not known in the query; what is meant is said in the body, as JSON.",
        ),
        ("DELETE", "search?query=is:read&limit=0", None, "limit is not known in the query; this takes query."),
        ("DELETE", "search?Query=is:read", None, "Query is not known in the query; this takes query."),
        ("DELETE", "search", None, "A query is needed."),
        ("DELETE", "search?query=-is:unred", None, "'is:' does not take 'unred'."),
        ("PUT", "messages", {"Read": "yes"}, "Read is true or false."),
        ("PUT", "messages", {"Read": None}, "Read is true or false."),
        ("PUT", "messages", {"Search": ["x"]}, "Search is a query."),
        ("PUT", "messages", {"Search": " "}, "A query is needed."),
        ("PUT", "messages", {"Search": "-is:unred"}, "'is:' does not take 'unred'."),
        ("PUT", "messages", {"Search": "x", "IDs": ["x"]}, "Messages are named by IDs or by Search, not by both."),
        ("PUT", "messages", {"Seen": True}, "Seen is not known here; this takes IDs, Read and Search."),
        (
            "PUT",
            "messages?Read=true",
            {},
            "Read is not known in the query; what is meant is said in the body, as JSON.",
        ),
        ("PUT", "tags", {"IDs": [], "Tag": ["x"]}, "Tag is not known here; this takes IDs and Tags."),
        ("PUT", "tags?query=x", {}, "query is not known in the query; what is meant is said in the body, as JSON."),
    ],
)
def test_what_is_not_understood_changes_nothing(page: Page, method: str, path: str, body: Any, said: str) -> None:
    id_ = page.send()
    page.http.put("/api/v1/messages", json={"IDs": [id_], "Read": True})
    page.http.put("/api/v1/tags", json={"IDs": [id_], "Tags": ["mine"]})
    before = get(page, "/api/v1/messages")
    answer = page.http.request(method, f"/api/v1/{path}", json=body)
    assert (answer.status_code, answer.json()) == (400, {"Error": said})
    assert get(page, "/api/v1/messages") == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "faults"),
        ("PATCH", "fault/1"),
        ("DELETE", "fault/1"),
        ("PUT", "scenario"),
        ("POST", "message/x/release"),
    ],
)
def test_no_change_ignores_what_stands_in_the_query(page: Page, method: str, path: str) -> None:
    answer = page.http.request(method, f"/api/v1/{path}?name=x", json={})
    assert answer.status_code == 400
    assert answer.json()["Error"].startswith("name is not known in the query; ")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "api/v1/nothing", 404, "There is nothing here; /api/v1/openapi.json says what there is."),
        ("GET", "api/v1/session/one", 404, "There is nothing here; /api/v1/openapi.json says what there is."),
        ("POST", "api/v1/messages", 405, "POST is not for this path; /api/v1/openapi.json says what there is."),
    ],
)
def test_where_nothing_is(page: Page, method: str, path: str, status: int, said: str) -> None:
    answer = page.http.request(method, f"/{path}")
    assert (answer.status_code, answer.json()) == (status, {"Error": said})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "grelisted"}, "There is no scenario grelisted; did you mean greylisted?"),
        ({"name": "disk-full", "seed": 1}, "seed is not known here; this takes name."),
        ({"name": "../scenarios/disk-full.toml"}, "There is no scenario ../scenarios/disk-full.toml;"),
        ({"name": "x" * 10_000}, f"There is no scenario {'x' * 100};"),
        ({"name": 1}, "name is one of the scenarios that come with ehlo, or empty."),
        ({}, "name is one of the scenarios that come with ehlo, or empty."),
    ],
)
def test_a_scenario_that_is_not_there(page: Page, body: Any, said: str) -> None:
    answer = page.http.put("/api/v1/scenario", json=body)
    assert (answer.status_code, answer.json()["Error"][: len(said)]) == (400, said)
    assert get(page, "/api/v1/lab")["scenario"] == ""


def test_checks(page: Page) -> None:
    id_ = page.send(b"Subject: x\r\n\r\n")
    titles = [check["title"] for check in get(page, f"/api/v1/message/{id_}/checks")["checks"]]
    assert "No Date field" in titles


def released(target: str, recipients: list[str]) -> tuple[int, dict[str, Any]]:
    """The status and the answer of a lab that is to release a message to this server, for these recipients."""
    lab = Lab()
    web = WebServer(lab, release=target)
    lab.companions.append(web)
    with lab.running() as thread:
        page = Page(thread, web)
        answer = page.http.post(f"/api/v1/message/{page.send()}/release", json={"To": recipients})
    return answer.status_code, answer.json()


def test_release_is_for_labs_that_were_given_a_server(page: Page) -> None:
    answer = page.http.post(f"/api/v1/message/{page.send()}/release", json={"To": ["x@y.example"]})
    assert answer.status_code == 403
    assert "--release" in answer.json()["Error"]


@pytest.mark.parametrize(
    ("door", "stage", "fault", "refused", "said"),
    [
        ("smtp", "mail", {"reply": "550 5.7.1 No"}, "alice bob carol", " refused the message: 550 5.7.1 No"),
        ("smtp", "rcpt", {"reply": "550 5.7.1 No"}, "alice bob carol", " refused the message: 550 5.7.1 No"),
        ("smtp", "data", {"reply": "451 4.3.0 No"}, "alice bob carol", " refused the message: 451 4.3.0 No"),
        ("smtp", "message", {"reply": "554 5.6.0 No"}, "alice bob carol", " refused the message: 554 5.6.0 No"),
        (
            "smtp",
            "rcpt",
            {"recipient": "bob@*", "reply": "452 4.2.2 No"},
            "bob",
            " took the message for alice@x.example, carol@x.example, and refused it for bob@x.example: 452 4.2.2 No",
        ),
        (
            "smtp",
            "rcpt",
            {"recipient": "*l*@x.example", "reply": "450 4.7.1 No"},
            "alice carol",
            " took the message for bob@x.example, and refused it for alice@x.example: 450 4.7.1 No;"
            " carol@x.example: 450 4.7.1 No",
        ),
        (
            "lmtp",
            "message",
            {"recipient": "bob@*", "reply": "552 5.2.2 No"},
            "bob",
            " took the message for alice@x.example, carol@x.example, and refused it for bob@x.example: 552 5.2.2 No",
        ),
        ("lmtp", "message", {"reply": "552 5.2.2 No"}, "alice bob carol", " refused the message: 552 5.2.2 No"),
    ],
)
def test_a_release_says_for_whom_it_was_refused(
    door: str, stage: Stage, fault: dict[str, str], refused: str, said: str
) -> None:
    everybody = [f"{name}@x.example" for name in ("alice", "bob", "carol")]
    named = [f"{name}@x.example" for name in refused.split()]
    upstream = Lab(policy=Policy(any_recipient=True, domains=frozenset({"x.example"})))
    with upstream.running(doors={"lmtp": 0}) as real:
        real.fault(stage, **fault)
        target = f"{door}://127.0.0.1:{real.ports[door]}"
        assert released(target, everybody) == (
            502,
            {
                "Error": target + said,
                "Accepted": [address for address in everybody if address not in named],
                "Refused": [{"Address": address, "Reply": fault["reply"]} for address in named],
            },
        )
        took = [path.address for message in real.messages for path in message.recipients]
        assert took == [address for address in everybody if address not in named]


def test_a_release_to_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    status, answer = released(target, ["a@x.example"])
    assert (status, answer["Accepted"], answer["Refused"]) == (502, [], [])
    assert answer["Error"].startswith(f"{target} did not take the message: ")


@pytest.mark.parametrize(
    "body",
    [
        {"To": ["nope"]},
        {"To": [""]},
        {"To": [" "]},
        {"To": ["<>"]},
        {"To": ["a@b.example", "c@"]},
        {"To": ["a@b.example\r\nRCPT TO:<c@d.example>"]},
        {"To": []},
        {"To": "a@b.example"},
        {"To": ["a@b.example"], "Cc": ["c@d.example"]},
        {},
    ],
)
def test_a_release_to_nobody_reaches_no_server(body: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as real:
        real.setblocking(False)
        lab = Lab(policy=Policy(any_recipient=True))
        web = WebServer(lab, release=f"127.0.0.1:{real.getsockname()[1]}")
        lab.companions.append(web)
        with lab.running() as thread:
            page = Page(thread, web)
            page.http.timeout = 5
            answer = page.http.post(f"/api/v1/message/{page.send()}/release", json=body)
        assert answer.status_code == 400
        assert answer.json()["Error"].endswith(".")
        with pytest.raises(BlockingIOError):
            real.accept()


# Sessions, faults, scenarios.


def test_a_session_line_by_line(page: Page) -> None:
    page.send()
    listed = get(page, "/api/v1/sessions")["sessions"][0]
    assert listed["outcome"] == "delivered"
    assert (listed["helo"], listed["sender"], listed["recipients"]) == (
        "client.example",
        "a@here.example",
        ["recipient@example.com"],
    )
    session = get(page, f"/api/v1/session/{listed['number']}")
    lines = [event["text"] for event in session["events"] if event["kind"] == "line"]
    assert lines[0] == "220 mail.example.com ESMTP Postfix"
    assert all(event["explain"] for event in session["events"] if event["text"].startswith("MAIL FROM"))
    assert [step["stage"] for step in session["steps"]][:2] == ["banner", "ehlo"]
    assert "client-starttls-unused" in [finding["rule"] for finding in session["findings"]]
    file = page.http.get(f"/api/v1/session/{listed['number']}/transcript").text
    assert jsonl.read(file.splitlines(keepends=True)).header.role == "server"


def test_the_user_is_who_has_logged_in(page: Page) -> None:
    wrong, right, other = (
        base64.b64encode(text).decode() for text in (b"\0alice\0no", b"\0alice\0wonderland", b"\0bob\0x")
    )

    def user(*lines: str) -> str:
        number = say(page, "EHLO client.example", *lines)
        row, session = get(page, "/api/v1/sessions")["sessions"][0], get(page, f"/api/v1/session/{number}")
        assert row["user"] == session["user"]
        return str(row["user"])

    name, password = (base64.b64encode(text).decode() for text in (b"alice", b"wonderland"))
    assert user(f"AUTH PLAIN {wrong}") == ""
    assert user(f"AUTH PLAIN {other}", f"AUTH PLAIN {right}") == "alice"
    assert user(f"AUTH PLAIN {right}", f"AUTH PLAIN {other}", "MAIL FROM:<a@here.example>") == "alice"
    assert user("AUTH LOGIN", name, password) == "alice"
    assert user("AUTH LOGIN", name, "*") == ""
    assert user("AUTH LOGIN", name) == ""


def test_a_step_is_called_what_it_is(page: Page) -> None:
    """Whatever the stage at which it came: some commands may be given at any."""
    envelope = ("EHLO client.example", "MAIL FROM:<a@here.example>", "RCPT TO:<recipient@example.com>")
    number = say(page, *envelope, "XYZZY", "NOOP", "\x01 x", "HELO client.example", "VRFY a", "AUTH PLAIN", "*")
    steps = get(page, f"/api/v1/session/{number}")["steps"]
    names = " ".join(step["name"] for step in steps)
    assert names == "banner ehlo mail rcpt unknown noop unknown helo vrfy auth auth closed"
    assert [step["text"] for step in steps][-1] == "the other side closed the connection"


def test_what_is_no_character_is_replaced(page: Page) -> None:
    """Lone surrogates are no text: many readers of JSON refuse them (RFC 8259 §8.2)."""
    number = said(page, b"EHLO \xfe\r\nMAIL FROM:<\xff@b.example>\r\nNOOP \xc3\xa4\xf0\x9f\x93\xa7\r\nQUIT\r\n")
    for path in (f"/api/v1/session/{number}", f"/api/v1/session/{number}/events", "/api/v1/sessions"):
        answer = page.http.get(path)
        assert b"\\udcf" not in answer.content.lower()
        assert answer.content.isascii()
        json.dumps(answer.json(), ensure_ascii=False).encode()
    lines = [event["text"] for event in get(page, f"/api/v1/session/{number}")["events"] if event["who"] == "client"]
    assert lines[:3] == ["EHLO \ufffd", "MAIL FROM:<\ufffd@b.example>", "NOOP ä📧"]
    assert page.http.put("/api/v1/scenario", content=b'{"name": "\\udcff"}').status_code == 400
    assert (
        page.http.put("/api/v1/messages", content=b'{"\\udcff": []}').json()["Error"].startswith("\ufffd is not known")
    )


def test_a_session_in_parts(page: Page) -> None:
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example", timeout=30) as smtp:
        for number in range(5):
            smtp.sendmail("a@here.example", [f"{number}@example.com", "all@example.com"], b"Subject: x\r\n\r\n")
        smtp.sendmail("b@here.example", ["all@example.com"], b"Subject: x\r\n\r\n")
    number = get(page, "/api/v1/sessions")["sessions"][0]["number"]
    whole = get(page, f"/api/v1/session/{number}")
    assert (whole["sender"], whole["sender_count"]) == ("b@here.example", 2)
    assert whole["recipients"] == ["0@example.com", "all@example.com", *(f"{each}@example.com" for each in range(1, 5))]
    assert (whole["recipient_count"], whole["message_count"]) == (6, 6)
    assert whole["event_count"] == len(whole["events"])
    for size in (1, 7, 1000):
        events: list[Any] = []
        steps: list[Any] = []
        while len(events) < whole["event_count"]:
            part = get(page, f"/api/v1/session/{number}/events", start=len(events), limit=size)
            assert (part["start"], part["ended"]) == (len(events), True)
            events += part["events"]
            steps += part["steps"]
        assert (events, steps) == (whole["events"], whole["steps"])
    beyond = get(page, f"/api/v1/session/{number}/events", start=10**6)
    assert (beyond["events"], beyond["steps"]) == ([], [])
    short = get(page, f"/api/v1/session/{number}", limit=0)
    assert short == {**whole, "events": [], "steps": []}
    assert page.http.get("/api/v1/session/999999/events").status_code == 404


def test_many_recipients_are_counted_and_some_named(page: Page) -> None:
    with smtplib.SMTP(page.lab.host, page.lab.port, "client.example", timeout=30) as smtp:
        smtp.sendmail("a@here.example", [f"{each}@example.com" for each in range(300)], b"Subject: x\r\n\r\n")
    row = get(page, "/api/v1/sessions")["sessions"][0]
    assert (len(row["recipients"]), row["recipient_count"]) == (100, 300)


def test_a_row_names_the_envelope(page: Page) -> None:
    page.send(b"Subject: x\r\n\r\n", to="q@b.example", sender="")
    (row,) = get(page, "/api/v1/messages")["messages"]
    assert row["From"] == {"Name": "", "Address": ""}
    assert row["Envelope"] == {"From": "", "To": ["q@b.example"]}
    assert get(page, "/api/v1/search", query="subject:x")["messages"] == [row]


def test_a_deleted_message_is_no_longer_named_by_its_session(page: Page) -> None:
    id_ = page.send()
    assert get(page, "/api/v1/sessions")["sessions"][0]["messages"] == [id_]
    page.http.request("DELETE", "/api/v1/messages", json={"IDs": [id_]})
    row = get(page, "/api/v1/sessions")["sessions"][0]
    assert (row["messages"], row["message_count"]) == ([], 0)


def test_no_password_comes_out(page: Page) -> None:
    listed = said(page, b"EHLO client.example\r\nAUTH LOGIN\r\nYWxpY2U=\r\nd29uZGVybGFuZA==\r\nQUIT\r\n")
    for path in (f"/api/v1/session/{listed}", f"/api/v1/session/{listed}/transcript", "/api/v1/sessions"):
        text = page.http.get(path).text
        assert "wonderland" not in text
        assert "d29uZGVybGFuZA" not in text


def test_a_fault_is_added_switched_and_removed(page: Page) -> None:
    made = page.http.post("/api/v1/faults", json={"stage": "mail", "do": {"reply": "451 4.3.0 Not now"}})
    assert made.status_code == 201
    fault = made.json()
    assert (fault["title"], fault["enabled"], fault["hits"], fault["own"]) == ("451 4.3.0 Not now", True, 0, False)
    with pytest.raises(Exception, match="Not now"):
        page.send()
    assert get(page, "/api/v1/faults")["faults"][0]["hits"] == 1
    assert page.http.patch(f"/api/v1/fault/{fault['id']}", json={"enabled": False}).json()["enabled"] is False
    page.send()
    assert page.http.delete(f"/api/v1/fault/{fault['id']}").status_code == 200
    assert get(page, "/api/v1/faults")["faults"] == []
    assert page.http.delete(f"/api/v1/fault/{fault['id']}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"stage": "nowhere", "do": {"close": True}},
        {"stage": "rcpt"},
        {"stage": "rcpt", "do": {"reply": "hello"}},
        {"stage": "rcpt", "do": {"reply": "450 x"}, "when": {"to": "/(/"}},
        {"stage": "rcpt", "do": {"delay": "long"}},
        {"stage": "rcpt", "do": {"pieces": [0]}},
        {"stage": "rcpt", "do": {"explode": True}},
        {"stage": "tls", "do": {"certificate": "green"}},
        {"stage": "tls", "do": {"reply": "454 4.7.0 No"}},
        {"stage": "rcpt", "do": {"certificate": "expired"}},
        {"stage": "banner", "do": {"close": True}, "when": {"to": "x"}},
        {"stage": 1},
        {},
    ],
)
def test_a_fault_that_cannot_be(page: Page, body: dict[str, Any]) -> None:
    answer = page.http.post("/api/v1/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["Error"].endswith(".")
    assert "Traceback" not in answer.text


def test_all_faults_that_were_added_are_removed(page: Page) -> None:
    """A test suite in any language begins anew, whatever the test before has left."""
    page.http.put("/api/v1/scenario", json={"name": "greylisted"})
    for stage in ("mail", "rcpt"):
        page.http.post("/api/v1/faults", json={"stage": stage, "do": {"reply": "450 4.2.0 Later"}})
    assert [fault["own"] for fault in get(page, "/api/v1/faults")["faults"]] == [False, False, True]
    assert page.http.delete("/api/v1/faults?stage=rcpt").status_code == 400
    answer = page.http.delete("/api/v1/faults")
    assert (answer.status_code, answer.json()) == (200, {})
    assert [fault["own"] for fault in get(page, "/api/v1/faults")["faults"]] == [True]
    assert page.lab.lab.faults.at("rcpt")
    assert not page.lab.lab.faults.at("mail")


def test_another_scenario(page: Page) -> None:
    known = get(page, "/api/v1/scenarios")
    assert known["current"] == ""
    assert len(known["scenarios"]) >= 60
    lab = page.http.put("/api/v1/scenario", json={"name": "disk-full"}).json()
    assert (lab["scenario"], lab["title"]) == ("disk-full", "The server has no room left")
    with pytest.raises(Exception, match="Insufficient system storage"):
        page.send()
    page.http.put("/api/v1/scenario", json={"name": ""})
    page.send()
    for name in ("/etc/passwd", "../x.toml", "no-such", None, 3):
        assert page.http.put("/api/v1/scenario", json={"name": name}).status_code == 400


def test_what_happens_is_told(page: Page) -> None:
    told: list[tuple[str, Any]] = []
    ready, done = threading.Event(), threading.Event()

    def listen() -> None:
        with page.http.stream("GET", "/api/v1/events") as stream:
            event = ""
            for line in stream.iter_lines():
                ready.set()
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    told.append((event, json.loads(line[6:])))
                    ended = any(name == "session" and data["ended"] for name, data in told)
                    if ended and {"message", "faults", "scenario"} <= {name for name, _ in told}:
                        done.set()
                        return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(30)
    id_ = page.send()
    page.lab.fault("rcpt", reply="450 4.2.0 Later")
    page.lab.scenario("greylisted")
    assert done.wait(30)
    thread.join(30)
    (message,) = [data for name, data in told if name == "message"]
    assert message == get(page, "/api/v1/messages")["messages"][0]
    assert (message["ID"], message["Envelope"]) == (
        id_,
        {"From": "a@here.example", "To": ["recipient@example.com"]},
    )
    last = [data for name, data in told if name == "session"][-1]
    session = get(page, f"/api/v1/session/{last['number']}")
    assert last == {name: session[name] for name in ("number", "event_count", "seconds", "ended")}


# Guards.


def test_the_headers_of_the_page(page: Page) -> None:
    answer = page.http.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.count("<script") == answer.text.count('<script src="/static/app.js"') == 1
    assert "onclick" not in answer.text
    source = page.http.get("/static/app.js").text
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"):
        assert forbidden not in source.replace("http://www.w3.org/2000/svg", ""), forbidden


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8025", "LOCALHOST:80"])
def test_this_machine_has_many_names(page: Page, host: str) -> None:
    assert page.http.get("/api/v1/messages", headers={"Host": host}).status_code == 200


def test_html_goes_into_a_box(page: Page) -> None:
    id_ = page.send(b"Content-Type: text/html\r\n\r\n<script>alert(1)</script><img src=http://evil.example/x>\r\n")
    answer = page.http.get(f"/view/{id_}.html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src data:")
    assert "allow-" not in policy


@pytest.mark.parametrize(
    ("content_type", "called"),
    [
        ("text/html", ""),
        ("image/svg+xml", ""),
        ("application/xml", ""),
        ("text/javascript", ""),
        ("application/octet-stream", ""),
        ("image/png", "image/png"),
        ("application/pdf", "application/pdf"),
        ("application/zip", "application/zip"),
        ("text/plain; charset=iso-8859-1", "text/plain"),
        ("Text/CSV", "text/csv"),
        ("text/calendar; method=REQUEST", "text/calendar"),
    ],
)
def test_a_part_is_saved_not_run(page: Page, content_type: str, called: str) -> None:
    """It is called by its type where no browser runs what is called so."""
    header = f"Content-Type: {content_type}\r\nContent-Disposition: attachment; filename=x\r\n"
    id_ = page.send(f"{header}\r\n<script>1</script>\r\n".encode())
    (part,) = get(page, f"/api/v1/message/{id_}")["Attachments"]
    answer = page.http.get(f"/api/v1/message/{id_}/part/{part['PartID']}")
    assert answer.headers["content-type"] == (called or "application/octet-stream")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_large_and_broken_requests(page: Page) -> None:
    assert page.http.post("/api/v1/faults", content=b"x" * 2_000_000).status_code == 413
    evil = {"Origin": "https://evil.example"}
    assert page.http.post("/api/v1/faults", content=b"x" * 2_000_000, headers=evil).status_code == 403
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        assert page.http.post("/api/v1/faults", content=body).status_code == 400
    assert page.http.get("/api/v1/messages?limit=-1").status_code == 400
    assert page.http.get("/api/v1/messages?limit=99999999999999999999").status_code == 200
    assert page.http.get("/api/v1/session/99999999999999999999999").status_code == 404
    assert page.http.get("/api/v1/message/none").status_code == 404


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), max_size=4
    )
)
def test_any_json_is_answered(page: Page, body: dict[str, Any]) -> None:
    for method, path in (
        ("POST", "/api/v1/faults"),
        ("PUT", "/api/v1/tags"),
        ("PUT", "/api/v1/messages"),
        ("PUT", "/api/v1/scenario"),
    ):
        assert page.http.request(method, path, json=body).status_code in (200, 400)
