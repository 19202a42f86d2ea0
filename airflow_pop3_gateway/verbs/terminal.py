"""Text of strangers on a terminal: what a partner or a server wrote never moves the cursor."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything that is no visible character written as an escape; line ends stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )
