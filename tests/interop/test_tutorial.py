"""The telnet tutorial, line by line: a plain socket says its client lines, the lab answers with its server lines."""

from __future__ import annotations

import re
import socket

import pytest

from ehlo.lab import Lab

# C: is what one types, S: what comes back. The queue id alone may differ.
TUTORIAL = """
S: 220 mail.example.com ESMTP Postfix
C: EHLO yourdomain.com
S: 250-mail.example.com
S: 250-PIPELINING
S: 250-SIZE 10240000
S: 250-VRFY
S: 250-ETRN
S: 250-STARTTLS
S: 250-ENHANCEDSTATUSCODES
S: 250-8BITMIME
S: 250 DSN
C: MAIL FROM: sender@yourdomain.com
S: 250 2.1.0 Ok
C: RCPT TO: recipient@example.com
S: 250 2.1.5 Ok
C: DATA
S: 354 Start mail input; end with <CRLF>.<CRLF>
C: Subject: Test Email from Telnet
C: From: sender@yourdomain.com
C: To: recipient@example.com
C:
C: This is the body of the test email.
C: It's being sent directly via SMTP.
C: .
S: 250 2.0.0 Ok: queued as ABCDEF12345
C: QUIT
S: 221 2.0.0 Bye
"""
_QUEUE_ID = re.compile(r"(?<=queued as )[0-9A-F]{11}$")


@pytest.mark.parametrize("greeting", ["EHLO", "ehlo"])
@pytest.mark.parametrize("typing", ["line by line", "octet by octet"])
def test_the_tutorial_line_by_line(greeting: str, typing: str) -> None:
    script = [line.partition(": ")[::2] for line in TUTORIAL.strip().replace("C:\n", "C: \n").splitlines()]
    with Lab().running() as lab, socket.create_connection((lab.host, lab.port), timeout=30) as client:
        replies = client.makefile("r", encoding="ascii", newline="\r\n")
        for who, text in script:
            if who == "S":
                said = replies.readline()
                assert said.endswith("\r\n")
                assert _QUEUE_ID.sub("ID", said[:-2]) == _QUEUE_ID.sub("ID", text)
            else:
                line = text.replace("EHLO", greeting).encode() + b"\r\n"
                for piece in [line] if typing == "line by line" else [bytes([octet]) for octet in line]:
                    client.sendall(piece)
        assert replies.read() == "", "the server closes after QUIT"
        (message,) = lab.lab.messages
    content = "\r\n".join(text for who, text in script[17:23])
    assert message.content.decode() == content + "\r\n"
    assert str(message.sender) == "<sender@yourdomain.com>"
    assert [str(recipient) for recipient in message.recipients] == ["<recipient@example.com>"]


def test_an_unknown_user_is_refused_as_postfix_does() -> None:
    with Lab().running() as lab, socket.create_connection((lab.host, lab.port), timeout=30) as client:
        replies = client.makefile("r", encoding="ascii", newline="\r\n")
        replies.readline()
        client.sendall(b"HELO yourdomain.com\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<nobody@example.com>\r\n")
        assert [replies.readline() for _ in range(3)] == [
            "250 mail.example.com\r\n",
            "250 2.1.0 Ok\r\n",
            "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in local recipient table\r\n",
        ]
