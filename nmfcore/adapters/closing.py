"""The last words of a sweep in the terminal: the answer, and where to look."""

from __future__ import annotations

from pathlib import Path

from nmfcore.adapters import store


def closing_words(root: str | Path) -> str:
    """Decision, report, dashboard, and what is left to publish, a line each.

    Parameters
    ----------
    root : path
        `results/<name>` of a finished sweep.
    """
    folder = store.SweepFolder(root)
    decision = folder.recommendation
    lines = [
        "",
        f"{folder.name}: {decision['headline']}",
        f"  confidence  {decision['confidence']}",
        *(f"  warning     {warning}" for warning in decision["warnings"]),
        f"  report      {folder.root / 'report.html'}",
        f"  results     {folder.root}",
    ]
    markers = sorted((folder.root / "tracking").glob("*.json"))
    pending = {store.read_json(marker)["pending"] for marker in markers} - {None}
    if markers:
        lines.append("  dashboard   make dashboard")
    lines += [f"  unpublished {reason}" for reason in sorted(pending)]
    return "\n".join(lines)
