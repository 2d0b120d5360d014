"""The sentence that stands over a session in which all went well."""

from __future__ import annotations

from ehlo.knowledge.products import Product, identify
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.states import CONTENT, LAST_CHUNK
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript


def outcome_sentence(transcript: Transcript) -> str:
    """What the session achieved, in one sentence."""
    steps = exchanges(transcript.events)
    product = product_of(steps)
    server = f"The server ({product.name})" if product is not None else "The server"
    accepted = [address for step in steps if step.verb == "RCPT" and (address := _address(step))]
    accepted = list(dict.fromkeys(accepted))
    recipients = accepted[0] if len(accepted) == 1 else f"{len(accepted)} recipients"
    taken = {step.numbers[0] for step in steps if step.verb in (CONTENT, LAST_CHUNK) and step.outcome == "ok"}
    if taken:
        return f"{server} took {'the message' if len(taken) == 1 else f'{len(taken)} messages'} for {recipients}."
    if accepted:
        return f"{server} would take mail for {recipients}."
    last = next((step.stage for step in reversed(steps) if step.stage != "quit"), "dns")
    return f"{server} answered well, as far as asked for: up to the stage {last}."


def product_of(steps: list[Exchange]) -> Product | None:
    """The software or provider behind the server of a session, where its words tell."""
    replies = [step.reply for step in steps if step.reply is not None]
    greetings = [step.reply for step in steps if step.reply is not None and step.stage in ("banner", "ehlo")]
    banner = next((step.reply.text for step in steps if step.stage == "banner" and step.reply), "")
    hosts = [reply.lines[0].split(" ")[0] for reply in greetings]
    return identify(banner, hosts, [reply.text for reply in replies])


def _address(step: Exchange) -> str:
    if step.outcome != "ok" or step.command is None:
        return ""
    try:
        path = parse_command(step.command.data or b"").path
    except CommandError:
        return ""
    return path.address if path is not None else ""
