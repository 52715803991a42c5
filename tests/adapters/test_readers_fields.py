"""The formats of the fields: single cell, images, text, ratings, sound, mutations, columns."""

from __future__ import annotations

import gzip
import inspect
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY
from PIL import Image
from scipy import sparse
from scipy.io import mmwrite, wavfile

from nmfcore import factorize
from nmfcore.adapters.readers import FORMATS, format_of, read_matrix, validation
from nmfcore.adapters.readers.mutations import SBS96
from nmfcore.errors import ConfigError, InputError

COUNTS = sparse.random(30, 20, 0.2, random_state=1, data_rvs=lambda n: 1.0 + np.arange(n) % 7)
CELLS, GENES = [f"cell{i}" for i in range(30)], [f"gene{j}" for j in range(20)]


# ---------------------------------------------------------------- AnnData


def write_sparse(group: Any, name: str, matrix: Any) -> None:
    made = group.create_group(name)
    made.attrs.update(
        {
            "encoding-type": f"{matrix.format}_matrix",
            "encoding-version": "0.1.0",
            "shape": matrix.shape,
        }
    )
    for part in ("data", "indices", "indptr"):
        made[part] = getattr(matrix, part)


def write_h5ad(path: Path, X: Any = COUNTS, **layers: Any) -> Path:
    """Write what AnnData writes, after its specification of the format on disk."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        if sparse.issparse(X):
            write_sparse(file, "X", X.tocsr())
        else:
            file["X"] = X
        for table, ids in (("obs", CELLS), ("var", GENES)):
            file.create_group(table).attrs["_index"] = "_index"
            file[table]["_index"] = ids
        symbols = file["var"].create_group("symbol")
        symbols["categories"] = [f"SYMBOL{j}" for j in range(20)]
        symbols["codes"] = np.arange(20)[::-1]
        file.create_group("layers")
        for name, layer in layers.items():
            write_sparse(file["layers"], name, layer)
        raw = file.create_group("raw")
        write_sparse(raw, "X", sparse.hstack([COUNTS, COUNTS]).tocsc())
        raw.create_group("var").attrs["_index"] = "names"
        raw["var"]["names"] = [f"{half}{name}" for half in "ab" for name in GENES]
    return path


def test_h5ad_is_read_sparse_with_its_names(tmp_path: Path) -> None:
    matrix = read_matrix(write_h5ad(tmp_path / "x.h5ad"))
    assert matrix.is_sparse
    np.testing.assert_array_equal(matrix.values.toarray(), COUNTS.toarray().T)
    assert matrix.feature_ids.tolist() == GENES
    assert matrix.sample_ids.tolist() == CELLS


def test_h5ad_layer_raw_dense_and_names(tmp_path: Path) -> None:
    path = write_h5ad(tmp_path / "x.h5ad", COUNTS.toarray() - 1, counts=2 * COUNTS.tocsc())
    layer = read_matrix(path, settings={"h5ad": {"layer": "counts", "var_names": "symbol"}})
    np.testing.assert_array_equal(layer.values.toarray(), 2 * COUNTS.toarray().T)
    assert layer.feature_ids.tolist() == [f"SYMBOL{j}" for j in range(20)][::-1]
    raw = read_matrix(path, settings={"h5ad": {"raw": True}})
    assert raw.shape == (40, 30)
    assert raw.feature_ids[20] == "bgene0"
    with pytest.raises(
        InputError, match=r"negative values.*also holds raw, counts: see input\.h5ad"
    ):
        read_matrix(path)


def test_a_large_dense_h5ad_is_kept_sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmfcore.block_matrix.LARGE", 100)
    monkeypatch.setattr("nmfcore.block_matrix.BLOCK_CELLS", 100)
    matrix = read_matrix(write_h5ad(tmp_path / "x.h5ad", COUNTS.toarray()))
    assert matrix.is_sparse
    np.testing.assert_array_equal(matrix.values.toarray(), COUNTS.toarray().T)


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">i4"])
def test_half_precision_and_foreign_byte_order(tmp_path: Path, dtype: str) -> None:
    path = write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(path, "a") as file:
        data = file["X/data"][()]
        del file["X/data"]
        file["X/data"] = data.astype(dtype)
    np.testing.assert_array_equal(read_matrix(path).values.toarray(), COUNTS.toarray().T)


def test_h5ad_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match=r"package h5py.*pip install 'nmfcore\[hdf5\]'"):
        read_matrix(path)


# ---------------------------------------------------------------- 10x


def write_10x(folder: Path, packed: bool, types: bool = True) -> Path:
    folder.mkdir()
    mmwrite(folder / "matrix.mtx", COUNTS.T.astype(int))
    kinds = ["Gene Expression"] * 18 + ["Antibody Capture"] * 2
    names = ["TWIN", "TWIN", *GENES[2:]]
    lines = ["\t".join([f"ENSG{j}", names[j], *([kinds[j]] * types)]) for j in range(20)]
    (folder / ("features.tsv" if types else "genes.tsv")).write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    if packed:
        for file in list(folder.iterdir()):
            (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_10x_folder(tmp_path: Path, packed: bool) -> None:
    matrix = read_matrix(write_10x(tmp_path / "counts", packed))
    assert matrix.is_sparse
    np.testing.assert_array_equal(matrix.values.toarray(), COUNTS.toarray().T[:18])
    assert matrix.feature_ids[:3].tolist() == ["TWIN (ENSG0)", "TWIN (ENSG1)", "gene2"]
    assert any("Antibody Capture (2)" in notice for notice in matrix.notices)
    protein = read_matrix(
        tmp_path / "counts", settings={"10x": {"feature_type": "Antibody Capture"}}
    )
    assert protein.feature_ids.tolist() == GENES[18:]


def test_10x_folder_of_version_2_has_no_types(tmp_path: Path) -> None:
    assert read_matrix(write_10x(tmp_path / "counts", False, types=False)).shape == (20, 30)


@pytest.mark.parametrize("version", [2, 3])
def test_10x_h5(tmp_path: Path, version: int) -> None:
    csc = COUNTS.T.tocsc().astype(np.int32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(csc, part)
        group["shape"] = csc.shape
        group["barcodes"] = CELLS
        if version == 3:
            features = group.create_group("features")
            features["id"], features["name"] = [f"ENSG{j}" for j in range(20)], GENES
            features["feature_type"] = ["Gene Expression"] * 20
        else:
            group["genes"], group["gene_names"] = [f"ENSG{j}" for j in range(20)], GENES
    matrix = read_matrix(tmp_path / "x.h5")
    np.testing.assert_array_equal(matrix.values.toarray(), COUNTS.toarray().T)
    assert matrix.feature_ids.tolist() == GENES
    assert matrix.sample_ids.tolist() == CELLS


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_columns_with_an_index_or_a_first_column_of_names(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"s1": [1.0, 2.5], "s2": [0, 3]}, index=["g1", "g2"])
    plain = table.reset_index(names="gene")
    if kind == "parquet":
        table.to_parquet(tmp_path / "index.parquet")
        plain.to_parquet(tmp_path / "plain.parquet")
    else:
        table.to_feather(tmp_path / "index.feather")
        plain.to_feather(tmp_path / "plain.feather")
    for name in ("index", "plain"):
        matrix = read_matrix(tmp_path / f"{name}.{kind}")
        np.testing.assert_array_equal(matrix.values, [[1, 0], [2.5, 3]])
        assert matrix.feature_ids.tolist() == ["g1", "g2"]
        turned = read_matrix(tmp_path / f"{name}.{kind}", orientation="samples_by_features")
        assert turned.feature_ids.tolist() == ["s1", "s2"]


def test_columns_of_singles_stay_singles_and_nulls_are_missing(tmp_path: Path) -> None:
    pd.DataFrame({"s1": [1, 2], "s2": [3, 4]}, dtype="float32").to_parquet(tmp_path / "x.parquet")
    assert read_matrix(tmp_path / "x.parquet").values.dtype == np.float32
    holes = pd.DataFrame({"s1": pd.array([1, None], "Int64"), "s2": [3.0, 4.0]})
    holes.to_parquet(tmp_path / "x.parquet")
    matrix = read_matrix(tmp_path / "x.parquet", missing="mask")
    assert matrix.observed is not None
    assert matrix.observed.tolist() == [[True, True], [False, True]]


# ---------------------------------------------------------------- images

PICTURES = np.random.default_rng(3).integers(0, 256, (4, 5, 6), dtype=np.uint8)


def test_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "faces/b").mkdir(parents=True)
    for name, picture in zip(("a.png", "b/c.pgm", "b/d.png"), PICTURES, strict=False):
        Image.fromarray(picture).save(tmp_path / "faces" / name)
    (tmp_path / "faces/readme.md").write_text("about")
    (tmp_path / "faces/.DS_Store").write_text("hidden")
    matrix = read_matrix(tmp_path / "faces")
    np.testing.assert_array_equal(matrix.values, PICTURES[:3].reshape(3, 30).T)
    assert matrix.sample_ids.tolist() == ["a.png", "b/c.pgm", "b/d.png"]
    assert matrix.feature_ids[[0, 1, 6]].tolist() == ["y0x0", "y0x1", "y1x0"]
    assert any("readme.md" in notice for notice in matrix.notices)


def test_colours_turn_grey_and_sizes_are_brought_together(tmp_path: Path) -> None:
    colour = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.png")
    Image.fromarray(np.kron([[10, 20], [30, 40]], np.ones((2, 2))).astype(np.uint8)).save(
        tmp_path / "b.jpg", quality=100
    )
    matrix = read_matrix(tmp_path, settings={"images": {"height": 2, "width": 2}})
    np.testing.assert_allclose(matrix.values[:, 0], 0.299 * 255, atol=1)  # ITU-R 601
    np.testing.assert_allclose(matrix.values[:, 1], [10, 20, 30, 40], atol=2)
    assert any("in colour turned to grey" in notice for notice in matrix.notices)
    assert any("resized to 2 × 2" in notice for notice in matrix.notices)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = np.array([[0, 60000], [1000, 3]], np.uint16)
    for name in ("a.png", "b.png"):
        Image.fromarray(deep).save(tmp_path / name)
    np.testing.assert_array_equal(read_matrix(tmp_path).values[:, 0], deep.ravel())


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_stack_of_images(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    if ending == "npy":
        np.save(path, PICTURES)
    else:
        np.savez(path, images=PICTURES, labels=np.arange(4))
    matrix = read_matrix(path, format_name="images")
    np.testing.assert_array_equal(matrix.values, PICTURES.reshape(4, 30).T)
    assert matrix.sample_ids[3] == "image_4"


# ---------------------------------------------------------------- text


def test_text_one_document_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Cat sat. Cat!\n\nthe dog sat\na cat, a dog\n")
    matrix = read_matrix(tmp_path / "x.txt", format_name="text")
    assert matrix.is_sparse
    assert matrix.feature_ids.tolist() == ["cat", "dog", "sat"]  # 'the' is in one document only
    assert matrix.sample_ids.tolist() == ["document_1", "document_3", "document_4"]
    np.testing.assert_array_equal(matrix.values.toarray(), [[2, 0, 1], [0, 1, 1], [1, 1, 0]])


def test_text_in_a_folder(tmp_path: Path) -> None:
    for name, words in (("a", "the apple pie"), ("b", "the\npear pie"), ("c", "the apple pear")):
        (tmp_path / f"{name}.txt").write_text(words)
    settings = {"text": {"stop_words": "english"}}
    matrix = read_matrix(tmp_path, settings=settings)
    assert matrix.sample_ids.tolist() == ["a.txt", "b.txt", "c.txt"]
    assert matrix.feature_ids.tolist() == ["apple", "pear", "pie"]
    np.testing.assert_array_equal(matrix.values.toarray(), [[1, 0, 1], [0, 1, 1], [1, 1, 0]])
    common = read_matrix(tmp_path, settings={"text": {"min_documents": 1, "max_share": 0.9}})
    assert common.feature_ids.tolist() == ["apple", "pear", "pie"]  # 'the' is in all
    two = read_matrix(tmp_path, settings={"text": {"max_terms": 1}})
    assert two.feature_ids.tolist() == ["the"]


# ---------------------------------------------------------------- ratings


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("ann,film a,4\nbob,film a,2\nann,film b,0\n", {}),
        ("user,item,rating,time\nann,film a,4,9\nbob,film a,2,8\nann,film b,0,7\n", {}),
        ("ann::film a::4\nbob::film a::2\nann::film b::0\n", {}),
        (
            "stars\twho\twhat\n4\tann\tfilm a\n2\tbob\tfilm a\n0\tann\tfilm b\n",
            {"ratings": {"user": "who", "item": "what", "rating": "stars"}},
        ),
    ],
    ids=["plain", "header", "MovieLens", "named"],
)
def test_ratings_that_are_not_listed_are_missing(
    tmp_path: Path, content: str, settings: dict[str, Any]
) -> None:
    (tmp_path / "x.csv").write_text(content)
    matrix = read_matrix(tmp_path / "x.csv", format_name="ratings", settings=settings)
    assert matrix.feature_ids.tolist() == ["film a", "film b"]
    assert matrix.sample_ids.tolist() == ["ann", "bob"]
    np.testing.assert_array_equal(matrix.values.toarray(), [[4, 2], [0, 0]])
    assert matrix.observed is not None
    assert matrix.observed.tolist() == [[True, True], [True, False]]
    zero = read_matrix(tmp_path / "x.csv", format_name="ratings", settings=settings, absent="zero")
    assert zero.observed is None


@pytest.mark.parametrize("kind", ["mtx", "npz"])
def test_absent_entries_of_any_sparse_file_can_be_missing(tmp_path: Path, kind: str) -> None:
    V = sparse.coo_array(([1.0, 2.0, 0.0, 4.0], ([0, 1, 0, 2], [0, 1, 1, 2])), shape=(3, 3))
    path = tmp_path / f"x.{kind}"
    if kind == "mtx":
        mmwrite(path, V, symmetry="general")
    else:
        sparse.save_npz(path, V)
    assert read_matrix(path).observed is None
    matrix = read_matrix(path, absent="missing")
    assert matrix.is_sparse
    assert matrix.observed is not None
    np.testing.assert_array_equal(np.argwhere(matrix.observed), [[0, 0], [0, 1], [1, 1], [2, 2]])
    assert any("4 cells, a share of 0.44" in notice for notice in matrix.notices)


def test_what_is_absent_never_influences_the_fit(tmp_path: Path) -> None:
    """The dense table with blanks and the sparse file are the same problem."""
    random = np.random.default_rng(5)
    V, seen = random.gamma(1, size=(12, 9)), random.random((12, 9)) < 0.6
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(np.where(seen, V, 0)))
    np.save(tmp_path / "x.npy", np.where(seen, V, np.nan))
    listed = read_matrix(tmp_path / "x.npz", absent="missing")
    masked = read_matrix(tmp_path / "x.npy", missing="mask")
    fits = [
        factorize(m.values, 2, range(3), observed=m.observed, dtype="float64")
        for m in (listed, masked)
    ]
    np.testing.assert_allclose(fits[0].loss, fits[1].loss, rtol=1e-9)


def test_too_many_cells_for_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(np.eye(4)))
    monkeypatch.setattr(validation, "LARGEST_MASK", 15)
    with pytest.raises(InputError, match=r"16 cells, more than the 15.*absent: zero"):
        read_matrix(tmp_path / "x.npz", absent="missing")
    with pytest.raises(ConfigError, match="zero, missing"):
        read_matrix(tmp_path / "x.npz", absent="hidden")
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    with pytest.raises(ConfigError, match=r"x\.npy lists every cell.*missing: mask"):
        read_matrix(tmp_path / "x.npy", absent="missing")


# ---------------------------------------------------------------- sound


@pytest.mark.parametrize("dtype", ["int16", "uint8", "int32", "float32"])
def test_a_tone_is_loud_at_its_frequency(tmp_path: Path, dtype: str) -> None:
    rate = 8000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    scale = {"int16": 32767, "uint8": 127, "int32": 2**31 - 1, "float32": 1}[dtype]
    stored = (tone * scale + 128 * (dtype == "uint8")).astype(dtype)
    wavfile.write(tmp_path / "x.wav", rate, np.stack([stored, stored], axis=1))
    matrix = read_matrix(tmp_path / "x.wav", settings={"sound": {"window": 256, "hop": 128}})
    middle = matrix.values[:, 30]
    assert matrix.feature_ids[middle.argmax()] == "1000.00 Hz"
    assert middle.max() == pytest.approx(0.25, rel=0.02)  # half of the amplitude, for ±1000 Hz
    assert matrix.sample_ids[1] == f"{float(matrix.sample_ids[0].split()[0]) + 128 / rate:.4f} s"
    power = read_matrix(
        tmp_path / "x.wav",
        settings={"sound": {"window": 256, "hop": 128, "spectrogram": "power"}},
    )
    np.testing.assert_allclose(power.values, matrix.values**2)
    assert any("2 channels averaged" in notice for notice in matrix.notices)


# ---------------------------------------------------------------- mutations


def catalogue(names: list[str], corner: str = "MutationType") -> str:
    lines = [f"{corner}\tg1\tg2"]
    return "\n".join([*lines, *(f"{name}\t{k}\t{k + 1}" for k, name in enumerate(names))]) + "\n"


def test_mutations_in_three_notations(tmp_path: Path) -> None:
    shuffled = [SBS96[k] for k in np.random.default_rng(0).permutation(96)]
    two_columns = [f"{t[2:5]}\t{t[0]}{t[2]}{t[6]}" for t in shuffled]
    pairs = str.maketrans("ACGT", "TGCA")
    other_strand = [f"{t[6]}[{t[2:5]}]{t[0]}".translate(pairs) for t in shuffled]
    expected = [shuffled.index(t) for t in SBS96]
    for names, corner in (
        (shuffled, "MutationType"),
        (two_columns, "Type\tTrinucleotide"),
        (other_strand, "MutationType"),
    ):
        (tmp_path / "x.txt").write_text(catalogue(names, corner))
        matrix = read_matrix(tmp_path / "x.txt", format_name="mutations")
        assert matrix.feature_ids.tolist() == list(SBS96)
        assert matrix.values[:, 0].tolist() == expected
    assert any("96 types turned" in notice for notice in matrix.notices)


def test_the_order_of_the_types_is_the_usual_one() -> None:
    assert len(set(SBS96)) == 96
    assert SBS96[:5] == ("A[C>A]A", "A[C>A]C", "A[C>A]G", "A[C>A]T", "C[C>A]A")
    assert SBS96[-1] == "T[T>G]T"


# ---------------------------------------------------------------- which reader


def test_defaults_of_the_schema_are_those_of_the_readers() -> None:
    schema = yaml.safe_load((REPOSITORY / "workflow/schemas/config.schema.yaml").read_text())
    keys = schema["properties"]["input"]["properties"]
    assert keys["format"]["enum"] == [None, *FORMATS]
    for name, entry in FORMATS.items():
        described = keys.get(name, {}).get("properties", {})
        assert {key: part["default"] for key, part in described.items()} == entry.defaults
        assert all(p.annotation for p in inspect.signature(entry.read).parameters.values())


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["a.png", "notes.md"], "images"), (["a.txt"], "text"), (["matrix.mtx"], "10x")],
)
def test_a_folder_is_known_by_its_files(tmp_path: Path, names: list[str], expected: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    assert format_of(tmp_path) == expected


def test_settings_of_another_format_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    with pytest.raises(ConfigError, match=r"input\.text \(min_documents\).*read as numpy"):
        read_matrix(tmp_path / "x.npy", settings={"text": {"min_documents": 5}})
    with pytest.raises(ConfigError, match="unknown 'layr'; known are layer, raw"):
        read_matrix(tmp_path / "x.npy", settings={"h5ad": {"layr": "a"}})
    with pytest.raises(ConfigError, match="Did you mean 'ratings'"):
        read_matrix(tmp_path / "x.npy", format_name="rating")
