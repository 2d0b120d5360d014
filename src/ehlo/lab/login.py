"""Who has logged in, and the exchange by which somebody is about to (RFC 4954).

What the mechanisms do is in `ehlo.smtp.sasl.server`; here it becomes replies.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ehlo.lab.persona import Persona
from ehlo.lab.policy import Policy
from ehlo.smtp.command import decode_base64
from ehlo.smtp.reply import Reply

if TYPE_CHECKING:
    from ehlo.smtp.sasl import ChannelBinding
    from ehlo.smtp.sasl.server import ServerExchange


class Login:
    """The login of one session.

    `user` is who has logged in, None for nobody, and empty when that was granted to somebody who said no name.
    `bindings` are what a login can be bound to, `certified` is whom the client's own certificate is for.
    """

    __slots__ = ("_exchange", "_persona", "_policy", "bindings", "certified", "user")

    def __init__(self, persona: Persona, policy: Policy) -> None:
        self._persona = persona
        self._policy = policy
        self._exchange: ServerExchange | None = None
        self.user: str | None = None
        self.bindings: tuple[ChannelBinding, ...] = ()
        self.certified = ""

    def begin(self, argument: str, *, encrypted: bool) -> Reply:
        """The reply to AUTH."""
        policy, say = self._policy, self._persona.say
        if not policy.offered:
            return say("auth-disabled")
        if self.user is not None:
            return say("auth-active")
        if not encrypted and not policy.auth_in_clear:
            return say("auth-needs-tls")
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() not in policy.offered:
            return say("auth-mechanism")
        from ehlo.smtp.sasl.server import SERVER_MECHANISMS, Realm

        realm = Realm(
            policy.users.get, self.bindings, self._persona.host, anyone=policy.any_login, external=self.certified
        )
        self._exchange = SERVER_MECHANISMS[mechanism.upper()](realm)
        next(self._exchange)
        if not initial:
            return self._step(self._exchange, None)
        # RFC 4954 §4: "=" is an initial response without octets.
        return self.respond(b"" if initial == "=" else decode_base64(initial))

    def respond(self, response: bytes | None) -> Reply:
        """The reply to a response; None is one that is not base64, or that gives up."""
        if response is None or self._exchange is None:
            self._exchange = None
            return self._persona.say("auth-cancelled")
        return self._step(self._exchange, response)

    def _step(self, exchange: ServerExchange, response: bytes | None) -> Reply:
        from ehlo.smtp.sasl import MechanismError

        try:
            challenge = exchange.send(response)
        except StopIteration as done:
            self.user, self._exchange = done.value, None
            return self._persona.say("auth")
        except MechanismError:
            self._exchange = None
            return self._persona.say("auth-failed")
        return Reply(334, (base64.b64encode(challenge).decode("ascii"),))

    def grant(self, *, done: bool) -> None:
        """Somebody was told that the login is `done`, or goes on, whatever the mechanism thinks of it."""
        if done:
            self.user, self._exchange = self.user or "", None
        else:
            self.user = None

    def deny(self) -> None:
        """The login was refused."""
        self.user = self._exchange = None
