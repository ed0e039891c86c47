"""What each finding does to a thorax: CheXpert's thirteen and COVID-19, each growing with severity, 0 to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from deepcovid_lib.phantoms.anatomy import Patient, half_width
from deepcovid_lib.phantoms.bones import Break
from deepcovid_lib.phantoms.devices import devices
from deepcovid_lib.phantoms.projection import Pose, cloud, rods
from deepcovid_lib.phantoms.tissue import Shape, Tissue


class Case(NamedTuple):
    """A thorax before its finding; `rng` is the patient's own, so that follow-up films show the same places."""

    who: Patient
    taken: Pose
    tissue: Tissue
    severity: float
    rng: np.random.Generator


class Change(NamedTuple):
    """What a finding changes.

    Attributes
    ----------
    shape : Shape
        The organs' size and place.
    fill : numpy.ndarray or float
        Share of the lung's air that gave way to water, 0 to 1.
    empty : numpy.ndarray or float
        Share of the ray where air lies in place of lung, 0 to 1.
    soft : numpy.ndarray or float
        Further soft tissue within the lung, cm.
    metal : numpy.ndarray or float
        Attenuation of devices and calcium.
    breaks : tuple of Break
        Broken ribs.
    swollen : float
        Calibre of the lung vessels relative to the patient's own.
    """

    shape: Shape = Shape()
    fill: np.ndarray | float = 0.0
    empty: np.ndarray | float = 0.0
    soft: np.ndarray | float = 0.0
    metal: np.ndarray | float = 0.0
    breaks: tuple[Break, ...] = ()
    swollen: float = 1.0


def _height(case: Case) -> np.ndarray:
    """0 at the lungs' apex, 1 at the diaphragm."""
    down = np.maximum(case.tissue.y - np.float32(case.who.apex), np.float32(0.01))
    return down / np.maximum(down + case.tissue.floor, np.float32(0.01))


def _step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _side(case: Case, side: int) -> np.ndarray:
    """The patient's right (-1) or left (1) half."""
    return case.tissue.x * side > 0


def _patches(
    case: Case,
    side: np.ndarray,
    lateral: np.ndarray,
    height: np.ndarray,
    size: np.ndarray,
    amount: np.ndarray,
    ragged: float = 0.35,
) -> np.ndarray:
    """Ill-defined filled areas at places given as shares of the lung's width and height; sizes in cm."""
    x, y = case.tissue.x, case.tissue.y
    tufts = cloud(case.rng, x, y, 1.3)
    bend = cloud(case.rng, x, y, 3.0)
    turn, stretch = case.rng.uniform(0, np.pi, len(side)), case.rng.uniform(1.0, 1.7, len(side))
    clear = np.ones_like(x)
    dome = case.who.base + 2.1 + case.taken.breath
    for i in range(len(side)):
        if amount[i] <= 0:
            continue
        cy = case.who.apex + height[i] * (dome - case.who.apex)
        cx = side[i] * lateral[i] * half_width(case.who, np.array(cy))
        cos, sin = np.cos(turn[i]), np.sin(turn[i])
        dx, dy = x - np.float32(cx), y - np.float32(cy)
        far = ((dx * cos + dy * sin) / np.float32(size[i] * stretch[i])) ** 2
        far = far + ((dy * cos - dx * sin) / np.float32(size[i])) ** 2
        clear *= 1 - np.clip(np.float32(amount[i]), 0, 1) * _step(1.5 - far + 0.45 * bend, 0, 1.5)
    return np.clip((1 - clear) * np.clip(1 + np.float32(ragged) * tufts, 0.45, 1.7), 0, 0.97)


def covid(case: Case) -> Change:
    """Bilateral, peripheral, multilobar ground glass, patchy and uneven; partly mixed with consolidation."""
    rng, grade = case.rng, case.severity
    count = 13
    side = np.where((np.arange(count) + rng.integers(2)) % 2, 1, -1)
    lateral, height = rng.uniform(0.66, 0.98, count), rng.beta(2.2, 1.5, count) * 0.8 + 0.2
    mixed = rng.random(count) < 0.3
    size = rng.uniform(2.0, 4.0, count) * np.where(mixed, 0.6, 1.0) * (0.85 + 0.45 * grade)
    amount = (0.08 + 0.42 * grade) * rng.uniform(0.6, 1.25, count) * np.where(mixed, 1.9, 1.0)
    amount *= np.clip(4 + 9 * grade - np.arange(count), 0, 1)
    fill = _patches(case, side, lateral, height, size, amount)
    return Change(fill=fill * (0.2 + 0.8 * _step(case.tissue.lateral, 0.4, 0.7)))


def pneumonia(case: Case) -> Change:
    """Airspace filling about one centre, in a third of patients with a lesser one in the other lung."""
    rng, grade = case.rng, case.severity
    main = rng.choice([-1, 1])
    other = rng.random() < 0.33
    side = np.array([main, main, main, -main])
    lateral, height = np.full(4, rng.uniform(0.3, 0.8)), np.full(4, rng.uniform(0.3, 0.95))
    lateral = np.clip(lateral + rng.normal(0, 0.13, 4), 0.2, 0.95)
    height = np.clip(height + rng.normal(0, 0.12, 4), 0.15, 1.0)
    size = rng.uniform(1.7, 3.6, 4) * (0.8 + 0.4 * grade)
    amount = (0.1 + 0.5 * grade) * rng.uniform(0.6, 1.2, 4) * [1, 1, 0.8, 0.7 * other]
    return Change(fill=_patches(case, side, lateral, height, size, amount))


def lung_opacity(case: Case) -> Change:
    """One to four hazy areas anywhere."""
    rng, grade = case.rng, case.severity
    count = int(rng.integers(1, 5))
    side = rng.choice([-1, 1], count)
    lateral, height = rng.uniform(0.3, 0.95, count), rng.uniform(0.15, 1.0, count)
    size = rng.uniform(1.6, 3.4, count)
    return Change(
        fill=_patches(case, side, lateral, height, size, (0.09 + 0.38 * grade) * rng.uniform(0.6, 1.2, count), 0.3)
    )


def consolidation(case: Case) -> Change:
    """A lobe, or the part of it along its fissure, without air."""
    rng, grade = case.rng, case.severity
    side, upper = rng.choice([-1, 1]), rng.random() < 0.4
    height, lateral = _height(case), case.tissue.lateral
    bend = 0.05 * cloud(rng, case.tissue.x, case.tissue.y, 2.5)
    border = rng.uniform(0.4, 0.55)
    extent = 0.12 + 0.3 * grade
    fissure = height + 0.1 * (lateral - 0.5)
    if upper:
        area = _step(border - fissure, 0, 0.03) * _step(fissure - border + extent + bend, 0, 0.18)
    else:
        area = _step(fissure - border - 0.1, 0, 0.1) * _step(border + 0.2 + 1.4 * extent + bend - fissure, 0, 0.2)
    middle = rng.uniform(0.35, 0.75)
    area *= 1 - _step(np.abs(lateral - middle) + 2 * bend, 0.15 + 0.3 * grade, 0.4 + 0.4 * grade)
    texture = 1 + 0.15 * cloud(rng, case.tissue.x, case.tissue.y, 1.0)
    return Change(fill=np.clip(area * _side(case, side) * (0.3 + 0.5 * grade) * texture, 0, 0.95))


def _fluid(case: Case, side: int, depth: float) -> np.ndarray:
    """Pleural fluid: a meniscus in the upright chest, mostly a veil when the patient lies."""
    t = case.tissue
    corner = case.who.base + 2.1 + case.taken.breath + (5.0 if case.taken.view == "PA" else 3.75)
    surface = corner - depth * (0.35 + 0.65 * t.lateral**3)
    full = _step(t.y - surface.astype(np.float32), -0.7, 0.9)
    if case.taken.view == "AP":
        full = 0.55 * full + 0.05 * depth * _step(t.y, -6, 10)
    return np.clip(full, 0, 0.97) * _side(case, side)


def edema(case: Case) -> Change:
    """Batwing haze about the hila, swollen vessels, septal lines, a larger heart; fluid when severe."""
    rng, grade, t = case.rng, case.severity, case.tissue
    wing = np.exp(-(((t.lateral - 0.42) / 0.33) ** 2) - ((_height(case) - 0.6) / 0.38) ** 2)
    haze = wing * (0.05 + 0.36 * grade) * (1 + 0.35 * cloud(rng, t.x, t.y, 1.4))
    fluid = sum(_fluid(case, side, 7 * max(0.0, grade - 0.45) * rng.uniform(0.5, 1)) for side in (-1, 1))
    count = 26
    side, height = rng.choice([-1, 1], count), rng.uniform(2, case.who.base + 3, count)
    outer = side * half_width(case.who, height)
    start = np.column_stack([0.97 * outer, height, np.zeros(count)])
    end = np.column_stack(
        [outer - side * rng.uniform(1.0, 1.9, count), height + rng.normal(0, 0.15, count), start[:, 2]]
    )
    septa = rods(case.taken, start, end, np.full(count, 0.11)) * (3 + 5 * grade)
    return Change(
        Shape(heart=1.02 + 0.14 * grade, pedicle=1.02 + 0.15 * grade),
        fill=np.clip(haze + fluid, 0, 0.97),
        soft=septa * t.lungs,
        swollen=1.05 + 0.35 * grade,
    )


def atelectasis(case: Case) -> Change:
    """Bands across the bases, a raised half of the diaphragm, often a collapsed wedge beside the spine."""
    rng, grade, t = case.rng, case.severity, case.tissue
    side = int(rng.choice([-1, 1]))
    fill = np.zeros_like(t.x)
    rise = (0.4 + 2.4 * grade) * rng.uniform(0.6, 1)
    for _ in range(4):
        cy, cx = case.who.base + case.taken.breath - rise - rng.uniform(0.5, 4), side * rng.uniform(4.5, 9.5)
        lean, thick, long = rng.normal(0, 0.22), rng.uniform(0.16, 0.4), rng.uniform(2, 3.5) * (0.7 + 0.5 * grade)
        dx, dy = t.x - np.float32(cx), t.y - np.float32(cy)
        away = dy - lean * dx - 0.03 * dx * dx
        fill += (0.2 + 0.35 * grade) * np.exp(-((away / thick) ** 2)) * _step(1 - np.abs(dx / long), 0, 0.4)
    if rng.random() < 0.5:
        wedge = _step(_height(case) - 0.45 - 0.9 * t.lateral, 0, 0.25)
        fill += (0.3 + 0.5 * grade) * wedge * _side(case, side)
    raised = Shape(right=rise) if side < 0 else Shape(left=rise)
    return Change(raised, fill=np.clip(fill, 0, 0.95))


def lung_lesion(case: Case) -> Change:
    """One to three round masses."""
    rng, grade, t = case.rng, case.severity, case.tissue
    soft = np.zeros_like(t.x)
    edge = 0.12 * cloud(rng, t.x, t.y, 1.2)
    for _ in range(int(rng.integers(1, 4))):
        radius = (0.55 + 1.7 * grade) * rng.uniform(0.7, 1.15)
        cy = case.who.apex + rng.uniform(0.25, 0.85) * (case.who.base - case.who.apex)
        cx = rng.choice([-1, 1]) * rng.uniform(0.45, 0.85) * half_width(case.who, np.array(cy))
        away = np.hypot(t.x - np.float32(cx), t.y - np.float32(cy)) / np.float32(radius) + edge
        soft = np.maximum(soft, 2.6 * radius**0.8 * np.sqrt(np.clip(1 - away**2, 0, None)))
    return Change(soft=np.minimum(soft, 0.9 * t.lung).astype(np.float32))


def pneumothorax(case: Case) -> Change:
    """Air between chest wall and lung, widest at the apex: no vessels beyond a fine line."""
    rng, grade, t = case.rng, case.severity, case.tissue
    side = _side(case, int(rng.choice([-1, 1])))
    gap = (0.9 + 4.2 * grade) * (1 - 0.75 * np.clip(_height(case), 0, 1)) + 0.25 * cloud(rng, t.x, t.y, 5)
    inward = np.minimum((1 - t.lateral) * half_width(case.who, t.y), 0.8 * (t.y - np.float32(case.who.apex)))
    beyond = _step(gap - inward, -0.05, 0.12) * side
    line = np.exp(-(((gap - inward) / 0.11) ** 2)) * side * t.lungs
    return Change(fill=(0.04 + 0.2 * grade) * side * (1 - beyond), empty=beyond.astype(np.float32), soft=0.9 * line)


def effusion(case: Case) -> Change:
    """Fluid in one pleural space, in a third of patients in both."""
    rng, grade = case.rng, case.severity
    side, other = int(rng.choice([-1, 1])), rng.random() < 0.33
    depth = 2.6 + 9 * grade
    fill = _fluid(case, side, depth)
    if other:
        fill = fill + _fluid(case, -side, depth * 0.5)
    return Change(fill=np.clip(fill, 0, 0.97))


def pleural_other(case: Case) -> Change:
    """Thickened pleura along the wall or over the apices, with calcified plaques."""
    rng, grade, t = case.rng, case.severity, case.tissue
    height = _height(case)
    side, centre = _side(case, int(rng.choice([-1, 1]))), rng.uniform(0.45, 0.8)
    thick = (0.5 + 1.1 * grade) * np.exp(-(((height - centre) / 0.22) ** 2)) * (1 + 0.25 * cloud(rng, t.x, t.y, 1.5))
    wall = _step(thick - (1 - t.lateral) * half_width(case.who, t.y), 0, 0.15) * side
    cap = _step((0.5 + 0.9 * grade) - (t.y - np.float32(case.who.apex)) + 0.4 * t.lateral, 0, 0.5) * (
        rng.random() < 0.6
    )
    spots = cloud(rng, t.x, t.y, 1.6) + cloud(rng, t.x, t.y, 0.7) * 0.5
    plaque = _step(spots, 1.3, 1.8) * _step(height, 0.4, 0.6) * t.lungs * side
    return Change(
        fill=(np.clip(0.6 * wall + 0.4 * cap, 0, 0.9) * t.lungs).astype(np.float32),
        metal=(0.05 + 0.2 * grade) * plaque + 0.1 * wall * t.lungs,
    )


def fracture(case: Case) -> Change:
    """Neighbouring ribs broken on one side, more and further displaced with severity."""
    rng, grade = case.rng, case.severity
    side, first, angle = int(rng.choice([-1, 1])), int(rng.integers(3, 6)), rng.uniform(0.7, 2.0)
    place, push = rng.normal(0, 0.08, 5), rng.uniform(0.7, 1.2, 5) * rng.choice([-1, 1])
    count = 1 + int(3.99 * grade)
    shift = 0.5 + 0.7 * grade
    return Change(breaks=tuple(Break(side, first + i, angle + place[i], shift * push[i]) for i in range(count)))


SIGNS: dict[str, Callable[[Case], Change]] = {
    "COVID-19": covid,
    "No Finding": lambda case: Change(),
    "Enlarged Cardiomediastinum": lambda case: Change(
        Shape(pedicle=1.3 + 0.8 * case.severity, aorta=1.1 + 0.5 * case.severity)
    ),
    "Cardiomegaly": lambda case: Change(Shape(heart=1.13 + 0.3 * case.severity)),
    "Lung Opacity": lung_opacity,
    "Lung Lesion": lung_lesion,
    "Edema": edema,
    "Consolidation": consolidation,
    "Pneumonia": pneumonia,
    "Atelectasis": atelectasis,
    "Pneumothorax": pneumothorax,
    "Pleural Effusion": effusion,
    "Pleural Other": pleural_other,
    "Fracture": fracture,
    "Support Devices": lambda case: Change(metal=devices(case.who, case.taken, case.severity, case.rng)),
}
