"""What is shown of a solution in its field: the numbers against independent ones, the files of each kind."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy import sparse
from scipy.io import wavfile
from sklearn.decomposition import PCA
from test_stages import Sweep

from nmfcore.adapters.readers.mutations import SBS96
from nmfcore.adapters.readers.sound import transformed
from nmfcore.adapters.showing import KINDS, show
from nmfcore.adapters.showing.cosines import cosines
from nmfcore.adapters.showing.images import matched, signed_components
from nmfcore.adapters.showing.predictions import biases, imputed_svd
from nmfcore.adapters.showing.sounds import separated, separation
from nmfcore.adapters.showing.topics import npmi
from nmfcore.adapters.store import SweepFolder
from nmfcore.errors import InputError

RANDOM = np.random.default_rng(11)


def swept(root: Path, **source: Any) -> SweepFolder:
    """A small sweep of an input of its own; its solution is that of rank 2."""
    return Sweep(root, np.ones((2, 2)), input=source, select={"rank": 2}).run()


def shown(folder: SweepFolder, kind: str, reference: str | None = None) -> Path:
    out = folder.root / "show"
    show(folder, out, kind, reference)
    return out


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t")


# ---------------------------------------------------------------- images

PARTS = np.zeros((2, 4, 4))
PARTS[0, :2, :2], PARTS[1, 2:, 1:] = 3, 5


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    root = tmp_path_factory.mktemp("images")
    amounts = RANDOM.gamma(0.5, size=(30, 2))
    stack = np.tensordot(amounts, PARTS, 1) + RANDOM.random((30, 4, 4)) * [[[1.0] * 3 + [0]]] * 0.01
    stack[:, 0, 3] = 0  # a pixel that is always dark
    np.save(root / "x.npy", stack)
    np.save(root / "parts.npy", PARTS)
    return swept(root, path=str(root / "x.npy"), format="images")


def test_parts_of_images_are_matched_with_the_true_ones(images: SweepFolder) -> None:
    out = shown(images, "images", str(images.root / "parts.npy"))
    parts = table(out / "parts.tsv")
    assert sorted(parts["true_part"]) == [1, 2]
    assert (parts["cosine"] > 0.99).all()
    assert (parts["sparseness"] > parts["pca_sparseness"]).any()
    assert (out / "parts.svg").stat().st_size > 1000
    assert (out / "parts.png").stat().st_size > 1000
    np.save(images.root / "odd.npy", PARTS[:, :3])
    with pytest.raises(InputError, match=r"shape \(2, 3, 4\); expected.*4 × 4 pixels"):
        shown(images, "images", str(images.root / "odd.npy"))
    assert (out / "parts.png").exists()  # what was there stays where the new one fails


def test_signed_components_are_those_of_pca() -> None:
    V = RANDOM.gamma(1, size=(12, 30))
    pca = PCA(3).fit(V.T).components_
    np.testing.assert_allclose(
        np.abs(cosines(signed_components(V, 3), pca.T)), np.eye(3), atol=1e-9
    )


def test_matching_is_one_to_one() -> None:
    truth = np.eye(3)
    found = matched(np.array([[1, 1], [0.1, 0.9], [0, 0.2]]), truth)
    assert [part for part, _ in found] == [1, 2]
    more = matched(np.hstack([np.eye(3), np.ones((3, 1))]), truth)  # than there are true parts
    assert more == [(1, 1.0), (2, 1.0), (3, 1.0), (None, None)]


def test_other_data_are_no_images(planted: SweepFolder) -> None:
    with pytest.raises(InputError, match=r"named y0x0, y0x1.*g0 is none"):
        shown(planted, "images")


# ---------------------------------------------------------------- topics


def test_coherence_is_the_mean_npmi_of_all_pairs() -> None:
    present = RANDOM.random((6, 40)) < 0.4
    present[5] = present[4]  # always together
    present[3] = ~present[2]  # never
    words = np.array([0, 2, 3, 4, 5])
    values = []
    for a, b in combinations(words, 2):
        p_a, p_b, p_ab = present[a].mean(), present[b].mean(), (present[a] & present[b]).mean()
        values.append(math.log(p_ab / (p_a * p_b)) / -math.log(p_ab) if p_ab else -1.0)
    assert npmi(sparse.csr_array(present), words) == pytest.approx(np.mean(values))


def test_topics_have_the_words_of_their_documents(tmp_path: Path) -> None:
    subjects = (["goal", "match", "team", "player"], ["vote", "law", "party", "minister"])
    lines = [" ".join(RANDOM.choice(subjects[k % 2], 12)) for k in range(40)]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    folder = swept(tmp_path, path=str(tmp_path / "x.txt"), format="text")
    out = shown(folder, "topics")
    topics = table(out / "topics.tsv")
    assert len(topics) == 2
    assert {frozenset(words.split(", ")[:4]) for words in topics["words"]} == set(
        map(frozenset, subjects)
    )
    assert topics["n_documents"].sum() == 40
    assert table(out / "coherence.tsv")["rank"].tolist() == [1, 2, 3]
    assert (out / "topics.png").exists()


# ---------------------------------------------------------------- predictions


def test_biases_are_the_least_squares_fit() -> None:
    V, seen = RANDOM.normal(3, 1, (9, 7)), RANDOM.random((9, 7)) < 0.7
    rows, columns = np.nonzero(seen)
    design = np.zeros((len(rows), 17))
    design[:, 0] = 1
    design[np.arange(len(rows)), 1 + rows] = 1
    design[np.arange(len(rows)), 10 + columns] = 1
    fitted = design @ np.linalg.lstsq(design, V[seen], rcond=None)[0]
    np.testing.assert_allclose(biases(V, seen, 500)[seen], fitted, atol=1e-6)


def test_the_svd_of_a_full_matrix_is_the_truncated_one() -> None:
    V = RANDOM.normal(size=(8, 6))
    U, s, Vt = np.linalg.svd(V, full_matrices=False)
    np.testing.assert_allclose(
        imputed_svd(V, np.ones(V.shape, bool), 2), (U[:, :2] * s[:2]) @ Vt[:2], atol=1e-9
    )


def test_predictions_of_planted_tastes_beat_the_baselines(tmp_path: Path) -> None:
    truth = RANDOM.gamma(0.5, size=(30, 2)) @ RANDOM.gamma(0.5, size=(2, 25))
    seen = RANDOM.random(truth.shape) < 0.7
    lines = [f"u{j}\ti{i}\t{truth[i, j] + 0.01:.4f}" for i, j in np.argwhere(seen)]
    (tmp_path / "x.tsv").write_text("\n".join(lines))
    folder = swept(tmp_path, path=str(tmp_path / "x.tsv"), format="ratings")
    errors = table(shown(folder, "predictions") / "predictions.tsv").set_index(["method", "rank"])
    rmse = errors["rmse"]
    best = rmse["NMF", 2]
    assert best < 0.5 * rmse["biases"].iloc[0] < rmse["global mean"].iloc[0]


# ---------------------------------------------------------------- signatures


def test_signatures_are_compared_with_known_ones(tmp_path: Path) -> None:
    known = RANDOM.dirichlet(np.full(96, 0.1), 3).T
    counts = RANDOM.poisson(known[:, :2] @ RANDOM.gamma(1, 2000, (2, 20)))
    for name, block in (("x", counts), ("known", known)):
        columns = [f"{name}{j}" for j in range(block.shape[1])]
        pd.DataFrame(block, SBS96, columns).to_csv(tmp_path / f"{name}.tsv", sep="\t")
    folder = swept(tmp_path, path=str(tmp_path / "x.tsv"), format="mutations")
    out = shown(folder, "signatures", str(tmp_path / "known.tsv"))
    signatures = table(out / "signatures.tsv").set_index("rank")
    assert signatures.index.tolist() == [1, 2, 2, 3, 3, 3]
    assert sorted(signatures.loc[2, "known"]) == ["known0", "known1"]
    assert (signatures.loc[2, "cosine"] > 0.9).all()
    assert signatures.loc[2, "share_of_mutations"].sum() == pytest.approx(1)
    # One component for two signatures is a mixture of them, as the mutations are.
    parts = re.findall(r"(\d+)% (known\d)", signatures.loc[1, "mixture"])
    assert {name for _, name in parts} == {"known0", "known1"}
    assert signatures.loc[1, "mixture_cosine"] > 0.99 > signatures.loc[1, "cosine"]
    (tmp_path / "known.tsv").write_text("Type\ta\tb\nA[C>A]A\t1\t2\n")
    with pytest.raises(InputError, match="lacks 95 of the 96 types"):
        shown(folder, "signatures", str(tmp_path / "known.tsv"))
    assert "known" not in table(shown(folder, "signatures") / "signatures.tsv")


# ---------------------------------------------------------------- sounds


def test_separation_is_the_ratio_in_decibels_whatever_the_scale() -> None:
    truth, noise = np.array([1.0, 1, 0, 0]), np.array([0, 0, 0.1, -0.1])
    assert separation(truth + noise, truth) == pytest.approx(20)
    assert separation(7 * (truth + noise), truth) == pytest.approx(20)


def test_sounds_are_separated_and_add_up_to_the_mixture(tmp_path: Path) -> None:
    rate, time = 4000, np.arange(8000) / 4000
    sounds = {
        "low": np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 1.3 * time) > 0),
        "high": np.sin(2 * np.pi * 1200 * time) * (np.sin(2 * np.pi * 0.7 * time + 1) > 0),
    }
    (tmp_path / "alone").mkdir()
    for name, sound in sounds.items():
        wavfile.write(tmp_path / f"alone/{name}.wav", rate, sound.astype(np.float32))
    mixture = np.sum(list(sounds.values()), axis=0).astype(np.float32)
    wavfile.write(tmp_path / "x.wav", rate, mixture)
    folder = swept(tmp_path, path=str(tmp_path / "x.wav"), sound={"window": 256, "hop": 64})
    out = shown(folder, "sounds", str(tmp_path / "alone"))
    parts = table(out / "parts.tsv")
    assert sorted(parts["known_sound"]) == ["high", "low"]
    assert (parts["separation_db"] > 15).all()
    assert (parts["separation_db"] > parts["separation_of_mixture_db"] + 10).all()
    written = [wavfile.read(out / f"{name}.wav")[1] for name in parts["component"]]
    np.testing.assert_allclose(np.sum(written, axis=0), mixture, atol=1e-4)
    spectrum = transformed(tmp_path / "x.wav", 256, 64)
    places = [np.arange(n) for n in spectrum.values.shape]
    W, H = RANDOM.random((len(places[0]), 3)), RANDOM.random((3, len(places[1])))
    tracks = separated(spectrum, W, H, *places)
    np.testing.assert_allclose(np.sum(tracks, axis=0), mixture, atol=1e-6)
    wavfile.write(tmp_path / "alone/short.wav", rate, mixture[:5])
    with pytest.raises(InputError, match=r"short\.wav has another length"):
        shown(folder, "sounds", str(tmp_path / "alone"))
    with pytest.raises(InputError, match=r"no \.wav file"):
        shown(folder, "sounds", str(tmp_path / "runs"))


# ---------------------------------------------------------------- groups


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    root = tmp_path_factory.mktemp("groups")
    groups = np.arange(20) % 2
    W = RANDOM.gamma(0.3, size=(15, 2))
    values = W[:, groups] * RANDOM.gamma(5, size=20) + 0.01 * RANDOM.random((15, 20))
    (root / "notes.tsv").write_text(
        "\n".join(["sample\tkind", *(f"s{j}\tkind {g}" for j, g in enumerate(groups))])
    )
    return Sweep(root, values, str(root / "notes.tsv")).run()


def test_groups_use_their_own_component(planted: SweepFolder) -> None:
    groups = table(shown(planted, "groups") / "groups.tsv")
    assert groups["n_samples"].tolist() == [10, 10]
    shares = groups.filter(like="component").to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares, np.eye(2), atol=0.1)
    with pytest.raises(InputError, match="no column 'sort', only kind"):
        shown(planted, "groups", "sort")


def test_without_a_solution_it_is_said_why(tmp_path: Path) -> None:
    noise = RANDOM.gamma(1, size=(30, 20))
    folder = Sweep(tmp_path, noise, factorize={"max_iter": 2}).run()
    assert folder.solution["rank"] is None
    for kind in KINDS:
        out = shown(folder, kind)
        assert [path.name for path in out.iterdir()] == ["README.txt"]
        assert folder.solution["reason"] in (out / "README.txt").read_text()


def test_the_schema_knows_the_kinds() -> None:
    import yaml

    schema = yaml.safe_load((REPOSITORY / "workflow/schemas/config.schema.yaml").read_text())
    assert schema["properties"]["show"]["oneOf"][1]["properties"]["kind"]["enum"] == [*KINDS]
