"""The verdict: how far a session came, the layer at fault, and the findings in order of weight."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ehlo.knowledge.rules import Layer, Whose
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGES, Stage

SessionOutcome = Literal["accepted", "refused", "failed", "interrupted"]
Certainty = Literal["certain", "likely", "possible"]

#: The exit status that says at which stage a session failed.
EXIT_STATUS: dict[Stage, int] = {stage: 10 + number for number, stage in enumerate(STAGES)}
#: What a shell expects of a program that was stopped by Ctrl-C.
EXIT_INTERRUPTED = 130


class Finding(NamedTuple):
    """A rule that held, with the events that prove it. `stage` is None where nothing tells it.

    `meaning` says what the reply's codes say by themselves; `evidence` has the numbers of the events,
    `seen` the reply or the message of the error as it came. `alternatives` are the rules that the evidence cannot
    exclude, and `experiment` is what would tell. `whose` mistake it is is seen from the sender: "ours", "theirs",
    "either" (it cannot be said).
    """

    rule: str
    title: str
    layer: Layer
    stage: Stage | None
    certainty: Certainty
    why: str
    fix: tuple[str, ...]
    refs: tuple[str, ...]
    evidence: tuple[int, ...]
    meaning: str = ""
    reply: Reply | None = None
    seen: str = ""
    alternatives: tuple[str, ...] = ()
    whose: Whose = "either"
    experiment: str = ""


class Verdict(NamedTuple):
    """What a session's transcript says.

    `stage` is where it failed, or the last one it came to. `layer` is None when nothing failed;
    `temporary` says that the refusal was a 4yz. Findings can be there in an accepted session, too: the
    failure comes first, then what is noteworthy.
    """

    outcome: SessionOutcome
    stage: Stage
    layer: Layer | None
    temporary: bool
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ran this session."""
        if self.outcome == "interrupted":
            return EXIT_INTERRUPTED
        return 0 if self.outcome == "accepted" else EXIT_STATUS[self.stage]
