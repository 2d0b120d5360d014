"""Each `$ ehlo` example in README and docs does what the document shows.

After a change of output on purpose: EHLO_UPDATE_DOCS=1 pytest tests/docs, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs.examples import ROOT, documents, examples, mask, run, update, world


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


def test_every_command_has_an_example() -> None:
    from ehlo.cli.commands import COMMANDS

    shown = {example.command.split()[1] for path in documents() for example in examples(path) if " " in example.command}
    assert {command.name for command in COMMANDS} - {"lab", "completion"} <= shown
