"""Pasted sessions: what programs print is read as a session, and the rule that comes first is the one that helps."""

from __future__ import annotations

import io
import json
import re
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.explain.paste import Paste, read_paste
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.report.style import Style
from ehlo.report.terminal import SessionView
from ehlo.transcript.jsonl import event_to_json
from ehlo.transcript.redaction import redact

Programs = Callable[[str], Path]

SENDER, RECIPIENT, UNKNOWN = "sender@yourdomain.com", "recipient@example.com", "nobody@example.com"
#: The password in all sessions; "wonderland" by itself, and in AUTH PLAIN and LOGIN.
SECRET = "wonderland"
SECRETS = (SECRET, "d29uZGVybGFuZA", "AGFsaWNlAHdvbmRlcmxhbmQ")

EHLO = ["EHLO here.org", "250-mail.example.com", "250-STARTTLS", "250 8BITMIME"]
GREETED = ["220 mail.example.com ESMTP Postfix", *EHLO]
MAIL = [f"MAIL FROM:<{SENDER}>", "250 2.1.0 Ok"]
REFUSED = [f"RCPT TO:<{UNKNOWN}>", f"550 5.1.1 <{UNKNOWN}>: Recipient address rejected: User unknown"]
BYE = ["QUIT", "221 2.0.0 Bye"]
PLAIN = ["AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=", "535 5.7.8 Error: authentication failed"]
LOGIN = [
    "AUTH LOGIN", "334 VXNlcm5hbWU6", "YWxpY2U=", "334 UGFzc3dvcmQ6", "d29uZGVybGFuZA==",
    "535 5.7.8 Error: authentication failed",
]  # fmt: skip
MESSAGE = ["DATA", "354 End data with <CR><LF>.<CR><LF>", "Subject: hi", "", "250 is not a reply here", "QUIT", "."]
TELNET = ["$ telnet mail.example.com 25", "Trying 192.0.2.10...", "Connected to mail.example.com."]
TELNET_UP = [*TELNET, "Escape character is '^]'."]
CLOSED = "Connection closed by foreign host."


def lines(*parts: list[str] | str) -> str:
    return "\n".join(line for part in parts for line in ([part] if isinstance(part, str) else part)) + "\n"


def marked(server: str, client: str, session: list[str]) -> list[str]:
    """A session with the marks of a program."""
    return [(server if re.match(r"[2-5]\d\d[ -]", line) else client) + line for line in session]


def literal(session: list[str], stamp: str = "") -> list[str]:
    """A session as smtplib shows it."""
    return [
        f"{stamp}reply: b'{line}\\r\\n'" if re.match(r"\d\d\d[ -]", line) else f"{stamp}send: '{line}\\r\\n'"
        for line in session
    ]


UNKNOWN_SESSION = [*GREETED, *MAIL, *REFUSED, *BYE]


class Pasted(NamedTuple):
    """A text, which program wrote it, and the rule that comes first ("" if all went well)."""

    name: str
    software: str
    rule: str
    text: str


PASTED = (
    Pasted("telnet", "telnet", "recipient-unknown", lines(TELNET_UP, UNKNOWN_SESSION, CLOSED)),
    Pasted("telnet delivers", "telnet", "", lines(
        TELNET_UP, GREETED, MAIL, f"RCPT TO:<{RECIPIENT}>", "250 2.1.5 Ok", MESSAGE, "250 2.0.0 Ok: queued", BYE,
        CLOSED)),
    Pasted("telnet refused", "telnet", "connection-refused", lines(
        TELNET[:2], "telnet: Unable to connect to remote host: Connection refused")),
    Pasted("telnet timed out", "telnet", "connection-timed-out", lines(
        TELNET[:2], "telnet: Unable to connect to remote host: Connection timed out")),
    Pasted("telnet no name", "telnet", "no-such-host", lines(
        TELNET[:1], "telnet: could not resolve mail.exmaple.com/25: Name or service not known")),
    Pasted("telnet closed at once", "telnet", "closed-before-greeting", lines(TELNET_UP, CLOSED)),
    Pasted("telnet imap", "telnet", "imap-server-answers", lines(
        TELNET_UP, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot ready.", EHLO[:1], "EHLO BAD Error in IMAP command",
        CLOSED)),
    Pasted("telnet pop3", "telnet", "pop3-server-answers", lines(
        TELNET_UP, "+OK ready", EHLO[:1], "-ERR Unknown command.")),
    Pasted("telnet web", "telnet", "web-server-answers", lines(
        TELNET_UP, EHLO[:1], "HTTP/1.1 400 Bad Request", "Server: nginx", "", "<html>", "500 no reply", CLOSED)),
    Pasted("telnet without recipient", "telnet", "wrong-order", lines(
        TELNET_UP, GREETED, MAIL, "DATA", "503 5.5.1 Error: need RCPT command", BYE, CLOSED)),
    Pasted("telnet without good recipient", "telnet", "recipient-unknown", lines(
        TELNET_UP, GREETED, MAIL, REFUSED, "DATA", "503 5.5.1 Error: need RCPT command", BYE, CLOSED)),
    Pasted("telnet of windows", "telnet", "connection-failed", lines(
        "Connecting To mail.example.com...Could not open connection to the host, on port 25: Connect failed")),
    Pasted("telnet of windows, German", "", "connection-failed", lines(
        "Verbindungsaufbau zu mail.example.com...Es konnte keine Verbindung mit dem Host hergestellt werden, auf Port"
        " 25: Verbinden fehlgeschlagen")),
    Pasted("telnet lost", "telnet", "connection-lost", lines(TELNET_UP, GREETED, MAIL[:1], CLOSED)),
    Pasted("telnet quoted", "telnet", "recipient-unknown", "> " + lines(
        TELNET_UP, UNKNOWN_SESSION).strip().replace("\n", "\n> ")),
    Pasted("telnet numbered", "telnet", "recipient-unknown", "".join(
        f"{number:4}  {line}\n" for number, line in enumerate([*TELNET_UP, *UNKNOWN_SESSION], start=1))),
    Pasted("telnet wrapped", "telnet", "greylisted", lines(
        TELNET_UP, GREETED, MAIL, f"RCPT TO:<{UNKNOWN}>",
        f"450 4.2.0 <{UNKNOWN}>: Recipient address rejected: Greyli", "sted, see http://postgrey.example.com/help")),
    Pasted("netcat", "netcat", "tls-required", lines(
        "$ nc mail.example.com 25", GREETED, MAIL[:1], "530 5.7.0 Must issue a STARTTLS command first")),
    Pasted("bare", "", "recipient-unknown", lines(UNKNOWN_SESSION)),
    Pasted("bare login", "", "credentials-wrong", lines(GREETED, LOGIN)),
    Pasted("openssl", "openssl", "certificate-expired", lines(
        "$ openssl s_client -starttls smtp -connect mail.example.com:587 -crlf", "CONNECTED(00000003)",
        "depth=0 CN = mail.example.com", "verify error:num=10:certificate has expired",
        "notAfter=Jan  1 00:00:00 2026 GMT", "verify return:1", "---", "Certificate chain",
        " 0 s:CN = mail.example.com", "   i:CN = An Authority", "---", "-----BEGIN CERTIFICATE-----",
        "MIIBhTCCASugAwIBAgIQIRi6zePL6mKjOipn", "-----END CERTIFICATE-----", "---",
        "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384", "Verify return code: 10 (certificate has expired)", "---",
        "250 CHUNKING", EHLO[:1], "250-mail.example.com", "250 AUTH PLAIN LOGIN", BYE, "closed")),
    Pasted("openssl login", "openssl", "credentials-wrong", lines(
        "CONNECTED(00000003)", "---", "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384",
        "Verify return code: 0 (ok)", "---", GREETED, PLAIN, "read:errno=0")),
    Pasted("openssl without starttls", "openssl", "starttls-not-offered", lines(
        "CONNECTED(00000003)", "Didn't find STARTTLS in server response, trying anyway...",
        "139:error:1408F10B:SSL routines:ssl3_get_record:wrong version number:ssl3_record.c:332:", "---",
        "no peer certificate available")),
    Pasted("openssl renegotiates", "openssl", "openssl-took-the-line", lines(
        "CONNECTED(00000003)", "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384", "Verify return code: 0 (ok)", "---",
        GREETED, MAIL, f"RCPT TO:<{RECIPIENT}>", "RENEGOTIATING",
        "140:error:1420410A:SSL routines:SSL_renegotiate:wrong ssl version:ssl/ssl_lib.c:2127:")),
    Pasted("openssl wrong port", "openssl", "tls-on-plaintext-port", lines(
        "CONNECTED(00000003)", "140:error:1408F10B:SSL routines:ssl3_get_record:wrong version number:record.c:332:",
        "---", "no peer certificate available", "---", "New, (NONE), Cipher is (NONE)", "Verify return code: 0 (ok)")),
    Pasted("swaks", "swaks", "recipient-unknown", lines(
        "=== Trying mail.example.com:25...", "=== Connected to mail.example.com.",
        marked("<-  ", " -> ", [*GREETED, *MAIL]), f" -> {REFUSED[0]}", f"<** {REFUSED[1]}",
        marked("<-  ", " -> ", BYE), "=== Connection closed with remote host.")),
    Pasted("swaks tls", "swaks", "credentials-wrong", lines(
        "=== Trying mail.example.com:587...", "=== Connected to mail.example.com.",
        marked("<-  ", " -> ", [*GREETED, "STARTTLS", "220 2.0.0 Ready"]),
        "=== TLS started with cipher TLSv1.3:TLS_AES_256_GCM_SHA384:256", '=== TLS peer DN="/CN=mail.example.com"',
        marked("<~  ", " ~> ", [*EHLO, *PLAIN[:1]]), f"<~* {PLAIN[1]}", "*** No authentication type succeeded",
        marked("<~  ", " ~> ", BYE), "=== Connection closed with remote host.")),
    Pasted("swaks refused", "swaks", "connection-refused", lines(
        "=== Trying 192.0.2.10:25...", "*** Error connecting to 192.0.2.10:25:",
        "*** \tIO::Socket::INET6: connect: Connection refused")),
    Pasted("curl", "curl", "recipient-unknown", lines(
        "*   Trying 192.0.2.10:25...", "* Connected to mail.example.com (192.0.2.10) port 25 (#0)",
        marked("< ", "> ", [*GREETED, *MAIL, *REFUSED]), "* RCPT failed: 550", "* Closing connection 0",
        "curl: (55) RCPT failed: 550")),
    Pasted("curl certificate", "curl", "certificate-self-signed", lines(
        "* Connected to mail.example.com (192.0.2.10) port 587 (#0)",
        marked("< ", "> ", [*GREETED, "STARTTLS", "220 2.0.0 Ready"]),
        "* TLSv1.3 (OUT), TLS alert, unknown CA (560):",
        "* SSL certificate problem: self-signed certificate", "* Closing connection 0",
        "curl: (60) SSL certificate problem: self-signed certificate")),
    Pasted("smtplib", "smtplib", "recipient-unknown", lines(
        "connect: to ('mail.example.com', 587) None", literal(UNKNOWN_SESSION),
        "reply: retcode (221); Msg: b'2.0.0 Bye'")),
    Pasted("smtplib timed", "smtplib", "credentials-wrong", lines(
        literal([*GREETED, *PLAIN], "12:30:01.250000 "), "Traceback (most recent call last):",
        "smtplib.SMTPAuthenticationError: (535, b'5.7.8 Error: authentication failed')")),
    Pasted("nodemailer", "nodemailer", "credentials-wrong", lines(
        "[2026-03-01 10:00:00] DEBUG Creating transport: nodemailer (6.9.9)",
        "[2026-03-01 10:00:00] INFO  [gMa3bRvHSsc] Connection established to 192.0.2.10:587",
        marked("[2026-03-01 10:00:01] DEBUG [gMa3bRvHSsc] S: ", "[2026-03-01 10:00:01] DEBUG [gMa3bRvHSsc] C: ",
               [*GREETED, *PLAIN]),
        '[2026-03-01 10:00:01] INFO  [gMa3bRvHSsc] User "alice" failed to authenticate',
        "[2026-03-01 10:00:01] ERROR Send Error: Invalid login: 535 5.7.8 Error: authentication failed")),
    Pasted("phpmailer", "phpmailer", "recipient-unknown", lines(
        "2026-03-01 10:00:00 Connection: opening to mail.example.com:587, timeout=300, options=array()",
        "2026-03-01 10:00:00 Connection: opened",
        "2026-03-01 10:00:00 SERVER -> CLIENT: 220 mail.example.com ESMTP Postfix",
        "2026-03-01 10:00:00 CLIENT -> SERVER: EHLO here.org",
        "2026-03-01 10:00:00 SERVER -> CLIENT: 250-mail.example.com", "                              250-STARTTLS",
        "                              250 8BITMIME",
        marked("2026-03-01 10:00:01 SERVER -> CLIENT: ", "2026-03-01 10:00:01 CLIENT -> SERVER: ", [*MAIL, *REFUSED]),
        "2026-03-01 10:00:01 SMTP ERROR: RCPT TO command failed: 550 5.1.1 User unknown",
        "SMTP Error: The following recipients failed: nobody@example.com")),
    Pasted("phpmailer certificate", "phpmailer", "certificate-not-verified", lines(
        marked("SERVER -> CLIENT: ", "CLIENT -> SERVER: ", [*GREETED, "STARTTLS", "220 2.0.0 Ready"]),
        "Connection failed. Error #2: stream_socket_enable_crypto(): SSL operation failed with code 1. OpenSSL Error"
        " messages:", "error:1416F086:SSL routines:tls_process_server_certificate:certificate verify failed [SMTP.php]",
        "SMTP Error: Could not connect to SMTP host.", "CLIENT -> SERVER: QUIT",
        "SMTP Error: Could not connect to SMTP host.")),
    Pasted("phpmailer in one line", "phpmailer", "recipient-unknown", lines(
        "CLIENT -> SERVER: EHLO here.org",
        "SERVER -> CLIENT: 250-mail.example.com250-SIZE 35882577250-8BITMIME250 SMTPUTF8",
        marked("SERVER -> CLIENT: ", "CLIENT -> SERVER: ", [*MAIL, *REFUSED]))),
    Pasted("phpmailer html", "phpmailer", "credentials-wrong", "<br>\n".join(
        marked("SERVER -&gt; CLIENT: ", "CLIENT -&gt; SERVER: ", [*GREETED, *LOGIN])) + "<br>\n"),
    Pasted("javamail", "javamail", "credentials-wrong", lines(
        "DEBUG: JavaMail version 1.6.2",
        'DEBUG SMTP: trying to connect to host "mail.example.com", port 587, isSSL false', GREETED[:1],
        'DEBUG SMTP: connected to host "mail.example.com", port: 587', "", EHLO,
        'DEBUG SMTP: Found extension "STARTTLS", arg ""', "DEBUG SMTP: Attempt to authenticate using mechanisms: LOGIN",
        "DEBUG SMTP: Using mechanism LOGIN", "DEBUG SMTP: AUTH LOGIN command trace suppressed",
        "DEBUG SMTP: AUTH LOGIN failed", "Exception in thread \"main\" javax.mail.AuthenticationFailedException:"
        " 535 5.7.8 Error: authentication failed", "\tat com.sun.mail.smtp.SMTPTransport.authenticate(SMTP.java:965)")),
    Pasted("javamail 465", "javamail", "closed-before-greeting", lines(
        'DEBUG SMTP: trying to connect to host "mail.example.com", port 465, isSSL false',
        "javax.mail.MessagingException: Could not connect to SMTP host: mail.example.com, port: 465, response: -1",
        "\tat com.sun.mail.smtp.SMTPTransport.openServer(SMTPTransport.java:2197)")),
    Pasted("symfony", "symfony", "recipient-unknown", lines(
        marked("[2026-03-01T10:00:00.123456+00:00] < ", "[2026-03-01T10:00:00.123456+00:00] > ", UNKNOWN_SESSION))),
    Pasted("msmtp", "msmtp", "recipient-unknown", lines(
        "host = mail.example.com", "port = 25", "timeout = off", marked("<-- ", "--> ", UNKNOWN_SESSION),
        "msmtp: recipient address nobody@example.com not accepted by the server", "msmtp: could not send mail")),
    Pasted("thunderbird", "thunderbird", "recipient-unknown", lines(
        marked("mailnews.smtp: S: ", "mailnews.smtp: C: ", UNKNOWN_SESSION))),
    Pasted("outlook", "outlook", "recipient-unknown", lines(
        marked("SMTP (mail.example.com): 08:51:41 [rx] ", "SMTP (mail.example.com): 08:51:41 [tx] ", UNKNOWN_SESSION))),
    Pasted("mailkit", "dotnet", "recipient-unknown", lines(
        "Connected to smtp://mail.example.com:25/", marked("S: ", "C: ", UNKNOWN_SESSION))),
    Pasted("perl", "perl", "recipient-unknown", lines(
        "Net::SMTP>>> Net::SMTP(3.14)",
        marked("Net::SMTP=GLOB(0x55d)<<< ", "Net::SMTP=GLOB(0x55d)>>> ", UNKNOWN_SESSION))),
    Pasted("exim", "exim", "recipient-unknown", lines(marked("  SMTP<< ", "  SMTP>> ", UNKNOWN_SESSION))),
    Pasted("colours", "curl", "recipient-unknown", lines(
        "* Connected to mail.example.com (192.0.2.10) port 25", marked("\x1b[36m< ", "\x1b[1m> ", UNKNOWN_SESSION))),
    Pasted("a log of its own", "", "recipient-unknown", lines(
        marked("Mar  1 10:00:00 web app[12]: S: ", "Mar  1 10:00:00 web app[12]: C: ", UNKNOWN_SESSION))),
)  # fmt: skip


def verdict_on(text: str) -> tuple[Paste, Verdict]:
    paste = read_paste(text)
    assert paste is not None
    return paste, judge(redact(paste.transcript))


def shown(paste: Paste) -> str:
    """What a terminal shows of it."""
    stream = io.StringIO()
    view = SessionView(stream, Style(False, True, 100), verbose=True)
    view.begin(paste.transcript.header)
    for event in paste.transcript.events:
        view.event(event)
    view.finish(paste.transcript, judge(paste.transcript))
    return stream.getvalue()


def rules_of(text: str) -> list[str]:
    return [found.rule for found in verdict_on(text)[1].findings]


def test_what_rewrites_the_greeting_comes_before_what_it_refuses() -> None:
    session = [*TELNET_UP, "220 **************", "EHLO here.org", "500 unrecognized"]
    assert rules_of(lines(session)) == ["firewall-rewrites", "command-unknown"]


def test_helo_after_an_ehlo_that_is_not_known_is_no_failure() -> None:
    session = [*TELNET_UP, "220 mail.example.com", "EHLO here.org", "502 unimplemented", "HELO here.org", "250 hello"]
    assert rules_of(lines(session)) == ["helo-only"]
    refused = [*session[:-3], "550 5.7.1 you are not welcome", *session[-2:]]
    assert "helo-only" not in rules_of(lines(refused))


def test_a_host_that_nobody_named_is_not_named() -> None:
    (finding,) = verdict_on("telnet: Unable to connect to remote host: Connection refused\n")[1].findings
    assert finding.title == "Nothing answers at the address: the connection was refused"


def test_the_row_of_a_host_that_nobody_named_has_no_mark_in_its_place() -> None:
    paste, _ = verdict_on("telnet: Unable to connect to remote host: Connection refused\n")
    assert "✗ connect   connection refused" in shown(paste)


def test_all_that_openssl_finds_wrong_with_a_certificate() -> None:
    (text,) = (it.text for it in PASTED if it.name == "openssl")
    self_signed = "verify error:num=18:self-signed certificate\nverify return:1\n"
    wrong_name = "verify error:num=62:hostname mismatch\nverify return:1\n"
    said = text.replace("verify error:num=10", f"{self_signed}{wrong_name}verify error:num=10")
    rules = [f"certificate-{problem}" for problem in ("self-signed", "wrong-name", "expired")]
    assert rules_of(said) == rules


def test_telnet_cannot_make_a_handshake() -> None:
    session = [*GREETED, "STARTTLS", "220 2.0.0 Ready to start TLS", "AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=", CLOSED]
    text = lines(TELNET_UP, session)
    assert rules_of(text) == ["starttls-went-on-in-clear"]
    paste, _ = verdict_on(text)
    assert "AGFsaWNl" not in shown(paste)


TIMED_OUT = ["Trying 192.0.2.9...", "telnet: connect to address 192.0.2.9: Connection timed out"]


def test_each_address_that_was_tried() -> None:
    text = lines(TELNET[:1], TIMED_OUT, TELNET[1], "telnet: connect to address 192.0.2.10: Connection refused",
                 "telnet: Unable to connect to remote host")  # fmt: skip
    paste, _ = verdict_on(text)
    assert paste.transcript.header.target == "mail.example.com"
    rows = [(event.fact("address"), event.fact("error")) for event in paste.transcript.events]
    assert rows == [("192.0.2.9", "timed-out"), ("192.0.2.10", "refused")]


def test_the_session_behind_an_address_that_failed_is_read_to_its_end() -> None:
    assert rules_of(lines(TELNET[:1], TIMED_OUT, TELNET[1:], GREETED, MAIL[:1], CLOSED)) == [
        "connection-lost",
        "connection-timed-out",
    ]


def test_addresses_that_were_pasted_into_one_line() -> None:
    text = lines("Trying 192.0.2.9... " + " ".join(TELNET[1:]), UNKNOWN_SESSION)
    events = verdict_on(text)[0].transcript.events
    assert [event.fact("address") for event in events if event.kind == "connect"] == ["192.0.2.10"]


def test_the_addresses_of_a_host_that_curl_names() -> None:
    paste, _ = verdict_on(lines(
        "* Host mail.example.com:25 was resolved.", "* IPv6: 2001:db8::25", "* IPv4: 192.0.2.10",
        "*   Trying [2001:db8::25]:25...", "* Immediate connect fail for 2001:db8::25: Network is unreachable",
        "*   Trying 192.0.2.10:25...",
        "* connect to 192.0.2.10 port 25 from 10.0.0.1 port 33344 failed: Connection refused",
        "* Failed to connect to mail.example.com port 25 after 3 ms: Could not connect to server"))  # fmt: skip
    assert paste.transcript.header.target == "mail.example.com"
    assert [event.fact("error") for event in paste.transcript.events] == ["unreachable", "refused"]


@pytest.mark.parametrize("it", PASTED, ids=lambda it: it.name)
def test_each_paste(it: Pasted) -> None:
    paste, verdict = verdict_on(it.text)
    assert (paste.software, next((found.rule for found in verdict.findings), "")) == (it.software, it.rule)
    assert (verdict.outcome == "accepted") == (it.rule in ("", "certificate-expired"))
    if it.name not in ("bare", "bare login") and "mail.example.com:587" in it.text:
        assert paste.transcript.header.target == "mail.example.com:587"
    assert not any(secret in shown(paste) for secret in SECRETS)
    if it.rule == "credentials-wrong" and it.software != "javamail":
        assert any(event.facts.get("redacted") for event in redact(paste.transcript).events)


@pytest.mark.parametrize("it", PASTED, ids=lambda it: it.name)
def test_events_are_as_the_format_wants_them(it: Pasted) -> None:
    schema = json.loads(files("ehlo.transcript").joinpath("schema.json").read_text("utf-8"))
    validator = Draft202012Validator({**schema["$defs"]["event"], "$defs": schema["$defs"]})
    paste, _ = verdict_on(it.text)
    for event in redact(paste.transcript).events:
        validator.validate(event_to_json(event))


@pytest.mark.parametrize("it", PASTED, ids=lambda it: it.name)
def test_a_paste_with_carriage_returns(it: Pasted) -> None:
    paste, verdict = verdict_on(it.text.replace("\n", "\r\n"))
    assert (paste.software, next((found.rule for found in verdict.findings), "")) == (it.software, it.rule)


def test_what_javamail_says_of_its_own_belongs_to_no_reply() -> None:
    said = "530 5.7.0 Authentication required; this reply is as long as a line of a terminal"
    text = lines(
        'DEBUG SMTP: trying to connect to host "mail.example.com", port 25, isSSL false',
        "220 mail.example.com ESMTP with a greeting that is as long as a line of a terminal",
        'DEBUG SMTP: connected to host "mail.example.com", port: 25', EHLO, MAIL[:1], said,
        "DEBUG SMTP: got response code 530, with response: 530 5.7.0 Authentication required",
    )  # fmt: skip
    paste, _ = verdict_on(text)
    replies = [event.text for event in paste.transcript.events if event.who == "server"]
    assert replies[0].endswith("a line of a terminal")
    assert replies[-1] == said


@pytest.mark.parametrize(
    ("first", "stage"),
    [
        ("220 mail.example.com ESMTP", "banner"),
        ("554 5.7.1 Your address is listed by zen.spamhaus.org", "banner"),
        ("550 Go away", "banner"),
        ("421 4.7.0 Try again later", "banner"),
        ("250 2.1.0 Ok", "ehlo"),
        ("535 5.7.8 Error: authentication failed", "auth"),
        ("530 5.7.0 Must issue a STARTTLS command first", "auth"),
        ("550 5.1.1 User unknown", "rcpt"),
        ("550-5.1.1 User unknown\n550 5.1.1 Look it up", "rcpt"),
        ("552 5.3.4 Message size exceeds fixed limit", "mail"),
    ],
)
def test_a_paste_may_begin_in_the_middle(first: str, stage: str) -> None:
    """Where nothing shows the connection being made, a reply that is no greeting is not taken for one."""
    lines = "".join(f"S: {line}\n" for line in first.split("\n")) + "C: QUIT\nS: 221 Bye\n"
    for before, expected in (("", stage), ("Connected to mail.example.com.\nEscape character is '^]'.\n", "banner")):
        paste = read_paste(before + lines)
        assert paste is not None
        said = [event.stage for event in paste.transcript.events if event.kind == "line"]
        assert (said[0], said[-1]) == (expected, "quit")


def test_nothing_goes_over_a_connection_that_failed() -> None:
    (text,) = (it.text for it in PASTED if it.name == "phpmailer certificate")
    paste, verdict = verdict_on(text)
    assert "QUIT" not in [event.text for event in paste.transcript.events if event.who == "client"]
    assert verdict.stage == "starttls"


def test_the_message_is_no_conversation() -> None:
    paste, _ = verdict_on(PASTED[1].text)
    content = [event.data for event in paste.transcript.events if event.kind == "data"]
    assert content == [b"Subject: hi\r\n\r\n250 is not a reply here\r\nQUIT\r\n"]


def test_an_exception_between_two_sessions_belongs_to_the_first() -> None:
    exception = f"smtplib.SMTPRecipientsRefused: {{'{UNKNOWN}': (550, b'5.1.1 User unknown')}}"
    text = lines(literal([*GREETED, *MAIL, *REFUSED]), exception, literal([*GREETED, "STARTTLS"]))
    paste, _ = verdict_on(text)
    assert paste.transcript.events[-1].text == "STARTTLS"


def test_times_are_kept() -> None:
    session = [f"10:00:{number:02} {'S' if line[0].isdigit() else 'C'}: {line}" for number, line in enumerate(GREETED)]
    paste, _ = verdict_on(lines(session))
    assert [event.t for event in paste.transcript.events] == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "550 5.1.1 User unknown",
        "550-5.7.26 This mail is unauthenticated\n550 5.7.26 see the page",
        "curl: (67) Login denied",
        "ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number",
        "Dear all,\nthe data are in the file. Quit smoking.\nMAIL FROM: me\n",
        "host mx.example.com[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)",
    ],
)
def test_what_is_no_session(text: str) -> None:
    assert read_paste(text) is None


@given(
    st.text()
    | st.lists(
        st.sampled_from(sorted({line for it in PASTED for line in it.text.split("\n")})) | st.text(max_size=40),
        max_size=30,
    ).map("\n".join)
)
def test_any_text(text: str) -> None:
    paste = read_paste(text)
    if paste is not None:
        assert all(char.isprintable() for char in shown(paste).replace("\n", ""))


@pytest.mark.parametrize(
    "line",
    [
        "220 a", "220-a", "EHLO a", "AUTH LOGIN", "334 ", "DATA\n354 a", "x" * 100_000, " ", "Trying 1.2.3.4...",
        "Connected to a.", "> " * 60, "CONNECTED(00)", "S: " * 40, "reply: b'" + "\\" * 999,
        "send: 'a" + "\\n" * 999 + "'", "verify error:num=20:" + "a" * 80, "10:00:00 " * 20,
        "New, TLSv1.3, Cipher is A", "certificate is valid for " * 20, "220 " + "a" * 90 + "\n" + "b" * 90,
        "- DEBUG [" + "a" * 30, "<br>" * 20, "0 " * 200, "12:", "\x1b[" + "1;" * 99,
        "<= Recv header, 1 bytes\n0000: " + "a" * 50,
    ],
)  # fmt: skip
def test_a_hostile_megabyte(line: str) -> None:
    began = time.process_time()
    for text in ((line + "\n") * (1_000_000 // len(line)), lines(GREETED) + line * (1_000_000 // len(line))):
        paste = read_paste(text)
        if paste is not None:
            judge(redact(paste.transcript))
    assert time.process_time() - began < 8


# What real programs print.


@pytest.fixture(name="lab", scope="module")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": "builder"})).running() as lab:
        yield lab


def output(*command: str | Path, stdin: bytes = b"") -> str:
    done = subprocess.run(
        [str(word) for word in command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.stdout.decode("utf-8", "replace")


def first_rule(text: str, software: str) -> str:
    paste, verdict = verdict_on(text)
    assert paste.software == software
    assert not any(secret in shown(paste) for secret in SECRETS)
    return next((found.rule for found in verdict.findings), "")


LETTER = b"From: sender@yourdomain.com\nSubject: hi\n\nhello\n250 no reply\n"


@pytest.mark.peer
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["-t", UNKNOWN], "recipient-unknown"),
        (["-t", RECIPIENT], ""),
        (["-t", RECIPIENT, "-tls", "-a", "PLAIN", "-au", "alice", "-ap", SECRET], "credentials-wrong"),
        (["-t", RECIPIENT, "-tls", "-a", "LOGIN", "-au", "alice", "-ap", SECRET, "--show-time-lapse"],
         "credentials-wrong"),
    ],
)  # fmt: skip
def test_swaks(lab: RunningLab, peer_program: Programs, options: list[str], rule: str) -> None:
    text = output(peer_program("swaks"), "-s", f"127.0.0.1:{lab.port}", "-f", SENDER, *options)
    assert first_rule(text, "swaks") == rule


@pytest.mark.peer
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--mail-rcpt", UNKNOWN, "-v"], "recipient-unknown"),
        (["--mail-rcpt", UNKNOWN, "--trace-ascii", "-"], "recipient-unknown"),
        (["--mail-rcpt", RECIPIENT, "-v"], ""),
        (["--mail-rcpt", RECIPIENT, "-v", "--ssl-reqd"], "certificate-unknown-issuer"),
        (["--mail-rcpt", RECIPIENT, "-v", "--ssl-reqd", "-k", "-u", f"alice:{SECRET}"], "credentials-wrong"),
    ],
)  # fmt: skip
def test_curl(lab: RunningLab, peer_program: Programs, tmp_path: Path, options: list[str], rule: str) -> None:
    (tmp_path / "letter").write_bytes(LETTER)
    server = f"smtp://127.0.0.1:{lab.port}"
    text = output(peer_program("curl"), server, "--mail-from", SENDER, "-T", tmp_path / "letter", *options)
    assert first_rule(text, "curl") == rule


@pytest.mark.peer
def test_openssl(lab: RunningLab, peer_program: Programs) -> None:
    connect = ["s_client", "-connect", f"127.0.0.1:{lab.port}", "-crlf"]
    text = output(peer_program("openssl"), *connect, "-starttls", "smtp", stdin=b"QUIT\n")
    assert first_rule(text, "openssl") == "certificate-unknown-issuer"
    text = output(peer_program("openssl"), *connect)
    assert first_rule(text, "openssl") in ("tls-on-plaintext-port", "tls-failed")


@pytest.mark.peer
@pytest.mark.parametrize(
    ("recipient", "options", "rule"),
    [
        (UNKNOWN, ["--tls=off"], "recipient-unknown"),
        (RECIPIENT, ["--tls=off"], ""),
        (RECIPIENT, ["--tls=on"], "certificate-unknown-issuer"),
        (RECIPIENT, ["--tls=on", "--tls-certcheck=off", "--auth=plain", "--user=alice",
                     f"--passwordeval=echo {SECRET}"],
         "credentials-wrong"),
    ],
)  # fmt: skip
def test_msmtp(lab: RunningLab, peer_program: Programs, recipient: str, options: list[str], rule: str) -> None:
    text = output(
        peer_program("msmtp"), "--debug", "--file=/dev/null", "--host=127.0.0.1", f"--port={lab.port}",
        f"--from={SENDER}", *options, recipient, stdin=LETTER,
    )  # fmt: skip
    assert first_rule(text, "msmtp") == rule


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("recipient", "password", "rule"),
    [(UNKNOWN, "builder", "recipient-unknown"), (RECIPIENT, "builder", ""), (RECIPIENT, SECRET, "credentials-wrong")],
)
def test_smtplib(lab: RunningLab, level: int, recipient: str, password: str, rule: str) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream), smtplib.SMTP("127.0.0.1", lab.port) as client:
        client.set_debuglevel(level)
        client.starttls(context=ssl._create_unverified_context())
        try:
            client.login("alice", password)
            client.sendmail(SENDER, [recipient], LETTER)
        except smtplib.SMTPException as error:
            print(repr(error), file=sys.stderr)
    assert first_rule(stream.getvalue(), "smtplib") == rule


@pytest.mark.parametrize("options", [[], ["--starttls", "never"]])
def test_ehlo_itself(lab: RunningLab, options: list[str]) -> None:
    target = f"127.0.0.1:{lab.port}"
    text = output(sys.executable, "-m", "ehlo", "check", target, "-f", SENDER, "-t", UNKNOWN, "-v", *options)
    assert first_rule(text, "ehlo") == "recipient-unknown"


def test_ehlo_shell(lab: RunningLab) -> None:
    commands = "".join(f"{line}\n" for line in (EHLO[0], MAIL[0], REFUSED[0], "QUIT")).encode()
    text = output(sys.executable, "-m", "ehlo", "shell", f"127.0.0.1:{lab.port}", stdin=commands)
    assert first_rule(text, "ehlo") == "recipient-unknown"


@pytest.mark.parametrize("echo", [f'500 5.5.1 Command unrecognized: "{SECRETS[1]}=="', f"502 {SECRETS[1]} unknown"])
def test_the_password_sent_on_when_auth_was_refused(echo: str) -> None:
    """The server repeats it, and it is as secret there."""
    refused = ["AUTH LOGIN", "503 5.5.1 Not here", "YWxpY2U=", "500 5.5.1 What?", f"{SECRETS[1]}==", echo, "QUIT"]
    paste = read_paste(lines(GREETED, refused, "221 Bye"))
    assert paste is not None
    written = json.dumps([event_to_json(event) for event in redact(paste.transcript).events])
    assert SECRETS[1] not in written
    assert written.count("[redacted]") == 3


def test_a_login_that_was_mistyped() -> None:
    paste = read_paste(lines(GREETED, f"AUHT PLAIN {SECRETS[2]}=", f"500 {SECRETS[2]}= is no command", BYE))
    assert paste is not None
    written = json.dumps([event_to_json(event) for event in redact(paste.transcript).events])
    assert SECRETS[2] not in written
