import re

import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcovid_lib import forms
from deepcovid_lib.problems import Problem

SCHEMA = pa.DataFrameSchema(
    {
        "name": forms.text("name"),
        "side": forms.choice("side", ("left", "right")),
        "share": pa.Column(float, pa.Check.in_range(0, 1, error="share {share} is out of range; mend it"), coerce=True),
    },
    checks=[pa.Check(lambda frame: frame["name"] != frame["side"], error="name {name} is a side; choose another")],
    strict=True,
)


@pytest.fixture
def table():
    return pd.DataFrame({"name": ["a", "b", "c"], "side": ["left", "right", "left"], "share": ["0", "0.5", "1"]})


def written(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return path


def refusal(function, *arguments, **options):
    """Return the one line of the problem that a call meets."""
    with pytest.raises(Problem) as caught:
        function(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert "; " in line
    return line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("trailing", ["", "\n\n"])
def test_every_common_way_to_write_a_csv_reads_the_same(tmp_path, encoding, end, trailing):
    content = end.join(["name,side", 'é,"one, two"', "NA,", "7,null"]) + trailing.replace("\n", end)
    frame = forms.read(written(tmp_path / "t.csv", content, encoding))
    assert frame.to_dict("list") == {"name": ["é", "NA", "7"], "side": ["one, two", "", "null"]}


def test_quoted_line_breaks_stay_in_their_cell(tmp_path):
    frame = forms.read(written(tmp_path / "t.csv", 'name,side\n"two\r\nlines",x\n'))
    assert frame.loc[0, "name"] == "two\r\nlines"


@pytest.mark.parametrize(("encoding", "row"), [("latin-1", 3), ("utf-16", 1)])
def test_other_encodings_are_refused_with_the_row(tmp_path, encoding, row):
    path = written(tmp_path / "t.csv", "name,side\na,b\né,c\n", encoding)
    assert f"row {row}: is not UTF-8 text" in refusal(forms.read, path)


def test_ragged_rows_are_refused_with_the_row_an_editor_shows(tmp_path):
    path = written(tmp_path / "t.csv", 'name,side\n"two\nlines",x\ny\n')
    assert "row 4: has 1 cells under a header of 2" in refusal(forms.read, path)
    path = written(tmp_path / "t.csv", "name,side\n\nx,y\n")
    assert "row 2: has 0 cells" in refusal(forms.read, path)


def test_an_open_quote_is_refused_with_the_row_where_its_record_starts(tmp_path):
    path = written(tmp_path / "t.csv", 'name,side\na,b\n"c,d\ne,f\n')
    assert "row 3: is not CSV" in refusal(forms.read, path)


@pytest.mark.parametrize("content", ["", "\n", "\ufeff"])
def test_an_empty_file_is_called_so(tmp_path, content):
    assert "is empty" in refusal(forms.read, written(tmp_path / "t.csv", content))


def test_an_absent_file_and_a_folder_are_called_so(tmp_path):
    assert "No such file" in refusal(forms.read, tmp_path / "absent.csv")
    assert "directory" in refusal(forms.read, tmp_path)


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(), st.text(alphabet='a,"\r\n\0é').map(str.encode)))
def test_random_bytes_are_a_table_of_text_or_a_problem(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    try:
        frame = forms.read(path)
    except Problem:
        return
    assert all(isinstance(cell, str) for cell in frame.to_numpy().ravel())


ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))  # pandas does not quote "\r"


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.lists(ANYTHING, min_size=2, max_size=2), min_size=1))
def test_what_pandas_writes_is_read_back(tmp_path, cells):
    frame = pd.DataFrame(cells, columns=["name", "side"], dtype=str)
    frame.to_csv(tmp_path / "t.csv", index=False, lineterminator="\n")
    assert forms.read(tmp_path / "t.csv").to_numpy().tolist() == cells


def test_a_table_in_order_comes_back_in_the_order_of_the_schema(table):
    shuffled = table[["share", "side", "name"]].set_index(pd.Index([7, 7, 2]))
    found = forms.checked(shuffled, SCHEMA)
    assert found.columns.tolist() == ["name", "side", "share"]
    assert found.index.tolist() == [0, 1, 2]
    assert found["share"].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("renamed", "remedy"), [("Side", "rename 'Side'"), (" sides", "rename ' sides'"), ("other", "add it")]
)
def test_a_missing_column_is_named_with_the_nearest(table, renamed, remedy):
    line = refusal(forms.checked, table.rename(columns={"side": renamed}), SCHEMA, file="t.csv")
    assert line == f"t.csv, row 1: no column 'side'; {remedy}"


def test_columns_given_twice_unknown_or_without_rows_are_refused(table):
    assert "column 'side' is given twice" in refusal(forms.checked, pd.concat([table, table["side"]], axis=1), SCHEMA)
    assert "unknown column 'age'" in refusal(forms.checked, table.assign(age="4"), SCHEMA)
    assert "has no rows" in refusal(forms.checked, table.iloc[:0], SCHEMA)


@pytest.mark.parametrize("blank", ["", " ", "a ", "\ta"])
def test_blank_text_is_refused(table, blank):
    table.loc[1, "name"] = blank
    assert refusal(forms.checked, table, SCHEMA).startswith("row 3: name is blank")


@pytest.mark.parametrize("share", ["", "high", "nan", "1.01", "-0.1", "inf"])
def test_shares_that_are_none_are_refused(table, share):
    table.loc[2, "share"] = share
    assert refusal(forms.checked, table, SCHEMA).startswith("row 4: share ")


def test_absent_values_are_refused(table):
    table.loc[1, "side"] = None
    assert refusal(forms.checked, table, SCHEMA).startswith("row 3: side is missing")


def test_columns_that_are_not_text_are_refused(table):
    line = refusal(forms.checked, table.assign(name=[1, 2, 3]), SCHEMA)
    assert re.search("name.*(not text|not of the right kind)", line)


def test_the_first_fault_is_told_and_the_others_counted(table):
    faulty = table.assign(side=["left", "up", "down"], name=["a", "b", ""])
    line = refusal(forms.checked, faulty, SCHEMA, file="t.csv")
    assert line == "t.csv, row 3: side 'up' is not known; use left, right (and 2 more)"


def test_a_fault_between_columns_counts_once(table):
    line = refusal(forms.checked, table.assign(name=["a", "right", "c"]), SCHEMA)
    assert line == "row 3: name right is a side; choose another"


def test_rows_are_counted_as_an_editor_counts_lines(tmp_path):
    path = written(tmp_path / "t.csv", 'name,side,share\n"two\r\nlines",left,0\nb,up,1\n')
    assert path.read_text().splitlines()[3].startswith("b,up")
    assert ", row 4: side 'up'" in refusal(forms.checked, forms.read(path), SCHEMA, file=path)


def test_braces_in_a_cell_are_shown_as_they_are(table):
    table.loc[0, "side"] = "{share}"
    assert "side '{share}' is not known" in refusal(forms.checked, table, SCHEMA)
