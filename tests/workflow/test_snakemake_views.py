"""What Snakemake itself offers works: its report and its linter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conftest import run_sweep

from nmfcore.adapters import captions
from nmfcore.adapters.store import SweepFolder, figure_names


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
    for category in ("Answer", "Ranks", "Consensus", "Components", "Runs"):
        assert f'"{category}"' in page
    assert {captions.category(name) for name in figure_names([1, 2])} == {
        "Ranks",
        "Consensus",
        "Components",
        "Runs",
    }
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?://", page)
    assert loaded == []


def test_the_linter_asks_for_nothing_but_containers(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    said = run_sweep(own_project, small_config, "--lint").stdout
    findings = set(re.findall(r"^ +\* (.*?):?$", said, re.MULTILINE))
    assert findings == {"Specify a conda environment or container for each rule."}


def test_the_terminal_tells_how_far_the_sweep_is(
    own_project: Path, small_config: dict[str, Any]
) -> None:
    seeds = {**small_config, "seeds": 8, "tracking": {"enabled": False}}
    done = run_sweep(own_project, seeds, "--", "results/small/selection/recommendation.json")
    assert done.returncode == 0, done.stdout
    said = re.findall(
        r"Progress: (\d+) of 32 fits, (\d) of 4 ranks done; about .* left", done.stdout
    )
    assert said
    fits = [int(count) for count, _ in said]
    assert fits == sorted(fits)
