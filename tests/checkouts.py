"""For tests: copies of the checkout, and the tiny run that the tests make once and the slow faults take up."""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from deepcovid_lib import runs

ROOT = Path(__file__).parent.parent
HELD = (
    "Snakefile profiles _config.yml _toc.yml index.md CITATION.cff CHANGELOG.md book notebooks editions recorded "
    "deepcovid_lib tests"
).split()
KEPT = ROOT / ".pytest_cache" / "tiny"


def copied(folder):
    """Copy what a run needs of the checkout into a folder; return it."""
    for name in HELD:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def reproduce(folder, verb="reproduce", *arguments):
    """Run the tiny edition in a copied checkout; return how the command ended."""
    environment = {**os.environ, "DEEPCOVID_ROOT": str(folder), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "deepcovid_lib.cli", verb, "--edition", "tiny", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=1800)


def keep(folder):
    """Keep a copied checkout and its run, under what it was made from, in place of any kept before."""
    making = KEPT.with_name(f"{KEPT.name}-{os.getpid()}")
    shutil.copytree(folder, making, symlinks=True)
    shutil.rmtree(KEPT, ignore_errors=True)
    (making / made_from(folder)).touch()
    making.rename(KEPT)


def kept():
    """Return the kept checkout, or None unless it was made whole from the code, packages, cores and device of now."""
    return KEPT if (KEPT / made_from(ROOT)).is_file() and (KEPT / "_build/html/index.html").is_file() else None


def made_from(folder):
    """Return a digest of what a run in a checkout hangs on."""
    asked = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "DEEPCOVID_DEVICE")]
    digest = hashlib.sha256(f"{sys.version} {asked} {runs.cores()}".encode())
    for package in sorted(f"{each.name} {each.version}" for each in metadata.distributions()):
        digest.update(package.encode())
    for name in HELD:
        for path in [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(folder)} {path.stat().st_size}".encode() + path.read_bytes())
    return f".made-from-{digest.hexdigest()[:16]}"
