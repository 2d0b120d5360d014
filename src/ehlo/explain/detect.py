"""What kind of thing a text is: decided by how it begins, then by which reader makes something of it."""

from __future__ import annotations

import re
from typing import Literal, get_args

Kind = Literal["reply", "session", "exception", "bounce", "log", "pcap", "transcript"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: libpcap in both byte orders, with micro- and nanoseconds, and pcapng.
_PCAP = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_HEADER = re.compile(rb"\A(?:From \S+ .*\d{4}\r?\n)?(?:(?:[!-9;-~]+:[^\n]*|[ \t][^\n]*)\r?\n){2,}", re.IGNORECASE)
_MAIL_FIELD = re.compile(rb"^(?:received|from|to|subject|date|message-id|return-path|content-type):", re.I | re.M)
_LOG = re.compile(
    rb"^(?:<\d+>)?(?:\d+ )?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)\S* ?(?:"
    rb"\S+ (?:postfix[\w/.-]*|exim4?|sendmail|sm-mta|smtpd|opensmtpd|dovecot)\S*(?:\[\d+\])?:"
    rb"|(?:\[\d+\] )?[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4} "
    rb"|(?:\[\d+\] )?(?:H=|no host name|SMTP (?:connection|command|protocol|call|data|syntax|error from)"
    rb"|TLS error|unexpected disconnection|rejected|\w+ authenticator failed))"
    rb"|^#(?:Software: Microsoft Exchange|Fields: )"
    # A protocol log of Exchange without its head: local and remote endpoint, and what happened.
    rb"|^\"?\d{4}-\d\d-\d\dT[\d:.]+Z\"?,[^\n]{3,200}?,\"?\d+\"?,[^,\n]*,[^,\n]*:\d+\"?,\"?[<>*+-]\"?,",
    re.MULTILINE,
)


#: How the text of a bounce begins, where somebody pasted it without the mail's header.
_BOUNCE = re.compile(
    rb"\A(?:[^\n]{0,300}\n){0,8}?[ \t>*|-]*(?:"
    rb"This is the (?:\S+ )?(?:mail system|Postfix program|MAILER-DAEMON|qmail-send program)\b"
    rb"|Hi\. This is the |I'm (?:afraid I wasn't able to deliver|sorry to have to inform you that your message)"
    rb"|This message was created automatically by |A message that you (?:have )?sent (?:could not|has not)"
    rb"|Delivery has failed to (?:these|the following) recipients|Delivery to the following recipients?\b"
    rb"|Your message (?:to \S{1,300} )?(?:couldn't be|could not be|wasn't|was not|has not been) delivered"
    rb"|(?:The following|These) addresses had |(?:The following|These) address(?:es|\(es\)) failed"
    rb"|Diagnostic information for administrators:|Generating server: "
    rb"|(?:Reporting-MTA|Final-Recipient|Original-Recipient): ?[\w-]+;)",
    re.IGNORECASE,
)
#: Several lines with a mark each. `>>> RCPT` is how Sendmail and Python show what was said.
_QUOTATION = re.compile(r"^>(?!>>[ \n]).*(?:\n>.*)+", re.MULTILINE)
_QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)
#: So many quotations within each other are seen through.
_DEEPEST = 5
#: How text in 16 or 32 bits begins, as PowerShell writes it with `>` (RFC 2781 §3.2).
_WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def wide_encoding(data: bytes) -> str:
    """The encoding of a text whose byte order mark says that its characters have several octets; empty for others."""
    return next((encoding for mark, encoding in _WIDE if data.startswith(mark)), "")


def kind_of(data: bytes) -> Kind | None:
    """The kind that the first few thousand octets show beyond doubt; None when that takes a closer look."""
    if data.startswith(_PCAP):
        return "pcap"
    if data.startswith(_PACKED):
        return "log"
    head = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:65536]
    if head.startswith(b"{") and b'"smtp-transcript"' in head[:500]:
        return "transcript"
    if _LOG.search(head[:8192]):
        return "log"
    header = _HEADER.match(head)
    if header and len({field.lower() for field in _MAIL_FIELD.findall(header[0])}) >= 2:
        return "bounce"
    return "bounce" if is_bounce_without_header(head) else None


def is_bounce_without_header(data: bytes) -> bool:
    """Whether a text is that of a bounce, by the words with which systems begin it."""
    return bool(_BOUNCE.match(data.replace(b"\r\n", b"\n")))


def without_quotation(text: str) -> str:
    """A text without the marks of what is quoted in it, as mail programs do it in an answer (RFC 3676 §4.5)."""
    for _ in range(_DEEPEST):
        before = text
        text = _QUOTATION.sub(lambda found: _QUOTE_MARK.sub("", found[0]), text)
        if text == before:
            break
    return text
