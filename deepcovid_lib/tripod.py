"""TRIPOD+AI: what the paper reports of what the guideline asks, and what this book adds; a page written from it.

References
----------
Collins et al. (2024), TRIPOD+AI statement, BMJ 385:e078378: 27 items, 52 points with their parts.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepcovid_lib.problems import Problem

ANSWERS = ("full", "partly", "not", "not applicable")
FILE = "tripod.yaml"
PAGE = """# What was reported?

**What would a reader need to know to judge and to use such a model, and is it told?** TRIPOD+AI, a guideline of 2024,
asks for {points} points under {items} items {{cite:p}}`collins2024`. Here each stands in our words, with what the paper
reports and what this book adds.

By our reading, the paper reports {tally}.

- **It is no mark.** The guideline is four years younger than the paper, and asks for some things that were not asked
  for in April 2020, fairness and the part of patients among them. What it asks for on data and code, the paper told.
- **It is one reading**, of version 1 on arXiv, by whoever wrote this book. The journal's version may report more.
- **Reported is not the same as right.** The table says whether something is told, not whether it is good. For that see
  {{doc}}`/book/limits`.

{tallied}

{parts}
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Point(_Strict):
    id: str = Field(pattern=r"^[1-9][0-9]?[a-g]?$")
    asks: str = Field(min_length=1)
    paper: Literal[ANSWERS]
    where: str = ""
    says: str = Field(min_length=1)
    adds: str = Field(min_length=1)
    pages: list[str]

    @model_validator(mode="after")
    def _told(self) -> _Point:
        if (self.paper in ("full", "partly")) != bool(self.where):
            raise ValueError(f"point {self.id} is '{self.paper}' and says where '{self.where}'")
        if bool(self.pages) == self.adds.startswith("Nothing"):
            raise ValueError(f"point {self.id} adds '{self.adds}' and names {len(self.pages)} pages")
        return self


class _Part(_Strict):
    part: str
    points: list[_Point] = Field(min_length=1)


@cache
def _parts() -> tuple[_Part, ...]:
    content = yaml.safe_load(files("deepcovid_lib").joinpath(FILE).read_text(encoding="utf-8"))
    try:
        return tuple(map(_Part.model_validate, content))
    except ValidationError as fault:
        raise Problem(fault.errors()[0]["msg"], file=FILE, remedy="correct the point") from None


def points() -> pd.DataFrame:
    """Return the points of the guideline, one per row, in its order.

    Returns
    -------
    DataFrame
        ``part, id``; what the guideline ``asks``; ``paper``, one of `ANSWERS`; ``where`` it reports it, empty where it
        does not; what it ``says``; what this book ``adds``, and the ``pages`` that do, empty where it adds nothing.

    Raises
    ------
    Problem
        If a point has no answer, says where without reporting, or adds something on no page.

    Examples
    --------
    >>> points().set_index("id").loc["18e", ["paper", "pages"]].tolist()
    ['full', ['book/data-access']]
    """
    return pd.DataFrame([{"part": part.part, **point.model_dump()} for part in _parts() for point in part.points])


def tally(listed: pd.DataFrame) -> pd.DataFrame:
    """Count the answers of each part, and of all in the last row.

    Parameters
    ----------
    listed : DataFrame
        With ``part`` and ``paper``, as `points` gives them.

    Returns
    -------
    DataFrame
        Indexed by part; one column per answer of `ANSWERS`, and ``points``.

    Examples
    --------
    >>> tally(pd.DataFrame({"part": ["Results"] * 3, "paper": ["full", "not", "not"]})).loc["all"].tolist()
    [1, 0, 2, 0, 3]
    """
    counts = pd.crosstab(listed["part"], listed["paper"]).reindex(columns=list(ANSWERS), fill_value=0)
    counts = counts.loc[list(dict.fromkeys(listed["part"]))].rename_axis(index=None, columns=None)
    counts.loc["all"] = counts.sum()
    return counts.assign(points=counts.sum(axis=1))


def page() -> str:
    """Return the page of the checklist in Markdown."""
    listed = points()
    counts = tally(listed)
    every = counts.loc["all"]
    told = f"{every['full']} points in full and {every['partly']} in part; {every['not']} it does not report, and "
    told += f"{every['not applicable']} do not apply to it"
    rows = [(name, *map(str, row)) for name, *row in counts.itertuples()]
    sections = [f"## {part}\n\n{_checklist(own)}" for part, own in listed.groupby("part", sort=False)]
    return PAGE.format(
        points=len(listed),
        items=listed["id"].str.rstrip("abcdefg").nunique(),
        tally=told,
        tallied=_table(("part", *counts.columns), rows),
        parts="\n\n".join(sections),
    )


def _checklist(own: pd.DataFrame) -> str:
    rows = [
        (
            row.id,
            row.asks,
            f"**{row.paper.capitalize()}**{f' ({row.where})' if row.where else ''}. {row.says}",
            " ".join([row.adds, ", ".join(f"{{doc}}`/{page}`" for page in row.pages)]).strip(),
        )
        for row in own.itertuples()
    ]
    return _table(("item", "asked for", "the paper", "this book"), rows)


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["````{list-table}", ":header-rows: 1", ":class: papermap", ""]
    for cells in (headings, *rows):
        lines += [f"{'  -' if place else '* -'} {cell}" for place, cell in enumerate(cells)]
    return "\n".join([*lines, "````"])
