"""Every figure of the companion as a function: data in, `Drawing` (figure, data behind it, alt text) out.

The functions draw in the active theme (`style.theme`) and leave no state behind.
"""

from deepcovid_lib.figures.audit import predictive_values, roc_bounds
from deepcovid_lib.figures.calibration import area_differences, net_benefit, precision_recall, reliability_curves
from deepcovid_lib.figures.cards import by_group
from deepcovid_lib.figures.comparison import confusion, intervals, roc
from deepcovid_lib.figures.counts import class_counts, funnel, training
from deepcovid_lib.figures.distributions import learned, scores, thresholds
from deepcovid_lib.figures.films import augmentation, marked_areas, samples
from deepcovid_lib.figures.recipes import recipes
from deepcovid_lib.figures.saliency import evidence
from deepcovid_lib.figures.shortcuts import ladder, power
from deepcovid_lib.figures.speeds import engines, stages
from deepcovid_lib.figures.uncertainty import halves, promises, repeats
from deepcovid_lib.figures.verdicts import paper_versus_run
from deepcovid_lib.style import Drawing

__all__ = [
    "Drawing",
    "area_differences",
    "augmentation",
    "by_group",
    "class_counts",
    "confusion",
    "engines",
    "evidence",
    "funnel",
    "halves",
    "intervals",
    "ladder",
    "learned",
    "marked_areas",
    "net_benefit",
    "paper_versus_run",
    "power",
    "precision_recall",
    "predictive_values",
    "promises",
    "recipes",
    "reliability_curves",
    "repeats",
    "roc",
    "roc_bounds",
    "samples",
    "scores",
    "stages",
    "thresholds",
    "training",
]
