"""The frame of a page: head, style, the script that copies; and how text becomes HTML."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from ehlo.report.text import safe
from ehlo.transcript.transcript import SOFTWARE


def text(value: object) -> str:
    """Any text in HTML: escaped, and with control characters made visible."""
    return html.escape(safe(str(value)))


def lines(value: str) -> str:
    """The same for text whose line breaks are its own."""
    return html.escape("\n".join(safe(line) for line in value.split("\n")))


def section(name: str, heading: str, body: str) -> str:
    """A part of the page with a heading; empty where there is nothing in it."""
    if not body:
        return ""
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(heading)}</h2>{body}</section>'


def unseen(words: str) -> str:
    """Words for those who hear the page, where others see a mark."""
    return f'<span class="unseen">{text(words)} </span>'


def mark(sign: str, words: str) -> str:
    """A mark, and what it means for those who hear the page."""
    kind = "mark ok" if sign == "✓" else "mark"
    return f'<span class="{kind}" aria-hidden="true">{text(sign)}</span>{unseen(words) if words else ""}'


@cache
def _asset(name: str) -> str:
    return (files("ehlo.report.page") / name).read_text("utf-8")


def _policy() -> str:
    """Nothing is fetched, and no script runs but the one that is named by its digest: not even one that gets into the
    page against all odds."""
    digest = base64.b64encode(hashlib.sha256(_asset("page.js").encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def document(heading: str, title: str, about: str, sections: Iterable[str]) -> str:
    """The whole file. `heading` is what a browser calls it, `title` and `about` stand at its top."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(heading)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n"
        f"<header><h1>{text(title)}</h1><p>{text(about)}</p></header>\n<main>\n"
        + "\n".join(filter(None, sections))
        + f"\n</main>\n<footer>Written by {text(SOFTWARE)}. Passwords and tokens have been taken out.</footer>\n"
        f"<script>{_asset('page.js')}</script>\n</body>\n</html>\n"
    )
