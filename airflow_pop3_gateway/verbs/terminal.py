"""What a verb says: JSON for programs, text for people, errors on standard error.

Invariant: what a partner, a server or another person wrote never moves the cursor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any


def show(arguments: argparse.Namespace, facts: Mapping[str, Any], text: str) -> None:
    """Say one thing that was found: its facts on a line where JSON was asked for, else the text."""
    print(json.dumps(facts) if arguments.json else printable(text), flush=True)


def complain(error: object) -> None:
    """Say what could not be done."""
    print(printable(str(error)), file=sys.stderr)


def printable(text: str) -> str:
    """The text with everything that is no visible character written as an escape; line ends stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )
