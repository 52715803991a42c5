"""Bad files of the formats of the fields: columns, single cell, images, text, ratings, sound, mutations."""

from __future__ import annotations

import gzip
import io
from typing import Any

import h5py
import numpy as np
import pandas as pd
from bad_inputs.files import GOOD, Case, flipped, mtx, npy, npz, workbook
from PIL import Image
from scipy.io import wavfile

from nmfcore.adapters.readers.mutations import SBS96


def parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def feather(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_feather(stream)
    return stream.getvalue()


def hdf5(**nodes: Any) -> bytes:
    """Write arrays, groups (dicts) and their attributes (keys that begin with @)."""
    stream = io.BytesIO()

    def fill(group: Any, content: dict[str, Any]) -> None:
        for name, value in content.items():
            if name.startswith("@"):
                group.attrs[name[1:]] = value
            elif isinstance(value, dict):
                fill(group.create_group(name), value)
            else:
                group[name] = value

    with h5py.File(stream, "w") as file:
        fill(file, nodes)
    return stream.getvalue()


def axis(*names: str) -> dict[str, Any]:
    return {"@_index": "_index", "_index": list(names)}


def csr_group(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> dict[str, Any]:
    parts = {"data": np.array(data), "indices": np.array(indices), "indptr": np.array(indptr)}
    return {"@encoding-type": "csr_matrix", "@shape": shape, **parts}


def tenx(**changes: Any) -> bytes:
    content = {
        "data": np.array([1, 2, 3]),
        "indices": np.array([0, 1, 0]),
        "indptr": np.array([0, 2, 3]),
        "shape": np.array([2, 2]),
        "barcodes": ["a", "b"],
        "features": {"id": ["1", "2"], "name": ["x", "y"], "feature_type": ["Gene Expression"] * 2},
    }
    return hdf5(matrix=content | changes)


def picture(array: Any, kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(stream, kind)
    return stream.getvalue()


def wav(array: Any, rate: int = 8000) -> bytes:
    stream = io.BytesIO()
    wavfile.write(stream, rate, np.asarray(array))
    return stream.getvalue()


def catalogue(types: Any, value: Any = 3) -> str:
    return "Type\tg1\tg2\n" + "".join(f"{name}\t{value}\t1\n" for name in types)


OBS, VAR = axis("c1", "c2"), axis("g1", "g2")
EYE = np.eye(2)
TABLE = pd.DataFrame({"gene": ["a", "b"], "s1": [1.0, 2.0], "s2": [3.0, 4.0]})
TONE = np.sin(np.arange(4000) / 3).astype(np.float32)
GREY = picture(np.full((4, 4), 9))
FOLDER_10X = {
    "matrix.mtx": mtx("2 2 2\n1 1 5\n2 2 6\n"),
    "features.tsv": "1\tx\tGene Expression\n2\ty\tGene Expression\n",
    "barcodes.tsv": "a\nb\n",
}
RATINGS = {"format": "ratings"}
TEXT = {"format": "text"}
IMAGES = {"format": "images"}
MUTATIONS = {"format": "mutations"}

CASES: list[Case] = [
    # Parquet and Feather
    Case("parquet, empty file", "x.parquet", b"", {}, ["x.parquet is empty", "again"]),
    Case("parquet, a table", "x.parquet", GOOD, {}, ["x.parquet is damaged", "to_parquet"]),
    Case("parquet, cut short", "x.parquet", parquet(TABLE)[:-20], {}, ["damaged", "Copy it again"]),
    Case("parquet, damaged", "x.parquet", flipped(parquet(TABLE))[:60], {}, ["damaged"]),
    Case(
        "parquet, a second column of text",
        "x.parquet",
        parquet(TABLE.assign(note=["k", "l"])),
        {},
        ["1 column hold no numbers: 'note' (", "leave those columns out"],
    ),
    Case(
        "parquet, dates",
        "x.parquet",
        parquet(TABLE.assign(s2=pd.to_datetime(["2020-01-01", "2020-01-02"]))),
        {},
        ["'s2' (timestamp"],
    ),
    Case(
        "parquet, names only", "x.parquet", parquet(TABLE[["gene"]]), {}, ["no column of numbers"]
    ),
    Case(
        "parquet, nulls",
        "x.parquet",
        parquet(TABLE.assign(s2=[1.0, None])),
        {},
        ["1 missing value", "feature 'b', sample 's2'", "missing: mask"],
    ),
    Case(
        "parquet, repeated names",
        "x.parquet",
        parquet(TABLE.assign(gene=["a", "a"])),
        {},
        ["'a' (features 1, 2)", "Rename"],
    ),
    Case(
        "parquet, integers above 2^53",
        "x.parquet",
        parquet(TABLE.assign(s2=[1, 2**53 + 1])),
        {},
        ["column 's2'", "9007199254740993", "2^53"],
    ),
    Case(
        "parquet, two levels of names",
        "x.parquet",
        parquet(TABLE.set_index(["gene", "s1"])),
        {},
        ["index of 2 levels (gene, s1)", "Join"],
    ),
    Case("parquet, no rows", "x.parquet", parquet(TABLE[:0]), {}, ["empty (0 features"]),
    Case("parquet named csv", "x.csv", parquet(TABLE), {}, ["a Parquet file", ".parquet"]),
    Case("feather, cut short", "x.feather", feather(TABLE)[:-30], {}, ["damaged", "to_feather"]),
    Case("feather named csv", "x.csv", feather(TABLE), {}, ["a Feather file", ".feather"]),
    # AnnData
    Case("h5ad, empty file", "x.h5ad", b"", {}, ["x.h5ad is empty", "again"]),
    Case("h5ad, a table", "x.h5ad", GOOD, {}, ["x.h5ad is damaged or not an HDF5 file"]),
    Case("h5ad, cut short", "x.h5ad", hdf5(X=EYE, obs=OBS, var=VAR)[:-900], {}, ["damaged"]),
    Case("h5ad, no X", "x.h5ad", hdf5(obs=OBS, var=VAR), {}, ["has no X", "no matrix", "AnnData"]),
    Case(
        "h5ad, no such layer",
        "x.h5ad",
        hdf5(X=EYE, obs=OBS, var=VAR, layers={"counts": EYE, "tpm": EYE}),
        {"h5ad": {"layer": "count"}},
        ["no layer 'count'", "X, counts, tpm", "layer: NAME"],
    ),
    Case(
        "h5ad, no raw",
        "x.h5ad",
        hdf5(X=EYE, obs=OBS, var=VAR),
        {"h5ad": {"raw": True}},
        ["has no raw", "It holds X"],
    ),
    Case(
        "h5ad, layer and raw",
        "x.h5ad",
        hdf5(X=EYE, obs=OBS, var=VAR),
        {"h5ad": {"raw": True, "layer": "counts"}},
        ["both layer (counts) and raw", "Choose one"],
    ),
    Case(
        "h5ad, scaled",
        "x.h5ad",
        hdf5(X=EYE - 0.5, obs=OBS, var=VAR, layers={"counts": EYE}),
        {},
        ["2 negative values", "feature 'g2', sample 'c1'", "also holds counts: see input.h5ad"],
    ),
    Case("h5ad, no obs", "x.h5ad", hdf5(X=EYE, var=VAR), {}, ["has no obs", "AnnData"]),
    Case(
        "h5ad, no such column",
        "x.h5ad",
        hdf5(X=EYE, obs=OBS, var={**VAR, "symbol": ["x", "y"]}),
        {"h5ad": {"var_names": "symbols"}},
        ["var has no column 'symbols'", "_index, symbol", "var_names"],
    ),
    Case(
        "h5ad, too few names",
        "x.h5ad",
        hdf5(X=EYE, obs=axis("c1"), var=VAR),
        {},
        ["2 features × 2 samples", "ids name 2 × 1"],
    ),
    Case(
        "h5ad, repeated names",
        "x.h5ad",
        hdf5(X=EYE, obs=axis("c", "c"), var=VAR),
        {},
        ["'c' (samples 1, 2)"],
    ),
    Case(
        "h5ad, index outside",
        "x.h5ad",
        hdf5(X=csr_group([1.0, 2], [0, 9], [0, 1, 2], (2, 2)), obs=OBS, var=VAR),
        {},
        ["damaged", "outside 0 … 1", "again"],
    ),
    Case(
        "h5ad, indptr below zero",
        "x.h5ad",
        hdf5(X=csr_group([1.0, 2], [0, 1], [0, 2, -1], (2, 2)), obs=OBS, var=VAR),
        {},
        ["damaged", "indptr does not rise"],
    ),
    Case(
        "h5ad, a table in place of X",
        "x.h5ad",
        hdf5(X={"@encoding-type": "dataframe", "a": [1, 2]}, obs=OBS, var=VAR),
        {},
        ["/X is no matrix (dataframe)", "Choose another layer"],
    ),
    Case(
        "h5ad, infinite",
        "x.h5ad",
        hdf5(X=csr_group([1.0, np.inf], [0, 1], [0, 1, 2], (2, 2)), obs=OBS, var=VAR),
        {},
        ["1 infinite value", "feature 'g2', sample 'c2'"],
    ),
    Case(
        "h5ad, no cells",
        "x.h5ad",
        hdf5(X=np.zeros((0, 2)), obs={"@_index": "i", "i": np.zeros(0, "S1")}, var=VAR),
        {},
        ["2 features × 0 samples"],
    ),
    Case("HDF5 named csv", "x.csv", hdf5(X=EYE), {}, ["an HDF5 file", ".h5ad"]),
    # 10x
    Case(
        "10x, AnnData named h5",
        "x.h5",
        hdf5(X=EYE, obs=OBS, var=VAR),
        {},
        ["no 10x matrix", "X, obs, var", ".h5ad"],
    ),
    Case("10x, cut short", "x.h5", tenx()[:-600], {}, ["x.h5 is damaged", "again"]),
    Case(
        "10x, barcodes of another run",
        "x.h5",
        tenx(barcodes=["a"]),
        {},
        ["2 rows × 2 columns", "1 barcode", "copy all"],
    ),
    Case(
        "10x, no such type",
        "x.h5",
        tenx(),
        {"10x": {"feature_type": "Antibody"}},
        ["no features of type 'Antibody'", "Gene Expression (2)", "feature_type"],
    ),
    Case(
        "10x, two genomes",
        "x.h5",
        hdf5(hg19={"barcodes": ["a"]}, mm10={"barcodes": ["a"]}),
        {},
        ["the genomes hg19, mm10"],
    ),
    Case(
        "10x, no barcodes",
        "run",
        {k: v for k, v in FOLDER_10X.items() if k[0] != "b"},
        {},
        ["run has no barcodes.tsv", "features.tsv", "copy the whole folder"],
    ),
    Case(
        "10x, features of another run",
        "run",
        {**FOLDER_10X, "features.tsv": "1\tx\n"},
        {},
        ["1 feature", "different runs"],
    ),
    Case(
        "10x, matrix cut short",
        "run",
        {**FOLDER_10X, "matrix.mtx": mtx("2 2 2\n1 1 5\n")},
        {},
        ["matrix.mtx promises 2 entries but holds 1"],
    ),
    Case(
        "10x, matrix.mtx.gz cut short",
        "run",
        {
            **{k: v for k, v in FOLDER_10X.items() if k[0] != "m"},
            "matrix.mtx.gz": gzip.compress(FOLDER_10X["matrix.mtx"].encode())[:-12],
        },
        {},
        ["matrix.mtx.gz", "incompletely"],
    ),
    Case(
        "10x, repeated barcodes",
        "run",
        {**FOLDER_10X, "barcodes.tsv": "a\na\n"},
        {},
        ["'a' (samples 1, 2)"],
    ),
    # images
    Case(
        "images, of two sizes",
        "faces",
        {"a.png": GREY, "b.png": GREY, "c.png": picture(np.ones((4, 5)))},
        {},
        ["1 image of 3", "4 × 4", "c.png (4 × 5)", "images: {height: 4, width: 4}"],
    ),
    Case(
        "images, cut short",
        "faces",
        {"a.png": GREY, "b.png": GREY[:-30]},
        {},
        ["b.png cannot be read as an image", "leave it out"],
    ),
    Case(
        "images, empty file", "faces", {"a.png": GREY, "b.pgm": b""}, {}, ["b.pgm cannot be read"]
    ),
    Case("images, text named png", "faces", {"a.png": "no picture"}, {}, ["a.png cannot be read"]),
    Case("images, a single one", "faces", {"a.png": GREY}, {}, ["one sample (a.png)"]),
    Case(
        "images, all black",
        "faces",
        {"a.png": picture(np.zeros((2, 2))), "b.png": picture(np.zeros((2, 2)))},
        {},
        ["all 4 features × 2 samples are zero"],
    ),
    Case(
        "images, height alone",
        "faces",
        {"a.png": GREY},
        {"images": {"height": 3}},
        ["both height and width"],
    ),
    Case(
        "images, none in the folder",
        "faces",
        {"a.gif": b"GIF89a"},
        {"format": "images"},
        ["holds no image", ".png"],
    ),
    Case(
        "images and texts",
        "mixed",
        {"a.png": GREY, "b.txt": "words"},
        {},
        ["several kinds", "format: images", "text"],
    ),
    Case(
        "images, a matrix in place of a stack",
        "x.npy",
        npy(np.ones((3, 3))),
        IMAGES,
        ["images × height × width", "(3, 3)"],
    ),
    Case(
        "images, a stack with colours",
        "x.npy",
        npy(np.ones((2, 3, 3, 3))),
        IMAGES,
        ["(2, 3, 3, 3)", "average the colours"],
    ),
    Case(
        "images, two stacks",
        "x.npz",
        npz(a=np.ones((2, 2, 2)), b=np.ones((2, 2, 2))),
        IMAGES,
        ["one stack", "a (2, 2, 2), b (2, 2, 2)"],
    ),
    Case(
        "images, a damaged stack",
        "x.npy",
        npy(np.ones((4, 4, 4)))[:-9],
        IMAGES,
        ["damaged", "again"],
    ),
    Case(
        "images, a stack to resize",
        "x.npy",
        npy(np.ones((4, 4, 4))),
        {**IMAGES, "images": {"height": 2, "width": 2}},
        ["only folders of images are resized"],
    ),
    Case(
        "a stack without its format",
        "x.npy",
        npy(np.ones((4, 4, 4))),
        {},
        ["shape (4, 4, 4)", "format: images"],
    ),
    # text
    Case("text, empty file", "x.txt", "", TEXT, ["x.txt is empty"]),
    Case(
        "text, no term in two documents",
        "x.txt",
        "one\ntwo\n",
        TEXT,
        ["no term of 2 documents is left", "min_documents"],
    ),
    Case(
        "text, one document",
        "x.txt",
        "one one two\n",
        {**TEXT, "text": {"min_documents": 1}},
        ["one sample (document_1)"],
    ),
    Case(
        "text, no regular expression",
        "x.txt",
        "a b\nb c\n",
        {**TEXT, "text": {"pattern": "("}},
        ["input.text.pattern '('", "Correct"],
    ),
    Case("text, a workbook", "x.txt", workbook(), TEXT, ["Excel workbook"]),
    Case("text, no text in the folder", "docs", {"a.md": "words"}, TEXT, ["holds no .txt file"]),
    Case(
        "text, an empty document",
        "docs",
        {"a.txt": "words here", "b.txt": ""},
        {},
        ["b.txt is empty"],
    ),
    Case("text read as a table", "x.txt", "A first line.\nAnother sentence.\n", {}, ["x.txt"]),
    # ratings
    Case(
        "ratings, two columns",
        "x.csv",
        "ann,a\nbob,b\n",
        RATINGS,
        ["2 columns", "user, item, rating"],
    ),
    Case(
        "ratings, text in place of a number",
        "x.csv",
        "user,item,rating\nann,a,5\nbob,a,good\n",
        RATINGS,
        ["line 3: the rating 'good' is not a number", "delete the line"],
    ),
    Case(
        "ratings, decimal comma",
        "x.csv",
        "u;i;r\nann;a;4,5\nbob;a;3\n",
        RATINGS,
        ["line 2", "'4,5'", "decimal point"],
    ),
    Case(
        "ratings, given twice",
        "x.csv",
        "ann,a,5\nbob,a,3\nann,a,4\n",
        RATINGS,
        ["1 rating given more than once", "'ann' of 'a' (lines 1 and 3)"],
    ),
    Case(
        "ratings, no item", "x.csv", "ann,a,5\nbob,,3\n", RATINGS, ["1 line without item, line 2"]
    ),
    Case(
        "ratings, negative",
        "x.csv",
        "ann,a,5\nbob,b,-3\n",
        RATINGS,
        ["1 negative value", "feature 'b', sample 'bob'"],
    ),
    Case(
        "ratings, NaN",
        "x.csv",
        "ann,a,5\nbob,b,nan\n",
        RATINGS,
        ["missing value", "absent: missing"],
    ),
    Case("ratings, ragged", "x.csv", "ann,a,5\nbob,b,3,9\nann,b,2\n", RATINGS, ["line 2: 4 cells"]),
    Case("ratings, header only", "x.csv", "user,item,rating\n", RATINGS, ["x.csv"]),
    Case(
        "ratings, no such column",
        "x.csv",
        "user,film,stars\nann,a,5\n",
        {**RATINGS, "ratings": {"user": "user", "item": "movie", "rating": "stars"}},
        ["no column 'movie' in the header (user, film, stars)"],
    ),
    Case(
        "ratings, one name of three",
        "x.csv",
        "user,film,stars\nann,a,5\n",
        {**RATINGS, "ratings": {"user": "user"}},
        ["only the column of user is named", "all of"],
    ),
    Case("ratings by one user", "x.csv", "ann,a,5\nann,b,3\n", RATINGS, ["one sample (ann)"]),
    # sound
    Case("sound, empty file", "x.wav", b"", {}, ["x.wav is empty"]),
    Case("sound, cut short", "x.wav", wav(TONE)[:-100], {}, ["x.wav is damaged", "Copy it again"]),
    Case(
        "sound, an MP3", "x.wav", b"ID3\x04" + bytes(200), {}, ["not a WAV file", "save it as WAV"]
    ),
    Case(
        "sound, silent",
        "x.wav",
        wav(np.zeros(4000, np.int16)),
        {},
        ["zero", "nothing to factorise"],
    ),
    Case(
        "sound, shorter than a window",
        "x.wav",
        wav(TONE[:500]),
        {},
        ["500 samples of sound", "window of 1024", "shorter window"],
    ),
    Case(
        "sound, hop beyond the window",
        "x.wav",
        wav(TONE),
        {"sound": {"window": 128, "hop": 200}},
        ["hop must be 1 … 128"],
    ),
    Case(
        "sound, NaN",
        "x.wav",
        wav(np.where(np.arange(4000) == 2000, np.nan, TONE)),
        {},
        ["missing value", "sample"],
    ),
    Case("sound, no samples", "x.wav", wav(TONE[:0]), {}, ["x.wav holds no sound"]),
    # mutations
    Case(
        "mutations, a type is missing",
        "x.txt",
        catalogue(SBS96[:-2]),
        MUTATIONS,
        ["94 of the 96", "T[T>G]G, T[T>G]T", "with 0"],
    ),
    Case(
        "mutations, an unknown type",
        "x.txt",
        catalogue(["KRAS", *SBS96]),
        MUTATIONS,
        ["row 1 is named 'KRAS'", "A[C>A]A", "format: table"],
    ),
    Case(
        "mutations, both strands",
        "x.txt",
        catalogue([*SBS96, "T[G>T]T"]),
        MUTATIONS,
        ["rows 1 and 97 are both A[C>A]A (T[G>T]T on the other strand)", "Add them up"],
    ),
    Case(
        "mutations, a change of nothing",
        "x.txt",
        catalogue([*SBS96, "A[C>C]A"]),
        MUTATIONS,
        ["row 97, 'A[C>C]A', changes nothing"],
    ),
    Case(
        "mutations, shares",
        "x.txt",
        catalogue(SBS96, 0.25),
        MUTATIONS,
        ["holds counts", "96 values are not whole", "0.25 of A[C>A]A"],
    ),
    Case(
        "mutations, doublets missing",
        "x.txt",
        catalogue(["AC>CA", "AC>CG"]),
        MUTATIONS,
        ["2 types where a doublet (DBS78) catalogue has 78"],
    ),
    Case(
        "mutations, a doublet that is none",
        "x.txt",
        catalogue(["AC>CA", "AC>C"]),
        MUTATIONS,
        ["row 2 is named 'AC>C'", "no doublet"],
    ),
    Case(
        "mutations without names",
        "x.txt",
        "1 2\n3 4\n",
        MUTATIONS,
        ["does not name its mutation types"],
    ),
    # which reader
    Case(
        "a folder of nothing known",
        "run",
        {"a.xlsx": b"x"},
        {},
        ["is a folder with none", "10x (matrix.mtx", "a.xlsx"],
    ),
    Case("an empty folder", "run", {}, {}, ["is a folder with none", "images (.png"]),
    Case(
        "a folder read as a table",
        "run",
        {"a.csv": GOOD},
        {"format": "table"},
        ["not read as table", "a.csv"],
    ),
]
