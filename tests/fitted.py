"""For tests: a head's file as a fit leaves it, without any weights that matter."""

import json

import numpy as np
import yaml
from safetensors.numpy import save_file

from deepcovid_lib import fits
from deepcovid_lib.files import sha256


def write_head(folder, manifest, **told):
    """Write a head that says it gave the scores and the history in `folder`, trained on `manifest`."""
    if not (folder / "history.csv").is_file():
        (folder / "history.csv").write_text("epoch,loss,accuracy\n")
    given = {kind: sha256(folder / f"{kind}.csv") for kind in fits.GIVEN}
    trained_on = sha256(manifest) if manifest.is_file() else ""
    asked = yaml.safe_load((folder.parents[3] / "run.yaml").read_text(encoding="utf-8"))["asked"]
    told = fits.meant(asked, folder.parents[1].name) | told
    save_file(
        {"weight": np.zeros(1)},
        folder / "head.safetensors",
        {"head": json.dumps({"manifest": trained_on, **told, **given})},
    )
