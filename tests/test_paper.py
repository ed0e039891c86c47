import re

import pandas as pd
import pytest

from deepcovid_lib import paper


@pytest.fixture(scope="module")
def values():
    return paper.values()


def number(printed):
    """The first number of a printed text, percents as fractions of 1."""
    digits = re.match(r"[\d.]+", printed.replace(",", ""))[0]
    scale = {"%": 0.01, "k": 1000}.get(printed[len(digits) : len(digits) + 1], 1)
    return float(digits) * scale


def test_every_value_has_an_id_of_its_own_and_says_where_it_stands(values):
    assert values["id"].is_unique
    assert values["id"].str.fullmatch(r"[a-z0-9.\-/]+").all()
    for column in ("where", "quantity", "printed", "unit"):
        assert (values[column].str.len() > 0).all()
    assert values["value"].notna().all()


def test_values_are_the_numbers_printed(values):
    plain = values[~values["id"].str.startswith("section-4d/specificity")]
    assert plain["value"].tolist() == pytest.approx([number(text) for text in plain["printed"]])


def test_the_printed_range_of_specificities_is_kept_at_both_ends(values):
    ends = values[values["id"].str.startswith("section-4d/specificity")]
    low, high = re.fullmatch(r"(\d+)-(\d+)%", ends["printed"].unique().item()).groups()
    assert ends["value"].tolist() == [int(low) / 100, int(high) / 100]


def test_margins_are_what_follows_the_plus_minus_sign(values):
    printed = values["printed"].str.extract(r"±\s*([\d.]+)%", expand=False).astype(float) / 100
    pd.testing.assert_series_equal(values["margin"], printed, check_names=False)
    assert values["margin"].notna().sum() == 9


def test_each_row_of_tables_ii_to_v_holds_a_threshold_and_two_shares(values):
    rows = values[values["id"].str.match(r"table-[2-5]/")]
    assert rows.groupby("model").size().to_dict() == {
        "resnet18": 15,
        "resnet50": 12,
        "squeezenet": 12,
        "densenet121": 12,
    }
    for (_, threshold), row in rows.groupby([rows["id"].str.slice(0, 7), "threshold"]):
        by_quantity = row.set_index("quantity")["value"]
        assert by_quantity["threshold"] == threshold
        assert set(by_quantity.index) == {"threshold", "sensitivity", "specificity"}


def test_shares_of_the_tables_have_the_test_sets_counts_as_trials(values):
    shares = values[values["id"].str.match(r"table-[2-6]/") & (values["quantity"] != "threshold")]
    trials = values.set_index("id")["value"]
    expected = shares["quantity"].map(
        {"sensitivity": trials["table-1/test/covid"], "specificity": trials["table-1/test/non-covid"]}
    )
    assert (shares["trials"] == expected.astype(int)).all()


def test_printed_sensitivities_are_whole_numbers_of_images(values):
    shares = values[(values["quantity"] == "sensitivity") & values["trials"].notna()]
    found = shares["value"] * shares["trials"].astype(float)
    assert found.tolist() == pytest.approx(found.round().tolist(), abs=1e-9)


def test_specificity_rises_and_sensitivity_falls_with_the_threshold(values):
    for _, table in values[values["id"].str.match(r"table-[2-5]/")].groupby("model"):
        by_threshold = table.pivot(index="threshold", columns="quantity", values="value").sort_index()
        assert by_threshold["specificity"].is_monotonic_increasing
        assert by_threshold["sensitivity"].is_monotonic_decreasing


def test_table_vi_repeats_the_tables_at_the_target_sensitivity(values):
    target = values.set_index("id").loc["section-4e/target", "value"]
    tables = values[values["id"].str.match(r"table-[2-5]/")]
    met = tables[(tables["quantity"] == "sensitivity") & (tables["value"] == target)]
    for _, row in met.iterrows():
        there = tables[(tables["model"] == row["model"]) & (tables["threshold"] == row["threshold"])]
        repeated = values[values["id"] == f"table-6/{row['model']}/specificity"]["value"].item()
        assert there.set_index("quantity").loc["specificity", "value"] == repeated
    assert len(met) == 4


def test_the_dataset_counts_of_text_and_table_add_up(values):
    count = values.set_index("id")["value"]
    assert count["section-2/training"] == count["table-1/training/covid"] + count["table-1/training/non-covid"]
    assert count["section-2/test"] == count["table-1/test/covid"] + count["table-1/test/non-covid"]
    assert count["section-2/covid"] == count["table-1/training/covid"] + count["table-1/test/covid"]
    for split in ("training", "test"):
        others = count["section-2/chexpert/other-categories"] * count[f"section-2/{split}/each-other-category"]
        assert count[f"section-2/{split}/no-finding"] + others == count[f"table-1/{split}/non-covid"]


def test_a_returned_table_may_be_changed_without_harm():
    mine = paper.values()
    mine["value"] = 0.0
    assert (paper.values()["value"] > 0).all()


def test_every_table_figure_and_equation_of_the_paper_has_a_slug():
    artefacts = paper.artefacts()
    assert artefacts["slug"].is_unique
    by_kind = artefacts.groupby("kind")["number"].agg(list).to_dict()
    assert by_kind == {
        "table": ["I", "II", "III", "IV", "V", "VI"],
        "figure": [str(number) for number in range(1, 13)],
        "equation": ["1", "2", "3"],
    }
    prefixes = artefacts["kind"].map({"table": "tab-", "figure": "fig-", "equation": "eq-"})
    assert all(slug.startswith(prefix) for slug, prefix in zip(artefacts["slug"], prefixes, strict=True))


def test_the_models_of_the_tables_have_their_artefacts(values):
    slugs = set(paper.artefacts()["slug"])
    for model in values.loc[values["id"].str.match(r"table-[2-5]/"), "model"].unique():
        assert {f"tab-thresholds-{model}", f"fig-scores-{model}"} <= slugs
