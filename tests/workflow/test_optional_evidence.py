"""Evidence that is off by default."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from conftest import run_sweep

from nmfcore.adapters import store


@pytest.fixture(scope="module")
def with_everything(
    tmp_path_factory: pytest.TempPathFactory, small_config: dict[str, object]
) -> Path:
    project = tmp_path_factory.mktemp("evidence") / "project"
    config = {
        **small_config,
        "tracking": {"enabled": False},
        "validate": {
            "cross_validation": {"folds": 4},
            "permutation": {"permutations": 19},
            "bi_cross_validation": {},
        },
    }
    done = run_sweep(project, config)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "results/small"


def test_block_errors_and_their_rule_are_there(with_everything: Path) -> None:
    criteria = pd.read_csv(with_everything / "selection/criteria.tsv", sep="\t")
    errors = criteria["bi_cross_validation_error"]
    assert errors[1] > 2 * errors[2]  # rank 3 is planted
    decision = store.read_json(with_everything / "selection/recommendation.json")
    assert decision["recommended_rank"] == 3
    by_blocks = decision["classic_rules"]["bi-cross-validation, minimum"]
    assert by_blocks == criteria["rank"][errors.idxmin()]


def test_the_permutation_null_speaks_in_the_reasons(with_everything: Path) -> None:
    decision = store.read_json(with_everything / "selection/recommendation.json")
    (reason,) = (r for r in decision["reasons"] if "permuted matrices" in r)
    assert "19 permuted matrices" in reason
    summary = store.read_json(with_everything / "ranks/rank-3/summary.json")
    assert len(summary["null_losses"]) == 19
    assert min(summary["null_losses"]) > summary["loss"]
