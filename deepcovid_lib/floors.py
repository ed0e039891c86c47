"""A run's ladder: its films, what its networks saw of them, and what its collections tell apart without COVID-19.

From a shell: ``python -m deepcovid_lib.floors EDITION [--set KEY=VALUE ...]`` measures these, and the sizes of the
films, for a recorded run and keeps the numbers beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from deepcovid_lib import curation, editions, ladders, pairs, people, records, rungs, runs, stages, style, thumbnails
from deepcovid_lib.files import read_json, sha256, write_csv
from deepcovid_lib.problems import Problem
from deepcovid_lib.rungs import Rung
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import cohen, find_table, image_ids, read_columns, refuse_blanks

AT_ONCE = 128
LEVEL = 0.05
CHEAP = ("mean and spread of grey", "8x8 grey", "border alone")
NOTHING = "8x8 grey, labels dealt at random"


def seen(run: Run, chosen: pd.DataFrame, networks: Sequence[str]) -> list[Rung]:
    """Return every rung of a run's films, those of frozen networks among them.

    Parameters
    ----------
    run : Run
    chosen : DataFrame
        The manifest's rows, with usable paths.
    networks : sequence of str
        Backbones whose features become rungs, with the run's weights. What the cache has is not computed again.
    """
    small = thumbnails.gather(chosen, cache=run.cache)
    pictures = rungs.pictures(small)
    grey = next(rung.values for rung in pictures if rung.name == "8x8 grey")
    return [
        Rung(NOTHING, "null", grey),
        *rungs.metadata(people.told(chosen)),
        rungs.files(small, chosen),
        *pictures,
        *(pooled(run, chosen, name) for name in networks),
    ]


def pooled(run: Run, chosen: pd.DataFrame, network: str) -> Rung:
    """Return what a frozen network makes of the films, maps averaged over their positions."""
    from deepcovid_lib import features

    wanted = features.requests(chosen, copies=1, seed=run.edition.seed)
    loaded = stages.backbone(run, network)
    features.extract(wanted, loaded, preset=stages.preset(run), cache=run.cache)
    parts = []
    for start in range(0, len(wanted), AT_ONCE):
        part = features.gather(wanted[start : start + AT_ONCE], loaded, preset=stages.preset(run), cache=run.cache)
        parts.append(part.flatten(2).mean(dim=2).numpy() if part.ndim > 2 else part.numpy())
    trained = "untrained" if run.edition.weights == "random" else "frozen"
    return Rung(f"{trained} {style.model(network).label}", "network", np.concatenate(parts))


def against_thumbnail(
    seen_rungs: Sequence[Rung], chosen: pd.DataFrame, scores: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Compare each model with 64 grey values on the same test films, a patient's films kept together.

    Returns
    -------
    DataFrame
        ``model, difference`` (area of the model minus that of the 8x8 thumbnail), ``p``, two-sided, of
        `pairs.studentised` and NaN where that is; no rows where a side of the split has one class.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837; Obuchowski (1997), Biometrics 53:567.
    """
    y_true, train = (chosen["label"] == "covid").to_numpy(), (chosen["split"] == "train").to_numpy()
    grey = next(rung.values for rung in seen_rungs if rung.name == "8x8 grey")
    rows = []
    if all(len(set(y_true[side])) == 2 for side in (train, ~train)):
        simple = pd.Series(ladders.scored(grey, y_true, train), index=chosen.loc[~train, "image_id"])
        for model, frame in scores.items():
            labels, own = (frame["label"] == "covid").to_numpy(), frame["score"].to_numpy()
            floor = simple.loc[frame["image_id"]].to_numpy()
            difference = roc_auc_score(labels, own) - roc_auc_score(labels, floor)
            *_, p = pairs.studentised(difference, *pairs.deviation(frame.assign(score_a=own, score_b=floor)))
            rows.append((model, difference, p))
    return pd.DataFrame(rows, columns=["model", "difference", "p"])


def compared(paired: pd.DataFrame) -> str:
    """Say in one sentence how many models are better than the thumbnail.

    Parameters
    ----------
    paired : DataFrame
        Of `against_thumbnail`.

    Examples
    --------
    >>> compared(pd.DataFrame({"difference": [0.1, 0.1, -0.2], "p": [0.001, 0.4, 0.002]}))
    'Better than the thumbnail of 64 grey values: 1 of 3 models; worse: 1; not told apart: 1.'
    """
    if paired["p"].isna().all():
        return "Whether the models are better than a thumbnail cannot be decided here."
    better, worse = (int(((paired["p"] < LEVEL) & (paired["difference"] * sign > 0)).sum()) for sign in (1, -1))
    start = f"Better than the thumbnail of 64 grey values: {better} of {len(paired)} models"
    undecided = int(paired["p"].isna().sum())
    rest = f"; cannot be decided: {undecided}" if undecided else ""
    return f"{start}; worse: {worse}; not told apart: {len(paired) - better - worse - undecided}{rest}."


def same_source(run: Run, chosen: pd.DataFrame) -> pd.DataFrame:
    """Take the collection out of the question: COVID-19 within one, and two of them without COVID-19.

    Parameters
    ----------
    run : Run
    chosen : DataFrame
        The manifest's rows. Where the positives come from covid-chestxray-dataset, its other X-rays of the same views
        join them.

    Returns
    -------
    DataFrame
        ``question, films, patients`` (of either side, as text), ``rung``; ``auc, low, high, auc_lowest, auc_highest``
        over ten patient-disjoint splits, of `ladders.resampled`; ``verdict, note`` as in `ladders.ladder`.
    """
    every = pd.concat([chosen, _others(run, chosen)], ignore_index=True)
    ill = every["label"] == "covid"
    home = every.loc[ill, "source"].iloc[0]
    inside, outside = every["source"] == home, every["source"] != home
    questions = {
        f"COVID-19 against others, all of {home}": (ill & inside, ~ill & inside),
        "two collections, no COVID-19": (~ill & inside, ~ill & outside),
    }
    rows = []
    for question, (one, other) in questions.items():
        own = every[one | other]
        y_true, patients = one[one | other].to_numpy(), own["patient_id"].to_numpy()
        counts = {
            name: f"{own.loc[y_true, column].nunique()} and {own.loc[~y_true, column].nunique()}"
            for name, column in (("films", "image_id"), ("patients", "patient_id"))
        }
        if one.any() and other.any():
            small = thumbnails.gather(own, cache=run.cache)
            measured = [
                _measured(rung, y_true, patients, run.edition.seed)
                for rung in rungs.pictures(small)
                if rung.name in CHEAP
            ]
        else:
            idle = "the films are of one collection only" if outside.sum() == 0 else f"no others are of {home}"
            measured = [{"rung": name, "note": idle} for name in CHEAP]
        rows += [{"question": question, **counts, "verdict": ladders.UNDECIDED, **each} for each in measured]
    columns = ["question", "films", "patients", "rung", "auc", "low", "high", "auc_lowest", "auc_highest"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "verdict", "note"])


def stored(run: Run, chosen: pd.DataFrame) -> pd.DataFrame:
    """Return the sizes at which the films of either class are stored.

    Returns
    -------
    DataFrame
        ``class, films``; in pixels, ``width_lowest, width_median, width_highest`` and the same of the ``height``.
    """
    small = thumbnails.gather(chosen, cache=run.cache)
    rows = []
    for label, look in style.CLASSES.items():
        sizes = small.files[(chosen["label"] == label).to_numpy()]
        row = {"class": look.label, "films": len(sizes)}
        for side, column in (("width", 2), ("height", 1)):
            for name, share in (("lowest", 0), ("median", 0.5), ("highest", 1)):
                row[f"{side}_{name}"] = np.quantile(sizes[:, column], share) if len(sizes) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def widths(table: pd.DataFrame) -> str:
    """Say how wide the films of either class are stored.

    Parameters
    ----------
    table : DataFrame
        Of `stored`.

    Examples
    --------
    >>> table = pd.DataFrame({"class": ["COVID-19", "Non-COVID"], "width_lowest": [400, 512]})
    >>> widths(table.assign(width_highest=[2000, 512]))
    'COVID-19: 400 to 2,000 pixels wide; Non-COVID: 512 pixels wide'
    """
    told = []
    for row in table.dropna(subset="width_lowest").itertuples():
        ends = dict.fromkeys(f"{width:,.0f}" for width in (row.width_lowest, row.width_highest))
        told.append(f"{row[1]}: {' to '.join(ends)} pixels wide")
    return "; ".join(told)


def _measured(rung: Rung, one: np.ndarray, patients: np.ndarray, seed: int) -> dict:
    reason = ladders.undecided(rung.values, one, patients)
    told = {"note": reason} if reason else ladders.resampled(rung, one, patients, seed=seed)
    return {"rung": rung.name, **told}


def _others(run: Run, chosen: pd.DataFrame) -> pd.DataFrame:
    """X-rays of covid-chestxray-dataset with another finding, in the positives' views, where these are from there."""
    if run.edition.positives != cohen.SOURCE:
        return chosen.head(0)
    table = find_table(run.source_folder(cohen.SOURCE), [cohen.TABLE])
    listed = read_columns(table, ["patientid", "finding", "view", "filename"], ["modality"])
    rows = listed[cohen.of_xrays(listed) & cohen.of_others(listed)]
    views = run.edition.options.get(cohen.SOURCE, {}).get("views", cohen.VIEWS)
    if views is not None:
        rows = rows[rows["view"].str.casefold().isin([view.casefold() for view in views])]
    refuse_blanks(rows["patientid"], file=table, what="patient id")
    refuse_blanks(rows["filename"], file=table, what="file name")
    cohen.refuse_twice(rows, listed, table)
    found = pd.DataFrame(
        {
            "image_id": image_ids(cohen.SOURCE, rows["filename"]),
            "path": [str(table.parent / "images" / name) for name in rows["filename"]],
            "patient_id": (cohen.SOURCE + ":" + rows["patientid"]).to_list(),
            "source": cohen.SOURCE,
            "label": "non_covid",
        }
    )
    found = curation.present(found)[0]
    return found.assign(sha256=[sha256(path) for path in found["path"]])


def tested(run: Run, chosen: pd.DataFrame) -> bool:
    """Whether the run asks what its record did, and its films are those: by number, label and patient, and by content.

    Contents are compared where the record knows them.
    """
    asked, now = records.told(run.name)["asked"], run.edition.model_dump(mode="json")
    films = chosen[chosen["split"] == "test"]
    numbers = {column: records.numbered(films[column], column[0]) for column in ("image_id", "patient_id")}
    columns = ["image_id", "patient_id", "label"]
    frames = films.assign(**numbers), next(iter(records.scores(run.name).values()))
    own, other = (frame[columns].sort_values("image_id").to_numpy() for frame in frames)
    known = read_json(records.sealed(records.folder() / run.name, "inputs.json"))["images"]
    return (
        all(now[key] == value for key, value in asked.items() if key not in records.ASIDE)
        and np.array_equal(own, other)
        and (not known or known == records.inputs(run.folder)["images"])
    )


def unlike(run: Run) -> Problem:
    """Return what to say where a run's films are not those of its record."""
    other = "was made from other films than the recorded scores, or for an edition that asked otherwise"
    return Problem(other, file=run.manifest, remedy="obtain the films that were recorded")


def main(arguments: list[str] | None = None) -> int:
    """Measure the ladder of a recorded run from its films, and keep the numbers beside its scores."""
    parser = argparse.ArgumentParser(prog="python -m deepcovid_lib.floors", description="Record the ladder of a run.")
    parser.add_argument("edition")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for deepcovid reproduce")
    parser.add_argument("--networks", nargs="*", default=["resnet18", "squeezenet"], help="whose features are rungs")
    asked = parser.parse_args(arguments)
    try:
        run = runs.begin(asked.edition, settings=editions.parse_settings(asked.set))
        target, scores = records.folder() / run.name / "tables", records.scores(run.name)
        with runs.timed(run, "ladder"):
            chosen = stages.manifest(run)
            if not tested(run, chosen):
                raise unlike(run)
            measured = ladders.ladder(seen(run, chosen, asked.networks), chosen, scores, seed=run.edition.seed)
            apart, sizes = same_source(run, chosen), stored(run, chosen)
        write_csv(measured, target / "tab-ladder.csv")
        write_csv(apart, target / "tab-same-source.csv")
        write_csv(sizes, target / "tab-stored.csv")
        records.seal(target.parent)
        records.add_facts(run.name, {"ladder": runs.facts_of(run)["ladder"]})
    except Problem as problem:
        sys.stderr.write(f"deepcovid: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
