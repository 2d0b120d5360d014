"""What a lab answers without thinking: lines that were answered before, where nothing has made a difference since.

    line ──> known in this state? ──> the same reply, the same effect          (most lines of most clients)
              └─ no ──> connection ──> answers ──> reply ──> learnt, if it depended on nothing else

Reading a line, judging it and wording the reply is most of what a lab does, and clients say the same lines over and
over. What is answered from here is what `Answers` has answered; nothing is decided here.
"""

from __future__ import annotations

import re

from ehlo.lab.persona import Persona
from ehlo.lab.policy import Policy
from ehlo.net.intents import Send
from ehlo.smtp.command import Command
from ehlo.smtp.events import CommandReceived
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import State

_FIELD = re.compile(r"{(\w+)}")
#: So many lines are known at most; then all are forgotten, and learnt anew.
_MOST = 1024


#: A command, how it is answered, its stage, and the state to which that leads.
Exchange = tuple[Command, Send, Stage, State]


class Routine:
    """What a persona says to whom under a policy, as far as it is always the same."""

    def __init__(self, persona: Persona, policy: Policy) -> None:
        self._persona = persona
        self._policy = policy
        self._welcomes_all_alike = set(_FIELD.findall(persona.hello)) <= {"helo"}
        self._known: dict[tuple[State, bytes], Exchange] = {}
        #: The exchange for a line, with its ending, in a state of the connection; None where it is to be thought about.
        self.recall = self._known.get

    def is_of(self, persona: Persona, policy: Policy) -> bool:
        """Whether it was learnt from this persona under this policy."""
        return persona is self._persona and policy is self._policy

    def learn(self, before: State, event: CommandReceived, reply: Reply, exchange: Exchange) -> None:
        """Remember an exchange that began in this state, if it would go so again."""
        if reply.ok and self._is_constant(event.command, reply):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[before, event.line] = exchange

    def _is_constant(self, command: Command, reply: Reply) -> bool:
        """Whether a command is always answered so in this state. The bounds on recipients and on a session are left to
        who learns and recalls it, and so is whether EHLO is answered as ever."""
        verb, policy = command.verb, self._policy
        if verb in ("EHLO", "HELO"):
            return self._welcomes_all_alike
        if command.parameters:
            return False
        if verb == "MAIL":
            constant = not (policy.tls_required or policy.auth_required or policy.own_senders or policy.limits.messages)
        elif verb == "RCPT":
            mailbox = command.path.mailbox if command.path is not None else None
            # Who has logged in may write to where others may not.
            constant = mailbox is not None and not policy.quotas and policy.refusal(mailbox) is None
        else:
            constant = verb == "DATA"
        # As it stands, without an identity of its own.
        return constant and any(reply is known for known in self._persona.replies.values())
