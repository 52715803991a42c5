"""A results folder says what made it, and `verify` finds what does not hold."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_sweep

from nmfcore.adapters import store, verify
from nmfcore.adapters.verification import verify as check

RUNS = "runs/rank-3/seeds-0-5.npz"


@pytest.fixture
def own_sweep(finished_sweep: Path, tmp_path: Path) -> Path:
    """A copy of a finished sweep that a test may change."""
    return shutil.copytree(finished_sweep, tmp_path / "small", copy_function=shutil.copy2)


def test_a_finished_sweep_holds(finished_sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([str(finished_sweep)]) == 0
    said = capsys.readouterr().out
    # Four ranks of six runs and their four solutions, and the chosen one.
    assert re.search(r"small: \d+ files and 29 losses hold\.\n$", said)
    assert "note" not in said


def test_every_result_file_is_recorded_with_what_made_it(
    finished_sweep: Path, small_config: dict[str, Any]
) -> None:
    record = store.read_json(finished_sweep / "provenance.json")
    files = {
        path.relative_to(finished_sweep).as_posix(): path
        for path in finished_sweep.rglob("*")
        if path.is_file() and path.relative_to(finished_sweep).parts[0] not in ("logs", "tracking")
    }
    assert record["files"].keys() == files.keys() - {"provenance.json"}
    source = Path(small_config["input"]["path"]).read_bytes()
    assert record["input"]["sha256"] == hashlib.sha256(source).hexdigest()
    for name, entry in record["files"].items():
        content = files[name].read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert entry["size"] == len(content)
        assert entry["input_sha256"] == record["input"]["matrix_sha256"]
    (made_under,) = record["environments"]
    assert made_under["numpy"] == np.__version__
    assert record["packages"]["snakemake"]
    codes = {name: entry["code"] for name, entry in record["files"].items()}
    # The table for people comes from the same job as the file for machines.
    assert codes["runs/rank-2/seeds-0-5.tsv"] == codes["runs/rank-2/seeds-0-5.npz"]
    assert codes["solution/W.tsv"] == codes["solution/solution.json"] != codes["report.html"]


def test_every_flip_and_every_truncation_is_found_and_named(own_sweep: Path) -> None:
    files = sorted(
        p
        for p in own_sweep.rglob("*")
        if p.is_file() and "logs" not in p.relative_to(own_sweep).parts
    )
    random = np.random.default_rng(5)
    for number in range(200):
        path = files[number % len(files)]
        sound = path.read_bytes()
        place = int(random.integers(len(sound)))
        damaged = bytearray(sound)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged if number % 3 else sound[:place])
        named = check(own_sweep).defects
        path.write_bytes(sound)
        assert path.relative_to(own_sweep).as_posix() in named, (path, place)
        # One damaged file does not make others look damaged.
        assert len(named) == 1 or path.name == "provenance.json", (path, named)
    assert not check(own_sweep).defects


def reseal(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a sealed file as somebody would who knows how to seal it."""
    if path.suffix == ".json":
        document = store.read_json(path)
        change(document)
        store.write_json(path, document)
    else:
        arrays = dict(store.read_npz(path))
        provenance = store.provenance_of(arrays)
        del arrays["provenance"]
        change(arrays)
        store.write_npz(path, arrays, arrays.pop("provenance", provenance))


def better_loss(arrays: dict[str, Any]) -> None:
    arrays["loss"] = arrays["loss"] * (1 - 1e-6)


def negative_factor(arrays: dict[str, Any]) -> None:
    arrays["W"][2, 5, 1] = -arrays["W"][2, 5, 1] - 1e-3


def other_factor(arrays: dict[str, Any]) -> None:
    arrays["H"] = arrays["H"] * 1.001


def set_to(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update({key: value})


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (RUNS, better_loss, "loss differs of seed 0"),
        (RUNS, negative_factor, "factors are not nonnegative numbers of seed 2"),
        (RUNS, other_factor, "loss differs of seed 0"),
        ("ranks/rank-2/solution/solution.json", set_to("loss", 1.0), "loss differs at rank 2"),
        ("solution/solution.json", set_to("relative_error", 0.01), "loss differs at rank 3"),
        ("selection/recommendation.json", set_to("confidence", "moderate"), "does not follow"),
        ("ranks/rank-3/summary.json", set_to("held_out_error", 9.0), None),
        ("prepared/matrix.json", set_to("sha256", "0" * 64), "its digest is not that of"),
        (
            "prepared/matrix.npz",
            lambda a: a.update(values=a["values"] + 1),
            "not the one it carries",
        ),
    ],
)
def test_what_a_fitting_seal_hides_is_found_by_computing_it_again(
    own_sweep: Path, file: str, change: Callable[[dict[str, Any]], None], said: str | None
) -> None:
    reseal(own_sweep / file, change)
    (own_sweep / "provenance.json").unlink()  # which would have told
    found = check(own_sweep).defects
    assert "run the sweep first" in found.pop("provenance.json")
    if said:
        assert said in found[file]
    else:  # of a changed criterion the table and the decision tell
        assert {"selection/criteria.tsv", "selection/recommendation.json"} <= found.keys()


def test_another_matrix_mixed_in_is_found(own_sweep: Path) -> None:
    def other(arrays: dict[str, Any]) -> None:
        provenance = store.provenance_of(store.read_npz(own_sweep / RUNS))
        arrays["provenance"] = {**provenance, "input_sha256": "0" * 64}

    reseal(own_sweep / RUNS, other)
    (own_sweep / "provenance.json").unlink()
    assert "another matrix" in check(own_sweep).defects[RUNS]


def test_what_is_missing_too_much_or_left_over_is_named(
    own_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_sweep / "solution/H.tsv").unlink()
    (own_sweep / "runs/rank-2/seeds-6-7.tsv").write_text("of a larger sweep\n")
    (own_sweep / "runs/rank-2/.seeds-6-7.npz.123.tmp").write_bytes(b"half")
    assert verify.main([str(own_sweep)]) == 1
    said = capsys.readouterr().out
    assert f"{own_sweep}/solution/H.tsv: it is missing, but belongs to the sweep" in said
    assert "note: runs/rank-2/seeds-6-7.tsv: no part of the sweep that was recorded." in said
    assert "note: runs/rank-2/.seeds-6-7.npz.123.tmp: left by a job that was killed" in said
    assert "1 files do not hold" in said


def test_other_losses_penalties_missing_cells_and_dropped_rows_hold_too(
    tmp_path: Path, untracked_config: dict[str, Any]
) -> None:
    lines = Path(untracked_config["input"]["path"]).read_text().splitlines()
    cells = [line.split("\t") for line in lines]
    cells[3][4] = cells[7][2] = ""
    cells[5][1:] = ["0"] * (len(cells[5]) - 1)
    (tmp_path / "matrix.tsv").write_text("\n".join("\t".join(row) for row in cells) + "\n")
    config = {
        **untracked_config,
        "input": {"path": str(tmp_path / "matrix.tsv"), "missing": "mask"},
        "ranks": [1, 2],
        "seeds": 2,
        "factorize": {"loss": "kullback-leibler", "penalties": {"l1_W": 0.5}},
        "select": {"rank": 2},
    }
    done = run_sweep(tmp_path, config)
    assert done.returncode == 0, done.stdout
    sweep = tmp_path / "results/small"
    found = check(sweep)
    assert (found.defects, found.notes, found.n_losses) == ({}, [], 7)
    reseal(sweep / "runs/rank-2/seeds-0-1.npz", better_loss)
    (sweep / "provenance.json").unlink()
    assert "loss differs of seed 0" in check(sweep).defects["runs/rank-2/seeds-0-1.npz"]


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(tmp_path / "absent")]) == 1
    assert "absent: no such folder" in capsys.readouterr().err


def test_nothing_is_recorded_that_does_not_hold(
    own_project: Path, untracked_config: dict[str, Any]
) -> None:
    """A table changed by hand is not blessed by running the sweep again."""
    table = own_project / "results/small/solution/W.tsv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    done = run_sweep(own_project, untracked_config)
    assert done.returncode != 0
    assert "solution/W.tsv: line 2 is not what the npz or JSON beside it says" in done.stdout
    assert "Delete it and run the same command again" in done.stdout
    table.unlink()
    done = run_sweep(own_project, untracked_config)
    assert done.returncode == 0, done.stdout
    assert not check(own_project / "results/small").defects
