"""The report as one HTML file: it is opened anywhere, fetches nothing, and runs nothing but the button that copies.

    transcript, verdict, experiments ──> sections ──> one file: verdict, steps, conversation, certificate, experiments,
                                                      and a letter to the other side

Two laws: all text goes through `frame.text`, which escapes it and makes control characters visible; and nothing may be
said by colour or by position alone, since it is read aloud, printed, and read in the dark.
"""

from __future__ import annotations

from collections.abc import Sequence

from ehlo.diagnosis.verdict import Verdict
from ehlo.probe.experiments import Outcome
from ehlo.report.finding import Cause
from ehlo.report.outcome import product_of
from ehlo.report.page.conversation import conversation_section
from ehlo.report.page.experiments import experiments_section
from ehlo.report.page.findings import causes_section, verdict_section
from ehlo.report.page.frame import document
from ehlo.report.page.letter import letter_section, postmaster_letter
from ehlo.report.page.session import began, certificate_section, steps_section
from ehlo.transcript.exchanges import exchanges
from ehlo.transcript.transcript import Transcript

__all__ = ["findings_page", "postmaster_letter", "session_page"]


def session_page(
    transcript: Transcript,
    verdict: Verdict,
    experiments: Sequence[Outcome] = (),
    command: str = "check",
) -> str:
    """The page of a session. The transcript is shown as it is: whoever calls has taken the secrets out."""
    steps = exchanges(transcript.events)
    product = product_of(steps)
    title = transcript.header.target or "a session"
    about = " · ".join(filter(None, (began(transcript), product.name if product is not None else "")))
    sections = [
        verdict_section(transcript, verdict, {outcome.name for outcome in experiments if outcome.trials}),
        steps_section(transcript, steps),
        experiments_section(experiments),
        conversation_section(transcript, steps),
        certificate_section(transcript),
        letter_section(transcript, verdict) if verdict.layer is not None else "",
    ]
    return document(f"ehlo {command} · {title}", title, about, sections)


def findings_page(title: str, about: str, causes: Sequence[Cause]) -> str:
    """The page of causes: each with a caption (how often it was seen, when, where)."""
    return document(f"ehlo · {title}", title, about, [causes_section(causes)])
