"""Writes the generated pages: the manual page, the options of each command, a page for each rule; and the tables in
pages that are otherwise written by hand."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

os.environ["COLUMNS"] = "100"

from ehlo.cli.commands import COMMANDS
from ehlo.cli.main import Parser, configure, full_parser
from ehlo.knowledge import data as knowledge
from ehlo.knowledge.products import name_of
from ehlo.knowledge.rules import COMPILED, LAYERS, Rule, When, compile_rules, load_rules
from ehlo.lab.fault_table import ACTIONS_AT, CONDITIONS_AT, COUNTING, FAULT_STAGES, FILE_WORDS, SPEAKING
from ehlo.lab.persona import load_persona, persona_names
from ehlo.lab.scenario import load_scenario, scenario_names
from ehlo.web.app import ENDPOINTS

DOCS = Path(__file__).parent

WHOSE = {"ours": " The sender's side can mend it.", "theirs": " It is the receiving side's mistake.", "either": ""}


def pages() -> dict[Path, str]:
    """Each generated page with its text."""
    out = {
        DOCS / "cli.md": cli_page(),
        DOCS / "man" / "ehlo.1": manual_page(),
        DOCS / "rules" / "README.md": rules_index(),
        DOCS / "lab.md": filled("lab.md", personas=personas(), client_rules=client_rules(), endpoints=endpoints()),
        DOCS / "scenarios.md": filled("scenarios.md", effects=effects(), scenarios=scenarios()),
    }
    for rule in load_rules():
        out[DOCS / "rules" / f"{rule.id}.md"] = rule_page(rule)
    out[Path(knowledge.__file__).parent / COMPILED] = compile_rules()
    return out


def cli_page() -> str:
    """The help texts of all commands."""
    parts = ["# The command line\n\nThis page is generated: these are the help texts of the commands.\n"]
    parts.append(f"## ehlo\n\n```text\n{full_parser().format_help()}```\n")
    for command in COMMANDS:
        parser = Parser(prog=f"ehlo {command.name}")
        configure(command, parser)
        parts.append(f"## ehlo {command.name}\n\n```text\n{parser.format_help()}```\n")
    return "\n".join(parts)


def manual_page() -> str:
    """The manual page, in roff."""
    from argparse_manpage.manpage import Manpage

    parser = full_parser()
    parser.man_short_description = "the SMTP debugger"  # type: ignore[attr-defined]
    page = str(Manpage(parser, format="single-commands-section"))
    # The first line has today's date, which would make every build another one.
    lines = page.splitlines()
    lines[0] = '.TH EHLO "1" "" "ehlo" "User Commands"'
    return "\n".join(lines) + "\n"


def rules_index() -> str:
    """The table of all rules, by layer."""
    rules = sorted(load_rules(), key=lambda rule: LAYERS.index(rule.layer))
    rows = [f"| [{rule.id}]({rule.id}.md) | {rule.layer} | {rule.title} |" for rule in rules]
    head = f"# Rules\n\nWhat ehlo knows about replies and errors: {len(rows)} rules. This page and those of the rules\n"
    head += (
        "are generated from `src/ehlo/knowledge/data/rules/`; how to write one is in [docs/rules.md](../rules.md);\n"
    )
    head += "`ehlo rule` shows the same in the terminal.\n\n"
    return head + "| rule | layer | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def rule_page(rule: Rule) -> str:
    """The page of a rule."""
    parts = [f"# {rule.id}\n", f"**{rule.title}**\n"]
    parts.append(f"Layer: {rule.layer}. Stages: {', '.join(rule.stages)}.{WHOSE[rule.whose]}\n")
    parts.append(f"## What it is\n\n{rule.why}\n")
    if rule.alternatives:
        links = ", ".join(f"[{other}]({other}.md)" for other in rule.alternatives)
        parts.append(f"It could also be {links}.\n")
    if rule.fix:
        parts.append("## What to do\n\n" + "\n".join(f"* {fix}" for fix in rule.fix) + "\n")
    if rule.experiment:
        parts.append(f"`ehlo check --investigate` looks closer, with the experiment `{rule.experiment}`.\n")
    for title, settings in (("Settings where it is sent from", rule.settings), ("Settings of the server", rule.server)):
        if settings:
            rows = "".join(f"| {name_of(software)} | {_cell(advice)} |\n" for software, advice in settings.items())
            parts.append(f"## {title}\n\n| | |\n|---|---|\n{rows}")
    parts.append("## When it holds\n\n" + "\n\nor\n\n".join(_conditions(when) for when in rule.when) + "\n")
    if rule.examples:
        parts.append("## Examples\n\n```text\n" + "\n".join(rule.examples) + "\n```\n")
    if rule.counterexamples:
        parts.append("## Not to be confused with\n\n```text\n" + "\n".join(rule.counterexamples) + "\n```\n")
    if rule.scenario:
        parts.append(f"## See it\n\n`ehlo lab --scenario {rule.scenario}`\n")
    if rule.refs:
        parts.append("## References\n\n" + ", ".join(rule.refs) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def filled(page: str, **tables: str) -> str:
    """A page written by hand with its tables made anew; each stands between two comments that name it."""
    text = (DOCS / page).read_text("utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}{table}{end}{after}"
    return text


def scenarios() -> str:
    """The table of all scenarios, with the rules that a check of them ends with."""
    rows = []
    for name in scenario_names():
        scenario = load_scenario(name)
        rule = f"[{scenario.rule}](rules/{scenario.rule}.md)" if scenario.rule else ""
        rows.append(f"| `{name}` | {scenario.title} | {rule} |\n")
    return "| scenario | | rule |\n|---|---|---|\n" + "".join(rows)


def effects() -> str:
    """The table of what is known and what can be done at each stage."""
    word_of = {field: word for word, field in FILE_WORDS.items()}
    rows = []
    for stage in FAULT_STAGES:
        known = [word_of[field] for field in CONDITIONS_AT[stage] if field not in COUNTING]
        there = [name for name in ACTIONS_AT[stage] if name not in SPEAKING or SPEAKING[0] not in ACTIONS_AT[stage]]
        missing = [name for name in SPEAKING if name not in ACTIONS_AT[stage]]
        if SPEAKING[0] not in ACTIONS_AT[stage]:
            can = "nothing but " + _code(there)
        else:
            can = (
                "any reply"
                + (f", {_code(there)}" if there else "")
                + (f", without {_code(missing)}" if missing else "")
            )
        rows.append(f"| `{stage}` | {_code(known)} | {can} |\n")
    head = f"| stage | known, for `when` and `per` | done |\n|---|---|---|\n{''.join(rows)}\n"
    return head + f'"Any reply" is {_code(SPEAKING)}.\n'


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def personas() -> str:
    """The table of all personas."""
    rows = []
    for name in persona_names():
        it = load_persona(name)
        rows.append(
            f"| `{name}` | `{it.words.code} {it.words.lines[0]}` | {it.size / 10**6:.1f} MB | {it.recipients} |\n"
        )
    return "| persona | greeting | largest message | recipients |\n|---|---|---|---|\n" + "".join(rows)


def client_rules() -> str:
    """The table of all rules about clients."""
    rows = [
        f"| [{rule.id}](rules/{rule.id}.md) | {rule.title} |\n"
        for rule in load_rules()
        if rule.id.startswith("client-")
    ]
    return "| rule | |\n|---|---|\n" + "".join(rows)


def endpoints() -> str:
    """The table of the API."""
    rows = []
    for each in ENDPOINTS:
        path = each.path.replace(":int", "")
        taken = ", ".join(f"`{name}`" for name in each.query + each.body)
        rows.append(f"| `{each.method}` | `{path}` | {' '.join((each.handler.__doc__ or '').split())} | {taken} |\n")
    return "| | path | | takes |\n|---|---|---|---|\n" + "".join(rows)


def _conditions(when: When) -> str:
    lines = []
    for name, values in (
        ("reply code", when.codes),
        ("enhanced status code", when.enhanced),
        ("error", when.errors),
        ("certificate", when.certificates),
    ):
        if values:
            lines.append(f"* {name}: {', '.join(f'`{value}`' for value in sorted(values))}")
    if when.text:
        lines.append("* text matches one of\n" + _patterns(when.text))
    if when.not_text:
        lines.append("* text matches none of\n" + _patterns(when.not_text))
    return "\n".join(lines)


def _patterns(patterns: tuple[str, ...]) -> str:
    return "\n".join(f"  * `{pattern}`" for pattern in patterns)


def main() -> None:
    """Write all pages, and remove those of rules that are gone."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    wanted = pages()
    for stale in set((DOCS / "rules").glob("*.md")) - set(wanted):
        stale.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
