"""Choosing the images: what is at hand, the patient-disjoint split, the check of every file (Section II, Table I)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib import images
from deepcovid_lib.files import sha256
from deepcovid_lib.leakage import overlap
from deepcovid_lib.problems import Problem, spelled
from deepcovid_lib.progress import track
from deepcovid_lib.sources import FUNNEL_COLUMNS, NORMAL, UNTOLD, Candidates, chexpert

Sides = tuple[int, int]
SIDES = ("train", "test")
READERS = 4
_UNNAMEABLE = r"[\x00-\x1f\x7f\ud800-\udfff]|^\s|\s$"


class Curated(NamedTuple):
    """What a curation chose, how it got there, and what it had to leave out.

    Attributes
    ----------
    manifest : DataFrame
        The chosen images, sorted by ``image_id``, with ``sha256`` and ``split``.
    funnel : DataFrame
        The rows left after every rule, the sources' own and those of this module.
    rejected : DataFrame
        ``image_id, path, reason`` of files that are missing, cannot be read, or have a name that no table can hold.
    overlap : DataFrame
        ``patient_id`` and images of patients on both sides; only a source that brings its own split can have any.
    """

    manifest: pd.DataFrame
    funnel: pd.DataFrame
    rejected: pd.DataFrame
    overlap: pd.DataFrame


def present(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the rows into those whose file is there and a list of those missing.

    Returns
    -------
    (DataFrame, DataFrame)
        The rows with a file, and ``image_id, path, reason`` of the others.
    """
    there = np.fromiter(map(os.path.isfile, rows["path"]), bool, len(rows))
    return rows[there], _refused(rows[~there], "the file is missing")


def nameable(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the rows into those that a table can hold and a list of the others.

    Returns
    -------
    (DataFrame, DataFrame)
        The rows, and ``image_id, path, reason`` of those with a control character, with bytes that are no UTF-8, or
        with blanks around a cell.

    Examples
    --------
    >>> rows = pd.DataFrame({"image_id": ["x:a", "x:b\\r"], "path": ["a.png", "b\\r.png"], "patient_id": "x:1"})
    >>> [len(part) for part in nameable(rows)]
    [1, 1]
    """
    said = rows[[name for name in ("image_id", "path", "patient_id", "finding", "view") if name in rows]].fillna("")
    odd = said.apply(lambda cells: [bool(re.search(_UNNAMEABLE, cell)) for cell in cells]).any(axis=1)
    reason = "its name, patient, finding or view holds a control character, blanks around it or broken text; rename it"
    return rows[~odd], _refused(rows[odd], reason)


def plan(
    rows: pd.DataFrame, *, covid: Sides, normal: Sides | None = None, each_other: Sides | None = None, seed: int
) -> pd.DataFrame:
    """Choose images for training and test, no patient on both sides.

    Parameters
    ----------
    rows : DataFrame
        ``image_id, patient_id, label, finding`` and more; the order of the rows does not matter.
    covid, normal, each_other : (int, int)
        Images for training and test of COVID-19, of "No Finding" and of each other finding. None takes every image
        of the class and halves its patients. Negatives without a finding are left out where others are counted.
    seed : int
        Fixes the draw.

    Returns
    -------
    DataFrame
        The chosen rows with ``split``, sorted by ``image_id``.

    Raises
    ------
    Problem
        Naming the class, and how many images are needed and at hand; also if an image or a patient has no name, or
        two images have the same.

    References
    ----------
    Section II of the paper: 31 and 40 COVID-19 images; 700 and 1,700 of no finding; 100 and 100 of each other one.

    Examples
    --------
    >>> rows = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("ppqr"),
    ...                      "label": ["covid"] * 3 + ["non_covid"], "finding": ["COVID-19"] * 3 + ["No Finding"]})
    >>> plan(rows.head(3), covid=(2, 1), seed=0)[["image_id", "split"]].values.tolist()
    [['a', 'train'], ['b', 'train'], ['c', 'test']]
    """
    rows = rows.sort_values("image_id", ignore_index=True)
    _refuse_unnamed(rows)
    classes = _classes(rows, covid, normal, each_other)
    order = np.random.default_rng(seed).permutation(len(rows))
    counted = sorted(
        (item for item in classes if item[2] is not None), key=lambda item: (item[0] != "covid", len(item[1]))
    )
    sides: dict[str, str] = {}
    chosen = pd.Series("", index=rows.index)
    for name, members, (train, test) in counted:
        need = {"train": train, "test": test}
        patients: dict[str, list[int]] = {}
        for position in order[np.isin(order, members)]:
            patients.setdefault(rows.at[position, "patient_id"], []).append(position)
        drawn = _in_turn(patients, need, sides) or _divided(patients, need, sides)
        if drawn is None:
            raise Problem(
                f"class '{name}' has {len(members)} images, not enough to put {train} in training and {test} in test "
                "with no patient on both sides",
                remedy="obtain more images or ask for fewer (split in the edition)",
            )
        for position, side in drawn.items():
            chosen[position] = side
            sides[rows.at[position, "patient_id"]] = side
    for _, members, _ in (item for item in classes if item[2] is None):
        patients = rows.loc[order[np.isin(order, members)], "patient_id"].drop_duplicates()
        free = patients[~patients.isin(sides)].tolist()
        sides |= {patient: SIDES[number % 2] for number, patient in enumerate(free)}
        chosen[members] = rows.loc[members, "patient_id"].map(sides)
    return rows.assign(split=chosen)[chosen != ""].reset_index(drop=True)


def verify(planned: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every planned file and add its hash.

    Returns
    -------
    (DataFrame, DataFrame)
        The readable rows with ``sha256``, and ``image_id, path, reason`` of the unreadable ones.
    """

    def look(path: str) -> tuple[str, str]:
        try:
            images.read(path)
            return sha256(path), ""
        except (Problem, OSError) as fault:
            return "", str(fault)

    with ThreadPoolExecutor(READERS) as pool:
        seen = list(track(pool.map(look, planned["path"]), label="check the films", total=len(planned)))
    digests = pd.Series([digest for digest, _ in seen], index=planned.index, dtype=object)
    reasons = pd.Series([reason for _, reason in seen], index=planned.index, dtype=object)
    bad = digests == ""
    return planned.assign(sha256=digests)[~bad], _refused(planned[bad], reasons[bad])


def curate(
    found: Sequence[Candidates],
    *,
    covid: Sides | None = None,
    normal: Sides | None = None,
    each_other: Sides | None = None,
    seed: int,
) -> Curated:
    """Choose images from what the sources offer, leaving out files that are missing or cannot be read.

    Parameters
    ----------
    found : sequence of Candidates
    covid, normal, each_other, seed
        As in `plan`; all left out where the source brings its own split.

    Raises
    ------
    Problem
        If a class falls short, a label has no image, or a patient stands on both sides of a planned split.
    """
    if len({"split" in each.rows for each in found}) > 1:
        raise Problem("one source brings its own split and another does not", remedy="use one kind of source")
    rows = pd.concat([each.rows for each in found], ignore_index=True)
    for label in ("covid", "non_covid"):
        if not (rows["label"] == label).any():
            raise Problem(f"the sources offer no image labelled {label}", remedy="check the folders of the edition")
    _refuse_unnamed(rows)
    rows, odd = nameable(rows)
    rows, missing = present(rows)
    rejected = [odd, missing]
    funnel = [*(each.funnel for each in found), _step("all", 1, "file at hand", rows)]
    digests: dict[str, str] = {}
    while True:
        planned = rows if "split" in rows else _plan_told(rows, missing, covid, normal, each_other, seed)
        readable, unreadable = verify(planned[~planned["image_id"].isin(digests)])
        digests |= dict(zip(readable["image_id"], readable["sha256"], strict=True))
        rejected.append(unreadable)
        if unreadable.empty:
            break
        rows = rows[~rows["image_id"].isin(unreadable["image_id"])]
    manifest = planned.assign(sha256=planned["image_id"].map(digests)).sort_values("image_id", ignore_index=True)
    manifest["patient_id"] = _same_film_same_patient(manifest)
    funnel += [_step("all", 2, "readable, as far as chosen", rows)]
    for step, side in enumerate(SIDES, start=3):
        funnel.append(_step("all", step, f"chosen for {side}", manifest[manifest["split"] == side]))
    shared = overlap(manifest)
    if len(shared) and "split" not in rows:
        raise Problem(
            f"patient {shared['patient_id'].iloc[0]} stands on both sides",
            remedy="report this: a plan must not do that",
        )
    return Curated(manifest, pd.concat(funnel, ignore_index=True), pd.concat(rejected, ignore_index=True), shared)


def _plan_told(
    rows: pd.DataFrame, missing: pd.DataFrame, covid: Sides, normal: Sides | None, each_other: Sides | None, seed: int
) -> pd.DataFrame:
    """Plan; where a class falls short while files are missing, tell that too."""
    try:
        return plan(rows, covid=covid, normal=normal, each_other=each_other, seed=seed)
    except Problem as fault:
        if missing.empty:
            raise
        raise Problem(f"{fault}; {len(missing)} listed files are missing, e.g. {missing['path'].iloc[0]}") from fault


def _refused(rows: pd.DataFrame, reason: str | pd.Series) -> pd.DataFrame:
    """List rows with the reason for leaving them out, their names spelled so that any table can hold them."""
    names = {column: rows[column].map(spelled) for column in ("image_id", "path")}
    return pd.DataFrame({**names, "reason": reason}, index=rows.index)


def _refuse_unnamed(rows: pd.DataFrame) -> None:
    """Raise if an image or a patient has no name, or two images have the same."""
    for column in ("image_id", "patient_id"):
        blank = rows[column].isna() | (rows[column] == "")
        if blank.any():
            raise Problem(f"an image has no {column}", file=rows["path"][blank].iloc[0], remedy="correct its source")
    again = rows["image_id"].duplicated()
    if again.any():
        name = rows["image_id"][again].iloc[0]
        raise Problem(f"image_id '{name}' is there twice", remedy="give every image a name of its own")


def _classes(rows: pd.DataFrame, covid: Sides, normal: Sides | None, each_other: Sides | None) -> list:
    """Name, positions and counts of every class; findings without counts are halved together."""
    positive = rows["label"] == "covid"
    healthy = ~positive & (rows["finding"] == NORMAL)
    classes = [("covid", np.flatnonzero(positive), covid), (NORMAL, np.flatnonzero(healthy), normal)]
    others = ~positive & ~healthy
    if each_other is None:
        classes.append(("other findings", np.flatnonzero(others), None))
    else:
        findings = rows["finding"].where(others, "")
        known = chexpert.DISEASES if chexpert.SOURCE in set(rows.get("source", ())) else ()
        names = sorted({*known, *findings} - {""})
        classes += [(name, np.flatnonzero(findings == name), each_other) for name in names]
    return [item for item in classes if len(item[1]) or item[2] is not None]


def _in_turn(patients: dict[str, list[int]], need: dict[str, int], sides: dict[str, str]) -> dict[int, str] | None:
    """Positions with their side, patient after patient to the side that lacks most; None if that ends with too few.

    A patient already on a side stays there.
    """
    exact = sum(need.values()) == sum(map(len, patients.values()))
    left, drawn = dict(need), {}
    for name, own in patients.items():
        options = [sides[name]] if name in sides else sorted(SIDES, key=lambda side: -left[side] / max(need[side], 1))
        whole = [side for side in options if left[side] >= len(own)]
        side = (whole or options)[0]
        taken = own if whole else ([] if exact else own[: left[side]])
        drawn |= dict.fromkeys(taken, side)
        left[side] -= len(taken)
    return None if any(left.values()) else drawn


def _divided(patients: dict[str, list[int]], need: dict[str, int], sides: dict[str, str]) -> dict[int, str] | None:
    """Positions with their side: all patients divided so that both have enough, the surplus left out; None if not."""
    held = {side: sum(len(own) for name, own in patients.items() if sides.get(name) == side) for side in SIDES}
    free = [name for name in patients if name not in sides]
    sizes = [len(patients[name]) for name in free]
    to_test = _sum_within(sizes, need["test"] - held["test"], sum(sizes) - max(0, need["train"] - held["train"]))
    if to_test is None:
        return None
    side_of = sides | {name: SIDES[index in to_test] for index, name in enumerate(free)}
    drawn = {}
    for side in SIDES:
        positions = [position for name, own in patients.items() if side_of[name] == side for position in own]
        drawn |= dict.fromkeys(positions[: need[side]], side)
    return drawn


def _sum_within(sizes: list[int], low: int, high: int) -> set[int] | None:
    """Return indices whose sizes add up to the least sum possible from `low` to `high`; None if there are none.

    Bit n of ``reached[i]`` says whether some of the first i sizes add up to n.
    """
    reached = [1]
    for size in sizes:
        reached.append(reached[-1] | reached[-1] << size)
    rest = next((total for total in range(max(0, low), high + 1) if reached[-1] >> total & 1), None)
    if rest is None:
        return None
    chosen = set()
    for index in reversed(range(len(sizes))):
        if not reached[index] >> rest & 1:
            chosen.add(index)
            rest -= sizes[index]
    return chosen


def _step(source: str, step: int, rule: str, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([(source, step, rule, len(rows), rows["patient_id"].nunique())], columns=list(FUNNEL_COLUMNS))


def _same_film_same_patient(manifest: pd.DataFrame) -> pd.Series:
    """Give copies of one film on one side one patient, where the source tells none: they are no two observations.

    A copy whose patient is told lends its patient to those that are not.
    """
    untold = manifest["patient_id"].str.contains(f":{UNTOLD}", regex=False)
    told_first = manifest.assign(untold=untold).sort_values("untold", kind="stable")
    first = told_first.groupby(["source", "split", "sha256"])["patient_id"].transform("first")
    return manifest["patient_id"].where(~untold, first)
