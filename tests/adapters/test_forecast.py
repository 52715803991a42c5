"""The forecast: the jobs are those that run, the room is that which is taken, and time adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import jobs, run_sweep

from nmfcore.adapters import forecast, store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.forecast import Calibration

TIMES = Calibration(
    ranks=(1, 3),
    fits=(2.0, 4.0),
    validation=(10.0, 30.0),
    summary=(1.0, 1.0),
    solution=(1.0, 3.0),
    held_out=5.0,
    start=2.0,
    iterations=50.0,
    peak=3e8,
)


def config_of(**changes: Any) -> dict[str, Any]:
    config = {"name": "x", "input": {"path": "x.tsv"}, "ranks": [1, 2, 3], "seeds": 4, **changes}
    return load_config(config, forecast.SCHEMA)


def predicted(cores: int = 1, times: Calibration = TIMES, **changes: Any) -> forecast.Forecast:
    return forecast.forecast((100, 20), 16_000.0, config_of(**changes), times, cores)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tracking": {"enabled": False}, "factorize": {"seeds_per_job": 2}},
        {"validate": {"cross_validation": None, "permutation": {}, "bi_cross_validation": {}}},
    ],
    ids=["default", "small batches", "other evidence"],
)
def test_the_jobs_are_those_that_snakemake_would_run(
    tmp_path: Path, small_config: dict[str, Any], changes: dict[str, Any]
) -> None:
    config = {**small_config, **changes}
    planned = jobs(run_sweep(tmp_path, config, "--dry-run"))
    complete = load_config(config, forecast.SCHEMA)
    assert forecast.forecast((40, 24), 7680.0, complete, TIMES, 2).jobs == planned


def test_of_a_range_of_seeds_the_most_are_counted_and_a_decision_after_each_stage() -> None:
    adaptive = predicted(seeds={"min": 2, "max": 8, "until": 0.05})
    fixed = predicted(seeds=8)
    assert adaptive.jobs["factorize"] == 3 * 3
    assert adaptive.jobs["decide_seeds"] == 3 * 2
    assert adaptive.disk == fixed.disk


def test_time_is_the_work_of_every_rank_and_the_start_of_every_job() -> None:
    seconds = predicted(tracking={"enabled": False}).seconds
    assert seconds["factorize"] == 2 + 3 + 4 + 3 * 2
    assert seconds["validate"] == 10 + 20 + 30 + 3 * 2
    assert seconds["solve"] == 5 + 2
    assert seconds["select"] == 2


def test_more_cores_help_until_the_longest_job_is_what_takes_time() -> None:
    walls = [predicted(cores).wall for cores in (1, 2, 3, 64, 128)]
    assert walls[0] == pytest.approx(sum(predicted(1).seconds.values()))
    assert walls[0] > walls[1] > walls[2] > walls[3] == walls[4]
    assert walls[3] > 30 + 2  # the cross-validation of the last rank


def test_permutations_cost_as_many_times_the_fits() -> None:
    some = predicted(validate={"permutation": {"permutations": 7}}).seconds
    assert some["permute"] == 7 * (2 + 3 + 4) + 3 * 2


def test_large_batches_take_memory_and_many_samples_disk() -> None:
    off = {"enabled": False}
    small, large = (predicted(seeds=seeds, tracking=off) for seeds in (5, 50))
    assert small.memory == 3e8
    assert predicted(seeds=5).memory == 4e8, "publishing takes more"
    a_run = 3 * (100 + 20) * 4
    # 50 in float64 beside their float32, start and end, and 10 of them in products; 5 that are iterated.
    assert large.memory - small.memory == (50 * (2 + 2) + 10 * 2 - 5 * (2 + 5)) * a_run
    wide = forecast.forecast((100, 3000), 2.4e6, config_of(), TIMES, 1)
    assert wide.disk > 3 * 8 * 3000**2
    sampled = forecast.forecast((100, 30_000), 2.4e7, config_of(), TIMES, 1)
    assert sampled.disk < 1e9, "beyond the limit no consensus of all pairs is kept"


def test_a_real_sweep_takes_the_room_that_was_said(
    finished_sweep: Path, small_config: dict[str, Any]
) -> None:
    V, _ = store.read_matrix(finished_sweep / "prepared/matrix.npz")
    config = load_config({**small_config, "tracking": {"enabled": False}}, forecast.SCHEMA)
    said = forecast.forecast(V.shape, forecast.matrix_bytes(V), config, TIMES, 1).disk
    files = [path for path in finished_sweep.rglob("*") if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    assert taken / 2 < said < 2 * taken


def test_calibration_times_every_stage_at_three_ranks(
    finished_sweep: Path, small_config: dict[str, Any]
) -> None:
    V, _ = store.read_matrix(finished_sweep / "prepared/matrix.npz")
    times = forecast.calibrate(V, load_config(small_config, forecast.SCHEMA))
    assert times.ranks == (1, 3, 4)
    for stage in ("fits", "validation", "summary", "solution"):
        assert len(getattr(times, stage)) == 3
        assert min(getattr(times, stage)) > 0
    assert times.start > 0.1
    assert 5e7 < times.peak < 1e11
    without = {**small_config, "validate": {"cross_validation": None}}
    bare = forecast.calibrate(V, load_config(without, forecast.SCHEMA))
    assert bare.validation == (0.0, 0.0, 0.0)
    assert bare.held_out == 0


def test_the_command_says_it_in_words(
    finished_sweep: Path,
    small_config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(small_config))
    monkeypatch.setattr(forecast, "calibrate", lambda V, config: replace(TIMES, start=3600.0))
    monkeypatch.chdir(finished_sweep.parents[1])
    assert forecast.main([str(file), "--cores", "4"]) == 0
    said = capsys.readouterr().out
    assert "factorize             4" in said
    assert " h on 4 cores" in said
    monkeypatch.chdir(tmp_path)
    assert forecast.main([str(file)]) == 1
    assert "run the sweep first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"), [(5.2, "5 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations_are_written_for_people(seconds: float, words: str) -> None:
    assert forecast.duration(seconds) == words
