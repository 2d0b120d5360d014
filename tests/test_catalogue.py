"""The catalogue finds, by its file of literals, just the rules that a look at each of them would find."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.knowledge.catalogue import WORDS, Match
from ehlo.knowledge.literals import demands_of
from ehlo.knowledge.rules import When, load_rules, parse_rules
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGES, Stage

RULES = load_rules()
EXAMPLES = [example for rule in RULES for example in rule.examples + rule.counterexamples if example[:3].isdecimal()]
PIECES = sorted({word for example in EXAMPLES for word in example.split()})
PATTERNS = sorted({pattern for rule in RULES for when in rule.when for pattern in when.text})


def holds(when: When, reply: Reply) -> bool:
    if when.errors or when.certificates:
        return False
    status = reply.enhanced
    return (
        (not when.codes or bool({str(reply.code), f"{reply.category}yz"} & when.codes))
        and (not when.enhanced or (status is not None and bool({str(status), status.generic} & when.enhanced)))
        and when.says(reply.text.lower())
    )


@cache
def at_any_stage(reply: Reply) -> list[Match]:
    """Each rule that holds, with the weight of the best of its conditions, the heaviest first."""
    found = []
    for number, rule in enumerate(RULES):
        weights = [when.weight + 16 * rule.rank for when in rule.when if holds(when, reply)]
        if weights:
            found.append((-max(weights), number, rule))
    return [(rule, -weight) for weight, _, rule in sorted(found, key=lambda it: it[:2])]


def by_looking(reply: Reply, stage: Stage) -> list[Match]:
    """Those of a stage. To look is slow, and it is the same at each stage."""
    return [match for match in at_any_stage(reply) if stage in match[0].stages]


def reply_of(text: str) -> Reply:
    return Reply(int(text[:3]), tuple(text[4:].split("\n")))


@pytest.mark.parametrize("stage", STAGES)
def test_all_examples(stage: Stage) -> None:
    for example in EXAMPLES:
        reply = reply_of(example)
        assert RULES.for_reply(reply, stage) == by_looking(reply, stage), example


@given(
    st.sampled_from([421, 450, 451, 452, 500, 501, 503, 530, 535, 550, 552, 553, 554, 571]),
    st.lists(
        st.sampled_from(PIECES) | st.sampled_from(EXAMPLES).map(lambda it: it[4:]) | st.text(max_size=12), max_size=6
    ),
    st.sampled_from(STAGES),
)
def test_any_reply(code: int, pieces: list[str], stage: Stage) -> None:
    reply = Reply(code, (" ".join(pieces),))
    found = by_looking(reply, stage)
    assert RULES.for_reply(reply, stage) == found
    known = max((matches[0][1] for at in STAGES if (matches := by_looking(reply, at))), default=-1)
    assert RULES.knows_words(reply) == (known >= WORDS)
    somewhere = by_looking(reply, RULES.stage_of(reply))
    assert (somewhere[0][1] if somewhere else -1) == known
    here = by_looking(reply, RULES.stage_of(reply, stage))
    if RULES.stage_of(reply, stage) != stage:
        assert here[0][1] == known >= WORDS
        assert not found or found[0][1] < WORDS


@given(st.sampled_from(PATTERNS).flatmap(lambda it: st.tuples(st.just(it), st.from_regex(re.compile(it, re.ASCII)))))
def test_what_a_pattern_demands_is_in_every_text_that_it_matches(made: tuple[str, str]) -> None:
    pattern, text = made
    assert all(any(literal in text for literal in demand) for demand in demands_of(pattern))


def test_each_file_of_rules_can_be_read_alone() -> None:
    folder = files("ehlo.knowledge.data") / "rules"
    read = [
        rule
        for file in folder.iterdir()
        if file.name.endswith(".toml")
        for rule in parse_rules(file.read_text("utf-8"))
    ]
    assert sorted(rule.id for rule in read) == sorted(rule.id for rule in RULES)
