"""Collections and where they come from; downloads that are right or absent; archives unpacked with care."""

from __future__ import annotations

import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

import pooch

from deepcovid_lib import files
from deepcovid_lib.problems import Misuse, Problem

TIMEOUT = (10, 60)  # seconds to connect, and without a byte
RETRIES = 2
LARGEST_UNPACKED = 100 * 10**9
LARGEST_RATIO = 200  # of unpacked to packed bytes; images shrink by less than 10, zeros by 1000
MOST_MEMBERS = 1_000_000
_CHUNK = 2**20


class Download(NamedTuple):
    """One file to fetch. `sha256` is None where the host packs it anew, so that its bytes may differ."""

    url: str
    sha256: str | None


class Source(NamedTuple):
    """A collection: what it is called, its pinned state, its files, its terms, and how to obtain what has no link."""

    title: str
    version: str
    downloads: dict[str, Download]
    licence: str
    by_hand: str


_COHEN = "2a99173c8330daf3bc49f02086e00259e4e1d2e0"

SOURCES = {
    "cohen": Source(
        title="covid-chestxray-dataset",
        version=_COHEN,
        downloads={
            "images.zip": Download(f"https://codeload.github.com/ieee8023/covid-chestxray-dataset/zip/{_COHEN}", None),
            "metadata.csv": Download(
                f"https://raw.githubusercontent.com/ieee8023/covid-chestxray-dataset/{_COHEN}/metadata.csv",
                "82a727d842d4db2f9c317cd585f557ac8d39773ae962891454f03bda39f98bb6",
            ),
        },
        licence="per image, in metadata.csv; the table itself CC BY-NC-SA 4.0",
        by_hand="",
    ),
    "chexpert": Source(
        title="CheXpert",
        version="CheXpert-v1.0-small",
        downloads={},
        licence="Stanford's research use agreement; may not be passed on",
        by_hand="register at https://stanfordmlgroup.github.io/competitions/chexpert/ and unpack CheXpert-v1.0-small",
    ),
    "nih": Source(
        title="NIH ChestX-ray14",
        version="Data_Entry_2017_v2020.csv",
        downloads={},
        licence="free to use with attribution to the NIH Clinical Center",
        by_hand="take the table and any of the image archives from https://nihcc.app.box.com/v/ChestXray-NIHCC",
    ),
    "released": Source(
        title="the authors' archive COVID-Xray-5k",
        version="v1 (31 and 40 COVID-19 images) or v3 (84 and 100)",
        downloads={},
        licence="not stated; it holds images of CheXpert, which may not be passed on",
        by_hand="follow the link in the README of https://github.com/shervinmin/DeepCovid and unpack the archive",
    ),
}


def fetch(url: str, target: str | Path, *, sha256: str | None = None) -> Path:
    """Download a file unless it is there already; what stands under its name is right, or absent.

    Where no hash is known beforehand, the hash of the first download is kept in ``<target>.sha256`` and holds from
    then on, for the file that is there and for every later download.

    Parameters
    ----------
    url : str
        HTTP or HTTPS address; redirects are followed. Each of three attempts waits ten seconds for a connection and
        sixty for the next byte.
    target : path-like
        Where the file goes.
    sha256 : str, optional
        What its bytes must hash to, 64 hexadecimal digits.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    Problem
        If the download fails, if its bytes are not those of the hash (nothing is left then), or if a file that is
        there has another hash (it is left untouched, for the user to judge).

    Examples
    --------
    >>> import hashlib
    >>> target = Path(tempfile.mkdtemp()) / "metadata.csv"
    >>> _ = target.write_bytes(b"view")
    >>> fetch("https://example.org/x", target, sha256=hashlib.sha256(b"view").hexdigest()).name  # it is there
    'metadata.csv'
    """
    target = Path(target)
    record = target.with_name(f"{target.name}.sha256")
    known = sha256 or (record.read_text(encoding="ascii").strip() if record.is_file() else None)
    if target.is_file():
        _refuse_change(target, known)
    else:
        _download(url, target, known)
    if known is None:
        with files.replacing(record) as temporary:
            temporary.write_text(files.sha256(target) + "\n", encoding="ascii")
    return target


def extract(archive: str | Path, folder: str | Path, *, largest: int = LARGEST_UNPACKED) -> Path:
    """Unpack a zip or tar archive into a new folder, completely or not at all.

    Only plain files and folders are unpacked, without their permissions.

    Parameters
    ----------
    archive : path-like
        Zip, or tar with or without gzip, bzip2 or xz compression; the content decides.
    folder : path-like
        The folder to make. It must not be there, or be empty.
    largest : int
        Bytes that the unpacked files may have in all; counted while writing, whatever the archive states. They may
        not be more than 200 times those of the archive either.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    Problem
        If the folder holds something, if the archive is no archive, damaged or encrypted, if it holds more than
        `largest` bytes, a link, a device, a name twice, or a name that leads out of the folder.

    Examples
    --------
    >>> place = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(place / "a.zip", "w") as packed:
    ...     packed.writestr("images/a.txt", "film")
    >>> (extract(place / "a.zip", place / "a") / "images" / "a.txt").read_text()
    'film'
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Problem("is there already", file=folder, remedy="remove it, or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with _members(archive) as members:
            _unpack(members, archive, temporary, min(largest, LARGEST_RATIO * archive.stat().st_size))
        temporary.chmod(0o755)
        temporary.replace(folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as fault:
        raise Problem(f"cannot be unpacked ({fault})", file=archive, remedy="fetch the archive again") from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def obtain(name: str, folder: str | Path) -> Path:
    """Fetch and unpack a collection into a folder, completely or not at all.

    What was downloaded is kept beside the folder, in ``<folder>-downloads``, so that a second try starts from there.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    folder : path-like
        Must not be there yet.

    Raises
    ------
    Misuse
        If no collection has that name.
    Problem
        If the folder is there, if the collection has to be obtained by hand, or as `fetch` and `extract` say. An
        archive that cannot be unpacked is not kept, so that a second try fetches it anew.
    """
    if name not in SOURCES:
        raise Misuse(f"no collection is named '{name}'", remedy=f"choose one of {', '.join(SOURCES)}")
    source, folder = SOURCES[name], Path(folder)
    if not source.downloads:
        raise Problem(f"{source.title} cannot be fetched for you", remedy=f"{source.by_hand}; place it in {folder}")
    if folder.exists():
        raise Problem("is there already", file=folder, remedy="delete it to fetch it anew")
    kept = folder.with_name(f"{folder.name}-downloads")
    fetched = {file: fetch(one.url, kept / file, sha256=one.sha256) for file, one in source.downloads.items()}
    archive, unpacked = fetched.pop("images.zip"), kept / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        inner = _only_folder(extract(archive, unpacked), archive, source.version)
    except Problem:
        archive.unlink()
        archive.with_name(f"{archive.name}.sha256").unlink(missing_ok=True)
        raise
    for file, path in fetched.items():
        shutil.copyfile(path, inner / file)
    inner.replace(folder)
    unpacked.rmdir()
    return folder


def _only_folder(unpacked: Path, archive: Path, version: str) -> Path:
    """Return the one folder that an archive held; its name ends in the version."""
    inner = list(unpacked.iterdir())
    if len(inner) != 1 or not inner[0].is_dir():
        raise Problem(f"holds {len(inner)} entries, not one folder", file=archive, remedy="fetch the archive again")
    if not inner[0].name.endswith(version):
        raise Problem(f"holds {inner[0].name}, not version {version}", file=archive, remedy="fetch the archive again")
    return inner[0]


def _refuse_change(target: Path, known: str | None) -> None:
    """Raise if a file that is there has another hash than the known one."""
    if known is not None and files.sha256(target) != known.lower():
        raise Problem(
            f"the file has changed, or is another one: its SHA-256 is not {known}",
            file=target,
            remedy="remove it and fetch it again",
        )


def _download(url: str, target: Path, known: str | None) -> None:
    """Fetch a file that is not there."""
    import requests  # as slow to import as pooch is quick, which is why pooch imports it late too

    target.parent.mkdir(parents=True, exist_ok=True)
    keeper = pooch.create(
        path=target.parent,
        base_url="",
        registry={target.name: known and f"sha256:{known}"},
        urls={target.name: url},
        retry_if_failed=RETRIES,
    )
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=sys.stderr.isatty(), chunk_size=_CHUNK)
    try:
        keeper.fetch(target.name, downloader=downloader)
    except requests.RequestException as fault:
        raise Problem(
            f"the download from {url} failed ({fault})", file=target, remedy="try again, or place the file by hand"
        ) from fault
    except ValueError as fault:
        raise Problem(
            f"{url} gave other bytes than those of SHA-256 {known}",
            file=target,
            remedy="try again; if it persists, the host has changed the file",
        ) from fault


class _Member(NamedTuple):
    """One entry of an archive; `stream` is None for a folder."""

    name: str
    stream: IO[bytes] | None


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Yield the entries of an archive one by one, its streams readable until the next."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(packed, archive)
    elif archive.is_file() and tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed:
            yield _tar_members(packed, archive)
    else:
        raise Problem("is no zip or tar archive", file=archive, remedy="fetch the archive again")


def _zip_members(packed: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for entry in packed.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(archive, f"'{entry.filename}' is a link or a device")
        if entry.is_dir():
            yield _Member(entry.filename, None)
        else:
            with packed.open(entry) as stream:
                yield _Member(entry.filename, stream)


def _tar_members(packed: tarfile.TarFile, archive: Path) -> Iterator[_Member]:
    for entry in packed:
        if not (entry.isreg() or entry.isdir()):
            raise _unsafe(archive, f"'{entry.name}' is a link or a device")
        yield _Member(entry.name, packed.extractfile(entry))
    while tail := packed.fileobj.read(_CHUNK):  # only at its end does a compressed file tell that it is damaged
        if any(tail):
            raise _unsafe(archive, "something follows the end of the archive")


def _unpack(members: Iterator[_Member], archive: Path, folder: Path, largest: int) -> None:
    left = largest
    for count, (name, stream) in enumerate(members, start=1):
        if count > MOST_MEMBERS:
            raise _unsafe(archive, f"more than {MOST_MEMBERS} entries")
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in name:
            raise _unsafe(archive, f"'{name}' leads out of the folder")
        place = folder / posix
        if stream is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            while chunk := stream.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise _unsafe(archive, f"more than {largest} bytes when unpacked")
                out.write(chunk)


def _unsafe(archive: Path, what: str) -> Problem:
    return Problem(what, file=archive, remedy="nothing was unpacked; fetch the archive from its makers")
