"""Tables: every honest way to write the same matrix reads the same."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nmfcore.adapters.readers import describe, read_annotations, read_matrix

GOOD = "id\ts1\ts2\ts3\ng1\t1\t2\t3\ng2\t4\t5.5\t6e1\n"
VALUES = [[1, 2, 3], [4, 5.5, 60]]


def read(tmp_path: Path, content: str | bytes, name: str = "x.tsv", **options: Any) -> Any:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_matrix(path, **options)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.tsv", GOOD),
        ("X.TSV", GOOD),
        ("x.txt", GOOD),
        ("x.csv", GOOD.replace("\t", ",")),
        ("x.csv", GOOD.replace("\t", ";")),
        ("x.csv", GOOD),
        ("x.tsv", GOOD.replace("\t", ",")),
        ("x.txt", GOOD.replace("\t", " ")),
        ("x.txt", GOOD.replace("\t", "    ")),
        ("x.txt", GOOD.replace("id", "  ").replace("\t", "  ")),
        ("x.tsv", GOOD.replace("id\t", "\t")),
        ("x.tsv", GOOD.replace("id\t", "")),
        ("x.txt", GOOD.replace("id\t", "").replace("\t", " ")),
        ("x.txt", 'id "s1" "s2" "s3"\n"g1" 1 2  3\n"g2" 4 5.5 60\n'),
        ("x.csv", '"","s1","s2","s3"\n"g1",1,2,3\n"g2",4,5.5,60\n'),
        ("x.csv", 'id,s1,s2,s3\n"g1","1","2","3"\ng2," 4",5.5 ,+60.\n'),
        ("x.tsv", GOOD.rstrip("\n")),
        ("x.tsv", GOOD.replace("\n", "\r\n")),
        ("x.tsv", GOOD.replace("\n", "\r")),
        ("x.tsv", "\n" + GOOD.replace("\n", "\n\n") + "  \n"),
        ("x.tsv", GOOD.encode("utf-8-sig")),
        ("x.tsv", GOOD.encode("utf-16")),
        ("x.tsv", GOOD.encode("utf-16-le")),
        ("x.tsv", GOOD.encode("utf-16-be")),
        ("x.tsv", GOOD.encode("utf-32")),
        ("x.tsv.gz", gzip.compress(GOOD.encode(), mtime=0)),
        ("x.csv.gz", gzip.compress(GOOD.replace("\t", ",").encode("utf-16"), mtime=0)),
        (
            "x.txt.gz",
            gzip.compress(GOOD[:20].encode(), mtime=0) + gzip.compress(GOOD[20:].encode(), mtime=0),
        ),
    ],
)
def test_one_matrix_in_many_spellings(tmp_path: Path, name: str, content: str | bytes) -> None:
    matrix = read(tmp_path, content, name)
    assert matrix.values.tolist() == VALUES
    assert matrix.feature_ids.tolist() == ["g1", "g2"]
    assert matrix.sample_ids.tolist() == ["s1", "s2", "s3"]
    assert matrix.values.dtype == np.float64
    assert matrix.values.flags.c_contiguous
    assert matrix.observed is None


def test_rows_may_be_samples(tmp_path: Path) -> None:
    matrix = read(tmp_path, GOOD, orientation="samples_by_features")
    assert matrix.values.tolist() == np.transpose(VALUES).tolist()
    assert matrix.values.flags.c_contiguous
    assert matrix.feature_ids.tolist() == ["s1", "s2", "s3"]
    assert matrix.sample_ids.tolist() == ["g1", "g2"]


@pytest.mark.parametrize("cell", ["", "NA", "NaN", "nan", " NA ", "N/A", "#N/A", "null"])
def test_missing_cells_are_masked_on_request(tmp_path: Path, cell: str) -> None:
    matrix = read(tmp_path, f"id\ts1\ts2\ng1\t{cell}\t2\ng2\t3\t{cell}\n", missing="mask")
    assert matrix.values.tolist() == [[0, 2], [3, 0]]
    assert matrix.observed.tolist() == [[False, True], [True, False]]
    assert "2 missing values masked, a share of 0.5" in matrix.notices[-1]


def test_missing_cells_follow_the_orientation(tmp_path: Path) -> None:
    content = "id\tg1\tg2\tg3\ns1\t1\tNA\t2\ns2\t3\t4\t5\n"
    matrix = read(tmp_path, content, missing="mask", orientation="samples_by_features")
    assert matrix.observed.tolist() == [[True, True], [False, True], [True, True]]


def test_one_feature_may_have_missing_cells(tmp_path: Path) -> None:
    content = "id\tg1\ns1\t1\ns2\t\ns3\t3\n"
    matrix = read(tmp_path, content, missing="mask", orientation="samples_by_features")
    assert matrix.values.tolist() == [[1, 0, 3]]
    assert matrix.observed.tolist() == [[True, False, True]]


def test_nothing_is_masked_where_nothing_is_missing(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD, missing="mask").observed is None


def test_a_table_of_numbers_has_no_ids(tmp_path: Path) -> None:
    matrix = read(tmp_path, "5\t3\t2\n4\t1\t0\n")
    assert matrix.values.tolist() == [[5, 3, 2], [4, 1, 0]]
    assert matrix.feature_ids.tolist() == ["feature_1", "feature_2"]
    assert matrix.sample_ids.tolist() == ["sample_1", "sample_2", "sample_3"]
    assert "holds only numbers" in matrix.notices[0]
    assert "sample_1 … sample_3" in matrix.notices[2]


def test_a_first_line_that_counts_is_doubted(tmp_path: Path) -> None:
    assert "if that numbers the columns" in read(tmp_path, "0,1,2\n4,1,0\n", "x.csv").notices[0]
    assert "if that numbers the columns" not in read(tmp_path, "0,1,3\n4,1,0\n", "x.csv").notices[0]


@pytest.mark.parametrize("corner", ["id\t", "\t", ""])
def test_numeric_ids_under_a_corner_are_ids(tmp_path: Path, corner: str) -> None:
    matrix = read(tmp_path, f"{corner}101\t102\n7\t1\t2\n8\t3\t4\n")
    assert matrix.sample_ids.tolist() == ["101", "102"]
    assert matrix.feature_ids.tolist() == ["7", "8"]
    assert matrix.values.tolist() == [[1, 2], [3, 4]]
    assert "column ids of x.tsv (line 1) are numbers (101, 102)" in matrix.notices[0]
    assert "row ids" in matrix.notices[1]


def test_a_numeric_table_takes_ids_from_files(tmp_path: Path) -> None:
    # As the ALL/AML leukaemia data come: CRLF, a header on the genes, zero bytes after the samples.
    (tmp_path / "genes.txt").write_bytes(b"Name\tDescription\r\nM1\tkinase\r\nM2\tother\r\n")
    (tmp_path / "samples.txt").write_bytes(b"a\r\nb\r\nc\r\n" + bytes(50))
    matrix = read(
        tmp_path,
        "1\t2\t3\r\n4\t5\t6\r\n",
        "x.txt",
        feature_ids=tmp_path / "genes.txt",
        sample_ids=str(tmp_path / "samples.txt"),
    )
    assert matrix.feature_ids.tolist() == ["M1", "M2"]
    assert matrix.sample_ids.tolist() == ["a", "b", "c"]
    assert any("first line (Name) is read as a header" in notice for notice in matrix.notices)
    assert any("50 zero bytes" in notice for notice in matrix.notices)


def test_ids_stay_text(tmp_path: Path) -> None:
    content = 'id,NA,1e5,TRUE\nNaN,1,2,3\n007,4,5,6\n"a, ""b""",7,8,9\n5\' end;x y,1,1,1\n'
    matrix = read(tmp_path, content, "x.csv")
    assert matrix.feature_ids.tolist() == ["NaN", "007", 'a, "b"', "5' end;x y"]
    assert matrix.sample_ids.tolist() == ["NA", "1e5", "TRUE"]


@pytest.mark.parametrize(
    "content",
    [
        "id,s1,s2\nk__B;p__F,1,2\nk__B;p__A,3,4\n",
        "id;x,s1,s2\nk__B;p__F,1,2\nk__B;p__A,3,4\n",
        "id\ts 1\ts 2\nk B\t1\t2\nk C\t3\t4\n",
        "id\ts,1\ts,2\nk,B\t1\t2\nk,C\t3\t4\n",
    ],
)
def test_delimiters_inside_ids_do_not_mislead(tmp_path: Path, content: str) -> None:
    matrix = read(tmp_path, content, "x.csv")
    assert matrix.values.tolist() == [[1, 2], [3, 4]]
    assert matrix.feature_ids[0].startswith("k")


def test_other_encodings_are_noticed(tmp_path: Path) -> None:
    content = "id\ts1\ts2\ng1\t1\t2\nMüller\t3\t4\n"
    latin = read(tmp_path, content.encode("latin-1"))
    assert latin.feature_ids.tolist() == ["g1", "Müller"]
    assert "not UTF-8 (first seen on line 3, near 'Müller" in latin.notices[0]
    windows = read(tmp_path, content.replace("ü", "€").encode("cp1252"))
    assert windows.feature_ids[1] == "M€ller"
    oldest = read(tmp_path, content.replace("ü", "\x81ü").encode("latin-1"))
    assert oldest.feature_ids[1] == "M\x81üller"
    wide = read(tmp_path, content.encode("utf-16"))
    assert wide.feature_ids[1] == "Müller"
    assert "UTF-16" in wide.notices[0]


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**53, 2.0**60, 1e22, 0.0]
    cells = ["0.1", repr(1 / 3), "5e-324", "1.7976931348623157e308", str(2**53), str(2**60)]
    row = "\t".join([*cells, "1" + "0" * 22, "1e-400"])
    matrix = read(tmp_path, "id\t" + "\t".join("abcdefgh") + f"\ng\t{row}\n")
    assert matrix.values.tolist() == [values]


def test_tiny_negatives_within_the_tolerance_become_zero(tmp_path: Path) -> None:
    matrix = read(tmp_path, "id\ta\tb\ng\t-1e-16\t2\n", negative_tolerance=1e-12)
    assert matrix.values.tolist() == [[0, 2]]
    assert "1 negative value down to -1e-16 set to 0" in matrix.notices[-1]


def test_describe_shows_which_axis_is_which(tmp_path: Path) -> None:
    text = describe(read(tmp_path, GOOD))
    assert text == "2 features (g1, g2) × 3 samples (s1, s2, …)"


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(" ;,\t\"'"),
    min_size=1,
    max_size=8,
).map(lambda name: "n" + name.strip() + "n")


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Any, list[str], list[str]]:
    shape = draw(st.tuples(st.integers(2, 5), st.integers(2, 5)))
    finite = st.floats(0, allow_infinity=False)
    values = draw(hnp.arrays(float, shape, elements=finite))
    values[0, 0] = 1
    ids = [draw(st.lists(NAMES, min_size=n, max_size=n, unique=True)) for n in shape]
    return values, ids[0], ids[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    labelled(),
    st.sampled_from("\t,;"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path: Path,
    matrix: tuple[Any, list[str], list[str]],
    delimiter: str,
    encoding: str,
    line_end: str,
    transposed: bool,
    packed: bool,
) -> None:
    values, rows, columns = matrix
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(["id", *columns])
    writer.writerows(
        [name, *map(repr, row)] for name, row in zip(rows, values.tolist(), strict=True)
    )
    content = stream.getvalue().encode(encoding)
    orientation = "samples_by_features" if transposed else "features_by_samples"
    result = read(
        tmp_path,
        gzip.compress(content, mtime=0) if packed else content,
        "x.txt.gz" if packed else "x.txt",
        orientation=orientation,
    )
    if transposed:
        values, rows, columns = values.T, columns, rows
    np.testing.assert_array_equal(result.values, values)
    assert result.feature_ids.tolist() == rows
    assert result.sample_ids.tolist() == columns


def annotated(tmp_path: Path, content: str, samples: list[str]) -> dict[str, list[str]]:
    path = tmp_path / "annotations.tsv"
    path.write_text(content)
    return read_annotations(path, samples)


def test_annotations_follow_the_samples(tmp_path: Path) -> None:
    content = "sample\tsubtype\tage\ns2\tT cell\t7\ns1\tB cell\t\n"
    assert annotated(tmp_path, content, ["s1", "s2", "s3"]) == {
        "subtype": ["B cell", "T cell", ""],
        "age": ["", "7", ""],
    }


def test_annotations_of_a_larger_cohort_are_welcome(tmp_path: Path) -> None:
    assert annotated(tmp_path, "subtype\ns1\tB\ns2\tT\ns3\tB\n", ["s3", "s1"]) == {
        "subtype": ["B", "B"]
    }
