"""Measured figures in docs/: each program renews its own sections and leaves the others."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
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


def renew_sections(
    document: Path, introduction: str, titles: Iterable[str], found: Mapping[str, str]
) -> None:
    """Renew the sections of a document that were measured; keep the others.

    Parameters
    ----------
    document : Path
    introduction : str
        The title, and what stands before the first section.
    titles : iterable of str
        Of all sections, in their order.
    found : mapping of str to str
        Sections that were measured, by title.
    """
    kept: dict[str, str] = {}
    if document.exists():
        for part in document.read_text(encoding="utf-8").split("\n## ")[1:]:
            title, _, text = part.partition("\n")
            kept[title] = text
    kept |= found
    sections = [f"## {title}\n\n{kept[title].strip()}\n" for title in titles if title in kept]
    document.write_text("\n".join([f"{introduction}\n", *sections]), encoding="utf-8")


def made_with() -> str:
    """When, on what, and with which versions."""
    here, packages = environment(), versions()
    used = {name: packages[name] for name in ("mlflow", "snakemake") if packages.get(name)}
    with_ = ", ".join(f"{name} {version}" for name, version in used.items())
    where = f"{datetime.date.today()}, {os.cpu_count()} cores ({here['cpu']})"
    return f"{where}, {with_}." if used else f"{where}."
