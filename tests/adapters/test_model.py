"""The MLflow model: code and a sealed npz, loaded by alias in a fresh process, on shuffled and unseen samples."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from test_stages import Sweep, two_groups

from nmfcore.adapters import store
from nmfcore.adapters.model import pack_model
from nmfcore.adapters.tracking import Destination
from nmfcore.adapters.tracking.models import CHOSEN, RECOMMENDED, publish_model
from nmfcore.adapters.tracking.patience import Patience
from nmfcore.adapters.tracking.records import connect, ended_run

PREDICT = """
import json, sys
import mlflow, pandas as pd
uri, model, samples, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
loaded = mlflow.pyfunc.load_model(model)
result = loaded.predict(pd.read_csv(samples, sep="\\t", index_col=0).T)
result.to_csv(out, sep="\\t")
import nmfcore
print(json.dumps({"notices": result.attrs["notices"], "library": nmfcore.__file__}))
"""


def finished(root: Path, **changes: object) -> store.SweepFolder:
    return Sweep(root, two_groups(), **changes).run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> store.SweepFolder:
    return finished(tmp_path_factory.mktemp("results") / "x")


@pytest.fixture(scope="module")
def registered(folder: store.SweepFolder) -> Destination:
    """A store in which the model is registered."""
    destination = Destination.of(None, None, folder.root.parent)
    assert register(folder, destination)
    return destination


def register(folder: store.SweepFolder, destination: Destination) -> bool:
    """Publish the model of a sweep under a run of its own; whether that made a version."""
    tracking = connect(destination)
    with ended_run(tracking.client, tracking.sweeps, folder.name, {}, 0, 1) as run_id:
        return publish_model(tracking.client, folder, run_id, Patience(math.inf))


def predict(
    destination: Destination, model: str, samples: pd.DataFrame, where: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Load the model in a fresh process that has nothing of this project, and predict."""
    samples.to_csv(where / "samples.tsv", sep="\t")
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, destination.uri, model, "samples.tsv", "out.tsv"],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=300,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return pd.read_csv(where / "out.tsv", sep="\t", index_col=0), told["notices"]


def training_samples(folder: store.SweepFolder) -> pd.DataFrame:
    table = pd.read_csv(folder.root / "table.tsv", sep="\t", index_col=0)
    return table.drop(index="g4")  # all zero, so no part of the model


@pytest.mark.slow
def test_by_its_alias_it_reproduces_the_training_samples(
    folder: store.SweepFolder, registered: Destination, tmp_path: Path
) -> None:
    model = f"models:/{folder.name}@{RECOMMENDED}"
    out, notices = predict(registered, model, training_samples(folder), tmp_path)
    expected = folder.H.T.loc[out.index]
    np.testing.assert_allclose(
        out[expected.columns], expected, rtol=1e-5, atol=1e-5 * expected.to_numpy().max()
    )
    errors = {line["sample"]: line["error"] for line in folder.solution["assignments"]}
    for sample, error in out["reconstruction_error"].dropna().items():
        assert error == pytest.approx(errors[str(sample)], rel=1e-5)
    assert notices == []


@pytest.mark.slow
def test_it_takes_shuffled_counts_of_unseen_samples_with_missing_features(
    folder: store.SweepFolder, registered: Destination, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    names = folder.W.drop(index="g4").index
    unseen = pd.DataFrame(random.poisson(40, (20, 3)), index=names, columns=["n1", "n2", "n3"])
    given = unseen.sample(frac=1, random_state=1).drop(index=["g0", "g11"])
    out, notices = predict(registered, f"models:/{folder.name}@{RECOMMENDED}", given, tmp_path)
    kept = unseen.drop(index=["g0", "g11"])
    for sample in unseen.columns:
        expected, _ = nnls(folder.W.loc[kept.index].to_numpy(), kept[sample].to_numpy())
        np.testing.assert_allclose(out.loc[sample].iloc[:-1], expected, rtol=1e-5)
    assert any("2 of the model's 20 features are missing (g0, g11)" in said for said in notices)


def test_it_is_registered_once_for_one_solution(
    folder: store.SweepFolder, registered: Destination
) -> None:
    assert not register(folder, registered)
    client = connect(registered).client
    assert len(client.search_model_versions(f"name='{folder.name}'")) == 1
    held = client.get_registered_model(folder.name)
    assert {name: str(v) for name, v in held.aliases.items()} == {RECOMMENDED: "1"}


def test_an_alias_that_a_crash_left_unset_is_set_by_the_next_publishing(
    folder: store.SweepFolder, registered: Destination
) -> None:
    client = connect(registered).client
    client.delete_registered_model_alias(folder.name, RECOMMENDED)
    assert not register(folder, registered)
    assert client.get_registered_model(folder.name).aliases


def test_a_rank_that_the_user_chose_has_an_alias_of_its_own(tmp_path: Path) -> None:
    folder = finished(tmp_path / "y", select={"rank": 3})
    assert folder.recommendation["recommended_rank"] == 2
    assert folder.recommendation["decision"] == "chosen by the user"
    assert folder.solution["rank"] == 3
    destination = Destination.of(None, None, tmp_path)
    assert register(folder, destination)
    assert list(connect(destination).client.get_registered_model("y").aliases) == [CHOSEN]


def test_without_a_solution_there_is_no_model(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).gamma(2, size=(20, 15))
    folder = Sweep(tmp_path / "z", noise).run()
    assert folder.solution["rank"] is None
    destination = Destination.of(None, None, tmp_path)
    assert not register(folder, destination)
    assert connect(destination).client.search_registered_models() == []


def test_it_holds_code_and_numbers_but_no_pickle(folder: store.SweepFolder, tmp_path: Path) -> None:
    pack_model(folder, tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib")]
    assert (tmp_path / "model/code/nmfcore/solution.py").is_file()
    pinned = (tmp_path / "model/requirements.txt").read_text().split()
    assert f"numpy=={version('numpy')}" in pinned
    assert all("==" in line for line in pinned)
    described = (tmp_path / "model/MLmodel").read_text()
    assert "signature" in described
    assert (tmp_path / "model/input_example.json").is_file()
    arrays = store.read_npz(tmp_path / "model/artifacts/W.npz")
    assert arrays["W"].shape == (20, 2)


def test_it_does_not_tell_where_on_this_machine_it_was_made(
    folder: store.SweepFolder, tmp_path: Path
) -> None:
    pack_model(folder, tmp_path / "model")
    places = [str(tmp_path), str(Path(store.__file__).parents[2]), "nmfcore-"]
    for file in (tmp_path / "model").glob("*"):
        if file.is_file():
            said = file.read_text(encoding="utf-8")
            assert not [place for place in places if place in said], file.name
