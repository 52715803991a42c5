"""What Snakemake itself offers works: its report and its linter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conftest import run_sweep

from nmfcore.adapters.store import SweepFolder


def test_the_snakemake_report_states_the_decision(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    done = run_sweep(own_project, small_config, "--report", "x.html")
    assert done.returncode == 0, done.stdout
    page = (own_project / "x.html").read_text(encoding="utf-8")
    folder = SweepFolder(own_project / "results/small")
    assert folder.recommendation["headline"] in page
    for name in ("report", "rank_survey", "consensus-rank-3"):
        words = (folder.root / f"figures/captions/{name}.rst").read_text().splitlines()
        assert words[2][:60] in page
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?://", page)
    assert loaded == []


def test_the_linter_asks_for_nothing_but_containers(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    said = run_sweep(own_project, small_config, "--lint").stdout
    findings = set(re.findall(r"^ +\* (.*?):?$", said, re.MULTILINE))
    assert findings == {"Specify a conda environment or container for each rule."}
