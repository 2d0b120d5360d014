"""What a person reads of a handshake: what matters most in the step's line, all of it beneath."""

from __future__ import annotations

import io

import pytest

from ehlo.report.encryption import matching_name, tls_details, tls_summary, version_name
from ehlo.report.style import Style
from ehlo.report.terminal import SessionView
from ehlo.transcript.event import Event, JsonValue

DAY = 86400
#: 2026-01-01.
BEGIN = 1767225600


def link(subject: str, issuer: str, days: int = 90) -> dict[str, JsonValue]:
    return {"subject": subject, "issuer": issuer, "not_before": BEGIN, "not_after": BEGIN + 90 * DAY, "days_left": days}


def facts(**changed: JsonValue) -> dict[str, JsonValue]:
    return {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "bits": 256,
        "group": "X25519",
        "problem": None,
        "detail": None,
        "name": "mail.example.com",
        "name_verified": True,
        "names": ["mail.example.com"],
        "not_before": BEGIN,
        "days_left": 61,
        "chain": [link("mail.example.com", "R11", 61)],
        **changed,
    }


def shown(columns: int, *, whole: bool = False, **changed: JsonValue) -> list[str]:
    """The lines of the step on a terminal of that width."""
    stream = io.StringIO()
    view = SessionView(stream, Style(colour=False, unicode=True, width=columns, whole=whole), timed=False)
    view.event(Event(0.0, "net", "tls", "starttls", facts=facts(**changed)))
    return stream.getvalue().splitlines()


def test_versions() -> None:
    names = [version_name(version) for version in ("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3", "")]
    assert names == ["TLS 1.3", "TLS 1.2", "TLS 1.1", "TLS 1.0", "SSL 3.0", ""]


def test_a_good_certificate() -> None:
    assert shown(80) == [
        "  ✓ starttls  TLS 1.3, certificate for mail.example.com, 61 days left",
        "              cipher  TLS_AES_256_GCM_SHA384, key exchange X25519",
        "              chain   mail.example.com, signed by R11,",
        "                      2026-01-01 to 2026-04-01 (61 days left)",
    ]


def test_all_names_and_the_whole_chain() -> None:
    chain: list[JsonValue] = [
        link("mail.example.com", "Example Intermediate CA", 61),
        link("Example Intermediate CA", "Example Root CA", 1),
        link("Example Root CA", "Example Root CA", 3554),
    ]
    names: list[JsonValue] = [f"mx{number}.mail.example.com" for number in range(5)]
    assert shown(80, chain=chain, names=names, name="mx2.mail.example.com")[2:] == [
        "              chain   mail.example.com, signed by Example Intermediate CA,",
        "                      2026-01-01 to 2026-04-01 (61 days left)",
        "                      Example Intermediate CA, signed by Example Root CA,",
        "                      2026-01-01 to 2026-04-01 (1 day left)",
        "                      Example Root CA, self-signed,",
        "                      2026-01-01 to 2026-04-01 (3554 days left)",
        "              names   mx0.mail.example.com, mx1.mail.example.com,",
        "                      mx2.mail.example.com, mx3.mail.example.com,",
        "                      mx4.mail.example.com",
    ]


def test_without_a_terminal_each_certificate_is_one_line() -> None:
    chain: list[JsonValue] = [link("mail.example.com", "Example CA"), link("Example CA", "Example CA", 3554)]
    names: list[JsonValue] = [f"mx{number}.mail.example.com" for number in range(20)]
    assert shown(80, whole=True, chain=chain, names=names, name="mx7.mail.example.com") == [
        "  ✓ starttls  TLS 1.3, certificate for mx7.mail.example.com, 61 days left",
        "              cipher  TLS_AES_256_GCM_SHA384, key exchange X25519",
        "              chain   mail.example.com, signed by Example CA, 2026-01-01 to 2026-04-01 (90 days left)",
        "                      Example CA, self-signed, 2026-01-01 to 2026-04-01 (3554 days left)",
        "              names   " + ", ".join(map(str, names)),
    ]


@pytest.mark.parametrize(
    ("columns", "name", "summary"),
    [
        (80, "mail.example.com", "TLS 1.3, certificate for mail.example.com, 3554 days left"),
        (80, "mailbox.example.com", "TLS 1.3, mailbox.example.com, 3554 days left"),
        (80, "mail.department.organisation.example.com", "TLS 1.3, 3554 days left"),
        (110, "mail.department.organisation.example.com",
         "TLS 1.3, certificate for mail.department.organisation.example.com, 3554 days left"),
        (50, "mail.example.com", "TLS 1.3, 3554 days left"),
    ],
)  # fmt: skip
def test_where_there_is_no_room_words_go_and_numbers_stay(columns: int, name: str, summary: str) -> None:
    assert shown(columns, name=name, names=[name, "x.example"], days_left=3554)[0] == f"  ✓ starttls  {summary}"


@pytest.mark.parametrize("columns", range(50, 111))
def test_no_number_is_cut(columns: int) -> None:
    lines = shown(columns, names=["mail.example.com", "a.example.com"], days_left=3554)
    assert max(map(len, lines)) <= columns
    words = " ".join(" ".join(lines).split())
    assert "…" not in words
    assert ", 3554 days left cipher TLS_AES_256_GCM_SHA384, key exchange X25519 chain" in words
    assert "signed by R11, 2026-01-01 to 2026-04-01 (61 days left) names" in words


@pytest.mark.parametrize(
    ("changed", "summary"),
    [
        ({"problem": "expired", "detail": "certificate has expired", "days_left": -13}, "expired 12 days ago"),
        ({"problem": "expired", "detail": "certificate has expired", "days_left": -1}, "expired today"),
        ({"problem": "expired", "detail": "an issuer's has expired", "days_left": 3}, "an issuer's has expired"),
        ({"problem": "not-yet-valid", "detail": "certificate is not yet valid"}, "not valid before 2026-01-01"),
        ({"problem": "self-signed", "detail": "self-signed certificate"}, "self-signed"),
        ({"problem": "unknown-root", "detail": "self-signed certificate in certificate chain"}, "unknown authority"),
        ({"problem": "unknown-issuer", "detail": "unable to get local issuer certificate"}, "unknown authority"),
        ({"problem": "wrong-name", "detail": "Hostname mismatch", "name_verified": False}, "not for mail.example.com"),
        (
            {
                "detail": "self-signed certificate",
                "problems": {
                    "self-signed": "self-signed certificate",
                    "expired": "certificate has expired",
                    "wrong-name": "Hostname mismatch",
                },
                "days_left": -13,
            },
            "self-signed, expired 12 days ago, not for mail.example.com",
        ),
        ({"problem": "not-verified", "detail": "ee key too small"}, "ee key too small"),
    ],
)
def test_what_is_wrong_is_in_the_line(changed: dict[str, JsonValue], summary: str) -> None:
    assert tls_summary(facts(**changed))[0] == f"TLS 1.3, not verified: {summary}"
    wrong = next(detail for detail in tls_details(facts(**changed)) if detail.label == "wrong")
    assert wrong.parts[0] == changed["detail"]
    names = [detail for detail in tls_details(facts(**changed)) if detail.label == "names"]
    assert [detail.parts for detail in names] == [("mail.example.com",)]


def test_a_certificate_that_is_not_valid_yet_says_so_in_the_line_of_the_chain() -> None:
    chain: list[JsonValue] = [{**link("mail.example.com", "R11"), "begun": False}]
    assert shown(80, chain=chain)[3] == "                      2026-01-01 to 2026-04-01 (not valid yet)"


def test_a_chain_of_which_only_the_end_is_known() -> None:
    """As records of older versions have it."""
    chain: list[JsonValue] = [{"subject": "mail.example.com", "issuer": "R11", "not_after": BEGIN}]
    assert shown(80, chain=chain)[2] == "              chain   mail.example.com, signed by R11, until 2026-01-01"


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (("a.example.com", "mail.example.com"), "mail.example.com", "mail.example.com"),
        (("a.example.com", "*.EXAMPLE.com"), "Mail.example.com.", "*.EXAMPLE.com"),
        (("*.example.com", "mail.example.com"), "mail.example.com", "mail.example.com"),
        (("mail.example.com", "::1"), "::1", "::1"),
        (("a.example.com", "b.example.com"), "", "a.example.com"),
        ((), "mail.example.com", ""),
    ],
)
def test_the_name_that_matched(names: tuple[str, ...], wanted: str, found: str) -> None:
    assert matching_name(names, wanted) == found


def test_a_server_has_no_certificate_to_judge() -> None:
    own: dict[str, JsonValue] = {"version": "TLSv1", "cipher": "AES128-SHA", "bits": 128}
    assert (tls_summary(own), [str(detail) for detail in tls_details(own)]) == (("TLS 1.0",), ["cipher: AES128-SHA"])


def test_a_hostile_name_is_shown_escaped() -> None:
    names: list[JsonValue] = ["\x1b[2Jmail.example.com", "\u202emoc"]
    assert "\x1b" not in "".join(shown(80, names=names, name="\x1b[2Jmail.example.com"))
