"""Licences of every package in requirements.lock, as installed here; fails where one is unknown or not on the list.

``.venv/bin/python .ci/licences.py`` prints a table. What is copyleft is used as it is and not part of this repository.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"

# Words of licences that may be used beside MIT.
PERMISSIVE = (
    *("MIT", "BSD", "Apache", "ISC", "PSF", "Python Software Foundation", "Unlicense", "Zlib"),
    *("HPND", "CC0", "public domain", "0BSD", "CNRI", "MPL", "Mozilla"),
)
# Linked to or run, not copied.
COPYLEFT = ("LGPL", "Lesser General Public")
TEXTS = {
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "BSD": "Redistribution and use in source and binary forms, with or without modification, are permitted",
}


def licence(distribution: metadata.Distribution) -> str:
    """The licence that a package declares as an expression, by classifier or in a few words; else that of its text."""
    information = distribution.metadata
    expression = information.get("License-Expression")
    if expression:
        return expression
    classifiers = [c for c in information.get_all("Classifier") or [] if c.startswith("License ::")]
    named = ", ".join(c.rpartition(" :: ")[2] for c in classifiers)
    text = (information.get("License") or "").strip().split("\n")[0]
    if named and named != "OSI Approved":
        return named
    return text[:60] if is_listed(text) else _by_its_text(distribution) or text[:60]


def is_listed(words: str) -> bool:
    """Whether the words name a licence of the list."""
    return any(word.lower() in words.lower() for word in (*PERMISSIVE, *COPYLEFT))


def _by_its_text(distribution: metadata.Distribution) -> str:
    """What the licence file says of a package whose metadata name no licence (some name the holder)."""
    files = [f.read_text() for f in distribution.files or [] if f.name.upper().startswith("LICEN")]
    for name, sentence in TEXTS.items():
        if any(sentence in " ".join(text.split()) for text in files):
            return f"{name}, by its text"
    return ""


def main() -> int:
    """Print the table; return 1 if a licence needs a look."""
    names = re.findall(r"^([A-Za-z0-9_.-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    doubtful = []
    for name in names:
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
        found = licence(distribution)
        print(f"{name} {distribution.version}\t{found}")
        if not is_listed(found):
            doubtful.append(name)
    if doubtful:
        print(f"Look at the licence of: {', '.join(doubtful)}.", file=sys.stderr)
    return 1 if doubtful else 0


if __name__ == "__main__":
    sys.exit(main())
