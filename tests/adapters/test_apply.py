"""New samples in a file: matched by id, in words, on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from test_stages import Sweep, two_groups

from nmfcore.adapters import apply, store
from nmfcore.adapters.model import FittedComponents, read_components, read_fitted, write_fitted
from nmfcore.errors import ResultError
from nmfcore.solvers.penalties import Penalties


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> store.SweepFolder:
    return Sweep(tmp_path_factory.mktemp("sweep"), two_groups()).run()


def table(folder: store.SweepFolder) -> pd.DataFrame:
    """What the sweep read."""
    return pd.read_csv(folder.root / "table.tsv", sep="\t", index_col=0)


def applied(
    folder: store.SweepFolder, samples: pd.DataFrame, *options: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coefficients and the table of samples that the command writes."""
    new, out = folder.root / "new.tsv", folder.root / "out/H_new.tsv"
    samples.to_csv(new, sep="\t")
    assert apply.main([str(folder.root), str(new), "-o", str(out), *options]) == 0
    return (
        pd.read_csv(out, sep="\t", index_col=0),
        pd.read_csv(out.with_name("H_new.samples.tsv"), sep="\t", index_col=0),
    )


def test_the_training_samples_get_their_own_coefficients(folder: store.SweepFolder) -> None:
    H, samples = applied(folder, table(folder))
    np.testing.assert_allclose(H, folder.H, rtol=1e-6, atol=1e-6)
    assert H.columns.tolist() == folder.H.columns.tolist()
    expected = {line["sample"]: line for line in folder.solution["assignments"]}
    for sample, line in samples.iterrows():
        known = expected[str(sample)]
        assert (line["component"] if isinstance(line["component"], str) else None) == known[
            "component"
        ]
        if known["error"] is not None:
            assert line["reconstruction_error"] == pytest.approx(known["error"], rel=1e-6)


def test_one_sample_is_enough_and_other_ranks_can_be_named(folder: store.SweepFolder) -> None:
    H, _ = applied(folder, table(folder)[["s3"]], "--rank", "3")
    expected = folder.solution_at(3)[1]
    np.testing.assert_allclose(H["s3"], expected["H"][:, 3], rtol=1e-5, atol=1e-5)


def test_features_are_matched_by_id_whatever_their_order(
    folder: store.SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = table(folder).sample(frac=1, random_state=0)
    H, _ = applied(folder, shuffled)
    np.testing.assert_allclose(H, folder.H, rtol=1e-6, atol=1e-6)
    assert "matched by id" in capsys.readouterr().err


def test_samples_in_rows_are_read_too(folder: store.SweepFolder) -> None:
    H, _ = applied(folder, table(folder).T, "--orientation", "samples_by_features")
    np.testing.assert_allclose(H, folder.H, rtol=1e-6, atol=1e-6)


def test_missing_features_are_hidden_and_extra_ones_ignored(
    folder: store.SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = table(folder).drop(index=["g0", "g1", "g15"])
    fewer.loc["unheard_of"] = 1000.0
    H, _ = applied(folder, fewer)
    said = capsys.readouterr().err
    assert "3 of the model's 20 features are missing (g0, g1, g15)" in said
    # g4 was all zero in training, so the components know nothing of it.
    assert "2 features are not known to the model and were ignored (g4, unheard_of)" in said
    kept = [name for name in fewer.index if name not in ("g4", "unheard_of")]
    expected, _ = nnls(folder.W.loc[kept].to_numpy(), fewer.loc[kept, "s2"].to_numpy())
    np.testing.assert_allclose(H["s2"], expected, rtol=1e-5)


def test_too_few_features_are_an_error_in_words(
    folder: store.SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    table(folder).iloc[:8].to_csv(folder.root / "few.tsv", sep="\t")
    out = folder.root / "few_out.tsv"
    assert apply.main([str(folder.root), str(folder.root / "few.tsv"), "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "7 of the model's 20 features; at least 10 (50%) are needed" in said
    assert not out.exists()


def test_blank_cells_are_hidden_where_asked(folder: store.SweepFolder) -> None:
    holes = table(folder)
    holes.loc["g2", "s0"] = np.nan
    H, _ = applied(folder, holes, "--missing", "mask")
    seen = [name for name in holes.index if name != "g2"]
    expected, _ = nnls(folder.W.loc[seen].to_numpy(), holes.loc[seen, "s0"].to_numpy())
    np.testing.assert_allclose(H["s0"], expected, rtol=1e-4)


@pytest.mark.parametrize("missing", ["no such sweep", "no such rank"])
def test_what_does_not_exist_is_said(
    folder: store.SweepFolder, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path if missing == "no such sweep" else folder.root
    arguments = [str(root), str(folder.root / "table.tsv"), "-o", str(tmp_path / "H.tsv")]
    assert apply.main([*arguments, "--rank", "9"]) == 1
    assert capsys.readouterr().err.strip()


def test_without_a_recommended_rank_the_others_are_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).gamma(2, size=(20, 15))
    declined = Sweep(tmp_path, noise).run()
    assert declined.recommendation["chosen_rank"] is None
    with pytest.raises(ResultError, match="1, 2, 3"):
        read_fitted(declined.root)
    assert read_fitted(declined.root, 2).W.shape == (20, 2)


def test_components_survive_their_file_and_damage_is_found(
    folder: store.SweepFolder, tmp_path: Path
) -> None:
    fitted = read_fitted(folder.root)
    path = tmp_path / "W.npz"
    write_fitted(path, fitted, {})
    again = read_components(path)
    np.testing.assert_array_equal(again.W, fitted.W)
    np.testing.assert_array_equal(again.feature_ids, fitted.feature_ids)
    assert (again.names, again.loss) == (fitted.names, fitted.loss)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ResultError, match="damaged"):
        read_components(path)


def test_every_use_tells_how_the_training_matrix_was_prepared() -> None:
    fitted = FittedComponents(
        np.eye(2),
        np.array(["a", "b"]),
        ("component_1", "component_2"),
        "frobenius",
        Penalties(),
        ("Logged.",),
    )
    samples = store.LabelledMatrix(np.eye(2), np.array(["a", "b"]), np.array(["x", "y"]))
    assert fitted.apply(samples).notices == ("Logged.",)
