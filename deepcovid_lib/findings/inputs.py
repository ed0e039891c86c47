"""Claims about images, patients and training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepcovid_lib import leakage, style
from deepcovid_lib import manifest as manifests
from deepcovid_lib.findings.evidence import NO_CLASS, Evidence, Finding
from deepcovid_lib.sources import OTHER


def images(evidence: Evidence, *, split: str, of: str, least: float = 0, most: float = math.inf) -> Finding:
    """Test a number of images; `split` is ``train``, ``test`` or ``both``, `of` a class of `tables.dataset`.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"split": ["train"], "class": ["COVID-19"], "run": [31]})
    >>> images(Evidence({}, counts, {}, None, {}), split="train", of="COVID-19", least=31, most=31).holds
    True
    """
    rows = evidence.counts[evidence.counts["class"] == of]
    number = int(rows.loc[rows["split"].isin(["train", "test"] if split == "both" else [split]), "run"].sum())
    return Finding(least <= number <= most, number)


def categories(evidence: Evidence, *, split: str, normal: int, others: int, each: Sequence[float]) -> Finding:
    """Test how many non-COVID images a split has without a finding, which is the value, and with each other finding.

    `others` is how many other findings there are, `each` the least and the most images of one of them.

    Examples
    --------
    >>> import pandas as pd
    >>> films = pd.DataFrame({"finding": ["No Finding", "Edema", "Edema"], "split": "train", "label": "non_covid"})
    >>> found = categories(Evidence({}, None, {}, films, {}), split="train", normal=1, others=1, each=[2, 2])
    >>> found.holds, found.reason
    (True, 'other findings: 1, images of each: 2')
    """
    if evidence.manifest is None:
        return Finding(None, reason="recorded scores do not tell findings apart")
    rows = evidence.manifest[(evidence.manifest["split"] == split) & (evidence.manifest["label"] == "non_covid")]
    groups = manifests.group(rows)
    if not len(rows) or not groups.isin(["normal", "other_disease"]).all():
        return Finding(None, reason="not every image has a finding")
    if (rows["finding"] == OTHER).any():
        return Finding(None, int((groups == "normal").sum()), reason="other findings are not told apart")
    sizes = rows.loc[groups == "other_disease", "finding"].value_counts()
    if not len(sizes):
        return Finding(False, int((groups == "normal").sum()), reason="no other finding")
    holds = int((groups == "normal").sum()) == normal and len(sizes) == others
    holds = holds and each[0] <= sizes.min() and sizes.max() <= each[1]
    span = " to ".join(dict.fromkeys(f"{size:,}" for size in (sizes.min(), sizes.max())))
    told = f"other findings: {len(sizes)}, images of each: {span}"
    return Finding(bool(holds), int((groups == "normal").sum()), reason=told)


def patients_apart(evidence: Evidence) -> Finding:
    """Test that no patient has films in training and in test; the value is how many have.

    Examples
    --------
    >>> import pandas as pd
    >>> films = pd.DataFrame({"patient_id": ["a", "a"], "split": ["train", "test"]})
    >>> patients_apart(Evidence({}, None, {}, films, {}))[:2]
    (False, 1)
    """
    if evidence.manifest is None:
        return Finding(None, reason="recorded scores hold the test patients alone")
    shared, untold = len(leakage.overlap(evidence.manifest)), leakage.untold(evidence.manifest)
    if untold and not shared:
        return Finding(None, reason=f"the patients of {untold:,} films are not told, so each counts as its own")
    return Finding(shared == 0, shared)


def imbalance(evidence: Evidence, *, least: float) -> Finding:
    """Test how many non-COVID images stand against one COVID-19 image in the test set.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame({"split": ["test"] * 2, "class": ["COVID-19", "Non-COVID"], "run": [40, 3000]})
    >>> imbalance(Evidence({}, counts, {}, None, {}), least=10)[:2]
    (True, 75.0)
    """
    test = evidence.counts[evidence.counts["split"] == "test"].set_index("class")["run"]
    if not test["COVID-19"]:
        return Finding(None, reason=NO_CLASS)
    ratio = float(test["Non-COVID"] / test["COVID-19"])
    return Finding(ratio >= least, ratio)


def loss_falls(evidence: Evidence) -> Finding:
    """Test that every model's loss is lower in the last epoch than in the first; the value is the greatest ratio.

    Examples
    --------
    >>> import pandas as pd
    >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.35]})
    >>> loss_falls(Evidence({}, None, {"resnet18": history}, None, {}))[:2]
    (True, 0.5)
    """
    ratios = {}
    for model, history in evidence.histories.items():
        if len(history) < 2:
            return Finding(None, reason="the training was not recorded, or has one epoch")
        ratios[model] = float(history["loss"].iloc[-1] / history["loss"].iloc[0])
    if not ratios:
        return Finding(None, reason="none of the paper's networks")
    highest = max(ratios, key=ratios.get)
    return Finding(ratios[highest] < 1, ratios[highest], reason=style.model(highest).label)


def last_layer(evidence: Evidence) -> Finding:
    """Test that what was trained is the last layer of every model; the value is how many parameters that is.

    Examples
    --------
    >>> layer = {"weight": (2, 512), "bias": (2,)}
    >>> last_layer(Evidence({}, None, {}, None, {"resnet18": (layer, layer)}))[:2]
    (True, 1026)
    """
    if not evidence.heads:
        return Finding(None, reason="no head of the paper's networks is at hand; recorded scores hold none")
    holds = all(trained == layer for trained, layer in evidence.heads.values())
    number = sum(math.prod(shape) for trained, _ in evidence.heads.values() for shape in trained.values())
    return Finding(holds, number, reason="over all models; features are computed before training")


def untried(evidence: Evidence, *, why: str) -> Finding:
    """Say why a run cannot tell.

    Examples
    --------
    >>> untried(Evidence({}, None, {}, None, {}), why="nobody looked").reason
    'nobody looked'
    """
    return Finding(None, reason=why)
