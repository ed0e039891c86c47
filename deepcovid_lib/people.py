"""Who is on the films: sex and age as the sources tell them, beside the rows of a manifest."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from deepcovid_lib import stages
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import chexpert, cohen, nih, phantom, read_columns

NOT_TOLD = "not told"
SEXES = {"f": "women", "female": "women", "m": "men", "male": "men"}
BANDS = ("under 45", "45 to 64", "65 and over")
EDGES = [0, 45, 65, 121]
PER_YEAR = {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}
COLUMNS = ("image_id", "patient_id", "label", "finding", "split", "sex", "age", "age_band", "view")


class _Table(NamedTuple):
    """Where a source tells of its people; `parts` of a path, from its end, name a film."""

    names: tuple[str, ...]
    film: str
    sex: str
    age: str
    parts: int = 1


TABLES = {
    phantom.SOURCE: _Table(("metadata.csv",), "image_id", "sex", "age"),
    cohen.SOURCE: _Table((cohen.TABLE,), "filename", "sex", "age"),
    nih.SOURCE: _Table(nih.TABLES, "image index", "patient gender", "patient age"),
    chexpert.SOURCE: _Table(chexpert.TABLES, "path", "sex", "age", parts=3),
}


def of(run: Run) -> pd.DataFrame:
    """Return a run's films with what is told of the people on them.

    Returns
    -------
    DataFrame
        As `told` gives it; no rows for a replayed run, which has no films.
    """
    if run.speed == "replay":
        return pd.DataFrame(columns=list(COLUMNS))
    return told(stages.manifest(run))


def told(films: pd.DataFrame) -> pd.DataFrame:
    """Join sex and age to the rows of a manifest.

    Parameters
    ----------
    films : DataFrame
        With ``image_id, path, patient_id, source, label, finding, view, split``. A source's table is looked for in the
        folders above each film.

    Returns
    -------
    DataFrame
        The columns `COLUMNS`: ``sex`` (``women``, ``men``), ``age`` in years (NaN where not told), ``age_band`` (one
        of `BANDS`) and ``view`` as the source spells it, but for the case of PA and AP. What is not told, or told twice
        under one name, is ``not told``.

    Raises
    ------
    Problem
        If a source's table is gone, since the curation read it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "metadata.csv").write_text("image_id,sex,age\\nphantom:p1-f1,F,71\\n")
    >>> film = {"image_id": "phantom:p1-f1", "path": f"{folder}/images/p1-f1.png", "patient_id": "phantom:p1"}
    >>> film |= {"source": "phantom", "label": "covid", "finding": "COVID-19", "view": "PA", "split": "test"}
    >>> told(pd.DataFrame([film]))[["sex", "age", "age_band"]].values.tolist()
    [['women', 71.0, '65 and over']]
    """
    parts = [_of_source(own, TABLES.get(source)) for source, own in films.groupby("source", sort=False)]
    known = pd.concat(parts).loc[films.index] if parts else films.assign(sex="", age="")
    age = _years(known["age"]).where(lambda years: years.between(0, EDGES[-1] - 1))
    band = pd.cut(age, EDGES, right=False, labels=list(BANDS)).astype(object).fillna(NOT_TOLD)
    sex = known["sex"].str.lower().map(SEXES).fillna(NOT_TOLD)
    raised = known["view"].str.upper()
    view = raised.where(raised.isin(["PA", "AP"]), known["view"]).replace("", NOT_TOLD)
    return known.assign(sex=sex, age=age.astype(float), age_band=band, view=view)[list(COLUMNS)]


def _years(ages: pd.Series) -> pd.Series:
    """Ages as numbers of years, NaN where not told so; DICOM's spelling, ``058Y`` or ``011M``, is read too."""
    parts = ages.str.strip().str.extract(r"^(?P<number>[\d.]+)(?P<unit>[YMWD]?)$")
    return pd.to_numeric(parts["number"], errors="coerce") / parts["unit"].map(PER_YEAR)


def _of_source(films: pd.DataFrame, table: _Table | None) -> pd.DataFrame:
    """A source's films with the texts of sex and age, empty where there is no table or no one row for a film."""
    paths = {path.parent: path for path in map(Path, films["path"])}
    place = next((found for path in paths.values() if table and (found := _above(path, table.names))), None)
    if table is None:
        return films.assign(sex="", age="")
    if place is None:
        names = " or ".join(table.names)
        raise Problem(
            f"no {names} in any folder above, so who is on the film is no longer told",
            file=films["path"].iloc[0],
            remedy="put the table back, or delete the manifest to curate again",
        )
    rows = read_columns(phantom.drawn(place), [table.film, table.sex, table.age])
    rows.index = [_name(name.rpartition(":")[2], table.parts) for name in rows[table.film]]
    rows = rows[~rows.index.duplicated(keep=False)]
    names = [_name(Path(path).as_posix(), table.parts) for path in films["path"]]
    return films.assign(
        **{
            column: rows[own].reindex(names).fillna("").to_numpy()
            for column, own in (("sex", table.sex), ("age", table.age))
        }
    )


def _above(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for folder in path.parents for name in names if (folder / name).is_file()), None)


def _name(path: str, parts: int) -> str:
    """The last parts of a path without its suffix."""
    return "/".join(PurePosixPath(path).with_suffix("").parts[-parts:])
