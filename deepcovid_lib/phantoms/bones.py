"""Ribs, clavicles, shoulder blades, arms and spine, projected: cm of mineral on each ray."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepcovid_lib.phantoms.anatomy import Patient, half_depth, half_width
from deepcovid_lib.phantoms.projection import Pose, line, plane, splat

LEVEL = 2.3  # distance between vertebrae, cm
CORTEX = 0.075  # thickness of a rib's shell, cm


class Break(NamedTuple):
    """A broken rib: which side (-1 right, 1 left), which rib, at which angle from the spine, how far displaced (cm)."""

    side: int
    rib: int
    angle: float
    shift: float


def _tube(
    curve: np.ndarray, broad: np.ndarray, height: np.ndarray, depth: np.ndarray, cortex: float, marrow: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points and volumes of a hollow bone along `curve` (n, 3), `height` in direction `broad` (n, 3)."""
    tangent = np.gradient(curve, axis=0)
    step = np.linalg.norm(tangent, axis=1, keepdims=True)
    tangent = tangent / (step + 1e-9)
    up = broad - (broad * tangent).sum(1, keepdims=True) * tangent
    up /= np.linalg.norm(up, axis=1, keepdims=True) + 1e-9
    out = np.cross(tangent, up)
    around = 18 if height.max() < 0.8 else 56
    within = 7 if height.max() < 0.8 else 22
    stagger = (np.arange(len(curve)) * 0.618 % 1)[:, None]  # keeps the samples from lining up in stripes
    turn = (np.arange(around) + stagger) / around * 2 * np.pi
    core = (np.arange(within) + stagger) / within * 2 - 1
    ring = (
        curve[:, None]
        + up[:, None] * (height[:, None] * np.cos(turn))[..., None]
        + out[:, None] * (depth[:, None] * np.sin(turn))[..., None]
    )
    arc = np.hypot(height[:, None] * np.sin(turn), depth[:, None] * np.cos(turn)) * (2 * np.pi / around)
    inside = curve[:, None] + up[:, None] * (height[:, None] * core)[..., None]
    slab = 2 * depth[:, None] * np.sqrt(1 - core**2) * height[:, None] * (2 / within)
    points = np.concatenate([ring.reshape(-1, 3), inside.reshape(-1, 3)])
    return points, np.concatenate([(arc * cortex * step).ravel(), (slab * marrow * step).ravel()])


def _sphere(centre: tuple, radius: float, cortex: float, marrow: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and volumes of a hollow ball, spread evenly by the golden angle."""
    count = 4500
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    high = (np.arange(count) + 0.5) / count * 2 - 1
    skin = np.column_stack([np.cos(turn) * np.sqrt(1 - high**2), high, np.sin(turn) * np.sqrt(1 - high**2)])
    depth = np.tile(np.linspace(0.05, 1, 45), count // 45) ** (1 / 3)
    points = np.concatenate([skin, skin * depth[:, None]]) * radius + np.asarray(centre)
    shell, inside = 4 * np.pi * radius**2 * cortex / count, 4 / 3 * np.pi * radius**3 * marrow / count
    return points, np.repeat([shell, inside], count)


def rib_curve(who: Patient, side: int, rib: int, angle: np.ndarray) -> np.ndarray:
    """Centre line of a rib, counted from 0: (n, 3) at angles from the spine (0) round to the breastbone (pi)."""
    rng = np.random.default_rng([who.seed, 4, rib])
    top = who.apex + 0.6 + LEVEL * (who.base - who.apex) / 20 * rib + rng.normal(0, 0.12)
    drop = who.slope * min(1.0, 0.42 + 0.12 * rib)
    y = top + drop * ((1 - np.cos(angle)) / 2) ** 1.15 - 0.5 * np.sin(angle) ** 2
    x = side * (half_width(who, y) + 0.25) * np.sin(angle) ** 0.85
    return np.column_stack([x, y, -(half_depth(who, y) + 0.3) * np.cos(angle)])


def ribs(who: Patient, taken: Pose, breaks: tuple[Break, ...] = ()) -> np.ndarray:
    """Ten pairs of ribs, broken where `breaks` says so."""
    points, amounts = [], []
    for side in (-1, 1):
        for rib in range(10):
            end = np.deg2rad(min(158, 166 - 3.2 * rib))
            angle = np.linspace(0.08 + 0.25 * (rib == 0), end, 270)
            curve = rib_curve(who, side, rib, angle)
            height = np.interp(angle, [0, 0.5, 1.8, end], [0.4, 0.55, 0.58, 0.68])
            broad = np.tile([0.0, 1.0, 0.0], (len(angle), 1))
            cortex = np.interp(angle, [0, 1.6, end], [CORTEX, CORTEX, 0.6 * CORTEX])
            place, amount = _tube(curve, broad, height, 0.55 * height, 1.0, 0.12)
            cortex *= 1 - 0.6 * np.sin(angle) ** 6  # the side wall hides what it holds
            cortex *= np.clip((angle - angle[0]) / 0.25, 0.1, 1) * np.clip((end - angle) / 0.25, 0, 1)
            amount *= np.concatenate([np.repeat(cortex, 18), np.repeat(cortex / CORTEX, 7)])
            for broken in breaks:
                if (broken.side, broken.rib) == (side, rib):
                    turned = np.concatenate([np.repeat(angle, 18), np.repeat(angle, 7)])
                    beyond = turned > broken.angle
                    place[beyond] += [0.25 * side * broken.shift, broken.shift, 0]
                    away = np.abs(turned - broken.angle)
                    amount[(away > 0.03) & (away < 0.09)] *= 2.4
                    amount[away < 0.03] = 0
            points.append(place)
            amounts.append(amount)
    return splat(taken, np.concatenate(points), np.concatenate(amounts))


def shoulders(who: Patient, taken: Pose) -> np.ndarray:
    """Clavicles, shoulder blades and upper arms; the blades lie over the lungs in AP films, beside them in PA films."""
    points, amounts = [], []
    supine = taken.view == "AP"
    raised = -1.3 if supine else 0.0
    blade = who.width + (-1.6 if supine else 1.0)

    def add(knots: list, radius: float, cortex: float, marrow: float, count: int = 170) -> None:
        curve = line(knots, count)
        flat = np.full(len(curve), radius)
        flat[-4:] *= [0.95, 0.85, 0.7, 0.5]
        flat[:4] *= [0.5, 0.7, 0.85, 0.95]
        place, amount = _tube(curve, np.tile([0.0, 1.0, 0.02], (count, 1)), flat, flat * 0.9, cortex, marrow)
        points.append(place)
        amounts.append(amount)

    top = who.apex + 3.9 + raised
    for side in (-1, 1):
        end = who.width + 2.6
        add(
            [
                (side * 1.9, top, 7),
                (side * 4.5, top - 0.7, 7.5),
                (side * 8.5, top - 2.1, 5),
                (side * end, top - 2.6, 0),
            ],
            0.58,
            0.13,
            0.22,
        )
        joint = who.apex + 2.6 + raised * 0.4
        tip, corner = (side * (blade - 0.6), joint + 11.5, -8), (side * (blade - 3.2), joint - 2.0, -8)
        glenoid = (side * (blade + 2.2), joint + 0.6, -5)
        u, v = np.meshgrid(np.linspace(0, 1, 110), np.linspace(0, 1, 110))
        u, v = u[u + v <= 1], v[u + v <= 1]
        sheet = np.outer(1 - u - v, tip) + np.outer(u, corner) + np.outer(v, glenoid)
        points.append(sheet)
        amounts.append(np.full(len(u), 45 * 0.06 / len(u)))
        add(
            [corner, (side * (blade - 3.2), joint + 3, -8.3), (side * (blade - 2.2), joint + 8, -8.3), tip],
            0.16,
            0.06,
            0.2,
        )
        add([tip, (side * (blade + 1.2), joint + 5, -7), glenoid], 0.3, 0.09, 0.25)
        add([(side * (blade - 2.6), joint + 1.0, -9), (side * (end + 1.2), joint - 2.4, -4)], 0.42, 0.06, 0.15)
        head = side * (end + 1.4)
        place, amount = _sphere((head + 0.2 * side, joint + 0.2, -3), 2.15, 0.07, 0.08)
        points.append(place)
        amounts.append(amount)
        add(
            [
                (head + side * 0.3, joint + 1.8, -3),
                (head + side * 1.4, joint + 7, -3),
                (head + side * 3.6, joint + 27, -2),
            ],
            1.1,
            0.28,
            0.03,
            220,
        )
    return splat(taken, np.concatenate(points), np.concatenate(amounts))


def spine(who: Patient, taken: Pose) -> np.ndarray:
    """Vertebral bodies with end plates, pedicles, transverse and spinous processes."""
    x, y = plane(taken, -6.0)
    x = x - np.float32(who.curve) * np.sin((y - np.float32(who.apex)) * np.float32(0.16))
    level = (y - np.float32(who.apex)) / np.float32(LEVEL)
    phase = level - np.floor(level) - np.float32(0.5)  # 0 in the middle of a body
    span = 1.25 + 0.028 * (y - np.float32(who.apex))
    waist = span * (0.9 + 0.5 * phase**2)
    side = np.clip(1 - np.square(np.square(np.square(x / waist))), 0, 1)
    plate = np.exp(-(((np.abs(phase) - 0.40) / 0.045) ** 2))
    body = side * (
        np.clip((0.46 - np.abs(phase)) * 12, 0, 1) * np.float32(0.4) + plate * np.float32(0.35) + np.float32(0.5)
    )
    pedicle = np.exp(-(((np.abs(x) - 0.72 * span) / 0.28) ** 2) - ((phase + 0.12) / 0.16) ** 2)
    process = np.exp(-((x / 0.3) ** 2) - ((phase - 0.28) / 0.3) ** 2)
    reach = np.clip((np.abs(x) - waist) / 1.6, 0, 1)
    transverse = np.exp(-(((phase + 0.15 + 0.1 * reach) / 0.17) ** 2)) * (np.abs(x) >= waist) * (1 - reach) ** 0.5
    return (body + 0.55 * pedicle + 0.55 * process + 0.4 * transverse).astype(np.float32)
