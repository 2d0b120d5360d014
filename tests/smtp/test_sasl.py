"""SASL mechanisms: the RFCs' own examples, each client against each server, and what must not be believed."""

from __future__ import annotations

import base64
import re
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.smtp.command import auth
from ehlo.smtp.sasl import (
    MECHANISMS,
    ChannelBinding,
    Credentials,
    MechanismError,
    MechanismExchange,
    choose_mechanism,
    explain_step,
    mechanism_named,
    oauth_error,
    spnego,
)
from ehlo.smtp.sasl.password import cram_md5, digest_md5
from ehlo.smtp.sasl.scram import FEWEST_ITERATIONS, MOST_ITERATIONS, scram
from ehlo.smtp.sasl.server import SERVER_MECHANISMS, Realm
from ehlo.smtp.states import State
from wire import client

ALICE = Credentials("alice", "wonderland", host="mail.example.com", port=587)
BINDING = ChannelBinding("tls-server-end-point", bytes(32))


def play(exchange: MechanismExchange, *script: tuple[bytes, bytes]) -> None:
    """Each challenge is answered so."""
    for challenge, response in script:
        assert exchange.send(challenge) == response
    with pytest.raises(StopIteration):
        exchange.send(b"")


# The examples of the standards.


def test_plain_of_rfc_4616() -> None:
    tim = MECHANISMS["PLAIN"].start(Credentials("tim", "tanstaaftanstaaf"))
    assert next(tim) == b"\0tim\0tanstaaftanstaaf"
    play(tim)
    kurt = MECHANISMS["PLAIN"].start(Credentials("Kurt", "xipj3plmq", authzid="Ursel"))
    assert next(kurt) == b"Ursel\0Kurt\0xipj3plmq"


def test_scram_sha_1_of_rfc_5802() -> None:
    exchange = scram("SHA-1", Credentials("user", "pencil"), nonce="fyko+d2lbbFgONRv9qkxdawL")
    assert next(exchange) == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    play(
        exchange,
        (
            b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        ),
        (b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", b""),
    )


def test_scram_sha_256_of_rfc_7677() -> None:
    exchange = scram("SHA-256", Credentials("user", "pencil"), nonce="rOprNGfwEbeRWgbNEkqO")
    assert next(exchange) == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    play(
        exchange,
        (
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        ),
        (b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", b""),
    )


def test_cram_md5_of_rfc_2195() -> None:
    exchange = cram_md5(Credentials("tim", "tanstaaftanstaaf"))
    assert next(exchange) is None
    play(
        exchange,
        (b"<1896.697170952@postoffice.reston.mci.net>", b"tim b913a602c7eda7a495b4e6e7334d3890"),
    )


def test_digest_md5_of_rfc_2831() -> None:
    chris = Credentials("chris", "secret", host="elwood.innosoft.com")
    exchange = digest_md5(chris, cnonce="OA6MG9tEQGm2hh", service="imap")
    assert next(exchange) is None
    response = exchange.send(
        b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
    )
    assert response is not None
    directives = set(response.split(b","))
    assert {
        b"charset=utf-8",
        b'username="chris"',
        b'digest-uri="imap/elwood.innosoft.com"',
    } <= directives
    # The RFC's own example, with its own nonces.
    exchange = digest_md5(chris, cnonce="OA6MHXh6VqTrRk", service="imap")
    next(exchange)
    response = exchange.send(
        b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
    )
    assert response is not None
    assert b"response=d388dad90d4bbd760a152321f2143af7" in response.split(b",")
    assert exchange.send(b"rspauth=ea40f60335c427b5527b84dbabcdfffd") == b""


def test_xoauth2_of_googles_documentation() -> None:
    token = "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="
    exchange = MECHANISMS["XOAUTH2"].start(Credentials("someuser@example.com", token))
    assert next(exchange) == base64.b64decode(
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2Rjl"
        "kZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ=="
    )
    error = b'{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}'
    assert oauth_error(error) == {
        "status": "401",
        "schemes": "bearer mac",
        "scope": "https://mail.google.com/",
    }
    assert exchange.send(error) == b""


def test_oauthbearer_of_rfc_7628() -> None:
    token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    exchange = MECHANISMS["OAUTHBEARER"].start(
        Credentials("user@example.com", token, host="server.example.com", port=143)
    )
    assert next(exchange) == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + token.encode() + b"\x01\x01"
    )
    assert exchange.send(b'{"status":"invalid_token","scope":"example_scope"}') == b"\x01"


def test_external_and_anonymous() -> None:
    assert next(MECHANISMS["EXTERNAL"].start(Credentials())) == b""
    assert next(MECHANISMS["EXTERNAL"].start(Credentials("fred@example.com"))) == b"fred@example.com"
    assert next(MECHANISMS["ANONYMOUS"].start(Credentials("sirhc"))) == b"sirhc"  # RFC 4505 §4


def test_both_forms_of_login() -> None:
    exchange = MECHANISMS["LOGIN"].start(ALICE)
    assert next(exchange) is None
    play(exchange, (b"Username:", b"alice"), (b"", b"wonderland"))
    exchange = MECHANISMS["LOGIN-INITIAL"].start(ALICE)
    assert next(exchange) == b"alice"
    play(exchange, (b"Password:", b"wonderland"))


def test_ntlm_begins_with_what_it_can() -> None:
    exchange = MECHANISMS["NTLM"].start(ALICE)
    assert (next(exchange) or b"").startswith(b"NTLMSSP\0\x01\0\0\0")
    with pytest.raises(MechanismError, match="not of the form of NTLM"):
        exchange.send(b"NTLM supported")


def test_gssapi_without_a_ticket_says_so() -> None:
    with pytest.raises(MechanismError) as caught:
        next(MECHANISMS["GSSAPI"].start(Credentials("nobody@NOWHERE.INVALID", host="mail.example.com")))
    assert "\n" not in str(caught.value)


# Each client against each server.

BOTH = [name for name in MECHANISMS if name in SERVER_MECHANISMS or name == "LOGIN-INITIAL"]


def meet(name: str, credentials: Credentials, realm: Realm) -> str:
    """A whole login; gives who the server takes the client for. Raises `MechanismError`."""
    mechanism = MECHANISMS[name]
    ours, theirs = mechanism.start(credentials), SERVER_MECHANISMS[mechanism.keyword](realm)
    next(theirs)
    response = next(ours)
    while True:
        try:
            challenge = theirs.send(response)
        except StopIteration as done:
            return str(done.value)
        explain_step(mechanism, "server", challenge)
        response = ours.send(challenge)


def realm_of(credentials: Credentials) -> Realm:
    known = {credentials.user: credentials.password}
    return Realm(known.get, (BINDING,), "mail.example.com", external=credentials.user)


@pytest.mark.parametrize("name", BOTH)
def test_they_agree(name: str) -> None:
    user = "anonymous" if name == "ANONYMOUS" else "alice"
    assert meet(name, ALICE._replace(binding=BINDING), realm_of(ALICE)) == user


@pytest.mark.parametrize("name", [name for name in BOTH if name not in ("ANONYMOUS", "EXTERNAL")])
@pytest.mark.parametrize("wrong", [{"password": "wonderlane"}, {"user": "alicia"}])
def test_wrong_credentials(name: str, wrong: dict[str, str]) -> None:
    with pytest.raises(MechanismError):
        meet(
            name,
            Credentials(wrong.get("user", "alice"), wrong.get("password", "wonderland"), binding=BINDING),
            realm_of(ALICE),
        )


@pytest.mark.parametrize("name", [name for name in BOTH if name.endswith("-PLUS")])
def test_a_login_is_bound_to_its_connection(name: str) -> None:
    elsewhere = ChannelBinding("tls-server-end-point", b"another certificate")
    with pytest.raises(MechanismError):
        meet(name, ALICE._replace(binding=elsewhere), realm_of(ALICE))
    with pytest.raises(MechanismError, match="no TLS connection to bind"):
        next(MECHANISMS[name].start(ALICE))


#: What SASLprep forbids is not for passwords of SCRAM (RFC 5802 §2.2).
_WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(_WORDS, _WORDS, st.sampled_from([name for name in BOTH if name not in ("ANONYMOUS", "DIGEST-MD5")]))
def test_any_user_and_password(user: str, password: str, name: str) -> None:
    credentials = Credentials(user, password, binding=BINDING)
    try:
        who = meet(name, credentials, realm_of(credentials))
    except MechanismError as error:
        # SASLprep (RFC 4013) turns some characters away.
        assert name.startswith("SCRAM-")
        assert "wrong" in str(error)  # noqa: PT017
        return
    assert who == user or name.startswith("SCRAM-")


@settings(max_examples=30, deadline=None)
@given(st.from_regex(r'[ -~äöü"\\=,]{1,12}', fullmatch=True), st.from_regex(r'[ -~äöü"\\=,]{1,12}', fullmatch=True))
def test_digest_md5_quotes_what_it_must(user: str, password: str) -> None:
    credentials = Credentials(user, password, host="mail.example.com")
    assert meet("DIGEST-MD5", credentials, realm_of(credentials)) == user


# What must not be believed.

_FIRST = b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=4096"


@pytest.mark.parametrize(
    ("challenges", "why"),
    [
        ([b"r=other,s=QSXCR+Q6sek8bf92,i=4096"], "nonce does not begin with ours"),
        ([_FIRST, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="], "signature is wrong"),
        ([_FIRST, b"e=invalid-proof"], "refused with the error 'invalid-proof'"),
        ([_FIRST, b""], ""),
        ([_FIRST, b"v="], ""),
        ([_FIRST, b"v=???"], ""),
        ([b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=%d" % (MOST_ITERATIONS + 1)], "are the most"),
        ([b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=" + b"9" * 5000], "are the most"),
        ([b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=%d" % (FEWEST_ITERATIONS - 1)], "which protect no password"),
        ([b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=0"], "which protect no password"),
        ([b"r=abcDEF,s=QSXCR+Q6"], ""),
        ([b"r=abcDEF"], ""),
        ([b"r=abcDEF,s=,i=4096"], ""),
        ([b"r=abcDEF,s=!!,i=4096"], ""),
        ([b"r=abcDEF,s=QSXCR+Q6sek8bf92,i=-1"], ""),
        ([b""], ""),
        ([b"\xff\xfe"], "not UTF-8"),
        ([b"Username:"], ""),
    ],
)
def test_scram_ends_at_a_wrong_message(challenges: list[bytes], why: str) -> None:
    exchange = scram("SHA-1", ALICE, nonce="abc")
    next(exchange)
    *before, last = challenges
    for challenge in before:
        exchange.send(challenge)
    with pytest.raises(MechanismError) as caught:
        exchange.send(last)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "wonderland" not in str(caught.value)


@pytest.mark.parametrize(
    "challenge", [b"", b"nonce=", b"realm=x", b"Username:", b'nonce="a",qop="auth-conf"', b'nonce="a']
)
def test_digest_md5_ends_at_a_wrong_challenge(challenge: bytes) -> None:
    exchange = digest_md5(ALICE)
    next(exchange)
    with pytest.raises(MechanismError):
        exchange.send(challenge)


@pytest.mark.parametrize(("name", "extra"), [("NTLM", "ntlm"), ("GSSAPI", "kerberos")])
def test_a_missing_library_names_the_extra(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spnego", None)
    with pytest.raises(MechanismError, match=rf"pip install 'ehlo\[{extra}\]'"):
        next(MECHANISMS[name].start(ALICE))
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {mechanism.extra for mechanism in MECHANISMS.values()} - {""} <= set(extras["optional-dependencies"])


def test_kerberos_needs_more_than_ntlm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra for NTLM alone, pyspnego is there, and the library that it needs for Kerberos is not."""
    monkeypatch.setattr("spnego._gss.HAS_GSSAPI", False)
    monkeypatch.setattr("spnego._gss.GSSAPI_IMP_ERR", "No module named 'gssapi'")
    with pytest.raises(MechanismError, match=r"pip install 'ehlo\[kerberos\]'"):
        next(MECHANISMS["GSSAPI"].start(ALICE._replace(user="", password="")))
    next(MECHANISMS["NTLM"].start(ALICE))


def test_errors_of_kerberos_are_one_sentence() -> None:
    error = RuntimeError(
        "SpnegoError (7): Major (458752): No credentials were supplied, or the credentials were unavailable or "
        "inaccessible, Minor (2529639053): No Kerberos credentials available (default cache: FILE:/x), Context: token"
    )
    assert str(spnego._failure(error)) == "No Kerberos credentials available (default cache: FILE:/x)"
    assert str(spnego._failure(RuntimeError("The\nother  side"))) == "The other side"


def test_digest_md5_wants_the_servers_proof() -> None:
    exchange = digest_md5(ALICE)
    next(exchange)
    exchange.send(b'realm="x",nonce="y",qop="auth",charset=utf-8')
    with pytest.raises(MechanismError, match="digest is wrong"):
        exchange.send(b"rspauth=00000000000000000000000000000000")


@settings(deadline=None)
@given(st.sampled_from([name for name in MECHANISMS if name != "GSSAPI"]), st.lists(st.binary(max_size=60), max_size=4))
def test_any_challenges_give_responses_or_one_sentence(name: str, challenges: list[bytes]) -> None:
    exchange = MECHANISMS[name].start(ALICE._replace(binding=BINDING))
    try:
        next(exchange)
        for challenge in challenges:
            explain_step(MECHANISMS[name], "server", challenge)
            assert isinstance(exchange.send(challenge), bytes)
    except StopIteration:
        pass
    except MechanismError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert ALICE.password not in str(error)  # noqa: PT017


@settings(deadline=None)
@given(st.sampled_from(sorted(SERVER_MECHANISMS)), st.lists(st.none() | st.binary(max_size=60), min_size=1, max_size=4))
def test_any_responses_give_challenges_or_a_refusal(name: str, responses: list[bytes | None]) -> None:
    exchange = SERVER_MECHANISMS[name](realm_of(ALICE))
    next(exchange)
    try:
        for response in responses:
            assert isinstance(exchange.send(response), bytes)
    except StopIteration as done:
        assert name == "ANONYMOUS" or done.value == "alice"  # noqa: PT017
    except MechanismError:
        pass


@pytest.mark.parametrize("credentials", [Credentials("a\0b", "c"), Credentials("a", "b\0c")])
def test_plain_refuses_nul(credentials: Credentials) -> None:
    with pytest.raises(MechanismError, match="NUL"):
        next(MECHANISMS["PLAIN"].start(credentials))


# Which one is taken, and what is shown.


@pytest.mark.parametrize(
    ("offered", "binding", "chosen"),
    [
        (("LOGIN", "PLAIN"), None, "PLAIN"),
        (("LOGIN",), None, "LOGIN"),
        (("PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"), None, "SCRAM-SHA-256"),
        (("PLAIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), None, "SCRAM-SHA-256"),
        (("PLAIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), BINDING, "SCRAM-SHA-256-PLUS"),
        (("DIGEST-MD5", "LOGIN"), None, "LOGIN"),
        (("DIGEST-MD5",), None, "DIGEST-MD5"),
        (("NTLM", "GSSAPI", "XOAUTH2", "EXTERNAL", "ANONYMOUS"), None, None),
        ((), None, None),
    ],
)
def test_the_strongest_that_both_know(
    offered: tuple[str, ...], binding: ChannelBinding | None, chosen: str | None
) -> None:
    found = choose_mechanism(offered, ALICE._replace(binding=binding))
    assert (found.name if found is not None else None) == chosen


def test_who_acts_as_another_needs_a_mechanism_that_can() -> None:
    found = choose_mechanism(("SCRAM-SHA-256", "PLAIN", "LOGIN"), ALICE._replace(authzid="bob"))
    assert found is not None
    assert found.name == "PLAIN"


def test_a_name_that_is_none_gets_the_list() -> None:
    assert mechanism_named("plain").name == "PLAIN"
    with pytest.raises(MechanismError, match="there is no mechanism MAGIC; ehlo knows SCRAM-SHA3-512-PLUS "):
        mechanism_named("MAGIC")


def test_nothing_shows_the_secret() -> None:
    assert "wonderland" not in f"{ALICE!r} {ALICE} {[ALICE]}"
    assert "alice" in repr(ALICE)


def _responses(name: str) -> list[tuple[str, bytes]]:
    said: list[tuple[str, bytes]] = []
    start = MECHANISMS[name].start

    def listening(credentials: Credentials) -> MechanismExchange:
        exchange = start(credentials)
        response = next(exchange)
        while True:
            said.append(("client", response or b""))
            challenge = yield response
            said.append(("server", challenge))
            try:
                response = exchange.send(challenge)
            except StopIteration:
                return

    mechanism = MECHANISMS[name]
    theirs = SERVER_MECHANISMS[mechanism.keyword](realm_of(ALICE))
    next(theirs)
    ours = listening(ALICE._replace(binding=BINDING))
    response = next(ours)
    try:
        while True:
            response = ours.send(theirs.send(response))
    except StopIteration:
        return said


@pytest.mark.parametrize("name", BOTH)
def test_explanations_have_no_secrets(name: str) -> None:
    for who, data in _responses(name):
        explained = explain_step(MECHANISMS[name], "client" if who == "client" else "server", data)
        assert "wonderland" not in explained
        assert "\n" not in explained
        for proof in re.findall(rb",p=(.+)|response=([0-9a-f]{32})|alice ([0-9a-f]{32})", data):
            assert max(proof).decode() not in explained


@pytest.mark.parametrize(
    ("name", "who", "data", "explained"),
    [
        ("PLAIN", "client", b"\0alice\0wonderland", "user alice, and the password"),
        ("PLAIN", "client", b"bob\0alice\0wonderland", "user alice as bob, and the password"),
        ("LOGIN", "server", b"Username:", "asks for the user name"),
        ("LOGIN", "server", b"Password:", "asks for the password"),
        ("SCRAM-SHA-256", "server", _FIRST, "salt, and 4096 iterations of the hash"),
        (
            "XOAUTH2",
            "server",
            b'{"status":"401","scope":"https://mail.google.com/"}',
            "OAuth error: status 401, scope https://mail.google.com/",
        ),
        ("CRAM-MD5", "server", b"<1@x>", "challenge <1@x>"),
        ("NTLM", "server", b"NTLMSSP\0\x02\0\0\0", "challenge"),
        ("NTLM", "client", b"NTLMSSP\0\x01\0\0\0", "what this side can do"),
        ("NTLM", "server", b"", "asks to begin"),
        ("GSSAPI", "client", b"\x60\x10", "a Kerberos ticket"),
        ("GSSAPI", "server", b"\x60\x10", "the proof that it is the server of the ticket"),
        ("GSSAPI", "server", b"\x05\x04\x01", "the security layers it has"),
        ("GSSAPI", "client", b"\x05\x04\x01", "takes no security layer"),
    ],
)
def test_explanations(name: str, who: str, data: bytes, explained: str) -> None:
    assert explain_step(MECHANISMS[name], "client" if who == "client" else "server", data) == explained


GREETED = """
    S: 220 mail.example.com ESMTP
    C: EHLO here.org
    S: 250-mail.example.com
    S: 250 AUTH PLAIN LOGIN
"""


def test_plain_on_the_wire() -> None:
    session = client(GREETED) << auth("PLAIN", next(MECHANISMS["PLAIN"].start(ALICE)))
    session >> "235 2.7.0 Authentication successful"
    assert session.state is State.READY


def test_login_on_the_wire() -> None:
    session, exchange = client(GREETED), MECHANISMS["LOGIN"].start(ALICE)
    session << auth("LOGIN", next(exchange)) >> "334 VXNlcm5hbWU6"
    assert session.conn.send_auth_response(exchange.send(b"Username:")) == b"YWxpY2U=\r\n"
    session >> "334 UGFzc3dvcmQ6"
    assert session.conn.send_auth_response(exchange.send(b"Password:")) == b"d29uZGVybGFuZA==\r\n"
    session >> "235 2.7.0 Authentication successful"
    assert session.state is State.READY
