"""Editions: what a run is asked to do, one YAML file each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepcovid_lib import paper, style
from deepcovid_lib.problems import Misuse, Problem

SYNTHETIC = "synthetic radiographs"
NETWORKS = {"imagenet": "networks pretrained on ImageNet", "random": "untrained networks"}
NO_EVIDENCE = (SYNTHETIC, NETWORKS["random"])
FOLDERS = ("phantom", "cohen", "released", "chexpert", "nih", "marks", "metadata")
SOURCES = (("released", "released"), ("cohen", "chexpert"))  # of positives and negatives, as in the paper


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sides(_Strict):
    """How many images go to training and to test."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)


class Split(_Strict):
    """Counts per class; a class left out takes every image, its patients halved, and no phantom is drawn for it."""

    covid: Sides
    normal: Sides | None = None
    each_other: Sides | None = None


class Fit(_Strict):
    """How an image becomes the network's input (the fields of `images.Preset`)."""

    size: int = Field(224, ge=32)
    fit: Literal["squash", "crop"] = "squash"


class RecipeAsked(_Strict):
    """How the head is trained (the fields of `finetune.Recipe`), and on which scale its features come."""

    name: str = Field("paper", pattern=r"^[a-z0-9-]+$")
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-4, gt=0)
    batch_size: int = Field(20, ge=1)
    epochs: int = Field(100, ge=1)
    weight_decay: float = Field(0.0, ge=0)
    features: Literal["raw", "standardised"] = "raw"


class Edition(_Strict):
    """Everything a run is asked for. Unknown keys are errors.

    Attributes
    ----------
    title : str
        What readers see on every page.
    about : str
        What the run is for, on every page.
    positives : str
        The source module of the COVID-19 images.
    negatives : str
        The source module of the other images; the same name when one source gives both.
    split : Split or "released"
        Counts to draw, or the sides as the source's own folders have them.
    seed : int
        Enters the split, the augmentation, untrained weights and the head.
    copies : int
        Images made of each COVID-19 training image, itself included (Section II: 31 -> 496 is 16).
    models : list of str
        Backbones, in the order of the tables, each once.
    weights : {"imagenet", "random"}
        ImageNet-pretrained, or seeded and untrained.
    engine : {"openvino", "pytorch"}
        What carries images through the frozen layers of a processor's run. OpenVINO is faster once it has compiled a
        network, to features equal to rounding; where it is not installed, and on a GPU, PyTorch does the work.
    preset : Fit
        How an image becomes input.
    recipe : RecipeAsked
        How the head is trained.
    folders : dict
        Where each source's files lie; relative paths start at the project's root. ``marks`` and ``metadata`` name
        tables: what shows the disease on a film, and the patients of the authors' archive.
    options : dict
        Options of a source module, by source.
    tests_paper : list of {"counts", "performance"}
        What of the paper this edition's data can test, provided nothing that bears on it is overridden.
    publish_films : bool
        Whether films may appear in a published book.
    """

    title: str
    about: str
    positives: Literal["phantom", "cohen", "released"]
    negatives: Literal["phantom", "chexpert", "nih", "released"]
    split: Split | Literal["released"]
    seed: int = Field(ge=0, lt=2**31)
    copies: int = Field(ge=1)
    models: list[str] = Field(min_length=1)
    weights: Literal["imagenet", "random"]
    engine: Literal["openvino", "pytorch"] = "openvino"
    preset: Fit = Fit()
    recipe: RecipeAsked = RecipeAsked()
    folders: dict[str, str] = {}
    options: dict[str, dict[str, Any]] = {}
    tests_paper: list[Literal["counts", "performance"]] = []
    publish_films: bool

    @model_validator(mode="after")
    def _compare_and_test_only_what_can_be(self) -> Edition:
        drawn = self.positives == "phantom"
        if drawn != (self.negatives == "phantom"):
            raise ValueError("phantoms against real films compare a program with people: draw both classes or neither")
        sources = {self.positives, self.negatives}
        strange = next((name for name in self.options if name not in sources), None)
        if strange:
            raise ValueError(f"options of '{strange}' reach no source: its sources are {' and '.join(sorted(sources))}")
        lost = next((name for name in self.folders if name not in FOLDERS), None)
        if lost:
            raise ValueError(f"folders has no '{lost}': it takes {', '.join(FOLDERS)}{nearest(lost, list(FOLDERS))}")
        if ("released" in sources) != (self.split == "released"):
            raise ValueError(
                "the authors' archive alone is divided already: write split released for it, and no counts"
            )
        twice = next((name for name in self.models if self.models.count(name) > 1), None)
        if twice:
            raise ValueError(f"the model {twice} is named twice: name each once")
        if self.tests_paper and drawn:
            raise ValueError("synthetic films test nothing of the paper: leave tests_paper empty")
        if self.tests_paper == ["performance"]:
            raise ValueError("only the paper's numbers of images test its performance: add counts to tests_paper")
        return self


def folder() -> Path:
    """Return the folder of the edition files: the checkout's, or the one shipped in the package."""
    package = Path(__file__).parent
    checkout = package.parent / "editions"
    return checkout if checkout.is_dir() else package / "shipped" / "editions"


def names() -> list[str]:
    """Return the names of all editions.

    Examples
    --------
    >>> "tiny" in names()
    True
    """
    return sorted(path.stem for path in folder().glob("*.yaml"))


def asked(name: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the plain content of an edition with dotted `settings` laid over it, not yet validated."""
    if name not in names():
        raise Misuse(f"no edition '{name}'", remedy=f"choose one of {', '.join(names())}{nearest(name, names())}")
    content = yaml.safe_load((folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    for key, value in (settings or {}).items():
        place = content
        *parents, last = key.split(".")
        for parent in parents:
            if not isinstance(place.setdefault(parent, {}), dict):
                raise Misuse(f"'{key}' cannot be set: '{parent}' is not a group", remedy="see editions/*.yaml")
            place = place[parent]
        place[last] = value
    return content


def resolve(name: str, settings: dict[str, Any] | None = None) -> Edition:
    """Return an edition with overrides, validated.

    Parameters
    ----------
    name : str
        The file's stem in `editions/`.
    settings : dict, optional
        Dotted keys and values, e.g. ``{"recipe.epochs": 5}``.

    Raises
    ------
    Misuse
        For an unknown edition, key or value; the line names the nearest known key.

    Examples
    --------
    >>> resolve("tiny", {"recipe.epochs": 3}).recipe.epochs
    3
    """
    try:
        edition = Edition.model_validate(asked(name, settings))
    except ValidationError as fault:
        first = fault.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"edition '{name}'"
        if first["type"] == "extra_forbidden":
            raise Misuse(
                f"{where} has no key '{key}'", remedy=f"known keys: see editions/{name}.yaml{nearest(key, _keys())}"
            ) from None
        if not key:  # of the edition as a whole
            fault, _, remedy = str(first["ctx"]["error"]).partition(": ")
            raise Misuse(f"{where}: {fault}", remedy=remedy) from None
        raise Misuse(f"{where}, key '{key}': {first['msg'].lower()}", remedy=f"it was {first['input']!r}") from None
    return _known_models(edition, name)


def _known_models(edition: Edition, name: str) -> Edition:
    for model in edition.models:
        if model not in style.MODELS:
            known = list(style.MODELS)
            choice = f"choose of {', '.join(known)}{nearest(model, known)}"
            raise Misuse(
                f"edition '{name}' asks for an unknown model '{model}'",
                remedy=choice,
            )
    return edition


def parse_settings(assignments: list[str]) -> dict[str, Any]:
    """Turn ``key=value`` texts into settings; values are read as YAML.

    Examples
    --------
    >>> parse_settings(["seed=7", "models=[resnet18]"])
    {'seed': 7, 'models': ['resnet18']}
    """
    settings = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise Misuse(f"'{assignment}' is not key=value", remedy="write e.g. --set recipe.epochs=5")
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise Problem(f"the value of '{key}' cannot be read", remedy="quote it as YAML would") from None
    return settings


def nature(asked: Mapping[str, Any]) -> list[str]:
    """Return what films and networks are, as far as it is told: of an edition, a run's `run.yaml` or a head.

    Examples
    --------
    >>> nature({"positives": "phantom", "negatives": "phantom", "weights": "random"})
    ['synthetic radiographs', 'untrained networks']
    >>> nature(resolve("covid-xray-5k").model_dump())
    ['real films', 'networks pretrained on ImageNet']
    """
    sides = [asked[side] for side in ("positives", "negatives") if side in asked]
    told = [SYNTHETIC if "phantom" in sides else "real films"] if sides else []
    return told + [NETWORKS[kind] for kind in (asked.get("weights"),) if kind in NETWORKS]


def no_evidence(asked: Mapping[str, Any]) -> list[str]:
    """Return what of its nature keeps a run from being evidence about patients.

    Examples
    --------
    >>> no_evidence(resolve("open-cxr", {"weights": "random"}).model_dump())
    ['untrained networks']
    """
    return [each for each in nature(asked) if each in NO_EVIDENCE]


def has_papers_sources(edition: Edition) -> bool:
    """Say whether an edition's images are of the authors' archive, or of the paper's two sources, however chosen.

    Examples
    --------
    >>> has_papers_sources(resolve("covid-xray-5k", {"copies": 4})), has_papers_sources(resolve("open-cxr"))
    (True, False)
    """
    return (edition.positives, edition.negatives) in SOURCES


def has_papers_images(edition: Edition) -> bool:
    """Say whether an edition's images are the authors' own, or drawn by the paper's rules from its two sources.

    Both sides as the archive has them, or the paper's numbers of each class; and as many copies as the paper makes.

    References
    ----------
    Paper, Section II, Table I.

    Examples
    --------
    >>> has_papers_images(resolve("covid-xray-5k")), has_papers_images(resolve("open-cxr"))
    (True, False)
    >>> has_papers_images(resolve("covid-xray-5k-rebuilt", {"split.normal": {"train": 7, "test": 17}}))
    False
    """
    told = paper.values().set_index("id")["value"]
    drawn = {
        name: {side: told[f"section-2/{folder}/{part}"] for side, folder in (("train", "training"), ("test", "test"))}
        for name, part in (("covid", "covid"), ("normal", "no-finding"), ("each_other", "each-other-category"))
    }
    chosen = dict(zip(SOURCES, ("released", Split.model_validate(drawn)), strict=True))
    copies = told["table-1/training/covid-augmented"] / told["table-1/training/covid"]
    split = chosen.get((edition.positives, edition.negatives))
    return split == edition.split and bool(edition.copies == copies) and not edition.options


def follows_paper(edition: Edition) -> bool:
    """Say whether an edition's weights, images' size and fit and recipe are those that the paper prints.

    The paper prints that images are resized to a square, and no crop.

    References
    ----------
    Paper, Section IV.A.

    Examples
    --------
    >>> follows_paper(resolve("covid-xray-5k")), follows_paper(resolve("covid-xray-5k", {"recipe.epochs": 50}))
    (True, False)
    """
    side = paper.values().set_index("id")["value"]["section-4a/image-side"]
    other = (edition.weights, edition.preset.fit, edition.preset.size, edition.recipe.features)
    return other == ("imagenet", "squash", side, "raw") and follows_recipe(edition)


def follows_recipe(edition: Edition) -> bool:
    """Say whether the head is trained as the paper prints, on whatever images, weights and scale of the features.

    References
    ----------
    Paper, Section IV.A.

    Examples
    --------
    >>> follows_recipe(resolve("phantom")), follows_recipe(resolve("phantom", {"recipe.optimizer": "sgd"}))
    (True, False)
    """
    told, recipe = paper.values().set_index("id")["value"], edition.recipe
    printed = {
        "section-4a/epochs": recipe.epochs,
        "section-4a/batch-size": recipe.batch_size,
        "section-4a/learning-rate": recipe.learning_rate,
    }
    other = (recipe.optimizer, recipe.weight_decay)
    return all(told[name] == value for name, value in printed.items()) and other == ("adam", 0.0)


def _keys() -> list[str]:
    keys = list(Edition.model_fields)
    for group, model in (("preset", Fit), ("recipe", RecipeAsked), ("split", Split)):
        keys += [f"{group}.{key}" for key in model.model_fields]
    return keys


def nearest(word: str, known: list[str]) -> str:
    """Return the known name that is most like a word, as the end of a remedy; an empty text if none is.

    Examples
    --------
    >>> nearest("setings", ["edition", "settings"])
    ' (nearest: settings)'
    """
    near = difflib.get_close_matches(word, known, n=1)
    return f" (nearest: {near[0]})" if near else ""
