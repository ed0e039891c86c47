"""A comparison of two runs as one HTML page that needs nothing else, and as a short table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from deepcovid_lib import __version__, comparison, editions, sides, style
from deepcovid_lib.comparison import Comparison
from deepcovid_lib.figures import pairs
from deepcovid_lib.files import replacing
from deepcovid_lib.markup import Content, element, figure, grid, section, table
from deepcovid_lib.sides import Side

MARKS = {comparison.EQUAL: "=", comparison.SAME: "≈", comparison.DIFFER: "≠", comparison.UNDECIDED: "?"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write(compared: Comparison, path: Path) -> None:
    """Write the page, complete or not at all. All text is escaped; nothing is asked of any other place."""
    page = element(
        "html",
        _head(f"{compared.a.label} and {compared.b.label} compared"),
        element("body", element("main", _top(compared), *_sections(compared)), _foot()),
        lang="en",
    )
    text = ElementTree.tostring(page, encoding="unicode", method="html")
    with replacing(path) as temporary:
        temporary.write_text(f"<!DOCTYPE html>\n{text}\n", encoding="utf-8")


def summary(areas: pd.DataFrame) -> str:
    """Return `comparison.areas` as a short table in plain characters: model, both areas, difference, verdict."""
    rows = []
    for row in areas.to_dict("records"):
        verdict = row["verdict"] + (f" ({row['reason']})" if row["reason"] else "")
        numbers = decimal(row["auc_a"]), decimal(row["auc_b"]), signed(row["difference"])
        rows.append((style.model(row["model"]).label, *numbers, verdict))
    table = pd.DataFrame(rows, columns=["model", "AUC A", "AUC B", "A - B", "verdict"]).to_string(index=False)
    return table.replace("−", "-").replace("–", "-")


def decimal(value: float) -> str:
    """Return a number with three decimals, a dash where there is none."""
    return "–" if math.isnan(value) else style.decimal(value)


def signed(value: float, scale: str = "+.3f") -> str:
    """Return a difference with its sign; ``0`` stands for no difference at all.

    Examples
    --------
    >>> signed(-0.0312), signed(0.0), signed(2e-5)
    ('−0.031', '0', '+0.000')
    """
    if math.isnan(value):
        return "–"
    return "0" if value == 0 else format(value, scale).replace("-", "−")


def _head(title: str) -> ElementTree.Element:
    inks = [
        " ".join(f"--{name}: {colour};" for name, colour in {**style.INKS[mode], "page": style.PAGES[mode][-1]}.items())
        for mode in ("light", "dark")
    ]
    accent = style.MODELS["resnet18"].colour
    themes = (
        f":root {{ color-scheme: light dark; --accent: {accent}; {inks[0]} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {inks[1]} }} }}\n"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", themes + Path(__file__).with_name("comparison.css").read_text(encoding="utf-8")),
    )


def _top(compared: Comparison) -> ElementTree.Element:
    natures = [(letter, editions.no_evidence(one.asked)) for letter, one in (("A", compared.a), ("B", compared.b))]
    told = [f"{letter} has {' and '.join(nature)}." for letter, nature in natures if nature]
    warning = f"{' '.join(told)} Such a run shows the method and is no evidence about COVID-19."
    warned = [element("p", warning, class_="note")] if told else []
    for letter, one in (("A", compared.a), ("B", compared.b)):
        if unknown := sides.untold(one):
            warned.append(element("p", f"Of {letter}, {unknown}: intervals may be too narrow.", class_="note"))
    return element(
        "header",
        element("p", "Deep-COVID companion: two runs compared", class_="about"),
        element("h1", f"{compared.a.label} and {compared.b.label}"),
        element("p", compared.conclusion, class_="lead"),
        *warned,
        element("div", *(_card(letter, one) for letter, one in (("A", compared.a), ("B", compared.b))), class_="sides"),
    )


def _card(letter: str, one: Side) -> ElementTree.Element:
    settings = ", ".join(f"{key} = {value}" for key, value in one.settings.items()) or "none"
    told = {
        "edition": f"{one.edition} ({one.asked.get('title', 'untitled')})",
        "settings": settings,
        "made": sides.made(one),
        "weights": str(one.asked.get("weights", "not known")),
        "seed": str(one.asked["seed"]),
        "scores of": ", ".join(style.model(model).label for model in one.scores) or "no model",
    }
    listed = [part for term, text in told.items() for part in (element("dt", term), element("dd", text))]
    heading = element("h2", element("span", letter, class_="key"), f" {one.label}")
    return element("div", heading, element("dl", *listed), class_="side")


def _sections(compared: Comparison) -> list[ElementTree.Element]:
    if not comparison.shared(compared.a, compared.b):
        return [_entered(compared)]
    return [
        _areas(compared),
        _rates(compared),
        _curves(compared),
        _scores(compared),
        _entered(compared),
        _method(compared),
    ]


def _areas(compared: Comparison) -> ElementTree.Element:
    rows = []
    for row in compared.areas.to_dict("records"):
        cells: list[list[Content]] = [_estimate(row[f"auc_{x}"], row[f"low_{x}"], row[f"high_{x}"]) for x in "ab"]
        bounds = "" if math.isnan(row["low"]) else f"{signed(row['low'])} to {signed(row['high'])}"
        tested = f"{_p(row['p'])}, {row['test']}" if not math.isnan(row["p"]) else ""
        verdict = [_verdict(row["verdict"]), *_small(row["reason"] or tested)]
        rows.append((style.model(row["model"]).label, *cells, [signed(row["difference"]), *_small(bounds)], verdict))
    return section(
        "Do the areas under the curve agree?",
        _count(compared.areas["verdict"]),
        table(
            "Area under the ROC curve with its 95% range, which holds whatever the scores.",
            ["model", "A", "B", "A − B", "verdict"],
            rows,
        ),
    )


def _rates(compared: Comparison) -> ElementTree.Element:
    captions = {
        "specificity": "Specificity there, with Wilson's 95% interval; the difference in percentage points.",
        "sensitivity": "Sensitivity there. The target sets it, so that its agreement says little.",
        "calibration error": f"Expected calibration error in {comparison.BINS} bins, whatever the threshold.",
    }
    tables = []
    for quantity, caption in captions.items():
        share = quantity != "calibration error"
        show, scale, points = (_percent, 100, "+.1f") if share else (decimal, 1, "+.3f")
        rows = [
            (
                style.model(row["model"]).label,
                *(_estimate(row[f"value_{x}"], row[f"low_{x}"], row[f"high_{x}"], show) for x in "ab"),
                signed(scale * row["difference"], points),
            )
            for row in compared.rates.query("quantity == @quantity").to_dict("records")
        ]
        tables.append(table(caption, ["model", "A", "B", "A − B"], rows))
    told = (
        "Each run stands at its own threshold of 97.5% sensitivity, chosen on its own test images as in the paper, so "
        "the rates flatter both."
    )
    return section("Do the operating points agree?", told, *tables)


def _curves(compared: Comparison) -> ElementTree.Element:
    a, b = compared.a, compared.b
    drawn, missing = [], []
    for model in comparison.shared(a, b):
        frames = a.scores[model], b.scores[model]
        if all(frame["label"].nunique() == 2 for frame in frames):
            drawn.append(figure(f"roc-{model}", partial(pairs.rocs, *frames, model)))
        else:
            missing.append(style.model(model).label)
    told = "A is the thin line, B the broad dashes; the nearer to the upper left corner, the better."
    if missing:
        told += f" There is no curve of {', '.join(missing)}: a run has images of one class alone."
    return section("Do the curves lie on each other?", told, grid(drawn))


def _scores(compared: Comparison) -> ElementTree.Element:
    known = compared.agreement
    matched, apart = known[known["unmatched"] == ""], known[known["unmatched"] != ""]
    body = [*(_matched(compared, matched) if len(matched) else ()), *(_apart(compared, apart) if len(apart) else ())]
    return section("Do the images get the same scores?", *body)


def _matched(compared: Comparison, known: pd.DataFrame) -> list[Content]:
    areas = compared.areas
    equal = set(areas.loc[areas["verdict"] == comparison.EQUAL, "model"])
    rows, drawn = [], []
    for row in known.to_dict("records"):
        model, rank = row["model"], row["spearman"]
        differences = _digits(row["greatest"]), _digits(row["median"])
        correlation = "not defined" if math.isnan(rank) else f"{rank:.4g}"
        rows.append((style.model(model).label, f"{row['images']:,.0f}", *differences, correlation, _changed(row)))
        if model not in equal:
            frame = comparison.pairs(compared.a, compared.b, model)
            drawn.append(figure(f"agreement-{model}", partial(pairs.agreement, frame, model)))
    worst = known.loc[known["greatest"].idxmax()]
    answer = "They do: image by image, the scores are identical."
    if drawn:
        name, apart = style.model(worst["model"]).label, _digits(worst["greatest"])
        answer = f"Not all: image by image, the scores are up to {apart} apart ({name})."
    caption = (
        "Rank correlation is Spearman's. Calls changed: images that B's scores call otherwise at A's threshold of "
        "97.5% sensitivity."
    )
    headings = ["model", "images", "greatest difference", "median difference", "rank correlation", "calls changed"]
    return [answer, table(caption, headings, rows), *([grid(drawn)] if drawn else [])]


def _apart(compared: Comparison, known: pd.DataFrame) -> list[Content]:
    reasons = "; ".join(dict.fromkeys(known["unmatched"]))
    answer = f"The images cannot be matched one by one: {reasons}. Instead, the distributions are compared."
    rows, drawn = [], []
    for row in known.to_dict("records"):
        model = row["model"]
        rows.append((style.model(model).label, *(_distance(row[f"ks_{label}"]) for label in style.CLASSES)))
        frames = compared.a.scores[model], compared.b.scores[model]
        drawn.append(figure(f"scores-{model}", partial(pairs.distributions, *frames, model)))
    headings = ["model", *(look.label for look in style.CLASSES.values())]
    caption = "Kolmogorov-Smirnov distance of the scores within each class, 0 (alike) to 1."
    return [answer, table(caption, headings, rows), grid(drawn)]


def _entered(compared: Comparison) -> ElementTree.Element:
    known = compared.inputs
    different = known[known["verdict"] == "differs"]
    half = known[(known["verdict"] == "not known") & (known["a"].notna() | known["b"].notna())]
    body: list[Content] = []
    shown = pd.concat([different, half])
    if len(shown):
        rows = [
            (row["what"], *("not known" if pd.isna(row[x]) else row[x] for x in "ab"))
            for row in shown.to_dict("records")
        ]
        body.append(table("What differs, or is known of one run alone.", ["what", "A", "B"], rows))
    else:
        body.append(element("p", "Nothing is known to differ."))
    for words, frame in (
        ("The same in both", known[known["verdict"] == "same"]),
        ("Not known of either", known[known["a"].isna() & known["b"].isna()]),
    ):
        if len(frame):
            body.append(element("p", f"{words}: {'; '.join(frame['what'])}.", class_="about"))
    return section("What went into the runs?", *body)


def _method(compared: Comparison) -> ElementTree.Element:
    a, b = compared.a, compared.b
    frames = [one.scores[model] for one in (a, b) for model in comparison.shared(a, b)]
    fewest = min(int((frame["label"] == "covid").sum()) for frame in frames)
    told = (
        "An image is called positive, COVID-19, when its score is at or above the threshold.",
        "Equal means that every score is identical. Same within uncertainty means p ≥ 0.05, differ p < 0.05, each "
        "model by itself; no correction is made for looking at several.",
        "Where both runs scored the same images, known by the digest of their contents, areas are compared by DeLong's "
        "paired test, elsewhere from the two variances as if they had no image in common, which finds too few "
        "differences if they have. Either keeps each patient's images together and takes Student's t, with one degree "
        "of freedom less than the patients of the rarer class, and counts in two patients more of each class, one for "
        "either run, since near an area of 1 these images may hold none of the few that a model misses wholly.",
        f"Not finding a difference is no proof of equality: with {fewest:,} COVID-19 images the intervals are wide.",
        "Images and patients are matched under numbers that tell no name.",
    )
    return section("How were the numbers made?", element("ul", *(element("li", line) for line in told)))


def _foot() -> ElementTree.Element:
    text = f"Made by deepcovid compare, version {__version__}. Research code and no medical device."
    return element("footer", text)


def _estimate(value: float, low: float, high: float, show: Callable[[float], str] = decimal) -> list[Content]:
    bounds = "" if math.isnan(low) else f"{show(low)} to {show(high)}"
    return ["–" if math.isnan(value) else show(value), *_small(bounds)]


def _small(text: str) -> list[ElementTree.Element]:
    return [element("span", text, class_="small")] if text else []


def _verdict(verdict: str) -> ElementTree.Element:
    mark = element("span", MARKS[verdict], class_="key", aria_hidden="true")
    return element("span", mark, verdict, class_="verdict")


def _count(verdicts: pd.Series) -> str:
    words = {
        comparison.EQUAL: "are equal",
        comparison.SAME: "are the same within uncertainty",
        comparison.DIFFER: "differ",
        comparison.UNDECIDED: "cannot be compared",
    }
    told = [f"{words[verdict]} in {sum(verdicts == verdict)}" for verdict in words if (verdicts == verdict).any()]
    return f"Of {len(verdicts)} model{'s' if len(verdicts) > 1 else ''}, the areas {', '.join(told)}."


def _percent(value: float) -> str:
    return style.percent(value)


def _p(value: float) -> str:
    """A p value in words."""
    if value < 0.001:
        return "p < 0.001"
    return f"p = {style.p_value(value, 3 if value < 0.1 else 2)}"


def _digits(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}"


def _distance(value: float) -> str:
    return "no image on one side" if math.isnan(value) else decimal(value)


def _changed(row: dict) -> str:
    if math.isnan(row["changed"]):
        return "no threshold"
    return f"{row['changed']:,.0f} ({_percent(row['changed'] / row['images'])})"
