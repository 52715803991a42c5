"""Tracking: the projection of result files into MLflow, against real SQLite stores."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmfcore.adapters import store, tracking
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.store import SweepFolder
from nmfcore.adapters.tracking import Destination, PublishReport, publishing, records
from nmfcore.adapters.tracking.__main__ import main
from nmfcore.adapters.tracking.dashboard import links, server_command
from nmfcore.adapters.tracking.fits import error_history
from nmfcore.adapters.tracking.following import follow, start_following
from nmfcore.adapters.tracking.patience import OutOfTime, Patience
from nmfcore.runs import Runs

SWEEP = "tiny"


def make_runs(rank: int, seeds: list[int]) -> Runs:
    n, n_iter = len(seeds), 30
    error = 0.5 / rank + 0.001 * np.arange(n)
    loss = 50 * error**2
    trace = loss[:, None] * (1 + 3.0 * np.exp(-np.arange(n_iter) / 5))[None, :]
    return Runs(
        rank=rank,
        seeds=np.array(seeds),
        W=np.ones((n, 6, rank)),
        H=np.ones((n, rank, 5)),
        loss=loss,
        relative_error=error,
        kkt_residual=np.full(n, 1e-5),
        n_iter=np.full(n, n_iter),
        status=np.array(["converged"] * n, dtype="U12"),
        trace=trace,
        seconds=np.full(n, 0.25),
        loss_name="frobenius",
        solver="hals",
    )


def run_provenance(**changes: Any) -> dict[str, Any]:
    settings = {"loss": "frobenius", "max_iter": 500, "tol": 1e-4, "root_seed": 42, **changes}
    digest = store.digest(settings)
    return {
        "input_sha256": "a" * 64,
        "settings_sha256": digest,
        "settings": settings,
        "code": "c0de",
    }


def write_batch(root: Path, runs: Runs, **settings: Any) -> Path:
    seeds = f"seeds-{runs.seeds[0]}-{runs.seeds[-1]}"
    npz = root / f"runs/rank-{runs.rank}/{seeds}.npz"
    store.write_runs(npz, npz.with_suffix(".tsv"), runs, run_provenance(**settings))
    return npz


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder with an empty store; creating one costs seconds, copying one nothing."""
    results = tmp_path_factory.mktemp("initialised") / "results"
    destination = Destination.of(None, None, results)
    assert tracking.initialise(destination) == PublishReport()
    return results


@pytest.fixture
def destination(initialised: Path, tmp_path: Path) -> Destination:
    """Give each test its own experiments in the shared store, so that they see only their runs."""
    return Destination.of(None, tmp_path.name, initialised)


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return write_batch(tmp_path / "results" / SWEEP, make_runs(3, list(range(6))))


def runs_of(destination: Destination, name: str) -> list[Any]:
    client = records.connect(destination).client
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def fits_of(destination: Destination) -> list[Any]:
    return runs_of(destination, destination.fits)


def history(destination: Destination, run: Any, metric: str) -> list[tuple[int, float]]:
    points = records.connect(destination).client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def assert_complete(destination: Destination, n_seeds: int = 6) -> None:
    """One finished run a seed: none lost, none twice, none left running."""
    fits = fits_of(destination)
    assert Counter(run.data.tags["seed"] for run in fits) == dict.fromkeys(
        map(str, range(n_seeds)), 1
    )
    assert {run.info.status for run in fits} == {"FINISHED"}


def fail_at(monkeypatch: pytest.MonkeyPatch, j: int, fail: Callable[[], None]) -> None:
    calls = iter(range(1000))

    def log(*arguments: Any) -> None:
        if next(calls) == j:
            fail()
        records.log(*arguments)

    monkeypatch.setattr(publishing, "log", log)


# ---------------------------------------------------------------- fits


def test_users_publish_the_same_sweep_and_neither_replaces_the_other(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("ann", "bob", "ann"):
        monkeypatch.setenv("LOGNAME", user)
        tracking.publish_fits([batch], destination, SWEEP)
    write_batch(batch.parents[2], make_runs(3, list(range(6))), tol=1e-5)
    monkeypatch.setenv("LOGNAME", "bob")
    assert tracking.publish_fits([batch], destination, SWEEP).replaced == 6
    held = Counter(
        (run.data.tags["mlflow.user"], run.data.params["tol"]) for run in fits_of(destination)
    )
    assert held == {("ann", "0.0001"): 6, ("bob", "1e-05"): 6}


def test_a_batch_becomes_one_run_for_each_seed(destination: Destination, batch: Path) -> None:
    report = tracking.publish_fits([batch], destination, SWEEP)
    assert report == PublishReport(published=6)
    assert_complete(destination)
    run = next(run for run in fits_of(destination) if run.data.tags["seed"] == "4")
    assert run.info.run_name == "rank 3 · seed 4"
    assert run.data.params == {
        "rank": "3",
        "seed": "4",
        "loss": "frobenius",
        "solver": "hals",
        "max_iter": "500",
        "tol": "0.0001",
        "root_seed": "42",
    }
    expected = make_runs(3, list(range(6)))
    assert run.data.metrics["loss"] == expected.loss[4]
    assert run.data.metrics["relative_error"] == expected.relative_error[4]
    assert run.data.metrics["explained_variance"] == 1 - expected.relative_error[4] ** 2
    assert run.data.metrics["n_iter"] == 30
    assert run.data.metrics["seconds"] == 0.25
    assert run.info.end_time - run.info.start_time == 250
    assert run.info.end_time == int(batch.stat().st_mtime * 1000)
    curve = history(destination, run, "relative_error_history")
    assert [step for step, _ in curve][:3] == [1, 2, 3]
    assert curve[-1][0] == 30
    assert curve[-1][1] == pytest.approx(expected.relative_error[4], rel=0.01)


def test_publishing_twice_changes_nothing(destination: Destination, batch: Path) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    before = {run.info.run_id for run in fits_of(destination)}
    assert tracking.publish_fits([batch], destination, SWEEP) == PublishReport(skipped=6)
    assert {run.info.run_id for run in fits_of(destination)} == before


def test_batches_may_overlap(destination: Destination, tmp_path: Path, batch: Path) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    more = write_batch(tmp_path / "results" / SWEEP, make_runs(3, list(range(8))))
    report = tracking.publish_fits([more], destination, SWEEP)
    assert report == PublishReport(published=2, skipped=6)
    assert_complete(destination, n_seeds=8)


def test_other_sweeps_and_ranks_are_left_alone(
    destination: Destination, tmp_path: Path, batch: Path
) -> None:
    other_rank = write_batch(tmp_path / "results" / SWEEP, make_runs(2, [0, 1]))
    tracking.publish_fits([batch], destination, SWEEP)
    tracking.publish_fits([batch], destination, "other")
    tracking.publish_fits([other_rank], destination, SWEEP)
    assert len(fits_of(destination)) == 6 + 6 + 2


def test_other_settings_replace_what_was_published(
    destination: Destination, tmp_path: Path, batch: Path
) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    again = write_batch(tmp_path / "results" / SWEEP, make_runs(3, list(range(6))), max_iter=900)
    report = tracking.publish_fits([again], destination, SWEEP)
    assert report == PublishReport(published=6, replaced=6)
    assert_complete(destination)
    assert {run.data.params["max_iter"] for run in fits_of(destination)} == {"900"}


@pytest.mark.parametrize("j", [0, 3, 5])
def test_a_crash_leaves_no_run_open_and_is_made_good(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch, j: int
) -> None:
    def crash() -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patch:
        fail_at(patch, j, crash)
        report = tracking.publish_fits([batch], destination, SWEEP)
    assert report.published == j
    assert report.pending is not None
    assert "disk full" in report.pending
    assert Counter(run.info.status for run in fits_of(destination)) == Counter(FINISHED=j, FAILED=1)
    again = tracking.publish_fits([batch], destination, SWEEP)
    assert again == PublishReport(published=6 - j, skipped=j, replaced=1)
    assert_complete(destination)


def test_what_a_kill_leaves_running_is_replaced(destination: Destination, batch: Path) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    connected = records.connect(destination)
    for run in fits_of(destination)[:2]:
        connected.client.create_run(connected.fits, 0, run.data.tags, run.info.run_name)
        connected.client.update_run(run.info.run_id, status="RUNNING")
    report = tracking.publish_fits([batch], destination, SWEEP)
    assert report == PublishReport(published=2, skipped=4, replaced=4)
    assert_complete(destination)


def test_sigterm_ends_the_open_run(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        fail_at(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit, match="143"):
            tracking.publish_fits([batch], destination, SWEEP)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert "RUNNING" not in {run.info.status for run in fits_of(destination)}
    tracking.publish_fits([batch], destination, SWEEP)
    assert_complete(destination)


def test_numbers_that_are_none_are_left_out(destination: Destination, tmp_path: Path) -> None:
    runs = make_runs(2, [0, 1])
    runs.loss[1] = runs.relative_error[1] = np.inf
    runs.kkt_residual[1] = np.nan
    runs.trace[1, 10:] = np.inf
    runs.trace[0, 20:] = np.nan
    runs.status[1] = "non_finite"
    npz = write_batch(tmp_path / "results" / SWEEP, runs)
    assert tracking.publish_fits([npz], destination, SWEEP).pending is None
    good, bad = sorted(fits_of(destination), key=lambda run: run.data.tags["seed"])
    assert bad.data.tags["status"] == "non_finite"
    assert bad.data.metrics == {"n_iter": 30.0, "seconds": 0.25}
    assert good.data.tags["status"] == "converged"
    assert history(destination, good, "relative_error_history")[-1][0] == 20


def test_a_missing_table_costs_only_the_times(destination: Destination, batch: Path) -> None:
    batch.with_suffix(".tsv").unlink()
    assert tracking.publish_fits([batch], destination, SWEEP) == PublishReport(published=6)
    assert "seconds" not in fits_of(destination)[0].data.metrics


def test_a_damaged_file_is_pending_and_publishes_nothing(
    destination: Destination, batch: Path
) -> None:
    batch.write_bytes(batch.read_bytes()[:-100])
    report = tracking.publish_fits([batch], destination, SWEEP)
    assert report.published == 0
    assert report.pending is not None
    assert "checksum" in report.pending


@pytest.mark.parametrize("n_iter", [1, 2, 7, 300, 10_000])
def test_a_history_is_thin_and_keeps_both_ends(n_iter: int) -> None:
    trace = np.r_[np.linspace(9, 4, n_iter), np.full(5, np.nan)]
    curve = error_history(trace, 4.0, 0.2)
    steps = [step for step, _ in curve]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, n_iter)
    assert len(steps) <= 41
    assert curve[0][1] == pytest.approx(0.3)


def test_a_slow_store_leaves_the_rest_pending(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(*arguments: Any) -> None:
        time.sleep(1.5)  # of 0.6 s that a fit may take
        records.log(*arguments)

    with monkeypatch.context() as slow:
        slow.setattr(publishing, "log", log)
        report = tracking.publish_fits([batch], destination, SWEEP, budget=0.5)
    assert report.pending is not None
    assert "too slow" in report.pending
    assert report.published < 4
    assert tracking.publish_fits([batch], destination, SWEEP).pending is None
    assert_complete(destination)


def test_a_request_that_hangs_is_broken_off(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, 2, lambda: time.sleep(300))
    started = time.monotonic()
    report = tracking.publish_fits([batch], destination, SWEEP, budget=2.0)
    assert time.monotonic() - started < 15
    assert report.pending is not None
    assert report.published == 2
    assert {run.info.status for run in fits_of(destination)} == {"FINISHED", "FAILED"}
    assert tracking.publish_fits([batch], destination, SWEEP).published == 4
    assert_complete(destination)


def test_what_a_store_gets_done_puts_off_the_end(
    destination: Destination, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = Patience(0.2)
    patience.allow(10)
    time.sleep(0.5)
    patience.check()
    allowed: list[int] = []
    monkeypatch.setattr(Patience, "allow", lambda _, n_requests: allowed.append(n_requests))
    assert tracking.publish_fits([batch], destination, SWEEP).published == 6
    assert allowed == [1, 3, 3, 3, 3, 3, 3]


def test_neither_what_hangs_nor_what_closes_it_outlasts_the_patience() -> None:
    started, reached = time.monotonic(), []

    def hang() -> None:
        try:
            time.sleep(300)
        except Exception:  # as MLflow does with what goes wrong
            reached.append("taken for a failed request")
        finally:
            reached.append("closing")
            time.sleep(300)
            reached.append("closed")

    patience = Patience(0.5)
    with pytest.raises(OutOfTime), patience.enforced():
        hang()
    assert reached == ["closing"]
    assert 2 < time.monotonic() - started < 10


def test_own_work_costs_no_patience() -> None:
    patience = Patience(0.6)
    with patience.enforced():
        with patience.paused():
            time.sleep(1.5)
        patience.check()
    with pytest.raises(OutOfTime):
        Patience(-1).check()


def test_patience_changes_no_signal_for_good() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Patience(60).enforced():
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before


# ---------------------------------------------------------------- sweeps

CRITERIA = ("rank", "n_runs", "reconstruction_error", "cophenetic_correlation", "held_out_error")


def make_sweep(results: Path, name: str = SWEEP, reason: str = "It predicts best.") -> SweepFolder:
    root = results / name
    settings = {
        "name": name,
        "ranks": [1, 2, 3],
        "seeds": 4,
        "prepare": [],
        "factorize": {"loss": "frobenius", "max_iter": 500},
        "tracking": {"enabled": True, "uri": "http://ann:s3cret@host:1/", "experiment": None},
        "select": {"note": "x" * 9000},
    }
    provenance = {**run_provenance(), "settings": settings}
    values = np.ones((6, 5))
    ids = np.array([f"f{i}" for i in range(6)]), np.array([f"s{i}" for i in range(5)])
    store.write_matrix(root / "prepared/matrix.npz", LabelledMatrix(values, *ids), provenance)
    info = {
        "sha256": "a" * 64,
        "shape": [6, 5],
        "storage": "dense",
        "dtype": "float64",
        "density": 1.0,
        "n_missing": 0,
        "source": {"path": "resources/tiny.tsv", "sha256": "b" * 64},
        "provenance": provenance,
    }
    store.write_json(root / "prepared/matrix.json", info)
    for rank in (1, 2, 3):
        write_batch(root, make_runs(rank, [0, 1, 2, 3]))
    rows = [(1, 4, 0.5, None, 0.6), (2, 4, 0.3, 0.99, 0.35), (3, 4, 0.2, 0.8, np.nan)]
    store.write_table(root / "selection/criteria.tsv", CRITERIA, rows)
    decision = {
        "ranks": [1, 2, 3],
        "recommended_rank": 2,
        "decision": "rank",
        "headline": "Rank 2: the samples group alike.",
        "confidence": "high",
        "reasons": [reason],
        "runners_up": [{"rank": 3, "reason": "one component | is not found again"}],
        "warnings": ["Five samples are few."],
        "classic_rules": {},
        "provenance": provenance,
    }
    store.write_json(root / "selection/recommendation.json", decision)
    store.write_table(root / "solution/W.tsv", ("feature", "c1"), [("f0", 1.0)])
    for figure in ("figures/survey.svg", "figures/survey.png", "report.html"):
        store.write_bytes(root / figure, b"<p>drawn</p>")
    return SweepFolder(root)


def test_a_sweep_becomes_one_run(destination: Destination, tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "results")
    assert tracking.publish_sweep(folder, destination) == PublishReport(published=1)
    (run,) = runs_of(destination, destination.sweeps)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == SWEEP

    assert history(destination, run, "reconstruction_error") == [(1, 0.5), (2, 0.3), (3, 0.2)]
    assert history(destination, run, "cophenetic_correlation") == [(2, 0.99), (3, 0.8)]
    assert history(destination, run, "held_out_error") == [(1, 0.6), (2, 0.35)]
    assert run.data.metrics["recommended_rank"] == 2

    assert run.data.params["factorize.max_iter"] == "500"
    assert run.data.params["ranks"] == "1, 2, 3"
    assert len(run.data.params["select.note"]) == records.MAX_PARAM
    assert "s3cret" not in json.dumps(run.data.params)

    tags = run.data.tags
    assert (tags["recommended_rank"], tags["decision"], tags["confidence"]) == ("2", "rank", "high")
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "tiny.tsv"
    assert data.dataset.digest == "a" * 12
    assert json.loads(data.dataset.profile)["n_features"] == 6

    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    published = {
        path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()
    }
    assert published == {
        "report.html",
        "figures/survey.svg",
        "figures/survey.png",
        "selection/criteria.tsv",
        "selection/recommendation.json",
        "solution/W.tsv",
    }


def test_the_note_tells_the_decision_and_where_to_look(
    destination: Destination, tmp_path: Path
) -> None:
    folder = make_sweep(tmp_path / "results")
    tracking.publish_sweep(folder, destination)
    (run,) = runs_of(destination, destination.sweeps)
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("Rank 2: the samples group alike.")
    assert "- It predicts best." in note
    assert "| 3 | one component \\| is not found again |" in note
    assert "- Five samples are few." in note
    connected = records.connect(destination)
    page = f"(#/experiments/{connected.sweeps}/runs/{run.info.run_id}"
    for tab in ("artifacts/report.html", "model-metrics"):
        assert f"{page}/{tab}?workflowType=machine_learning)" in note
    assert f"(#/experiments/{connected.fits}/runs?workflowType=machine_learning" in note


def saved_views(destination: Destination, experiment: str) -> dict[str, dict[str, Any]]:
    """States of the views of an experiment, by the key that opens them."""
    tags = records.connect(destination).client.get_experiment(experiment).tags
    prefix = "mlflow.sharedViewState."
    return {
        key.removeprefix(prefix): json.loads(json.loads(value)["state"])
        for key, value in tags.items()
        if key.startswith(prefix)
    }


def test_links_open_views_that_exist(destination: Destination, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tracking.publish_sweep(make_sweep(tmp_path / "results", name), destination)
    connected = records.connect(destination)
    opened = {
        re.findall(r"viewStateShareKey=([\w-]+)", path)[0]: experiment
        for experiment in (connected.sweeps, connected.fits)
        for path in links(destination, connected, 5001)
        if f"experiments/{experiment}/runs?" in path
    }
    assert len(opened) == 2 + 2 + 1  # all sweeps, all fits, the fits of two, one comparison
    for key, experiment in opened.items():
        assert key in saved_views(destination, experiment)
    filters = {
        state.get("searchFilter") for state in saved_views(destination, connected.fits).values()
    }
    assert filters >= {"tags.sweep = 'one'", "tags.sweep = 'two'"}


def test_sweeps_of_one_file_can_be_compared_whatever_was_done_to_it(
    destination: Destination, tmp_path: Path
) -> None:
    tracking.publish_sweep(make_sweep(tmp_path / "results", "plain"), destination)
    other = make_sweep(tmp_path / "results", "prepared")
    info = other.matrix_info
    store.write_json(other.root / "prepared/matrix.json", {**info, "sha256": "b" * 64})
    tracking.publish_sweep(SweepFolder(other.root), destination)
    connected = records.connect(destination)
    text = "\n".join(links(destination, connected, 5001))
    assert "compare plain, prepared" in text
    views = saved_views(destination, connected.sweeps)
    (query,) = [v["searchFilter"] for v in views.values() if "searchFilter" in v]
    found = connected.client.search_runs([connected.sweeps], query)
    assert {run.data.tags["sweep"] for run in found} == {"plain", "prepared"}


def test_a_view_that_a_person_changed_stays(destination: Destination, tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "results")
    tracking.publish_sweep(folder, destination)
    connected = records.connect(destination)
    (key,) = [
        key
        for key in connected.client.get_experiment(connected.fits).tags
        if "nmfcore-sweep-" in key
    ]
    connected.client.set_experiment_tag(connected.fits, key, "mine")
    tracking.publish_sweep(make_sweep(tmp_path / "results", reason="Another."), destination)
    assert connected.client.get_experiment(connected.fits).tags[key] == "mine"


def test_a_sweep_that_declines_is_published(destination: Destination, tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "results")
    declined = {**folder.recommendation, "recommended_rank": None, "decision": "no_structure"}
    declined |= {"reasons": [], "runners_up": [], "warnings": []}
    store.write_json(folder.root / "selection/recommendation.json", declined)
    report = tracking.publish_sweep(SweepFolder(folder.root), destination)
    assert report == PublishReport(published=1)
    (run,) = runs_of(destination, destination.sweeps)
    assert run.data.tags["recommended_rank"] == "none"
    assert "recommended_rank" not in run.data.metrics


def test_a_sweep_is_published_again_only_if_it_changed(
    destination: Destination, tmp_path: Path
) -> None:
    folder = make_sweep(tmp_path / "results")
    tracking.publish_sweep(folder, destination)
    assert tracking.publish_sweep(folder, destination) == PublishReport(skipped=1)
    changed = make_sweep(tmp_path / "results", reason="It is found again.")
    report = tracking.publish_sweep(changed, destination)
    assert report == PublishReport(published=1, replaced=1)
    (run,) = runs_of(destination, destination.sweeps)
    assert "It is found again." in run.data.tags["mlflow.note.content"]


def test_the_workflows_own_sweep_is_published_whole(
    destination: Destination, finished_sweep: Path
) -> None:
    folder = SweepFolder(finished_sweep)
    n_fits = len(folder.ranks) * folder.settings["seeds"]
    report = tracking.publish_folder(finished_sweep, destination)
    assert report == PublishReport(published=n_fits + 1)
    fits = Counter(run.data.tags["rank"] for run in fits_of(destination))
    assert fits == {str(rank): folder.settings["seeds"] for rank in folder.ranks}
    (run,) = runs_of(destination, destination.sweeps)
    for criterion in set(folder.criteria) - {"rank"}:
        curve = folder.criteria.set_index("rank")[criterion].dropna()
        assert history(destination, run, criterion) == list(curve.items()), criterion
    assert run.inputs.dataset_inputs[0].dataset.digest == folder.matrix_info["sha256"][:12]


def test_an_unfinished_sweep_is_pending(destination: Destination, tmp_path: Path) -> None:
    report = tracking.publish_sweep(SweepFolder(tmp_path / "results/none"), destination)
    assert report.pending is not None
    assert "run the sweep first" in report.pending


# ---------------------------------------------------------------- the store


def test_a_deleted_experiment_is_restored(destination: Destination, batch: Path) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    connected = records.connect(destination)
    connected.client.delete_experiment(connected.fits)
    assert tracking.publish_fits([batch], destination, SWEEP) == PublishReport(skipped=6)
    assert_complete(destination)


def test_runs_that_come_back_with_their_experiment_are_no_duplicates(
    destination: Destination, tmp_path: Path, batch: Path
) -> None:
    tracking.publish_fits([batch], destination, SWEEP)
    again = write_batch(tmp_path / "results" / SWEEP, make_runs(3, list(range(6))), max_iter=900)
    tracking.publish_fits([again], destination, SWEEP)
    connected = records.connect(destination)
    connected.client.delete_experiment(connected.fits)
    assert tracking.publish_fits([again], destination, SWEEP).skipped == 6
    assert_complete(destination)


def test_four_cold_writers_at_once(tmp_path: Path) -> None:
    results = tmp_path / "results"
    files = [write_batch(results / SWEEP, make_runs(rank, [0, 1])) for rank in (1, 2, 3, 4)]
    code = (
        "import sys; from nmfcore.adapters.tracking import track_fits;"
        "r = track_fits(sys.argv[1:2], None, None, sys.argv[2], 'tiny', sys.argv[3]);"
        "sys.exit(r.pending)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file), str(results), str(tmp_path / f"{i}.json")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, file in enumerate(files)
    ]
    messages = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, messages
    fits = fits_of(Destination.of(None, None, results))
    assert Counter(run.data.tags["rank"] for run in fits) == dict.fromkeys("1234", 2)
    assert {run.info.status for run in fits} == {"FINISHED"}
    assert not list((results / "mlflow").glob("*.tmp*"))


def test_a_store_that_is_no_store_is_pending_at_once(tmp_path: Path, batch: Path) -> None:
    destination = Destination.of(None, None, tmp_path / "broken")
    destination.home.mkdir(parents=True)
    (destination.home / "mlflow.db").write_text("no database " * 500)
    started = time.monotonic()
    report = tracking.publish_fits([batch], destination, SWEEP)
    assert report.pending is not None
    assert "not a database" in report.pending
    assert time.monotonic() - started < 5


def test_an_older_schema_is_upgraded_after_a_copy(
    initialised: Path, tmp_path: Path, batch: Path
) -> None:
    from mlflow.exceptions import MlflowException

    destination = Destination.of(None, None, tmp_path / "old")
    shutil.copytree(initialised / "mlflow", destination.home)
    import mlflow.tracking.client as client_module

    outdated = iter([True])
    original = client_module.MlflowClient.__init__

    def once_outdated(self: Any, *arguments: Any, **options: Any) -> None:
        if next(outdated, False):
            raise MlflowException("Detected out-of-date database schema (found version x)")
        original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_module.MlflowClient, "__init__", once_outdated)
        report = tracking.publish_fits([batch], destination, SWEEP)
    assert report == PublishReport(published=6)
    assert (destination.home / "mlflow.db.before-upgrade").is_file()


# ---------------------------------------------------------------- servers that fail


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def hung_server() -> Iterator[int]:
    """Accept connections, and never answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


@pytest.fixture
def half_dead_server() -> Iterator[int]:
    """Say that all is well, and answer nothing else."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                over.wait(30)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    over.set()
    server.shutdown()
    server.server_close()


def track(port: int, batch: Path, tmp_path: Path) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    uri = f"http://sesame:s3cret@127.0.0.1:{port}"
    marker = tmp_path / "marker.json"
    tracking.track_fits([batch], uri, "mine", tmp_path / "results", SWEEP, marker)
    return store.read_json(marker), time.monotonic() - started


def assert_pending(marker: dict[str, Any], seconds: float) -> None:
    assert seconds < 20  # where MLflow by itself would try for minutes
    assert marker["published"] == 0
    assert "s3cret" not in json.dumps(marker)
    assert "sesame" not in marker["pending"]
    assert "publish later with: python -m nmfcore.adapters.tracking publish" in marker["pending"]
    assert "--uri 'http://***@127.0.0.1" in marker["pending"]


def test_a_dead_server_is_pending(batch: Path, tmp_path: Path) -> None:
    marker, seconds = track(closed_port(), batch, tmp_path)
    assert_pending(marker, seconds)
    assert "refused" in marker["pending"]


def test_a_hung_server_is_pending(hung_server: int, batch: Path, tmp_path: Path) -> None:
    assert_pending(*track(hung_server, batch, tmp_path))


def test_a_server_that_hangs_later_is_pending(
    half_dead_server: int, batch: Path, tmp_path: Path
) -> None:
    marker, seconds = track(half_dead_server, batch, tmp_path)
    assert_pending(marker, seconds)
    assert "is too slow, or hangs" in marker["pending"]


def test_a_request_that_times_out_is_pending(
    half_dead_server: int, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    marker, seconds = track(half_dead_server, batch, tmp_path)
    assert_pending(marker, seconds)
    assert "does not answer in time" in marker["pending"]


def test_a_dead_database_server_is_pending(tmp_path: Path) -> None:
    uri = f"postgresql://ann:s3cret@127.0.0.1:{closed_port()}/mlflow"
    report = tracking.initialise(Destination.of(uri, None, tmp_path))
    assert report.pending is not None
    assert "s3cret" not in report.pending


# ---------------------------------------------------------------- addresses and commands


def test_the_default_store_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"sqlite:///{tmp_path}/results/mlflow/mlflow.db"
    assert tracking.tracking_uri(None, Path("results")) == expected
    assert tracking.tracking_uri("sqlite:///x.db", Path("results")) == f"sqlite:///{tmp_path}/x.db"
    assert tracking.tracking_uri("http://host:5000", Path("results")) == "http://host:5000"


@pytest.mark.parametrize(
    ("text", "uri", "expected"),
    [
        ("http://host:5000/x", "", "http://host:5000/x"),
        ("at https://ann:p@ss/w@host/x: no", "", "at https://***@host/x: no"),
        ("https://host/?token=abc&run=1", "", "https://host/?token=***&run=1"),
        ("wrong password s3 cret", "mysql://ann:s3%20cret@host/db", "wrong password ***"),
        ("sqlite:////data/mlflow.db", "", "sqlite:////data/mlflow.db"),
    ],
)
def test_redaction(text: str, uri: str, expected: str) -> None:
    assert tracking.redact(text, uri) == expected


def test_a_hidden_address_is_found_again_here_and_in_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMFCORE_TRACKING_URI", "")
    assert tracking.hide(None) is None
    assert tracking.hide("http://host:5000") == "http://host:5000"
    whole = "http://ann:s3cret@host:5000/?token=abc"
    shown = tracking.hide(whole)
    assert shown == "http://***@host:5000/?token=***"
    assert tracking.hide(shown) == shown
    assert Destination.of(shown, None, tmp_path).uri == whole
    assert Destination.of("http://host:5000", None, tmp_path).uri == "http://host:5000"
    code = "import sys; from nmfcore.adapters.tracking import tracking_uri as t; print(t(sys.argv[1], None))"
    job = subprocess.run([sys.executable, "-c", code, shown], stdout=subprocess.PIPE, text=True)
    assert job.stdout.strip() == whole


def test_the_command_publishes_a_whole_folder(
    initialised: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sweep(initialised, "whole")
    uri = tracking.tracking_uri(None, initialised)
    command = ["publish", str(folder.root), "--uri", uri, "--experiment", "whole"]
    assert main(command) == 0
    assert capsys.readouterr().out == "whole: 13 published, 0 already there\n"
    assert main(command) == 0
    assert capsys.readouterr().out == "whole: 0 published, 13 already there\n"


def test_the_command_names_what_is_pending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sweep(tmp_path / "results")
    uri = f"http://sesame:s3cret@127.0.0.1:{closed_port()}"
    assert main(["publish", str(folder.root), "--uri", uri]) == 1
    message = capsys.readouterr().err
    assert "pending" in message
    assert "s3cret" not in message
    assert main(["publish", str(tmp_path / "nothing")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_markers_tell_what_the_store_holds(initialised: Path, tmp_path: Path, batch: Path) -> None:
    marker = tmp_path / "markers/runs.json"
    for _ in range(2):
        tracking.track_fits([batch], None, tmp_path.name, initialised, SWEEP, marker)
        place = {"uri": None, "experiment": tmp_path.name}
        assert store.read_json(marker) == {"published": 6, "pending": None, **place}
    folder = make_sweep(tmp_path / "results")
    tracking.track_sweep(folder, None, tmp_path.name, initialised, marker)
    assert store.read_json(marker) == {"published": 1, "pending": None, **place}


def test_the_command_publishes_where_the_sweep_was_told_to(
    tmp_path: Path, initialised: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sweep(tmp_path / "results")
    elsewhere = tracking.tracking_uri(None, initialised)
    tracking.track_sweep(
        folder, elsewhere, "told", tmp_path / "results", folder.root / "tracking/sweep.json"
    )
    assert main(["publish", str(folder.root)]) == 0
    assert capsys.readouterr().out == "tiny: 12 published, 1 already there\n"
    assert not (tmp_path / "results/mlflow/mlflow.db").exists()


def test_an_address_whose_secret_was_not_kept_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sweep(tmp_path / "results")
    uri = f"http://sesame:s3cret@127.0.0.1:{closed_port()}"
    marker = folder.root / "tracking/sweep.json"
    tracking.track_sweep(folder, uri, None, tmp_path / "results", marker)
    assert "s3cret" not in marker.read_text()
    assert main(["publish", str(folder.root)]) == 1
    assert "name the whole address with --uri" in capsys.readouterr().err


# ---------------------------------------------------------------- beside a running sweep


def test_batches_are_published_while_the_sweep_runs(
    destination: Destination, tmp_path: Path
) -> None:
    root = tmp_path / "results" / SWEEP
    looks = iter(range(100))
    seen: list[int] = []

    def is_wanted() -> bool:
        """Let a batch finish before the first look, another one before the third."""
        look = next(looks)
        seen.append(len(fits_of(destination)) if look else 0)
        if look in (0, 2):
            write_batch(root, make_runs(2 + look, [0, 1, 2]))
        if look == 3:  # not complete: its table is still missing
            write_batch(root, make_runs(7, [0])).with_suffix(".tsv").unlink()
        return look < 5

    follow(root, destination, is_wanted, first=0, every=0.01)
    assert seen == [0, 3, 3, 6, 6, 6]
    lines = (root / "logs/track/following.log").read_text().splitlines()
    assert lines == ["3 published, 0 already there"] * 2


def test_what_could_not_be_published_is_tried_again(tmp_path: Path, batch: Path) -> None:
    dead = Destination.of(f"http://127.0.0.1:{closed_port()}", None, tmp_path / "results")
    looks = iter([True, True, False])
    follow(tmp_path / "results" / SWEEP, dead, lambda: next(looks), first=0, every=0.01)
    log = tmp_path / "results" / SWEEP / "logs/track/following.log"
    assert log.read_text().count("pending: the tracking store") == 2


def test_short_sweeps_are_left_alone(destination: Destination, batch: Path) -> None:
    looks = iter([True, False])
    follow(batch.parents[2], destination, lambda: next(looks))
    assert fits_of(destination) == []


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    root = tmp_path / "results" / SWEEP
    code = (
        "import sys, time; from nmfcore.adapters.tracking.following import start_following;"
        "follower = start_following(sys.argv[1], True); time.sleep(10);"
        "print(follower.pid, follower.poll(), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
        assert sweep.stdout is not None
        follower, ended = sweep.stdout.readline().split()
        assert ended == "None", "it ended before the sweep"
        status = Path(f"/proc/{follower}/status")
        sweep.kill()
    deadline = time.monotonic() + 60
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "it outlived the sweep"
        time.sleep(0.1)
    assert not root.exists(), "nothing was to be written yet"


def test_nothing_is_started_without_tracking(tmp_path: Path) -> None:
    assert start_following(tmp_path, enabled=False, uri=None, experiment=None) is None


# ---------------------------------------------------------------- the dashboard


def test_the_dashboard_opens_the_right_views(destination: Destination, tmp_path: Path) -> None:
    tracking.publish_sweep(make_sweep(tmp_path / "results"), destination)
    connected = records.connect(destination)
    text = "\n".join(links(destination, connected, 5001))
    for experiment in (connected.sweeps, connected.fits):
        assert f"http://127.0.0.1:5001/#/experiments/{experiment}/runs?workflowType=mac" in text
    assert "tiny: rank 2 (high)" in text
    command = server_command(destination, 5001)
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_a_dashboard_needs_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", str(tmp_path)]) == 1
    assert "no tracking store yet" in capsys.readouterr().err


def test_a_persons_own_switches_stay_but_no_address_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    records.prepare_environment()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, nmfcore.adapters.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
