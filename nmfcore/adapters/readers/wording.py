"""How the readers' messages count, quote and shorten."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return '1 feature' or '5,000 features'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def quoted(text: str, limit: int = 40) -> str:
    """Return the text in quotes on one line, cut where it is long."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def few(items: Iterable[object], limit: int = 3) -> str:
    """Return the first few items separated by commas, with an ellipsis if there are more."""
    shown = [str(item) for item in islice(items, limit + 1)]
    return ", ".join(shown[:limit] + ["…"] * (len(shown) > limit))
