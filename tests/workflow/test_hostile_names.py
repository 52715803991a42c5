"""Names that would be paths, markup, formulas or commands elsewhere are only names here."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import run_sweep

from nmfcore.adapters import exports, store

HOSTILE = [
    "../../etc/passwd",
    "/absolute/path",
    "..",
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "</text></svg><script>alert(1)</script>",
    "]]><!--",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://example.org","x")',
    "@SUM(1+1)",
    "+1+1",
    "-2+3",
    "$\\frac{1}{0$ $(rm -rf x)",
    "`touch pwned`; touch pwned",
    "{{ 7 * 7 }} {% for %}",
    "%s %(x)s {0} {wildcards.rank}",
    "样本 Ω é \u202egnp.exe",
    "a'b\"c\\d",
    "NaN",
    "null",
]


@pytest.fixture(scope="module")
def hostile_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep over a matrix whose features, samples and annotations all bear such names."""
    project = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(1)
    features = [f"{name}{i}" if i >= len(HOSTILE) else name for i, name in enumerate(HOSTILE * 2)]
    counts = random.poisson(
        1
        + 500
        * random.dirichlet(np.full(len(features), 0.2), 2).T
        @ random.random((2, len(HOSTILE)))
    )
    with (project / "matrix.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["", *HOSTILE])
        writer.writerows([name, *row] for name, row in zip(features, counts, strict=True))
    with (project / "samples.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["sample", "<b>group</b>"])
        writer.writerows([name, HOSTILE[i % 4]] for i, name in enumerate(HOSTILE))
    config: dict[str, Any] = {
        "name": "hostile",
        "input": {"path": "matrix.tsv", "annotations": "samples.tsv"},
        "ranks": [1, 2],
        "seeds": 3,
        "validate": {"cross_validation": {"folds": 3, "starts": 1}},
        "select": {"rank": 2},
        "tracking": {"enabled": False},
    }
    done = run_sweep(project, config)
    assert done.returncode == 0, done.stdout
    assert "begin like a formula" in done.stdout
    return project


class Scripts(HTMLParser):
    """What a browser would run or load of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.shown: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("img", "image") and not (named.get("src") or "data:").startswith("data:"):
            self.found.append(f"{tag} {named}")
        if any(name.startswith("on") for name in named):
            self.found.append(f"{tag} {named}")

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def test_nothing_is_written_outside_the_results(hostile_project: Path) -> None:
    names = {path.name for path in hostile_project.iterdir()}
    assert names == {"matrix.tsv", "samples.tsv", "config.yaml", "results", ".snakemake"}
    assert not list(hostile_project.rglob("pwned"))
    for path in hostile_project.rglob("*"):
        if ".snakemake" not in path.parts:
            assert re.fullmatch(r"[\w.-]+", path.name), path


def test_the_report_shows_names_and_runs_none(hostile_project: Path) -> None:
    html = (hostile_project / "results/hostile/report.html").read_text(encoding="utf-8")
    page = Scripts(html)
    assert page.found == []
    assert "alert('x')</script>" not in html
    assert "onerror=alert(1)>" not in html
    assert "49" not in [text.strip() for text in page.shown if text.strip().startswith("{{")]
    assert any("{{ 7 * 7 }}" in text for text in page.shown)


def test_figures_are_drawings_without_scripts(hostile_project: Path) -> None:
    for path in (hostile_project / "results/hostile/figures").glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert not tags & {"script", "foreignObject", "iframe", "a"}, path


def test_tables_give_every_name_back(hostile_project: Path, tmp_path: Path) -> None:
    folder = store.SweepFolder(hostile_project / "results/hostile")
    assert folder.H.columns.tolist() == HOSTILE
    assert folder.W.index.tolist()[: len(HOSTILE)] == HOSTILE
    arguments = [str(folder.root), "-o", str(tmp_path / "tables"), "--format", "tsv"]
    assert exports.main(arguments) == 0
    for path in (tmp_path / "tables").iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
        assert len({len(row) for row in rows}) == 1, path
