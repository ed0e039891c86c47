"""The licences of the packages in the lock, as their own metadata tell: `python -m deepcovid_lib.licences`.

The list keeps what it knows of a package that is not installed here: another system or Python adds its share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

import pandas as pd

from deepcovid_lib import records, runs
from deepcovid_lib.files import write_csv

KINDS = {
    "permissive": """
        0BSD Apache Apache-2.0 BSD BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT MIT-0 MIT-CMU PSF-2.0 Public-domain
        ZPL-2.1 Zlib
    """.split(),
    "file-level copyleft": ["MPL-2.0", "LGPL-2.1-or-later", "LGPL-3.0-or-later"],
    "proprietary": ["LicenseRef-NVIDIA-Proprietary"],
}
SPELLINGS = {
    "2-clause bsd": "BSD-2-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
BY_HAND = {
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",  # names NVIDIA's packages; has no file and no licence of its own
    "docutils": "Public-domain AND BSD-2-Clause AND ZPL-2.1",  # COPYING.txt; its GPL file, for Emacs, is not installed
}
LOCKED = re.compile(r"^([a-z0-9-]+)==([^\s;]+)(?: *; *(.*?))? *\\$", re.MULTILINE)
PAGE = """# Under which licences?

Everything in this project is under the MIT licence. It holds no film, no patient's metadata, no pretrained weights and
no code of other people: those come from where they are published, under their own terms ({{doc}}`data-access`).

Nor does it hold the packages it uses. `make env` fetches what `requirements.lock` names for the machine at hand. For
all systems and Pythons together these are {packages} packages: {kinds}. The project does not pass them on, so its own
licence is free of theirs. The proprietary ones are NVIDIA's libraries, which torch asks for on Linux, with or without a
GPU. A built book does carry files of others: the styles, scripts and icons of its themes, in `_static`, under the
licences of those packages.

Each licence is what the package's metadata tell: an `expression`, a `field`, the `classifiers` or, where all are
silent, the heading of its licence `file`. Those of {by_hand} were read `by hand`. "BSD" and "Apache" stand alone where
no version is told. A test keeps the list true to the lock.

{table}
"""


def locked(text: str) -> pd.DataFrame:
    r"""Return the packages of a lock: ``package, version, where``, the condition under which it is installed.

    Examples
    --------
    >>> locked("six==1.17.0 \\\n    --hash=sha256:0\ncolorama==0.4.6 ; os_name == 'nt' \\\n").to_numpy().tolist()
    [['six', '1.17.0', ''], ['colorama', '0.4.6', "os_name == 'nt'"]]
    """
    return pd.DataFrame(LOCKED.findall(text), columns=["package", "version", "where"])


def licence(package: Distribution) -> tuple[str, str]:
    """Return a package's licence, an SPDX expression where its metadata allow, and what told it; empty if nothing does.

    Examples
    --------
    >>> from importlib.metadata import distribution
    >>> licence(distribution("numpy"))[1]
    'expression'
    """
    if name(package) in BY_HAND:
        return BY_HAND[name(package)], "by hand"
    return next(_told(package), ("", ""))


def kind(expression: str) -> str:
    """Return the least free kind among the parts of a licence; ``unknown`` if `KINDS` lacks one of them.

    Examples
    --------
    >>> kind("MIT AND MPL-2.0"), kind("Apache-2.0 WITH LLVM-exception"), kind("MIT OR GPL-3.0-only")
    ('file-level copyleft', 'permissive', 'unknown')
    """
    known = {part: kind for kind, parts in KINDS.items() for part in parts}
    parts = re.split(r" (?:AND|OR) ", re.sub(r"[()]| WITH LLVM-exception", "", expression))
    return max((known.get(part, "unknown") for part in parts), key=[*KINDS, "unknown"].index)


def name(package: Distribution) -> str:
    """Return a package's name as a lock spells it."""
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def listed(lock: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return a lock's packages with ``licence`` and ``told_by``: read where installed, as `known` elsewhere.

    Parameters
    ----------
    lock : DataFrame
        As `locked` gives it.
    known : DataFrame
        An earlier list; its columns are those of the result.
    """
    told = {(row.package, row.version): (row.licence, row.told_by) for row in known.itertuples()}
    told |= {(name(package), package.version): licence(package) for package in distributions()}
    rows = [(*row, *told.get((row[0], row[1]), ("", ""))) for row in lock.itertuples(index=False)]
    return pd.DataFrame(rows, columns=[*lock.columns, "licence", "told_by"])


def page(packages: pd.DataFrame) -> str:
    """Return the page of licences in Markdown, from a list as `read` gives it."""
    kinds = packages.drop_duplicates("package")["licence"].map(kind).value_counts()
    table = packages.rename(columns={"where": "installed where", "told_by": "told by"})
    return PAGE.format(
        packages=packages["package"].nunique(),
        kinds=", ".join(f"{kinds.get(kind, 0)} {kind}" for kind in KINDS),
        by_hand=" and ".join(BY_HAND),
        table=table.to_html(index=False, border=0, classes="artefact").replace(' style="text-align: right;"', ""),
    )


def read() -> pd.DataFrame:
    """Return the recorded list: ``package, version, where, licence, told_by``, all text."""
    return pd.read_csv(records.folder() / "licences.csv", dtype=str, keep_default_na=False)


def _spelt(text: str) -> str:
    return SPELLINGS.get(text.strip().lower(), text.strip())


def _told(package: Distribution) -> Iterator[tuple[str, str]]:
    """What a package says of its licence, and where, surest first; a field or heading counts only if understood."""
    if expression := package.metadata.get("License-Expression"):
        yield expression, "expression"
    if kind(field := _spelt(package.metadata.get("License") or "")) != "unknown":
        yield field, "field"
    classifiers = [line.split(" :: ") for line in package.metadata.get_all("Classifier", [])]
    if classes := [_spelt(parts[-1]) for parts in classifiers if parts[0] == "License"]:
        yield " AND ".join(classes), "classifiers"
    for file in package.files or []:
        if re.match(r"(?i)licen[cs]e|copying", file.name) and file.locate().is_file():
            heading = _spelt(file.read_text(encoding="utf-8").split("\n", 1)[0])
            if kind(heading) != "unknown":
                yield heading, "file"


if __name__ == "__main__":
    lock = (runs.root() / "requirements.lock").read_text(encoding="utf-8")
    write_csv(listed(locked(lock), read()), records.folder() / "licences.csv")
