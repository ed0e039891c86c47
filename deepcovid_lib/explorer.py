"""The threshold explorer: a part of a page that shows what any threshold buys, from the saved scores, without a kernel.

`html` writes the page's part; ``book/assets/explorer.js`` computes and draws in the reader's browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from deepcovid_lib import style
from deepcovid_lib.tables import TARGET

SENSITIVITIES = (1.0, TARGET, 0.95)
"""The sensitivities that a button leads to; the paper's comparison, which the page opens with, is the second."""

PREVALENCES = (0.01, 0.05, 0.2)
"""The shares of people with COVID-19 that a button leads to."""

UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}

RADIO = '<label><input type="radio" name="explorer-model" value="{name}"> {label}</label>'
BODY = """
<div class="explorer-body" hidden>
<fieldset class="explorer-models"><legend>Model</legend><div class="explorer-row">{models}</div></fieldset>
<div class="explorer-controls">
<div class="explorer-threshold">
<div class="explorer-row"><label>Threshold
<input type="text" inputmode="decimal" autocomplete="off" size="9" placeholder="above all"
data-control="threshold"></label>
<span class="explorer-hint">positive when score &ge; threshold</span></div>
<input type="range" min="0" step="1" data-control="slider" aria-label="Threshold, one observed score a step">
<div class="explorer-row" role="group" aria-label="Thresholds by sensitivity">{sensitivities}</div>
</div>
<div class="explorer-prevalence">
<div class="explorer-row"><label>Prevalence
<input type="text" inputmode="decimal" autocomplete="off" size="5" data-control="prevalence"> %</label>
<span class="explorer-hint">share of people with COVID-19</span></div>
<div class="explorer-row" role="group" aria-label="Prevalences">{prevalences}
<button type="button" data-prevalence="own">as in this test</button></div>
</div>
</div>
<p class="explorer-note" role="status"></p>
<dl class="explorer-values">
<div><dt>Sensitivity</dt><dd data-value="sensitivity"></dd><dd data-value="sensitivity-interval"></dd></div>
<div><dt>Specificity</dt><dd data-value="specificity"></dd><dd data-value="specificity-interval"></dd></div>
<div><dt>Positive predictive value</dt><dd data-value="ppv"></dd><dd data-value="ppv-reason"></dd></div>
<div><dt>Negative predictive value</dt><dd data-value="npv"></dd><dd data-value="npv-reason"></dd></div>
</dl>
<p class="explorer-words"></p>
<div class="explorer-pictures">
<figure><svg data-picture="scores" role="img"></svg><figcaption data-caption="scores"></figcaption></figure>
<figure><svg data-picture="roc" role="img"></svg><figcaption data-caption="roc"></figcaption></figure>
</div>
<table class="explorer-matrix">
<caption>The test images of run <strong>{run}</strong>, called at this threshold</caption>
<thead><tr><td></td><th scope="col">COVID-19</th><th scope="col">Non-COVID</th></tr></thead>
<tbody>
<tr><th scope="row">Called positive</th><td><b data-value="tp"></b> found</td>
<td><b data-value="fp"></b> false alarms</td></tr>
<tr><th scope="row">Called negative</th><td><b data-value="fn"></b> missed</td>
<td><b data-value="tn"></b> cleared</td></tr>
</tbody>
</table>
<div class="explorer-row"><button type="button" data-control="copy">Copy link to this setting</button>
<input type="text" readonly hidden data-control="link" aria-label="Link to this setting">
<span class="explorer-hint" role="status" data-control="copied"></span></div>
<p class="explorer-said" aria-live="polite"></p>
</div>
"""


def html(scores_by_model: Mapping[str, pd.DataFrame], *, run: str, fallback: str) -> str:
    """Return the explorer's part of a page: controls, outputs and the scores themselves; one belongs on a page.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score`` in [0, 1], the probability of COVID-19; an image
        is positive when ``score >= threshold``. Models without images of either class are left out, and named.
    run : str
        The run's name; it is escaped.
    fallback : str
        Safe HTML that stands in the explorer's place where scripts are off.

    Returns
    -------
    str
        A ``<section>``, its scores as exact numbers in a script element of JSON; a sentence where no model is left.

    Raises
    ------
    Misuse
        If a model has no look in `style.MODELS`.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.9, 0.3]})
    >>> page = html({"resnet18": scores}, run="a<b", fallback="<p>No scripts.</p>")
    >>> "a&lt;b" in page, '"covid": [0.9], "non_covid": [0.3]' in page
    (True, True)
    >>> html({}, run="empty", fallback="")
    '<p>The threshold explorer needs scored test images of both classes; run <strong>empty</strong> has none.</p>'
    """
    models = [_scores(name, frame) for name, frame in scores_by_model.items()]
    kept = [model for model in models if model["covid"] and model["non_covid"]]
    if not kept:
        return (
            "<p>The threshold explorer needs scored test images of both classes; "
            f"run <strong>{escape(run)}</strong> has none.</p>"
        )
    body = BODY.format(
        run=escape(run),
        models="".join(RADIO.format(name=model["name"], label=escape(model["label"])) for model in kept),
        sensitivities="".join(
            f'<button type="button" data-target="{share!r}">{_percent(share)} sensitivity</button>'
            for share in SENSITIVITIES
        ),
        prevalences="".join(
            f'<button type="button" data-prevalence="{share!r}">{_percent(share)}</button>' for share in PREVALENCES
        ),
    )
    left_out = [escape(model["label"]) for model in models if model not in kept]
    absent = f"<p>Left out, for want of images of both classes: {', '.join(left_out)}.</p>\n" if left_out else ""
    classes = {name: look._asdict() for name, look in style.CLASSES.items()}
    data = {"target": TARGET, "classes": {name: _seen(look) for name, look in classes.items()}, "models": kept}
    return (
        '<section class="threshold-explorer" aria-label="Threshold explorer">\n'
        f'<div class="explorer-fallback">{fallback}\n<p>Where scripts run, a slider stands here.</p></div>\n'
        f"{absent}{body.strip()}\n"
        '<script type="application/json" class="explorer-data">'
        f"{json.dumps(data, ensure_ascii=False, allow_nan=False).translate(UNSAFE)}</script>\n</section>"
    )


def _scores(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A model's look and the scores of both classes, highest first."""
    by_class = {
        label: sorted(frame.loc[frame["label"] == label, "score"].astype(float).tolist(), reverse=True)
        for label in style.CLASSES
    }
    return {"name": name, **_seen(style.model(name)._asdict()), **by_class}


def _seen(look: Mapping[str, Any]) -> dict[str, str]:
    return {part: look[part] for part in ("label", "colour")}


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
