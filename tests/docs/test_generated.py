"""The generated pages are those that docs/generate.py writes now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from docs.examples import ROOT, documents
from ehlo.cli.commands import COMMANDS
from ehlo.cli.main import Parser, configure


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    wanted: dict[Path, str] = generate.pages()
    stale = [
        str(path.relative_to(ROOT)) for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ]
    assert not stale, "run: make docs"
    assert set((ROOT / "docs" / "rules").glob("*.md")) <= set(wanted), "run: make docs"


def test_each_option_is_explained_and_each_command_has_examples() -> None:
    for command in COMMANDS:
        parser = Parser(prog=command.name)
        configure(command, parser)
        assert "examples:" in (parser.epilog or ""), command.name
        for action in parser._actions:
            assert action.help or action.choices, (command.name, action.option_strings)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    # What stands in backquotes may look like a link: patterns of rules do.
    text = re.sub(r"`[^`\n]*`", "", document.read_text())
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target
