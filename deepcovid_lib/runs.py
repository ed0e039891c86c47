"""Runs: an edition with its overrides, resolved and written down, and where its files lie."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from deepcovid_lib import editions, lineage
from deepcovid_lib.files import replacing, write_json
from deepcovid_lib.problems import Misuse, Problem

SPEEDS = ("retrain", "replay")
UNDESCRIBED = (
    "title",
    "about",
    "folders",
    "models",
    "seed",
    "engine",
    "tests_paper",
    "publish_films",
)  # no edition's text tells


@dataclass(frozen=True)
class Run:
    """One edition with its overrides, and its folder.

    Attributes
    ----------
    name : str
        The folder's name under `results/`.
    root : Path
        The project's folder: the checkout, or the folder a notebook was started in.
    edition_name : str
    settings : dict
        The overrides, dotted keys to values.
    edition : editions.Edition
        The edition with the overrides applied.
    speed : {"retrain", "replay"}
        Whether the run makes its scores, or starts from recorded ones (see `records.of`).
    """

    name: str
    root: Path
    edition_name: str
    settings: dict[str, Any]
    edition: editions.Edition
    speed: str = "retrain"

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.name

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    def fit(self, model: str) -> Path:
        """Return the folder of one model's head, history and scores."""
        return self.folder / "fits" / model / self.edition.recipe.name / f"seed-{self.edition.seed}"

    def source_folder(self, source: str) -> Path:
        """Return where a source's files lie."""
        return self.root / self.edition.folders.get(source, f"data/{source}")

    def tests(self, what: str) -> bool:
        """Say whether this run's `what` ("counts" or "performance") tests the paper's printed values.

        True only where the edition says so, draws its images as the paper did, and nothing that bears on `what` is
        overridden; performance only where networks are pretrained and the head is trained as the paper prints.
        """
        harmless = ["folders", "models", "engine", "publish_films", "title", "about"]
        if what == "counts":
            harmless += ["weights", "recipe", "preset"]
        touched = [key for key in self.settings if key.split(".")[0] not in harmless]
        followed = editions.has_papers_images(self.edition)
        if what == "performance":
            followed = followed and editions.follows_paper(self.edition)
        return what in self.edition.tests_paper and not touched and followed


def root() -> Path:
    """Return the project's folder.

    It is ``DEEPCOVID_ROOT`` if set, else the nearest folder upwards that holds `editions/` and `_toc.yml`, else
    the current folder: a notebook works the same from the checkout, from `notebooks/` and from an empty folder.
    """
    if os.environ.get("DEEPCOVID_ROOT"):
        return Path(os.environ["DEEPCOVID_ROOT"]).resolve()
    here = Path.cwd().resolve()
    for place in (here, *here.parents):
        if (place / "_toc.yml").is_file() and (place / "editions").is_dir():
            return place
    return here


def resolve(
    edition: str, *, name: str | None = None, settings: dict[str, Any] | None = None, speed: str = "retrain"
) -> Run:
    """Return the run of an edition with overrides; nothing is written.

    Parameters
    ----------
    edition : str
        One of `editions.names`.
    name : str, optional
        The run's name. The edition's own by default; with `settings`, one made from them, so that no run
        overwrites another's files; one that ends in ``-replay`` for a replayed run.
    settings : dict, optional
        Dotted keys and values.
    speed : {"retrain", "replay"}
        ``"replay"`` starts from recorded scores instead of images.

    Raises
    ------
    Misuse
        For an unknown edition, key or speed, or a name that is no plain folder name.

    Examples
    --------
    >>> resolve("tiny", settings={"seed": 7}).name
    'tiny-seed-7'
    >>> resolve("phantom", speed="replay").name
    'phantom-replay'
    """
    if speed not in SPEEDS:
        raise Misuse(f"no speed '{speed}'", remedy=f"choose {' or '.join(SPEEDS)}")
    settings = dict(sorted((settings or {}).items()))
    resolved = editions.resolve(edition, settings)
    name = name or _default_name(edition, settings) + ("-replay" if speed == "replay" else "")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", name):
        raise Misuse(f"'{name}' is no name for a run", remedy="use letters, digits, dots and hyphens")
    return Run(name, root(), edition, settings, resolved, speed)


def begin(
    edition: str, *, name: str | None = None, settings: dict[str, Any] | None = None, speed: str = "retrain"
) -> Run:
    """Resolve a run and write down what was asked in its `run.yaml`.

    Raises
    ------
    Misuse
        Where a run of this name exists that was asked for something else; a retrained and a replayed run never
        share a name.
    """
    run = resolve(edition, name=name, settings=settings, speed=speed)
    path = run.folder / "run.yaml"
    asked = {"edition": edition, "settings": run.settings, "asked": run.edition.model_dump(mode="json")}
    if speed == "replay":
        asked["speed"] = speed
    if path.is_file():
        before = _read(path)
        if before == asked:
            return run
        speed_before = before.get("speed", "retrain")
        if (before["edition"], before["settings"], speed_before) != (edition, run.settings, speed):
            raise Misuse(
                f"run '{run.name}' was asked to {speed_before} '{before['edition']}' with "
                f"{before['settings'] or 'no settings'}",
                file=_shown(path, run.root),
                remedy="choose another name with --run, or delete its folder",
            )
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(asked, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return run


def about(run: Run) -> str:
    """Return what the edition, or the run in its place, says of itself and, where the run asks otherwise, what it set.

    Examples
    --------
    >>> about(resolve("tiny", settings={"seed": 7})) == resolve("tiny").edition.about
    True
    >>> print(about(resolve("tiny", settings={"copies": 2}))[:69])
    This run set copies otherwise than its edition, which says of itself:
    """
    own, edition = (asked.model_dump(mode="json") for asked in (run.edition, editions.resolve(run.edition_name)))
    changed = [key.replace("_", " ") for key, value in edition.items() if key not in UNDESCRIBED and own[key] != value]
    if not changed:
        return own["about"]
    other = f"This run set {', '.join(changed)} otherwise than its edition"
    same = own["about"] == edition["about"]
    return f"{other}, which says of itself: {own['about']}" if same else f"{own['about']} {other} {run.edition_name}."


def reopen(name: str) -> Run:
    """Return a run that was begun before, from its `run.yaml`."""
    path = root() / "results" / name / "run.yaml"
    if not path.is_file():
        raise Misuse(f"no run '{name}'", remedy="start it with: deepcovid reproduce --edition E --run NAME")
    before = _read(path)
    run = resolve(before["edition"], name=name, settings=before["settings"], speed=before.get("speed", "retrain"))
    if before["asked"] != run.edition.model_dump(mode="json"):
        raise Problem(
            f"edition '{run.edition_name}' was changed since this run was begun",
            file=_shown(path, run.root),
            remedy=f"bring it up to date: deepcovid reproduce --edition {run.edition_name} --run {name}",
        )
    return run


@contextmanager
def timed(run: Run, stage: str, **facts: Any) -> Iterator[dict[str, Any]]:
    """Note in `facts.json` when and where the block ran, with which versions, and how long it took.

    Yields `facts`, to which the block may add what it comes to know. The commit is that at the beginning, when the code
    was read, with a ``+`` where it is another at the end. The note keeps a digest of itself.
    """
    started, began, at = datetime.now(UTC), time.monotonic(), commit(Path(__file__).parent)
    yield facts
    note = circumstances(started, time.monotonic() - began)
    if note["commit"] != at:
        note["commit"] = f"{(at or note['commit']).removesuffix('+')}+"
    note |= facts
    note["sha256"] = _digest(note)
    path = run.folder / "facts.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(".facts.lock")):
        write_json({**facts_of(run), stage: note}, path)


def circumstances(started: datetime, seconds: float) -> dict[str, Any]:
    """Return when and where something was done, with which versions, and how long it took."""
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "device": device(),
        "python": platform.python_version(),
        "versions": lineage.versions(lineage.PACKAGES),
        "commit": commit(Path(__file__).parent),
    }


def facts_of(run: Run) -> dict[str, Any]:
    """Return the notes of a run's stages, empty before the first.

    Raises
    ------
    Problem
        Where a note was changed since it was made.
    """
    path = run.folder / "facts.json"
    return unedited(json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {})


def unedited(noted: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a `facts.json` as it is, or raise as `facts_of` does."""
    for stage, note in noted.items():
        if isinstance(note, dict) and note.get("sha256", _digest(note)) != _digest(note):
            raise Problem(
                f"what it notes of '{stage}' was changed since",
                file="facts.json",
                remedy="delete the file; when and where the stages ran is then not told",
            )
    return noted


def _digest(note: dict[str, Any]) -> str:
    told = {key: value for key, value in note.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def trained(facts: dict[str, Any], model: str) -> dict[str, Any] | None:
    """Return the note of a head's training, which its page's is not; None where it was not noted.

    Parameters
    ----------
    facts : dict
        Of `facts_of` or `records.facts`.
    model : str

    Examples
    --------
    >>> page = {"started": "2026-11-28T10:00:00+00:00"}
    >>> trained({"finetune-resnet18": page, "trained-resnet18": {"started": "2026-11-27"}}, "resnet18")
    {'started': '2026-11-27'}
    >>> trained({"finetune-resnet18": page}, "resnet18") is None
    True
    """
    return facts.get(f"trained-{model}")


def forget(run: Run, stage: str) -> None:
    """Take a stage's note away: it tells of another file than lies there now."""
    path = run.folder / "facts.json"
    with FileLock(path.with_name(".facts.lock")):
        noted = facts_of(run)
        if noted.pop(stage, None):
            write_json(noted, path)


def retrain_seconds(run: Run, stage: str) -> float | None:
    """Return how long a notebook took with everything before it: the images, the features and the heads.

    Parameters
    ----------
    run : Run
    stage : str
        A notebook that starts from scores, as `facts.json` names it, e.g. ``"scores"`` or ``"finetune-resnet18"``.

    Returns
    -------
    float or None
        Seconds; None where one of the stages was not timed, as in a replayed run, or found its phantoms, features or
        head there, or where they ran on machines that are not alike.
    """
    models = [model for model in run.edition.models if stage == f"finetune-{model}"] or run.edition.models
    before = ["curate", *(f"{made}-{model}" for made in ("extract", "finetune") for model in models)]
    facts = facts_of(run)
    if any(known.startswith(tuple(f"part-{model}-" for model in models)) for known in facts):
        return None  # done in parts, on who knows how many machines
    if any(facts.get(found, {}).get("kept") for found in ("curate", *(f"extract-{model}" for model in models))):
        return None
    pages = ((facts.get(f"finetune-{model}", {}), trained(facts, model)) for model in models)
    if any(not head or head.get("started", "") < page.get("started", "") for page, head in pages):
        return None
    needed = dict.fromkeys([*before, stage])
    if any("seconds" not in facts.get(name, {}) for name in needed):
        return None
    if len({facts[name].get("device") for name in needed}) > 1:
        return None  # on machines that are not alike
    return sum(facts[name]["seconds"] for name in needed)


def device() -> str:
    """Return the processor in words, and the GPU where one does the work; without the machine's name.

    One name may stand for several kinds of processor, which round otherwise, so its family and model are told with it.
    A process that has not loaded torch computes nothing on a GPU, so its GPU is not told.
    """
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        told = dict(re.findall(r"^(\w[\w ]*?)\s*:\s*(.+)$", info.read_text(encoding="utf-8", errors="replace"), re.M))
        model = told.get("model name", model)
        if {"cpu family", "model"} <= told.keys():
            model += f" (family {told['cpu family']}, model {told['model']})"
    torch = sys.modules.get("torch")
    on_gpu = torch and os.environ.get("DEEPCOVID_DEVICE", "cuda").startswith("cuda") and torch.cuda.is_available()
    return f"{cores()} core{'' if cores() == 1 else 's'}, {model}" + (
        f", {torch.cuda.get_device_name()}" if on_gpu else ""
    )


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit(folder: Path) -> str | None:
    """Return the checkout's commit, with a `+` where files were changed, or code, editions or notebooks added, since.

    None where nothing of the folder is in a repository: one around it tells nothing of this code.
    """
    try:
        if not _git(folder, "ls-files", "."):
            return None
        told = _git(folder, "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12")
        new = told and _git(
            folder, "ls-files", "--others", "--exclude-standard", ":/deepcovid_lib", ":/editions", ":/notebooks"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{told.removesuffix('+')}+" if new else told or None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10).stdout.strip()


def _default_name(edition: str, settings: dict[str, Any]) -> str:
    if not settings:
        return edition
    words = "-".join(
        f"{key.split('.')[-1]}-{value}" for key, value in settings.items() if not key.startswith("folders")
    )
    words = re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.")
    if not words or len(words) > 40:
        words = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{edition}-{words}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict) or not {"edition", "settings", "asked"} <= set(content):
        raise Problem("not a run's record", file=path, remedy="delete the run's folder and start it again")
    return content


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
