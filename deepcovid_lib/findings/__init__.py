"""What a run shows about the paper's sentences: one function for each kind of claim.

Every function takes the `Evidence` of a run and gives a `Finding`. An image is called positive, COVID-19, when
``score >= threshold``; specificities stand where a model reaches 97.5% sensitivity. Intervals are at 95%. What is too
little to tell, or undefined, is neither true nor false but None, with the reason.
"""

from deepcovid_lib.findings.evidence import Evidence, Finding
from deepcovid_lib.findings.inputs import categories, images, imbalance, last_layer, loss_falls, patients_apart, untried
from deepcovid_lib.findings.ranks import farthest_apart, largest_area, ranked, similar_areas
from deepcovid_lib.findings.rates import (
    accuracy_misleads,
    better_specificity,
    margin,
    rates_vary,
    reaches,
    sensitivity_vague,
    sensitivity_wider,
    specificities,
)

__all__ = [
    "Evidence",
    "Finding",
    "accuracy_misleads",
    "better_specificity",
    "categories",
    "farthest_apart",
    "images",
    "imbalance",
    "largest_area",
    "last_layer",
    "loss_falls",
    "margin",
    "patients_apart",
    "ranked",
    "rates_vary",
    "reaches",
    "sensitivity_vague",
    "sensitivity_wider",
    "similar_areas",
    "specificities",
    "untried",
]
