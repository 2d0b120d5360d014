"""The sentence that says what a session achieved."""

from __future__ import annotations

from ehlo.diagnosis.verdict import Verdict
from ehlo.knowledge.products import Product, identify
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.stages import STAGES
from ehlo.smtp.states import CONTENT, LAST_CHUNK
from ehlo.transcript.exchanges import Exchange, Outcome, exchanges
from ehlo.transcript.transcript import Transcript

#: So many recipients are named, where some were refused.
_MOST_NAMED = 3


def broken_off(transcript: Transcript, verdict: Verdict) -> str:
    """That a record ends before its session does, so that nobody knows whether it went well; empty if it does not."""
    if transcript.complete:
        return ""
    known = "" if verdict.findings else " Nothing in it failed, and how it went on it does not say: no verdict."
    return f"The record ends here, before the session does.{known}"


def achieved(transcript: Transcript, verdict: Verdict) -> str:
    """What a session achieved, in one sentence, also where something went wrong: a message that was taken all the same,
    or all that came before QUIT. Empty if that is nothing, or not in the record."""
    if not transcript.complete:
        return ""
    steps = exchanges(transcript.events)
    taken = _taken(steps)
    if taken or not (verdict.outcome == "accepted" or verdict.stage == "quit"):
        return taken
    if any(
        step.verb == "QUIT" and step.outcome == "refused" and step.reply and step.reply.code < 400 for step in steps
    ):
        # The answer belongs to another command, so what the others got may not be theirs either.
        return taken
    if accepted := _recipients(steps, "ok"):
        return f"{_server(steps)} would take mail for {_named(accepted)}."
    # EHLO is said again behind STARTTLS, which is further.
    reached = [STAGES.index(step.stage) for step in steps if step.stage != "quit" and step.outcome == "ok"]
    return f"{_server(steps)} answered well, as far as asked for: up to the stage {STAGES[max(reached, default=0)]}."


def _taken(steps: list[Exchange]) -> str:
    """What was taken for whom, and for whom not; empty if no message was taken."""
    answers = [step for step in steps if step.verb in (CONTENT, LAST_CHUNK)]
    taken = {step.numbers[0] for step in answers if step.outcome == "ok"}
    if not taken:
        return ""
    accepted, refused = _recipients(steps, "ok"), _recipients(steps, "refused")
    for step in answers:
        # Where each recipient has a reply of its own, that one decides.
        if step.recipient in accepted and step.outcome != "ok":
            accepted.remove(step.recipient)
            refused.append(step.recipient)
    but = ""
    if refused := [address for address in refused if address not in accepted]:
        named = ", ".join(refused) if len(refused) <= _MOST_NAMED else f"{len(refused)} others"
        but = f", but not for {named}"
    what = "the message" if len(taken) == 1 else f"{len(taken)} messages"
    return f"{_server(steps)} took {what} for {_named(accepted)}{but}."


def _server(steps: list[Exchange]) -> str:
    product = product_of(steps)
    return f"The server ({product.name})" if product is not None else "The server"


def _named(recipients: list[str]) -> str:
    return recipients[0] if len(recipients) == 1 else f"{len(recipients)} recipients"


def _recipients(steps: list[Exchange], outcome: Outcome) -> list[str]:
    """Whose RCPT ended so, each once."""
    addresses = [_address(step) for step in steps if step.verb == "RCPT" and step.outcome == outcome]
    return list(dict.fromkeys(filter(None, addresses)))


def product_of(steps: list[Exchange]) -> Product | None:
    """The software or provider behind the server of a session, where its words tell."""
    replies = [step.reply for step in steps if step.reply is not None]
    greetings = [step.reply for step in steps if step.reply is not None and step.stage in ("banner", "ehlo")]
    banner = next((step.reply.text for step in steps if step.stage == "banner" and step.reply), "")
    hosts = [reply.lines[0].split(" ")[0] for reply in greetings]
    return identify(banner, hosts, [reply.text for reply in replies])


def _address(step: Exchange) -> str:
    if step.command is None:
        return ""
    try:
        path = parse_command(step.command.data or b"").path
    except CommandError:
        return ""
    return path.address if path is not None else ""
