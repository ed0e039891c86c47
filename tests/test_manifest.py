import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcovid_lib import manifest
from deepcovid_lib.problems import Problem


def row(number, label="non_covid", split="train", patient=None, finding=None, **cells):
    patient = number if patient is None else patient
    usual = {
        "image_id": f"x:film {number}",
        "path": f"films/film {number}.png",
        "sha256": f"{number:064x}",
        "patient_id": f"x:{patient}",
        "source": "x",
        "label": label,
        "finding": {"covid": "COVID-19", "non_covid": "No Finding"}[label] if finding is None else finding,
        "view": "PA",
        "split": split,
    }
    return usual | cells


@pytest.fixture
def films():
    """Five films of four patients, in order."""
    rows = [row(1, "covid"), row(2, "covid", patient=1), row(3), row(4, split="test"), row(5, "covid", "test")]
    return pd.DataFrame(rows)


@pytest.fixture
def scores(films):
    test = films[films["split"] == "test"]
    frame = test[["image_id", "patient_id", "label", "finding"]].assign(group=manifest.group(test), score=[0.0, 1.0])
    return frame.reset_index(drop=True)


def refusal(function, *arguments):
    """Return the one line of the problem that a call meets."""
    with pytest.raises(Problem) as caught:
        function(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    assert "; " in line
    return line


def test_a_manifest_in_order_is_let_pass(films):
    pd.testing.assert_frame_equal(manifest.check(films), films)
    pd.testing.assert_frame_equal(manifest.check(films[films.columns[::-1]]), films)


def test_a_manifest_is_written_by_image_id_and_read_back(tmp_path, films):
    films.loc[3, ["finding", "view"]] = ""
    films.loc[2, "finding"] = 'Edema|"Pleural,\nOther"'
    manifest.write(films.sample(frac=1, random_state=1), tmp_path / "manifest.csv")
    found = manifest.read(tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(found, films)
    pd.testing.assert_frame_equal(manifest.check(found), films)
    assert list(tmp_path.iterdir()) == [tmp_path / "manifest.csv"]


def test_schema_and_contract_name_the_same_columns():
    assert tuple(manifest.SCHEMA.columns) == manifest.COLUMNS
    assert tuple(manifest.SCORE_SCHEMA.columns) == manifest.SCORE_COLUMNS


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("image_id", "", "image_id is blank"),
        ("image_id", "y:film 3", "image_id 'y:film 3' does not start with its source; write 'x:'"),
        ("image_id", "x:", "image_id 'x:' does not start with its source"),
        ("image_id", "x:film 1", "image_id 'x:film 1' appears again"),
        ("path", " ", "path is blank"),
        ("sha256", "A" * 64, "sha256 'AAAA"),
        ("sha256", "0" * 64 + "\n", "is not 64"),
        ("sha256", "0" * 63, "is not 64 lower-case hexadecimal digits"),
        ("patient_id", "3", "patient_id '3' does not start with its source"),
        ("patient_id", "", "patient_id is blank"),
        ("source", "", "source is blank"),
        ("label", "COVID", "label 'COVID' is not known; use covid, non_covid"),
        ("split", "val", "split 'val' is not known; use train, test"),
        ("split", "", "split '' is not known"),
        ("finding", "COVID-19, ARDS", "label non_covid contradicts the finding 'COVID-19, ARDS'"),
        ("view", None, "view is missing"),
    ],
)
def test_a_cell_out_of_order_is_told_with_file_row_and_remedy(tmp_path, films, column, value, told):
    films.loc[2, column] = value
    line = refusal(manifest.check, films, "some.csv")
    assert line.startswith("some.csv, row 4: ")
    assert told in line
    if value is not None:
        manifest.write(films.reset_index(drop=True), tmp_path / "manifest.csv")
        assert told in refusal(manifest.read, tmp_path / "manifest.csv")


def test_covid_without_covid_in_its_finding_is_refused_unless_nothing_is_known(films):
    films.loc[0, "finding"] = ""
    manifest.check(films)
    films.loc[0, "finding"] = "SARS"
    assert "label covid contradicts the finding 'SARS'" in refusal(manifest.check, films)


@pytest.mark.parametrize("column", manifest.COLUMNS)
def test_every_column_is_needed(films, column):
    assert f"row 1: no column '{column}'" in refusal(manifest.check, films.drop(columns=column))


def test_a_renamed_column_is_named(films):
    assert refusal(manifest.check, films.rename(columns={"patient_id": "patientid"})).endswith("rename 'patientid'")


def test_a_patient_on_both_sides_is_named_where_the_second_side_appears(films):
    films.loc[4, "patient_id"] = "x:1"
    line = refusal(manifest.check, films)
    assert line.startswith("row 6: patient 'x:1' is in train and in test")


def test_one_file_may_stand_twice_on_one_side_but_not_on_both(films):
    films.loc[1, "sha256"] = films.loc[0, "sha256"]
    manifest.check(films)
    films.loc[3, "sha256"] = films.loc[0, "sha256"]
    line = refusal(manifest.check, films)
    assert line.startswith("row 5: 'x:film 4' is the same file as a film of the other split")


def test_one_file_is_not_two_patients(films):
    films.loc[1, ["sha256", "patient_id"]] = films.loc[0, "sha256"], "x:another"
    line = refusal(manifest.check, films)
    assert line.startswith("row 3: 'x:film 2' is the same file as a film of another patient")


def test_a_leaky_manifest_can_be_read_to_show_its_leak(tmp_path, films):
    films.loc[4, "patient_id"] = "x:1"
    manifest.write(films, tmp_path / "manifest.csv")
    assert manifest.overlap(manifest.read(tmp_path / "manifest.csv"))["patient_id"].tolist() == ["x:1"]


@settings(deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(manifest.COLUMNS),
    position=st.integers(0, 4),
    cell=st.one_of(st.text(), st.integers(), st.floats(), st.none()),
)
def test_whatever_a_cell_holds_it_is_let_pass_or_a_problem_in_its_row(films, column, position, cell):
    frame = films.astype(object)
    frame.loc[position, column] = cell
    try:
        found = manifest.check(frame)
    except Problem as problem:
        line = str(problem)
    else:
        assert found.loc[position, column] == cell
        return
    assert "row" in line or f"column '{column}'" in line


def test_groups_follow_label_and_finding():
    frame = pd.DataFrame(
        [row(1, "covid"), row(2, "covid", finding=""), row(3), row(4, finding="Edema|No Finding"), row(5, finding="")]
    )
    found = manifest.group(frame.iloc[::-1])
    assert found.sort_index().tolist() == ["covid", "covid", "normal", "other_disease", "unknown"]
    assert set(found) <= set(manifest.GROUPS)


def test_summary_is_the_papers_table_1():
    counts = [("covid", "train", 31), ("covid", "test", 40), ("non_covid", "train", 2000), ("non_covid", "test", 3000)]
    rows = [
        row(10_000 * place + number, label, split, patient=10_000 * place + number // 2)
        for place, (label, split, size) in enumerate(counts)
        for number in range(size)
    ]
    found = manifest.summary(pd.DataFrame(rows), copies=16).set_index("split")
    assert found.loc["train"].tolist() == [31, 496, 2000, 16, 1000]
    assert found.loc["test"].tolist() == [40, 40, 3000, 20, 1500]


def test_scores_in_order_are_let_pass_and_read_back(tmp_path, scores):
    pd.testing.assert_frame_equal(manifest.check_scores(scores), scores)
    scores["score"] = [np.nextafter(0.3, 1), 1e-300]
    scores.to_csv(tmp_path / "scores.csv", index=False)
    found = manifest.read_scores(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(found, scores, check_exact=True)


def test_scores_of_single_precision_are_let_pass(scores):
    found = manifest.check_scores(scores.astype({"score": np.float32}))
    assert found["score"].dtype == np.float64


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("score", "1.5", "score 1.5 is not a probability"),
        ("score", "-0.01", "score -0.01 is not a probability"),
        ("score", "high", "score 'high' is not of the right kind"),
        ("score", "nan", "score is missing"),
        ("score", "", "score '' is not of the right kind"),
        ("image_id", "x:film 4", "image_id 'x:film 4' appears again"),
        ("label", "1", "label '1' is not known"),
        ("group", "sick", "group 'sick' is not known"),
        ("group", "normal", "group normal does not follow from label covid"),
        ("finding", "Edema", "label covid contradicts the finding 'Edema'"),
    ],
)
def test_scores_out_of_order_are_told_with_file_row_and_remedy(tmp_path, scores, column, value, told):
    path = tmp_path / "scores.csv"
    frame = scores.astype(str)
    frame.loc[1, column] = value
    frame.to_csv(path, index=False)
    line = refusal(manifest.read_scores, path)
    assert line.startswith(f"{path}, row 3: ")
    assert told in line
    assert told in refusal(manifest.check_scores, frame)


def test_a_missing_score_of_a_float_column_is_refused(scores):
    scores.loc[0, "score"] = np.nan
    assert refusal(manifest.check_scores, scores).startswith("row 2: score is missing")
