"""What a text written for people says of each recipient: an address and a reason beside it, or a transcript.

Systems agree more than they differ. A line that begins with an address opens a block, which says why until the next
address; the paragraph before says it where the block is empty. A transcript has commands and replies.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from ehlo.explain.bounces.fields import MAX_RECIPIENTS
from ehlo.smtp.stages import Stage

#: How many lines of a text are looked at.
MAX_LINES = 2_000

_ADDRESS = r"(?:[^\s<>()\[\]\",;:'@|]{1,128}|\"[^\"\n]{1,128}\")@(?:[\w\-.]{1,255}|\[[^\]\s]{1,60}\])"
_OPENING = re.compile(
    r"^[\s>*\"'(\[|\-\u2022]*(?:(?:(?:final |intended |failed )?recipients?(?: address)?|addressed to|address|mail to"
    r"|message to|unknown user|e-?mail)\s*:?\s*<?|)[<\"']*(" + _ADDRESS + r")(?!\w)(.*)$",
    re.IGNORECASE,
)
_NAMED = re.compile(r"^\s*<(" + _ADDRESS + r")>(?=:|\s*$)(.*)$")
_WITHIN = re.compile(
    r"\b(?:recipients?|address(?:es)?|addressed|to|for|reach|user|mailbox|account|group)(?:\(es\))?(?: was| is| were)?"
    r"(?:[:\s<\"'(]{1,8})(" + _ADDRESS + r")",
    re.IGNORECASE,
)
_ANY = re.compile(_ADDRESS)
#: Exim names the address that the message was sent to, where it must not tell what that leads to.
_UNDISCLOSED = re.compile(r"an undisclosed address\s{1,20}\(generated from (" + _ADDRESS + r")\)", re.IGNORECASE)
#: Lines between the sections of a text.
_SECTION = re.compile(r"^\s*[-*=_|#~]{3,}.*|^\s*[-*=|]+\s?[A-Za-z].*[-*=|]{3,}\s*$")
_NOBODY = re.compile(r"(?:mailer-daemon|postmaster|abuse|no-?reply|support|helpdesk|hostmaster)@", re.IGNORECASE)

_SENT = re.compile(r"^\s*(?:>>>|In:|C:)\s*(.*)$")
_GOT = re.compile(r"^\s*(?:<<<|Out:|S:)\s*(.*)$")
_COMMANDS: tuple[tuple[str, Stage], ...] = (
    ("RCPT", "rcpt"),
    ("MAIL", "mail"),
    ("DATA", "data"),
    ("EHLO", "ehlo"),
    ("HELO", "ehlo"),
    ("STARTTLS", "starttls"),
    ("AUTH", "auth"),
    ("BDAT", "message"),
    (".", "message"),
    ("QUIT", "quit"),
)
_STARTS = re.compile(r"^\s*([45]\d\d)[ -]")
_TALKING = re.compile(r"while talking to \[?([\w.:-]*\w)", re.IGNORECASE)


class Block(NamedTuple):
    """What the text says of one recipient; `before` is the paragraph before its address."""

    recipient: str
    text: str
    before: str = ""


class Exchange(NamedTuple):
    """A refusal in a transcript. `about` are the addresses that the command or the reply names."""

    stage: Stage | None
    text: str
    about: tuple[str, ...]
    server: str
    command: str = ""


def blocks(text: str, known: Collection[str] = (), not_these: Collection[str] = ()) -> list[Block]:
    """The recipients that a text names at the beginning of lines, each once, with what is said of them.

    Where some of the `known` addresses are among them, the others are no recipients. `not_these` never are.
    """
    openings: list[tuple[int, str, str]] = []
    text = _UNDISCLOSED.sub(r"\1", text)
    lines = text.split("\n")[:MAX_LINES]
    for number, line in enumerate(lines):
        found = _OPENING.match(line[:1_000]) if "@" in line else None
        if found and not _SENT.match(line) and not _GOT.match(line):
            # `user@example.com <other@example.com>`: the first is a name.
            named = _NAMED.match(found[2])
            address, rest = (named[1], named[2]) if named else (found[1], found[2])
            openings.append((number, address.rstrip("."), rest + line[1_000:]))
    wanted = {address.lower() for address in known}
    if wanted & {address.lower() for _, address, _ in openings}:
        openings = [opening for opening in openings if opening[1].lower() in wanted]
    else:
        refused = {address.lower() for address in not_these}
        sure = [one for one in openings if one[1].lower() not in refused and not _NOBODY.match(one[1])]
        openings = sure or [one for one in openings if one[1].lower() not in refused] or openings
    found_blocks: dict[str, Block] = {}
    for index, (number, address, rest) in enumerate(openings):
        end = openings[index + 1][0] if index + 1 < len(openings) else len(lines)
        said = _until_section(lines[number + 1 : end])
        own = "\n".join([re.sub(r"^[>\"'\])]+:?|^:", "", rest).strip(), *said]).strip()
        earlier = found_blocks.get(address.lower())
        if earlier is not None:
            found_blocks[address.lower()] = earlier._replace(text=f"{earlier.text}\n{own}".strip())
        elif len(found_blocks) < MAX_RECIPIENTS:
            start = openings[index - 1][0] + 1 if index else 0
            found_blocks[address.lower()] = Block(address, own, _paragraph_before(lines[start:number]))
    return list(found_blocks.values())


def _until_section(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if _SECTION.match(line):
            return lines[:number]
    return lines


def _paragraph_before(lines: list[str]) -> str:
    said: list[str] = []
    for line in reversed(lines):
        if not line.strip() and not said:
            continue
        if not line.strip() or _SECTION.match(line):
            break
        said.append(line.strip())
    return "\n".join(reversed(said))


def addresses_within(text: str, not_these: Collection[str] = ()) -> list[str]:
    """Addresses that a sentence calls recipients ("your message to user@example.com"), or else all that it names."""
    refused = {address.lower() for address in not_these}
    for pattern, group in ((_WITHIN, 1), (_ANY, 0)):
        found = dict.fromkeys(match[group].strip(".") for match in pattern.finditer(text))
        wanted = [one for one in found if one.lower() not in refused and not _NOBODY.match(one)]
        if wanted:
            return wanted[:MAX_RECIPIENTS]
    return []


def exchanges(text: str) -> list[Exchange]:
    """The refusals in a transcript, and what the system says after each (`550 <a@example.com>... User unknown`)."""
    return list(_exchanges(text.split("\n")[:MAX_LINES]))


def _exchanges(lines: list[str]) -> Iterator[Exchange]:
    command = ""
    server = ""
    said: list[str] = []
    quoted = in_transcript = False
    for line in [*lines, ""]:
        sent, got = _SENT.match(line), _GOT.match(line)
        plain = None if sent or got or not in_transcript else _STARTS.match(line)
        if said and not (got and quoted) and not (plain and not quoted and line.strip()[:3] == said[-1][:3]):
            if line[:1] in " \t" and line.strip() and not (sent or got or plain):
                said[-1] += f" {line.strip()}"
                continue
            yield _exchange(command if quoted else "", said, server)
            said = []
        if "ranscript of session" in line or sent or got:
            in_transcript = True
        if found := _TALKING.search(line):
            server = found[1]
        if sent:
            command = sent[1].strip()
        elif got and _STARTS.match(got[1]):
            quoted = True
            said.append(got[1].strip())
        elif plain:
            quoted = False
            said.append(line.strip())


def _exchange(command: str, said: list[str], server: str) -> Exchange:
    stage = next((stage for verb, stage in _COMMANDS if command.upper().startswith(verb)), None)
    text = "\n".join(said)
    named = text if stage == "mail" else f"{command} {text}"
    about = tuple(dict.fromkeys(found[0].lower() for found in _ANY.finditer(named)))
    return Exchange("message" if stage == "data" and "354" not in text else stage, text, about, server, command)
