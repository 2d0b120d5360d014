"""The state machine of a session, as two tables that client and server share.

Rule 1: `ALLOWED` says which commands may be given in a state (RFC 5321 §4.1.4).
Rule 2: `AFTER` says which state a command leads to, by the first digit of its reply. A pair that
        is not in it leaves the state as it is: a refused command changes nothing. The exception
        is `ANY_REPLY`: the states that no reply leaves as they are.
Rule 3: whatever the state, a 421 reply or a lost connection leads to CLOSED (RFC 5321 §3.8),
        and nothing leads out of it.

Two steps of a session are no commands, yet get a reply; they have names of their own here:
`CONNECT` (answered by the greeting) and `CONTENT` (the message up to its final dot). The last chunk of a
message is told from the others by the name `LAST_CHUNK`, since its reply leads elsewhere.
What remains outside the tables is pipelining and the several replies to one message, in `client.py`.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache


class State(StrEnum):
    """Where a session stands."""

    CONNECTED = "the greeting has not come yet"
    TURNED_AWAY = "the greeting was a refusal: only QUIT may follow"
    GREETED = "EHLO or HELO is due"
    READY = "a transaction may begin"
    MAIL = "the sender was accepted: recipients are due"
    RCPT = "at least one recipient was accepted"
    CONTENT = "the server waits for the message, up to the final dot"
    CHUNKING = "BDAT chunks have begun: more of them, or BDAT LAST, are due"
    AUTH = "a SASL exchange is under way"
    TLS = "the TLS handshake is due"
    CLOSED = "the session is over"


CONNECT = "(connect)"
CONTENT = "(content)"
LAST_CHUNK = "BDAT LAST"

_ANY_TIME = frozenset({"NOOP", "RSET", "QUIT", "HELP", "VRFY", "EXPN"})
_GREET = frozenset({"EHLO", "HELO", "LHLO"})

ALLOWED: dict[State, frozenset[str]] = {
    State.CONNECTED: frozenset(),
    # RFC 5321 §3.1: after a 554 greeting the server waits for QUIT.
    State.TURNED_AWAY: frozenset({"QUIT"}),
    State.GREETED: _ANY_TIME | _GREET,
    # XCLIENT and ETRN stand outside a transaction, as AUTH and STARTTLS do (RFC 4954 §4, RFC 3207 §4).
    State.READY: _ANY_TIME | _GREET | {"MAIL", "AUTH", "STARTTLS", "ETRN", "XCLIENT"},
    State.MAIL: _ANY_TIME | _GREET | {"RCPT"},
    State.RCPT: _ANY_TIME | _GREET | {"RCPT", "DATA", "BDAT"},
    State.CONTENT: frozenset(),
    # RFC 3030 §2: between chunks of one message only BDAT and what ends the transaction.
    State.CHUNKING: frozenset({"BDAT", "RSET", "NOOP", "QUIT"}) | _GREET,
    State.AUTH: frozenset(),
    State.TLS: frozenset(),
    State.CLOSED: frozenset(),
}

#: Every command of SMTP that is known here.
VERBS: frozenset[str] = frozenset().union(*ALLOWED.values())

AFTER: dict[tuple[str, int], State] = {
    (CONNECT, 2): State.GREETED,
    # RFC 5321 §4.1.4: EHLO in mid-session resets as RSET does.
    ("EHLO", 2): State.READY,
    ("HELO", 2): State.READY,
    ("LHLO", 2): State.READY,
    ("STARTTLS", 2): State.TLS,
    ("AUTH", 3): State.AUTH,
    ("AUTH", 2): State.READY,
    ("MAIL", 2): State.MAIL,
    ("RCPT", 2): State.RCPT,
    ("DATA", 3): State.CONTENT,
    (CONTENT, 2): State.READY,
    ("BDAT", 2): State.CHUNKING,
    (LAST_CHUNK, 2): State.READY,
    ("RSET", 2): State.READY,
    # XCLIENT starts the session anew (Postfix XCLIENT_README).
    ("XCLIENT", 2): State.GREETED,
    ("QUIT", 2): State.CLOSED,
}

# An attribute of an enumeration costs as much as ten comparisons, and this one is asked for at every reply.
_CLOSED = State.CLOSED

#: Where a reply leads from these states when `AFTER` does not say it, whatever its code.
ANY_REPLY: dict[State, State] = {
    # RFC 5321 §3.1: a greeting is 220, or the server does not want to talk.
    State.CONNECTED: State.TURNED_AWAY,
    # RFC 5321 §4.1.1.4: whatever the answer to the dot, the transaction is over.
    State.CONTENT: State.READY,
    # RFC 4954 §4: what is not another challenge ends the exchange.
    State.AUTH: State.READY,
}

#: The states in which a RSET does not lead to READY, because no EHLO came yet.
BEFORE_EHLO = frozenset({State.CONNECTED, State.TURNED_AWAY, State.GREETED})


@lru_cache(maxsize=512)
def after(state: State, verb: str, code: int) -> State:
    """The state that follows when, in `state`, `verb` is answered with `code`."""
    if code == 421 or state is _CLOSED:
        return _CLOSED
    if verb == "RSET" and state in BEFORE_EHLO:
        return state
    following = AFTER.get((verb, code // 100))
    return ANY_REPLY.get(state, state) if following is None else following


def why_not(state: State, verb: str) -> str:
    """One sentence that says why `verb` may not be given in `state`."""
    return f"{verb} may not be given here: {state.value} (RFC 5321 §4.1.4)."
