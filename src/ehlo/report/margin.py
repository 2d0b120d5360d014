"""What stands in the margin of a line: what a command is for, what a reply says."""

from __future__ import annotations

from ehlo.knowledge.codes import meaning_of_code, meaning_of_enhanced
from ehlo.knowledge.language import meaning_of_command, meaning_of_keyword
from ehlo.smtp.reply import EnhancedStatus, parse_reply_line, without_enhanced
from ehlo.transcript.event import Event


def explain_line(event: Event) -> str:
    """The explanation of a line, in a few words; empty when there is nothing to say."""
    if event.kind == "data":
        return "the message, up to the dot that ends it"
    words = event.text.split(None, 1)
    if not words:
        return ""
    if event.who == "client":
        return meaning_of_command(words[0])
    line = parse_reply_line(event.data or b"")
    if line.code is None:
        return ""
    if event.stage == "ehlo" and line.code == 250 and (keyword := line.text.split(" ")[0]):
        # The first line has the server's name instead of a keyword.
        return meaning_of_keyword(keyword)
    status = EnhancedStatus.parse(line.text)
    meaning = meaning_of_enhanced(status) if status is not None else None
    # X.0.0 and the like say less than the code before them.
    tells = status is not None and status.category == line.code // 100 and (status.subject or status.detail)
    if meaning is not None and tells:
        return meaning.meaning.rstrip(".") if line.code // 100 == 2 else meaning.title
    basic = meaning_of_code(line.code)
    return basic.title if basic is not None and without_enhanced(line.text) else ""
