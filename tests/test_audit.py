"""What the printed numbers imply, against other libraries and by hand."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from scipy.stats import binomtest
from sklearn.metrics import auc

from deepcovid_lib import audit, figures, paper, style

MODELS = ["resnet18", "resnet50", "squeezenet", "densenet121"]


def test_every_printed_share_has_counts_that_print_so():
    table = audit.shares()
    assert len(table) == 42
    for row in table.itertuples():
        decimals = len(row.printed.split("%")[0].partition(".")[2])
        fitting = [count for count in range(row.trials + 1) if near(100 * count / row.trials, row.printed, decimals)]
        assert [row.lowest, row.highest] == [fitting[0], fitting[-1]], row.id
        assert row.counts == len(fitting), row.id
    assert set(table.loc[table["quantity"] == "specificity", "counts"]) == {3}
    assert set(table.loc[table["quantity"] == "sensitivity", "counts"]) == {1}


def near(percent, printed, decimals):
    return abs(percent - float(printed.split("%")[0])) <= 0.5 * 10**-decimals + 1e-9


def test_one_cell_of_table_vi_fits_a_single_count():
    table = audit.margins()
    assert len(table) == 4 * (1 + 3)
    fitting = table[table["fits"] == "yes"].groupby(["model", "quantity"]).size()
    whole = table.groupby(["model", "quantity"]).size()
    assert fitting[fitting < whole].to_dict() == {("resnet50", "specificity"): 1}
    cell = table[(table["model"] == "resnet50") & (table["fits"] == "yes") & (table["trials"] == 3000)].iloc[0]
    assert cell["successes"] == 2714
    assert cell["margin"] == pytest.approx(0.010509, abs=1e-6)
    assert 1.96 * np.sqrt(0.905 * 0.095 / 3000) == pytest.approx(0.01049, abs=1e-5)


def test_the_intervals_are_those_of_scipy():
    for table in (audit.margins(), audit.sensitivity_intervals()):
        for row in table.itertuples():
            exact, wilson = (
                binomtest(row.successes, row.trials).proportion_ci(method=method) for method in ("exact", "wilson")
            )
            assert (row.clopper_pearson_low, row.clopper_pearson_high) == pytest.approx((exact.low, exact.high))
            assert (row.wilson_low, row.wilson_high) == pytest.approx((wilson.low, wilson.high))


def test_equation_3_passes_100_percent_or_has_no_width():
    table = audit.sensitivity_intervals().set_index("successes")
    assert list(table.index) == [40, 39, 38, 37, 35]
    assert table.loc[40, "wald_high"] - table.loc[40, "wald_low"] == 0
    assert (table.loc[[39, 38, 37], "wald_high"] > 1).all()
    assert table.loc[35, "wald_high"] < 1
    assert (table["wilson_high"] <= 1).all()


def test_the_confusion_matrices_follow_from_table_vi():
    table = audit.confusion().set_index("model")
    for name, row in table.iterrows():
        assert (row["tp"], row["fn"]) == (39, 1)
        low, high = map(int, row["tn"].split("-"))
        assert row["fp"] == f"{3000 - high}-{3000 - low}"
        middle = (low + high) / 2
        assert row["accuracy"] == pytest.approx((39 + middle) / 3040), name
        assert row["precision"] == pytest.approx(39 / (39 + 3000 - middle))
        assert row["f1"] == pytest.approx(2 / (1 / row["precision"] + 40 / 39))
        assert row["lr_positive"] == pytest.approx((39 / 40) / (1 - middle / 3000))
        assert row["lr_negative"] == pytest.approx((1 / 40) / (middle / 3000))
    assert (table["accuracy"] < table["always_negative"]).all()
    assert table["always_negative"].iloc[0] == pytest.approx(0.98684, abs=1e-5)


def test_predictive_values_at_the_test_sets_prevalence_are_the_precisions():
    table = audit.predictive_values((40 / 3040,)).set_index("model")
    assert table["ppv"].to_dict() == pytest.approx(audit.confusion().set_index("model")["precision"].to_dict())
    assert audit.predictive_values().query("model == 'squeezenet'")["ppv"].round(2).tolist() == [
        0.31,
        0.70,
        0.83,
        0.92,
        0.98,
    ]


def test_the_bounds_hold_for_any_rising_curve_through_the_points():
    points, bounds = audit.roc_points(), audit.auc_bounds().set_index("model")
    rng = np.random.default_rng(0)
    for model in MODELS:
        own = points[points["model"] == model]
        x, y = own["false_positive_rate"].to_numpy(), own["sensitivity"].to_numpy()
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) >= 0).all()
        assert bounds.loc[model, "lowest"] <= auc(x, y) <= bounds.loc[model, "highest"]
        for _ in range(50):
            more = rng.uniform(size=30)
            place = np.clip(np.searchsorted(x, more) - 1, 0, len(x) - 2)
            heights = np.sort(rng.uniform(size=30))
            between = y[place] + (y[place + 1] - y[place]) * heights[np.argsort(np.argsort(more))]
            order = np.lexsort([np.r_[y, between], np.r_[x, more]])
            curve = np.r_[x, more][order], np.r_[y, between][order]
            assert (np.diff(curve[1]) >= 0).all()
            assert bounds.loc[model, "lowest"] <= auc(*curve) <= bounds.loc[model, "highest"]


def test_the_bounds_are_reached_by_staircases_and_hold_the_released_areas():
    bounds = audit.auc_bounds().set_index("model")
    expected = {"resnet18": (0.9835, 0.9950), "resnet50": (0.9644, 0.9963)}
    expected |= {"squeezenet": (0.9909, 0.9985), "densenet121": (0.9480, 0.9897)}
    for model, both in expected.items():
        assert tuple(bounds.loc[model, ["lowest", "highest"]]) == pytest.approx(both, abs=5e-5)
    assert set(bounds["inside"]) == {"yes"}


def test_rounding_moves_a_bound_by_no_more_than_is_said():
    points = audit.roc_points()
    for _, own in points.groupby("model"):
        x, y = own["false_positive_rate"].to_numpy(), own["sensitivity"].to_numpy()
        for shift in (-0.0005, 0.0005):
            moved = x.copy()
            moved[1:-1] += shift
            for heights in (y[:-1], y[1:]):
                assert abs((np.diff(moved) - np.diff(x)) @ heights) <= 0.0005 + 1e-12


@pytest.mark.parametrize(("kind", "least"), [("text", 12), ("code", 12)])
def test_every_contradiction_names_both_places(kind, least):
    table = audit.contradictions(kind)
    assert list(table.columns) == ["about", "one", "one_where", "other", "other_where", "matters"]
    assert len(table) >= least
    assert table["about"].is_unique
    assert table.map(lambda text: isinstance(text, str) and text.strip() == text != "").all(axis=None)


def test_the_contradictions_quote_the_printed_numbers():
    printed = paper.values().set_index("id")
    text = " ".join(audit.contradictions("text").stack())
    for model in MODELS:
        assert printed.loc[f"table-6/{model}/specificity", "printed"].split("%")[0] in text
    assert f"{printed['value'][[f'table-6/{model}/specificity' for model in MODELS]].mean():.1%}" in text
    with pytest.raises(ValueError, match="kind must be"):
        audit.contradictions("journal")


DRAW = {
    "bounds": lambda: figures.roc_bounds(audit.roc_points(), audit.auc_bounds()),
    "predictive values": lambda: figures.predictive_values(audit.predictive_values()),
    "intervals": lambda: figures.intervals(audit.as_printed(audit.margins())),
}


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_the_figures_are_readable_and_say_what_they_show(draw, mode):
    with style.theme(mode):
        drawing = draw()
    FigureCanvasAgg(drawing.figure).draw()
    drawing.figure.savefig(io.BytesIO(), format="png")
    texts = [text for text in drawing.figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= style.SMALL
    assert drawing.figure.get_size_inches()[0] == style.WIDTH
    assert len(drawing.data)
    assert "ResNet18" in drawing.alt
    assert drawing.alt.endswith(".")
