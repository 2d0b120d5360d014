"""`ehlo rule`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from ehlo.cli.commands import UsageError
from ehlo.cli.options import add_colour_option
from ehlo.diagnosis.judge import titles_of
from ehlo.knowledge.catalogue import Catalogue
from ehlo.knowledge.products import name_of
from ehlo.knowledge.rules import LAYERS, Rule, load_rules
from ehlo.report.finding import headline, labelled
from ehlo.report.style import Style, style_of
from ehlo.report.text import width_of, wrap
from ehlo.transcript.event import JsonValue

EPILOG = """\
examples:
  ehlo rule                              all rules, by layer
  ehlo rule no-reverse-name              one of them: why, what to do, settings, examples
  ehlo rule --search "spf forward"       the rules that have all these words
  ehlo rule --layer tls                  the rules of one layer

The same pages are in docs/rules/. exit status: 0, or 2 if there is no such rule.
"""

#: Whose mistake it is, in words.
_WHOSE = {
    "ours": "the sender's side can mend it",
    "theirs": "it is the receiving side's mistake, not the sender's",
    "either": "",
}
#: An id longer than this has its title on the next line.
_ID_COLUMN = 26


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("rule", metavar="ID", nargs="?", help="a rule; default: the table of all")
    parser.add_argument("--search", metavar="WORDS", help="the rules that have all these words, wherever")
    parser.add_argument("--layer", choices=LAYERS, help="the rules of this layer")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
    add_colour_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show the catalogue, or one rule."""
    rules = load_rules()
    if args.rule is not None:
        if args.search is not None or args.layer is not None:
            raise UsageError("give the id of a rule, or --search and --layer, not both.")
        chosen = [_named(args.rule, rules)]
    else:
        chosen = _chosen(rules, args.layer, args.search)
        if not chosen:
            raise UsageError(f"no rule{_of_layer(args.layer)} has all the words of '{args.search}'.")
    if args.json:
        from ehlo.cli.json_output import print_document

        print_document({"schema": "ehlo/1", "command": "rule", "rules": [_to_json(rule) for rule in chosen]})
        return 0
    style = style_of(sys.stdout, args.color)
    for line in _page(chosen[0], style) if args.rule is not None else _table(chosen, style):
        print(line)
    return 0


def _named(name: str, rules: Catalogue) -> Rule:
    rule = rules.get(name)
    if rule is not None:
        return rule
    ids = [rule.id for rule in rules]
    close = get_close_matches(name, ids, 3) or [each for each in ids if name and name in each][:3]
    hint = f"did you mean {' or '.join(close)}?" if close else "ehlo rule shows them all."
    raise UsageError(f"there is no rule {name}; {hint}")


def _chosen(rules: Catalogue, layer: str | None, search: str | None) -> list[Rule]:
    """The rules of a layer that have all words of a search, those with the words in id or title first."""
    words = (search or "").lower().split()
    found = [rule for rule in rules if layer in (None, rule.layer) and all(word in _text(rule) for word in words)]

    def weight(rule: Rule) -> tuple[int, int]:
        head = f"{rule.id} {rule.title}".lower()
        return -sum(word in head for word in words), LAYERS.index(rule.layer)

    return sorted(found, key=weight)


def _text(rule: Rule) -> str:
    """All words of a rule."""
    parts = [rule.id, rule.title, rule.why, *rule.fix, *rule.examples, *rule.refs]
    parts += [f"{name_of(software)} {advice}" for software, advice in (*rule.settings.items(), *rule.server.items())]
    return " ".join(parts).lower()


def _of_layer(layer: str | None) -> str:
    return f" of the layer {layer}" if layer else ""


def _table(rules: list[Rule], style: Style) -> Iterator[str]:
    widest = max(len(rule.layer) for rule in rules)
    room = style.width - _ID_COLUMN - widest - 2
    for rule in rules:
        start = f"{style.dim(rule.layer)}{' ' * (widest - len(rule.layer))} {style.bold(rule.id)}"
        if len(rule.id) > _ID_COLUMN:
            yield start
            start = " " * (widest + 1 + _ID_COLUMN)
        else:
            start += " " * (_ID_COLUMN - len(rule.id))
        yield f"{start} {style.fit(_named_by_kind(rule.title), room)}"


def _page(rule: Rule, style: Style) -> Iterator[str]:
    yield from headline(f"{rule.layer} · {_named_by_kind(rule.title)}", rule.id, style.width, style)
    yield from (f"  {line}" for line in wrap(style.plain(_named_by_kind(rule.why)), style.width - 2))
    facts = [("at", ", ".join(rule.stages)), ("whose", _WHOSE[rule.whose])]
    facts += [("try" if number == 0 else "", _named_by_kind(fix)) for number, fix in enumerate(rule.fix)]
    others = titles_of(rule.alternatives)
    facts += [("or" if number == 0 else "", f"{title} ({other})") for number, (other, title) in enumerate(others)]
    if rule.experiment:
        facts.append(("tell", f"ehlo check --investigate: the experiment {rule.experiment}"))
    facts += [("seen" if number == 0 else "", example) for number, example in enumerate(rule.examples)]
    facts += [("not" if number == 0 else "", example) for number, example in enumerate(rule.counterexamples)]
    if rule.scenario:
        facts.append(("lab", f"ehlo lab --scenario {rule.scenario}"))
    facts.append(("refs", ", ".join(rule.refs)))
    for label, text in facts:
        if text:
            yield from labelled(label, text, style)
    yield from _settings("Settings where it is sent from", rule.settings, style)
    yield from _settings("Settings of the server, if it is yours", rule.server, style)


def _named_by_kind(text: str) -> str:
    """A text of a rule, in which what a session would name is called by its kind, in capitals."""
    return re.sub(r"\{([a-z]+)\}", lambda name: name[1].upper(), text)


def _settings(title: str, settings: Mapping[str, str], style: Style) -> Iterator[str]:
    if not settings:
        return
    yield ""
    yield f"  {title}"
    for software, advice in settings.items():
        name = name_of(software)
        lines = wrap(style.plain(f"{name}: {_named_by_kind(advice)}"), style.width - 8)
        yield f"    {style.bold(lines[0][: width_of(name)])}{lines[0][width_of(name) :]}"
        yield from (f"        {line}" for line in lines[1:])


def _to_json(rule: Rule) -> dict[str, JsonValue]:
    return {
        "id": rule.id,
        "title": rule.title,
        "layer": rule.layer,
        "stages": list(rule.stages),
        "why": rule.why,
        "fix": list(rule.fix),
        "refs": list(rule.refs),
        "whose": rule.whose,
        "settings": dict(rule.settings),
        "server": dict(rule.server),
        "or": list(rule.alternatives),
        "experiment": rule.experiment or None,
        "scenario": rule.scenario or None,
        "examples": list(rule.examples),
        "counterexamples": list(rule.counterexamples),
    }
