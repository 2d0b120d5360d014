"""What stands in the margin of a line: what a command is for, what a reply says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ehlo.knowledge.codes import meaning_of_code, meaning_of_enhanced
from ehlo.knowledge.language import meaning_of_command, meaning_of_keyword
from ehlo.smtp.command import decode_base64
from ehlo.smtp.reply import EnhancedStatus, parse_reply_line, without_enhanced
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import REDACTED

if TYPE_CHECKING:
    from ehlo.smtp.sasl import Mechanism


#: What a reply means at its place, where that is not what its code means elsewhere.
_IN_PLACE: dict[tuple[Stage, int], str] = {
    # RFC 3207 §4: the same code as that of the greeting.
    ("starttls", 220): "Ready to start TLS",
}


class LineExplainer:
    """Explains the lines of a session in order: within an AUTH exchange a line is a challenge or a response,
    which only its mechanism can read."""

    def __init__(self, *, show_secrets: bool = False) -> None:
        self._show_secrets = show_secrets
        self._mechanism: Mechanism | None = None
        self._in_auth = False

    def explain(self, event: Event) -> str:
        """The explanation of a line, in a few words; empty when there is nothing to say."""
        if event.kind != "line" or event.stage != "auth":
            return explain_line(event)
        if event.who == "server":
            self._in_auth = event.text.startswith("334")
            return self._exchange(event, event.text[4:]) if self._in_auth else explain_line(event)
        words = event.text.split(None, 2)
        if not self._in_auth and words and words[0].upper() == "AUTH":
            self._mechanism = _mechanism(words[1]) if len(words) > 1 else None
            response = self._exchange(event, words[2]) if len(words) > 2 else ""
            standing = self._mechanism.standing if self._mechanism is not None else ""
            command = explain_line(event) + (f" ({standing})" if standing else "")
            return ": ".join(filter(None, (command, response)))
        return self._exchange(event, event.text) if self._in_auth else explain_line(event)

    def _exchange(self, event: Event, text: str) -> str:
        """What a challenge or a response is; of one that was taken out, who it names."""
        if REDACTED in text or self._mechanism is None:
            return f"user {event.fact('user')}" if event.fact("user") else ""
        if text.strip() == "*" and event.who == "client":
            return "gives up"
        data = decode_base64(text.strip()) if text.strip() else b""
        if data is None:
            return "this is not base64"
        from ehlo.smtp.sasl import explain_step

        explained = explain_step(self._mechanism, "client" if event.who == "client" else "server", data)
        if self._show_secrets and data:
            shown = self._mechanism.show(data)
            explained = f"{explained}: {shown}" if explained else shown
        return explained or (f"user {event.fact('user')}" if event.fact("user") else "")


def _mechanism(keyword: str) -> Mechanism | None:
    from ehlo.smtp.sasl import mechanism_offered

    return mechanism_offered(keyword)


def explain_line(event: Event) -> str:
    """The explanation of a line by itself, in a few words; empty when there is nothing to say."""
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
    status = EnhancedStatus.parse(line.text)
    # A line with a status answers another command that is given at this stage, such as NOOP (RFC 2034 §4).
    if event.stage == "ehlo" and line.code == 250 and status is None and (keyword := line.text.split(" ")[0]):
        # The first line has the server's name instead of a keyword.
        return meaning_of_keyword(keyword)
    if (event.stage, line.code) in _IN_PLACE:
        return _IN_PLACE[event.stage, line.code]
    meaning = meaning_of_enhanced(status) if status is not None else None
    # X.0.0 and the like say less than the code before them.
    tells = status is not None and status.category == line.code // 100 and (status.subject or status.detail)
    if meaning is not None and tells:
        return meaning.meaning.rstrip(".") if line.code // 100 == 2 else meaning.title
    basic = meaning_of_code(line.code)
    return basic.title if basic is not None and without_enhanced(line.text) else ""
