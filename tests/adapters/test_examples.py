"""The example data are those that are described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY

from nmfcore.adapters.examples import EXAMPLES, carried_file
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers import read_annotations, read_matrix
from nmfcore.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of all examples, each in its folder."""
    root = tmp_path_factory.mktemp("resources")
    for name, example in EXAMPLES.items():
        example.make(root / name)
    return root


def read(made: Path, name: str, file: str, **options: str) -> LabelledMatrix:
    return read_matrix(made / name / file, **options)


def test_every_example_writes_its_files_and_twice_the_same(made: Path, tmp_path: Path) -> None:
    for name, example in EXAMPLES.items():
        assert {path.name for path in (made / name).iterdir()} == set(example.files)
        example.make(tmp_path / name)
        for file in example.files:
            assert (tmp_path / name / file).read_bytes() == (made / name / file).read_bytes()


def test_every_example_has_a_configuration_and_a_page() -> None:
    configs = {path.stem for path in REPOSITORY.glob("config/examples/*.yaml")}
    pages = {path.stem for path in REPOSITORY.glob("docs/examples/*.md")} - {"README"}
    assert configs == set(EXAMPLES) - {"leukemia"}  # which is config/config.yaml
    assert pages == set(EXAMPLES)
    for name in configs:
        config = yaml.safe_load((REPOSITORY / f"config/examples/{name}.yaml").read_text())
        page = (REPOSITORY / f"docs/examples/{name}.md").read_text("utf-8")
        assert config["name"] == name
        assert f"snakemake --cores 2 --configfile config/examples/{name}.yaml" in page
        assert (REPOSITORY / f"docs/examples/images/{name}.png").exists()
        assert f"](images/{name}.png)" in page


def test_leukaemia(made: Path) -> None:
    matrix = read(made, "leukemia", "matrix.tsv")
    assert matrix.shape == (5000, 38)
    assert matrix.values.min() >= 0
    known = read_annotations(made / "leukemia/samples.tsv", matrix.sample_ids.tolist())
    assert known["leukaemia"].count("ALL") == 27
    assert known["leukaemia"].count("AML") == 11
    assert {name: known["lineage"].count(name) for name in set(known["lineage"])} == {
        "B-cell": 19,
        "T-cell": 8,
        "myeloid": 11,
    }


def test_shapes_of_the_carried_data(made: Path) -> None:
    assert read(made, "topics", "documents.txt", format_name="text").shape[1] == 300
    assert read(made, "faces", "images.npy", format_name="images").shape == (625, 100)
    assert read(made, "digits", "images.npy", format_name="images").shape == (64, 500)
    assert read(made, "signatures", "catalogue.txt", format_name="mutations").shape == (96, 21)
    assert read_matrix(made / "signatures/reference.txt").shape[0] == 96
    cells = read(made, "cells", "cells.h5ad")
    assert cells.shape == (765, 700)
    assert cells.is_sparse
    known = read_annotations(made / "cells/types.tsv", cells.sample_ids.tolist())
    assert len(set(known["type"])) == 10
    blanks = read(made, "missing", "matrix.tsv", missing="mask")
    assert blanks.observed is not None
    assert (blanks.shape, int((~blanks.observed).sum())) == ((45, 130), 602)


def test_every_swimmer_is_the_sum_of_a_torso_and_four_limbs(made: Path) -> None:
    images, parts = (np.load(made / "swimmer" / f"{n}.npy") // 255 for n in ("images", "parts"))
    assert images.shape == (256, 32, 32)
    assert parts.shape == (17, 32, 32)
    limbs = parts[1:].reshape(4, 4, 1024)
    for image in images.reshape(256, 1024).astype(int):
        held = [[k for k in range(4) if (image >= limb[k]).all()] for limb in limbs]
        assert [len(positions) for positions in held] == [1, 1, 1, 1]
        total = parts[0].ravel() + sum(limb[h[0]] for limb, h in zip(limbs, held, strict=True))
        np.testing.assert_array_equal(image, total)


def test_ratings_are_mostly_missing_and_within_the_scale(made: Path) -> None:
    matrix = read(made, "ratings", "ratings.tsv", format_name="ratings")
    assert matrix.observed is not None
    assert 0.2 < matrix.observed.mean() < 0.3
    values = matrix.values.data
    assert (values.min(), values.max()) == (1, 5)
    assert set(2 * values % 1) == {0}


def test_the_recording_is_the_sum_of_its_instruments_and_faint_noise(made: Path) -> None:
    from scipy.io import wavfile

    sounds = {path.stem: wavfile.read(path)[1] for path in (made / "sound").glob("*.wav")}
    mixture = sounds.pop("mixture")
    assert len(sounds) == 4
    rest = mixture - sum(sounds.values())
    assert 0 < rest.std() < 0.01 * np.abs(mixture).max()


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="no-such-package, which is not installed"):
        carried_file("no-such-package", "data.txt")
    with pytest.raises(InputError, match=r"pytest has no file data\.txt"):
        carried_file("pytest", "data.txt")
