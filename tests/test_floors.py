"""A run's ladder: films and networks in one order, and the collections compared without the label."""

import csv
import math
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import t

from deepcovid_lib import features, floors, ladders, metrics, records, runs, stages
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Problem

REAL = os.environ.get("DEEPCOVID_REAL_DATA")


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))


def drawn(folder, name, level):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int.from_bytes(name.encode(), "little") % 2**32)
    film = np.clip(rng.normal(level, 20, (40, 40)), 0, 255).astype(np.uint8)
    Image.fromarray(film).save(folder / f"{name}.png")
    return str(folder / f"{name}.png")


def listed(source, label, names, level, folder):
    rows = [
        {
            "image_id": f"{source}:{name}",
            "path": drawn(folder, name, level),
            "patient_id": f"{source}:{name}",
            "source": source,
            "label": label,
            "finding": "COVID-19" if label == "covid" else "",
            "view": "PA",
            "split": "train" if number % 2 else "test",
        }
        for number, name in enumerate(names)
    ]
    return pd.DataFrame(rows).assign(sha256=lambda frame: [sha256(path) for path in frame["path"]])


@pytest.fixture
def open_cxr(tmp_path):
    """Two collections of unlike brightness; within the first, COVID-19 films are like the others."""
    folder = tmp_path / "cohen"
    others = [f"o{number}" for number in range(14)]
    for name in others:
        drawn(folder / "images", name, 60)
    rows = "".join(f"{name},{name}.png,SARS,PA,X-ray,M,50\n" for name in others)
    rows += "".join(
        f"{row},,\n" for row in ("x,absent.png,SARS,PA,X-ray", "y,ct.png,SARS,PA,CT", "z,ap.png,SARS,AP,X-ray")
    )
    for name, finding in (("u0", "todo"), ("u1", "Unknown"), ("u2", ""), ("u3", "COVID"), ("u4", "Pneumonia/Covid 19")):
        drawn(folder / "images", name, 60)
        rows += f"{name},{name}.png,{finding},PA,X-ray,M,50\n"
    rows += "c0,c0.png,COVID-19,PA,X-ray,F,61\n"
    (folder / "metadata.csv").write_text(f"patientid,filename,finding,view,modality,sex,age\n{rows}")
    ill = listed("cohen", "covid", [f"c{number}" for number in range(14)], 60, folder / "images")
    nih = listed("nih", "non_covid", [f"n{number}" for number in range(30)], 160, tmp_path / "nih")
    (tmp_path / "nih" / "Data_Entry_2017.csv").write_text("Image Index,Patient Gender,Patient Age\nn0.png,F,50\n")
    settings = {"weights": "random", "folders.cohen": str(folder), "folders.nih": str(tmp_path / "nih")}
    return runs.resolve("open-cxr", settings=settings), pd.concat([ill, nih], ignore_index=True)


def test_collections_are_told_apart_where_the_disease_is_not(open_cxr):
    table = floors.same_source(*open_cxr)
    assert table["films"].tolist() == ["14 and 14"] * 3 + ["14 and 30"] * 3
    within, between = (table[table["question"] == name] for name in table["question"].unique())
    assert (within["verdict"] == ladders.CHANCE).all()
    assert (between["verdict"] == ladders.ABOVE).all()
    assert (between["auc"] > 0.99).all()
    assert "no COVID-19" in between["question"].iloc[0]


def test_one_collection_is_not_compared_with_itself(open_cxr, tmp_path):
    ill = listed("phantom", "covid", [f"c{number}" for number in range(8)], 60, tmp_path / "made")
    well = listed("phantom", "non_covid", [f"n{number}" for number in range(8)], 160, tmp_path / "made")
    table = floors.same_source(runs.resolve("tiny"), pd.concat([ill, well], ignore_index=True))
    within, between = (table[table["question"] == name] for name in table["question"].unique())
    assert (within["verdict"] == ladders.ABOVE).all()
    assert (between["verdict"] == ladders.UNDECIDED).all()
    assert "one collection only" in between["note"].iloc[0]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("o1,o1.png,SARS,PA,X-ray,M,50", "'o1.png' is listed twice"),
        ("c0,c0.png,ARDS,PA,X-ray,F,61", "'c0.png' is listed twice"),
        (",o99.png,SARS,PA,X-ray,M,50", "no patient id"),
    ],
)
def test_others_of_the_collection_are_read_as_strictly_as_its_positives(open_cxr, row, told):
    table = open_cxr[0].source_folder("cohen") / "metadata.csv"
    table.write_text(f"{table.read_text()}{row}\n")
    with pytest.raises(Problem, match=told):
        floors.same_source(*open_cxr)


def test_two_collections_that_share_no_class_are_not_called_one(open_cxr, tmp_path):
    ill = listed("released-covid", "covid", [f"c{number}" for number in range(8)], 60, tmp_path / "made")
    well = listed("released-non", "non_covid", [f"n{number}" for number in range(8)], 160, tmp_path / "made")
    table = floors.same_source(runs.resolve("covid-xray-5k"), pd.concat([ill, well], ignore_index=True))
    assert set(table["note"]) == {"no others are of released-covid"}
    assert set(table["verdict"]) == {ladders.UNDECIDED}


def test_few_patients_are_not_decided(open_cxr):
    run, films = open_cxr
    table = floors.same_source(
        run, films[films["patient_id"].isin(["cohen:c0", "cohen:c1"]) | (films["source"] == "nih")]
    )
    within = table[table["question"].str.startswith("COVID-19")]
    assert (within["verdict"] == ladders.UNDECIDED).all()
    assert "fewer than 5" in within["note"].iloc[0]


def test_maps_are_averaged_and_stand_in_the_order_of_the_films(open_cxr):
    run, films = open_cxr
    chosen = films.sample(6, random_state=1)
    own = floors.pooled(run, chosen, "squeezenet")
    assert own.name == "untrained SqueezeNet"
    wanted = features.requests(chosen, copies=1, seed=run.edition.seed)
    loaded = stages.backbone(run, "squeezenet")
    maps = features.gather(wanted, loaded, preset=stages.preset(run), cache=run.cache).numpy()
    assert own.values == pytest.approx(maps.mean(axis=(2, 3)), abs=1e-5)


def test_every_kind_of_rung_is_there_once(open_cxr, monkeypatch):
    run, films = open_cxr
    found = floors.seen(run, films, [])
    assert len({rung.name for rung in found}) == len(found)
    assert {rung.kind for rung in found} == {"null", "metadata", "file", "grey", "masked"}
    assert {len(rung.values) for rung in found} == {len(films)}


def test_models_are_compared_with_the_thumbnail_on_the_same_films(open_cxr, monkeypatch):
    run, films = open_cxr
    found = floors.seen(run, films, [])
    tested = films[films["split"] == "test"].sample(frac=1, random_state=0)
    scores = tested.assign(score=np.linspace(0, 1, len(tested)))
    row = floors.against_thumbnail(found, films, {"resnet18": scores}).iloc[0]
    y_true, train = (films["label"] == "covid").to_numpy(), (films["split"] == "train").to_numpy()
    grey = next(rung.values for rung in found if rung.name == "8x8 grey")
    simple = pd.Series(ladders.scored(grey, y_true, train), index=films.loc[~train, "image_id"])[scores["image_id"]]
    labels = scores["label"] == "covid"
    rarer = int(scores["label"].value_counts().min())
    assert scores["patient_id"].is_unique
    error = metrics.compare_aucs(labels, scores["score"], simple).error
    error = np.sqrt(error**2 + 2 / rarer**2 + 2 / (len(labels) - rarer) ** 2)
    assert row["p"] == pytest.approx(2 * t.sf(abs(row["difference"]) / error, rarer - 1))
    assert row["difference"] < 0
    ill = scores["label"] == "covid"
    of_four = scores.assign(patient_id=np.where(ill, [f"p{n % 4}" for n in range(len(scores))], scores["patient_id"]))
    alone = floors.against_thumbnail(found, films, {"resnet18": of_four})
    assert math.isnan(alone["p"].iloc[0])
    assert "cannot be decided here" in floors.compared(alone)
    both = pd.DataFrame({"difference": [0.2, -0.3], "p": [0.01, math.nan]})
    assert floors.compared(both).endswith("1 of 2 models; worse: 0; not told apart: 0; cannot be decided: 1.")


def test_the_recorded_ladders_are_complete_and_tell_no_name():
    for path in records.folder().glob("*/tables/*.csv"):
        table, text = pd.read_csv(path), path.read_text(encoding="utf-8")
        assert "nih:" not in text
        assert "/" not in text.replace("and/or", "")
        if path.stem == "tab-stored":
            assert (table["films"] > 0).all()
            continue
        decided = table[table["verdict"] != ladders.UNDECIDED]
        bounded = decided.dropna(subset="low")
        assert ((bounded["low"] <= bounded["auc"]) & (bounded["auc"] <= bounded["high"])).all()
        assert set(decided.loc[decided["low"].isna(), "note"]) <= {ladders.NO_SPREAD, ladders.ALL_ALIKE}
        assert table.loc[table["verdict"] == ladders.UNDECIDED, "note"].notna().all()


def test_the_sizes_are_those_of_each_class(open_cxr):
    run, films = open_cxr
    for number, row in enumerate(films.itertuples()):
        side = (50, 60 + number) if row.label == "covid" else (64, 64)
        Image.fromarray(np.arange(side[0] * side[1], dtype=np.uint8).reshape(side[::-1])).save(row.path)
    films = films.assign(sha256=[sha256(path) for path in films["path"]]).sample(frac=1, random_state=0)
    table = floors.stored(run, films)
    assert table["films"].tolist() == [14, 30]
    assert table.loc[0].tolist()[2:] == [50, 50, 50, 60, 66.5, 73]
    assert floors.widths(table) == "COVID-19: 50 pixels wide; Non-COVID: 64 pixels wide"
    alone = floors.stored(run, films[films["label"] == "covid"])
    assert floors.widths(alone) == "COVID-19: 50 pixels wide"


@pytest.mark.parametrize(
    "path", sorted(records.folder().glob("*/tables/tab-ladder.csv")), ids=lambda path: path.parts[-3]
)
def test_a_null_that_was_recorded_is_no_rung(path):
    with path.open(encoding="utf-8", newline="") as stream:
        kinds = [row["kind"] for row in csv.DictReader(stream)]
    table = records.table(path.parts[-3], "tables/tab-ladder")
    assert table["kind"].tolist() == kinds
    measured = table["auc"].notna() & ~table["kind"].isin(["model", "null"])
    assert kinds.count("null") == 1
    assert f"Of {measured.sum()} rungs" in ladders.conclusion(table)


def test_a_run_that_is_not_recorded_is_told(capsys):
    assert floors.main(["covid-xray-5k"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("deepcovid: no recorded run 'covid-xray-5k'")
    assert told.count("\n") == 1


def test_other_films_than_the_recorded_are_refused(open_cxr, monkeypatch, capsys):
    run, films = open_cxr
    run = runs.begin("open-cxr", settings={"weights": "random"})
    monkeypatch.setattr(floors.runs, "begin", lambda *_, **__: run)
    monkeypatch.setattr(floors.stages, "manifest", lambda run: films)
    assert floors.main(["open-cxr", "--set", "weights=random"]) == 1
    assert "from other films than the recorded scores" in capsys.readouterr().err


@pytest.mark.skipif(not REAL, reason="needs the collections in DEEPCOVID_REAL_DATA")
def test_the_recorded_same_source_table_comes_back(tmp_path):
    folders = {"cohen": f"{REAL}/covid-chestxray-dataset", "nih": f"{REAL}/nih-chestxray"}
    settings = {"weights": "random", **{f"folders.{name}": path for name, path in folders.items()}}
    run = runs.begin("open-cxr", settings=settings)
    table = floors.same_source(run, stages.manifest(run))
    recorded = pd.read_csv(records.folder() / "open-cxr-weights-random" / "tables" / "tab-same-source.csv")
    assert table["auc"].to_numpy() == pytest.approx(recorded["auc"].to_numpy(), abs=0.005)
