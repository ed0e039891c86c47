import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from deepcovid_lib import counterparts, editions, figures, paper, ranges, style, tables, verdicts
from deepcovid_lib.sources import chexpert, cohen

AGREES, DIFFERS, NO_TEST = "agrees", "differs", "not a test of this value"
MODELS = ["resnet18", "resnet50", "squeezenet", "densenet121"]
FUNNEL = pd.DataFrame(
    [
        ("cohen", "rows of metadata.csv", 149, 77),
        ("cohen", "modality is X-ray", 126, 76),
        ("cohen", "finding contains COVID-19", 102, 62),
        ("cohen", "view is PA", 71, 49),
        ("chexpert", "rows of train.csv", 223414, 64540),
        ("chexpert", "frontal", 191027, 64534),
    ],
    columns=["source", "rule", "rows", "patients"],
)


@pytest.fixture(autouse=True)
def _no_warning_reaches_the_reader():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def frame(covid, normal, others):
    """Test images with these scores; `others` are the scores of each other finding."""
    findings = ["COVID-19"] * len(covid) + ["No Finding"] * len(normal)
    findings += [name for name, scores in others.items() for _ in scores]
    scores = [*covid, *normal, *(score for part in others.values() for score in part)]
    groups = {"COVID-19": "covid", "No Finding": "normal"}
    group = [groups.get(finding, "other_disease") for finding in findings]
    label = ["covid" if each == "covid" else "non_covid" for each in group]
    known = {"label": label, "finding": findings, "group": group, "score": scores}
    return pd.DataFrame(known).assign(patient_id=range(len(label)))


def papers_scores(model):
    """Scores of 40 and 3,000 images that give the shares printed for a model at its own thresholds."""
    printed = paper.values()
    rows = printed[(printed["model"] == model) & printed["threshold"].notna()]
    table = rows.pivot(index="threshold", columns="quantity", values="value").sort_index(ascending=False)
    covid, negative, above = [], [], 1.0
    for threshold, row in zip(table.index, table.itertuples(), strict=True):
        covid += [*np.linspace(threshold, (3 * threshold + above) / 4, round(row.sensitivity * 40) - len(covid))]
        negative += [(threshold + above) / 2] * (round((1 - row.specificity) * 3000) - len(negative))
        above = threshold
    covid += [above / 2] * (40 - len(covid))
    negative += [above / 4] * (3000 - len(negative))
    others = {name: negative[1700 + 100 * at : 1800 + 100 * at] for at, name in enumerate(chexpert.DISEASES)}
    return frame(covid, negative[:1700], others)


def counts_of(train_covid=31, train_other=2000, test_covid=40, test_other=3000, copies=16):
    rows = [
        {"patient_id": f"{split}{label}{number}", "label": label, "split": split}
        for split, label, count in (
            ("train", "covid", train_covid),
            ("train", "non_covid", train_other),
            ("test", "covid", test_covid),
            ("test", "non_covid", test_other),
        )
        for number in range(count)
    ]
    return tables.dataset(pd.DataFrame(rows), copies=copies, comparable=True)


def beside(scores, *, edition="covid-xray-5k", counts=None, funnel=FUNNEL, comparable=True):
    return verdicts.paper_versus_run(
        scores,
        counts=counts_of() if counts is None else counts,
        funnel=funnel,
        edition=editions.resolve(edition),
        counts_comparable=comparable,
        performance_comparable=comparable,
    ).set_index("id")


@pytest.fixture(scope="module")
def papers():
    return {model: papers_scores(model) for model in MODELS}


@pytest.fixture(scope="module")
def papers_table(papers):
    return beside(papers)


def random_scores(seed, covid=8, normal=14, each=1):
    draw = np.random.default_rng(seed)
    others = {name: draw.beta(2, 4, each) for name in chexpert.DISEASES}
    return frame(draw.beta(3, 2, covid), draw.beta(2, 4, normal), others)


# Every value, once, with a reason


def every_run(papers):
    tiny = {"resnet18": random_scores(0), "squeezenet": random_scores(1)}
    empty = FUNNEL.iloc[:0]
    small = counts_of(6, 25, 8, 27, copies=4)
    yield "paper", beside(papers)
    yield "tiny", beside(tiny, edition="tiny", counts=small, funnel=empty, comparable=False)
    yield "open", beside(papers, edition="open-cxr", funnel=FUNNEL.iloc[:3], comparable=False)
    yield "released", beside(papers, edition="covid-xray-5k", funnel=empty)
    yield "no scores", beside({}, funnel=empty)
    yield "another model", beside({"densenet161": random_scores(2)}, comparable=False)
    for name, sizes in (("no covid", (0, 9, 1)), ("no negatives", (9, 0, 0)), ("nothing", (0, 0, 0))):
        yield name, beside(dict.fromkeys(MODELS, random_scores(3, *sizes)), counts=small)


def test_every_printed_value_has_one_row_a_known_verdict_and_a_reason(papers):
    printed = paper.values()
    for name, table in every_run(papers):
        assert table.index.tolist() == printed["id"].tolist(), name
        assert table["paper_printed"].tolist() == printed["printed"].tolist()
        assert table["paper"].tolist() == printed["value"].tolist()
        assert set(table["verdict"]) <= {AGREES, DIFFERS, NO_TEST}, name
        assert (table["reason"].str.len() > 0).all(), name
        assert table["low"].isna().tolist() == table["high"].isna().tolist()
        held = table.dropna(subset=["low", "run"])
        assert ((held["low"] <= held["run"] + 1e-12) & (held["run"] <= held["high"] + 1e-12)).all(), name
        difference = table["run"] - table["paper"]
        pd.testing.assert_series_equal(table["difference"], difference, check_names=False)


def test_what_this_run_lacks_is_no_test_save_an_uneven_test_set(papers):
    for name, table in every_run(papers):
        without = table[table["run"].isna()]
        strange = without[without["verdict"] != NO_TEST].index
        assert set(strange) <= {"section-2/test/each-other-category"}, name


# The paper's own numbers


def test_scores_shaped_like_the_papers_agree_with_its_tables(papers_table):
    specificities = papers_table[papers_table.index.str.fullmatch(r"table-[2-6]/.*/specificity")]
    assert len(specificities) == 17 + 4
    assert specificities["difference"].abs().max() < 0.0005
    closed = specificities["low"].gt(0) & specificities["high"].lt(1)
    assert specificities["verdict"].tolist() == [AGREES if each else NO_TEST for each in closed]
    assert specificities.loc[~closed, "reason"].str.startswith(verdicts.WHY_OPEN).all()
    assert specificities["reason"].str.endswith(ranges.NOTE).all()
    assert specificities["low"].eq(0).any()
    assert closed.any()
    counted = papers_table[papers_table.index.str.startswith("table-1/")]
    assert set(counted["verdict"]) == {AGREES}


def test_what_the_paper_says_against_itself_differs_and_says_why(papers_table):
    against = papers_table[(papers_table["verdict"] == DIFFERS) & ~papers_table.index.str.startswith("released-figure")]
    assert against.index.tolist() == ["section-5/non-covid"]
    names = [*against.index, "section-1/best/specificity"]
    names += [f"section-4d/specificity/{end}" for end in ("lowest", "highest")]
    assert papers_table.loc[names, "reason"].str.contains("the paper's own Table").all()
    assert "Table VI has 81.3%" in papers_table.loc["section-4d/specificity/lowest", "reason"]
    augmentation = papers_table.loc["section-1/augmentation"]
    assert (augmentation["run"], augmentation["verdict"]) == (16, NO_TEST)
    assert "from 31 to 496 is a factor of 16" in augmentation["reason"]
    assert papers_table.loc["released-figure/densenet121/auc", "reason"].endswith("called DenseNet-161")


def test_summaries_are_taken_over_the_four_models(papers_table):
    printed = paper.values().set_index("id")["value"]
    own = [printed[f"table-6/{model}/specificity"] for model in MODELS]
    run = papers_table["run"]
    assert run["abstract/specificity"] == pytest.approx(np.mean(own), abs=0.0005)
    assert run["section-4d/specificity/lowest"] == pytest.approx(min(own), abs=0.0005)
    assert run["section-1/best/specificity"] == pytest.approx(max(own), abs=0.0005)
    means = papers_table.loc[["abstract/specificity", "section-5/specificity"]]
    assert set(means["verdict"]) == {NO_TEST}
    assert means["reason"].str.contains("cannot confirm it; mean over the four models").all()
    assert run["section-4e/margin/sensitivity"] == pytest.approx(0.048, abs=0.0005)
    assert papers_table.loc["section-4e/margin/specificity", "verdict"] == AGREES


def test_the_areas_are_judged_by_the_range_that_holds_whatever_the_scores(papers, papers_table):
    for model in MODELS:
        area = tables.auc({model: papers[model]}, comparable=True, replicates=2).iloc[0]
        row = papers_table.loc[f"released-figure/{model}/auc"]
        assert tuple(row[["run", "low", "high"]]) == tuple(area[["auc", "range_low", "range_high"]])
        assert row["verdict"] == area["verdict"]


# What tests nothing


@pytest.mark.parametrize("comparable", [True, False])
def test_what_was_set_beforehand_tests_nothing(papers, comparable):
    table = beside(papers, comparable=comparable)
    found = table[(table["quantity"] == "sensitivity") | table["quantity"].str.startswith("threshold")]
    assert len(found) == 2 * 17 + 4 + 4
    assert set(found["verdict"]) == {NO_TEST}
    settings = table[
        table.index.str.startswith(("section-4a/", "section-4e/z", "section-4e/target", "section-4e/conf"))
    ]
    assert len(settings) == 7
    assert settings["run"].tolist() == settings["paper"].tolist()
    assert set(settings["reason"]) == {"set from the paper"}
    assert set(settings["verdict"]) == {NO_TEST}


def test_another_recipe_is_named(papers):
    table = beside(papers, edition="tiny", comparable=False)
    assert table.loc["section-4a/epochs", ["run", "reason"]].tolist() == [20, "this run sets another value"]


def test_other_images_or_weights_are_never_a_test(papers):
    assert set(beside(papers, comparable=False)["verdict"]) == {NO_TEST}


def test_untrained_networks_on_the_papers_images_test_the_counts_alone(papers):
    table = verdicts.paper_versus_run(
        papers,
        counts=counts_of(),
        funnel=FUNNEL,
        edition=editions.resolve("covid-xray-5k"),
        counts_comparable=True,
        performance_comparable=False,
    ).set_index("id")
    tested = table[table["verdict"] != NO_TEST]
    assert set(tested["unit"]) == {"images", "categories"}
    assert len(tested) >= 30


def test_counts_that_the_curation_was_asked_for_test_nothing(papers):
    table, found = (beside(papers, edition=name) for name in ("covid-xray-5k-rebuilt", "covid-xray-5k"))
    asked = table["reason"].str.startswith("as many were asked of the curation")
    assert asked.sum() > 20
    assert set(table.loc[asked, "verdict"]) == {NO_TEST}
    assert table.loc[asked, "run"].notna().all()
    tested = table[table["unit"].isin(["images", "categories"]) & (table["verdict"] != NO_TEST)]
    assert tested.index.str.contains("cohen|chexpert|section-2/covid").all()
    assert found.loc["table-1/test/covid", "verdict"] == AGREES


def test_what_is_quoted_from_another_article_is_not_tested(papers_table):
    quoted = papers_table[papers_table.index.str.startswith("section-3c/")]
    assert quoted["reason"].tolist() == ["quoted from another article"] * 2
    assert set(quoted["verdict"]) == {NO_TEST}


# Models and classes that are not there


def test_a_model_the_run_lacks_is_named_and_leaves_the_summaries_untested(papers):
    table = beside({model: papers[model] for model in ("resnet18", "squeezenet")})
    lacking = table[table["model"] == "resnet50"]
    assert len(lacking) == 12 + 2 + 1
    assert set(lacking["reason"]) == {"this run has no ResNet50"}
    assert lacking["run"].isna().all()
    summary = table.loc["abstract/specificity"]
    assert summary["run"] == pytest.approx((0.888 + 0.978) / 2, abs=0.0005)
    assert (summary["verdict"], summary["reason"]) == (NO_TEST, "mean over ResNet18 and SqueezeNet alone")
    assert "cannot confirm it" in table.loc["table-6/squeezenet/specificity", "reason"]


def test_a_run_with_none_of_the_papers_models_says_so():
    table = beside({"densenet161": random_scores(4)})
    assert table.loc["section-5/specificity", "reason"] == "this run has none of the paper's models"


@pytest.mark.parametrize(("covid", "normal", "each"), [(0, 9, 1), (9, 0, 0)])
def test_shares_without_images_of_a_class_are_undefined(covid, normal, each):
    table = beside(dict.fromkeys(MODELS, random_scores(5, covid, normal, each)))
    rows = table[table.index.str.fullmatch(r"table-[2-6]/.*/specificity|released-figure/.*|abstract/specificity")]
    assert rows["run"].isna().all()
    assert set(rows["reason"]) == {"undefined, for want of images of a class"}


def test_perfect_separation_of_forty_films_agrees_with_the_areas_that_they_cannot_tell_from_it():
    scores = frame([0.9, 0.8] * 20, [0.1, 0.2] * 20, {"Edema": [0.3]})
    row = beside({"resnet18": scores}).loc["released-figure/resnet18/auc"]
    assert (row["run"], row["high"], row["verdict"]) == (1, 1, AGREES)
    assert row["low"] == pytest.approx(0.025 ** (1 / 40))


def test_runs_of_the_printed_areas_seldom_differ_from_them():
    rng, told = np.random.default_rng(0), 0
    for _ in range(100):
        covid, others = rng.normal(norm.ppf(0.993) * math.sqrt(2), size=40), rng.normal(size=300)
        table = beside({"resnet18": frame(covid, others, {})})
        told += table.loc["released-figure/resnet18/auc", "verdict"] == DIFFERS
    assert told <= 5


def test_one_film_or_equal_scores_leave_an_area_without_a_verdict_and_do_not_separate():
    for scores in (frame([0.2], [0.1, 0.3], {"Edema": [0.1]}), frame([0.5] * 3, [0.5] * 2, {"Edema": [0.5]})):
        row = beside({"resnet18": scores}).loc["released-figure/resnet18/auc"]
        assert 0 < row["run"] < 1
        assert (row["verdict"], row["reason"]) == (NO_TEST, verdicts.NO_RANGE)


# Counts


def test_equal_scores_of_all_films_decide_nothing():
    table = beside(
        dict.fromkeys(MODELS, frame([0.5] * 40, [0.5] * 1700, {name: [0.5] * 100 for name in chexpert.DISEASES}))
    )
    performance = table[table["quantity"].str.contains("specificity|area") | table.index.str.contains("margin")]
    assert len(performance) > 25
    assert set(performance["verdict"]) == {NO_TEST}


def test_counts_come_from_the_funnel_of_the_papers_source(papers_table):
    run = papers_table["run"]
    parts = ("x-ray", "x-ray/covid", "x-ray/non-covid", "ct")
    assert [run[f"section-2/cohen/{part}"] for part in parts] == [126, 102, 24, 23]
    assert set(papers_table.loc[[f"section-2/cohen/{part}" for part in parts], "verdict"]) == {AGREES}
    assert papers_table.loc["section-2/covid", ["run", "verdict"]].tolist() == [71, AGREES]
    assert "'view is PA'" in papers_table.loc["section-2/covid", "reason"]
    assert papers_table.loc["section-2/chexpert/images", ["run", "verdict"]].tolist() == [223414, NO_TEST]


def test_the_rules_sought_are_those_the_source_gives(tmp_path):
    (tmp_path / "metadata.csv").write_text(
        "patientid,finding,view,modality,filename\n1,COVID-19,PA,X-ray,a.png\n2,SARS,PA,X-ray,b.png\n3,COVID-19,Axial,CT,c.png\n"
    )
    found = counterparts.selected(
        cohen.candidates(tmp_path).funnel, paper.values().set_index("id")["value"], comparable=True
    )
    assert [found[f"section-2/cohen/{part}"].run for part in ("ct", "x-ray", "x-ray/covid", "x-ray/non-covid")] == [
        1,
        2,
        1,
        1,
    ]
    assert found["section-2/covid"].run == 1


def test_sources_a_run_does_not_read_are_named(papers):
    table = beside(papers, funnel=FUNNEL[FUNNEL["source"] == "cohen"], comparable=False)
    lacking = table[table.index.str.startswith("section-2/chexpert/")]
    assert set(lacking["reason"]) == {"this run does not read the table of CheXpert"}


def test_rounded_counts_and_bounds_are_compared_as_printed(papers):
    table = beside(papers, counts=counts_of(61, 3000, 40, 3000))
    assert table.loc[["abstract/dataset", "abstract/training"], "verdict"].tolist() == [DIFFERS] * 2
    assert table.loc["abstract/test", ["run", "verdict"]].tolist() == [3040, AGREES]
    assert table.loc["section-5/non-covid", "verdict"] == AGREES
    assert table.loc["section-5/covid", ["run", "verdict"]].tolist() == [101, DIFFERS]


def test_other_findings_are_counted_one_by_one(papers):
    test = "section-2/test/each-other-category"
    assert beside(papers).loc[test, ["run", "verdict"]].tolist() == [100, AGREES]
    uneven = frame([0.5], [0.1], {"Edema": [0.1, 0.2], "Fracture": [0.3]})
    row = beside({"resnet18": uneven}).loc[test]
    assert math.isnan(row["run"])
    assert (row["verdict"], row["reason"]) == (DIFFERS, "not as printed; from 1 to 2 by finding")
    unknown = uneven.assign(group=["covid", *["unknown"] * 4])
    assert beside({"resnet18": unknown}).loc[test, "reason"] == "not every test image has a finding"


# Texts and chart


def test_a_page_shows_each_number_in_its_own_unit(papers_table):
    cells = verdicts.shown(papers_table.reset_index()).set_index("id")
    shown = cells[["run_shown", "interval_shown", "difference_shown"]]
    assert shown.loc["table-6/resnet18/specificity"].tolist() == ["88.8%", "0.0% to 99.5%", "0.0 points"]
    assert shown.loc["abstract/dataset"].tolist() == ["5,071", "–", "+71"]
    assert shown.loc["section-4a/learning-rate"].tolist() == ["0.0001", "–", "0"]
    assert shown.loc["section-2/chexpert/patients", "difference_shown"] == "−700"
    assert shown.loc["section-3c/size"].tolist() == ["–"] * 3
    row = {"model": "resnet18", "quantity": "threshold", "unit": "probability", "run": 0.22891, "low": np.nan}
    row = verdicts.shown(pd.DataFrame([row | {"high": np.nan, "difference": 0.1739100001}])).iloc[0]
    assert (row["run_shown"], row["difference_shown"]) == ("0.22891", "+0.174")
    assert (
        cells.loc["released-figure/resnet18/auc", "run_shown"]
        == f"{papers_table.loc['released-figure/resnet18/auc', 'run']:.3f}"
    )
    assert set(cells["model_shown"]) == {"–", *(style.model(name).label for name in MODELS)}


def test_the_tally_counts_every_row(papers_table):
    twice = pd.concat([papers_table, papers_table])
    number = twice["verdict"].value_counts()
    assert verdicts.tally(twice) == (
        f"of {len(twice)} values {number[AGREES]} agree, {number[DIFFERS]} differ, "
        f"{number[NO_TEST]} are not a test of this value"
    )


def test_the_table_survives_a_csv(papers_table, tmp_path):
    papers_table.to_csv(tmp_path / "table.csv")
    back = pd.read_csv(tmp_path / "table.csv", index_col="id")
    for column in ("paper", "run", "low", "high", "difference"):
        assert np.allclose(back[column], papers_table[column], equal_nan=True)


def test_the_chart_draws_every_share_once_about_the_printed_one(papers_table):
    table = papers_table.reset_index()
    with style.theme("light"):
        drawing = figures.paper_versus_run(table)
    assert len(drawing.data) == 17 + 4
    told = table.set_index("id").loc[drawing.data["id"]]
    assert drawing.data["low"].tolist() == (told["low"] - told["paper"]).tolist()
    outside = (drawing.data["low"] > 0) | (drawing.data["high"] < 0)
    assert outside.tolist() == (drawing.data["verdict"] == DIFFERS).tolist()
    axes = drawing.figure.axes[0]
    assert axes.get_title(loc="left") == ""
    agreeing = (told["verdict"] == AGREES).sum()
    assert f"Agreeing: {agreeing} of 21; differing: {outside.sum()}." in drawing.alt
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() in "os^D"]
    assert len(faces) == 21
    assert faces.count("none") == (told["verdict"] == NO_TEST).sum() > 0


def test_the_chart_of_another_run_says_that_it_is_no_test(papers):
    with style.theme("light"):
        drawing = figures.paper_versus_run(beside(papers, comparable=False).reset_index())
    said = "Not a test of the paper: other images, weights or settings"
    axes = drawing.figure.axes[0]
    assert axes.get_title(loc="left").replace("\n", " ") == said
    assert said in drawing.alt
    drawing.figure.canvas.draw()
    shown = axes.title.get_window_extent(), axes._left_title.get_window_extent()
    assert max(box.x1 for box in shown) <= drawing.figure.bbox.x1
    assert {line.get_markerfacecolor() for line in axes.lines if line.get_marker() in "os^D"} == {"none"}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_chart_stands_without_shares(mode):
    with style.theme(mode):
        drawing = figures.paper_versus_run(beside({}, comparable=False).reset_index())
        drawing.figure.canvas.draw()
    assert len(drawing.data) == 0
    assert drawing.alt == "This run has none of the printed shares."
