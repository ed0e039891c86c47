"""What the paper prints, as data: its values, tables, figures and equations.

References
----------
Minaee, Kafieh, Sonka, Yazdani & Jamalipour Soufi (2020), "Deep-COVID: Predicting COVID-19 From Chest X-Ray Images
Using Deep Transfer Learning", arXiv:2004.09363v1.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    import pandas as pd

VALUE_COLUMNS = {
    "id": "str",
    "where": "str",
    "model": "str",
    "quantity": "str",
    "threshold": "float64",
    "printed": "str",
    "value": "float64",
    "margin": "float64",
    "trials": "Int64",
    "unit": "str",
}


def values() -> pd.DataFrame:
    """Return every value the paper prints about its own work, one per row, in the paper's order.

    Returns
    -------
    DataFrame
        ``id`` (``table-2/0.055/specificity``), ``where`` (section, or table and row), ``model`` (backbone, empty where
        none is meant), ``quantity``, ``threshold`` (positive when ``score >= threshold``; NaN where none is printed),
        ``printed`` (the paper's text), ``value`` (the same as a number, percents as fractions of 1), ``margin`` (what
        follows a plus-minus sign), ``trials`` (the images a share is a share of) and ``unit``. Rows whose id begins
        with ``released-figure`` are not in the paper but in a figure released with its code; ``where`` says so.

    References
    ----------
    Paper, abstract, Sections I to V, Tables I to VI.

    Examples
    --------
    >>> printed = values().set_index("id").loc["table-6/squeezenet/specificity"]
    >>> print(printed["printed"], printed["value"], printed["margin"], printed["trials"])
    97.8% ± 0.5% 0.978 0.005 3000
    """
    import pandas as pd  # slow to import; who only runs notebooks needs none

    table = pd.DataFrame(_content()["values"], columns=list(VALUE_COLUMNS))
    return table.fillna({"model": ""}).astype(VALUE_COLUMNS)


def artefacts() -> pd.DataFrame:
    """Return the paper's tables, figures and equations, each with the slug under which this project remakes it.

    Returns
    -------
    DataFrame
        ``slug``, ``kind`` (``table``, ``figure``, ``equation``), ``number`` as the paper prints it (``VI``, ``10``)
        and ``title``, what it shows in a few words.

    Examples
    --------
    >>> artefacts().set_index("slug").loc["fig-roc"].tolist()
    ['figure', '10', 'ROC curves of the four models on the test images']
    """
    import pandas as pd

    return pd.DataFrame(_content()["artefacts"], columns=["slug", "kind", "number", "title"])


@cache
def _content() -> dict:
    return yaml.safe_load(files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8"))
