"""Which program wrote a text, and whose settings the advice names."""

from __future__ import annotations

import pytest

from ehlo.explain.case import Case, explain_case
from ehlo.explain.exceptions import read_exception
from ehlo.explain.paste import read_paste
from ehlo.explain.software import framework_of, software_of
from ehlo.knowledge.products import BUILT_ON, SENDERS, setting_for
from ehlo.knowledge.rules import load_rules

#: What each program leaves in its messages.
SIGNS = (
    ("rails", "app/mailers/order_mailer.rb:9:in `receipt'\nNet::SMTPServerBusy (451 4.3.0 later)"),
    ("rails", "Error performing ActionMailer::MailDeliveryJob: EOFError (end of file reached)"),
    ("ruby", "/usr/lib/ruby/3.2.0/net/smtp.rb:1085:in `check_response': 550 no (Net::SMTPFatalError)"),
    ("ruby", "Net::SMTPAuthenticationError (535-5.7.8 Username and Password not accepted."),
    ("laravel", "#1 /srv/vendor/laravel/framework/src/Illuminate/Mail/Mailer.php(523): Symfony\\Component\\Mailer"),
    ("laravel", '[2026-03-01 10:00:00] local.ERROR: Connection could not be established with host "a:25"'),
    ("symfony", "Symfony\\Component\\Mailer\\Exception\\TransportException: Unable to connect with STARTTLS"),
    ("symfony", "Symfony\\Component\\Mailer: stream_socket_enable_crypto(): SSL operation failed"),
    ("spring", "org.springframework.mail.MailSendException: Mail server connection failed; nested exception is"),
    ("javamail", "jakarta.mail.MessagingException: Could not convert socket to TLS"),
    ("wordpress", "in /var/www/html/wp-includes/PHPMailer/SMTP.php:476"),
    ("wordpress", "wp_mail failed: SMTP Error: Could not authenticate."),
    ("phpmailer", "Mailer Error: SMTP connect() failed."),
    ("django", 'File "/venv/django/core/mail/backends/smtp.py", line 90, in open'),
    ("smtplib", "smtplib.SMTPAuthenticationError: (535, b'no')"),
    ("smtplib", "SMTPAuthenticationError: (535, b'no')"),
    ("", "the mail was refused"),
)


@pytest.mark.parametrize(("software", "text"), SIGNS)
def test_signs(software: str, text: str) -> None:
    assert software_of(text) == software


@pytest.mark.parametrize(
    ("software", "before", "session"),
    [
        ("wordpress", "WP Mail SMTP: 3.1", "SERVER -> CLIENT: {}\nCLIENT -> SERVER: EHLO a.example\n"),
        ("spring", "o.s.b.a.e.mail, org.springframework.mail", "DEBUG SMTP: x\n{}\nEHLO a.example\n"),
        ("rails", "[ActionMailer::MailDeliveryJob]", '-> "{}\\r\\n"\n<- "EHLO a.example\\r\\n"\n'),
        ("django", "/venv/django/core/mail/", "reply: b'{}\\r\\n'\nsend: 'EHLO a.example\\r\\n'\n"),
        ("smtplib", "", "reply: b'{}\\r\\n'\nsend: 'EHLO a.example\\r\\n'\n"),
    ],
)
def test_a_framework_around_the_session_of_its_library(software: str, before: str, session: str) -> None:
    paste = read_paste(f"{before}\n{session.format('220 mail.example.com ESMTP')}")
    assert paste is not None
    assert paste.software == software


def test_a_framework_of_another_library_counts_for_nothing() -> None:
    assert framework_of("smtplib", "a mail about WordPress") == "smtplib"


@pytest.mark.parametrize("software", SENDERS)
def test_the_settings_of_every_program_are_shown(software: str) -> None:
    rules = [rule for rule in load_rules() if software in rule.settings]
    assert len(rules) >= 5
    case = Case(text="535 5.7.8 no", code=535, stage="auth", software=software)
    fix = explain_case(case).fix[0]
    if software in load_rules().get("credentials-wrong").settings:  # type: ignore[union-attr]
        assert fix.startswith(f"in {SENDERS[software]}: ")


def test_a_framework_without_a_setting_gets_that_of_its_library() -> None:
    assert setting_for("wordpress", {"phpmailer": "Port"}) == "in PHPMailer, which WordPress is built on: Port"
    assert setting_for("wordpress", {"phpmailer": "Port", "wordpress": "port"}) == "in WordPress: port"
    # Ruby's options are what Rails hands through; a library elsewhere is used without its frameworks, too.
    assert setting_for("ruby", {"rails": "port:"}) == "in Ruby on Rails (Action Mailer): port:"
    assert setting_for("phpmailer", {"wordpress": "port"}) == ""
    assert setting_for("", {"wordpress": "port"}) == ""
    assert {*BUILT_ON, *BUILT_ON.values()} <= set(SENDERS)


@pytest.mark.parametrize("software", sorted(BUILT_ON))
@pytest.mark.parametrize(
    "rule",
    [
        "auth-in-clear", "basic-auth-off", "certificate-expired", "certificate-not-verified", "closed-before-greeting",
        "connection-failed", "dns-failed", "helo-not-full", "helo-not-resolvable", "login-impossible",
        "lost-somewhere", "no-common-mechanism", "starttls-not-offered", "tls-failed",
        "tls-on-connect-cut",
    ],
)  # fmt: skip
def test_rules_that_clients_cause_name_a_setting(software: str, rule: str) -> None:
    found = load_rules().get(rule)
    assert found is not None
    # Ruby on Rails knows no OAuth, and its authorities are OpenSSL's.
    if (software, rule) not in {
        ("rails", "basic-auth-off"), ("rails", "certificate-expired"), ("laravel", "certificate-expired"),
        ("laravel", "no-common-mechanism"),
    }:  # fmt: skip
        assert setting_for(software, found.settings)


def test_ruby_is_not_taken_for_python() -> None:
    (case,) = read_exception("Net::SMTPAuthenticationError (535-5.7.8 Username and Password not accepted. x - gsmtp):")
    assert "Python" not in " ".join(explain_case(case).fix)
