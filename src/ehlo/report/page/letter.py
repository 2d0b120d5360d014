"""A letter to whoever runs the other server: when, from where, what was said, and the question."""

from __future__ import annotations

from collections.abc import Iterator

from ehlo.diagnosis.verdict import Verdict
from ehlo.report.page.frame import lines, section, text
from ehlo.report.page.session import began
from ehlo.smtp.stages import Stage
from ehlo.transcript.transcript import Transcript

#: Lines of the session that a letter quotes, and characters of each.
_QUOTED, _WIDTH = 60, 200
#: What a server did that said no, by the stage at which it did.
_REFUSED: dict[Stage, str] = {
    "banner": "turned us away in its greeting",
    "ehlo": "refused our greeting (EHLO)",
    "starttls": "refused STARTTLS",
    "auth": "refused our login",
    "mail": "refused the sender (MAIL)",
    "rcpt": "refused the recipient (RCPT)",
    "data": "refused to take the message (DATA)",
    "message": "refused the message",
    "quit": "refused our goodbye (QUIT)",
}
#: What stands above the letter.
_TO_COPY = "A text to copy; change what does not fit."
_OURS = "By the evidence it is this side that has to act: write only if what is advised above does not help."


def letter_section(transcript: Transcript, verdict: Verdict) -> str:
    """The letter, ready to copy."""
    first = verdict.findings[0] if verdict.findings else None
    ours = first is not None and (first.whose == "ours" or first.layer == "client")
    return section(
        "letter",
        "For the other side’s postmaster",
        f'<p>{text(_OURS if ours else _TO_COPY)}</p><div class="letter">'
        '<button type="button" data-copy="letter-text" hidden>Copy</button>'
        '<span id="letter-text-copied" role="status" class="meta"></span>'
        f'<pre id="letter-text" tabindex="0" aria-label="Text for the postmaster">'
        f"{lines(postmaster_letter(transcript, verdict))}</pre></div>",
    )


def postmaster_letter(transcript: Transcript, verdict: Verdict) -> str:
    """The text of the letter."""
    connected = next((event for event in transcript.events if event.kind == "connect" and event.fact("address")), None)
    local = connected.fact("local") if connected is not None else ""
    finding = verdict.findings[0] if verdict.findings else None
    parts = [
        "Dear postmaster,",
        "",
        _what_happened(transcript, verdict),
        "",
        f"Time:  {began(transcript) or 'unknown'}",
        f"From:  {local or 'unknown'}",
        f"Stage: {verdict.stage}",
        "",
        *_excerpt(transcript),
        "",
    ]
    if finding is not None:
        parts += [f"As far as can be told from here: {finding.title}.", ""]
    parts.append("Could you please look why, and tell what should be changed?")
    return "\n".join(parts)


def _what_happened(transcript: Transcript, verdict: Verdict) -> str:
    connected = next((event for event in transcript.events if event.kind == "connect" and event.fact("address")), None)
    server = f"your server {transcript.header.target}"
    if connected is not None:
        server += f" ({connected.fact('address')} port {connected.fact('port')})"
    if verdict.outcome == "refused":
        did = _REFUSED.get(verdict.stage, f"refused what we asked at the stage {verdict.stage}")
        return f"{server} {did}{', for now' if verdict.temporary else ''}."
    if verdict.outcome == "interrupted":
        return f"a session with {server} was broken off on this side, at the stage {verdict.stage}."
    return f"a session with {server} failed at the stage {verdict.stage}, without an answer that says why."


def _excerpt(transcript: Transcript) -> Iterator[str]:
    """The lines that matter: the greeting, the client's commands, and the answers to them, without long lists."""
    shown = 0
    for event in transcript.events:
        if event.kind == "line" and not (event.who == "server" and event.stage == "ehlo" and event.text[3:4] == "-"):
            yield f"  {'C' if event.who == 'client' else 'S'}: {event.text[:_WIDTH]}"
            shown += 1
        elif "error" in event.facts:
            yield f"  -- {event.fact('message')}"
        if shown >= _QUOTED:
            yield "  ..."
            return
