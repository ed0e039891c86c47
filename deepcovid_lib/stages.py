"""The stages of a run: each reads its file if it is there and makes it if not.

A notebook opened alone obtains what it lacks through the same calls as the pipeline.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from filelock import FileLock

from deepcovid_lib import curation, editions, fits, images, lineage, records, runs
from deepcovid_lib import manifest as manifests
from deepcovid_lib.files import read_csv, read_json, replacing, sha256, write_csv, write_json
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import Candidates, chexpert, cohen, nih, phantom, released

if TYPE_CHECKING:
    from deepcovid_lib.backbones import Loaded
    from deepcovid_lib.features import Counts

BESIDE = ("funnel.csv", "rejected.csv")
BEGAN = {modules: lineage.code(modules) for modules in (lineage.CURATING, lineage.TRAINING)}
"""Fingerprints of the code as this process found it."""
READERS = {
    "cohen": cohen.candidates,
    "chexpert": chexpert.candidates,
    "nih": nih.candidates,
    "released": released.candidates,
}


def preset(run: Run) -> images.Preset:
    """Return how this run's images become network input."""
    return images.Preset(size=run.edition.preset.size, fit=run.edition.preset.fit)


def candidates(run: Run) -> list[Candidates]:
    """List what the run's sources offer; phantoms are made on the spot.

    Raises
    ------
    Misuse
        For a replayed run: it has scores and no images, and is never retrained in silence.
    """
    if run.speed == "replay":
        raise Misuse(
            f"run '{run.name}' starts from recorded scores and has no images",
            remedy="use speed 'retrain' for what needs them",
        )
    edition = run.edition
    found = []
    for source in dict.fromkeys((edition.positives, edition.negatives)):
        options = edition.options.get(source, {})
        if source == released.SOURCE and "metadata" in options:
            raise Misuse("options.released.metadata is not read", remedy="name the table in folders.metadata")
        named = {"metadata": _metadata(run)} if source == released.SOURCE else {}
        reader = READERS.get(source)
        try:
            found.append(reader(run.source_folder(source), **named, **options) if reader else _phantoms(run, options))
        except TypeError as fault:
            raise Misuse(
                f"source '{source}' does not take these options: {fault}", remedy="see options in editions/*.yaml"
            ) from None
    return found


def curate(run: Run) -> None:
    """Choose the run's images; leaves `manifest.csv`, `funnel.csv`, `rejected.csv`, and `curated.json` with digests."""
    split, hangs_on = run.edition.split, _curating(run)
    counts = {} if split == "released" else _counts(run)
    curated = curation.curate(candidates(run), seed=run.edition.seed, **counts)
    rows = curated.manifest.assign(path=[_relative(path, run.root) for path in curated.manifest["path"]])
    if _curating(run) != hangs_on:
        raise Problem("a label table was changed while images were chosen", remedy="give the same command again")
    write_csv(curated.funnel, run.folder / "funnel.csv")
    write_csv(
        curated.rejected.assign(path=[_relative(path, run.root) for path in curated.rejected["path"]]),
        run.folder / "rejected.csv",
    )
    with replacing(run.manifest) as temporary:  # in place when the rest is there
        manifests.write(rows, temporary)
        manifests.check(manifests.read(temporary), file="the manifest as curated")
        _note_curated(run, temporary)


def plan(run: Run) -> pd.DataFrame:
    """Plan the split from the sources' labels alone, whether or not their images are there.

    Leaves `funnel.csv` and `tables/tab-dataset.csv`, and returns the planned rows: what a run would choose if every
    image were at hand.
    """
    if run.manifest.is_file():
        raise Misuse(f"run '{run.name}' has its manifest already", remedy="plan under another name: --run NAME")
    found = candidates(run)
    if run.edition.split == "released":
        raise Misuse("the released archive has no label file to plan from", remedy="curate it from its files")
    rows = pd.concat([each.rows for each in found], ignore_index=True)
    planned = curation.plan(rows, seed=run.edition.seed, **_counts(run))
    write_csv(pd.concat([each.funnel for each in found], ignore_index=True), run.folder / "funnel.csv")
    write_csv(records.counts(run, planned), run.folder / "tables" / "tab-dataset.csv")
    return planned


def manifest(run: Run) -> pd.DataFrame:
    """Return the run's manifest with usable paths, curating first if it is not there.

    Raises
    ------
    Problem
        If it is not the one that the curation made, or other code made it.
    """
    with _alone(run, "manifest"):
        if not run.manifest.is_file():
            curate(run)
    file = _relative(run.manifest, run.root)
    rows = manifests.read(run.manifest)
    manifests.check(rows, file=file)
    if outdated(run):
        raise Problem(
            "was curated by other code, from other tables or for an edition that asked otherwise",
            file=file,
            remedy="delete it to curate again",
        )
    _refuse_changed(run, "manifest.csv")
    return rows.assign(path=[str(run.root / path) for path in rows["path"]])


def outdated(run: Run) -> bool:
    """Say whether the run has a manifest that hangs on other code, other tables or another edition than these.

    Tables that are gone say nothing: features and scores outlive the images.
    """
    note = run.folder / "curated.json"
    known = read_json(note) if note.is_file() else {}
    now = _curating(run)
    known["tables"] = {name: known.get("tables", {}).get(name) for name in now["tables"]}
    return run.manifest.is_file() and any(known.get(key) != value for key, value in now.items())


def funnel(run: Run) -> pd.DataFrame:
    """Return how many rows every rule of the curation left."""
    if run.speed == "replay":
        return records.table(records.of(run), "funnel")
    return _beside_manifest(run, "funnel.csv")


def counts(run: Run) -> pd.DataFrame:
    """Return the images of each split and class, as `tables.dataset` counts them: the run's, or the recorded ones."""
    if run.speed == "replay":
        return records.table(records.of(run), "tab-dataset")
    return records.counts(run, manifest(run))


def rejected(run: Run) -> pd.DataFrame:
    """Return the files that the curation had to leave out, with the reason."""
    return _beside_manifest(run, "rejected.csv")


def _beside_manifest(run: Run, name: str) -> pd.DataFrame:
    """Read a table that the curation left with the manifest, refusing one that was changed since."""
    manifest(run)
    _refuse_changed(run, name)
    return read_csv(run.folder / name)


def _note_curated(run: Run, manifest: Path) -> None:
    made = {name: sha256(run.folder / name) for name in BESIDE} | {"manifest.csv": sha256(manifest)}
    write_json({**_curating(run), **made}, run.folder / "curated.json")


def _curating(run: Run) -> dict[str, object]:
    """What a manifest hangs on, beside the images: the code, what the edition asks, and the sources' tables."""
    asked = run.edition.model_dump(mode="json", include=set(lineage.ASKED_FOR_CURATION))
    return {"code": _own_code(lineage.CURATING), "asked": asked, "tables": _label_tables(run)}


def _metadata(run: Run) -> Path | None:
    """The table that tells the patients of the authors' archive, where the edition names one."""
    return run.source_folder("metadata") if "metadata" in run.edition.folders else None


def _label_tables(run: Run) -> dict[str, str]:
    """Digests of the tables in the folders of the run's sources, where the readers look for them."""
    found = {}
    for source in sorted({run.edition.positives, run.edition.negatives} & READERS.keys()):
        folder = run.source_folder(source)
        paths = (path for pattern in ("*.csv*", "*/*.csv*") for path in folder.glob(pattern))
        found |= {f"{source}/{path.relative_to(folder).as_posix()}": sha256(path) for path in sorted(paths)}
    named = {name: run.source_folder(name) for name in ("marks", "metadata")}
    return found | {name: sha256(path) for name, path in named.items() if path.is_file()}


def _refuse_changed(run: Run, name: str) -> None:
    path, note = run.folder / name, run.folder / "curated.json"
    if not path.is_file() or not note.is_file() or read_json(note).get(name) != sha256(path):
        raise Problem(
            "was removed or changed since the curation",
            file=_relative(path, run.root),
            remedy=f"restore it, or delete {_relative(run.manifest, run.root)} to curate again",
        )


def tests_counts(run: Run) -> bool:
    """Say whether this run's counts of images test the paper's, see `records.tests_counts`."""
    return records.tests_counts(run, counts(run))


def found_counts(run: Run) -> bool:
    """Say whether this run's counts test the paper's and were found, not asked: those of the authors' archive."""
    return run.edition.split == "released" and tests_counts(run)


def tests_performance(run: Run) -> bool:
    """Say whether this run's scores test the paper's: its edition and counts may, and its images are Table I's many."""
    return run.tests("performance") and tests_counts(run) and bool((counts(run)["run"] == counts(run)["paper"]).all())


def trust(run: Run) -> str:
    """Say in one sentence whether the run tests the paper's results."""
    if tests_performance(run):
        return "Images and weights are the paper's kind, so the printed values are tested here."
    nature = editions.no_evidence(run.edition.model_dump())
    if editions.SYNTHETIC in nature:
        why = f"this run uses {' and '.join(nature)}"
    elif run.tests("performance"):
        why = "its images, or the rows that they were chosen from, are not as many as the paper counts"
    elif editions.has_papers_images(run.edition) and "performance" not in run.edition.tests_paper:
        why = "its edition declares no test of the paper's results (tests_paper)"
    elif editions.has_papers_sources(run.edition) or "performance" in run.edition.tests_paper:
        why = "this run has other images, networks, settings or another recipe"
    else:
        why = f"this run uses {' and '.join(['other images', *nature])}"
    return f"Not as a test of the paper: {why}, so its numbers neither confirm nor refute the printed ones."


def backbone(run: Run, model: str) -> Loaded:
    """Return one of the run's backbones with its weights, to be carried by the run's engine."""
    from deepcovid_lib import backbones  # torch is slow to import; who only reads scores needs none

    return backbones.load(model, weights=run.edition.weights, seed=run.edition.seed, engine=run.edition.engine)


def extract(run: Run, model: str, *, shard: tuple[int, int] = (1, 1)) -> Counts:
    """Pass the run's images, or one of n parts of them, through a frozen backbone into the cache.

    Leaves `features/<model>.csv`, for a part `features/parts/<model>-<i>-of-<n>.csv`: what the cache now holds.
    """
    from deepcovid_lib import features

    _known(run, model)
    wanted = features.requests(manifest(run), copies=run.edition.copies, seed=run.edition.seed)
    loaded = backbone(run, model)
    wanted = features.part(wanted, shard)
    counts = features.extract(wanted, loaded, preset=preset(run), cache=run.cache)
    listed = wanted[["image_id", "copy", "split", "label"]].assign(weights_id=loaded.weights_id)
    part, parts = shard
    name = model if parts == 1 else f"parts/{model}-{part}-of-{parts}"
    write_csv(listed, run.folder / "features" / f"{name}.csv")
    return counts


def fit(run: Run, model: str) -> Path:
    """Train the run's head on cached features; leaves head, history and scores in the returned folder.

    Raises
    ------
    Problem
        If a head is there that was trained on another manifest, or scores that it did not give.
    """
    _known(run, model)
    folder = run.fit(model)
    with _alone(run, f"fit-{model}"):
        rows = manifest(run)
        if all((folder / name).is_file() for name in ("head.safetensors", "history.csv", "scores.csv")):
            asked = run.edition.model_dump(mode="json")
            fits.check(folder, run.manifest, asked, code=lineage.code(lineage.TRAINING))
            if (runs.trained(runs.facts_of(run), model) or {}).get("head") != sha256(folder / "head.safetensors"):
                runs.forget(run, f"trained-{model}")  # a head that was brought here, from who knows where
            return folder
        with runs.timed(run, f"trained-{model}") as noted:
            _train(run, model, rows)
            noted["head"] = sha256(folder / "head.safetensors")
    return folder


def _train(run: Run, model: str, rows: pd.DataFrame) -> None:
    """Train a head on the manifest's rows; leave it with its history and scores."""
    from deepcovid_lib import features, finetune, heads, scaling

    folder, meant = run.fit(model), _meant(run, model)
    wanted = features.requests(rows, copies=run.edition.copies, seed=run.edition.seed)
    loaded = backbone(run, model)
    features.extract(wanted, loaded, preset=preset(run), cache=run.cache)
    sides = {
        side: (listed, features.gather(listed, loaded, preset=preset(run), cache=run.cache))
        for side, listed in wanted.groupby("split")
    }
    listed, numbers = sides["train"]
    recipe = finetune.Recipe(**run.edition.recipe.model_dump(exclude={"features"}))
    fitted = scaling.fit(
        numbers,
        (listed["label"] == "covid").to_numpy(),
        scale=run.edition.recipe.features,
        backbone_name=model,
        recipe=recipe,
        seed=run.edition.seed,
    )
    listed, numbers = sides["test"]
    tested = rows.set_index("image_id").loc[listed["image_id"]].reset_index()
    scored = tested[["image_id", "patient_id", "label", "finding"]].assign(
        group=manifests.group(tested).to_numpy(), score=finetune.score(numbers, fitted.head, model)
    )
    manifests.check_scores(scored)
    if _meant(run, model) != meant:
        raise Problem(
            "was changed while a head was trained on it", file=run.manifest, remedy="give the same command again"
        )
    write_csv(scored, folder / "scores.csv")
    write_csv(fitted.history, folder / "history.csv")
    given = {name: sha256(folder / f"{name}.csv") for name in fits.GIVEN}
    films = {"positives": run.edition.positives, "negatives": run.edition.negatives}
    metadata = {**meant, **given, **films, "weights_id": loaded.weights_id, "run": run.name}
    heads.save(folder / "head.safetensors", fitted.head, metadata)


def history(run: Run, model: str) -> pd.DataFrame:
    """Return a fit's loss and accuracy by epoch, fitting it first if they are not there.

    A replayed run has the recorded ones, or no rows where they were not recorded.
    """
    _known(run, model)
    if run.speed == "replay":
        return records.history(records.of(run), model)
    return read_csv(fit(run, model) / "history.csv")


def scores(run: Run, model: str) -> pd.DataFrame:
    """Return a model's scores of the test images, fitting it first if they are not there; a replayed run's recorded.

    Raises
    ------
    Problem
        If the scores are not those that the head gave, or the head was trained on another manifest.
    """
    _known(run, model)
    if run.speed == "replay":
        return records.scores(records.of(run))[model]
    return manifests.read_scores(fit(run, model) / "scores.csv")


def all_scores(run: Run) -> dict[str, pd.DataFrame]:
    """Return the scores of all the run's models, in the edition's order; note where their patients are not told."""
    found = {model: scores(run, model) for model in run.edition.models}
    note = untold(run)
    if note:
        sys.stderr.write(f"note: {note}\n")
    return found


def untold(run: Run) -> str:
    """Say of how many films the source does not tell the patients; empty where it tells all, or there are none yet."""
    if run.manifest.is_file():
        films = manifests.read(run.manifest)
    elif run.speed == "replay":
        films = scores(run, run.edition.models[0])
    else:
        return ""
    count = manifests.untold(films)
    return f"The source does not tell the patients of {count:,} films: each counts as one patient." if count else ""


def _counts(run: Run) -> dict[str, tuple[int, int] | None]:
    split = run.edition.split
    return {
        name: (sides.train, sides.test) if sides else None
        for name, sides in (("covid", split.covid), ("normal", split.normal), ("each_other", split.each_other))
    }


def drawn_before(run: Run) -> int:
    """Return how many of the run's phantoms lie in the cache already."""
    if phantom.SOURCE not in (run.edition.positives, run.edition.negatives):
        return 0
    folder, _ = _ordered(run, run.edition.options.get(phantom.SOURCE, {}))
    return len(list(folder.glob("images/*.png")))


def _phantoms(run: Run, options: dict) -> Candidates:
    folder, asked = _ordered(run, options)
    return phantom.candidates(folder, **asked)


def _ordered(run: Run, options: dict) -> tuple[Path, dict]:
    """Return what phantoms the run asks for, and their folder, which these settings name: equal runs share them."""
    totals = {name: sum(sides or ()) for name, sides in _counts(run).items()}
    asked = {**totals, "seed": run.edition.seed, **options}
    name = {**asked, "version": phantom.version()}
    key = hashlib.sha256(json.dumps(name, sort_keys=True).encode()).hexdigest()[:12]
    return run.cache / "phantoms" / key, asked


def _meant(run: Run, model: str) -> dict[str, object]:
    """What a head of this run must say of itself."""
    asked = fits.meant(run.edition.model_dump(mode="json"), model)
    return asked | {"manifest": sha256(run.manifest), "code": _own_code(lineage.TRAINING)}


def _own_code(modules: tuple[str, ...]) -> str:
    """The fingerprint of code that this process runs; refuse where its files are no longer those it began with."""
    if lineage.code(modules) != BEGAN[modules]:
        raise Problem("the library was changed while it ran", remedy="start again; in Jupyter, restart the kernel")
    return BEGAN[modules]


def _known(run: Run, model: str) -> None:
    if model not in run.edition.models:
        raise Misuse(f"run '{run.name}' has no model '{model}'", remedy=f"it has {', '.join(run.edition.models)}")


def _relative(path: str | Path, base: Path) -> str:
    path = Path(path)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


@contextmanager
def _alone(run: Run, stage: str) -> Iterator[None]:
    """Let one process at a time make a stage; the lock goes with its process."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / f".{stage}.lock"):
        yield
