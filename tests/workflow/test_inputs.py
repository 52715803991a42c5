"""Folders and ratings as input of the workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from conftest import jobs, run_sweep
from PIL import Image

from nmfcore.adapters import store


def test_a_change_in_a_folder_is_seen(tmp_path: Path, untracked_config: dict[str, Any]) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    random = np.random.default_rng(0)

    def draw(name: str) -> None:
        Image.fromarray(random.integers(1, 255, (3, 4), dtype=np.uint8)).save(folder / name)

    for name in ("a.png", "b.png"):
        draw(name)
    config = {**untracked_config, "input": {"path": "faces"}}
    matrix = "results/small/prepared/matrix.npz"
    options = ("--until", "prepare")
    assert jobs(run_sweep(tmp_path, config, *options)) == {"prepare": 1}
    assert store.read_matrix(tmp_path / matrix)[0].shape == (12, 2)
    assert not jobs(run_sweep(tmp_path, config, *options))
    draw("c.png")
    assert jobs(run_sweep(tmp_path, config, *options)) == {"prepare": 1}
    assert store.read_matrix(tmp_path / matrix)[0].shape == (12, 3)
    info = store.read_json(tmp_path / "results/small/prepared/matrix.json")
    assert info["source"]["format"] == "images"


def test_ratings_are_missing_where_nobody_rated(
    tmp_path: Path, untracked_config: dict[str, Any]
) -> None:
    random = np.random.default_rng(1)
    taste = random.gamma(1, size=(30, 2)) @ random.gamma(1, size=(2, 20))
    seen = random.random(taste.shape) < 0.5
    lines = [f"u{j},i{i},{taste[i, j]:.3f}" for i, j in np.argwhere(seen)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating", *lines]))
    config = {
        **untracked_config,
        "input": {"path": "ratings.csv", "format": "ratings"},
        "ranks": [1, 2, 3],
    }
    done = run_sweep(tmp_path, config)
    assert done.returncode == 0, done.stdout
    results = store.SweepFolder(tmp_path / "results/small")
    assert results.matrix.is_sparse
    assert results.matrix_info["n_missing"] == 600 - seen.sum()
    assert results.recommendation["recommended_rank"] == 2
    rows = [int(name[1:]) for name in results.matrix.feature_ids]
    columns = [int(name[1:]) for name in results.matrix.sample_ids]
    fitted = results.W.to_numpy() @ results.H.to_numpy()
    hidden = ~seen[np.ix_(rows, columns)]
    truth = taste[np.ix_(rows, columns)]
    error = np.linalg.norm((fitted - truth)[hidden]) / np.linalg.norm(truth[hidden])
    assert error < 0.05  # what was never seen is predicted
