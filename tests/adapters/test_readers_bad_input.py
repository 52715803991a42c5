"""The bad-input corpus: each a real file, each answered in words with place and remedy."""

from __future__ import annotations

import errno
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nmfcore.adapters.readers import read_annotations, read_matrix, validate
from nmfcore.errors import ConfigError, InputError

GOOD = "id\ts1\ts2\ts3\ng1\t1\t2\t3\ng2\t4\t5\t6\n"


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def sparse_npz(matrix: Any) -> bytes:
    stream = io.BytesIO()
    sparse.save_npz(stream, matrix)
    return stream.getvalue()


def csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> bytes:
    """Write what no honest matrix would let pass."""
    return npz(
        format=np.array(b"csr"),
        shape=np.array(shape),
        data=np.array(data),
        indices=np.array(indices),
        indptr=np.array(indptr),
    )


def mtx(body: str, header: str = "coordinate real general") -> str:
    return f"%%MatrixMarket matrix {header}\n{body}"


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def workbook() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return stream.getvalue()


OBJECTS = npy(np.array([["a", 1], [2, 3]], dtype=object), allow_pickle=True)
ZSCORED = np.arange(40.0).reshape(4, 10) % 10
ZSCORED = (ZSCORED - ZSCORED.mean(1, keepdims=True)) / ZSCORED.std(1, keepdims=True)

# name of the case, file name, content, options, what the message must contain
CORPUS: list[tuple[str, str, bytes | str, dict[str, Any], list[str]]] = [
    # values that NMF cannot take
    (
        "negative",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\t-2.5\ng2\t-1\t4\n",
        {},
        ["x.tsv", "2 negative values of 4", "-2.5", "'g1', sample 's2'", "'g2'", "log"],
    ),
    (
        "negative, rows are samples",
        "x.tsv",
        "id\tg1\tg2\ns1\t1\t-2.5\ns2\t1\t4\n",
        {"orientation": "samples_by_features"},
        ["feature 'g2', sample 's1'"],
    ),
    (
        "negative, large",
        "x.csv",
        "id,s1,s2\ng1,1000,-250\ng2,5,4\n",
        {},
        ["1 negative value", "-250", "background"],
    ),
    ("z-scored", "x.npy", npy(ZSCORED), {}, ["20 negative values of 40", "z-scored"]),
    (
        "tiny negative",
        "x.npy",
        npy(np.array([[1.0, -1e-16], [2, 3]])),
        {},
        ["-1e-16", "rounding", "negative_tolerance"],
    ),
    (
        "negative beyond the tolerance",
        "x.npy",
        npy(np.array([[1.0, -1e-3], [2, 3]])),
        {"negative_tolerance": 1e-9},
        ["1 negative value", "-0.001"],
    ),
    (
        "negative in sparse",
        "x.npz",
        sparse_npz(sparse.csr_array([[0.0, 5], [-3, 0]])),
        {},
        ["1 negative value", "feature 'feature_2', sample 'sample_1' (-3)"],
    ),
    (
        "NaN in a table",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\tNaN\ng2\t3\t4\n",
        {},
        ["1 missing value", "feature 'g1', sample 's2'", "missing: mask"],
    ),
    (
        "NA and blanks in a table",
        "x.tsv",
        "id\ts1\ts2\ng1\tNA\t\ng2\t3\t4\n",
        {},
        ["2 missing values", "'s1'", "'s2'", "missing: mask"],
    ),
    (
        "infinite, also where missing is masked",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\tinf\ng2\t3\t4\n",
        {"missing": "mask"},
        ["1 infinite value", "feature 'g1', sample 's2'"],
    ),
    (
        "too large for float64",
        "x.csv",
        "id,s1,s2\ng1,1,1e999\ng2,3,4\n",
        {},
        ["too large for float64", "'s2'"],
    ),
    (
        "NaN in an array",
        "x.npy",
        npy(np.array([[1, np.nan], [2, 3]])),
        {},
        ["1 missing value", "feature 'feature_1', sample 'sample_2'"],
    ),
    ("inf in an array", "x.npy", npy(np.array([[1, np.inf], [2, 3]])), {}, ["infinite"]),
    (
        "NaN in sparse, masked",
        "x.npz",
        sparse_npz(sparse.csr_array([[1, np.nan], [2, 3]])),
        {"missing": "mask"},
        ["not supported in sparse", "dense table", "'feature_1', sample 'sample_2'"],
    ),
    (
        "inf in sparse",
        "x.npz",
        sparse_npz(sparse.csr_array([[1, np.inf], [2, 3]])),
        {},
        ["infinite", "'sample_2'"],
    ),
    ("all zero", "x.tsv", "id\ts1\ts2\ng1\t0\t0\n", {}, ["all 1 feature × 2 samples", "nothing"]),
    ("all zero sparse", "x.npz", sparse_npz(sparse.csr_array((3, 4))), {}, ["3 features", "zero"]),
    (
        "all missing",
        "x.tsv",
        "id\ts1\ts2\ng1\tNA\tNA\n",
        {"missing": "mask"},
        ["zero or missing", "nothing to factorise"],
    ),
    ("one sample", "x.tsv", "id\ts1\ng1\t1\ng2\t2\n", {}, ["one sample (s1)", "orientation"]),
    ("one sample, no corner", "x.tsv", "s1\ng1\t1\ng2\t2\n", {}, ["one sample (s1)"]),
    ("no samples", "x.npy", npy(np.zeros((3, 0))), {}, ["empty", "3 features × 0 samples"]),
    ("no features", "x.mtx", mtx("0 5 0\n"), {}, ["empty", "0 features × 5 samples"]),
    # text where numbers belong
    (
        "text in a cell",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\t2\ng2\tlow\t4\ng3\t5\thigh\n",
        {},
        ["2 cells are not numbers", "line 3, row 'g2', column 's1': 'low'", "'high'", "mask"],
    ),
    (
        "text in a cell of a table without ids",
        "x.txt",
        "1 2 3\n4 five 6\n",
        {},
        ["line 2, row 2, column 2: 'five'"],
    ),
    (
        "text, even where missing is masked",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\t?\ng2\t3\t4\n",
        {"missing": "mask"},
        ["line 2, row 'g1', column 's2': '?'", "NA"],
    ),
    (
        "an underscore is not a digit",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\t1_000\n",
        {},
        ["'1_000'", "1 cell is not a number"],
    ),
    (
        "a column of text",
        "x.tsv",
        "id\tDescription\ts1\ng1\tkinase a\t2\ng2\tkinase b\t4\n",
        {},
        ["2 cells are not numbers", "'Description'", "delete that column"],
    ),
    (
        "decimal commas between semicolons",
        "x.csv",
        "id;s1;s2\ng1;1,5;2,25\ng2;3;4,125\n",
        {},
        ["line 2, row 'g1', column 's1': '1,5'", "decimal point", "semicolon"],
    ),
    (
        "decimal commas without ids",
        "x.csv",
        "1,5;2,5;3,5\n2,5;1,5;1,5\n",
        {},
        ["'1,5'", "decimal point", "semicolon"],
    ),
    (
        "decimal commas between tabs",
        "x.tsv",
        "id\ts1\ts2\ng1\t1,5\t2\n",
        {},
        ["'1,5'", "decimal point"],
    ),
    (
        "decimal commas between commas",
        "x.csv",
        "id,s1,s2\ng1,1,5,2,5\ng2,1,5,2,5\n",
        {},
        ["line 1: 3 cells where the lines below have 5", "decimal comma"],
    ),
    (
        "thousands between commas",
        "x.csv",
        'id,s1,s2\ng1,"1,234",7\ng2,5,6\n',
        {},
        ["'1,234'", "thousands"],
    ),
    (
        "integers above 2^53",
        "x.tsv",
        "id\ts1\ts2\ng1\t1\t9007199254740993\n",
        {},
        ["1 integer above 2^53", "line 2, row 'g1', column 's2'", "9007199254740993"],
    ),
    # ids
    (
        "duplicate columns",
        "x.tsv",
        "id\ta\tb\ta\ng1\t1\t2\t3\n",
        {},
        ["1 sample id occurs more than once: 'a' (samples 1, 3)", "Rename"],
    ),
    (
        "duplicate rows",
        "x.tsv",
        "id\ta\tb\ng\t1\t2\nh\t1\t2\ng\t1\t2\nh\t1\t2\n",
        {},
        ["2 feature ids occur more than once: 'g' (features 1, 3), 'h' (features 2, 4)"],
    ),
    (
        "duplicates after stripping",
        "x.csv",
        "id,a, a\ng1,1,2\n",
        {},
        ["'a' (samples 1, 2)"],
    ),
    ("blank column id", "x.csv", "id,a,,c\ng,1,2,3\n", {}, ["line 1", "number 2", "Name every"]),
    ("blank row id", "x.csv", "id,a,b\ng,1,2\n,3,4\n", {}, ["1 row without an id", "line 3"]),
    ("rows of delimiters only", "x.csv", "id,a,b\ng,1,2\n,,\n", {}, ["line 3", "empty rows"]),
    (
        "values in place of column ids",
        "x.tsv",
        "g1\t1.5\t2.5\ng2\t3.5\t4.5\n",
        {},
        ["line 1", "decimal numbers (1.5, 2.5)", "add a line of column ids"],
    ),
    (
        "repeated values in place of column ids",
        "x.tsv",
        "g1\t0\t0\ng2\t3\t4\n",
        {},
        ["repeated numbers (0, 0)", "add a line of column ids"],
    ),
    (
        "values in place of row ids",
        "x.csv",
        "s1,s2\n0.5,2\n0.25,3\n",
        {},
        ["first column", "decimal numbers (0.5, 0.25)", "column of row ids"],
    ),
    # the shape of the text
    (
        "ragged row",
        "counts.tsv",
        GOOD + "g3\t7\t8\n",
        {},
        ["counts.tsv, line 4: 3 cells where the header has 4 (delimiter guessed: tab)", "stray"],
    ),
    (
        "several ragged rows, blank lines counted",
        "x.csv",
        "id,a,b\n\ng1,1,2\ng2,1\ng3,1,2,3\n",
        {},
        ["line 4: 2 cells", "3 (delimiter guessed: comma)", "2 lines like this: 4, 5"],
    ),
    (
        "ragged without corner",
        "x.csv",
        "a,b\ng1,1,2\ng2,1,2\ng3,1\n",
        {},
        ["line 4: 2 cells where 3 are expected"],
    ),
    (
        "title above the header",
        "x.tsv",
        "My experiment\n" + GOOD,
        {},
        ["line 1: 1 cell where the lines below have 4", "title"],
    ),
    (
        "trailing delimiters",
        "x.csv",
        "id,a,b,\ng1,1,2,\ng2,1,2,\n",
        {},
        ["line 1", "without an id", "stray delimiter"],
    ),
    (
        "trailing delimiters below the header, masked",
        "x.csv",
        "id,a,b\ng1,1,2,\ng2,1,2,\n",
        {"missing": "mask"},
        ["every line from line 2 ends in a delimiter", "comma", "Remove"],
    ),
    ("one column", "x.csv", "5\n6\n7\n", {}, ["single column", "guessed from the name: comma"]),
    (
        "a delimiter nobody expects",
        "x.tsv",
        "id|s1|s2\ng1|1|2\n",
        {},
        ["single column", "tab", "'id|s1|s2'", "tabs or commas"],
    ),
    ("empty file", "x.tsv", "", {}, ["x.tsv is empty", "nothing to factorise"]),
    ("blank lines only", "x.csv", "\n \n\n", {}, ["x.csv is empty"]),
    ("byte-order mark only", "x.csv", b"\xef\xbb\xbf", {}, ["empty"]),
    ("header only", "x.tsv", "id\ts1\ts2\n", {}, ["header line and nothing below"]),
    (
        "open quote",
        "x.csv",
        'id,a,b\ng1,1,2\n"g2,1,2\n',
        {},
        ["x.csv, line 3", "quotes", "do not pair up"],
    ),
    (
        "truncated UTF-16",
        "x.tsv",
        GOOD.encode("utf-16")[:-1],
        {},
        ["x.tsv", "UTF-16", "byte", "UTF-8"],
    ),
    ("binary", "x.txt", bytes(range(256)) * 3, {}, ["not a text file", "zero bytes"]),
    (
        "zeros after an interrupted copy",
        "x.tsv",
        GOOD.encode() + bytes(100),
        {},
        ["ends in 100 zero bytes", "Copy it again"],
    ),
    ("a workbook named csv", "x.csv", workbook(), {}, ["Excel workbook", "CSV"]),
    ("a web page", "x.tsv", "<!DOCTYPE html><html>Sign in</html>", {}, ["web page", "download"]),
    ("an array named tsv", "x.tsv", npy(np.eye(2)), {}, ["NumPy file", ".npy"]),
    ("Matrix Market named txt", "x.txt", mtx("1 1 1\n1 1 1\n"), {}, ["Matrix Market", ".mtx"]),
    # compression
    (
        "gzip cut short",
        "x.tsv.gz",
        gzip.compress(GOOD.encode())[:-12],
        {},
        ["x.tsv.gz", "incompletely", "again"],
    ),
    (
        "gzip damaged",
        "x.tsv.gz",
        flipped(gzip.compress(GOOD.encode() * 50)),
        {},
        ["x.tsv.gz", "again"],
    ),
    ("gzip that is none", "x.csv.gz", GOOD, {}, ["not compressed by gzip", "Rename it to x.csv"]),
    ("gzip without the name", "x.tsv", gzip.compress(GOOD.encode()), {}, ["x.tsv.gz", "Rename"]),
    ("gzip of nothing", "x.tsv.gz", gzip.compress(b""), {}, ["empty"]),
    ("empty gzip", "x.tsv.gz", b"", {}, ["empty"]),
    # NumPy
    ("objects", "x.npy", OBJECTS, {}, ["Python objects", "dtype object", "astype(float)"]),
    ("complex", "x.npy", npy(np.eye(2) * 1j), {}, ["complex", "Save real"]),
    ("text array", "x.npy", npy(np.array([["1", "2"], ["3", "4"]])), {}, ["text", "astype"]),
    ("dates", "x.npy", npy(np.zeros((2, 2), "M8[D]")), {}, ["no numbers", "datetime64"]),
    ("fields", "x.npy", npy(np.zeros((2, 2), [("a", float)])), {}, ["named fields"]),
    ("vector", "x.npy", npy(np.ones(5)), {}, ["shape (5,)", "features × samples"]),
    ("cube", "x.npy", npy(np.ones((2, 2, 2))), {}, ["shape (2, 2, 2)"]),
    (
        "int64 above 2^53",
        "x.npy",
        npy(np.array([[1, 2**53 + 1], [3, 4]])),
        {},
        ["1 value of type int64 above 2^53", "'sample_2'", "9007199254740993", "power of ten"],
    ),
    (
        "uint64 above 2^53",
        "x.npy",
        npy(np.array([[1, 2**64 - 1], [3, 4]], np.uint64)),
        {},
        ["uint64", "18446744073709551615"],
    ),
    (
        "sparse int64 above 2^53",
        "x.npz",
        sparse_npz(sparse.csc_array(np.array([[0, 1], [2**53 + 1, 0]]))),
        {},
        ["int64", "feature 'feature_2', sample 'sample_1' (9007199254740993)"],
    ),
    ("npy cut short", "x.npy", npy(np.ones((9, 9)))[:-30], {}, ["damaged", "again"]),
    ("npy header cut short", "x.npy", npy(np.ones((9, 9)))[:30], {}, ["damaged"]),
    ("empty npy", "x.npy", b"", {}, ["x.npy is empty"]),
    ("text named npy", "x.npy", GOOD, {}, ["not a NumPy file", "np.save"]),
    ("text named npz", "x.npz", GOOD, {}, ["not a NumPy file"]),
    ("npz cut short", "x.npz", npz(values=np.ones((9, 9)))[:-30], {}, ["damaged"]),
    ("npz with a flipped bit", "x.npz", flipped(npz(values=np.ones((9, 9)))), {}, ["damaged"]),
    ("a workbook named npz", "x.npz", workbook(), {}, ["one matrix"]),
    ("empty npz", "x.npz", npz(), {}, ["one matrix", "nothing"]),
    (
        "two matrices",
        "x.npz",
        npz(a=np.eye(2), b=np.eye(3)),
        {},
        ["a (2, 2), b (3, 3)", "'values'"],
    ),
    ("values that are a vector", "x.npz", npz(values=np.ones(3)), {}, ["shape (3,)"]),
    (
        "ids of the other axis",
        "x.npz",
        npz(values=np.ones((2, 3)), feature_ids=list("abc"), sample_ids=list("xy")),
        {},
        ["2 features × 3 samples", "ids name 3 × 2", "transposed", "orientation"],
    ),
    (
        "too few ids",
        "x.npz",
        npz(values=np.ones((2, 3)), feature_ids=list("a")),
        {},
        ["2 features × 3 samples", "ids name 1 × 3"],
    ),
    (
        "blank ids",
        "x.npz",
        npz(values=np.ones((2, 3)), feature_ids=["a", ""]),
        {},
        ["1 feature without an id", "position 2"],
    ),
    (
        "ids that are decimals",
        "x.npz",
        npz(values=np.ones((2, 3)), feature_ids=np.ones(2)),
        {},
        ["feature_ids", "float64", "dtype=str"],
    ),
    (
        "index out of bounds",
        "x.npz",
        csr([1.0, 2.0], [0, 9], [0, 1, 2], (2, 3)),
        {},
        ["damaged", "again"],
    ),
    (
        "indptr ends below zero",
        "x.npz",
        csr([1.0, 2.0, 3.0], [0, 1, 2], [0, 2, -1], (2, 3)),
        {},
        ["damaged", "indptr does not rise"],
    ),
    ("indptr falls", "x.npz", csr([1.0, 2.0], [0, 1], [0, 3, 2], (2, 3)), {}, ["does not rise"]),
    ("negative index", "x.npz", csr([1.0, 2.0], [0, -1], [0, 1, 2], (2, 3)), {}, ["outside 0 … 2"]),
    ("indptr too short", "x.npz", csr([1.0, 2.0], [0, 1], [0, 2], (2, 3)), {}, ["damaged"]),
    ("absurd size", "x.mtx", mtx("99999999999 2 1\n1 1 1\n"), {}, ["99,999,999,999", "header"]),
    # Matrix Market
    (
        "index 0",
        "x.mtx",
        mtx("2 2 2\n1 1 5\n0 1 5\n"),
        {},
        ["x.mtx, line 4: '0 1 5'", "row outside 1 … 2", "begin at 1"],
    ),
    (
        "index too large",
        "x.mtx",
        mtx("% comment\n2 2 1\n1 3 5\n"),
        {},
        ["line 4", "column outside 1 … 2"],
    ),
    ("index no integer", "x.mtx", mtx("2 2 1\n1.5 1 5\n"), {}, ["line 3", "row outside"]),
    (
        "body cut short",
        "x.mtx",
        mtx("2 2 3\n1 1 5\n2 2 6\n"),
        {},
        ["promises 3 entries but holds 2", "cut short", "again"],
    ),
    (
        "body too long",
        "x.mtx",
        mtx("2 2 1\n1 1 5\n2 2 6\n"),
        {},
        ["promises 1 entry but holds 2", "line 4"],
    ),
    (
        "line cut short",
        "x.mtx",
        mtx("2 2 2\n1 1 5\n2 2\n"),
        {},
        ["line 4: '2 2' where 'row column value'"],
    ),
    ("surplus number", "x.mtx", mtx("2 2 1\n1 1 5 7\n"), {}, ["line 3: '1 1 5 7'"]),
    ("text value", "x.mtx", mtx("2 2 1\n1 1 5abc\n"), {}, ["line 3: '5abc' is not a number"]),
    ("decimal comma", "x.mtx", mtx("2 2 1\n1 1 1,5\n"), {}, ["line 3: '1,5'", "decimal point"]),
    (
        "fraction among integers",
        "x.mtx",
        mtx("2 2 1\n1 1 1.5\n", "coordinate integer general"),
        {},
        ["line 3", "whole number", "real"],
    ),
    (
        "huge integer",
        "x.mtx",
        mtx("2 2 1\n1 1 9007199254740993\n", "coordinate integer general"),
        {},
        ["line 3", "2^53"],
    ),
    ("NaN in Matrix Market", "x.mtx", mtx("2 2 1\n1 1 nan\n"), {}, ["missing value", "sparse"]),
    (
        "pattern",
        "x.mtx",
        mtx("2 2 1\n1 1\n", "coordinate pattern general"),
        {},
        ["line 1", "pattern", "write a 1"],
    ),
    (
        "complex field",
        "x.mtx",
        mtx("2 2 1\n1 1 1 1\n", "coordinate complex general"),
        {},
        ["complex", "not read"],
    ),
    (
        "hermitian",
        "x.mtx",
        mtx("2 2 1\n1 1 1\n", "coordinate real hermitian"),
        {},
        ["hermitian", "not read"],
    ),
    ("symmetric, not square", "x.mtx", mtx("2 3 0\n", "coordinate real symmetric"), {}, ["square"]),
    (
        "symmetric, upper half",
        "x.mtx",
        mtx("2 2 2\n2 1 4\n1 2 4\n", "coordinate real symmetric"),
        {},
        ["line 4: '1 2 4'", "above the diagonal", "general"],
    ),
    (
        "array cut short",
        "x.mtx",
        mtx("2 2\n1\n2\n3\n", "array real general"),
        {},
        ["4 values (2 × 2) but holds 3"],
    ),
    (
        "array in rows",
        "x.mtx",
        mtx("2 2\n1 2\n3 4\n5\n6\n", "array real general"),
        {},
        ["line 3: '1 2' where one value"],
    ),
    ("no size line", "x.mtx", mtx("% only a comment\n"), {}, ["ends before its size line"]),
    ("bad size line", "x.mtx", mtx("2 2\n1 1 5\n"), {}, ["line 2: '2 2'", "rows columns entries"]),
    ("negative size", "x.mtx", mtx("-2 2 0\n"), {}, ["line 2", "whole numbers"]),
    ("no banner", "x.mtx", "2 2 1\n1 1 5\n", {}, ["does not begin with %%MatrixMarket", ".csv"]),
    ("odd banner", "x.mtx", "%%MatrixMarket vector\n1\n", {}, ["line 1", "understood"]),
    ("table in mtx", "x.mtx", GOOD, {}, ["%%MatrixMarket"]),
    ("mtx cut in gzip", "x.mtx.gz", gzip.compress(mtx("2 2 0\n").encode())[:20], {}, ["again"]),
    # what is not read at all
    ("unknown ending", "x.xlsx", workbook(), {}, ["not read", ".csv", ".mtx.gz", "Excel"]),
    ("no ending", "counts", GOOD, {}, ["counts", ".tsv"]),
]


@pytest.mark.parametrize(
    ("filename", "content", "options", "fragments"),
    [pytest.param(*case[1:], id=case[0]) for case in CORPUS],
)
def test_a_bad_file_is_named_with_place_and_remedy(
    tmp_path: Path,
    filename: str,
    content: bytes | str,
    options: dict[str, Any],
    fragments: list[str],
) -> None:
    path = tmp_path / filename
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        read_matrix(path, **options)
    message = str(caught.value)
    for fragment in [filename.split(".")[0], *fragments]:
        assert fragment in message, message
    assert message.endswith("."), message
    assert len(message) < 700, message
    assert path.read_bytes() == before


def test_a_missing_file_is_guessed_among_its_siblings(tmp_path: Path) -> None:
    (tmp_path / "counts.tsv").write_text(GOOD)
    with pytest.raises(InputError, match=r"does not exist. Did you mean counts\.tsv\?"):
        read_matrix(tmp_path / "Count.tsv")
    with pytest.raises(InputError, match=r"its folder holds counts\.tsv"):
        read_matrix(tmp_path / "zzz.npy")
    with pytest.raises(InputError, match="there is no folder"):
        read_matrix(tmp_path / "nowhere" / "x.tsv")
    with pytest.raises(InputError, match="does not exist"):
        read_matrix(tmp_path / "counts.tsv" / "x.tsv")


@pytest.mark.parametrize("name", ["x" * 300 + ".tsv", "a\0b.tsv"])
def test_an_impossible_path_is_an_input_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="Check the path"):
        read_matrix(tmp_path / name)


def test_a_folder_is_an_input_error(tmp_path: Path) -> None:
    folder = tmp_path / "run.tsv"
    folder.mkdir()
    (folder / "matrix.mtx.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"is a folder.*matrix\.mtx\.gz"):
        read_matrix(folder)


@pytest.mark.parametrize(("name", "opener"), [("x.tsv", "read_bytes"), ("x.npy", "open")])
def test_permission_denied_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, opener: str
) -> None:
    # Root may read everything, so the refusal is played.
    path = tmp_path / name
    path.write_text(GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, opener, refuse)
    with pytest.raises(InputError, match=r"permission denied.*chmod"):
        read_matrix(path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"orientation": "sideways"}, "features_by_samples, samples_by_features"),
        ({"missing": "drop"}, "error, mask"),
        ({"negative_tolerance": -1.0}, "negative_tolerance"),
        ({"negative_tolerance": float("nan")}, "negative_tolerance"),
    ],
)
def test_a_senseless_setting_is_a_config_error(
    tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match=match):
        read_matrix(path, **options)


def ids_case(features: str | None, samples: str | None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        np.save(folder / "x.npy", np.ones((2, 3)))
        options = {}
        for key, content in (("feature_ids", features), ("sample_ids", samples)):
            if content is not None:
                (folder / f"{key}.txt").write_text(content)
                options[key] = folder / f"{key}.txt"
        return read_matrix(folder / "x.npy", **options)

    return read


@pytest.mark.parametrize(
    ("read", "fragments"),
    [
        (
            ids_case("a\nb\nc\n", None),
            ["names 3 features (a, b, c)", "2 features × 3 samples", "transposed"],
        ),
        (ids_case(None, "a\nb\n"), ["names 2 samples", "transposed"]),
        (ids_case("a\n", None), ["names 1 feature (a)", "one id a line"]),
        (ids_case(None, "odd\na\nb\nc\n"), ["4 samples", "first line ('odd') is a header"]),
        (ids_case("a\n\tx\n", None), ["without an id", "line 2"]),
        (ids_case("a\na\n", None), ["'a' (features 1, 2)"]),
        (ids_case("", None), ["feature_ids.txt is empty"]),
    ],
)
def test_ids_must_fit_the_axis(
    tmp_path: Path, read: Callable[[Path], Any], fragments: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_table_with_ids_takes_no_others(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(GOOD)
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"names its features itself \(g1, g2\).*Leave out"):
        read_matrix(tmp_path / "x.tsv", feature_ids=tmp_path / "ids.txt")
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(InputError, match="Did you mean"):
        read_matrix(tmp_path / "x.npy", sample_ids=tmp_path / "id.txt")


ANNOTATIONS = "sample\tsubtype\ts1\tx\n"


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (
            "sample\tsubtype\nt1\tA\nt2\tB\n",
            ["2 ids of 2", "'t1', 't2'", "3 samples of 3", "'s1', 's2'", "exactly"],
        ),
        ("sample\tsubtype\ns1\tA\nS2\tB\n", ["1 id of 2", "'S2'", "2 samples of 3"]),
        ("gene\tpathway\ng1\tA\ng2\tB\n", ["'g1'", "transposed", "orientation"]),
        ("s1\tA\ns2\tB\n", ["line 1", "header line"]),
        ("sample\nA\n", ["single column", "tab"]),
        ("sample\tsubtype\n", ["single line"]),
        ("sample\tsubtype\ns1\tA\ns1\tB\n", ["sample id more than once: 's1'"]),
        ("sample\tx\tx\ns1\tA\tB\n", ["column more than once: 'x'"]),
        ("sample\tx\t\ns1\tA\tB\n", ["column left blank"]),
        ("sample\tx\ty\ns1\tA\tB\ns2\tA\n", ["line 3: 2 cells"]),
        ("", ["empty"]),
    ],
)
def test_annotations_must_be_about_the_samples(
    tmp_path: Path, content: str, fragments: list[str]
) -> None:
    path = tmp_path / "annotations.tsv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_annotations(path, ["s1", "s2", "s3"], feature_ids=["g1", "g2"])
    for fragment in ["annotations.tsv", *fragments]:
        assert fragment in str(caught.value), str(caught.value)


def test_missing_annotations_are_guessed(tmp_path: Path) -> None:
    (tmp_path / "annotation.tsv").write_text(ANNOTATIONS)
    with pytest.raises(InputError, match=r"Did you mean annotation\.tsv"):
        read_annotations(tmp_path / "annotations.tsv", ["s1"])


def test_validate_names_the_axes_of_a_transposed_array() -> None:
    with pytest.raises(InputError, match="transposed"):
        validate(np.ones((2, 3)), ["a", "b", "c"], ["x", "y"], source="V")
    with pytest.raises(InputError, match="two dimensions"):
        validate(np.ones(3), ["a", "b", "c"], ["x"], source="V")


@pytest.mark.parametrize("kind", ["npy", "npz", "csr", "coo", "mtx", "tsv", "tsv.gz", "utf16"])
def test_no_flip_and_no_cut_raises_anything_else(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(7)
    V = rng.poisson(1.0, (6, 5)).astype(float)
    table = "\n".join(["id\t" + "\t".join("abcde")] + ["r\t1\t2\t3\t4\t5"] * 1)
    whole = {
        "npy": npy(V),
        "npz": npz(values=V, feature_ids=list("abcdef")),
        "csr": sparse_npz(sparse.csr_array(V)),
        "coo": sparse_npz(sparse.coo_array(V)),
        "mtx": mtx("2 2 2\n1 1 5\n2 2 6\n").encode(),
        "tsv": table.encode(),
        "tsv.gz": gzip.compress(table.encode()),
        "utf16": table.encode("utf-16"),
    }[kind]
    suffix = {"csr": "npz", "coo": "npz", "utf16": "txt"}.get(kind, kind)
    path = tmp_path / f"x.{suffix}"
    for _ in range(60):
        position = int(rng.integers(len(whole)))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        for content in (bytes(damaged), whole[:position]):
            path.write_bytes(content)
            try:
                read_matrix(path)
            except InputError as error:
                assert str(error).strip()  # noqa: PT017
