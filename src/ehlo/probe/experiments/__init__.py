"""Experiments: further sessions, each changed in one point, that tell apart what one session cannot.

    verdict ──> what is open? ──> experiments that would tell ──> trials, one after the other ──> what is proved

The laws:

1. An experiment is made only where the evidence leaves something open: a rule names it, or is not certain. What the
   user asks for with an option is made in any case. What is called for and cannot be made is said.
2. It is polite: few and short sessions, one after the other with a pause between them, and none once one cause is left.
3. It delivers nothing: no session hands over a message, whatever the plan was for.
4. It says no more than was proved: a difference counts when the same session fails once more as it was before.

Each kind has a module with its trials and its conclusions: `ports` and `network` (the way there), `sizes`,
`encryption`, `envelope` (who one says one is, who writes to whom), `here` (this machine), `waiting`. To add one, write
a function that yields trials and another that concludes from them, and enter both in `investigation.EXPERIMENTS`. What
it proves is a rule (`data/rules/experiments.toml`), found by the id in its `errors`.
"""

from ehlo.probe.experiments.bench import Bench, Experiment, Outcome, Trial, Wishes
from ehlo.probe.experiments.investigation import EXPERIMENTS, investigate, settled, title_of

__all__ = ["EXPERIMENTS", "Bench", "Experiment", "Outcome", "Trial", "Wishes", "investigate", "settled", "title_of"]
