"""The report: targets with what was measured, under `recorded/benchmarks`."""

from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd

from deepcovid_lib import files, records, runs

NAME = "benchmarks"


class Target(NamedTuple):
    """One measured quantity beside its bound: to be `at` ("most" or "least") that much; `how` says from what."""

    what: str
    value: float
    at: str
    bound: float
    unit: str
    how: str

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.at == "most" else self.value >= self.bound


class Outcome(NamedTuple):
    """What a part measured: targets, rows for a table beside them, and what its films were."""

    targets: list[Target]
    rows: list[dict[str, Any]]
    films: str


def keep(part: str, outcome: Outcome, started: datetime, seconds: float) -> None:
    """Lay a part's outcome over its earlier one, with when and where it was measured."""
    folder = records.folder() / NAME
    known = folder / "targets.csv"
    before = records.table(NAME, "targets") if known.is_file() else pd.DataFrame({"part": []})
    measured = pd.DataFrame(outcome.targets).assign(met=[target.met for target in outcome.targets])
    measured = measured.assign(films=outcome.films)
    measured.insert(0, "part", part)
    kept = before[before["part"] != part]
    files.write_csv(pd.concat([kept, measured]) if len(kept) else measured, known)
    if outcome.rows:
        files.write_csv(pd.DataFrame(outcome.rows), folder / f"{part}.csv")
    facts = records.facts(NAME) if (folder / "facts.json").is_file() else {}
    files.write_json({**facts, part: runs.circumstances(started, seconds)}, folder / "facts.json")
    records.seal(folder)
