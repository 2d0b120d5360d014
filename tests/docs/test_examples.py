"""Each `$ ehlo` example in README and docs does what the document shows.

After a change of output on purpose: EHLO_UPDATE_DOCS=1 pytest tests/docs, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.examples import FILES, ROOT, documents, examples, mask, run, update, world


@pytest.mark.parametrize(
    "document", [path for path in documents() if any(examples(path))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_examples_show_what_happens(document: Path, tmp_path: Path) -> None:
    with world(tmp_path):
        if os.environ.get("EHLO_UPDATE_DOCS"):
            update(document)
        for example in examples(document):
            if example.command.startswith("ehlo "):
                place = f"{document.name}:{example.line}: {example.command}"
                assert f"{place}\n{mask(run(example.command)[1])}" == f"{place}\n{mask(example.output)}"
            elif example.command.startswith("cat "):
                assert example.output == FILES[example.command[4:]]


_PYTHON = re.compile(r"^```python\n(.*?)^```\n+```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", [ROOT / "docs" / "library.md"], ids=["library.md"])
def test_programs_print_what_is_shown(document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programs = _PYTHON.findall(document.read_text("utf-8"))
    assert programs
    with world(tmp_path):
        for program, output in programs:
            exec(compile(program, str(document), "exec"), {"__name__": "__main__"})
            assert mask(capsys.readouterr().out) == mask(output)


def test_every_command_has_an_example() -> None:
    from ehlo.cli.commands import COMMANDS

    shown = {example.command.split()[1] for path in documents() for example in examples(path) if " " in example.command}
    assert {command.name for command in COMMANDS} - {"lab", "completion"} <= shown
