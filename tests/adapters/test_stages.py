"""The stages one after the other, in one process: what is left out, what is undefined, what is declined."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY

from nmfcore.adapters import settings as settings_of
from nmfcore.adapters import store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.job_log import told
from nmfcore.adapters.stages.factorize import factorize_batch
from nmfcore.adapters.stages.prepare import annotate_samples, prepare_matrix
from nmfcore.adapters.stages.select import select
from nmfcore.adapters.stages.solve import solve, solve_rank
from nmfcore.adapters.stages.summarize import summarize
from nmfcore.adapters.stages.validate import validate_rank
from nmfcore.errors import InputError, ResultError


class Sweep:
    """A folder in which the stages run as the rules of the workflow would have it."""

    def __init__(
        self, root: Path, table: np.ndarray, annotations: str | None = None, **changes: Any
    ):
        self.root = root
        root.mkdir(exist_ok=True)
        self.matrix, self.matrix_json = (self.path(f"prepared/matrix.{s}") for s in ("npz", "json"))
        samples = [f"s{j}" for j in range(table.shape[1])]
        lines = ["\t".join(["id", *samples])]
        lines += ["\t".join([f"g{i}", *map(repr, map(float, row))]) for i, row in enumerate(table)]
        (root / "table.tsv").write_text("\n".join(lines) + "\n")
        given = {
            "name": "x",
            "input": {"path": self.path("table.tsv"), "annotations": annotations},
            "ranks": [1, 2, 3],
            "seeds": 4,
            "root_seed": 1,
            "factorize": {"max_iter": 500, "tol": 1e-5, "dtype": "float64"},
            "validate": {"cross_validation": {"folds": 4, "fraction": 0.1, "starts": 2}},
            **changes,
        }
        self.config = load_config(given, REPOSITORY / "workflow/schemas/config.schema.yaml")

    def path(self, name: str) -> str:
        return str(self.root / name)

    def prepare(self) -> None:
        source = settings_of.matrix_settings(self.config)
        known = self.config["input"]["annotations"]
        loss = self.config["factorize"]["loss"]
        prepare_matrix(source, known, loss, self.matrix, self.matrix_json)
        annotate_samples(
            self.matrix, self.matrix_json, known, self.path("prepared/annotations.json")
        )

    def run(self) -> store.SweepFolder:
        self.prepare()
        for rank in self.config["ranks"]:
            self.run_rank(rank)
        self.decide()
        return store.SweepFolder(self.root)

    def runs(self, rank: int) -> list[str]:
        return [self.path(f"runs/rank-{rank}/seeds-{batch}.npz") for batch in ("0-1", "2-3")]

    def run_rank(self, rank: int) -> None:
        for npz, (first, last) in zip(self.runs(rank), ((0, 1), (2, 3)), strict=True):
            tsv = npz.replace(".npz", ".tsv")
            settings = settings_of.fit_settings(self.config)
            factorize_batch(self.matrix, rank, first, last, settings, npz, tsv)
        validation = None
        if self.config["validate"]["cross_validation"]:
            validation = self.path(f"ranks/rank-{rank}/cross_validation.json")
            settings = settings_of.validation_settings(self.config)
            validate_rank(self.matrix, rank, settings, validation)
        consensus, summary = (
            self.path(f"ranks/rank-{rank}/{name}") for name in ("consensus.npz", "summary.json")
        )
        summarize(self.matrix, self.runs(rank), validation, rank, 4, 4, consensus, summary)

    def decide(self) -> None:
        ranks = self.config["ranks"]
        recommendation = self.path("selection/recommendation.json")
        select(
            [self.path(f"ranks/rank-{rank}/summary.json") for rank in ranks],
            settings_of.sweep_settings(self.config),
            self.path("selection/criteria.tsv"),
            recommendation,
        )
        solutions = {rank: self.path(f"ranks/rank-{rank}/solution/solution.npz") for rank in ranks}
        for rank, npz in solutions.items():
            solve_rank(self.matrix, self.matrix_json, self.runs(rank), rank, 4, 4, npz)
        validation = None
        if self.config["validate"]["cross_validation"]:
            validation = settings_of.validation_settings(self.config)
        solve(
            self.matrix, recommendation, solutions, validation, self.path("solution/solution.npz")
        )


def two_groups() -> np.ndarray:
    """Two clear components, with an all-zero feature and an all-zero sample in between."""
    random = np.random.default_rng(3)
    W = np.kron(np.eye(2), np.ones((10, 1))) * random.uniform(1, 2, (20, 1))
    H = np.kron(np.eye(2), np.ones((1, 6))) * random.uniform(5, 9, (1, 12))
    table = random.poisson(10 * W @ H + 1).astype(float)
    return np.insert(np.insert(table, 4, 0, axis=0), 7, 0, axis=1)


def test_what_was_left_out_comes_back_as_zeros_in_its_place(tmp_path: Path) -> None:
    annotations = tmp_path / "notes.tsv"
    # s7 is left out of the fit and s2 has no line: neither is a mistake.
    lines = [f"s{j}\tgroup {j % 2}" for j in range(13) if j != 2]
    annotations.write_text("\n".join(["sample\tgroup", *lines]) + "\n")
    folder = Sweep(tmp_path, two_groups(), str(annotations)).run()

    info = folder.matrix_info
    assert info["shape"] == [20, 12]
    assert info["source"]["shape"] == [21, 13]
    assert [entry["id"] for entry in info["dropped_features"]] == ["g4"]
    assert [entry["id"] for entry in info["dropped_samples"]] == ["s7"]
    assert folder.recommendation["recommended_rank"] == 2
    assert folder.W.index.tolist() == [f"g{i}" for i in range(21)]
    assert folder.H.columns.tolist() == [f"s{j}" for j in range(13)]
    assert (folder.W.loc["g4"] == 0).all()
    assert (folder.H["s7"] == 0).all()
    assigned = {line["sample"]: line["component"] for line in folder.solution["assignments"]}
    assert list(assigned) == folder.H.columns.tolist()
    assert assigned["s7"] is None
    assert len({assigned[f"s{j}"] for j in range(6)}) == 1
    expected = ["" if j == 2 else f"group {j % 2}" for j in range(13) if j != 7]
    assert folder.annotations == {"group": expected}


def test_a_sweep_that_declines_says_why_and_leaves_empty_tables(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (20, 12))
    folder = Sweep(tmp_path, noise).run()
    assert folder.recommendation["recommended_rank"] is None
    assert folder.solution["rank"] is None
    assert folder.solution["reason"] == folder.recommendation["headline"]
    assert folder.W.shape == folder.H.shape == (0, 0)
    assert folder.annotations == {}


def test_without_cross_validation(tmp_path: Path) -> None:
    folder = Sweep(tmp_path, two_groups(), validate={"cross_validation": None}).run()
    assert folder.criteria["held_out_error"].isna().all()
    assert folder.summary(2)["fold_errors"] is None


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_folds_that_hide_nothing_but_zeros_are_undefined_not_an_error(tmp_path: Path) -> None:
    """A sparse small matrix: some folds have nothing to measure an error by."""
    table = np.diag(np.arange(1.0, 21.0))
    table[0] = 1
    few = {"folds": 10, "fraction": 0.02, "starts": 2}
    folder = Sweep(tmp_path, table, validate={"cross_validation": few}).run()
    for rank in (1, 2, 3):
        errors = folder.summary(rank)["fold_errors"]
        assert all(error is None or np.isfinite(error) for error in errors)
    assert folder.recommendation["decision"]


def test_a_mixture_is_refused(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, two_groups())
    sweep.run()
    changed = {**settings_of.fit_settings(sweep.config), "tol": 1e-3}
    npz = sweep.runs(2)[1]
    factorize_batch(sweep.matrix, 2, 2, 3, changed, npz, npz.replace(".npz", ".tsv"))
    with pytest.raises(ResultError, match="different settings") as error:
        summarize(
            sweep.matrix, sweep.runs(2), None, 2, 4, 4, sweep.path("c.npz"), sweep.path("s.json")
        )
    assert npz in str(error.value)
    assert not (tmp_path / "s.json").exists()


def test_runs_of_another_matrix_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = Sweep(tmp_path / "a", two_groups()), Sweep(tmp_path / "b", two_groups() + 1)
    first.run()
    second.prepare()
    with pytest.raises(ResultError, match="different input"):
        summarize(
            second.matrix, first.runs(2), None, 2, 4, 4, second.path("c.npz"), second.path("s.json")
        )


def test_annotations_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    notes = tmp_path / "notes.tsv"
    notes.write_text("sample\tgroup\ng0\ta\ng1\tb\n")
    sweep = Sweep(tmp_path, two_groups(), str(notes))
    with pytest.raises(InputError, match="the matrix is transposed"):
        sweep.prepare()
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize("loss", ["itakura-saito", -1])
def test_zeros_are_refused_before_anything_is_written_where_the_loss_is_infinite(
    tmp_path: Path, loss: str | float
) -> None:
    sweep = Sweep(tmp_path / "x", two_groups(), factorize={"loss": loss})
    with pytest.raises(InputError, match=r"such cells.*\{step: clip"):
        sweep.prepare()
    assert not Path(sweep.matrix).exists()
    lifted = [{"step": "clip", "lower": 1e-9}]
    Sweep(tmp_path / "y", two_groups(), factorize={"loss": loss}, prepare=lifted).prepare()


def test_settings_do_not_depend_on_the_order_of_keys() -> None:
    schema = REPOSITORY / "workflow/schemas/config.schema.yaml"
    given = {"name": "x", "input": {"path": "a"}, "factorize": {"tol": 1e-4, "loss": "frobenius"}}
    given["validate"] = {"cross_validation": {"starts": 3, "folds": 5}}
    other = {
        key: dict(reversed(v.items())) if isinstance(v, dict) else v for key, v in given.items()
    }
    other["validate"] = {"cross_validation": {"folds": 5, "starts": 3}}
    first, second = (load_config(c, schema) for c in (given, dict(reversed(other.items()))))
    for settings in (
        settings_of.matrix_settings,
        settings_of.fit_settings,
        settings_of.validation_settings,
        settings_of.sweep_settings,
    ):
        assert repr(settings(first)) == repr(settings(second))


def test_no_secret_and_no_batch_size_gets_into_the_settings_of_results() -> None:
    given = {"name": "x", "input": {"path": "a"}, "tracking": {"uri": "http://ann:s3cret@host"}}
    config = load_config(given, REPOSITORY / "workflow/schemas/config.schema.yaml")
    settings = settings_of.sweep_settings(config)
    assert "s3cret" not in repr(settings)
    assert "seeds_per_job" not in settings["factorize"]
    assert settings.keys() == config.keys() - {"tracking", "show"}


def test_a_meant_error_ends_with_its_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with told(str(tmp_path / "log")):
            logging.getLogger("nmfcore").info("so far so good")
            raise InputError("m.tsv is empty. Write it again.")

    with pytest.raises(SystemExit) as left:
        fail()
    assert left.value.code == 1
    expected = "INFO: so far so good\nERROR: m.tsv is empty. Write it again.\n"
    assert (tmp_path / "log").read_text() == expected
    assert capsys.readouterr().err == expected
    assert not logging.getLogger("nmfcore").handlers
