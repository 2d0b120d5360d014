"""The lines of a pasted session: who said each, as far as its program marks it.

To teach it another program's marks, add a line to `_MARKS`; to tell programs apart that mark alike, one to `_PROGRAMS`.
"""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import Literal, NamedTuple

from ehlo.explain.exceptions import clean, unescape
from ehlo.explain.software import framework_of

#: More than any session that a person copies.
_MAX_TEXT = 2_000_000
_MAX_LINES = 20_000
_MAX_LINE = 4000
#: A line as long as this may have been broken by a terminal.
_WRAPPED = 60

#: Who said a line: "about" is what the program says of its own, "unmarked" what only the grammar can tell.
Speaker = Literal["client", "server", "about", "unmarked"]


class Said(NamedTuple):
    """One line: when (seconds since the first), by whom, and what without marks."""

    t: float
    who: Speaker
    text: str


class _Marks(NamedTuple):
    """How a program marks its lines. `literal`: what follows is a string in quotes, with escapes."""

    software: str
    server: re.Pattern[str]
    client: re.Pattern[str]
    literal: bool = False


def _marks(software: str, server: str, client: str, *, literal: bool = False) -> _Marks:
    return _Marks(software, re.compile(server), re.compile(client), literal)


_MARKS = (
    _marks("smtplib", r"reply: (?=b?['\"])", r"send: (?=b?['\"])", literal=True),
    _marks("ruby", r'-> (?=")', r'<- (?=")', literal=True),
    _marks("swaks", r"<(?:-|~|\*\*|~\*)(?: {1,2}|$)", r" {0,2}(?:->|~>)(?: |$)"),
    _marks("msmtp", r"<--(?: |$)", r"-->(?: |$)"),
    _marks("phpmailer", r"(?:SERVER -> CLIENT|SMTP -> FROM SERVER):\s?", r"CLIENT -> SERVER:\s?"),
    _marks("perl", r"Net::\w{1,20}=\w{1,10}\(0x[0-9a-f]{1,16}\)<<< ?",
           r"Net::\w{1,20}=\w{1,10}\(0x[0-9a-f]{1,16}\)>>> ?"),
    _marks("postfix", r".{0,80}?< [\w.-]{1,100}\[[\da-f.:]{2,45}\](?::\d{1,5})?: ?",
           r".{0,80}?> [\w.-]{1,100}\[[\da-f.:]{2,45}\](?::\d{1,5})?: ?"),
    _marks("exim", r"\s*SMTP<< ?", r"\s*SMTP>> ?"),
    _marks("sendmail", r"<<< ?", r">>> ?"),
    _marks("thunderbird", r".{0,80}?SMTP Response: ?", r".{0,80}?SMTP Send: ?"),
    _marks("outlook", r".{0,80}?[\[<]rx[\]>]:? ?", r".{0,80}?[\[<]tx[\]>]:? ?"),
    _marks("curl", r"<(?: |$)", r">(?: |$)"),
    _marks("", r"(?:[\w.-]{1,40}: )?(?:S|Server|SERVER|RECV|recv|<-S):(?: |$)", r"(?:[\w.-]{1,40}: )?(?:C|Client"
                                                                                r"|CLIENT|SEND|->C):(?: |$)"),
    _marks("", r"(?=\d{3}[ -])", r"(?!)"),
)  # fmt: skip
_UNMARKED = _MARKS[-1]

#: Which program it was, where the marks alone do not say.
_PROGRAMS = tuple(
    (software, re.compile(pattern, re.MULTILINE))
    for software, pattern in (
        ("ehlo", r"^\s{0,4}[✓✗] (?:dns|connect|banner|tls) |S: 250[ -].{1,40}  (?:commands may follow"
                 r"|the largest message)"),
        ("openssl", r"^CONNECTED\(|openssl s_client|^Verify return code|^verify (?:error|return):"
                    r"|SSL handshake has read"),
        ("javamail", r"^\s*DEBUG SMTP|^DEBUG: (?:setDebug|JavaMail|Jakarta)"),
        ("nodemailer", r"nodemailer|(?:DEBUG|INFO) +\[\w{8,14}\] |Connection established to |SMTP handshake finished"),
        ("thunderbird", r"mailnews\.smtp|mozilla|thunderbird"),
        ("dotnet", r"^Connected to smtps?://"),
        ("symfony", r"^\[?\d{4}-\d\d-\d\dT[\d:.+]+\]? [<>] "),
        ("swaks", r"^=== (?:Trying|Connected)|^\*\*\* (?:Error connecting|TLS startup)"),
        ("curl", r"^(?:== Info: |\* (?!OK\b|BYE\b|PREAUTH\b))|^curl: \(\d+\)"),
        ("telnet", r"^Escape character|^\W{0,3}telnet\b|^Connecting To |^Trying [\da-f.:]+\.\.\.|^telnet>"),
        ("netcat", r"^\W{0,3}n(?:c|cat|etcat) |^Connection to \S+ \d+ port .*succeeded|^Ncat: "),
    )
)  # fmt: skip

VERBS = (
    r"(?:(?:EHLO|HELO|LHLO)\s+\S{1,255}\s*$|MAIL\s+FROM\s{0,3}:|RCPT\s+TO\s{0,3}:|(?:DATA|QUIT|RSET|STARTTLS|NOOP"
    r"|HELP)\s*$"
    r"|AUTH\s+[A-Za-z0-9_-]{2,20}(?:\s|$)|BDAT\s+\d{1,12}|(?:VRFY|EXPN|ETRN|XCLIENT|NOOP|HELP)\s+\S{1,255}\s*$)"
)
_COMMAND = re.compile(VERBS, re.IGNORECASE)
_REPLY = re.compile(r"[2-5]\d\d(?:[ -]|$)")
_LITERAL = re.compile(r"b?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")")

_CLOCK = (
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d[T ]{1,2})?(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d(?:[.,]\d{1,9})?)"
    r"(?:Z|[+-]\d\d:?\d\d)?(?: UTC)?"
)
_STAMP = re.compile(
    rf"\s*(?:[\[(]?{_CLOCK}[\])]?|[A-Z][a-z]{{2}} [ \d]\d (?P<h2>\d\d):(?P<m2>\d\d):(?P<s2>\d\d)(?: [\w.-]{{1,80}}"
    r" [\w./-]{1,60}(?:\[\d{1,9}\])?:)?)[ \t:]{0,3}"
)
_ELAPSED = re.compile(r"\s+(\d{1,6}\.\d{3})  (?=[SC]: )")
#: curl's progress, which goes to the same terminal.
_METER = re.compile(r"^\s{0,4}\d[\s\d.kMG]{20,60}(?:[-\d]{1,2}:[-\d]{2}:[-\d]{2}\s+){3}\d+[kMG]?(?=\W|$)")
_LEVEL = re.compile(
    r"\s*\[?(?:DEBUG|INFO|WARN|WARNING|ERROR|TRACE|FINE|FINER|FINEST|NOTICE)(?!\w| SMTP|: )\]?[ \t]*(?::[\w.]{1,60}:)?"
    r"(?:\d{1,7} --- \[[^\]]{0,40}\] [\w.$]{1,60}\s*: )?(?:\s*\[[\w./:-]{1,40}\])?\s?"
)
_PROMPT = re.compile(r"(?:smtp|ehlo|ncat|nc)> ?", re.IGNORECASE)
_JOINED = re.compile(r"(?=250[ -][A-Z\d])")
_BREAK = re.compile(r"<br ?/?>\n?", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d{1,5})(?:[:|.)]\s?|\s\s?|\t)")


def who_said(text: str) -> tuple[str, list[Said]]:
    """The program that wrote it, and its lines."""
    lines = _lines(text[:_MAX_TEXT])
    stamped = [_unstamped(line) for line in lines]
    marks = _marks_of([line for _, line in stamped])
    software = marks.software
    if software in ("", "curl"):
        said = "\n".join(lines)
        software = next((name for name, pattern in _PROGRAMS if pattern.search(said)), software)
        if (
            software == "curl"
            and marks.software == "curl"
            and not re.search(r"^(?:\* |curl:|\{|\})", said, re.MULTILINE)
        ):
            software = "symfony"
    return framework_of(software, text), _said(stamped, marks, software)


def _lines(text: str) -> list[str]:
    text = clean(text)
    if "<br" in text:
        text = html.unescape(_BREAK.sub("\n", text))
    elif "&lt;" in text:
        text = html.unescape(text)
    lines = [line[:_MAX_LINE].rstrip() for line in text.split("\n", _MAX_LINES)[:_MAX_LINES]]
    if "<= Recv header" in text:
        lines = _trace(lines)
    lines = _unquoted(lines)
    return _unnumbered(lines)


def _unquoted(lines: list[str]) -> list[str]:
    """Without the marks of a quotation, if each line has one."""
    for _ in range(3):
        full = [line for line in lines if line]
        if (
            len(full) < 2
            or not all(line[0] in ">|" for line in full)
            or not any(_REPLY.match(line[2:]) for line in full)
        ):
            break
        lines = [line[1:].removeprefix(" ") for line in lines]
    return lines


def _unnumbered(lines: list[str]) -> list[str]:
    """Without line numbers, if each line has the next one."""
    found = [_NUMBER.match(line + "  ") for line in lines if line]
    numbers = [int(number[1]) for number in found if number]
    if len(numbers) < 3 or len(numbers) != len(found):
        return lines
    if any(after - before not in (1, 2) for before, after in pairwise(numbers)):
        return lines
    return [line[number.end() :] if (number := _NUMBER.match(line)) else line for line in lines]


def _trace(lines: list[str]) -> list[str]:
    """`curl --trace-ascii` as `curl -v` would have it: the octets of one piece make its line."""
    out: list[str] = []
    mark = ""
    for line in lines:
        if found := re.match(r"(?:\S+ )?(<= Recv|=> Send) (\w+)", line):
            mark = {"<= Recv header": "< ", "=> Send header": "> "}.get(" ".join(found.groups()), "")
            continue
        piece = re.match(r"([0-9a-f]{4}): (.*)", line)
        if piece is None:
            out.append(line.replace("== Info: ", "* "))
        elif mark and piece[1] == "0000":
            out.append(mark + piece[2])
        elif mark and out:
            out[-1] = (out[-1] + piece[2])[:_MAX_LINE]
    return out


def _unstamped(line: str) -> tuple[float | None, str]:
    """A line without time, level, logger and prompt; and the seconds since midnight, or since the session began."""
    when: float | None = None
    line = _METER.sub("", line)
    if found := _ELAPSED.match(line):
        return float(found[1]), line[found.end() :]
    for _ in range(2):
        found = _STAMP.match(line)
        if found is None:
            break
        hour, minute, second = (found[f"{name}"] or found[f"{name}2"] for name in "hms")
        when = int(hour) * 3600 + int(minute) * 60 + float(second.replace(",", "."))
        line = line[found.end() :]
    if found := _LEVEL.match(line):
        line = line[found.end() :]
    if found := _PROMPT.match(line):
        line = line[found.end() :]
    return when, line


def _marks_of(lines: list[str]) -> _Marks:
    """The marks that most lines have, and a reply or a command behind them."""

    def fitting(marks: _Marks) -> int:
        count = 0
        for line in lines:
            for pattern, grammar in ((marks.server, _REPLY), (marks.client, _COMMAND)):
                if (found := pattern.match(line)) and grammar.match(_content(line[found.end() :], marks)):
                    count += 1
        return count

    best = max(_MARKS, key=fitting)
    return best if fitting(best) else _UNMARKED


def _content(text: str, marks: _Marks) -> str:
    if not marks.literal:
        return text
    literal = _LITERAL.match(text)
    return (literal[1] or literal[2] or "") if literal else ""


def _said(stamped: list[tuple[float | None, str]], marks: _Marks, software: str) -> list[Said]:
    out: list[Said] = []
    first, t = None, 0.0
    for when, line in stamped:
        if when is not None:
            first = when if first is None else first
            t = round(max(t, when - first), 6)
        if marks is _UNMARKED:
            out.append(Said(t, "unmarked", line))
            continue
        who: Speaker = "server" if (found := marks.server.match(line)) else "client"
        found = found or marks.client.match(line)
        if found is None:
            _unmarked(out, t, line, wrapped=not marks.literal and when is None)
            continue
        text = line[found.end() :]
        if marks.literal:
            lines = unescape(_content(text, marks)).removesuffix("\n").split("\n")
            out += [Said(t, who, part) for part in lines[:_MAX_LINES]]
        elif software == "ehlo":
            out.append(Said(t, who, text.split("  ")[0].rstrip()))
        else:
            out += [Said(t, who, part) for part in (_joined(text) if who == "server" else [text])]
        if len(out) > _MAX_LINES:
            break
    return out


def _joined(text: str) -> list[str]:
    """The lines of a reply to EHLO that a browser has shown as one: `250-mail.example.com250-SIZE 1000250 HELP`."""
    if not text.startswith("250-"):
        return [text]
    lines = [line for line in _JOINED.split(text) if line]
    return lines if lines[-1].startswith("250 ") else [text]


def _unmarked(out: list[Said], t: float, line: str, *, wrapped: bool) -> None:
    """A line without a mark among those that have one: it belongs to the reply before it, or is the program's own."""
    before = out[-1] if out else None
    if before is not None and before.who == "server":
        if _REPLY.match(line.strip()) and before.text[3:4] == "-":
            out.append(Said(t, "server", line.strip()))
            return
        if wrapped and _WRAPPED <= len(before.text) < _MAX_LINE and line and line[0] not in "*=<>-~ {}[":
            out[-1] = before._replace(text=f"{before.text} {line.strip()}")
            return
    out.append(Said(t, "about", line))
