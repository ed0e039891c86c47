"""Two runs compared: the verdict follows from the numbers, and the page is whole, safe and readable."""

import hashlib
import json
import shutil
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from fitted import write_head
from scipy.special import expit, logit

from deepcovid_lib import cli, comparison, comparison_page, pairs, records, runs, sides
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Misuse, Problem

MODELS = ("resnet18", "squeezenet")
VOID = {"meta", "br", "hr", "img", "link", "input"}


def films(covid=12, other=40, split="test", content="film"):
    """Made-up manifest rows of one split, patients of up to two films."""
    labels = ["covid"] * covid + ["non_covid"] * other
    names = [f"phantom:{split}{k:03d}" for k in range(len(labels))]
    findings = ["COVID-19"] * covid + ["No Finding", "Effusion"] * (other // 2)
    return pd.DataFrame(
        {
            "image_id": names,
            "path": "film.png",
            "sha256": [hashlib.sha256(f"{content} {name}".encode()).hexdigest() for name in names],
            "patient_id": [f"phantom:{split}{k // 2:03d}" for k in range(len(labels))],
            "source": "phantom",
            "label": labels,
            "finding": findings,
            "view": "PA",
            "split": split,
        }
    )


def scored(test, seed=0, gap=2.0):
    """Scores of the test films; `gap` is how far the classes stand apart in log-odds."""
    odds = np.random.default_rng(seed).normal(np.where(test["label"] == "covid", gap, 0), 1.5)
    group = test["finding"].map({"COVID-19": "covid", "No Finding": "normal"}).fillna("other_disease")
    return test[["image_id", "patient_id", "label", "finding"]].assign(group=group, score=expit(odds))


def shaken(frame, by, seed=1):
    noise = np.random.default_rng(seed).normal(0, by, len(frame))
    return frame.assign(score=expit(logit(frame["score"]) + noise))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    return tmp_path


def run(name, scores, test=None, **settings):
    """Leave what a run of these scores would leave, and return it."""
    begun = runs.begin("tiny", name=name, settings={"models": list(MODELS), **settings})
    with runs.timed(begun, "finetune"):
        pass
    rows = pd.concat([films(8, 20, "train"), films() if test is None else test])
    rows.to_csv(begun.manifest, index=False)
    for model, frame in scores.items():
        fit = begun.fit(model)
        fit.mkdir(parents=True)
        frame.to_csv(fit / "scores.csv", index=False)
        write_head(fit, begun.manifest, of=f"{name} {model}")
    return begun


def both(**more):
    return {model: scored(films(), seed, **more) for seed, model in enumerate(MODELS)}


def compared(a, b):
    return comparison.compare(sides.read(a), sides.read(b))


class Page(HTMLParser):
    """What stands on a page: that its elements close in order, its identities, links and text."""

    def __init__(self, path):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def values(self, name):
        return [attributes[name] for _, attributes in self.seen if name in attributes]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page_of(comparison_of, tmp_path):
    path = tmp_path / "page.html"
    comparison_page.write(comparison_of, path)
    page = Page(path)
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert tags.count("h1") == tags.count("title") == tags.count("main") == 1
    assert ("html", {"lang": "en"}) in page.seen
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.values("href"))
    assert not page.values("src")
    identities = page.values("id")
    assert len(identities) == len(set(identities))
    fragments = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert set(fragments) <= set(identities)
    text = path.read_text(encoding="utf-8")
    assert "@import" not in text
    assert "://" not in text
    assert "nan" not in page.text.lower().replace("covariance", "").split()
    figures = [attributes for tag, attributes in page.seen if tag == "figure"]
    assert all(known["role"] == "img" and len(known["aria-label"]) > 30 for known in figures)
    return page


def test_a_run_and_its_record_are_equal(root, tmp_path):
    records.keep(run("mine", both()))
    known = compared("mine", "recorded/mine")
    assert known.conclusion.startswith("The two runs give the same scores in all 2 models; no input is known to differ")
    assert set(known.areas["verdict"]) == {comparison.EQUAL}
    assert (known.areas["difference"] == 0).all()
    assert (known.agreement[["greatest", "changed"]] == 0).all(axis=None)
    told = known.inputs[known.inputs["what"] != "commit"]  # not known where files of the checkout were changed
    assert (told["verdict"] == "same").all()
    page = page_of(known, tmp_path)
    assert "image by image, the scores are identical" in page.text
    assert "A has synthetic radiographs and untrained networks" in page.text
    assert [tag for tag, _ in page.seen].count("figure") == len(MODELS)


def test_the_same_films_under_another_seed_are_paired(root, tmp_path):
    base = both()
    other = {model: shaken(frame, 0.3).sample(frac=1, random_state=5) for model, frame in base.items()}
    records.keep(run("mine", base))
    run("again", other, seed=7)
    known = compared("again", "recorded/mine")
    assert set(known.areas["test"]) == {"paired"}
    row = known.areas.set_index("model").loc["resnet18"]
    matched = base["resnet18"].merge(other["resnet18"], on="image_id", suffixes=("", "_again"))
    by_model = {"resnet50": matched.assign(score=matched["score_again"]), "resnet18": matched}
    p = row["p"]
    expected = pairs.areas(by_model).iloc[0]
    for name, other_name in (("difference",) * 2, ("low",) * 2, ("high",) * 2, ("p", "p_patients")):
        assert row[name] == pytest.approx(expected[other_name])
    assert row["low"] <= row["difference"] <= row["high"]
    assert (row["low"] <= 0 <= row["high"]) == (p >= 0.05) == (row["verdict"] == comparison.SAME)
    agreement = known.agreement.set_index("model").loc["resnet18"]
    assert agreement["greatest"] == pytest.approx((matched["score_again"] - matched["score"]).abs().max())
    cut = agreement["threshold"]
    assert agreement["changed"] == ((matched["score_again"] >= cut) != (matched["score"] >= cut)).sum()
    differing = set(known.inputs.query("verdict == 'differs'")["what"])
    assert {"seed", "head of ResNet18"} <= differing
    assert "test images, contents" not in differing
    assert "inputs differ in: seed" in known.conclusion
    assert [tag for tag, _ in page_of(known, tmp_path).seen].count("figure") == 2 * len(MODELS)


def test_patients_who_are_not_told_are_told_as_such(root, tmp_path, capsys):
    known = both()
    names = known["resnet18"]["patient_id"]
    untold = names.str.replace("phantom:", "phantom:untold-")
    run(
        "mine",
        {model: frame.assign(patient_id=untold) for model, frame in known.items()},
        films().assign(patient_id=untold),
    )
    run("others", known)
    text = " ".join(page_of(compared("mine", "others"), tmp_path).text.split())
    assert "Of A, the patients of 52 test films are not told, each counts as one patient" in text
    assert "Of B, the patients" not in text
    assert "12 of 6 patients, who are not told of 12" in text
    assert cli.main(["compare", "mine", "others", "--out", str(tmp_path / "x.html")]) == 0
    assert "mine: synthetic radiographs, untrained networks, the patients of 52" in capsys.readouterr().out


def test_other_films_are_compared_unpaired_and_a_real_difference_is_seen(root, tmp_path):
    for name, gap in (("mine", 4.0), ("others", 0.2)):
        test = films(60, 120, content=name)
        run(name, {model: scored(test, seed, gap) for seed, model in enumerate(MODELS)}, test=test)
    known = compared("mine", "others")
    assert set(known.areas["test"]) == {"unpaired"}
    assert set(known.areas["verdict"]) == {comparison.DIFFER}
    assert (known.areas["difference"] > 0).all()
    assert (known.areas["p"] < 0.05).all()
    assert set(known.agreement["unmatched"]) == {"the test images, or the names of their patients, differ"}
    assert known.agreement[["ks_covid", "ks_non_covid"]].notna().all(axis=None)
    assert "differ in ResNet18, SqueezeNet" in known.conclusion
    assert "test images" in known.conclusion
    assert (
        "cannot be matched one by one: the test images, or the names of their patients, differ"
        in page_of(known, tmp_path).text
    )


def test_more_images_of_the_same_patients_make_no_difference_on_other_films(root):
    widths = []
    for name, copies in (("once", 1), ("often", 4)):
        for side, content in (("a", "film"), ("b", "another")):
            test = films(content=content)
            more = pd.concat([test.assign(image_id=test["image_id"] + f"-{k}") for k in range(copies)])
            more["sha256"] = [hashlib.sha256(f"{content} {image}".encode()).hexdigest() for image in more["image_id"]]
            alike = scored(test, seed=3)
            own = pd.concat([alike.assign(image_id=alike["image_id"] + f"-{k}") for k in range(copies)])
            run(f"{name}-{side}", {"resnet18": own if side == "a" else shaken(own, 0.5)}, test=more)
        row = compared(f"{name}-a", f"{name}-b").areas.iloc[0]
        assert row["test"] == "unpaired"
        widths.append(row["high"] - row["low"])
    assert widths[1] > 0.9 * widths[0]


def test_scores_that_are_all_equal_overlap(root):
    run("mine", {"resnet18": scored(films()).assign(score=0.5)})
    run("others", {"resnet18": scored(films(content="another"))}, test=films(content="another"))
    row = compared("mine", "others").areas.set_index("model").loc["resnet18"]
    assert (row["verdict"], row["reason"]) == (comparison.UNDECIDED, "an area has no variance")


def test_a_record_without_inputs_is_not_taken_for_the_same_films(root, tmp_path):
    kept = records.keep(run("mine", both()))
    (kept / "inputs.json").unlink()
    records.seal(kept)
    run("again", {model: shaken(frame, 0.1) for model, frame in both().items()})
    known = compared("again", "recorded/mine")
    assert set(known.areas["test"]) == {"unpaired"}
    assert "contents of the test images of recorded/mine are not known" in page_of(known, tmp_path).text
    unknown = known.inputs.set_index("what").loc["test images, contents"]
    assert unknown["verdict"] == "not known"


def test_a_model_of_one_run_alone_is_said_to_be_so(root, tmp_path):
    run("mine", both())
    run("half", {"resnet18": both()["resnet18"]})
    known = compared("mine", "half")
    row = known.areas.set_index("model").loc["squeezenet"]
    assert (row["verdict"], row["reason"]) == (comparison.UNDECIDED, "results/half has no scores of it")
    assert known.conclusion == (
        "The two runs give the same scores in ResNet18; no input is known to differ. "
        "Only one run has scores of SqueezeNet."
    )
    assert "results/half has no scores of it" in page_of(known, tmp_path).text


@pytest.mark.parametrize(("covid", "other", "lacks"), [(0, 20, "COVID-19"), (12, 0, "Non-COVID"), (1, 20, "COVID-19")])
def test_too_few_of_a_class_is_a_reason_and_no_number(root, tmp_path, covid, other, lacks):
    test = films(covid, other)
    run("mine", both())
    run("poor", {model: scored(test) for model in MODELS}, test=test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = compared("mine", "poor")
    page = page_of(known, tmp_path)
    assert set(known.areas["verdict"]) == {comparison.UNDECIDED}
    assert f"results/poor has {lacks} images of fewer than 5 patients" in page.text
    assert ("There is no curve of ResNet18" in page.text) == (covid != 1)


def test_one_patients_films_decide_nothing(root):
    test = films(12, 20)
    test.loc[test["label"] == "covid", "patient_id"] = "phantom:one"
    run("mine", {model: scored(test) for model in MODELS}, test=test)
    run("again", {model: shaken(scored(test), 0.5) for model in MODELS}, test=test, seed=7)
    known = compared("mine", "again")
    assert set(known.areas["verdict"]) == {comparison.UNDECIDED}
    assert known.areas["reason"].str.endswith("has COVID-19 images of fewer than 5 patients").all()
    assert known.areas["p"].isna().all()


def test_perfect_areas_on_other_films_cannot_be_decided(root):
    def perfect(test):
        return scored(test).assign(score=np.where(test["label"] == "covid", 0.9, 0.1))

    run("mine", {"resnet18": perfect(films())})
    run("others", {"resnet18": perfect(films(14, 40))}, test=films(14, 40))
    row = compared("mine", "others").areas.iloc[0]
    assert row["verdict"] == comparison.UNDECIDED
    assert "no variance" in row["reason"]


def test_the_same_order_on_the_same_films_is_the_same_area(root):
    base = both()
    run("mine", base)
    run("squeezed", {model: frame.assign(score=frame["score"] / 2) for model, frame in base.items()})
    areas = compared("mine", "squeezed").areas
    assert set(areas["verdict"]) == {comparison.SAME}
    assert "same rank" in areas.loc[0, "reason"]


def test_without_scores_the_inputs_alone_are_compared(root, tmp_path):
    run("mine", both())
    run("bare", {})
    known = compared("bare", "mine")
    assert known.conclusion == "Nothing can be compared but the inputs: results/bare has no scores."
    page = page_of(known, tmp_path)
    assert known.conclusion in page.text
    assert "What went into the runs?" in page.text
    assert "figure" not in [tag for tag, _ in page.seen]


def test_scores_without_their_head_or_beside_another_manifest_are_refused(root):
    begun = run("mine", both())
    begun.manifest.write_text(begun.manifest.read_text() + "\n")
    with pytest.raises(Problem, match="was trained on another manifest than results/mine/manifest.csv; restore"):
        sides.read("mine")
    begun.manifest.unlink()
    assert sides.read("mine").scores.keys() == set(MODELS)
    (begun.fit(MODELS[1]) / "head.safetensors").unlink()
    with pytest.raises(Problem, match="is not a head of a run, or is damaged"):
        sides.read("mine")


def test_scores_of_films_that_an_interrupted_run_was_about_to_replace_are_refused(root):
    begun = run("mine", both())
    told = yaml.safe_load((begun.folder / "run.yaml").read_text())
    curated = {"asked": {"options": told["asked"]["options"]}, "manifest.csv": sha256(begun.manifest)}
    (begun.folder / "curated.json").write_text(json.dumps(curated))
    begun.manifest.unlink()
    assert sides.read("mine").scores.keys() == set(MODELS)
    told["asked"]["options"] = {"phantom": {"shortcut": 1.0}}
    (begun.folder / "run.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(Problem, match="was curated for another options; bring the run up to date"):
        sides.read("mine")
    told["asked"]["options"] = curated["asked"]["options"]
    (begun.folder / "run.yaml").write_text(yaml.safe_dump(told))
    (begun.folder / "curated.json").write_text(json.dumps(curated | {"manifest.csv": "0" * 64}))
    with pytest.raises(Problem, match="is not this run's: manifest is"):
        sides.read("mine")


def test_a_head_whose_scores_are_gone_is_not_a_model_without_scores(root):
    begun = run("mine", both())
    (begun.fit(MODELS[0]) / "scores.csv").unlink()
    with pytest.raises(Problem, match=r"scores\.csv: was removed or changed since the head gave it"):
        sides.read("mine")


@pytest.mark.parametrize("name", ["tab-dataset.csv", "scores/resnet18.csv", "history/squeezenet.csv"])
@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_every_file_of_a_record_is_as_it_was_recorded(tmp_path, name, gone):
    record = shutil.copytree(records.folder() / "phantom", tmp_path / "phantom")
    assert sides.read(str(record)).scores
    path = record / name
    path.write_text(path.read_text().replace("4", "5", 1))
    if gone:
        path.unlink()
    with pytest.raises(Problem, match=rf"{name}: was removed or changed since it was recorded"):
        sides.read(str(record))
    counts = shutil.copytree(records.folder() / "covid-xray-5k-rebuilt", tmp_path / "counts") / "tab-dataset.csv"
    assert sides.read(str(counts.parent)).inputs["images"]["test"]["covid"]["images"] == 40
    counts.write_text(counts.read_text().replace("40,", "400,", 1))
    with pytest.raises(Problem, match="was removed or changed since it was recorded"):
        sides.read(str(counts.parent))


def test_a_run_whose_notes_were_edited_is_refused(root):
    begun = run("mine", both())
    with runs.timed(begun, "curate"):
        pass
    assert "curate" in sides.read("mine").facts
    noted = begun.folder / "facts.json"
    noted.write_text(noted.read_text().replace(runs.device(), "Cray-1"))
    with pytest.raises(Problem, match=r"facts\.json: what it notes of 'curate' was changed since; delete the file"):
        sides.read("mine")


def test_notes_of_another_runs_heads_are_refused(root):
    begun = run("mine", both())
    head = begun.fit(MODELS[0]) / "head.safetensors"
    with runs.timed(begun, f"trained-{MODELS[0]}") as noted:
        noted["head"] = sha256(head)
    assert f"trained-{MODELS[0]}" in sides.read("mine").facts
    with runs.timed(begun, f"trained-{MODELS[0]}") as noted:
        noted["head"] = "0" * 64
    with pytest.raises(Problem, match=r"facts\.json: notes the training of another head of .* than lies there"):
        sides.read("mine")


def test_text_from_a_run_is_escaped(root, tmp_path):
    evil = '<script>alert("x")</script><img src=http://x.example/a.png>'
    begun = run("mine", both())
    told = yaml.safe_load((begun.folder / "run.yaml").read_text())
    told["settings"]["seed"] = evil
    told["asked"]["title"] = evil
    told["asked"]["options"] = {"phantom": {evil: evil}}
    (begun.folder / "run.yaml").write_text(yaml.safe_dump(told))
    facts = json.loads((begun.folder / "facts.json").read_text())
    facts["finetune"]["device"] = evil
    del facts["finetune"]["sha256"]
    (begun.folder / "facts.json").write_text(json.dumps(facts))
    run("again", both())
    path = tmp_path / "page.html"
    comparison_page.write(compared("mine", "again"), path)
    page = Page(path)
    assert not {"script", "img"} & {tag for tag, _ in page.seen}
    assert page.text.count('<script>alert("x")') >= 4


def test_folders_of_this_machine_stay_off_the_page(root, tmp_path):
    run("mine", both(), **{"folders.phantom": "/secret/place"})
    run("again", both())
    assert "secret" not in page_of(compared("mine", "again"), tmp_path).text


def test_a_run_is_found_by_name_folder_and_record(root, monkeypatch):
    begun = run("mine", both())
    records.keep(begun)
    records.keep(run("kept", both()))
    runs_folder = root / "results"
    (runs_folder / "kept").rename(root / "elsewhere")
    assert sides.read("mine").label == "results/mine"
    assert sides.read("kept").label == "recorded/kept"
    assert sides.read("recorded/mine").folder == (root / "recorded" / "mine").resolve()
    assert sides.read(str(root / "elsewhere")).scores.keys() == set(MODELS)
    monkeypatch.chdir(runs_folder)
    assert sides.read("results/mine").label == "results/mine"
    with pytest.raises(Misuse, match="'none' is no run; there are results: mine; recorded: kept, mine"):
        sides.read("none")
    with pytest.raises(Misuse, match="holds no run.yaml"):
        sides.read(str(runs_folder))


@pytest.mark.parametrize(
    "content", ["[", "a: 1", "edition: tiny\nsettings: {}\nasked: {models: [vgg], recipe: {}, seed: 1}"]
)
def test_a_record_that_is_none_is_one_line(root, content):
    begun = run("mine", both())
    (begun.folder / "run.yaml").write_text(content)
    with pytest.raises(Problem, match=r"run\.yaml: "):
        sides.read("mine")


def test_a_replayed_run_is_not_compared_with_what_it_shows(root, capsys):
    begun = run("mine", both())
    path = begun.folder / "run.yaml"
    path.write_text(path.read_text() + "speed: replay\n")
    assert cli.main(["compare", "mine", "mine"]) == 2
    assert "replays recorded scores" in capsys.readouterr().err


def test_inputs_follow_contents_and_tell_no_name(root):
    known = [records.inputs(run(name, both(), test=films(content=c)).folder) for name, c in (("a", "x"), ("b", "y"))]
    assert known[0]["images"]["train"] == known[1]["images"]["train"]
    assert known[0]["images"]["test"]["sha256"] != known[1]["images"]["test"]["sha256"]
    assert known[0]["images"]["test"]["covid"] == {"images": 12, "patients": 6}
    assert known[0]["models"]["resnet18"]["scores"] == known[1]["models"]["resnet18"]["scores"]
    assert "phantom" not in json.dumps(known)


def test_the_command_prints_a_table_and_leaves_one_page(root, capsys):
    run("mine", both())
    run("again", {model: shaken(frame, 0.2) for model, frame in both().items()}, seed=7)
    assert cli.main(["compare", "mine", "again"]) == 0
    told = capsys.readouterr().out
    assert told.isascii()
    for word in ("ResNet18", "AUC A", "verdict", "inputs differ in: seed"):
        assert word in told
    assert [path.name for path in (root / "results" / "compare").iterdir()] == ["mine-vs-again.html"]
    again = (root / "results" / "compare" / "mine-vs-again.html").read_bytes()
    assert cli.main(["compare", "mine", "again", "--out", str(root / "same.html")]) == 0
    assert (root / "same.html").read_bytes() == again
    assert cli.main(["compare", "mine", "again", "--out", str(root)]) == 2
    assert cli.main(["compare", "mine", "nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_page_that_cannot_be_written_leaves_the_old_one(root, monkeypatch):
    run("mine", both())
    path = root / "page.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert cli.main(["compare", "mine", "mine", "--out", str(path)]) == 1
    assert path.read_text() == "old"
    assert [entry.name for entry in root.iterdir() if entry.is_file()] == ["page.html"]


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (0.0004, "p < 0.001"),
        (0.04996, "p = 0.04996"),
        (0.05, "p = 0.050"),
        (0.0321, "p = 0.032"),
        (0.9996, "p = 0.9996"),
    ],
)
def test_a_p_value_is_not_rounded_to_the_other_verdict(p, told):
    assert comparison_page._p(p) == told
