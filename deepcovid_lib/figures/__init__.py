"""Every figure of the companion as a function: data in, `Drawing` (figure, data behind it, alt text) out.

The functions draw in the active theme (`style.theme`) and leave no state behind.
"""

from deepcovid_lib.figures.comparison import confusion, intervals, roc
from deepcovid_lib.figures.counts import class_counts, funnel, training
from deepcovid_lib.figures.distributions import learned, scores, thresholds
from deepcovid_lib.figures.films import augmentation, marked_areas, samples
from deepcovid_lib.figures.recipes import recipes
from deepcovid_lib.figures.saliency import evidence
from deepcovid_lib.figures.verdicts import paper_versus_run
from deepcovid_lib.style import Drawing

__all__ = [
    "Drawing",
    "augmentation",
    "class_counts",
    "confusion",
    "evidence",
    "funnel",
    "intervals",
    "learned",
    "marked_areas",
    "paper_versus_run",
    "recipes",
    "roc",
    "samples",
    "scores",
    "thresholds",
    "training",
]
