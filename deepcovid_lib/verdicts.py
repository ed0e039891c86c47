"""Every value that the paper prints, with this run's beside it and what their comparison is worth.

Shares are fractions of 1, intervals are at 95%, and an image is called positive, COVID-19, when
``score >= threshold``. A value that was set beforehand, as a recipe or a target is, tests nothing, however equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from deepcovid_lib import counterparts, paper, ranges, style, tables
from deepcovid_lib.counterparts import Found, absent, joined
from deepcovid_lib.editions import Edition
from deepcovid_lib.tables import AGREES, DIFFERS, NO_TEST

NO_CLASS = "undefined, for want of images of a class"
BY_TARGET = "set by the target"
AREA = "area under the ROC curve"
BEST = "section-1/best/sensitivity"
SUMMARIES = {
    "abstract/specificity": "mean",
    "section-5/specificity": "mean",
    "section-1/best/specificity": "max",
    "section-4d/specificity/lowest": "min",
    "section-4d/specificity/highest": "max",
}
WORDS = {"mean": "mean", "min": "lowest", "max": "highest"}
WHY_SHARE = {
    AGREES: "inside the interval",
    DIFFERS: "outside the interval",
    NO_TEST: "other images, weights or settings than the paper's",
}
WHY_OPEN = "so few COVID-19 images, or equal scores, cannot confirm it"
NO_RANGE = "equal scores, or fewer than five patients of a class"
COLUMNS = "id where model quantity unit paper_printed paper run low high difference verdict reason".split()


def paper_versus_run(
    scores_by_model: Mapping[str, pd.DataFrame],
    *,
    counts: pd.DataFrame,
    funnel: pd.DataFrame,
    edition: Edition,
    counts_comparable: bool,
    performance_comparable: bool,
) -> pd.DataFrame:
    """Set this run's value beside every one of `paper.values`.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``patient_id``, ``label`` (``covid``/``non_covid``), ``score``, ``finding`` and ``group``.
    counts : DataFrame
        Of `tables.dataset`.
    funnel : DataFrame
        ``source, rule, rows``: what every rule of the curation left.
    edition : Edition
        Its recipe, preset, copies and split are the settings that the paper's are compared with.
    counts_comparable, performance_comparable : bool
        Whether the images, and whether images and weights, are the paper's.

    Returns
    -------
    DataFrame
        One row per printed value, in the paper's order: ``id, where, model, quantity, unit``; ``paper_printed``, its
        text, and ``paper``, its number; ``run``; ``low, high``, the run's interval (of `ranges.specificity`, Wilson's
        for a sensitivity, of `ranges.area` for an area; NaN for counts and settings); ``difference``, run minus paper;
        the ``verdict`` and its ``reason``, never empty.

        A specificity stands at the highest observed score whose sensitivity is >= the one printed beside it, 97.5%
        where the text names none. A summary is taken over the run's models among the paper's four, its bounds over
        theirs, which errs on the wide side; it is tested only where all four are there.

    References
    ----------
    Paper, abstract, Sections I to V, Tables I to VI.

    Examples
    --------
    >>> from deepcovid_lib import editions
    >>> manifest = pd.DataFrame({"patient_id": ["a"], "label": ["covid"], "split": ["train"]})
    >>> counts = tables.dataset(manifest, copies=4, comparable=False)
    >>> table = paper_versus_run({}, counts=counts, funnel=pd.DataFrame(columns=["source", "rule", "rows"]),
    ...                          edition=editions.resolve("tiny"), counts_comparable=False,
    ...                          performance_comparable=False).set_index("id")
    >>> print(*table.loc["section-4a/epochs", ["paper", "run", "difference", "reason"]], sep="; ")
    100.0; 20.0; -80.0; this run sets another value
    >>> table.loc["table-6/resnet50/specificity", "reason"]
    'this run has no ResNet50'
    """
    printed = paper.values()
    told = printed.set_index("id")["value"]
    found = {
        **counterparts.counted(counts, edition, told, comparable=counts_comparable),
        **counterparts.by_finding(scores_by_model, edition, told, comparable=counts_comparable),
        **counterparts.selected(funnel, told, comparable=counts_comparable),
        **counterparts.set_beforehand(edition, told),
        **_operating_points(scores_by_model, printed, comparable=performance_comparable),
        **_at_target(scores_by_model, printed, comparable=performance_comparable),
        **_areas(scores_by_model, printed, comparable=performance_comparable),
    }
    ours = pd.DataFrame([found[name] for name in printed["id"]], columns=Found._fields)
    ours = ours.astype(dict.fromkeys(("run", "low", "high"), float))
    table = pd.concat([printed.rename(columns={"printed": "paper_printed", "value": "paper"}), ours], axis=1)
    table["difference"] = table["run"] - table["paper"]
    table["quantity"] = [_quantity(row, told) for row in printed.to_dict("records")]
    return table[COLUMNS]


def tally(table: pd.DataFrame) -> str:
    """Say how many values got which verdict.

    Examples
    --------
    >>> tally(pd.DataFrame({"verdict": [AGREES, NO_TEST, NO_TEST]}))
    'of 3 values 1 agrees, 0 differ, 2 are not a test of this value'
    """
    verbs = {AGREES: ("agrees", "agree"), DIFFERS: ("differs", "differ"), NO_TEST: (f"is {NO_TEST}", f"are {NO_TEST}")}
    number = table["verdict"].value_counts()
    told = [f"{number.get(name, 0)} {one if number.get(name, 0) == 1 else many}" for name, (one, many) in verbs.items()]
    return f"of {len(table)} values {', '.join(told)}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Add the texts a page shows: ``model_shown``, ``run_shown``, ``interval_shown`` and ``difference_shown``.

    Shares are shown as percentages, their differences in percentage points; a dash stands for what is not there.

    Examples
    --------
    >>> row = {"model": "", "quantity": "specificity", "unit": "fraction", "run": 0.9, "low": 0.8, "high": 0.95}
    >>> shown(pd.DataFrame([row | {"difference": -0.012}])).iloc[0, -4:].tolist()
    ['–', '90.0%', '80.0% to 95.0%', '−1.2 points']
    """
    texts = {name: [] for name in ("model", "run", "interval", "difference")}
    for row in table.to_dict("records"):
        low, high = _number(row["low"], row), _number(row["high"], row)
        texts["model"].append(style.model(row["model"]).label if row["model"] else "–")
        texts["run"].append(_number(row["run"], row))
        texts["interval"].append(f"{low} to {high}" if pd.notna(row["low"]) else "–")
        texts["difference"].append(_difference(row))
    return table.assign(**{f"{name}_shown": cells for name, cells in texts.items()})


def _operating_points(
    scores_by_model: Mapping[str, pd.DataFrame], printed: pd.DataFrame, *, comparable: bool
) -> dict[str, Found]:
    """Tables II to V."""
    found = {}
    for model, listed in printed.dropna(subset="threshold").groupby("model"):
        if model not in scores_by_model:
            found |= dict.fromkeys(listed["id"], absent(f"this run has no {style.model(model).label}"))
            continue
        points = tables.thresholds(scores_by_model[model], model, comparable=comparable).set_index("paper_threshold")
        for row in listed.itertuples():
            point = points.loc[row.threshold]
            if row.quantity == "threshold":
                found[row.id] = _untested(point["threshold"], reason="a threshold belongs to its network")
                continue
            if row.quantity == "specificity":
                found[row.id] = _ranged(point[["specificity", "anew_low", "anew_high"]], row.value, comparable)
                continue
            share = point[row.quantity], point[f"{row.quantity}_low"], point[f"{row.quantity}_high"]
            found[row.id] = _untested(*share, reason=BY_TARGET)
    return found


def _at_target(
    scores_by_model: Mapping[str, pd.DataFrame], printed: pd.DataFrame, *, comparable: bool
) -> dict[str, Found]:
    """Table VI, and the sentences that sum it up."""
    rows, told = printed[printed["id"].str.startswith("table-6/")], printed.set_index("id")["value"]
    set_beforehand = [f"{place}/sensitivity" for place in ("abstract", "section-4d", "section-5")]
    margins = {quantity: f"section-4e/margin/{quantity}" for quantity in ("sensitivity", "specificity")}
    found = {row.id: absent(f"this run has no {style.model(row.model).label}") for row in rows.itertuples()}
    models = list(rows["model"].unique())
    present = {model: scores_by_model[model] for model in models if model in scores_by_model}
    if not present:
        none = absent("this run has none of the paper's models")
        return found | dict.fromkeys([*set_beforehand, BEST, *SUMMARIES, *margins.values()], none)
    reached = tables.reliability(present, comparable=comparable)
    for row in reached.to_dict("records"):
        name, share = f"table-6/{row['model']}/{row['quantity']}", (row["value"], row["anew_low"], row["anew_high"])
        found[name] = _untested(*share, reason=BY_TARGET)
        if row["quantity"] == "specificity":
            found[name] = _ranged(share, told[name], comparable)
    whole = len(present) == len(models)
    labels = " and ".join(style.model(name).label for name in present)
    over = "over the four models" if whole else f"over {labels} alone"
    shares = reached.groupby("quantity")[["value", "anew_low", "anew_high"]]
    for name in set_beforehand:
        found[name] = _untested(*shares.mean().loc["sensitivity"], reason=f"mean {over}, {BY_TARGET}")
    by_model = reached.set_index(["quantity", "model"])[["value", "anew_low", "anew_high"]]
    best = by_model.loc["specificity", "value"].sort_values(ascending=False, kind="stable").index[0]
    note = f"{style.model(best).label}, whose specificity is highest, {BY_TARGET}"
    found[BEST] = _untested(*by_model.loc[("sensitivity", best)], reason=note)
    own = rows.loc[rows["quantity"] == "specificity", "value"]
    for name, kind in SUMMARIES.items():
        note = f"{WORDS[kind]} {over}"
        if round(own.agg(kind), 2) != told[name]:
            note += f"; the paper's own Table VI has {own.agg(kind):.1%}"
        share = shares.agg(kind).loc["specificity"]
        found[name] = _ranged(share, told[name], comparable, note) if whole else _untested(*share, reason=note)
    margin, note = reached.groupby("quantity")["margin"].mean(), f"mean of Eq. 3 {over}"
    fixed = f"{note}, fixed by the target and the number of images"
    found[margins["sensitivity"]] = _untested(margin["sensitivity"], reason=fixed)
    name, note = margins["specificity"], f"{note}, to the nearest percent"
    decision = NO_TEST
    wide = reached.loc[reached["quantity"] == "specificity", "margin"] > 0
    if whole and comparable and wide.all():
        decision = AGREES if round(margin["specificity"], 2) == told[name] else DIFFERS
    why = joined("" if comparable else WHY_SHARE[NO_TEST], note)
    found[name] = _untested(margin["specificity"], reason=why)._replace(verdict=decision)
    return found


def _areas(scores_by_model: Mapping[str, pd.DataFrame], printed: pd.DataFrame, *, comparable: bool) -> dict[str, Found]:
    """The areas in the legend of the released figure."""
    found = {}
    for row in printed[printed["quantity"] == "auc"].itertuples():
        if row.model not in scores_by_model:
            found[row.id] = absent(f"this run has no {style.model(row.model).label}")
            continue
        scores = scores_by_model[row.model]
        run, low, high = ranges.area(scores["label"] == "covid", scores["score"], scores["patient_id"])
        if pd.isna(run):
            found[row.id] = absent(NO_CLASS)
            continue
        decision = tables.verdict(row.value, low, high, comparable=comparable)
        called = row.where.partition("where the model is called ")[2]
        why = NO_RANGE if pd.isna(low) else WHY_SHARE[decision]
        found[row.id] = Found(run, low, high, decision, joined(why, f"there it is called {called}" if called else ""))
    return found


def _untested(run: float, low: float = math.nan, high: float = math.nan, *, reason: str) -> Found:
    return Found(run, low, high, reason=NO_CLASS if pd.isna(run) else reason)


def _ranged(share: Sequence[float], told: float, comparable: bool, note: str = "") -> Found:
    """A specificity beside the printed one, by the range that counts its threshold."""
    run, low, high = share
    if pd.isna(run):
        return absent(NO_CLASS)
    decision = tables.verdict_by_range(told, low, high, comparable=comparable)
    why = WHY_OPEN if comparable and decision == NO_TEST else WHY_SHARE[decision]
    return Found(run, low, high, decision, joined(why, note, ranges.NOTE))


def _number(value: float, row: dict) -> str:
    if pd.isna(value):
        return "–"
    if row["quantity"] == "threshold":  # in the digits that it takes to make the same calls
        return style.exact(value)
    if row["unit"] == "fraction" and row["quantity"] != AREA:
        return style.percent(value)
    return style.decimal(value) if row["unit"] == "fraction" else f"{value:,.3g}" if value % 1 else f"{value:,.0f}"


def _difference(row: dict) -> str:
    if pd.isna(row["difference"]):
        return "–"
    size = _number(abs(row["difference"]), row)
    if row["quantity"] == "threshold":
        size = style.decimal(abs(row["difference"]))
    elif row["unit"] == "fraction" and row["quantity"] != AREA:
        size = f"{style.points(abs(row['difference']))} points"
    return ("" if float(size.split()[0].replace(",", "")) == 0 else "+" if row["difference"] > 0 else "−") + size


def _quantity(row: dict, told: pd.Series) -> str:
    """Name a quantity of Tables II to VI with the sensitivity it stands at."""
    if row["quantity"] == "auc":
        return AREA
    if row["quantity"] not in ("specificity", "threshold") or not row["model"]:
        return row["quantity"]
    table = row["id"].rpartition("/")[0]
    return f"{row['quantity']} at {100 * told[f'{table}/sensitivity']:g}% sensitivity"
