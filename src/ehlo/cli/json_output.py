"""Prints a JSON document, in a form that is safe for a terminal."""

from __future__ import annotations

import json
import sys

from ehlo.transcript.event import JsonValue


def print_document(document: dict[str, JsonValue]) -> None:
    """One document on standard output. ASCII alone: whatever a server sent stays an escape."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
