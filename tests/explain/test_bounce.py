"""The reader of bounces: mails of our own in each form, and mails that nobody should send."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.explain.bounces import read_bounce, read_many
from ehlo.explain.bounces.diagnostic import Diagnostic, read_diagnostic
from ehlo.explain.bounces.fields import read_report
from ehlo.explain.bounces.freeform import blocks, exchanges
from ehlo.explain.case import explain_case
from ehlo.explain.detect import kind_of

MAILS = Path(__file__).parent / "bounces"

#: Kind, system, and for each recipient: code, status, stage, server, rule.
Told = tuple[str, int, str, str | None, str, str]
EXPECTED: dict[str, tuple[str, str, list[Told]]] = {
    "courier": (
        "dsn",
        "courier",
        [("bob@recipient.example", 550, "5.2.1", "rcpt", "mx.recipient.example", "mailbox-inactive")],
    ),
    "domino": ("free-form", "domino", [("bob@recipient.example", 0, "", None, "", "recipient-unknown")]),
    "dragonfly": (
        "free-form",
        "dragonfly",
        [("bob@recipient.example", 554, "5.7.1", "rcpt", "mx.recipient.example", "relay-denied")],
    ),
    "delayed-report": ("dsn", "", [("bob@recipient.example", 0, "4.4.7", None, "", "delivery-delayed")]),
    "exit-status": (
        "dsn",
        "sendmail",
        [("tickets@recipient.example", 0, "5.0.0", None, "", "delivery-program-failed")],
    ),
    "exchange-2003": ("free-form", "exchange", [("bob@recipient.example", 0, "", None, "", "recipient-unknown")]),
    "exchange-365": (
        "dsn",
        "microsoft",
        [("bob@recipient.example", 550, "5.1.10", None, "", "microsoft-unknown-recipient")],
    ),
    "exchange-italian": (
        "free-form",
        "exchange",
        [("bob@recipient.example", 550, "5.2.2", None, "", "mailbox-full")],
    ),
    "exim-frozen": ("free-form", "exim", [("bob@recipient.example", 0, "", None, "", "message-frozen")]),
    "exim-mailbox": ("free-form", "exim", [("bob@recipient.example", 0, "", None, "", "mailbox-full")]),
    "exim-two-recipients": (
        "free-form",
        "exim",
        [
            ("bob@recipient.example", 550, "5.7.25", "mail", "mx.recipient.example", "no-reverse-name"),
            ("dora@nowhere.example", 0, "", None, "", "not-routed"),
        ],
    ),
    "exim-undisclosed": (
        "free-form",
        "exim",
        [("bob@recipient.example", 550, "5.1.1", "rcpt", "mx.elsewhere.example", "recipient-unknown")],
    ),
    "ezweb": ("free-form", "kddi", [("bob@recipient.example", 550, "", "rcpt", "", "mailbox-full")]),
    "feedback": (
        "feedback",
        "",
        [
            ("bob@recipient.example", 0, "", None, "198.51.100.7", "complaint"),
            ("carol@recipient.example", 0, "", None, "198.51.100.7", "complaint"),
        ],
    ),
    "fml": ("free-form", "fml", [("tea@recipient.example", 0, "", None, "", "list-members-only")]),
    "gateway-html": ("free-form", "barracuda", [("bob@recipient.example", 0, "", None, "", "spam-refused")]),
    "gmx": (
        "free-form",
        "gmx",
        [("bob@recipient.example", 550, "5.1.1", "rcpt", "mx.recipient.example", "recipient-unknown")],
    ),
    "google-free-form": (
        "free-form",
        "google",
        [("bob@recipient.example", 552, "5.2.2", None, "mx.recipient.example", "mailbox-full")],
    ),
    "james": ("free-form", "james", [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")]),
    "mailmarshal": (
        "free-form",
        "mailmarshal",
        [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")],
    ),
    "mailru-cyrillic": (
        "free-form",
        "mailru",
        [("bob@recipient.example", 550, "5.7.1", "message", "mx.recipient.example", "virus-refused")],
    ),
    "mcafee": ("dsn", "mcafee", [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")]),
    "messagingserver": (
        "dsn",
        "messagingserver",
        [("bob@recipient.example", 550, "5.1.1", None, "mx.recipient.example", "recipient-unknown")],
    ),
    "mfilter": ("free-form", "m-filter", [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")]),
    "no-bounce": ("none", "", []),
    "notes": ("free-form", "notes", [("bob@recipient.example", 0, "", None, "", "recipient-unknown")]),
    "opensmtpd": ("free-form", "opensmtpd", [("bob@recipient.example", 550, "5.7.1", None, "198.51.100.7", "listed")]),
    "postfix-delivered": (
        "dsn",
        "postfix",
        [("bob@recipient.example", 250, "2.0.0", None, "mx.recipient.example", "delivered")],
    ),
    "postfix-no-connection": (
        "dsn",
        "postfix",
        [("bob@recipient.example", 0, "4.4.1", None, "mx.recipient.example", "next-server-timed-out")],
    ),
    "postfix-two-recipients": (
        "dsn",
        "postfix",
        [
            ("bob@recipient.example", 550, "5.1.1", "rcpt", "mx.recipient.example", "recipient-unknown"),
            ("carol@recipient.example", 452, "4.2.2", "message", "mx.recipient.example", "mailbox-full"),
        ],
    ),
    "qmail": (
        "free-form",
        "qmail",
        [
            ("bob@recipient.example", 550, "5.1.1", "rcpt", "192.0.2.10", "recipient-unknown"),
            ("eve@nowhere.example", 0, "5.1.2", None, "", "recipient-domain-unknown"),
        ],
    ),
    "sendmail-5": (
        "free-form",
        "sendmail",
        [("bob@recipient.example", 550, "", "rcpt", "mx.recipient.example", "recipient-unknown")],
    ),
    "sendmail-delayed": ("dsn", "sendmail", [("bob@recipient.example", 0, "4.4.7", None, "", "delivery-delayed")]),
    "sendmail-program": (
        "dsn",
        "sendmail",
        [("tickets@recipient.example", 554, "5.3.0", None, "", "delivery-program-failed")],
    ),
    "sendmail-transcript": (
        "dsn",
        "sendmail",
        [("bob@recipient.example", 550, "5.7.1", "message", "mx.recipient.example", "spam-refused")],
    ),
    "ses-json": ("dsn", "amazon", [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")]),
    "utf8": (
        "dsn",
        "postfix",
        [("jörg@müller.example", 550, "5.1.1", "rcpt", "mx.müller.example", "recipient-unknown")],
    ),
    "vacation": ("vacation", "", [("bob@recipient.example", 0, "", None, "", "vacation")]),
    "yahoo": ("free-form", "yahoo", [("bob@recipient.example", 554, "5.7.1", "message", "", "spam-refused")]),
    "zoho": ("free-form", "zoho", [("bob@recipient.example", 550, "5.1.1", None, "", "recipient-unknown")]),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_form_is_read(name: str) -> None:
    bounce = read_bounce((MAILS / f"{name}.eml").read_bytes())
    told = [
        (case.recipient, case.code, case.status, case.stage, case.server, explain_case(case).rule)
        for case in bounce.cases
    ]
    assert (bounce.kind, bounce.system, told) == EXPECTED[name]
    assert bounce.date is not None
    assert all(case.software == bounce.system for case in bounce.cases)


def test_each_mail_has_its_expectation() -> None:
    assert {mail.stem for mail in MAILS.glob("*.eml")} == set(EXPECTED)


def test_the_message_that_came_back_is_named() -> None:
    for name in ("postfix-two-recipients", "exim-two-recipients", "qmail", "notes", "zoho", "opensmtpd"):
        bounce = read_bounce((MAILS / f"{name}.eml").read_bytes())
        assert bounce.message_id == "original.1@sender.example", name
        assert {case.sender for case in bounce.cases} == {"ann@sender.example"}


def test_a_reply_that_a_report_cuts_short_is_completed_from_the_transcript() -> None:
    case = read_bounce((MAILS / "sendmail-transcript.eml").read_bytes()).cases[0]
    assert case.text == "Mail from 198.51.100.7 is not wanted here, since your message looks like spam"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            "host mx.b.example[192.0.2.1] said: 550 5.1.1 <u@b.example>: unknown (in reply to RCPT TO command)",
            Diagnostic("<u@b.example>: unknown", 550, "5.1.1", "mx.b.example", "rcpt"),
        ),
        (
            "192.0.2.1 failed after I sent the message.\nRemote host said: 554 5.7.1 spam",
            Diagnostic("spam", 554, "5.7.1", "192.0.2.1", "message"),
        ),
        ("550-5.7.26 one 550-5.7.26 two 550 5.7.26 three", Diagnostic("one two three", 550, "5.7.26")),
        ("550-5.1.1 one\n550 5.1.1 two", Diagnostic("one two", 550, "5.1.1")),
        ("554 4.4.7 expired after 840 minutes.<421 4.4.2 timed out>", Diagnostic("timed out", 421, "4.4.2")),
        ("5.1.0 - Unknown error 550-'5.2.2 <u@b.example>... Full'", Diagnostic("<u@b.example>... Full", 550, "5.2.2")),
        (
            "sorry, that mailbox is over quota (#5.2.2)",
            Diagnostic("sorry, that mailbox is over quota (#5.2.2)", 0, "5.2.2"),
        ),
        ("It responded: [550 5.1.1 User unknown]", Diagnostic("User unknown]", 550, "5.1.1")),
        ("retried for 550 minutes at 10.5.5.1", Diagnostic("retried for 550 minutes at 10.5.5.1")),
        ("smtp; 452", Diagnostic("smtp;", 452)),
        ("", Diagnostic()),
    ],
)
def test_diagnostics_are_taken_apart(told: str, expected: Diagnostic) -> None:
    assert read_diagnostic(told) == expected


ONE = "550 5.1.1 <bob@example.com>: User unknown"
TWO = "552 5.2.2 Mailbox full"
#: What systems say of two recipients, without the header of the mail that it stood in.
PASTED = {
    "postfix": f"""This is the mail system at host mx.example.org.

<bob@example.com>: host mx.example.com[192.0.2.1] said: {ONE} (in reply to
    RCPT TO command)

<carol@example.net>: host mx.example.net[192.0.2.2] said: {TWO} (in
    reply to RCPT TO command)
""",
    "qmail": f"""Hi. This is the qmail-send program at example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@example.com>:
192.0.2.1 does not like recipient.
Remote host said: {ONE}

<carol@example.net>:
192.0.2.2 does not like recipient.
Remote host said: {TWO}
""",
    "exim": f"""This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. The following address(es) failed:

  bob@example.com
    SMTP error from remote mail server after RCPT TO:<bob@example.com>:
    {ONE}
  carol@example.net
    SMTP error from remote mail server after RCPT TO:<carol@example.net>:
    {TWO}
""",
    "sendmail": f"""   ----- The following addresses had permanent fatal errors -----
<bob@example.com>
    (reason: {ONE})
<carol@example.net>
    (reason: {TWO})
""",
    "": f"""Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; bob@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; {ONE}

Final-Recipient: rfc822; carol@example.net
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; {TWO}
""",
}


@pytest.mark.parametrize("system", PASTED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bounce_without_its_header_tells_of_each_recipient(system: str, end: str) -> None:
    raw = PASTED[system].replace("\n", end).encode()
    assert kind_of(raw) == "bounce"
    bounce = read_bounce(raw)
    assert bounce.system == system
    assert [(case.recipient, explain_case(case).rule) for case in bounce.cases] == [
        ("bob@example.com", "recipient-unknown"),
        ("carol@example.net", "mailbox-full"),
    ]


def test_each_of_several_recipients_of_exchange() -> None:
    bounce = read_bounce(b"""Undeliverable: hello
Delivery has failed to these recipients or groups:

bob@example.com (bob@example.com)
The email address you entered couldn't be found. Please check it.

carol@example.net (carol@example.net)
The recipient's mailbox is full and can't accept messages now.
""")
    assert [(case.recipient, explain_case(case).rule) for case in bounce.cases] == [
        ("bob@example.com", "recipient-unknown"),
        ("carol@example.net", "mailbox-full"),
    ]


def test_a_text_is_no_bounce_for_having_no_header() -> None:
    for text in ("550 5.1.1 <bob@example.com>: User unknown", "hello", "", "Your message is here."):
        assert kind_of(text.encode()) is None
        assert read_bounce(text.encode()).kind == "none"


def test_reports_are_read_in_any_order_and_spelling() -> None:
    text = (
        "Reporting-MTA : dns; a.example\n\nAction : failed\nStatus : 5.0.0\nDiagnostic-Code : smtp;550 5.7.1 no\n"
        "Remote-MTA : mx.b.example\nFinal-Recipient : rfc822;u@b.example\n\nStatus: 4.2.2 (full)\n"
        "Final-Recipient: RFC822; <v@b.example>\nAction: delayed\nDiagnostic-Code: smtp;\n 452 4.2.2\n  full\n"
    )
    first, second = read_report(text)
    assert (first.recipient, first.status, first.diagnostic, first.remote) == (
        "u@b.example",
        "5.0.0",
        "550 5.7.1 no",
        "mx.b.example",
    )
    assert (second.recipient, second.status, second.action, second.diagnostic) == (
        "v@b.example",
        "4.2.2",
        "delayed",
        "452 4.2.2 full",
    )


def test_an_address_opens_a_block_and_the_next_one_ends_it() -> None:
    text = "Dear sender,\n\n<u@b.example>:\n  full\n\n* v@b.example\n  unknown\n\n----- copy -----\nw@b.example\n"
    assert [(block.recipient, block.text) for block in blocks(text, ["u@b.example", "v@b.example"])] == [
        ("u@b.example", "full"),
        ("v@b.example", "unknown"),
    ]


def test_transcripts_know_what_was_refused() -> None:
    text = (
        "... while talking to mx.b.example.:\n>>> MAIL From:<a@a.example>\n<<< 550-no\n<<< 550 never\n"
        ">>> RCPT To:<u@b.example>\n<<< 503 MAIL first\n"
    )
    first, second = exchanges(text)
    assert (first.stage, first.text, first.about, first.server) == ("mail", "550-no\n550 never", (), "mx.b.example")
    assert (second.stage, second.about) == ("rcpt", ("u@b.example",))


def test_mails_are_read_from_a_folder_a_maildir_and_an_mbox(tmp_path: Path) -> None:
    folder = [bounce.kind for bounce in read_many(MAILS)]
    assert len(folder) == len(EXPECTED)
    maildir = tmp_path / "box"
    for name, source in (("new", "qmail"), ("cur", "courier"), ("tmp", "yahoo")):
        (maildir / name).mkdir(parents=True)
        (maildir / name / f"{source}:2,S").write_bytes((MAILS / f"{source}.eml").read_bytes())
    assert [bounce.system for bounce in read_many(maildir)] == ["courier", "qmail"]
    mbox = tmp_path / "mbox"
    line = b"From MAILER-DAEMON  Mon Nov 23 10:05:00 2026\n"
    mbox.write_bytes(
        line
        + (MAILS / "qmail.eml").read_bytes()
        + line
        + (MAILS / "yahoo.eml").read_bytes().replace(b"Here they", b">From here they")
    )
    assert [(bounce.system, len(bounce.cases)) for bounce in read_many(mbox)] == [("qmail", 2), ("yahoo", 1)]
    with pytest.raises(OSError):
        next(iter(read_many(tmp_path / "nothing")))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3000))
def test_any_octets_are_read(raw: bytes) -> None:
    read_bounce(raw)
    read_bounce(b"From: MAILER-DAEMON\nSubject: failure notice\n\n" + raw)
    read_bounce(b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" + raw)


LINES = [
    "Final-Recipient: rfc822; u@b.example",
    "Status: 5.1.1",
    "Diagnostic-Code: smtp; 550-",
    "Action: delivered",
    "",
    "<u@b.example>:",
    "    host mx.b.example[192.0.2.1] said: 550",
    ">>> RCPT To:<u@b.example>",
    "<<< 550-x",
    "<<< 550 x",
    "----- Transcript of session follows -----",
    "--- Below this line is a copy of the message.",
    "Received: from a",
    "From: a@a.example",
    "Message-ID: <x",
    '{"Message": "{',
    "Original-Rcpt-To: x@",
    "From x",
    "550",
    "(#5.1.1)",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=60))
def test_any_order_of_lines_is_read(lines: list[str]) -> None:
    for head in ("From: MAILER-DAEMON\nSubject: Undelivered\n\n", "Content-Type: message/delivery-status\n\n"):
        for case in read_bounce((head + "\n".join(lines)).encode()).cases:
            assert len(case.text) <= 2_000
            explain_case(case)


@pytest.mark.parametrize(
    "piece",
    [
        b"a@a.example ",
        b"<a@a.example>:\n",
        b"550 ",
        b"550-5.1.1 ",
        b"5.1.1",
        b"(",
        b"-",
        b" \n",
        b">>> ",
        b"<<< 550 x\n",
        b"Received: x\n",
        b"Final-Recipient: rfc822; a@a.example\n",
        b"a",
        b'"',
        b"[",
        b"{",
        b'{"Message":"',
        b"<p>",
        b"@",
        b"host ",
        b"your message to ",
        b"this is ",
        b"not ",
        b"\n\n",
        b": ",
        b"....",
        b"Message-ID: x\n",
        b"---- x\n",
    ],
)
def test_the_time_is_bounded(piece: bytes) -> None:
    body = piece * (400_000 // len(piece))
    heads = (
        b"From: MAILER-DAEMON\nSubject: failure notice\n\n",
        b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n",
        b"From: MAILER-DAEMON\nX-Failed-Recipients: a@a.example\nContent-Type: text/html\n\n",
        b"Subject: ",
    )
    for head in heads:
        start = time.process_time()
        read_bounce(head + body)
        assert time.process_time() - start < 3
