"""Nothing of a password is in a transcript that is written or shown."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.sasl import MECHANISMS, ChannelBinding, Credentials
from ehlo.smtp.sasl.server import SERVER_MECHANISMS, Realm
from ehlo.transcript import Event, Header, Redactor, Transcript, jsonl, redact
from transcript.conversation import said

PASSWORD = "wonderland-7"


def b64(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


PLAIN = b64(f"\0alice\0{PASSWORD}")
LOGIN = b64(PASSWORD)
XOAUTH2 = b64(f"user=alice@example.com\x01auth=Bearer {PASSWORD}\x01\x01")
OAUTHBEARER = b64(f"n,a=alice@example.com,\x01host=x\x01auth=bearer {PASSWORD}\x01\x01")


def file_of(transcript: Transcript) -> str:
    stream = io.StringIO()
    jsonl.write(transcript, stream)
    return stream.getvalue()


def redacted(text: str) -> list[Event]:
    """The events of this conversation as they are read from the file that is written of them."""
    written = file_of(redact(Transcript(Header("client", 0.0), said(text))))
    assert leaks(written, PASSWORD) == []
    transcript = jsonl.read(io.StringIO(written))
    assert transcript.header.redacted
    return transcript.events


def leaks(written: str, secret: str) -> list[str]:
    """The forms in which a secret is in a file: in clear, or in base64 behind anything."""
    records = [json.loads(line) for line in written.splitlines()]
    shown = " ".join([*map(str, records), *(str(base64.b64decode(record.get("b64", ""))) for record in records)])
    forms = [secret]
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        # At its ends base64 mixes a secret with its neighbours.
        forms.append(whole[(before * 8 + 5) // 6 : -1])
    return [form for form in forms if form in shown]


def test_leaks_are_seen() -> None:
    """The check itself: a password in clear, in base64, within the base64 of more, in raw bytes."""
    for line in [PASSWORD, LOGIN, PLAIN, XOAUTH2, b64(f"x{PASSWORD}"), b64(f"xx{PASSWORD}xx"), f"\udcff {PASSWORD}"]:
        event = Event(0.0, "server", "line", "auth", line.encode("utf-8", "surrogateescape"))
        assert leaks(file_of(Transcript(Header("client", 0.0), [event])), PASSWORD)


@pytest.mark.parametrize("verb", ["AUTH PLAIN", "auth plain", "Auth  Plain", "AUTH\tPLAIN", " AUTH PLAIN"])
def test_plain_with_initial_response(verb: str) -> None:
    asked, answered = redacted(f"C: {verb} {PLAIN}\nS: 235 2.7.0 Authentication successful")
    assert asked.text == " ".join(verb.split()) + " [redacted]"
    assert asked.facts == {"redacted": True, "user": "alice"}
    assert answered.text == "235 2.7.0 Authentication successful"


def test_plain_by_challenge() -> None:
    events = redacted(f"""
        C: AUTH PLAIN
        S: 334
        C: {PLAIN}
        S: 535 5.7.8 No
    """)
    assert [event.text for event in events] == ["AUTH PLAIN", "334", "[redacted]", "535 5.7.8 No"]
    assert events[2].facts == {"redacted": True, "user": "alice"}


def test_login_keeps_the_user() -> None:
    events = redacted(f"""
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: {b64("alice")}
        S: 334 UGFzc3dvcmQ6
        C: {LOGIN}
        S: 235 2.7.0 Authentication successful
    """)
    assert [event.text for event in events] == [
        "AUTH LOGIN",
        "334 VXNlcm5hbWU6",
        b64("alice"),
        "334 UGFzc3dvcmQ6",
        "[redacted]",
        "235 2.7.0 Authentication successful",
    ]
    assert events[2].facts == {"user": "alice"}
    assert events[4].facts == {"redacted": True}


def test_login_with_initial_user() -> None:
    events = redacted(f"""
        C: AUTH LOGIN {b64("alice")}
        S: 334 UGFzc3dvcmQ6
        C: {LOGIN}
        S: 235 2.7.0 Authentication successful
    """)
    assert [event.text for event in events[::2]] == [f"AUTH LOGIN {b64('alice')}", "[redacted]"]


@pytest.mark.parametrize(("mechanism", "response"), [("XOAUTH2", XOAUTH2), ("OAUTHBEARER", OAUTHBEARER)])
def test_tokens(mechanism: str, response: str) -> None:
    events = redacted(f"""
        C: AUTH {mechanism} {response}
        S: 334 eyJzdGF0dXMiOiI0MDEifQ==
        C: AQ==
        S: 535 5.7.8 Token {PASSWORD} is not valid
    """)
    assert events[0].text == f"AUTH {mechanism} [redacted]"
    assert events[0].fact("user") == "alice@example.com"
    assert events[1].text == "334 eyJzdGF0dXMiOiI0MDEifQ=="
    assert events[3].text == "535 5.7.8 Token [redacted] is not valid"


def test_of_an_unknown_mechanism_only_the_servers_side_stays() -> None:
    events = redacted(f"""
        C: AUTH X-OWN {b64(f"x{PASSWORD}")}
        S: 334 Y2hhbGxlbmdl
        C: {b64(f"alice {PASSWORD}")}
        S: 235 In
    """)
    assert [event.text for event in events] == [
        "AUTH X-OWN [redacted]",
        "334 Y2hhbGxlbmdl",
        "[redacted]",
        "235 In",
    ]


@pytest.mark.parametrize("response", ["QUIT", "NOOP", f"alice {PASSWORD}", "AUTH PLAIN", ""])
def test_an_answer_to_a_challenge_goes_whatever_it_looks_like(response: str) -> None:
    """Base64 may spell a command."""
    events = redacted(f"C: AUTH X-OWN\nS: 334 Y2hhbGxlbmdl\nC: {response}\nS: 535 No")
    assert (events[2].text, events[2].facts) == ("[redacted]", {"redacted": True})


def test_a_secret_within_a_longer_one() -> None:
    """The base64 of the whole response begins with the password: the whole goes first."""
    response = b64("\0alice\0AGFs")
    assert response.startswith("AGFs")
    assert redacted(f"C: AUTH PLAIN {response}\nS: 535 {response}")[1].text == "535 [redacted]"


def test_cancelling_is_no_secret() -> None:
    events = redacted("""
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: *
        S: 501 5.7.0 Authentication aborted
        C: MAIL FROM:<sender@yourdomain.com>
    """)
    assert [event.text for event in events[2::2]] == ["*", "MAIL FROM:<sender@yourdomain.com>"]
    assert all(not event.facts for event in events)


def test_an_empty_initial_response_is_no_secret() -> None:
    assert redacted("C: AUTH EXTERNAL =")[0].text == "AUTH EXTERNAL ="


@pytest.mark.parametrize(
    "line",
    [f"AUTH PLAIN {PASSWORD}", f"AUTH PLAIN {b64(PASSWORD)}", f"AUTH PLAIN alice {PASSWORD}", f"AUTH {PLAIN}"],
)
def test_a_malformed_auth_goes_as_well(line: str) -> None:
    assert redacted(f"C: {line}\nS: 501 What?")[0].facts == {"redacted": True}


_BY_PLAIN = f"C: AUTH PLAIN {PLAIN}"
_BY_LOGIN = f"C: AUTH LOGIN {b64('alice')}\nS: 334 UGFzc3dvcmQ6\nC: {LOGIN}"


@pytest.mark.parametrize(
    ("asked", "echo"),
    [
        *((asked, f"535 The password {PASSWORD} is wrong") for asked in (_BY_PLAIN, _BY_LOGIN)),
        *((asked, f"535-{PASSWORD}") for asked in (_BY_PLAIN, _BY_LOGIN)),
        *((asked, f"535 {LOGIN} is wrong") for asked in (_BY_PLAIN, _BY_LOGIN)),
        *((asked, f"535 {LOGIN.rstrip('=')} is wrong") for asked in (_BY_PLAIN, _BY_LOGIN)),
        (_BY_PLAIN, f"535 {PLAIN} is wrong"),
        (_BY_PLAIN, f"500 What is {PLAIN.rstrip('=')}?"),
    ],
)
def test_a_server_that_repeats_the_password(asked: str, echo: str) -> None:
    event = redacted(f"{asked}\nS: {echo}\nC: QUIT\nS: 221 Bye {PASSWORD}")[-3]
    assert "[redacted]" in event.text
    assert event.facts == {"redacted": True}


def test_a_client_that_does_not_wait() -> None:
    """A script that writes all at once, to a server that does not know AUTH."""
    events = redacted(f"""
        S: 220 x
        C: AUTH LOGIN
        S: 503 5.5.1 Not here
        C: {b64("alice")}
        S: 500 5.5.2 What?
        C: {LOGIN}
        S: 500 5.5.2 {LOGIN}?
        C: MAIL FROM:<sender@yourdomain.com>
        S: 503 5.5.1 EHLO first
        C: XYZZY
    """)
    # A person goes on with any of the responses, so which one the first is nobody knows.
    assert [event.text for event in events[3:]] == [
        "[redacted]",
        "500 5.5.2 What?",
        "[redacted]",
        "500 5.5.2 [redacted]?",
        "MAIL FROM:<sender@yourdomain.com>",
        "503 5.5.1 EHLO first",
        "XYZZY",
    ]


def test_the_password_at_once_where_auth_was_refused() -> None:
    events = redacted(f"C: AUTH LOGIN\nS: 503 Not here\nC: {LOGIN}\nS: 500 What is {LOGIN}?")
    assert [event.text for event in events[2:]] == ["[redacted]", "500 What is [redacted]?"]
    assert "user" not in events[2].facts


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"AUHT PLAIN {PLAIN}", "AUHT PLAIN [redacted]"),
        (f"auht  plain  {PLAIN}", "auht plain [redacted]"),
        (f"AUTHPLAIN {PLAIN}", "AUTHPLAIN [redacted]"),
        ("pass my secret", "pass [redacted]"),
        (f"PLAIN {PLAIN}", "PLAIN [redacted]"),
        (f"AUHT XOAUTH2 {XOAUTH2}", "AUHT XOAUTH2 [redacted]"),
    ],
)
def test_what_was_meant_to_be_auth(line: str, shown: str) -> None:
    events = redacted(f"C: {line}\nS: 500 5.5.2 What is {line.split()[-1]}?")
    assert [event.text for event in events] == [shown, "500 5.5.2 What is [redacted]?"]


def test_responses_behind_what_was_meant_to_be_auth() -> None:
    events = redacted(f"C: AUHT LOGIN\nS: 500 What?\nC: {b64('alice')}\nS: 500 What?\nC: {LOGIN}\nS: 500 {LOGIN}?")
    assert [event.text for event in events[::2]] == ["AUHT LOGIN", "[redacted]", "[redacted]"]


@pytest.mark.parametrize("line", ["XYZZY PLUGH", "HELP PLAIN text", "MAIL FROM:<plain@example.com>", "NOOP PLAIN AAAA"])
def test_other_lines_stay(line: str) -> None:
    assert redacted(f"C: {line}")[0].text == line


def test_replies_to_earlier_commands_do_not_end_the_exchange() -> None:
    events = redacted(f"""
        C: RSET
        C: AUTH LOGIN
        S: 250 Ok
        S: 334 VXNlcm5hbWU6
        C: {b64("alice")}
        S: 334 UGFzc3dvcmQ6
        C: {LOGIN}
        S: 235 In
    """)
    assert [event.text for event in events if event.who == "client"] == [
        "RSET",
        "AUTH LOGIN",
        b64("alice"),
        "[redacted]",
    ]


def test_after_a_login_nothing_more_is_taken_out() -> None:
    text = f"C: AUTH PLAIN {PLAIN}\nS: 235 In\nC: XYZZY\nS: 500 XYZZY?\nC: NOOP alice\nS: 250 alice"
    assert [event.text for event in redacted(text)[2:]] == ["XYZZY", "500 XYZZY?", "NOOP alice", "250 alice"]


def test_two_logins_are_both_taken_out() -> None:
    first = b64("\0alice\0first-secret")
    written = file_of(
        redact(
            Transcript(
                Header("client", 0.0),
                said(f"C: AUTH PLAIN {first}\nS: 535 No\nC: AUTH PLAIN {PLAIN}\nS: 535 first-secret {PASSWORD}"),
            )
        )
    )
    assert leaks(written, PASSWORD) == leaks(written, "first-secret") == []


def test_what_has_no_secret_stays_the_same_object() -> None:
    redactor = Redactor()
    events = said("S: 220 x\nC: EHLO here.org\nC: AUTH\nS: 501 What?")
    assert all(redactor.redact(event) is event for event in events)


def test_only_once() -> None:
    once = redact(Transcript(Header("client", 0.0), said(f"C: AUTH PLAIN {PLAIN}")))
    assert redact(once) is once


def test_endless_attempts_cost_little() -> None:
    redactor = Redactor()
    for number in range(1000):
        for event in said(f"C: AUTH PLAIN {b64(f'{number:06}')}\nS: 535 No"):
            redactor.redact(event)
    last = redactor.redact(said("S: 535 000999 was wrong")[0])
    assert last.text == "535 [redacted] was wrong"
    first = redactor.redact(said("S: 535 000000 was wrong")[0])
    assert first.text == "535 000000 was wrong"


NTLM = (
    b"NTLMSSP\0\x03\0\0\0" + b"\x04\0\x04\0\x4c\0\0\0" * 2 + b"\x02\0\x02\0\x40\0\0\0\x0a\0\x0a\0\x42\0\0\0"
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0" + "Aalice".encode("utf-16-le") + PASSWORD.encode()
)
DIGEST = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("mechanism", "responses", "user"),
    [
        ("PLAIN", [f"\0alice\0{PASSWORD}"], "alice"),
        ("PLAIN", [f"bob\0alice\0{PASSWORD}"], "alice"),
        ("XOAUTH2", [f"user=alice\x01auth=Bearer {PASSWORD}\x01\x01"], "alice"),
        ("OAUTHBEARER", [f"n,a=al=2Cice=3D,\x01auth=Bearer {PASSWORD}\x01\x01"], "al,ice="),
        ("CRAM-MD5", [f"alice liddell {DIGEST}"], "alice liddell"),
        ("DIGEST-MD5", [f'username="alice",realm="x",nonce="{PASSWORD}",response={DIGEST}'], "alice"),
        ("SCRAM-SHA-1", [f"n,,n=alice,r={PASSWORD}", f"c=biws,r=x,p={b64(PASSWORD)}"], "alice"),
        ("SCRAM-SHA-256-PLUS", [f"p=tls-exporter,,n=al=2Cice,r={PASSWORD}", f"c=x,r=x,p={LOGIN}"], "al,ice"),
        ("SCRAM-SHA3-512", [f"y,a=bob,n=alice,r={PASSWORD}"], "alice"),
        ("NTLM", ["NTLMSSP\0\x01\0\0\0", NTLM], "A\\alice"),
    ],
)
@pytest.mark.parametrize("initial", [True, False])
def test_the_user_stays(mechanism: str, responses: list[str | bytes], user: str, initial: bool) -> None:
    encoded = [b64(response) for response in responses]
    asked = [f"C: AUTH {mechanism} {encoded.pop(0)}" if initial else f"C: AUTH {mechanism}"]
    events = redacted("\n".join([*asked, *(f"S: 334 \nC: {response}" for response in encoded), "S: 235 In"]))
    named = [event for event in events if event.fact("user")]
    assert [event.facts for event in named] == [{"redacted": True, "user": user}]
    ours = [event.text for event in events if event.who == "client"]
    assert [text.rpartition("AUTH ")[2].removeprefix(mechanism).strip() for text in ours] == [
        *([] if initial else [""]),
        *(["[redacted]"] * len(responses)),
    ]


@pytest.mark.parametrize(("mechanism", "facts"), [("EXTERNAL", {"user": "alice"}), ("ANONYMOUS", {})])
@pytest.mark.parametrize("initial", [True, False])
def test_an_identity_is_no_secret(mechanism: str, facts: dict[str, str], initial: bool) -> None:
    said = f"C: AUTH {mechanism} {b64('alice')}" if initial else f"C: AUTH {mechanism}\nS: 334 \nC: {b64('alice')}"
    events = redacted(f"{said}\nS: 334 \nC: {LOGIN}\nS: 535 What is {PASSWORD}?")
    first, second = [event for event in events if event.who == "client" and event.text != f"AUTH {mechanism}"]
    assert (first.text.split()[-1], first.facts) == (b64("alice"), facts)
    # There is no second response: whatever it is, it does not belong there.
    assert (second.text, events[-1].text) == ("[redacted]", "535 What is [redacted]?")


@pytest.mark.parametrize(
    "mechanism", ["LOGIN", "EXTERNAL", "ANONYMOUS", "CRAM-MD5", "SCRAM-SHA-1", "DIGEST-MD5", "NTLM"]
)
def test_what_is_no_response_of_a_mechanism_names_nobody(mechanism: str) -> None:
    """Somebody typed the password behind AUTH."""
    asked = redacted(f"C: AUTH {mechanism} {PASSWORD}\nS: 501 What is {PASSWORD}?")[0]
    assert (asked.text, asked.facts) == (f"AUTH {mechanism} [redacted]", {"redacted": True})


def test_an_empty_name_is_a_response_too() -> None:
    """What follows it is the password."""
    events = redacted(f"C: AUTH LOGIN =\nS: 334 UGFzc3dvcmQ6\nC: {LOGIN}\nS: 535 No")
    assert [event.text for event in events if event.who == "client"] == ["AUTH LOGIN =", "[redacted]"]


_passwords = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\x01"), min_size=4, max_size=20
).filter(lambda password: password != "alice")


#: What takes the whole response for a secret, whatever stands in it.
_OPAQUE = ["X-OWN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"]
_NAMED_FIRST = ["LOGIN", "EXTERNAL", "ANONYMOUS"]


@given(_passwords, st.sampled_from(["PLAIN", "XOAUTH2", "OAUTHBEARER", *_NAMED_FIRST, *_OPAQUE]), st.booleans())
def test_no_password_survives(password: str, mechanism: str, initial: bool) -> None:
    last = {
        "PLAIN": f"\0alice\0{password}",
        "XOAUTH2": f"user=alice\x01auth=Bearer {password}\x01\x01",
        "OAUTHBEARER": f"n,a=alice,\x01auth=Bearer {password}\x01\x01",
    }.get(mechanism, password)
    client = [b64("alice"), b64(last)] if mechanism in _NAMED_FIRST else [b64(last)]
    asked = [f"C: AUTH {mechanism} {client.pop(0)}" if initial and client else f"C: AUTH {mechanism}"]
    lines = [*asked, *(f"S: 334 \nC: {response}" for response in client), f"S: 535 {b64(password)}", "C: QUIT"]
    events = said("\n".join(lines))
    redactor = Redactor()
    after = [redactor.redact(event) for event in events]
    shown = b"".join(event.data or b"" for event in after)
    assert {event.fact("user") for event in after} <= {"", "alice"}
    assert b64(last).encode() not in shown
    assert b64(password).encode() not in shown
    assert shown.endswith(b"QUIT\r\n")


def _login(name: str, credentials: Credentials, realm: Realm) -> Iterator[str]:
    """The lines of a whole login, client and server as they are."""
    mechanism = MECHANISMS[name]
    ours, theirs = mechanism.start(credentials), SERVER_MECHANISMS[mechanism.keyword](realm)
    next(theirs)
    response = next(ours)
    initial = "" if response is None else f" {b64(response) or '='}"
    yield f"C: AUTH {mechanism.keyword}{initial}"
    try:
        while True:
            challenge = theirs.send(response)
            yield f"S: 334 {b64(challenge)}"
            response = ours.send(challenge)
            yield f"C: {b64(response or b'')}"
    except StopIteration:
        yield "S: 235 In"


@pytest.mark.parametrize("name", [name for name in MECHANISMS if MECHANISMS[name].keyword in SERVER_MECHANISMS])
def test_whole_logins(name: str) -> None:
    """What the client and the server of each mechanism really say: the user stays, and nothing that was computed."""
    binding = ChannelBinding("tls-server-end-point", bytes(32))
    credentials = Credentials("alice", PASSWORD, host="mail.example.com", port=587, binding=binding)
    realm = Realm({"alice": PASSWORD}.get, (binding,), "mail.example.com", external="alice")
    lines = list(_login(name, credentials, realm))
    events = redacted("\n".join(lines))
    users = [event.fact("user") for event in events if event.fact("user")]
    assert users == ([] if name == "ANONYMOUS" else ["alice"])
    secrets = [line.split()[-1] for line in lines if line.startswith("C: ") and len(line.split()[-1]) > 20]
    shown = [event.text for event in events]
    assert not [secret for secret in secrets if any(secret in text for text in shown)]
    challenges = [line[3:] for line in lines if line.startswith("S: ")]
    assert [event.text for event in events if event.who == "server"] == challenges
