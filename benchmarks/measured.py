"""Measured figures in docs/clusters.md: each program renews its own section."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from pathlib import Path

from nmfcore.adapters.environment import environment, versions

PAGE = Path(__file__).resolve().parents[1] / "docs/clusters.md"


def write_section(name: str, command: str, lines: Sequence[str]) -> None:
    """Replace what stands between the two marks of a section.

    Parameters
    ----------
    name : str
        As in the marks, ``<!-- measured: NAME -->`` and ``<!-- /measured: NAME -->``.
    command : str
        What wrote it.
    lines : sequence of str
    """
    first, last = f"<!-- measured: {name} -->", f"<!-- /measured: {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    if first not in text:
        raise SystemExit(f"{PAGE}: no section {first}")
    body = "\n".join([first, *lines, "", f"By `{command}`; {made_with()}", last])
    pattern = re.escape(first) + ".*?" + re.escape(last)
    PAGE.write_text(re.sub(pattern, lambda _: body, text, flags=re.DOTALL), encoding="utf-8")


def made_with() -> str:
    """When, on what, and with which versions."""
    here, packages = environment(), versions()
    used = {name: packages[name] for name in ("mlflow", "snakemake") if name in packages}
    with_ = ", ".join(f"{name} {version}" for name, version in used.items())
    return f"{datetime.date.today()}, {os.cpu_count()} cores ({here['cpu']}), {with_}."
