"""Which sources stand behind each stage: a change of code repeats what depends on it, and nothing else."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = (".py", ".j2", ".css", ".js", ".bib")
_IMPORT = re.compile(r"^ *(?:from|import) (nmfcore[\w.]*)(?: import ([\w ,]+|\([\w\s,]+))?", re.M)


def code_digest(*parts: str) -> str:
    """SHA-256 of the sources of parts of the package and of the core that they import, however indirectly.

    Parameters
    ----------
    *parts : str
        Modules or subpackages relative to `nmfcore`, such as ``"solvers"`` or ``"consensus.py"``.
    """
    found: set[Path] = set()
    for part in parts:
        path = _PACKAGE / part
        found |= {p for p in path.rglob("*") if p.suffix in _SOURCES} if path.is_dir() else {path}
    unread = list(found)
    while unread:
        new = _imported(unread.pop()) - found
        found |= new
        unread += new
    sha = hashlib.sha256()
    for source in sorted(found):
        sha.update(source.relative_to(_PACKAGE).as_posix().encode() + source.read_bytes())
    return sha.hexdigest()[:16]


@cache
def _imported(source: Path) -> frozenset[Path]:
    """Core modules that a module imports."""
    if source.suffix != ".py":
        return frozenset()
    names = []
    for module, imported in _IMPORT.findall(source.read_text(encoding="utf-8")):
        names += [module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))]
    places = [name.split(".")[1:] for name in names if name != "nmfcore"]
    files = [_PACKAGE.joinpath(*place) for place in places if place[0] != "adapters"]
    candidates = [p for f in files for p in (f.with_suffix(".py"), f / "__init__.py")]
    return frozenset(p for p in candidates if p.is_file())


CODE = {
    "prepare": code_digest(
        "adapters/stages/prepare.py",
        "adapters/preparation.py",
        "adapters/steps",
        "adapters/readers",
        "adapters/matrix.py",
    ),
    "annotate": code_digest("adapters/stages/prepare.py", "adapters/readers"),
    "factorize": code_digest("adapters/stages/factorize.py", "factorization.py", "solvers"),
    "decide_seeds": code_digest("adapters/stages/decide_seeds.py", "seed_decisions.py"),
    "decide_ranks": code_digest("adapters/stages/decide_ranks.py", "rank_decisions.py"),
    "validate": code_digest("adapters/stages/validate.py", "cross_validation.py", "solvers"),
    "permute": code_digest("adapters/stages/validate.py", "permutation.py", "solvers"),
    "validate_blocks": code_digest(
        "adapters/stages/validate.py", "bi_cross_validation.py", "solvers"
    ),
    "summarize": code_digest(
        "adapters/stages/summarize.py", "criteria.py", "reconstruction.py", "residuals.py"
    ),
    "select": code_digest("adapters/stages/select.py", "selection.py"),
    "solve_rank": code_digest(
        "adapters/stages/solve.py", "solution.py", "solvers", "adapters/solving.py"
    ),
    "solve": code_digest(
        "adapters/stages/solve.py", "component_tree.py", "held_out.py", "adapters/solving.py"
    ),
    "record": code_digest("adapters/provenance.py"),
    "show": code_digest(
        "adapters/showing",
        "adapters/figures/style.py",
        "adapters/readers/sound.py",
        "adapters/readers/mutations.py",
    ),
    "caption": code_digest("adapters/captions.py"),
    "report": code_digest("adapters/figures", "adapters/report"),
}
"""Digest of the sources behind each stage."""
