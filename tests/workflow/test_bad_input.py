"""What cannot be used is said in words before anything fans out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import jobs, run_sweep

Change = Callable[[list[list[str]]], None]


def refused(project: Path, config: dict[str, Any], *options: str) -> str:
    """What a run says that must fail without a fit, a traceback or half a file."""
    done = run_sweep(project, config, *options)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert not {"factorize", "validate", "track_fits"} & jobs(done).keys()
    return done.stdout


def written(project: Path) -> set[str]:
    results = project / "results"
    return {
        path.relative_to(results).as_posix()
        for path in results.rglob("*")
        if path.is_file() and "logs" not in path.parts
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": 3}, ["unknown key 'sedes'", "did you mean 'seeds'?"]),
        (
            {"validate": {"cross_validation": {"folds": 10, "fraction": 0.2}}},
            ["10 folds of 0.2", "at most 0.1"],
        ),
    ],
    ids=["unknown key", "folds"],
)
def test_the_configuration(
    tmp_path: Path, untracked_config: dict[str, Any], change: dict[str, Any], words: list[str]
) -> None:
    said = refused(tmp_path, {**untracked_config, **change})
    for word in words:
        assert word in said
    assert written(tmp_path) == set()


@pytest.mark.parametrize("key", ["path", "annotations", "sample_ids"])
def test_a_missing_input_file_is_guessed(
    tmp_path: Path, untracked_config: dict[str, Any], key: str
) -> None:
    path = Path(untracked_config["input"]["path"])
    misspelt = str(path.with_name("matirx.tsv"))
    said = refused(
        tmp_path, {**untracked_config, "input": {"path": str(path), key: misspelt}}, "--dry-run"
    )
    assert "matirx.tsv does not exist" in said
    assert "Did you mean matrix.tsv?" in said
    assert "MissingInput" not in said


def negative(rows: list[list[str]]) -> None:
    rows[3][5] = "-2.5"


def duplicate(rows: list[list[str]]) -> None:
    rows[4][0] = rows[2][0]


def empty(rows: list[list[str]]) -> None:
    rows.clear()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (negative, ["1 negative value", "'gene_2'", "'sample_4'", "-2.5"]),
        (duplicate, ["own.tsv", "gene_1"]),
        (empty, ["own.tsv is empty"]),
    ],
)
def test_the_matrix(
    tmp_path: Path, small_config: dict[str, Any], change: Change, words: list[str]
) -> None:
    text = Path(small_config["input"]["path"]).read_text()
    rows = [line.split("\t") for line in text.splitlines()]
    change(rows)
    (tmp_path / "own.tsv").write_text("\n".join("\t".join(row) for row in rows))
    said = refused(tmp_path, {**small_config, "input": {"path": "own.tsv"}})
    for word in words:
        assert word in said
    assert written(tmp_path) == set()


def test_annotations_tell_that_the_matrix_is_transposed(
    tmp_path: Path, small_config: dict[str, Any]
) -> None:
    source = {**small_config["input"], "orientation": "samples_by_features"}
    said = refused(tmp_path, {**small_config, "input": source})
    assert "the matrix is transposed (change `orientation`)" in said
    assert written(tmp_path) == set()
