"""Intervals of the area under the curve: 2,000 replicates by patient, and DeLong's at 100,000 scores."""

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import measures
from benchmarks.report import Outcome, Target
from deepcovid_lib import metrics


def measure(images: int = 3040, replicates: int = 2000, many: int = 100_000) -> Outcome:
    """Compute both on random scores; scikit-learn's area in a loop is timed on a twentieth of the replicates."""
    rng = np.random.default_rng(0)
    y_true = np.arange(images) < max(10, images // 76)
    y_score = rng.normal(y_true * 1.5)
    patients = np.arange(images) // 2
    few = max(1, replicates // 20)

    def bootstrap():
        metrics.auc_interval(y_true, y_score, method="bootstrap", groups=patients, replicates=replicates, seed=0)

    def loop():
        for _ in range(few):
            rows = rng.integers(images, size=images)
            rows[:2] = 0, images - 1
            roc_auc_score(y_true[rows], y_score[rows])

    large = rng.random(many) < 0.1
    scores = rng.normal(large * 1.0)
    ours, theirs, delong = measures.side_by_side(
        bootstrap, loop, lambda: metrics.auc_interval(large, scores, method="delong"), turns=5
    )
    theirs *= replicates / few
    how = f"{replicates} replicates of {images} scores; roc_auc_score in a loop {theirs:.1f} s, scaled from {few}"
    return Outcome(
        [
            Target("bootstrap by patient", ours, "most", 1, "s", how),
            Target("DeLong's interval", delong, "most", 0.1, "s", f"{many} scores"),
        ],
        [],
        "random scores",
    )
