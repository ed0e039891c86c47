"""Every figure of the companion as a function: data in, `Drawing` (figure, data behind it, alt text) out.

The functions draw in the active theme (`style.theme`) and leave no state behind.
"""

from deepcovid_lib.figures.charts import confusion, funnel, intervals, learned, roc, scores, thresholds, training
from deepcovid_lib.figures.films import augmentation, marked_areas, samples
from deepcovid_lib.style import Drawing

__all__ = [
    "Drawing",
    "augmentation",
    "confusion",
    "funnel",
    "intervals",
    "learned",
    "marked_areas",
    "roc",
    "samples",
    "scores",
    "thresholds",
    "training",
]
