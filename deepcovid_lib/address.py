"""The project's one address, and every place that repeats it.

`_config.yml` is where it stands; `make repository URL=...` writes it there and into each place that cannot read it
from there. An empty address takes it out again and leaves every file as it was.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import yaml

from deepcovid_lib import runs
from deepcovid_lib.files import replacing
from deepcovid_lib.problems import Misuse, Problem

ADDRESS = re.compile(r"https://[a-z0-9.:-]+/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


class Place(NamedTuple):
    """Where the address stands in a file.

    Attributes
    ----------
    files : str
        A glob below the project's folder.
    pattern : re.Pattern
        What is there, set or not; its first group, and its third if any, stay, its second is written anew.
    text : callable
        The second group for an address that is set; it is empty for none.
    """

    files: str
    pattern: re.Pattern[str]
    text: Callable[[str], str]


def _badge(address: str) -> str:
    if urlsplit(address).hostname != "github.com":
        return f"[Repository]({address})\n"
    workflow = f"{address}/actions/workflows/test.yml"
    return f"[![tests]({workflow}/badge.svg)]({workflow})\n"


PLACES = (
    Place("_config.yml", re.compile(r'(?m)^(  url: ")([^"\n]*)(")'), str),
    Place(
        "CITATION.cff",
        re.compile(r"(?m)^(license: .*\n)((?:repository-code: .*\n)?)"),
        'repository-code: "{}"\n'.format,
    ),
    Place(
        ".zenodo.json",
        re.compile(r'(?m)^(  "related_identifiers": \[\n)((?:.*"isDerivedFrom".*\n)?)'),
        '    {{"identifier": "{}", "relation": "isDerivedFrom", "scheme": "url"}},\n'.format,
    ),
    Place(
        "pyproject.toml",
        re.compile(r"(?m)^(keywords = .*\n)((?:urls = .*\n)?)"),
        'urls = {{ Repository = "{}" }}\n'.format,
    ),
    Place("README.md", re.compile(r"(?m)^(<!-- badges -->\n)((?:.*\n)*?)(<!-- /badges -->)$"), _badge),
    Place("notebooks/*.ipynb", re.compile(r'(\bADDRESS = \\")([^"\\\n]*)(\\"  # the project\'s one address)'), str),
)


def of(root: Path) -> str:
    """Return the project's address, empty while it is unset.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "_config.yml").write_text('repository:\\n  url: "https://example.org/owner/name"\\n')
    >>> of(folder)
    'https://example.org/owner/name'
    """
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"] or ""


def home(root: Path) -> str:
    """Return where the book is published: the project's own pages, empty where they are not known.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "_config.yml").write_text('repository:\\n  url: "https://github.com/owner/name"\\n')
    >>> home(folder)
    'https://owner.github.io/name'
    """
    parts = urlsplit(of(root))
    if parts.hostname != "github.com":
        return ""
    owner, name = parts.path.strip("/").split("/")
    site = f"{owner.lower()}.github.io"
    return f"https://{site}" if name.lower() == site else f"https://{site}/{name}"


def normal(url: str) -> str:
    """Return an address in the one form it is written in, or an empty text for none.

    Raises
    ------
    Misuse
        For anything that is not ``https://host/owner/name``.

    Examples
    --------
    >>> normal("https://Example.org/owner/name.git/")
    'https://example.org/owner/name'
    >>> normal("")
    ''
    """
    url = url.strip()
    if not url:
        return ""
    remedy = "write https://host/owner/name"
    if "@" in url:  # not repeated here: it may be a password
        raise Misuse("the address holds a user name or a password", remedy=remedy)
    address = url.rstrip("/").removesuffix(".git")
    scheme, slashes, rest = address.partition("://")
    host, slash, name = rest.partition("/")
    address = f"{scheme.lower()}{slashes}{host.lower()}{slash}{name}"
    if not ADDRESS.fullmatch(address) or {".", ".."} & set(name.split("/")):
        raise Misuse(f"'{url}' is no address of a repository", remedy=remedy)
    return address


def stated(root: Path) -> dict[str, str]:
    """Return the address that each place states, by file; empty where it is unset.

    Raises
    ------
    Problem
        Naming a file that lacks its place.
    """
    known = {}
    for path, place, text in _places(root):
        found = ADDRESS.search(_found(path, place, text).group(2))
        known[path.relative_to(root).as_posix()] = found.group() if found else ""
    return known


def write(root: Path, url: str) -> list[str]:
    """Write an address into every place, or take it out of all; return the files that changed.

    Every new text is made before the first file is replaced; all else in a file stays byte for byte.

    Parameters
    ----------
    root : Path
        The project's checkout.
    url : str
        See `normal`; empty to unset.

    Raises
    ------
    Misuse
        For a `url` that is no address.
    Problem
        Naming a file that lacks its place; nothing was changed then.
    """
    address = normal(url)
    changed = {}
    for path, place, text in _places(root):
        found = _found(path, place, text)
        start, end = found.span(2)
        anew = text[:start] + (place.text(address) if address else "") + text[end:]
        if anew != text:
            changed[path] = anew
    for path, text in changed.items():
        with replacing(path) as temporary:
            temporary.write_bytes(text.encode())
    return [path.relative_to(root).as_posix() for path in changed]


def _places(root: Path) -> Iterator[tuple[Path, Place, str]]:
    for place in PLACES:
        paths = sorted(root.glob(place.files))
        if not paths:
            raise Problem("not there", file=root / place.files, remedy="work in the project's checkout")
        for path in paths:
            yield path, place, path.read_bytes().decode()


def _found(path: Path, place: Place, text: str) -> re.Match[str]:
    found = list(place.pattern.finditer(text))
    if len(found) != 1:
        raise Problem(
            f"holds {len(found)} places for the project's address instead of one",
            file=path,
            remedy="see address.PLACES for what is looked for",
        )
    return found[0]


def main(arguments: list[str] | None = None) -> int:
    """Write the address given on the command line; return 0 when done, 1 when it failed, 2 on wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m deepcovid_lib.address", description="Write the project's address wherever it must stand."
    )
    parser.add_argument("url", help="https://host/owner/name; an empty text takes the address out")
    url = parser.parse_args(arguments).url
    try:
        changed = write(runs.root(), url)
    except Problem as problem:
        sys.stderr.write(f"deepcovid: {problem}\n")
        return 2 if isinstance(problem, Misuse) else 1
    sys.stdout.write("".join(f"{name}\n" for name in changed) or "nothing to change\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
