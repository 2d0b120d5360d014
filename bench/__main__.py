"""`python -m bench [--quick] [NAME ...]`: measure, print, and write docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from bench import client, explain, process, server
from bench.measure import Figure
from bench.remarks import REMARKS

_DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_BENCHMARKS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "process": process.figures,
    "client": client.figures,
    "lab": server.figures,
    "fixture": server.fixture,
    "memory": server.memory,
    "explain": explain.figures,
}
_RUNS, _QUICK_RUNS = 7, 1
_HOW = (
    '"Transcripts kept" means that the whole transcript of every session is recorded in memory, line by line with its '
    "times, which none of the peers does. The client engine pipelines (RFC 2920) where the server offers it, which "
    "aiosmtplib and smtplib do not."
)


def main() -> None:
    """Measure what was asked for; write the document when that was everything, and not in haste."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"some of {' '.join(_BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="one run of each, for trying out; writes nothing")
    args = parser.parse_args()
    unknown = set(args.names) - set(_BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in args.names or _BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        for figure in _BENCHMARKS[name](_QUICK_RUNS if args.quick else _RUNS):
            print(f"  {figure.what}, against {figure.peer or 'nothing'}: {_ratio(figure)}  (target {_target(figure)})")
            figures.append(figure)
    if not args.names and not args.quick:
        _DOCUMENT.write_text(document(figures), "utf-8")


def document(figures: list[Figure]) -> str:
    """The page with all figures."""
    rows = "\n".join(
        f"| {figure.what} | {figure.peer or '–'} | {_ratio(figure)} | {_target(figure)} | {_verdict(figure)} |"
        for figure in figures
    )
    remarks = "\n\n".join(
        _filled(f"**{figure.what}{f', against {figure.peer}' if figure.peer else ''}.** {REMARKS[figure.id]}")
        for figure in figures
        if not figure.met and figure.id in REMARKS
    )
    return f"""# Performance

Written by `make bench`. Every figure is a ratio of medians of {_RUNS} interleaved runs ({3 * _RUNS} for whole
processes) against a peer on the same machine at the same time, so that it says something on other machines, too.

| what | against | measured | target | |
|---|---|---|---|---|
{rows}

{_filled(f"Measured on {os.cpu_count()} cores with {_versions()}. {_HOW}")}

## Where a target is missed

{remarks or "Nowhere."}
"""


def _filled(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _ratio(figure: Figure) -> str:
    return "not measured" if figure.ratio is None else f"{figure.ratio:.2f}{figure.unit}"


def _target(figure: Figure) -> str:
    return f"{'≥' if figure.more else '≤'} {figure.target:g}{figure.unit}"


def _verdict(figure: Figure) -> str:
    return figure.why if figure.ratio is None else "met" if figure.met else "missed"


def _versions() -> str:
    try:
        swaks = subprocess.run(["swaks", "--version"], capture_output=True, text=True, check=True).stdout
        swaks_version = swaks.split()[2] if len(swaks.split()) > 2 else "?"
    except (OSError, subprocess.CalledProcessError):
        swaks_version = "missing"
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvloop", "aiosmtplib", "aiosmtpd"))
    return f"Python {platform.python_version()}, {packages}, swaks {swaks_version}"


if __name__ == "__main__":
    main()
