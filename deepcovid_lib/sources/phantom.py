"""Synthetic radiographs: made on the spot, with the truth known.

Equal settings give equal films on equal processors; another kind rounds otherwise, and a few grey values differ.
Films lie in ``images/``, their masks in ``masks/`` and what is known about each in ``metadata.csv``. File names and
numbers of patients tell nothing about a finding.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from deepcovid_lib import files, phantoms, progress
from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, NORMAL, Candidates, make_funnel

SOURCE = "phantom"
DIGESTS = "digests.json"
COVID = "COVID-19"
OTHERS = tuple(finding for finding in phantoms.FINDINGS if finding not in (COVID, NORMAL))
FILMS_PER_PATIENT = (1,) * 34 + (2,) * 11 + (3,) + (4,) * 3  # the paper's 71 COVID-19 images of 49 patients
SHARE_WITH_TWO = 0.1  # of the other patients
FEW = 8  # films that are made sooner than a second process starts


class _Order(NamedTuple):
    """One film to be made."""

    stem: str
    patient: str
    patient_seed: int
    film_seed: int
    finding: str
    view: str
    shortcut: float


def candidates(
    folder: str | Path, *, covid: int, normal: int, each_other: int, seed: int, shortcut: float = 0.0
) -> Candidates:
    """Make synthetic films, or what is missing of them, and list them.

    Parameters
    ----------
    folder : path-like
        Where the films go. Films that are there already are kept, so that a rerun makes only what is missing.
    covid, normal, each_other : int
        Number of films with COVID-19, with no finding, and with each of CheXpert's thirteen other findings. Films
        per COVID-19 patient are spread as in the paper's set (71 images of 49 patients); of the other patients, one
        in ten has two films.
    seed : int
        Equal seeds give equal bytes.
    shortcut : float
        Strength of the planted shortcuts, 0 (none) to 1: burned-in letters, black borders and colour tints on
        COVID-19 films only, and a PA share that differs by class. At 0, only the findings tell the classes apart,
        and 60% of either class are PA films.

    Returns
    -------
    Candidates
        The rows carry the views ``PA`` and ``AP`` and CheXpert's spelling of the findings (``COVID-19`` besides).
        ``metadata.csv`` in `folder` holds image_id, age, sex, severity, view, finding and shortcut.

    Raises
    ------
    Problem
        If a count is negative or all are 0, if `shortcut` lies outside 0 to 1, or if `folder` holds films that were
        ordered with other numbers.

    References
    ----------
    Minaee et al. (2020), Sections I and II.

    Examples
    --------
    >>> import tempfile
    >>> offered = candidates(tempfile.mkdtemp(), covid=1, normal=1, each_other=0, seed=4)
    >>> sorted(offered.rows["label"])
    ['covid', 'non_covid']
    """
    folder = Path(folder)
    recipe = {"covid": covid, "normal": normal, "each_other": each_other, "seed": seed, "shortcut": float(shortcut)}
    if min(covid, normal, each_other) < 0 or covid + normal + each_other == 0:
        raise Problem(f"no such numbers of phantoms: {covid}, {normal}, {each_other}", remedy="ask for at least one")
    if not 0 <= shortcut <= 1:
        raise Problem(f"shortcut {shortcut} lies outside 0 to 1", remedy="give its strength from 0 (none) to 1")
    _claim(folder, recipe)
    orders = _orders(**recipe)
    missing = [order for order in orders if not all(path.is_file() for path in _paths(folder, order.stem))]
    for _ in progress.track(_made(folder, missing), label="phantoms", total=len(missing)):
        pass
    rows = pd.DataFrame(
        {
            "image_id": [f"{SOURCE}:{order.stem}" for order in orders],
            "path": [str(_paths(folder, order.stem)[0]) for order in orders],
            "patient_id": [f"{SOURCE}:{order.patient}" for order in orders],
            "source": SOURCE,
            "label": ["covid" if order.finding == COVID else "non_covid" for order in orders],
            "finding": [order.finding for order in orders],
            "view": [order.view for order in orders],
        }
    )[list(COLUMNS)]
    files.write_csv(_metadata(orders), folder / "metadata.csv")
    _note(folder, orders)
    return Candidates(rows, _funnel(rows))


def masks(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth of a synthetic film.

    Parameters
    ----------
    path : path-like
        The film, as the rows of `candidates` give it.

    Returns
    -------
    lungs, opacity : numpy.ndarray
        bool (H, W): the lung fields, and where the finding changed the film (nowhere without one).

    Raises
    ------
    Problem
        If the film has no masks beside it, or they have changed.
    """
    path = Path(path)
    try:
        lungs, opacity = (np.array(Image.open(drawn(mask))) for mask in _paths(path.parent.parent, path.stem)[1:])
    except FileNotFoundError as fault:
        raise Problem("has no masks", file=path, remedy="make the phantoms again; real films have none") from fault
    return lungs, opacity


def drawn(path: Path) -> str | Path:
    """Return the path of a mask or of the table of synthetic films, refusing one that has changed since it was made.

    Where no note of a folder's digests lies above, nothing is checked.
    """
    note = next((folder / DIGESTS for folder in path.parents[:2] if (folder / DIGESTS).is_file()), None)
    if note is None or not path.is_file():
        return path
    return files.unchanged(path, files.read_json(note).get(path.relative_to(note.parent).as_posix(), ""))


def _note(folder: Path, orders: list[_Order]) -> None:
    """Keep the digests of all that was made; refuse what has changed since they were kept."""
    note = folder / DIGESTS
    known = files.read_json(note) if note.is_file() else {}
    listed = [path for order in orders for path in _paths(folder, order.stem)]
    found = {path.relative_to(folder).as_posix(): files.sha256(path) for path in (*listed, folder / "metadata.csv")}
    for name, digest in found.items():
        if known.get(name, digest) != digest:
            raise Problem("has changed since it was drawn", file=folder / name, remedy="delete it to draw it again")
    if found != known:
        files.write_json(found, note)


def _paths(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    """The film, its lung mask, its opacity mask."""
    return (
        folder / "images" / f"{stem}.png",
        folder / "masks" / f"{stem}-lungs.png",
        folder / "masks" / f"{stem}-opacity.png",
    )


def _claim(folder: Path, recipe: dict) -> None:
    """Write what the folder is for, or make sure that it is for this."""
    note = folder / "recipe.json"
    recipe = {**recipe, "version": version()}
    if not note.is_file():
        files.write_json(recipe, note)
    elif (there := json.loads(note.read_text(encoding="utf-8"))) != recipe:
        differing = ", ".join(sorted(key for key in recipe if recipe[key] != there.get(key)))
        raise Problem(f"holds other phantoms ({differing})", file=folder, remedy="remove it or choose another folder")


def version() -> str:
    """Return a fingerprint of the code that orders and draws the films, so that two versions never share a folder.

    Examples
    --------
    >>> len(version())
    12
    """
    return files.fingerprint(*sorted(Path(phantoms.__file__).parent.glob("*.py")), __file__)


def _orders(*, covid: int, normal: int, each_other: int, seed: int, shortcut: float) -> list[_Order]:
    """Every film to be made, by patient; no draw depends on the shortcut."""
    rng = np.random.default_rng([seed, 1])
    people = [(COVID, films) for films in _shares(covid, FILMS_PER_PATIENT, rng)]
    several = (1,) * round(100 * (1 - SHARE_WITH_TWO)) + (2,) * round(100 * SHARE_WITH_TWO)
    people += [(NORMAL, films) for films in _shares(normal, several, rng)]
    for finding in OTHERS:  # a rare finding needs a patient for each side
        people += [(finding, films) for films in _shares(each_other, several if each_other >= FEW else (1,), rng)]
    orders = []
    for number, place in enumerate(rng.permutation(len(people))):
        finding, films = people[place]
        patient, patient_seed = f"p{number:05d}", int(rng.integers(2**32))
        for film in range(1, films + 1):
            film_seed, draw = int(rng.integers(2**32)), rng.random()
            view = "PA" if draw < phantoms.pa_share(finding, shortcut) else "AP"
            orders.append(_Order(f"{patient}-f{film}", patient, patient_seed, film_seed, finding, view, shortcut))
    return orders


def _shares(films: int, counts: tuple[int, ...], rng: np.random.Generator) -> list[int]:
    """Spread films over patients whose numbers of films are `counts`, over and over, in random order."""
    shares: list[int] = []
    while films:
        for count in rng.permutation(counts):
            shares.append(min(int(count), films))
            films -= shares[-1]
            if not films:
                break
    return shares


def _made(folder: Path, orders: list[_Order]) -> Iterator[str]:
    """Make films, by several processes where it pays."""
    workers = min(_cores(), len(orders))
    if workers < 2 or len(orders) <= FEW:
        for order in orders:
            yield _make(folder, order)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_make, [folder] * len(orders), orders, chunksize=min(8, 1 + len(orders) // (4 * workers)))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _make(folder: Path, order: _Order) -> str:
    """Make one film and its masks; the film comes last."""
    film = phantoms.film(
        order.patient_seed, order.film_seed, finding=order.finding, view=order.view, shortcut=order.shortcut
    )
    image, lungs, opacity = _paths(folder, order.stem)
    for path, pixels in ((lungs, film.lungs), (opacity, film.opacity), (image, film.image)):
        with files.replacing(path) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=6)
    return order.stem


def _metadata(orders: list[_Order]) -> pd.DataFrame:
    """What is known about each film."""
    people = [phantoms.patient(order.patient_seed) for order in orders]
    return pd.DataFrame(
        {
            "image_id": [f"{SOURCE}:{order.stem}" for order in orders],
            "age": [who.age for who in people],
            "sex": [who.sex for who in people],
            "severity": [phantoms.severity(order.film_seed, order.finding) for order in orders],
            "view": [order.view for order in orders],
            "finding": [order.finding for order in orders],
            "shortcut": [order.shortcut for order in orders],
        }
    )


def _funnel(rows: pd.DataFrame) -> pd.DataFrame:
    """Films made, and how they divide."""
    patients, finding = rows["patient_id"], rows["finding"]
    return make_funnel(
        SOURCE,
        [
            ("films made", patients),
            ("of these with COVID-19", patients[finding == COVID]),
            ("of these with no finding", patients[finding == NORMAL]),
            ("of these with another finding", patients[~finding.isin([COVID, NORMAL])]),
        ],
    )
