"""Exceptions: what a program said when sending failed, as it was copied from a screen or a log.

    text ──> which program wrote it? ──> its answers of a server (`_ANSWERS`) ──> cases
                                     └─> else words of a failure below SMTP (`failures`) ──> one case

To teach it another exception, add a line to `_ANSWERS`; another program, one to `software.PROGRAMS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ehlo.explain import windows
from ehlo.explain.case import Case
from ehlo.explain.failures import Failure, failure_in
from ehlo.explain.foreign import foreign_in
from ehlo.explain.software import software_of
from ehlo.knowledge.products import BUILT_ON
from ehlo.smtp.reply import EnhancedStatus
from ehlo.smtp.stages import Stage

#: Longer than any stack trace that a person copies, and more answers than anybody reads.
_MAX_TEXT = 120_000
_MAX_CASES = 50
_MAX_REPLY = 4000

#: A string in Python's or JavaScript's words, and what stands within.
_QUOTED = r"b?(?:'(?P<single>(?:[^'\\\n]|\\.){0,4000})'|\"(?P<double>(?:[^\"\\\n]|\\.){0,4000})\")"
#: A reply as it came: its first line, and the lines that go on with the same code.
_REPLY = r"(?P<code>[2-5][0-5]\d)(?P<more>[ -])(?P<text>[^\n]{0,4000}(?:\n[ \t]*(?P=code)[ -][^\n]{0,4000}){0,30})"
#: The same where the code may be missing, as in a SmtpCommandException.
_STATUS_TEXT = r"(?P<text>(?P<status>[245]\.\d{1,3}\.\d{1,3})[ :;][^\n]{0,4000})"
_ADDRESS = r"(?P<{}>[^\s<>'\":,;()\[\]]{{1,200}}@[^\s<>'\":,;()\[\]]{{1,200}})"


class _Answer(NamedTuple):
    """An answer of a server as a program reports it.

    The pattern's groups may be `code`, `status`, `text`, `single` and `double` (the text as a literal), `recipient`,
    `sender` and `stage` (a key of `_STAGES`). `code` is the one that the words stand for where they have none.
    """

    software: str
    pattern: re.Pattern[str]
    stage: Stage | None = None
    code: int = 0


def _answer(software: str, pattern: str, stage: Stage | None = None, code: int = 0) -> _Answer:
    return _Answer(software, re.compile(pattern, re.MULTILINE), stage, code)


#: What .NET calls reply codes, which it does not show.
_DOTNET = (
    ("The SMTP server requires a secure connection or the client was not authenticated", 530),
    ("Mailbox unavailable", 550),
    ("Mailbox name not allowed", 553),
    ("Syntax error, command unrecognized", 500),
    ("Syntax error in parameters", 501),
    ("Command not implemented", 502),
    ("Bad sequence of commands", 503),
    ("Command parameter not implemented", 504),
    ("User not local", 551),
    ("Exceeded storage allocation", 552),
    ("Insufficient system storage", 452),
    ("Transaction failed", 554),
    ("Error in processing", 451),
    ("Service not available", 421),
    ("(?:Unable to send to (?:a|all) recipients?|Service does not permit|Client does not have permission)", 0),
)


def _dotnet(words: str, code: int) -> _Answer:
    said = r"(?:(?P<status>[245]\.\d{1,3}\.\d{1,3})[ :]?)?(?P<text>[^\n]{0,2000})"
    stage: Stage | None = "mail" if code == 530 else "rcpt" if code == 551 else None
    return _answer("dotnet", rf"{words}[^\n]{{0,100}}The server response was: ?{said}", stage, code)


#: The same in other languages than English.
_RESPONSE_WAS = rf"{windows.RESPONSE_WAS}(?:(?P<status>[245]\.\d{{1,3}}\.\d{{1,3}})[ :]?)?(?P<text>[^\n]{{0,2000}})"

#: What programs call the step that failed.
_STAGES: dict[str, Stage] = {
    # smtplib, aiosmtplib, Ruby
    "Authentication": "auth", "RecipientsRefused": "rcpt", "RecipientRefused": "rcpt", "SenderRefused": "mail",
    "Data": "message", "Helo": "ehlo", "Connect": "banner",
    # nodemailer
    "Invalid login": "auth", "Mail command failed": "mail", "Recipient command failed": "rcpt",
    "Can't send mail - all recipients were rejected": "rcpt",
    "Data command failed": "data", "Message failed": "message",
    "Invalid greeting": "banner", "Invalid HELO": "ehlo", "Error upgrading connection with STARTTLS": "starttls",
    # commands, as PHPMailer, curl, Exim and others name them
    "AUTH": "auth", "MAIL": "mail", "MAIL FROM": "mail", "RCPT": "rcpt", "RCPT TO": "rcpt", "DATA": "data",
    "EHLO": "ehlo", "HELO": "ehlo", "DATA END": "message", "STARTTLS": "starttls", "Password command": "auth",
    "CONN": "banner", "Username": "auth", "Password": "auth", "MESSAGE": "message",
    # JavaMail
    "AddressFailed": "rcpt", "SenderFailed": "mail", "AuthenticationFailed": "auth",
    # Symfony's expected codes
    "220": "starttls", "235": "auth", "334": "auth", "354": "data",
    # MailKit's error codes
    "RecipientNotAccepted": "rcpt", "SenderNotAccepted": "mail", "MessageNotAccepted": "message",
}  # fmt: skip

_PYTHON = r"(?<!:)\bSMTP(?P<stage>Authentication|Data|Helo|Connect|SenderRefused|Response)(?:Error|Exception)?"

_ANSWERS = (
    # Python: smtplib, aiosmtplib, Django.
    _answer("smtplib", rf"{_PYTHON}(?:: |\()\(?(?P<code>\d{{3}}), ?{_QUOTED}(?:, ?'{_ADDRESS.format('sender')}')?"),
    _answer("aiosmtplib", rf"SMTPRecipientRefused\((?P<code>\d{{3}}), ?{_QUOTED}, ?'{_ADDRESS.format('recipient')}'",
            "rcpt"),
    _answer("smtplib", rf"['\"]{_ADDRESS.format('recipient')}['\"]: ?\((?P<code>\d{{3}}), ?{_QUOTED}\)", "rcpt"),
    _answer("smtplib", rf"^\((?P<code>\d{{3}}), ?{_QUOTED}(?:, ?'{_ADDRESS.format('sender')}')?\)$"),
    # nodemailer.
    _answer("nodemailer", rf"(?P<stage>Invalid login|Mail command failed|Recipient command failed|Can't send mail - all"
            rf" recipients were rejected|Data command failed|Message failed|Invalid greeting|Invalid HELO"
            rf"|Error upgrading"
            rf" connection with STARTTLS)(?:\. response=|: ){_REPLY}"),
    _answer("nodemailer", rf"\bresponse['\"]?: ?{_QUOTED}"),
    # PHPMailer.
    _answer("phpmailer", r"SMTP server error: (?P<stage>[A-Z ]{2,20}?)(?: command)? failed"
            r"(?: Detail: (?P<text>[^\n]{0,2000}?))? SMTP code: (?P<code>\d{3})"
            r"(?: Additional SMTP info: ?(?P<status>\d\.\d{1,3}\.\d{1,3}))?"),
    _answer("phpmailer", rf"The following From address failed: {_ADDRESS.format('sender')} ?: MAIL FROM command failed,"
            r"(?P<text>[^\n]{0,1000}?),(?P<code>\d{3})(?:,(?P<status>\d\.\d{1,3}\.\d{1,3}))?", "mail"),
    _answer("phpmailer", rf"The following recipients failed: {_ADDRESS.format('recipient')}"
            r"(?:: ?(?P<text>[^\n]{0,1000}))?", "rcpt", 550),
    _answer("phpmailer", rf"SMTP ERROR: (?P<stage>[\w ]{{2,20}}?)(?: command)? failed: {_REPLY}"),
    _answer("phpmailer", r"SMTP Error: (?P<text>Could not authenticate\.)", "auth", 535),
    _answer("phpmailer", r"SMTP Error: (?P<text>data not accepted\.)", "message", 554),
    # Symfony Mailer, Swift Mailer.
    _answer("symfony", rf"Expected response code \"?(?P<stage>\d{{3}})(?:[/\d]{{0,20}})\"? but got code \"?\d{{3}}\"?,"
            rf" with message \"{_REPLY}"),
    _answer("symfony", r"(?P<text>Failed to authenticate on SMTP server with username)", "auth", 535),
    # Thunderbird.
    _answer("thunderbird", r"(?P<text>Unable to authenticate to Outgoing server \(SMTP\))", "auth", 535),
    # JavaMail.
    _answer("javamail", rf"\b(?:SMTP)?(?P<stage>AddressFailed|SenderFailed|SendFailed"
                        rf"|AuthenticationFailed)Exception: {_REPLY}"),
    _answer("javamail", rf"\b(?:Messaging|MailSend|MailAuthentication|ReadSMTP|SMTPSendFailed)Exception: {_REPLY}"),
    _answer("javamail", r"AuthenticationFailedException: (?P<text>Authentication failed[^\n]{0,500})", "auth", 535),
    _answer("javamail", r"\bresponse: (?P<code>[45]\d\d)\b(?P<text>)", "banner"),
    # .NET: MailKit, SmtpClient.
    _answer("dotnet", r"AuthenticationException: (?P<code>[45]\d\d):? (?P<text>[^\n]{0,2000})", "auth"),
    _answer("dotnet", rf"Smtp(?:Command|FailedRecipients?|)Exception(?: \(0x[0-9A-Fa-f]+\))?: {_STATUS_TEXT}"),
    _answer("dotnet", rf"Smtp(?:Command|FailedRecipients?|)Exception(?: \(0x[0-9A-Fa-f]+\))?: {_REPLY}"),
    *(_dotnet(words, code) for words, code in _DOTNET),
    _answer("dotnet", rf"{windows.WANTS_LOGIN}[^\n]{{0,200}}?{_RESPONSE_WAS}", "mail", 530),
    _answer("dotnet", _RESPONSE_WAS),
    # Ruby: both ways in which it writes an exception.
    _answer("ruby", rf"Net::SMTP(?P<stage>Authentication)?(?:FatalError|Error|ServerBusy|SyntaxError"
                    rf"|UnknownError)(?:: |\s?\(){_REPLY}"),
    _answer("ruby", rf"(?:^|: ){_REPLY}(?=[^\n]{{0,20}})(?<=\(Net::SMTPAuthenticationError\))", "auth"),
    _answer("ruby", rf"(?:^|: ){_REPLY}(?<=\))"),
    # Command-line programs.
    _answer("msmtp", rf"(?:server message|server sent): {_REPLY}"),
    _answer("msmtp", r"(?P<text>authentication failed \(method [\w-]+\))", "auth", 535),
    _answer("ssmtp", rf"Authorization failed \({_REPLY}", "auth"),
    _answer("ssmtp", rf"ssmtp: (?:RCPT TO:[^\n]{{0,300}}? \()?{_REPLY}"),
    _answer("curl", r"curl: \(\d+\) (?P<stage>RCPT|MAIL|DATA|AUTH|STARTTLS) failed: (?P<code>[45]\d\d)(?P<text>)"),
    _answer("curl", r"curl: \(\d+\) (?:Got unexpected smtp-server response"
                    r"|response): (?P<code>[45]\d\d)(?P<text>)", "banner"),
    _answer("curl", r"(?P<text>Login denied|Authentication failure)", "auth", 535),
    # lettre.
    _answer("lettre", r"(?:permanent|transient) error \((?P<code>[45]\d\d)\): ?(?P<text>[^\n]{0,2000})"),
    _answer("lettre", r"(?P<kind>Permanent|Transient)\(Code[^\n]{0,300}?\"(?P<text>[245]\.[^\"\n]{0,2000})\""),
    # Go, and whoever prints the reply as it came.
    _answer("go", rf"(?:^|: |\"){_REPLY}"),
    _answer("perl", rf"(?:^|: |\"){_REPLY}"),
    _answer("perl", rf"(?:^|: ){_STATUS_TEXT}"),
    _answer("", rf"(?:Error|Exception|error|failed|refused|rejected)[^\n]{{0,80}}?[:(] ?[\"']?{_REPLY}"),
)  # fmt: skip

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "", "t": " "}
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,20}[ -/]{0,4}[@-~]|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)")
_NEXT_LINE = re.compile(r"\n[ \t]*(?:[2-5]\d\d[ -])?[ \t]*")
_CODE = re.compile(r"([2-5][0-5]\d)(?:[ -]|$)")
_FROM_TEXT = re.compile(rf"<{_ADDRESS.format('recipient')}>")
_HOST = re.compile(
    r"(?:host(?:name)?|lookup|ENOTFOUND|connect(?:ing)? to|connect to SMTP host|resolve|UnknownHostException:?"
    r"|locate host|server|connect\(2\) for)"
    r"(?:,? port)?[: ]{1,2}[\"']?(?:(?:ssl|tls|tcp|smtps?)://)?"
    r"(?P<host>(?:[a-zA-Z0-9_-]{1,63}\.){1,8}[a-zA-Z0-9-]{1,63}|localhost)",
)
#: Where Postfix looked for a socket of the machine: mail.example.com[private/dovecot-lmtp].
_SOCKET = re.compile(r"connect to [^\s\[]{1,255}\[(?P<host>[^\]\s]{0,255}/[^\]\s]{0,255})\]")
_A_REPLY = re.compile(
    r"\A\s*[2-5]\d\d(?:[ -]|\s*\Z)|(?<![\w.:])[45]\d\d[ -][45]\.\d{1,3}\.\d|(?<![\w.])[45]\.\d{1,3}\.\d{1,3}\s"
)
#: What a mail server says of its queue is no exception: rules know these words.
_OF_QUEUES = re.compile(r"temporarily suspended|retry time", re.IGNORECASE)
#: The lines of a stack trace and of what surrounds it say nothing of the failure.
_TRACE = re.compile(
    r"^\s*(?:at |File \"|from |#\d+ |\.\.\. \d+ more|goroutine |\^+$|Traceback|During handling|The above exception)"
)


def read_exception(text: str) -> list[Case]:
    """The answers and failures that an exception tells of; empty if the text is none."""
    text = clean(text[:_MAX_TEXT])
    software = software_of(text)
    if software and (foreign := foreign_in(text)) is not None:
        return [foreign._replace(software=software)]
    cases = _distinct(_answers(text, software))
    if cases or (not software and (_A_REPLY.search(text) or _OF_QUEUES.search(text))):
        return cases
    failure = _failure(text, software)
    return [] if failure is None else [failure]


def clean(text: str) -> str:
    """A text without colours and without characters that are not plainly visible."""
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else " " if char == "\t" else "�" for char in text)


def _answers(text: str, software: str) -> Iterator[Case]:
    """What each pattern of this program finds, the particular ones first; the same answer may come twice."""
    family = {software, BUILT_ON.get(software, software), *(("smtplib",) if software == "aiosmtplib" else ())}
    count = 0
    for answer in _ANSWERS:
        if answer.software not in {*family, ""} or (answer.software == "" and not software):
            continue
        if count and (answer.code or not answer.software):
            # Words that stand for a code, and chance finds: only where nothing better was said.
            continue
        for found in answer.pattern.finditer(text):
            case = _case(answer, found, software)
            if case is not None:
                count += 1
                yield case
            if count >= _MAX_CASES:
                return


def _case(answer: _Answer, found: re.Match[str], software: str) -> Case | None:
    groups = {name: value for name, value in found.groupdict().items() if value}
    literal = groups.get("single") or groups.get("double")
    said = unescape(literal) if literal else groups.get("text", "")
    code = int(groups.get("code") or 0)
    if not code and (begins := _CODE.match(said)):
        code, said = int(begins[1]), said[begins.end() :]
    said = "\n".join(line.strip() for line in _NEXT_LINE.split(said.strip()) if line.strip())[:_MAX_REPLY]
    said = _without_ends(said)
    status = groups.get("status", "")
    before = status if status and not said.startswith(status) else ""
    parsed = EnhancedStatus.parse(said)
    if parsed is not None:
        status, before = str(parsed), ""
    said_code = code
    if not code and answer.code and (not status or status[0] == str(answer.code)[0]):
        # .NET has names for the codes; what other programs say stands for one that nobody saw.
        code, said_code = answer.code, answer.code if answer.software == "dotnet" else 0
    if code and (code < 300 or code >= 600):
        return None
    recipient = groups.get("recipient", "")
    if not recipient and (address := _FROM_TEXT.search(said)):
        recipient = address["recipient"]
    stage = answer.stage or _STAGES.get(groups.get("stage", ""))
    if stage is None:
        stage = _stage_around(found.string, found.end()) or (
            "auth" if code in _OF_LOGINS or (code, status) == (504, "5.7.4") else None
        )
    return Case(
        text=said,
        code=code,
        status=status,
        stage=stage,
        recipient=recipient,
        sender=groups.get("sender", ""),
        software=software,
        assumed=said_code != code,
        seen=" ".join(filter(None, (str(said_code or ""), before, said.replace("\n", " ") or found[0])))[:_MAX_REPLY],
    )


def _without_ends(said: str) -> str:
    """A reply without the quotes and brackets that a program put around it."""
    said = said.rstrip("'\",` \n")
    said = said[:-1] if said.endswith("):") else said
    return said[:-1].rstrip() if said.endswith(")") and said.count("(") < said.count(")") else said


#: Replies that only a login gets.
_OF_LOGINS = frozenset({432, 534, 535, 538})

_COMMAND = re.compile(r"command['\"]?: ['\"](AUTH|MAIL FROM|RCPT TO|DATA|EHLO|HELO|STARTTLS|CONN)\b")
_CODE_NAME = re.compile(r"\b(RecipientNotAccepted|SenderNotAccepted|MessageNotAccepted)\b")


def _stage_around(text: str, position: int) -> Stage | None:
    """The stage that a program names behind the answer."""
    for pattern in (_COMMAND, _CODE_NAME):
        if found := pattern.search(text, position, position + 2000):
            return _STAGES[found[1]]
    return None


def unescape(literal: str) -> str:
    """What a string in the words of a programming language stands for."""

    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return "�" if int(found[1], 16) >= 0x80 else ""
        return _ESCAPED.get(found[2], found[2])

    return clean(_ESCAPE.sub(plain, literal))


def _distinct(cases: Iterator[Case]) -> list[Case]:
    """Programs say the same thing in several places: each answer once, in the words that tell most."""
    kept: list[Case] = []
    for case in cases:
        same = next((other for other in kept if _same(case, other)), None)
        if same is None:
            kept.append(case)
    if any(case.text for case in kept):
        kept = [case for case in kept if case.text]
    return kept


def _same(case: Case, other: Case) -> bool:
    if (case.code and other.code and case.code != other.code) or (
        case.recipient and other.recipient and case.recipient != other.recipient
    ):
        return False
    one, two = case.text.replace("\n", " "), other.text.replace("\n", " ")
    return two[:200] in one or one[:200] in two


def _failure(text: str, software: str) -> Case | None:
    """A failure below SMTP: the last words of a stack trace are the cause, and the particular ones win."""
    found: list[tuple[str, Failure]] = []
    for line in text.split("\n"):
        if line.strip() and not _TRACE.match(line):
            failure = failure_in(line)
            if failure is not None:
                found.append((line.strip(), failure))
    if not found:
        return None
    line, failure = max(found, key=lambda it: _particular(it[1]))
    # A library's own sentence, and that of OpenSSL beneath it, tell of one failure.
    line = " ".join(dict.fromkeys(each for each, same in found if same == failure)) if failure.error else line
    pattern = _SOCKET if failure.error == "no-such-socket" else _HOST
    host = pattern.search(line) or pattern.search(text)
    return Case(
        text=line[:_MAX_REPLY],
        error=failure.error,
        certificate=failure.certificate,
        stage=failure.stage or _stage_of_failure(text),
        server=host["host"] if host else "",
        software=software,
        seen=line[:_MAX_REPLY],
    )


#: What says little: another line may know more.
_VAGUE = ("connect-failed", "closed", "tls-failed", "reset", "timed-out")


def _particular(failure: Failure) -> int:
    if failure.certificate:
        return 4 if failure.certificate == "not-verified" else 9
    return 1 if failure.error in _VAGUE[:1] else 3 if failure.error in _VAGUE else 5


def _step(pattern: str, stage: Stage) -> tuple[re.Pattern[str], Stage]:
    return re.compile(pattern, re.IGNORECASE), stage


#: Where a program was when the connection broke.
_STEPS = (
    _step(r"\bin starttls\b|_actionSTARTTLS|STARTTLS", "starttls"),
    _step(r"\bin (?:login|auth)\b|_actionAUTH|command['\"]?: ['\"]AUTH|PlainAuth|\.Auth\(|Authenticate", "auth"),
    _step(r"\bin mail\b|command['\"]?: ['\"]MAIL|MAIL FROM", "mail"),
    _step(r"\bin rcpt\b|command['\"]?: ['\"]RCPT|RCPT TO", "rcpt"),
    _step(r"\bin data\b|command['\"]?: ['\"]DATA|after (?:sending )?(?:the )?(?:message|data)", "message"),
    _step(r"\bin (?:ehlo|helo)\b|command['\"]?: ['\"][EH]E?[HL]", "ehlo"),
    # Before all of these: smtplib waits for the greeting within connect, Ruby within do_start, JavaMail in openServer.
    _step(r"\bin (?:_get_socket|create_connection|open_connection)\b|tcp_socket\b", "connect"),
    _step(r"\bin connect\b|\bself\.connect\(host, port\)|\bin [`'](?:Net::SMTP#)?(?:block in )?do_start"
          r"|SMTPTransport\.openServer|, response: -1\b|command['\"]?: ['\"]CONN\b", "banner"),
)  # fmt: skip


def _stage_of_failure(text: str) -> Stage | None:
    """Where a connection was lost, if the program's words or its stack trace show it."""
    stage = next((stage for pattern, stage in _STEPS if pattern.search(text)), None)
    if stage is None:
        # In a log's words. They are asked last: what reads logs takes its time to load.
        from ehlo.explain.logs.found import doing

        stage = doing(text.lower())
    return stage
