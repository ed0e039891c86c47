"""One visual language: a colour for every model and group, a light and a dark theme."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from deepcovid_lib.problems import Misuse

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH = 6.4
"""Width of every figure in inches; 12 pt type then stays readable on a page 360 pixels wide."""

SMALL = 10.0
"""The smallest type used, in points."""


class Look(NamedTuple):
    """How one model or group is drawn wherever it appears."""

    label: str
    colour: str
    marker: str
    dash: str | tuple


class Drawing(NamedTuple):
    """A figure, the data it shows and its description in words.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure, in the theme that was active when it was drawn.
    data : pandas.DataFrame
        What the figure shows: the CSV file behind it.
    alt : str
        A text alternative of one to three sentences, written from the data.
    """

    figure: Figure
    data: pd.DataFrame
    alt: str


MODELS = {
    "resnet18": Look("ResNet18", "#0077b2", "o", "-"),
    "resnet50": Look("ResNet50", "#9b4be0", "s", (0, (5, 1.2))),
    "squeezenet": Look("SqueezeNet", "#00a06e", "^", (0, (6, 1.2, 1.2, 1.2))),
    "squeezenet1_1": Look("SqueezeNet 1.1", "#00a06e", "v", (0, (1.2, 1.2))),
    "densenet121": Look("DenseNet-121", "#a88a12", "D", (0, (3, 1.2))),
    "densenet161": Look("DenseNet-161", "#8a5a44", "P", (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2))),
}
GROUPS = {
    "covid": Look("COVID-19", "#d55e00", "o", "-"),
    "normal": Look("Normal", "#2b93a8", "s", (0, (5, 1.2))),
    "other_disease": Look("Other disease", "#6257d6", "^", (0, (3, 1.2))),
    "unknown": Look("Unknown finding", "#7d7d7d", "D", (0, (1.2, 1.2))),
}
CLASSES = {
    "covid": Look("COVID-19", "#d55e00", "o", "-"),
    "non_covid": Look("Non-COVID", "#5f7d99", "s", (0, (5, 1.2))),
}
PAGES = {"light": ("#ffffff",), "dark": ("#121212", "#14181e")}
"""The page backgrounds that each mode is made for."""

INKS = {
    "light": {"ink": "#1b1f24", "muted": "#57606a", "rule": "#d0d7de", "surface": "#eef1f4"},
    "dark": {"ink": "#e6edf3", "muted": "#a3adb8", "rule": "#3a424c", "surface": "#232a33"},
}


@contextmanager
def theme(mode: str) -> Iterator[None]:
    """Draw in one theme; figures made inside keep it.

    Parameters
    ----------
    mode : {"light", "dark"}
        The kind of page the figure will stand on; its own background is transparent.

    Raises
    ------
    Misuse
        If there is no such mode.

    Examples
    --------
    >>> with theme("dark"):
    ...     ink()
    '#e6edf3'
    """
    if mode not in INKS:
        raise Misuse(f"no theme {mode!r}", remedy=f"use one of {', '.join(INKS)}")
    import seaborn  # slow to import, as matplotlib is; who only needs a name or a colour needs neither
    from matplotlib import rc_context

    inks = INKS[mode]
    own = {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.frameon": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "axes.titlelocation": "left",
        "axes.titlepad": 5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.9,
        "xtick.major.width": 0.9,
        "ytick.major.width": 0.9,
        "xtick.major.size": 3.5,
        "ytick.major.size": 3.5,
        "lines.linewidth": 2,
        "hatch.linewidth": 0.7,
        "svg.hashsalt": "deep-covid",
        "svg.fonttype": "path",
        "text.parse_math": False,  # a dollar sign in a finding is a dollar sign
        "text.color": inks["ink"],
        "axes.labelcolor": inks["ink"],
        "axes.titlecolor": inks["ink"],
        "legend.labelcolor": inks["ink"],
        "xtick.color": inks["muted"],
        "ytick.color": inks["muted"],
        "axes.edgecolor": inks["muted"],
        "grid.color": inks["rule"],
        "grid.linewidth": 0.8,
        "hatch.color": inks["rule"],
        "patch.facecolor": inks["surface"],
        "patch.edgecolor": "none",
        "patch.linewidth": 0,
    }
    with rc_context({**seaborn.axes_style("ticks"), **own}):
        yield


def ink() -> str:
    """Return the colour of text and main lines in the active theme."""
    return _active("text.color")


def muted() -> str:
    """Return the colour of secondary text and lines in the active theme."""
    return _active("xtick.color")


def rule() -> str:
    """Return the colour of grid lines in the active theme."""
    return _active("grid.color")


def surface() -> str:
    """Return the colour of quiet filled areas in the active theme."""
    return _active("patch.facecolor")


def model(name: str) -> Look:
    """Return the look of a backbone.

    Raises
    ------
    Misuse
        If the backbone has no colour of its own.

    Examples
    --------
    >>> model("densenet121").label
    'DenseNet-121'
    """
    if name not in MODELS:
        raise Misuse(f"no colour for model {name!r}", remedy=f"use one of {', '.join(MODELS)}")
    return MODELS[name]


def group(name: str) -> Look:
    """Return the look of a group of test images.

    Raises
    ------
    Misuse
        If the group has no colour of its own.

    Examples
    --------
    >>> group("other_disease").label
    'Other disease'
    """
    if name not in GROUPS:
        raise Misuse(f"no colour for group {name!r}", remedy=f"use one of {', '.join(GROUPS)}")
    return GROUPS[name]


def _active(parameter: str) -> str:
    from matplotlib import rcParams

    return rcParams[parameter]


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 (black) to 1 (white).

    References
    ----------
    Web Content Accessibility Guidelines (WCAG) 2.2, definition of relative luminance.

    Examples
    --------
    >>> round(luminance("white"), 6)
    1.0
    """
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 (equal) to 21 (black on white).

    References
    ----------
    WCAG 2.2, success criteria 1.4.3 (text, at least 4.5) and 1.4.11 (graphics, at least 3).

    Examples
    --------
    >>> round(contrast("black", "white"), 6)
    21.0
    """
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage with so many decimals, with more where that would make all or nothing of it.

    Examples
    --------
    >>> percent(0.975), percent(1.0), percent(2999 / 3000), percent(0.004, 0)
    ('97.5%', '100.0%', '99.97%', '0.4%')
    """
    return f"{_rounded(100 * share, digits, whole=100)}%"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with more decimals where one would make nothing of it.

    Examples
    --------
    >>> points(-0.012), points(1 / 3000), points(-0.0)
    ('−1.2', '0.03', '0.0')
    """
    return _rounded(100 * share, 1, whole=100).replace("-", "−")


def decimal(value: float, digits: int = 3) -> str:
    """Return a number with so many decimals, with more where that would make 0 or 1 of what is neither.

    Examples
    --------
    >>> decimal(0.8126), decimal(1.0), decimal(0.99996)
    ('0.813', '1.000', '0.99996')
    """
    return _rounded(value, digits, whole=1)


def p_value(p: float, digits: int = 3, *, level: float = 0.05) -> str:
    """Return a p value with so many decimals, with more where rounding would lift it to the level that it is below.

    Examples
    --------
    >>> p_value(0.0312), p_value(0.04975), p_value(0.05)
    ('0.031', '0.0498', '0.050')
    """
    while p < level <= float(f"{p:.{digits}f}"):
        digits += 1
    return decimal(p, digits)


def exact(value: float) -> str:
    """Return a number in the fewest digits that give it back, as a threshold needs; a dash for one that is missing.

    Examples
    --------
    >>> exact(0.228), exact(1.0), exact(0.9999999999999998), exact(float("nan"))
    ('0.228', '1', '0.9999999999999998', '–')
    """
    return "–" if math.isnan(value) else repr(float(value)).removesuffix(".0")


def between(low: float, high: float, digits: int = 3) -> str:
    """Return the bounds of an interval as a sentence quotes them.

    Examples
    --------
    >>> between(0.6, 0.9), between(float("nan"), float("nan"))
    ('0.600 to 0.900', 'no interval')
    """
    return "no interval" if math.isnan(low) else f"{decimal(low, digits)} to {decimal(high, digits)}"


def _rounded(value: float, digits: int, *, whole: int) -> str:
    value = value or abs(value)  # no sign before nothing
    texts = (f"{value:.{places}f}" for places in range(digits, 17))
    return next((text for text in texts if value in (0, whole) or float(text) not in (0, whole)), str(value))


def text_on(fill: str) -> str:
    """Return black or white, whichever is easier to read on a filled area.

    Examples
    --------
    >>> text_on("#d55e00"), text_on("#123456")
    ('#000000', '#ffffff')
    """
    return max(("#000000", "#ffffff"), key=lambda colour: contrast(colour, fill))
