"""What a release keeps: the public book and the run's results as zip files, and the checksums of all files beside them.

`make archive` builds the public book, the wheel and the source distribution, then calls this. Equal content gives
equal bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

from deepcovid_lib import __version__, artefacts, fits, manifest, records, runner, runs, site
from deepcovid_lib.files import replacing, sha256, write_csv, write_json
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run

SUMS = "SHA256SUMS"
THEN = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can tell


def stem(run: Run) -> str:
    """Return what the files of a run's release start with.

    Examples
    --------
    >>> stem(runs.resolve("tiny")).endswith("-tiny")
    True
    """
    return f"deep-covid-rerun-{__version__}-{run.name}"


def book(run: Run, folder: Path) -> Path:
    """Pack the run's finished public book, one folder inside, and return the zip file.

    Raises
    ------
    Problem
        Where only a local book was built, one from other notebooks, prose or code than are here, or a film is in it
        that the edition keeps out of public books.
    """
    stamp = run.folder / "book-public.txt"
    made = run.root / stamp.read_text(encoding="utf-8").split()[0] if stamp.is_file() else None
    if made is None or not (made / "index.html").is_file():
        raise Problem(
            f"run '{run.name}' has no public book",
            remedy=f"build it with: deepcovid reproduce --run {run.name} --audience public",
        )
    if stamp.read_text(encoding="utf-8").split()[1:] != [site.written(run)]:
        raise Problem(
            f"the public book of run '{run.name}' was built from other notebooks, prose or code than are here",
            remedy=f"build it again: deepcovid reproduce --run {run.name} --audience public",
        )
    for slug in _withheld(run):
        for film in sorted(made.rglob(f"{slug}*")):
            if film.stem in (slug, f"{slug}-dark") and film.suffix != ".html":
                raise Problem("shows patients' films", file=film, remedy="build the public book again")
    target = folder / f"{stem(run)}-book.zip"
    _pack(made, target)
    return target


def results(run: Run, folder: Path) -> Path:
    """Pack what the run found and return the zip file: numbers alone, no image, no place on a disk.

    It holds what was asked (`run.yaml`) and met (`facts.json`), the funnel, every table, the data of every figure,
    the quoted values, and the scores under numbered names. What a public book withholds stays out here too.
    """
    withheld = _withheld(run)
    with tempfile.TemporaryDirectory(prefix="deepcovid-archive-") as scratch:
        base = Path(scratch)
        told = yaml.safe_load((run.folder / "run.yaml").read_text(encoding="utf-8"))
        told["asked"].pop("folders", None)
        told["settings"] = {key: value for key, value in run.settings.items() if not key.startswith("folders")}
        (base / "run.yaml").write_text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), encoding="utf-8")
        write_json(runs.facts_of(run), base / "facts.json")
        for kind in ("funnel.csv", "tables/[!.]*.csv", "figures/[!.]*.csv", "values/[!.]*.json"):
            for source in run.folder.glob(kind):
                if source.stem not in withheld:
                    _copy(source, base / source.relative_to(run.folder))
        for model in run.edition.models:
            scores = run.fit(model) / "scores.csv"
            if scores.is_file():
                fits.check(scores.parent, run.manifest, told["asked"])
                write_csv(records.opaque(manifest.read_scores(scores)), base / "scores" / f"{model}.csv")
        records.seal(base)
        target = folder / f"{stem(run)}-results.zip"
        _pack(base, target)
    return target


def seal(folder: Path) -> Path:
    """Write the SHA-256 of every file of a folder into its `SHA256SUMS`, and return that file."""
    with replacing(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in _files(folder)), encoding="utf-8")
    return folder / SUMS


def verify(folder: Path) -> int:
    """Check every file of a folder against its `SHA256SUMS` and return how many there are.

    Raises
    ------
    Problem
        Naming the first file that differs, is missing, or has no checksum.
    """
    sums = folder / SUMS
    if not sums.is_file():
        raise Problem("not there", file=sums, remedy="make the archive with: make archive")
    known = {}
    for row, line in enumerate(sums.read_text(encoding="utf-8").splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or Path(name).name != name:
            raise Problem("no checksum and file name", file=sums, row=row, remedy="download the file again")
        known[name] = digest
    there = {path.name: path for path in _files(folder)}
    for name in sorted(known.keys() | there.keys()):
        if name not in there:
            raise Problem("is listed but missing", file=folder / name, remedy="download it again")
        if name not in known:
            raise Problem(f"has no checksum in {SUMS}", file=there[name], remedy="remove it")
        if sha256(there[name]) != known[name]:
            raise Problem(f"differs from its checksum in {SUMS}", file=there[name], remedy="download it again")
    return len(known)


def _withheld(run: Run) -> set[str]:
    """The slugs of the figures that a public book of this run leaves out."""
    if run.edition.publish_films:
        return set()
    return {slug for slug, record in artefacts.published(run).items() if record.get("films")}


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and path.name != SUMS and not path.name.startswith(".")
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def _pack(base: Path, target: Path) -> None:
    """Zip the files below `base` into one folder named as the zip file."""
    with replacing(target) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for path in sorted(base.rglob("*"), key=lambda path: path.relative_to(base).as_posix()):
                if path.is_symlink():
                    raise Problem("is a link, which an archive must not hold", file=path, remedy="build the book again")
                if path.is_file():
                    entry = zipfile.ZipInfo(f"{target.stem}/{path.relative_to(base).as_posix()}", THEN)
                    entry.create_system, entry.external_attr = 3, 0o644 << 16
                    packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main(arguments: list[str] | None = None) -> int:
    """Pack a run or verify a folder; return 0 when done, 1 when it failed, 2 on wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m deepcovid_lib.archive", description="Pack a run's book and results, or verify an archive."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", help="the run whose public book and results are packed, e.g. phantom")
    what.add_argument("--verify", type=Path, metavar="FOLDER", help="check every file against SHA256SUMS")
    parser.add_argument("--to", type=Path, default=Path("dist"), metavar="FOLDER", help="where to (default: dist)")
    asked = parser.parse_args(arguments)
    try:
        if asked.verify:
            sys.stdout.write(f"{verify(asked.verify)} files are as {SUMS} tells\n")
            return 0
        run = runs.reopen(asked.run)
        runner.check_all(run)
        for made in (book(run, asked.to), results(run, asked.to), seal(asked.to)):
            sys.stdout.write(f"{made}\n")
    except Problem as problem:
        sys.stderr.write(f"deepcovid: {problem}\n")
        return 2 if isinstance(problem, Misuse) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
