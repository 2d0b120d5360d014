"""From evidence to a verdict. See `judge.judge`."""

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import EXIT_STATUS, Certainty, Finding, SessionOutcome, Verdict

__all__ = ["EXIT_STATUS", "Certainty", "Finding", "SessionOutcome", "Verdict", "judge"]
