"""Bad tables: every planted fault is found, with file, row and remedy; no score is shown beside another manifest."""

import csv
import io
from contextlib import suppress

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcovid_lib import fits, heads, manifest, runs, stages
from deepcovid_lib.files import sha256, write_csv, write_json
from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import chexpert, cohen, nih

MEND = "mend the named row and run the command again"
LABELS = {"covid": "COVID-19", "non_covid": "No Finding"}


def film(number, label, split, **cells):
    usual = {
        "image_id": f"x:{number}",
        "path": f"films/{number}.png",
        "sha256": f"{number:064x}",
        "patient_id": f"x:p{number}",
        "source": "x",
        "label": label,
        "finding": LABELS[label],
        "view": "PA",
        "split": split,
    }
    return usual | cells


FILMS = pd.DataFrame(
    [
        film(1, "covid", "train"),
        film(2, "non_covid", "train", finding="Effusion, left"),
        film(3, "covid", "test"),
        film(4, "non_covid", "test"),
        film(5, "non_covid", "test", view=""),
    ]
)
TEXT = FILMS.to_csv(index=False, lineterminator="\n")
TESTED = FILMS[FILMS["split"] == "test"]
SCORES = TESTED[["image_id", "patient_id", "label", "finding"]].assign(
    group=manifest.group(TESTED), score=[0.9, 0.25, 0.125]
)
SCORE_TEXT = SCORES.to_csv(index=False, lineterminator="\n")

COHEN = (
    "patientid,finding,view,modality,filename,notes\n"
    '1,COVID-19,PA,X-ray,a.png,"mild,\nearly"\n'
    "2,COVID-19,PA,X-ray,b.png,fever\n"
    "3,COVID-19,PA,X-ray,c.png,\n"
)
CHEXPERT = "\n".join(
    [
        ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *chexpert.FINDINGS]),
        *(
            f"CheXpert-v1.0-small/train/patient{number:05d}/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0"
            + "," * 13
            for number in (1, 2, 3)
        ),
        "",
    ]
)
NIH = (
    "Image Index,Finding Labels,Patient ID,View Position,OriginalImage[Width,Height]\n"
    "00000001_000.png,Edema,1,PA,2682,2749\n"
    "00000002_000.png,No Finding,2,AP,2894,2729\n"
    "00000003_000.png,No Finding,3,PA,2500,2048\n"
)


def listed(reader, name, text):
    """A table and the way it is read."""

    def read(folder, content=text):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        for number in (1, 2, 3):
            (folder / f"0000000{number}_000.png").touch()
        return reader(folder if reader.__module__.startswith("deepcovid_lib.sources") else folder / name)

    return read


def whole(path):
    return manifest.check(manifest.read(path), path)


TABLES = {
    "manifest": (listed(whole, "manifest.csv", TEXT), TEXT, "manifest.csv"),
    "scores": (listed(manifest.read_scores, "scores.csv", SCORE_TEXT), SCORE_TEXT, "scores.csv"),
    "cohen": (listed(cohen.candidates, "metadata.csv", COHEN), COHEN, "metadata.csv"),
    "chexpert": (listed(chexpert.candidates, "train.csv", CHEXPERT), CHEXPERT, "train.csv"),
    "nih": (listed(nih.candidates, "Data_Entry_2017.csv", NIH), NIH, "Data_Entry_2017.csv"),
}


def rows_of(read):
    return read.rows if hasattr(read, "rows") else read


def reordered(text):
    """The same table with its columns turned round, quotes and all."""
    lines = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return lines[lines.columns[::-1]].to_csv(index=False, lineterminator="\n")


SAME = {
    "byte order mark": lambda text: "\ufeff" + text,
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "no line end at the end": lambda text: text.rstrip("\n"),
    "blank lines at the end": lambda text: text + "\n\n",
}


@pytest.mark.fault(
    "tables",
    "byte order mark, Windows line ends, columns in another order, blank lines at the end",
    done="read as the same table",
    lost="nothing",
    rerun="nothing to do",
)
@pytest.mark.parametrize("how", [*SAME, "other order"])
@pytest.mark.parametrize("table", TABLES)
def test_another_way_to_write_a_table_reads_the_same(tmp_path, table, how):
    read, text, _ = TABLES[table]
    if how == "other order" and table == "nih":
        pytest.skip("a header that splits inside its brackets has one order")
    before = rows_of(read(tmp_path))
    after = rows_of(read(tmp_path, reordered(text) if how == "other order" else SAME[how](text)))
    pd.testing.assert_frame_equal(after, before)


def column_of(text, number):
    return text.partition("\n")[0].split(",")[number]


def without_column(text):
    """The table without its first column."""
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False)
    return frame.iloc[:, 1:].to_csv(index=False)


BROKEN = {
    "missing column": (without_column, r"row 1: no column '"),
    "renamed column": (lambda text: "Nr" + text, r"row 1: no column '"),
    "column given twice": (
        lambda text: text.replace(column_of(text, 1), column_of(text, 0), 1).replace("\n", f",{column_of(text, 1)}\n"),
        r"row 1: column '.*' is given twice|row 1: no column '",
    ),
    "Latin-1": (lambda text: text.rstrip("\n").encode() + b"\xe9\n", r"row [3-9]: is not UTF-8"),
    "UTF-16": (lambda text: text.encode("utf-16"), r"row 1: is not UTF-8"),
    "cut inside its last row": (lambda text: text[: text.rstrip("\n").rindex(",")], r"row [3-9]: has \d+ cells"),
    "one comma too many": (
        lambda text: text.rstrip("\n").replace(text.rstrip("\n").split("\n")[-1], "a,b," * 9 + "c,d"),
        r"row [3-9]: has 20 cells|row [3-9]: has 20 cells under",
    ),
    "one comma too few": (lambda text: text + "lonely,cells\n", r"row [3-9]: has 2 cells"),
    "open quote": (
        lambda text: "\n".join([*text.rstrip("\n").split("\n")[:-1], '"' + text.rstrip("\n").split("\n")[-1]]),
        r"row [3-9]: (has 1 cells|is not CSV)",
    ),
    "header alone": (lambda text: text.partition("\n")[0] + "\n", r"holds no rows|has no rows"),
    "empty": (lambda text: "", r"is empty|no column|holds no rows"),
    "a web page": (lambda text: "<!DOCTYPE html>\n<html><body>404</body></html>\n", r"no column '|has \d cells"),
}


@pytest.mark.fault(
    "tables",
    "missing, renamed or repeated columns, other encodings, rows cut or with too many cells, open quotes, no rows",
    done="refused in one line with file, row and remedy",
    lost="nothing",
    rerun=MEND,
)
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("table", TABLES)
def test_a_broken_table_is_refused_with_file_row_and_remedy(tmp_path, table, how):
    read, text, name = TABLES[table]
    spoil, words = BROKEN[how]
    with pytest.raises(Problem, match=words) as caught:
        read(tmp_path, spoil(text))
    line = str(caught.value)
    assert line.startswith(str(tmp_path / name))
    assert "; " in line


CELLS = [
    ("manifest", 5, "patient_id", "x:p1", "patient 'x:p1' is in train and in test"),
    ("manifest", 5, "sha256", f"{1:064x}", "'x:4' is the same file as a film of the other split"),
    ("manifest", 3, "sha256", f"{1:064x}", "'x:2' is the same file as a film of the other label"),
    ("manifest", 3, "image_id", "x:1", "image_id 'x:1' appears again"),
    ("manifest", 2, "finding", "Edema", "label covid contradicts the finding 'Edema'"),
    ("manifest", 3, "finding", "COVID-19|Edema", "label non_covid contradicts the finding 'COVID-19|Edema'"),
    ("manifest", 3, "label", "covid ", "label 'covid ' is not known"),
    ("manifest", 6, "split", "Test", "split 'Test' is not known"),
    ("manifest", 6, "path", "", "path is blank"),
    ("scores", 2, "score", "1.0000001", "score 1.0000001 is not a probability"),
    ("scores", 3, "score", "-1e-9", "score -1e-9 is not a probability"),
    ("scores", 4, "score", "nan", "score is missing"),
    ("scores", 4, "score", "inf", "score inf is not a probability"),
    ("scores", 2, "score", "", "score '' is not of the right kind"),
    ("scores", 2, "score", "0,5", "score '0,5' is not of the right kind"),
    ("scores", 3, "image_id", "x:3", "image_id 'x:3' appears again"),
    ("scores", 3, "label", "covid", "label covid contradicts the finding 'No Finding'"),
    ("scores", 3, "group", "other_disease", "group other_disease does not follow"),
    ("cohen", 5, "patientid", "", "no patient id"),
    ("cohen", 5, "filename", "a.png", "'a.png' is listed twice"),
    ("cohen", 4, "filename", " ", "no file name"),
    ("chexpert", 3, "Edema", "2", "'Edema' is 2"),
    ("chexpert", 4, "Fracture", "yes", "'Fracture' is 'yes'"),
    ("chexpert", 3, "Path", "somewhere.jpg", "'somewhere.jpg' names no patient"),
    ("nih", 3, "Patient ID", "", "no patient id"),
    ("nih", 4, "Finding Labels", "", "no finding labels"),
]


def with_cell(text, row, column, value):
    """The table with one cell changed; `row` counts lines as an editor does."""
    header, *_ = text.partition("\n")
    lines = list(csv.reader(text.splitlines(keepends=True)))
    starts = [2 + sum(1 + "".join(cells).count("\n") for cells in lines[1:place]) for place in range(1, len(lines))]
    lines[1 + starts.index(row)][header.split(",").index(column)] = value
    return pd.DataFrame(lines[1:], columns=lines[0]).to_csv(index=False, lineterminator="\n")


@pytest.mark.fault(
    "tables",
    "one wrong cell: a patient or a file on both sides, a file under two labels or names, a label that contradicts the "
    "finding, a score that is no probability, a label or patient that is none",
    done="refused in one line with file, row and remedy",
    lost="nothing",
    rerun=MEND,
)
@pytest.mark.parametrize(("table", "row", "column", "value", "words"), CELLS)
def test_a_wrong_cell_is_found_in_its_row(tmp_path, table, row, column, value, words):
    read, text, name = TABLES[table]
    read(tmp_path)
    with pytest.raises(Problem) as caught:
        read(tmp_path, with_cell(text, row, column, value))
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / name}, row {row}: ")
    assert words in line
    assert "; " in line


def curated(run):
    """Note the run's manifest as the one that the curation made."""
    write_json(stages._curating(run) | {"manifest.csv": sha256(run.manifest)}, run.folder / "curated.json")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with a manifest, and a fit that belongs to it."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("tiny", settings={"models": ["resnet18"]})
    write_csv(FILMS, run.manifest)
    curated(run)
    folder = run.fit("resnet18")
    write_csv(pd.DataFrame({"epoch": [1], "loss": [0.5], "accuracy": [0.75]}), folder / "history.csv")
    write_csv(SCORES, folder / "scores.csv")
    head = {"weight": torch.zeros(2, 512), "bias": torch.zeros(2)}
    given = {name: sha256(folder / f"{name}.csv") for name in fits.GIVEN}
    heads.save(folder / "head.safetensors", head, {**stages._meant(run, "resnet18"), **given})
    return run


@pytest.mark.fault(
    "tables",
    "a manifest edited by hand after training",
    done="it is refused in one line; curated again, it is refused beside the head that another manifest trained",
    lost="nothing: with the manifest restored, the scores are there again",
    rerun="restore the manifest, or delete the fit's folder and train again",
)
@pytest.mark.parametrize("call", [stages.scores, stages.history, stages.fit], ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (2, "path", "films/other.png"),
        (3, "finding", "Fracture"),
        (6, "view", "AP"),
        (6, "split", "train"),
        (5, "patient_id", "x:p5"),
    ],
)
def test_scores_are_not_shown_beside_an_edited_manifest(run, call, row, column, value):
    folder = run.fit("resnet18")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    shown = stages.scores(run, "resnet18")
    run.manifest.write_text(with_cell(TEXT, row, column, value))
    with pytest.raises(Problem, match=r"manifest\.csv: was removed or changed since the curation; restore it, or"):
        call(run, "resnet18")
    curated(run)
    with pytest.raises(Problem) as caught:
        call(run, "resnet18")
    line = str(caught.value)
    assert "head.safetensors: was trained on another manifest than results/" in line
    assert "restore the manifest, or delete results/" in line
    write_csv(FILMS, run.manifest)
    curated(run)
    pd.testing.assert_frame_equal(stages.scores(run, "resnet18"), shown)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.fault(
    "tables",
    "scores edited by hand: rows removed, renamed or added, another patient or finding, another probability",
    done="refused in one line with file and remedy: the head's file keeps the digest of the scores it gave",
    lost="nothing",
    rerun="restore the scores, or delete the fit's folder to train again",
)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.rsplit("\n", 2)[0] + "\n",
        lambda text: text.replace("x:4", "x:2"),
        lambda text: text.replace("x:p4", "x:p9"),
        lambda text: text + "x:9,x:p9,covid,COVID-19,covid,0.5\n",
        lambda text: text.replace("No Finding,normal", "Edema,other_disease", 1),
        lambda text: text.replace("0.25", "0.26"),
    ],
    ids=["removed", "renamed", "patient", "added", "finding", "probability"],
)
def test_changed_scores_are_refused(run, spoil):
    path = run.fit("resnet18") / "scores.csv"
    before = path.read_text()
    path.write_text(spoil(before))
    assert path.read_text() != before
    with pytest.raises(
        Problem, match="scores.csv: was removed or changed since the head gave it; restore it, or delete"
    ):
        stages.scores(run, "resnet18")
    path.write_text(before)
    assert len(stages.scores(run, "resnet18")) == len(TESTED)


@pytest.mark.fault(
    "tables",
    "another model's fit, or one asked for otherwise, in the place of this one; a history edited by hand",
    done="refused in one line that says what differs",
    lost="nothing",
    rerun="restore it, or delete the fit's folder to train again",
)
@pytest.mark.parametrize(
    ("key", "value"),
    [("backbone", "resnet50"), ("seed", 7), ("weights", "imagenet"), ("copies", 16), ("recipe", {"epochs": 3})],
)
def test_a_fit_of_another_model_or_recipe_is_refused(run, key, value):
    folder = run.fit("resnet18")
    given = {name: sha256(folder / f"{name}.csv") for name in fits.GIVEN}
    metadata = {**stages._meant(run, "resnet18"), **given, key: value}
    shape = (2, 2048) if value == "resnet50" else (2, 512)
    heads.save(folder / "head.safetensors", {"weight": torch.zeros(shape), "bias": torch.zeros(2)}, metadata)
    with pytest.raises(Problem, match=f"head.safetensors: is not this run's: {key} is .*, not "):
        stages.scores(run, "resnet18")


def test_a_changed_history_is_refused(run):
    path = run.fit("resnet18") / "history.csv"
    path.write_text(path.read_text().replace("0.75", "0.85"))
    with pytest.raises(Problem, match="history.csv: was removed or changed since the head gave it"):
        stages.history(run, "resnet18")


NOISE = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b",", b'"', b"\n", b"\r", b"\r\n", b"\0", b"\xe9", b"nan", b"\xef\xbb\xbf"]),
)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), NOISE), min_size=1, max_size=3)


@pytest.mark.fault(
    "tables",
    "tables whose bytes are changed at random: cut out, overwritten, put in",
    done="read, or refused in one line; nothing else",
    lost="nothing",
    rerun=MEND,
)
@pytest.mark.parametrize("table", TABLES)
def test_changed_bytes_are_read_or_refused(tmp_path, table, count_inputs):
    read, text, _ = TABLES[table]
    tried = []

    @settings(deadline=None, database=None, max_examples=80, suppress_health_check=list(HealthCheck))
    @given(changes=CHANGES)
    def follow(changes):
        content = text.encode()
        for share, length, noise in changes:
            at = int(share * len(content))
            content = content[:at] + noise + content[at + length :]
        tried.append(content)
        with suppress(Problem):
            assert len(rows_of(read(tmp_path, content))) > 0

    follow()
    count_inputs(len(tried))
