"""Many jobs that publish at once to MLflow on PostgreSQL: nothing is lost, nothing doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import services, team_tracking


@pytest.mark.slow
def test_jobs_that_publish_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    try:
        lines = team_tracking.measure(tmp_path, n_jobs=3, n_runs=12)
    except services.MissingServiceError as missing:
        pytest.skip(str(missing))
    rows = [line.split(" | ")[1:5] for line in lines[2:]]
    assert [row[:2] for row in rows] == [["12", "0"]] * 4
    # A request that a choking server answers after minutes leaves a run of its own, until runs are published again.
    assert rows[-1] == ["12", "0", "0", "0"]
