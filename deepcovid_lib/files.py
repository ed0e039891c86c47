"""Files that are complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcovid_lib.problems import Problem

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends well, remove it otherwise.

    The temporary name keeps the suffix of `path`, starts with a dot and is unique to this process, so that a
    reader never sees half a file and two writers never share one.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("complete")
    >>> target.read_text()
    'complete'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV (no index, full precision, one newline style), complete or not at all."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format=None)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Return a table that `write_csv` wrote; only an empty cell is missing, so that the word ``null`` stays a word.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_csv(pd.DataFrame({"kind": ["null", "NA", None], "area": [0.5, 1.0, None]}), path)
    >>> read_csv(path).values.tolist()
    [['null', 0.5], ['NA', 1.0], [nan, nan]]
    """
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def write_json(content: object, path: str | Path) -> None:
    """Write JSON with sorted keys, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unchanged(path: str | Path, digest: str) -> str | Path:
    """Return the path of a file, refusing one whose bytes have no longer the SHA-256 that the manifest gives it.

    Examples
    --------
    >>> unchanged(__file__, sha256(__file__)) == __file__
    True
    """
    if Path(path).is_file() and sha256(path) != digest:
        raise Problem("has changed since the manifest was written", file=path, remedy="restore it, or curate again")
    return path


def fingerprint(*sources: str | Path) -> str:
    """Return 12 hexadecimal digits of a SHA-256 over source files, so that no two versions of code share a cache.

    Examples
    --------
    >>> len(fingerprint(__file__))
    12
    """
    return hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()[:12]
