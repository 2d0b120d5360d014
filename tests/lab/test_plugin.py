"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import asyncio, os, smtplib
import pytest

def send(lab, to="bob@example.com", subject="hello"):
    with smtplib.SMTP(lab.host, lab.port, "client.example") as smtp:
        smtp.sendmail("app@here.example", [to], f"Subject: {subject}\\r\\n\\r\\nWelcome!\\r\\n")

def test_messages_arrive(smtp_lab):
    assert smtp_lab.messages == [] and smtp_lab.sessions == []
    send(smtp_lab)
    message = smtp_lab.wait_for(to="bob@example.com")
    assert (message.subject, message.text.strip()) == ("hello", "Welcome!")
    assert message.email["Subject"] == "hello"
    assert smtp_lab.messages == [message]
    assert [event.text for event in smtp_lab.sessions[-1].events][0].startswith("220 ")

def test_each_test_begins_anew(smtp_lab):
    assert smtp_lab.messages == [] and smtp_lab.sessions == []

def test_waiting_in_vain_says_what_came(smtp_lab):
    send(smtp_lab, "eve@example.com")
    with pytest.raises(TimeoutError, match="0 of 1 messages to bob@example.com; messages came for: <eve@example.com>"):
        smtp_lab.wait_for(to="bob@example.com", timeout=0.2)
    send(smtp_lab, "eve@example.com", "second")
    assert smtp_lab.wait_for(sender="app@here.example", count=2).subject == "second"
    assert smtp_lab.wait_for(subject="hell").subject == "hello"

def test_waiting_for_letters_in_either_case(smtp_lab):
    send(smtp_lab, "Bob@Example.COM", "Hello World")
    message = smtp_lab.wait_for(to="bob@example.com", timeout=0.2)
    assert smtp_lab.wait_for(to="BOB@example.com", sender="App@HERE.example", subject="hello w") == message

def test_waiting_for_a_number(smtp_lab):
    send(smtp_lab)
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"count is a number from 1 on, not {count}[.]"):
            smtp_lab.wait_for(count=count)
    with pytest.raises(TimeoutError, match="there were 1 of 4 messages; messages came for"):
        smtp_lab.wait_for(count=4, timeout=0.2)

def test_what_was_waited_for_may_be_gone(smtp_lab, monkeypatch):
    send(smtp_lab)
    wait_until = smtp_lab.lab.wait_until
    def slow(holds, timeout):
        found = wait_until(holds, timeout)
        smtp_lab.reset()
        return found
    monkeypatch.setattr(smtp_lab.lab, "wait_until", slow)
    assert smtp_lab.wait_for(to="bob@example.com").subject == "hello"

def test_greylisted_once(smtp_lab):
    fault = smtp_lab.fault("rcpt", reply="450 4.2.0 greylisted", times=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(smtp_lab)
    send(smtp_lab)
    assert fault.hits == 1

def test_a_fault_for_a_moment(smtp_lab):
    with smtp_lab.fault("mail", reply="451 4.3.0 not now"):
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(smtp_lab)
    send(smtp_lab)

def test_a_fault_switched_off_and_on(smtp_lab):
    fault = smtp_lab.fault("mail", reply="451 4.3.0 not now", times=1)
    fault.enabled = False
    send(smtp_lab)
    for _ in range(2):
        fault.enabled = True
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(smtp_lab)
        send(smtp_lab)
        fault.enabled = False
    assert fault.hits == 2
    fault.remove()
    with pytest.raises(KeyError):
        fault.enabled = True

def test_a_scenario(smtp_lab):
    smtp_lab.scenario("disk-full")
    with pytest.raises(smtplib.SMTPSenderRefused, match="Insufficient"):
        send(smtp_lab)

def test_a_scenario_of_ones_own(smtp_lab, tmp_path):
    file = tmp_path / "mine.toml"
    for reply in ("450 4.2.0 one", "450 4.2.0 two"):
        file.write_text(f"[[faults]]\\nstage = 'mail'\\ndo = {{ reply = '{reply}' }}")
        smtp_lab.scenario(file)
        with pytest.raises(smtplib.SMTPSenderRefused, match=reply[-3:]):
            send(smtp_lab)

def test_the_scenario_is_gone(smtp_lab):
    send(smtp_lab)

def test_tls_that_can_be_trusted(smtp_lab):
    with smtplib.SMTP("localhost", smtp_lab.port) as smtp:
        smtp.starttls(context=smtp_lab.ssl_context())
        smtp.login("anybody", "anything")
        smtp.sendmail("a@b.example", ["c@d.example"], "Subject: x\\r\\n\\r\\n")
    assert smtp_lab.messages[0].user == "anybody"

def test_async(smtp_lab):
    async def main():
        waiting = asyncio.create_task(smtp_lab.arrival(to="bob@example.com", count=2))
        for subject in ("hello", "second"):
            await asyncio.to_thread(send, smtp_lab, subject=subject)
        return await waiting
    assert asyncio.run(main()).subject == "second"

def test_settings(smtp_lab, smtp_lab_env):
    for name in ("EMAIL_HOST", "MAIL_SERVER", "SMTP_HOST", "EHLO_LAB_HOST"):
        assert os.environ[name] == smtp_lab.host
    for name in ("EMAIL_PORT", "MAIL_PORT", "SMTP_PORT", "EHLO_LAB_PORT"):
        assert os.environ[name] == str(smtp_lab.port)
    assert open(os.environ["EHLO_LAB_CA"]).read().startswith("-----BEGIN CERTIFICATE-----")
    # There is no page.
    assert "EHLO_LAB_URL" not in os.environ and "EHLO_LAB_URL" not in smtp_lab_env

def test_one_lab_for_all(smtp_lab, smtp_lab_session):
    assert smtp_lab is smtp_lab_session
    assert "EHLO_LAB_PORT" not in os.environ
"""


def test_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=16)


def test_nothing_is_loaded_without_need(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_it():\n    assert 'ehlo.lab' not in sys.modules\n")
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=1)
