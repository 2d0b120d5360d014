"""Options for the message, and how they become one."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NamedTuple

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file
from ehlo.probe.message.compose import DEFAULT_BODY, DEFAULT_SUBJECT, Attachment, MessageError, header_fields
from ehlo.probe.message.compose import compose as compose_message
from ehlo.probe.plan import Plan
from ehlo.smtp.content import to_crlf


def add_message_options(parser: argparse.ArgumentParser) -> None:
    """What is sent."""
    group = parser.add_argument_group("message")
    group.add_argument("--subject", metavar="TEXT", help="the subject")
    group.add_argument(
        "--header", metavar="'NAME: VALUE'", action="append", default=[], help="a header; may be repeated"
    )
    group.add_argument("--body", metavar="TEXT", help="the text; @FILE takes it from a file, @- from standard input")
    group.add_argument("--html", metavar="TEXT", help="the same as HTML, or @FILE; without --body this alone")
    group.add_argument(
        "--attach",
        metavar="FILE[;type=TYPE][;name=NAME]",
        action="append",
        default=[],
        help="attach a file; may be repeated",
    )
    group.add_argument(
        "--data", metavar="FILE", help="send this file (- is standard input) as it is, as a whole message"
    )
    group.add_argument("--repair", action="store_true", help="repair that file first, and say what was repaired")
    group.add_argument(
        "--template",
        metavar="FILE",
        help="a whole message with fields: {from} {to} {date} {message-id} {subject} {n} …",
    )
    group.add_argument("--count", metavar="N", type=int, default=1, help="send so many messages in one session")
    group.add_argument("--dkim-domain", metavar="DOMAIN", help="sign for this domain")
    group.add_argument("--dkim-selector", metavar="SELECTOR", help="the selector of the key")
    group.add_argument("--dkim-key", metavar="FILE", help="the private key, in PEM form")


class MessageMaker(NamedTuple):
    """Makes the messages of a session. Everything that can be wrong has been found before the first one."""

    args: argparse.Namespace
    plan: Plan
    helo: str
    content: bytes

    def message(self, number: int) -> bytes:
        """The message with a number, from 1 on. Raises `UsageError`."""
        try:
            return self._signed(self._made(number))
        except MessageError as error:
            raise UsageError(str(error)) from None

    def _made(self, number: int) -> bytes:
        args, plan = self.args, self.plan
        if args.data is not None:
            return self._repaired(self.content) if args.repair else self.content
        headers = [*args.header, *([f"Subject: {args.subject}"] if args.subject is not None else [])]
        if args.template is not None:
            return self._filled(number, headers)
        return compose_message(
            plan.sender,
            plan.recipients,
            helo=self.helo,
            headers=headers,
            body=None if args.body is None else _text(args.body, "text"),
            html=_text(args.html, "HTML") if args.html is not None else "",
            attachments=[_attachment(word) for word in args.attach],
        )

    def _repaired(self, content: bytes) -> bytes:
        from ehlo.probe.message.repair import repair

        content, repairs = repair(content, sender=self.plan.sender, recipients=self.plan.recipients, helo=self.helo)
        for done in repairs:
            sys.stderr.write(f"ehlo send: repaired: {done}\n")
        return content

    def _filled(self, number: int, headers: list[str]) -> bytes:
        from ehlo.probe.message.template import fill

        made = dict(header_fields(self.plan.sender, self.plan.recipients, helo=self.helo, headers=headers))
        values = {
            "from": made["From"],
            "to": made["To"],
            "date": made["Date"],
            "message-id": made["Message-ID"],
            "subject": self.args.subject or DEFAULT_SUBJECT,
            "body": DEFAULT_BODY.rstrip() if self.args.body is None else _text(self.args.body, "text").rstrip("\n"),
            "helo": self.helo,
            "n": str(number),
        }
        template = self.content.decode("utf-8", "surrogateescape")
        return fill(template, values).encode("utf-8", "surrogateescape")

    def _signed(self, content: bytes) -> bytes:
        args = self.args
        if args.dkim_key is None:
            return content
        from ehlo.probe.message.dkim import DKIMKey, sign

        key = DKIMKey(args.dkim_domain, args.dkim_selector, read_file(args.dkim_key, "DKIM key"))
        # The signature is over what goes out.
        keep = self.plan.tampering.keep_line_endings or self.plan.body == "BINARYMIME"
        return sign(content if keep else to_crlf(content), key)


def with_messages(args: argparse.Namespace, plan: Plan, helo: str) -> Plan:
    """The plan with the messages that the options describe. Raises `UsageError`."""
    made = (args.header, args.subject, args.body, args.html, args.attach)
    if args.data is not None and (args.template is not None or any(made)):
        raise UsageError("--data sends a message as it is; --header, --body and the like are for one that is made.")
    if args.template is not None and (args.html or args.attach or args.header):
        raise UsageError("--template is a whole message; --header, --html and --attach do not go with it.")
    if args.html and "<" not in args.html and not args.html.startswith("@"):
        # Of the other commands it names the file for a report.
        raise UsageError(
            f"--html {args.html}: of send this is the HTML text of the message, which has a <tag>, or @FILE to take it "
            "from a file; a report is written by check, show and explain."
        )
    if args.repair and args.data is None:
        raise UsageError("--repair is for a message from a file: --data FILE.")
    if not 1 <= args.count <= 1_000_000:
        raise UsageError(f"--count {args.count}: the number of messages is from 1 to 1000000.")
    signing = (args.dkim_domain, args.dkim_selector, args.dkim_key)
    if any(signing) and not all(signing):
        raise UsageError("A DKIM signature needs all of --dkim-domain, --dkim-selector and --dkim-key.")
    source = args.data if args.data is not None else args.template
    content = read_file(source, "message" if args.data is not None else "template") if source is not None else b""
    maker = MessageMaker(args, plan, helo, content)
    compose = None if args.template is None else maker.message
    return plan._replace(message=maker.message(1), times=args.count, compose=compose)


def _text(word: str, what: str) -> str:
    """Text from the command line, or from a file behind an @."""
    if not word.startswith("@"):
        return word
    try:
        return read_file(word[1:], what).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"The {what} '{word[1:]}' is not UTF-8.") from None


def _attachment(word: str) -> Attachment:
    file, *settings = word.split(";")
    values = {"type": "", "name": os.path.basename(file)}
    for setting in settings:
        name, equals, value = setting.strip().partition("=")
        if not equals or name not in values:
            raise UsageError(f"--attach {word}: behind the file stand type=… and name=…, nothing else.")
        values[name] = value.strip()
    if any(char in values["name"] for char in "\r\n\0"):
        raise UsageError(f"--attach {file}: the name contains a line break.")
    return Attachment(values["name"] or "attachment", values["type"], read_file(file, "attachment"))
