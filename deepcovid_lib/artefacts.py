"""What a run leaves for readers: figures, tables and the values that sentences quote.

A figure is `figures/<slug>.{svg,png,pdf,csv}` with a dark variant and a record of its caption and alt text; a table is
`tables/<slug>.csv` with a record; a value is a line of `values/<notebook>.json`. In Jupyter they are displayed; the
book replaces the display by the numbered, captioned, downloadable thing (see `site`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcovid_lib import editions, paper, style
from deepcovid_lib.files import read_json, replacing, sha256, write_csv, write_json
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.style import Drawing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SCREEN_DPI = 200
MARK = 0.24  # inches


class Shown:
    """A published figure or table as a notebook displays it; slug and digest travel with the output."""

    def __init__(self, slug: str, data: dict[str, str], digest: str):
        self.slug, self.data, self.digest = slug, data, digest

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.data, {"deepcovid": {"slug": self.slug, "sha256": self.digest}}


def figure(
    run: Run,
    slug: str,
    draw: Callable[[], Drawing],
    *,
    caption: str,
    films: str = "none",
    results: str = "run",
    recorded: str = "",
    beside: str = "",
) -> Shown:
    """Draw a figure for light and dark pages and publish it; one of synthetic films or untrained networks says so.

    Parameters
    ----------
    run : Run
    slug : str
        Its stable name, e.g. ``"fig-roc"``; numbers and links hang on it.
    draw : callable
        Returns a `figures.Drawing`; called once for each theme.
    caption : str
        One or two sentences; the paper's number is added from `paper.artefacts`.
    films : {"none", "shown"}
        ``"shown"`` where the figure shows images of the run's source; the published book leaves it out
        if the edition does not allow films.
    results : {"run", "phantoms", "none"}
        Whose results it shows: ``"phantoms"`` that the notebook drew for itself, and no network's; ``"none"``, as a
        diagram or the paper's own numbers.
    recorded : str
        The recorded run whose numbers it shows, where they are not this run's.
    beside : str
        The recorded run whose numbers it shows beside this run's.
    """
    from matplotlib import rc_context  # slow to import; who only checks what is published needs none

    folder = run.folder / "figures"
    nature = _nature(run, results, recorded, beside)
    for mode, suffix in (("light", ""), ("dark", "-dark")):
        with style.theme(mode):
            drawing = draw()
            options = _marked(drawing.figure, nature)
            with rc_context({"svg.hashsalt": slug, "svg.id": slug + suffix, "savefig.transparent": True}):
                _save(drawing, folder / f"{slug}{suffix}.svg", metadata={"Date": None, "Creator": None}, **options)
                if mode == "dark":
                    continue
                undated = {"CreationDate": None, "Producer": None, "Creator": None}
                _save(drawing, folder / f"{slug}.pdf", metadata=undated, **options)
            options |= {"facecolor": "white"}
            _save(drawing, folder / f"{slug}.png", dpi=SCREEN_DPI, transparent=False, **options)
            preview = io.BytesIO()
            drawing.figure.savefig(preview, format="png", dpi=100, **options)
            write_csv(drawing.data, folder / f"{slug}.csv")
            width, height = options["bbox_inches"].size
            record = {
                "slug": slug,
                "kind": "figure",
                "caption": _caption(run, caption),
                "alt": drawing.alt,
                "number": _number(slug),
                "width": round(width * 96),
                "height": round(height * 96),
                "films": films == "shown",
                "recorded": recorded,
                "nature": nature,
            }
    write_json(record, folder / f"{slug}.json")
    shown = {"image/png": base64.b64encode(preview.getvalue()).decode(), "text/plain": drawing.alt}
    return Shown(slug, shown, digest(run, slug))


def table(
    run: Run,
    slug: str,
    frame: pd.DataFrame,
    *,
    caption: str,
    headings: dict[str, str] | None = None,
    results: str = "run",
    recorded: str = "",
) -> Shown:
    """Publish a table: its numbers as they are in the CSV, rounded for the eye on the page.

    Parameters
    ----------
    headings : dict, optional
        Columns to show, in order, with their headings; a heading that ends in `` %`` shows a fraction as a
        percentage with one decimal. All columns by default.
    results : {"run", "phantoms", "none"}
        Whose results it shows, as for a figure.
    recorded : str
        The recorded run whose numbers it shows, where they are not this run's.
    """
    import pandas as pd

    headings = headings or {column: str(column).replace("_", " ") for column in frame.columns}
    unknown = [column for column in headings if column not in frame.columns]
    if unknown:
        raise Problem(
            f"table '{slug}' has no column '{unknown[0]}'", remedy=f"it has {', '.join(map(str, frame.columns))}"
        )
    folder = run.folder / "tables"
    write_csv(frame, folder / f"{slug}.csv")
    cells = [
        [_cell(value, heading) for (_, heading), value in zip(headings.items(), row, strict=True)]
        for row in frame[list(headings)].itertuples(index=False)
    ]
    titles = [heading.removesuffix(" %") for heading in headings.values()]
    write_json(
        {
            "slug": slug,
            "kind": "table",
            "caption": _caption(run, caption),
            "number": _number(slug),
            "headings": titles,
            "cells": cells,
            "recorded": recorded,
            "nature": _nature(run, results, recorded),
        },
        folder / f"{slug}.json",
    )
    shown = pd.DataFrame(cells, columns=titles)
    data = {"text/html": shown.to_html(index=False), "text/plain": shown.to_string(index=False)}
    return Shown(slug, data, digest(run, slug))


def values(run: Run, notebook: str, numbers: dict[str, Any]) -> dict[str, str]:
    """Keep the values that the book's sentences quote, as text, under their keys; in Jupyter, note their digest.

    Parameters
    ----------
    notebook : str
        Who computed them; each notebook's values replace its own earlier ones.
    numbers : dict
        Key to value; numbers are formatted by the caller, e.g. ``f"{auc:.3f}"``.
    """
    texts = {key: str(value) for key, value in numbers.items()}
    path = run.folder / "values" / f"{notebook}.json"
    write_json(texts, path)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from IPython.display import publish_display_data

        said = {"values": notebook, "sha256": sha256(path)}
        publish_display_data({"text/plain": f"{len(texts)} values kept"}, {"deepcovid": said})
    return texts


def published(run: Run) -> dict[str, dict[str, Any]]:
    """Return the records of a run's figures and tables, by slug."""
    paths = sorted([*run.folder.glob("figures/[!.]*.json"), *run.folder.glob("tables/[!.]*.json")])
    return {path.stem: read_json(path) for path in paths}


def told(output: Mapping[str, Any]) -> dict[str, str]:
    """Return what a notebook's output says of the artefact or values it stands for; empty for any other output."""
    return output.get("metadata", {}).get("deepcovid", {})


def files(run: Run, slug: str) -> list[Path]:
    """Return the files of a figure or table, its record among them; empty where the run does not hold it."""
    folder = run.folder / ("tables" if slug.startswith("tab-") else "figures")
    found = [path for path in folder.glob(f"{slug}*") if path.stem in (slug, f"{slug}-dark")]
    return sorted(found) if (folder / f"{slug}.json").is_file() else []


def files_of(run: Run, said: Mapping[str, str]) -> list[Path]:
    """Return the files of what a notebook's output says that it stands for, as `told` gives it."""
    if "slug" in said:
        return files(run, said["slug"])
    return [run.folder / "values" / f"{said['values']}.json"] if "values" in said else []


def digest(run: Run, slug: str) -> str:
    """Return one SHA-256 over all files of a figure or table."""
    listed = "".join(f"{path.name} {sha256(path)}\n" for path in files(run, slug))
    return hashlib.sha256(listed.encode()).hexdigest()


def check(run: Run, said: dict[str, str], *, file: str) -> None:
    """Refuse an artefact or values that changed since their notebook published them, or whose record did.

    Parameters
    ----------
    said : dict
        Of `told`: ``slug`` or ``values``, and ``sha256``.
    file : str
        The notebook's name, for the message.

    Raises
    ------
    Problem
        Naming what is missing or was changed.
    """
    again = f"delete results/{run.name}/notebooks/{file} and run deepcovid reproduce again"
    if "values" in said:
        path = run.folder / "values" / f"{said['values']}.json"
        what, there, now = f"values '{said['values']}'", path.is_file(), path.is_file() and sha256(path)
    else:
        what, there, now = f"'{said['slug']}'", bool(files(run, said["slug"])), digest(run, said["slug"])
    if not there:
        raise Problem(f"shows {what}, which the run does not hold", file=file, remedy=again)
    if now != said.get("sha256"):
        raise Problem(f"shows {what}, changed since it was made", file=file, remedy=again)


def quoted(folder) -> dict[str, str]:
    """Return all values kept under a run's folder; a key kept twice is an error."""
    known: dict[str, str] = {}
    for path in sorted((folder / "values").glob("[!.]*.json")):
        texts = read_json(path)
        twice = known.keys() & texts.keys()
        if twice:
            raise Problem(f"the value '{min(twice)}' is kept twice", file=path.name, remedy="rename one of them")
        known.update(texts)
    return known


def _record(run: Run, slug: str) -> dict[str, Any]:
    (path,) = (path for path in files(run, slug) if path.suffix == ".json")
    return read_json(path)


def _nature(run: Run, results: str, recorded: str, beside: str = "") -> list[str]:
    """What films and networks a figure or table is of, a line each for this run and one beside it, as far as told."""
    if results != "run":
        return {"phantoms": [editions.SYNTHETIC], "none": []}[results]
    own = _of_record(recorded) if recorded else editions.nature(run.edition.model_dump())
    other = _of_record(beside) if beside else own
    lines = [", ".join(own), f"recorded: {', '.join(other)}" if other != own else ""]
    return [line for line in lines if line]


def _of_record(name: str) -> list[str]:
    """The nature of a recorded run that has scores; sweeps are of the run that they are named after."""
    from deepcovid_lib import records

    own = name.removeprefix("recipes-")
    scored = (records.folder() / own / "scores").is_dir()
    return editions.nature(records.told(own)["asked"]) if scored else []


def _marked(figure: Figure, nature: Sequence[str]) -> dict[str, Any]:
    """Write below a figure what it is of, where that is no patients or no taught network; return how to save it."""
    from matplotlib.transforms import Bbox, TransformedBbox

    width, height = figure.get_size_inches()
    lines = [line[0].upper() + line[1:] for line in nature if any(word in line for word in editions.NO_EVIDENCE)]
    below = MARK * len(lines)
    if lines:
        text = figure.text(0.995, -0.05 / height, "\n".join(lines), ha="right", va="top", size=style.SMALL)
        text.set(color=style.muted(), in_layout=False)
        edge = TransformedBbox(Bbox.unit(), figure.transFigure)
        for legend in figure.legends:  # an anchor that is set would take a legend out of the layout
            legend.get_bbox_to_anchor = lambda: edge
    return {"bbox_inches": Bbox.from_bounds(0, -below, width, height + below)}


def _save(drawing: Drawing, path, **options: Any) -> None:
    with replacing(path) as temporary:
        drawing.figure.savefig(temporary, format=path.suffix[1:], **options)


def _caption(run: Run, caption: str) -> str:
    """Return the caption; a replayed run's says so."""
    from deepcovid_lib import records

    return f"{caption} {records.note(run)}".rstrip()


def _number(slug: str) -> str:
    """Return the paper's name of an artefact, e.g. ``"Fig. 10"``, or an empty text for one of our own."""
    known = paper.artefacts().set_index("slug")
    if slug not in known.index:
        return ""
    return f"{'Table' if known.loc[slug, 'kind'] == 'table' else 'Fig.'} {known.loc[slug, 'number']}"


def _cell(value: Any, heading: str) -> str:
    import pandas as pd

    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, bool | str):
        return style.MODELS[value].label if value in style.MODELS else str(value)
    if heading.endswith(" %"):
        return style.percent(value)
    if "threshold" in heading:  # in the digits that it takes to make the same calls
        return style.exact(value)
    if float(value).is_integer() and abs(value) < 1e15 and not isinstance(value, float):
        return f"{int(value):,}"
    if 0.01 <= abs(value) < 1:
        return style.p_value(value) if heading.split(" ")[0] == "p" else style.decimal(value)
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
