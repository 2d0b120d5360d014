"""docs/lab.md, docs/scenarios.md, docs/lab-in-tests.md: commands are understood, requests answered, programs run."""

from __future__ import annotations

import json
import re
import shlex
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from docs.examples import ROOT
from ehlo.cli.commands import COMMANDS
from ehlo.cli.main import Parser, configure
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.deviate import MANGLES
from ehlo.lab.query import _FIELDS
from ehlo.lab.scenario import load_scenario, parse_scenario
from ehlo.web.app import ENDPOINTS
from ehlo.web.serving import WebServer

DOCS = ROOT / "docs"
PAGES = {name: (DOCS / name).read_text("utf-8") for name in ("lab.md", "scenarios.md", "lab-in-tests.md")}
FILES = {
    **PAGES,
    "README.md": (ROOT / "README.md").read_text("utf-8"),
    "Containerfile": (ROOT / "Containerfile").read_text("utf-8"),
    "github-actions.yml": (DOCS / "examples" / "github-actions.yml").read_text("utf-8"),
}
SCHEMA: dict[str, Any] = json.loads((files("ehlo.lab") / "scenario.schema.json").read_text("utf-8"))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next of the same depth."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


def first_column(text: str) -> set[str]:
    """The names in code in the first column of the tables."""
    return {
        name for cell in re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    }


# Command lines.


def lab_commands() -> list[str]:
    found = []
    for text in FILES.values():
        for line in re.findall(r"(?:^|run: |^\$ )(ehlo lab .*)$", text, re.MULTILINE):
            found.append(line)
        found += re.findall(r"`(ehlo lab [^`]*)`", text)
    found.append(
        shlex.join(json.loads(FILES["Containerfile"].partition("ENTRYPOINT ")[2])).removeprefix("/opt/ehlo/bin/")
    )
    found.append("ehlo lab --any-recipient")
    return list(dict.fromkeys(found))


def parser(name: str) -> Parser:
    made = Parser(prog=f"ehlo {name}")
    configure(next(command for command in COMMANDS if command.name == name), made)
    return made


@pytest.mark.parametrize("command", lab_commands())
def test_each_command_line_is_understood(command: str) -> None:
    args = parser("lab").parse_args(shlex.split(command, comments=True)[2:])
    if args.scenario and not args.scenario.startswith("./"):
        load_scenario(args.scenario)


def test_each_option_is_described() -> None:
    options = {option for action in parser("lab")._actions for option in action.option_strings if option[:2] == "--"}
    missing = {option for option in options if option not in PAGES["lab.md"] + PAGES["lab-in-tests.md"]}
    assert missing == {"--help", "--color", "--json"}


# Scenarios.


@pytest.mark.parametrize("text", [text for page in PAGES for text in blocks(page, "toml")])
def test_each_scenario_is_one(text: str) -> None:
    parse_scenario("example", text)


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("The file", set(SCHEMA["properties"])),
        ("Policy", set(SCHEMA["$defs"]["policy"]["properties"])),
        ("Limits", set(SCHEMA["$defs"]["limits"]["properties"])),
        ("Faults", {*SCHEMA["$defs"]["fault"]["properties"], *SCHEMA["$defs"]["fault"]["properties"]["stage"]["enum"]}),
        ("When", set(SCHEMA["$defs"]["when"]["properties"])),
        (
            "Do",
            {
                *SCHEMA["$defs"]["do"]["properties"],
                *SCHEMA["$defs"]["do"]["properties"]["certificate"]["enum"],
                *MANGLES,
            },
        ),
    ],
)
def test_the_tables_have_each_key(title: str, keys: set[str]) -> None:
    assert first_column(section("scenarios.md", title)) == keys


def test_the_search_words_are_those_of_the_code() -> None:
    words = {name.partition(":")[0] for name in first_column(section("lab.md", "Searching")) if ":" in name}
    assert words == set(_FIELDS)


# The API.


@pytest.fixture
def page() -> Iterator[tuple[RunningLab, httpx.Client]]:
    lab = Lab(policy=Policy(any_recipient=True))
    web = WebServer(lab)
    lab.companions.append(web)
    with lab.running() as running:
        yield running, httpx.Client(base_url=f"http://127.0.0.1:{web.port}", timeout=30, trust_env=False)


def requests() -> list[str]:
    return re.findall(r"^curl (.*)$", PAGES["lab.md"], re.MULTILINE)


@pytest.mark.parametrize("line", requests())
def test_each_request_is_answered(page: tuple[RunningLab, httpx.Client], line: str) -> None:
    running, client = page
    assert running.fault("quit", delay=0.1).id == "1"
    with smtplib.SMTP(running.host, running.port, "client.example", timeout=30) as smtp:
        smtp.sendmail("a@client.example", ["recipient@example.com"], "Subject: order\n\n")
    words = shlex.split(line)
    options = {
        words.pop(at): words.pop(at) for at in reversed(range(len(words) - 1)) if words[at] in ("-X", "-d", "-o")
    }
    (url,) = words
    assert url.startswith("localhost:8025/")
    path = url.removeprefix("localhost:8025")
    answer = client.request(options.get("-X", "GET"), path, content=options.get("-d"))
    if path.endswith("/release"):
        assert "--release" in answer.json()["Error"]
    else:
        assert answer.is_success, answer.text


# Programs.


def programs() -> dict[str, str]:
    return {text.partition("\n")[0].removeprefix("# "): text for text in blocks("lab-in-tests.md", "python")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in programs().items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_program_has_a_name() -> None:
    assert len(programs()) == len(blocks("lab-in-tests.md", "python"))
    assert all(re.fullmatch(r"\w+\.py", name) for name in programs())


def test_the_tests_pass(folder: Path) -> None:
    tests = sum(text.count("def test_") for text in programs().values())
    shown = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder))
    assert f"{tests} passed" in shown


def test_unittest_runs_its_own(folder: Path) -> None:
    run(folder, "-m", "unittest", "test_with_unittest")


@pytest.mark.parametrize("name", [name for name in programs() if not name.startswith("test_")])
def test_the_others_run(folder: Path, name: str) -> None:
    output = re.search(rf"^```python\n# {name}\n.*?^```\n+```text\n(.*?)^```", PAGES["lab-in-tests.md"], re.M | re.S)
    shown = run(folder, name)
    if name == "plain.py":
        assert output is not None
        assert shown == output[1]


def test_the_variables_are_those_of_the_code(tmp_path: Path) -> None:
    with Lab().running() as lab:
        assert first_column(section("lab-in-tests.md", "Any language")) == set(
            lab.environment(tmp_path, "http://localhost")
        )


def test_who_comes_from_elsewhere_finds_what_is_there() -> None:
    """The paths of the lab, in the last column of the table, are in the table of endpoints."""
    rows = re.findall(
        r"`([A-Z]+)` `(/api/v1/[^`?]*)[^`]*` \|$", section("lab-in-tests.md", "Coming from another catcher"), re.M
    )
    assert len(rows) == 7
    known = {(each.method, each.path) for each in ENDPOINTS}
    for method, path in rows:
        assert (method, re.sub("/(ID|latest)(?=/|$)", "/{id}", path)) in known
