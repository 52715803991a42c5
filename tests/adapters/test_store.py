"""Result files: what is read is what was written, or it is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nmfcore.adapters import store
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.errors import ResultError
from nmfcore.factorization import factorize
from nmfcore.runs import Runs

PROVENANCE = {
    "input_sha256": "1" * 64,
    "settings": {"tol": 1e-6},
    "settings_sha256": "2" * 64,
    "code": "3" * 16,
}
IDS = np.array(["gène 1", "NA", "007", '"quoted"', "a'b", "样本"])
DOCUMENT = {"name": "Ωmega", "numbers": [1, 2.5, 1e-300, None], "nested": {"a": True, "b": {}}}


def matrices() -> dict[str, LabelledMatrix]:
    values = np.random.default_rng(0).poisson(1.0, (6, 4)).astype(float)
    samples = np.array([f"s{j}" for j in range(4)])
    hole = np.ones(values.shape, bool)
    hole[1, 2] = False
    return {
        "dense": LabelledMatrix(values, IDS, samples),
        "float32": LabelledMatrix(values.astype(np.float32), IDS, samples),
        "sparse": LabelledMatrix(sparse.csr_array(values), IDS, samples),
        "masked": LabelledMatrix(values * hole, IDS, samples, hole),
    }


def some_runs(seeds: range = range(3), rank: int = 2) -> Runs:
    return factorize(matrices()["dense"].values, rank, seeds, max_iter=50)


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("kind", matrices())
def test_a_matrix_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    matrix = matrices()[kind]
    store.write_matrix(tmp_path / "m.npz", matrix, PROVENANCE)
    read, sha256 = store.read_matrix(tmp_path / "m.npz")
    assert sha256 == PROVENANCE["input_sha256"]
    assert read.is_sparse == matrix.is_sparse
    assert read.values.dtype == matrix.values.dtype
    assert store.matrix_digest(read) == store.matrix_digest(matrix)
    assert read.feature_ids.tolist() == IDS.tolist()
    assert (read.observed is None) == (matrix.observed is None)


def test_the_digest_of_a_matrix_sees_what_matters_and_nothing_else() -> None:
    given = matrices()
    dense = store.matrix_digest(given["dense"])
    assert store.matrix_digest(given["sparse"]) == dense
    assert store.matrix_digest(given["masked"]) != dense
    assert store.matrix_digest(given["float32"]) != dense
    renamed = LabelledMatrix(given["dense"].values, IDS[::-1], given["dense"].sample_ids)
    assert store.matrix_digest(renamed) != dense
    order = LabelledMatrix(np.asfortranarray(given["dense"].values), IDS, given["dense"].sample_ids)
    assert store.matrix_digest(order) == dense


def test_runs_come_back_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    for name, seeds in (("b", range(3, 5)), ("a", range(3))):
        store.write_runs(
            tmp_path / f"{name}.npz", tmp_path / f"{name}.tsv", some_runs(seeds), PROVENANCE
        )
    read, provenance = store.read_runs([tmp_path / "a.npz", tmp_path / "b.npz"])
    whole = some_runs(range(5))
    assert provenance == PROVENANCE
    assert read.seeds.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(read.W, whole.W, rtol=1e-4, atol=1e-5)
    assert read.status.tolist() == whole.status.tolist()
    assert len(store.read_runs([tmp_path / "a.npz"], max_seeds=2)[0]) == 2


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    store.write_json(tmp_path / "d.json", DOCUMENT)
    assert store.read_json(tmp_path / "d.json") == DOCUMENT


def test_nan_never_gets_into_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json(tmp_path / "d.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_undefined_cells_of_a_table_are_empty(tmp_path: Path) -> None:
    rows = [["NA", 1, None], ["007", float("nan"), np.float32(0.1)]]
    store.write_table(tmp_path / "t.tsv", ["id", "x", "y"], rows)
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    assert lines[:2] == ["id\tx\ty", "NA\t1\t"]
    assert lines[2].startswith("007\t\t0.1")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store.write_npz(tmp_path / f"{name}.npz", {"x": np.arange(3)}, PROVENANCE)
    shuffled = dict(reversed(PROVENANCE.items()))
    store.write_npz(tmp_path / "c.npz", {"x": np.arange(3)}, shuffled)
    assert len({(tmp_path / f"{name}.npz").read_bytes() for name in "abc"}) == 1
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}  # no clock


def test_an_ordinary_reader_can_read_an_npz(tmp_path: Path) -> None:
    store.write_npz(tmp_path / "a.npz", {"x": np.arange(3)}, PROVENANCE)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["x"].tolist() == [0, 1, 2]


def test_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        store.write_npz(tmp_path / "a.npz", {"x": np.array([{}, []], object)}, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- damage


def write_one_npz(path: Path) -> Callable[[Path], Any]:
    store.write_runs(path, path.with_suffix(".tsv"), some_runs(), PROVENANCE)
    return store.read_npz


def write_one_json(path: Path) -> Callable[[Path], Any]:
    store.write_json(path, {**DOCUMENT, "provenance": PROVENANCE})
    return store.read_json


WRITERS = [write_one_npz, write_one_json]


@pytest.mark.parametrize("write", WRITERS)
def test_every_flipped_byte_is_detected(
    tmp_path: Path, write: Callable[[Path], Callable[[Path], Any]]
) -> None:
    path = tmp_path / "file"
    read = write(path)
    sound = path.read_bytes()
    read(path)
    random = np.random.default_rng(1)
    # The last hundred bytes hold the seal and the end of the archive.
    places = [*random.integers(len(sound), size=200), *range(len(sound) - 100, len(sound))]
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        with pytest.raises(ResultError, match="delete it and run the same command again"):
            read(path)


@pytest.mark.parametrize("write", WRITERS)
def test_every_truncation_is_detected(
    tmp_path: Path, write: Callable[[Path], Callable[[Path], Any]]
) -> None:
    path = tmp_path / "file"
    read = write(path)
    sound = path.read_bytes()
    random = np.random.default_rng(2)
    for size in [0, 1, len(sound) - 1, *random.integers(len(sound), size=200)]:
        path.write_bytes(sound[:size])
        with pytest.raises(ResultError, match=str(path)):
            read(path)
    path.write_bytes(sound + b"\n")
    with pytest.raises(ResultError):
        read(path)


@pytest.mark.parametrize("text", ["[1, ", "1, ", '{"a": ', "", '{"checksums": '])
def test_a_sealed_text_that_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_bytes(text.encode() + store._json_seal(text.encode()))
    with pytest.raises(ResultError, match=r"d\.json: it is no document"):
        store.read_json(tmp_path / "d.json")


def test_a_json_ends_with_the_checksum_of_what_stands_before_it(tmp_path: Path) -> None:
    store.write_json(tmp_path / "d.json", {"é": [1.5, None], "of": "\u2028"})
    content = (tmp_path / "d.json").read_bytes()
    body, word, end = content.rpartition(b'"checksum": ')
    sealed = hashlib.sha256(body + word).hexdigest()
    assert end == f'"{sealed}"\n}}\n'.encode()
    assert json.loads(content) == {"é": [1.5, None], "of": "\u2028", "checksum": sealed}


def test_json_by_another_hand_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{}", '{"a": 1}', "null"):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(ResultError):
            store.read_json(tmp_path / "d.json")


@pytest.mark.parametrize("read", [store.read_npz, store.read_json])
def test_a_missing_file_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(ResultError, match=r"absent: no such result file; run the sweep first"):
        read(tmp_path / "absent")


# ---------------------------------------------------------------- atomic


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("write", WRITERS)
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path,
    write: Callable[[Path], Callable[[Path], Any]],
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        with pytest.raises(OSError, match="No space"):
            write(path)
    assert list(tmp_path.iterdir()) == []

    write(path)
    before = path.read_bytes()
    files = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        with pytest.raises(OSError, match="No space"):
            store.write_json(path, {"other": 1})
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == files


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write_npz(tmp_path / "a.npz", {"x": np.arange(3)}, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_is_cleared_when_the_file_is_made_anew(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = {
        "dead": f".a.json.{ended.pid}.tmp",
        "alive": f".a.json.{os.getppid()}.tmp",
        "of another file": f".b.json.{ended.pid}.tmp",
        "of no process": ".a.json.backup.tmp",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"half")
    store.write_json(tmp_path / "a.json", DOCUMENT)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"a.json", *names.values()} - {names["dead"]}


# ---------------------------------------------------------------- mixtures


@pytest.mark.parametrize("key", ["input_sha256", "settings_sha256", "code"])
def test_runs_of_different_origin_are_refused(tmp_path: Path, key: str) -> None:
    for name, provenance in (("a", PROVENANCE), ("b", {**PROVENANCE, key: "f" * 64})):
        store.write_runs(tmp_path / f"{name}.npz", tmp_path / "x.tsv", some_runs(), provenance)
    with pytest.raises(ResultError, match="must not be mixed") as error:
        store.read_runs([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert "a.npz" in str(error.value)
    assert "b.npz" in str(error.value)
    assert key.removesuffix("_sha256") in str(error.value)


# ---------------------------------------------------------------- a sweep


def sweep(root: Path, seeds: int, **batches: dict[str, Any]) -> store.SweepFolder:
    """A folder with batches of rank 2, named as in 'seeds_0_2'."""
    decision = {"ranks": [2], "provenance": {**PROVENANCE, "settings": {"seeds": seeds}}}
    store.write_json(root / "selection/recommendation.json", decision)
    for name, changes in batches.items():
        first, last = map(int, name.split("_")[1:])
        npz = root / f"runs/rank-2/seeds-{first}-{last}.npz"
        runs = some_runs(range(first, last + 1))
        store.write_runs(npz, npz.with_suffix(".tsv"), runs, {**PROVENANCE, **changes})
    return store.SweepFolder(root)


def test_runs_that_the_sweep_does_not_ask_for_are_left_aside(tmp_path: Path) -> None:
    """After fewer seeds and another tol, the batches beyond them are outdated."""
    outdated = {"settings_sha256": "f" * 64}
    folder = sweep(tmp_path, 3, seeds_0_1={}, seeds_2_4={}, seeds_5_6=outdated)
    (tmp_path / "runs/rank-3").mkdir()
    (tmp_path / "runs/rank-3/seeds-0-2.npz").write_bytes(b"of another sweep")
    assert [(f.first, f.last) for f in folder.run_files()] == [(0, 1), (2, 4)]
    assert folder.runs(2).seeds.tolist() == [0, 1, 2]
    assert folder.runs_table["seed"].tolist() == [0, 1, 2]
    assert [f.first for f in store.find_run_files(tmp_path)] == [0, 2, 5, 0]


def test_lacking_runs_are_named(tmp_path: Path) -> None:
    folder = sweep(tmp_path, 6, seeds_0_1={})
    with pytest.raises(ResultError, match="no runs of seed 2"):
        folder.runs(2)


def test_ids_that_look_like_numbers_or_nothing_stay_text(tmp_path: Path) -> None:
    rows = [[name, float(i)] for i, name in enumerate(IDS)]
    store.write_table(tmp_path / "solution/W.tsv", ["feature", "component_1"], rows)
    store.write_table(
        tmp_path / "solution/H.tsv", ["component", *IDS], [["component_1", *range(6)]]
    )
    folder = store.SweepFolder(tmp_path)
    assert folder.W.index.tolist() == IDS.tolist()
    assert folder.H.columns.tolist() == IDS.tolist()
