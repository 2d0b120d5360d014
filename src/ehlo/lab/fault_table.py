"""Faults as they are written: in a scenario file, as JSON, and in Python's words; and back.

    {"stage": "rcpt", "when": {"to": "bob@*", "first": 1}, "do": {"reply": "450 4.2.0 Later"}}
    make_fault("rcpt", "", {"recipient": "bob@*", "times": 1, "reply": "450 4.2.0 Later"})

What would have no effect is refused; what has one at which stage stands in the tables at the top.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, cast

from ehlo.lab import tables
from ehlo.lab.authority import KINDS, VERSIONS
from ehlo.lab.conditions import KEYS, Condition, Key, Rate, check_expression, check_pattern
from ehlo.lab.deviate import MANGLES
from ehlo.lab.faults import Action, Fault, grants
from ehlo.lab.tables import ScenarioError, closest, flag, number, only, table, text, whole, words
from ehlo.smtp.reply import REPLY_LINE_LIMIT, REPLY_TEXT_LIMIT
from ehlo.smtp.stages import Stage

#: How a reply is said, wherever one is due.
SPEAKING = ("reply", "raw", "mangle", "silent", "delay", "pieces", "pause", "hold", "close", "reset", "stall")
#: What is asked of the times that all else holds.
COUNTING = ("first", "nth", "every", "after", "rate", "wait", "within", "probability", "per")
#: Those of them whose counters `per` keeps apart.
COUNTED = ("first", "nth", "every", "after", "rate", "wait")
_TRANSACTION = ("sender", "helo", "user", "client", "tls", *COUNTING)

#: What a fault can do at each stage; nothing else has an effect there. The stages are those that faults have.
ACTIONS_AT: dict[Stage, tuple[str, ...]] = {
    "tls": ("delay", "certificate", "tls_min", "tls_max", "handshake"),
    "banner": (*SPEAKING, "mask"),
    "ehlo": (*SPEAKING, "drop", "add", "mask"),
    "starttls": SPEAKING,
    "auth": SPEAKING,
    "mail": SPEAKING,
    "rcpt": SPEAKING,
    "data": (*SPEAKING, "close_after", "stall_after"),
    "message": (*SPEAKING, "lose"),
    # Nothing comes after it that it could be held back for.
    "quit": tuple(name for name in SPEAKING if name != "hold"),
}

#: What a condition can ask for at each stage: what is known there.
CONDITIONS_AT: dict[Stage, tuple[str, ...]] = {
    "tls": ("helo", "client", *COUNTING),
    "banner": ("client", "tls", *COUNTING),
    "ehlo": ("helo", "user", "client", "tls", *COUNTING),
    "starttls": ("helo", "user", "client", *COUNTING),
    "auth": ("helo", "client", "tls", *COUNTING),
    "mail": ("larger", *_TRANSACTION),
    "rcpt": ("recipient", *_TRANSACTION),
    "data": ("recipient", *_TRANSACTION),
    "message": ("recipient", "text", "larger", *_TRANSACTION),
    "quit": ("helo", "user", "client", "tls", *COUNTING),
}

#: What has to be known for counters to be kept apart by a key; the others are known everywhere.
NEEDED_FOR: dict[Key, str] = {
    "helo": "helo",
    "from": "sender",
    "from-domain": "sender",
    "to": "recipient",
    "to-domain": "recipient",
    "user": "user",
}

#: Beside the first of these, the others have no effect.
IDLE_BESIDE: dict[str, tuple[str, ...]] = {
    "raw": ("mangle", "silent"),
    "silent": ("mangle", "pieces", "pause", "hold"),
    "handshake": ("certificate", "tls_min", "tls_max"),
    "close_after": ("stall_after",),
}

FAULT_STAGES: tuple[Stage, ...] = tuple(ACTIONS_AT)
HANDSHAKES = ("close", "garbage", "silent")

#: The words of a condition, and the fields that they stand for: those of files, and those of Python, in which `from`
#: and `for` cannot be. Python may say it in either way.
FILE_WORDS: dict[str, str] = {
    {"sender": "from", "recipient": "to", "within": "for"}.get(field, field): field for field in Condition._fields
}
_PYTHON_WORDS: dict[str, str] = {**{field: field for field in Condition._fields}, "times": "first", **FILE_WORDS}

_NOTHING = Action()._asdict()


def parse_fault(value: Any) -> Fault:
    """A fault from a table. Raises `ScenarioError`."""
    value = table(value, "a fault")
    only(value, ("stage", "title", "when", "do"), "a fault")
    title = tables.line(value, "title")
    return _fault(text(value, "stage"), title, value.get("when", {}), value.get("do", {}), FILE_WORDS)


def make_fault(stage: str, title: str, said: Mapping[str, object]) -> Fault:
    """A fault from words of `when` and `do` together, in Python's names. Raises `ScenarioError`."""
    when: dict[str, object] = {}
    do: dict[str, object] = {}
    for name, value in said.items():
        plain = list(value) if isinstance(value, tuple) else value
        if name in _NOTHING:
            do[name] = plain.decode("utf-8", "surrogateescape") if isinstance(plain, bytes) else plain
        elif name in _PYTHON_WORDS:
            when[name] = plain
        else:
            names = sorted({*_NOTHING, *Condition._fields, "times"})
            near = closest(name, names)
            hint = f"; did you mean {near}?" if near else f": {', '.join(names)}."
            raise ScenarioError(f"a fault has no word {name}{hint}")
    return _fault(stage, title, when, do, _PYTHON_WORDS)


def _fault(stage: str, title: str, when: Any, do: Any, field_of: dict[str, str]) -> Fault:
    if stage not in ACTIONS_AT:
        raise ScenarioError(f"a fault has one of the stages {', '.join(FAULT_STAGES)}, not '{stage}'.")
    when, do = table(when, "when"), table(do, "do")
    only(do, _NOTHING, "do")
    only(when, field_of, "when")
    condition, action = _condition(when, field_of), _action(do)
    if action == Action():
        raise ScenarioError("a fault without `do` does nothing.")
    for name in do:
        if name not in ACTIONS_AT[stage]:
            raise ScenarioError(f"at {stage} a fault has no {name}: there are {', '.join(ACTIONS_AT[stage])}.")
    for name in when:
        if field_of[name] not in CONDITIONS_AT[stage]:
            known = {field: word for word, field in reversed(field_of.items()) if field in CONDITIONS_AT[stage]}
            there = ", ".join(known[field] for field in CONDITIONS_AT[stage])
            raise ScenarioError(f"at {stage} nothing is known of {name}: there are {there}.")
    for key in condition.per:
        if NEEDED_FOR.get(key, "client") not in CONDITIONS_AT[stage]:
            raise ScenarioError(f"at {stage} nothing is known of {key}, so times cannot be counted apart by it.")
    _check_effect(stage, action)
    return Fault(stage, condition, action, title or describe(action))


def _check_effect(stage: Stage, action: Action) -> None:
    """Each part of an action must have an effect beside the others."""
    given = {name for name, value in action._asdict().items() if value != _NOTHING[name]}
    for name, idle in IDLE_BESIDE.items():
        if name in given and (wrong := given.intersection(idle)):
            raise ScenarioError(f"beside {name}, {min(wrong)} has no effect.")
    if "stall_after" in given and "stall" not in given:
        raise ScenarioError("stall_after needs stall: the seconds for which nothing is read.")
    if action.tls_min and action.tls_max and action.tls_min > action.tls_max:
        raise ScenarioError(f"tls_min = {action.tls_min} is above tls_max = {action.tls_max}.")
    code = action.reply[0][:3] if action.reply else ""
    if code.isdecimal() and not grants(stage, int(code)):
        wanted = given.intersection(("lose", "drop", "add", "close_after", "stall_after"))
        if wanted:
            raise ScenarioError(f"with the reply {code} the command is refused, so {min(wanted)} has no effect.")


def _condition(when: Mapping[str, Any], field_of: Mapping[str, str]) -> Condition:
    values: dict[str, Any] = {}
    for name in when:
        field = field_of[name]
        if field == "rate":
            values[field] = _rate(text(when, name))
        elif field == "per":
            keys = words(when, name)
            if wrong := set(keys) - set(KEYS):
                raise ScenarioError(f"per is some of {', '.join(KEYS)}, not {', '.join(sorted(wrong))}.")
            values[field] = cast(tuple[Key, ...], keys)
        elif field == "tls":
            values[field] = flag(when, name)
        elif field in ("wait", "within", "probability"):
            values[field] = number(when, name)
            if field != "probability" and not values[field]:
                raise ScenarioError(f"{name} is a number above 0.")
        elif field in ("first", "nth", "every"):
            # 0 stands for what was not said, and would mean "always".
            if isinstance(when[name], int | float) and when[name] < 1:
                raise ScenarioError(f"{name} is a number from 1 on.")
            values[field] = whole(when, name)
        elif field in ("larger", "after"):
            values[field] = whole(when, name)
        else:
            values[field] = _PATTERNS.get(field, _pattern)(name, text(when, name))
    condition = Condition(**values)
    if not 0.0 <= condition.probability <= 1.0:
        raise ScenarioError("a probability is a number from 0 to 1.")
    if condition.per and not any(values.get(field) for field in COUNTED):
        raise ScenarioError(f"per is for times that are counted: by {', '.join(COUNTED)}.")
    if not _has_a_time(condition):
        raise ScenarioError("of first, nth, every and after together there is no time of which all this holds.")
    return condition


def _has_a_time(condition: Condition) -> bool:
    """Whether `first`, `nth`, `every` and `after` can hold together."""
    first, nth, every, after = condition.first, condition.nth, condition.every or 1, condition.after
    # The last of the times that may count at all; without a bound there is always one more.
    last = nth or first - first % every
    return not (first or nth) or (after < last <= (first or last) and last % every == 0)


def _pattern(name: str, pattern: str, check: Callable[[str], None] = check_pattern) -> str:
    try:
        check(pattern)
    except ValueError as error:
        raise ScenarioError(f"{name} = '{pattern}' is no regular expression: {error}.") from None
    return pattern


def _client(name: str, pattern: str) -> str:
    if re.fullmatch(r"[0-9a-f.:]+/\w*", pattern, re.IGNORECASE):
        try:
            ip_network(pattern, strict=False)
        except ValueError:
            raise ScenarioError(f"{name} = '{pattern}' is no network.") from None
    return _pattern(name, pattern)


def _expression(name: str, expression: str) -> str:
    if len(expression) > 1 and expression[0] == expression[-1] == "/":
        why = "is a regular expression without slashes around it; one that is meant is written [/]."
        raise ScenarioError(f"{name} = '{expression}' {why}")
    return _pattern(name, expression, check_expression)


#: The patterns that are read in a way of their own.
_PATTERNS: dict[str, Callable[[str, str], str]] = {"client": _client, "text": _expression}

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def _rate(said: str) -> Rate:
    found = re.fullmatch(r"(\d+)\s*/\s*(?:(\d+)\s*)?(second|minute|hour|day)s?", said)
    if found is None:
        raise ScenarioError(f"a rate is written as 5/minute or 10/30 seconds, not '{said}'.")
    if not int(found[1]) or found[2] == "0":
        raise ScenarioError("a rate is of at least 1 in at least 1 second.")
    return Rate(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])


_CHOICES: dict[str, tuple[str, ...]] = {
    "mangle": tuple(MANGLES),
    "certificate": KINDS,
    "tls_min": VERSIONS,
    "tls_max": VERSIONS,
    "handshake": HANDSHAKES,
}


def _action(do: Mapping[str, Any]) -> Action:
    values: dict[str, Any] = {}
    for name in do:
        default = _NOTHING[name]
        if name == "raw":
            values[name] = text(do, name).encode("utf-8", "surrogateescape")
        elif name == "reply":
            values[name] = _reply(words(do, name))
        elif name == "add":
            values[name] = tables.keyword_lines(do, name)
        elif name == "drop":
            values[name] = _keywords(do, name)
        elif isinstance(default, bool):
            values[name] = flag(do, name)
        elif isinstance(default, int | float):
            values[name] = (whole if isinstance(default, int) else number)(do, name)
        elif name == "pieces":
            sizes = do[name] if isinstance(do[name], list) else [do[name]]
            if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
                raise ScenarioError("pieces are whole numbers from 1 on.")
            values[name] = tuple(sizes)
        else:
            word = text(do, name)
            if word not in _CHOICES[name]:
                raise ScenarioError(f"{name} is one of {', '.join(_CHOICES[name])}, not '{word}'.")
            values[name] = word
    return Action(**values)


def _keywords(do: Mapping[str, Any], name: str) -> tuple[str, ...]:
    keywords = words(do, name)
    for word in keywords:
        if len(word.split()) != 1 or not word.isprintable():
            raise ScenarioError(f"{name} has keywords without their parameters, not {word!r}.")
    return keywords


# A code may be filled in from a pattern's groups, "{1}".
_CODED = re.compile(r"([2-5][0-5][0-9]|[{][0-9][}])(?:([ -])|$)")


def _reply(said: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of a reply, of which the first has the code. The others may have it, too, as on the wire."""
    lines = [part for each in said for part in re.split(r"\r?\n", each)]
    if any(not line.isprintable() for line in lines):
        raise ScenarioError("a reply is of printable characters; other octets are for `raw`.")
    first = _CODED.match(lines[0]) if lines else None
    if first is None:
        raise ScenarioError(f"a reply begins with its code, as in '450 4.2.0 Later': '{' '.join(lines)}'.")
    code, on_the_wire = first[1], first[2] == "-"
    if on_the_wire and len(lines) == 1:
        raise ScenarioError(f"behind '{code}-' a further line has to follow.")
    texts = [lines[0][first.end() :]]
    for line in lines[1:]:
        found = _CODED.match(line)
        if found is not None and found[1] == code:
            texts.append(line[found.end() :])
        elif on_the_wire:
            raise ScenarioError(f"behind '{code}-' each line begins with {code}, unlike '{line}'.")
        else:
            texts.append(line)
    if any(len(each.encode()) > REPLY_TEXT_LIMIT for each in texts):
        raise ScenarioError(f"a line of a reply has at most {REPLY_LINE_LIMIT} octets; `mangle` makes longer ones.")
    return (f"{code} {texts[0]}".rstrip(" "), *texts[1:])


def describe(do: Action) -> str:
    """An action in a few words."""
    parts: list[str] = []
    for name, value in do._asdict().items():
        if value == _NOTHING[name]:
            continue
        if name == "reply":
            parts.append(value[0])
        elif value is True:
            parts.append(name)
        elif isinstance(value, tuple):
            parts.append(f"{name} {' '.join(map(str, value))}")
        elif isinstance(value, float):
            parts.append(f"{name} {value:g}")
        else:
            parts.append(f"{name} {value!r}" if isinstance(value, bytes) else f"{name} {value}")
    return ", ".join(parts)


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """A fault as `parse_fault` reads it."""
    word_of = {field: word for word, field in FILE_WORDS.items()}
    when: dict[str, Any] = {}
    for name, value in fault.when._asdict().items():
        if value == Condition()._asdict()[name]:
            continue
        if isinstance(value, Rate):
            value = f"{value.times}/{value.seconds:.0f} seconds"
        when[word_of[name]] = list(value) if isinstance(value, tuple) else value
    do: dict[str, Any] = {}
    for name, value in fault.do._asdict().items():
        if value == _NOTHING[name]:
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        do[name] = list(value) if isinstance(value, tuple) else value
    return {"stage": fault.stage, "title": fault.title, "when": when, "do": do}
