"""One reply of a server, or a fragment of one, as somebody copied it from somewhere."""

from __future__ import annotations

import re

from ehlo.explain.case import Case
from ehlo.explain.foreign import FOREIGN, foreign_server
from ehlo.smtp.reply import EnhancedStatus
from ehlo.smtp.stages import Stage

#: What stands before a reply when it was copied from a session.
_PREFIX = r"(?:[\s>*|\-]*(?:S:|<[-*~ ]+|<<<|SERVER(?: -> CLIENT)?:|Remote server (?:said|replied):|said:)\s*)?"
_REPLY = re.compile(rf"^\s*{_PREFIX}[\"'(b]*([2-5][0-5][0-9])([ \-,:]|$)\s*(.*)$", re.IGNORECASE)
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.])([245][0-5][0-9])(?![\d.])")
_ADDRESS = re.compile(r"<([^<>\s@]{1,64}@[^<>\s]{1,255})>")
#: Where it was said, when the text tells.
_STAGES: tuple[tuple[str, Stage], ...] = (
    (r"(?:in reply to|after|response to|to the) (?:the )?(?:\w+ )?end of (?:DATA|data|message)", "message"),
    (r"(?:in reply to|after|response to) (?:the )?RCPT", "rcpt"),
    (r"(?:in reply to|after|response to) (?:the )?MAIL", "mail"),
    (r"(?:in reply to|after|response to) (?:the )?(?:EHLO|HELO)", "ehlo"),
    (r"(?:in reply to|after|response to) (?:the )?STARTTLS", "starttls"),
    (r"(?:in reply to|after|response to) (?:the )?AUTH", "auth"),
    (r"(?:in reply to|after|response to) (?:the )?DATA", "data"),
    (r"(?:refused to talk|initial (?:server )?greeting|on connect(?:ion)?\b)", "banner"),
)
#: Longer than any reply that a person copies.
_MAX_TEXT = 20_000
#: Nobody copies a reply with more lines around it than that.
_FEW_LINES = 30


def read_replies(text: str) -> list[Case]:
    """The replies in a text, each with its lines joined; or the text itself, as what a server said."""
    text = text[:_MAX_TEXT].strip()
    if not text:
        return []
    if FOREIGN.match(text):
        return [foreign_server(text.splitlines()[0])]
    replies: list[list[str]] = []
    codes: list[int] = []
    going_on = False
    for line in text.splitlines():
        found = _REPLY.match(line)
        if found is None:
            # A wrapped line belongs to the reply before it.
            if replies and line.strip():
                replies[-1][-1] += " " + line.strip()
            continue
        code = int(found[1])
        if going_on and codes[-1] == code:
            replies[-1].append(found[3])
        else:
            replies.append([found[3]])
            codes.append(code)
        going_on = found[2] == "-"
    if not replies:
        return [_fragment(line) for line in _telling(text)]
    stage = _stage_of(text)
    return [_case(code, "\n".join(lines), stage) for code, lines in zip(codes, replies, strict=True)]


def _telling(text: str) -> list[str]:
    """What of a text without a reply may be one: all of it, or of a long one the first line that tells of a refusal."""
    lines = text.splitlines()
    if len(lines) <= _FEW_LINES:
        return [text]
    found = ((line, _STATUS.search(line) or _CODE.search(line[:60])) for line in lines)
    return [line for line, code in found if code is not None and code[1][0] in "45"][:1]


def _case(code: int, text: str, stage: Stage | None) -> Case:
    status = EnhancedStatus.parse(text)
    address = _ADDRESS.search(text)
    return Case(
        text=text,
        code=code,
        status=str(status) if status else "",
        stage=stage,
        recipient=address[1] if address else "",
        seen=f"{code} {text}",
    )


def _fragment(text: str) -> Case:
    # The registry's spelling, for any class (RFC 5248): of failures most is known.
    text = re.sub(r"\bX(?=\.\d{1,3}\.\d{1,3}\b)", "5", text)
    status, code, address = _STATUS.search(text), _CODE.search(text[:60]), _ADDRESS.search(text)
    joined = " ".join(text.split())
    return Case(
        text=joined,
        code=int(code[1]) if code else 0,
        status=status[1] if status else "",
        stage=_stage_of(text),
        recipient=address[1] if address else "",
        seen=joined,
    )


def _stage_of(text: str) -> Stage | None:
    return next((stage for pattern, stage in _STAGES if re.search(pattern, text, re.IGNORECASE)), None)
