"""What stands under each figure and table of the book: its cell, functions and tests, and how its run was made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

from deepcovid_lib import artefacts, citations, paper, papermap, provenance, records, runs, style
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Problem
from deepcovid_lib.provenance import Case, Origin
from deepcovid_lib.runs import Run

DIGITS = 12
SCORED = {"stages.all_scores", "stages.scores", "stages.history"}
MADE = {
    "recorded": ("trained-", "plan"),
    "shortcuts": ("ladder",),
    "recipes": ("sweep-",),
    "fig-speed-engines": ("passes",),
    "fig-speed-stages": ("rebuilds",),
    "tab-speed-growth": ("growth",),
    "tab-speed-costs": ("whole",),
}
"""The stages of a recorded run that made what a page, or one artefact, shows of it: the first kind; of others, all."""


def gather(
    run: Run, pages: list[str], tests: list[Case], *, hidden: frozenset[str], home: str
) -> dict[str, dict[str, Any]]:
    """Return the imprint of every artefact that the book's pages publish, by slug.

    Parameters
    ----------
    run : Run
    pages : list of str
        The book's pages in order, e.g. ``"notebooks/finetune-resnet18"``; those of notebooks are read.
    tests : list of provenance.Case
    hidden : frozenset of str
        Slugs that stay out of this book since they show patients' films.
    home : str
        Where the book is published, empty where that is not known.

    Returns
    -------
    dict
        Slug to ``page``, ``cell``, ``hidden``, ``functions``, ``tested`` (those of the functions that a test calls),
        ``about`` (pairs of a name and a text: the run, its inputs, when and where it was made) and ``bibtex``.

    Raises
    ------
    Problem
        For an artefact that no cell of its page's notebook makes.
    """
    found: dict[str, dict[str, Any]] = {}
    known = artefacts.published(run)
    shown = {page: _slugs(run.folder / f"{page}.ipynb") for page in pages if page.startswith("notebooks/")}
    inputs = _inputs(run)
    for page, slugs in shown.items():
        origins = provenance.origins(run.folder / f"{page}.ipynb")
        for slug in slugs:
            origin = _origin(slug, origins, page)
            found[slug] = {
                "page": page,
                "cell": origin.cell,
                "hidden": slug in hidden,
                "functions": list(origin.functions),
                "tested": [function for function in origin.functions if papermap.ranked(function, tests)],
                "about": _about(run, known[slug], page.removeprefix("notebooks/"), origin, inputs),
                "bibtex": _bibtex(run, known[slug], page.removeprefix("notebooks/"), home),
            }
    return found


def aliases(slugs: list[str]) -> dict[str, str]:
    """Return the short names of permalinks: every slug, and the paper's own number where it has one.

    Examples
    --------
    >>> aliases(["fig-roc"])
    {'fig-roc': 'fig-roc', 'paper-fig-10': 'fig-roc'}
    """
    numbered = paper.artefacts().query("kind != 'equation'")
    names = {slug: slug for slug in slugs}
    for row in numbered.itertuples():
        if row.slug in names:
            kind = "fig" if row.kind == "figure" else "table"
            names[f"paper-{kind}-{row.number.lower()}"] = row.slug
    return names


def _slugs(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return [said["slug"] for said in map(artefacts.told, outputs) if "slug" in said]


def _origin(slug: str, origins: list[Origin], page: str) -> Origin:
    exact = sorted(origins, key=lambda origin: "{}" in origin.slug)
    origin = next((origin for origin in exact if provenance.matches(origin.slug, slug)), None)
    if origin is None:
        raise Problem(
            f"shows '{slug}', which none of its cells makes",
            file=f"{page}.ipynb",
            remedy="publish it with artefacts.figure or artefacts.table under that name",
        )
    return origin


def _inputs(run: Run) -> dict[str, str]:
    heads = {model: run.fit(model) / "head.safetensors" for model in run.edition.models}
    digests = {model: sha256(path)[:DIGITS] for model, path in heads.items() if path.is_file()}
    return digests | ({"manifest": sha256(run.manifest)[:DIGITS]} if run.manifest.is_file() else {})


def _about(
    run: Run, record: dict[str, Any], stage: str, origin: Origin, inputs: dict[str, str]
) -> list[tuple[str, str]]:
    slug, recorded, facts = record["slug"], record.get("recorded", ""), _facts(run, record, stage)
    seconds = [fact["seconds"] for fact in facts if "seconds" in fact and not recorded]
    rows = [("Run", f"{run.name} ({run.edition.title})")]
    if recorded:
        rows.append(("Shows", f"the recorded run {recorded}"))
    else:
        settings = ", ".join(f"{key}={value}" for key, value in run.settings.items())
        rows += [("Parameters", settings or "the edition's own"), ("Seed", str(run.edition.seed))]
        named = [model for model in run.edition.models if slug.endswith(f"-{model}")]
        if "manifest" in inputs and any(function.startswith("stages.") for function in origin.functions):
            rows.append(("Images", f"manifest {inputs['manifest']}"))
        heads = [
            f"{style.MODELS[model].label} {inputs[model]}"
            for model in named or run.edition.models
            if SCORED & set(origin.functions) and model in inputs
        ]
        if heads:
            rows.append(("Heads" if len(heads) > 1 else "Head", ", ".join(heads)))
    rows += [
        ("Made", _when([fact["started"] for fact in facts if "started" in fact])),
        ("Wall time", "".join(f"{each:.0f} s, the whole notebook" for each in seconds)),
        ("Device", _each((fact.get("device", "") for fact in facts), "; ")),
        (
            "Commit",
            _commits(facts) or ("outside a checkout" if any("commit" in fact for fact in facts) else "not noted"),
        ),
        ("Versions", _each(map(_versions, facts), "; ")),
    ]
    return [(name, text) for name, text in rows if text]


def _facts(run: Run, record: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    """The facts of the notebook that made an artefact, or of the recorded run's stages that did, in their order."""
    if not record.get("recorded"):
        return [runs.facts_of(run).get(stage, {})]
    facts = records.facts(record["recorded"])
    asked = MADE.get(record["slug"], MADE.get(stage, ("",)))
    kinds = ([fact for known, fact in facts.items() if known.startswith(kind)] for kind in asked)
    return sorted(next(filter(None, kinds), []), key=lambda fact: fact.get("started", ""))


def _when(started: list[str]) -> str:
    """The minute in which something was made, or the first and the last of several."""
    minutes = sorted({each[:16].replace("T", " ") for each in started if each})
    return " to ".join(dict.fromkeys((minutes[0], minutes[-1]))) + " UTC" if minutes else ""


def _versions(fact: dict[str, Any]) -> str:
    named = "".join(f", {name} {version}" for name, version in fact.get("versions", {}).items())
    return f"Python {fact['python']}{named}" if "python" in fact else ""


def _commits(facts: list[dict[str, Any]]) -> str:
    return _each((fact.get("commit") or "" for fact in facts), " and ")


def _each(texts: Iterable[str], between: str) -> str:
    """Different texts in their order."""
    return between.join(dict.fromkeys(filter(None, texts)))


def _bibtex(run: Run, record: dict[str, Any], stage: str, home: str) -> str:
    slug, made_by = record["slug"], record.get("recorded") or run.name
    commit = _commits(_facts(run, record, stage))
    url = f"{home.rstrip('/')}/at/{slug}.html" if home else ""
    entry = citations.of_artefact(
        slug,
        record["caption"],
        record["number"],
        run=made_by,
        nature=record.get("nature", ()),
        commit=commit,
        url=url,
        root=run.root,
    )
    return citations.bibtex(entry)
