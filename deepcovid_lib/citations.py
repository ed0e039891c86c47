"""How to cite the paper, this book and each of its figures and tables, as BibTeX and as RIS.

`CITATION.cff` is where names, titles, version and identifiers stand; nothing here repeats them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deepcovid_lib import runs
from deepcovid_lib.files import replacing
from deepcovid_lib.problems import Problem

KEY = "deepcovid-rerun"
SUFFIX = {"bibtex": ".bib", "ris": ".ris"}
RIS_TYPES = {"article": "JOUR", "software": "COMP", "figure": "FIGURE", "table": "DATA"}
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_"}
    | {
        "\\": r"\textbackslash{}",
        "{": r"\textbraceleft{}",
        "}": r"\textbraceright{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


@dataclass(frozen=True)
class Entry:
    """One thing that can be cited. What is empty is not known and is left out.

    Attributes
    ----------
    key : str
        Its name in a bibliography.
    kind : {"article", "software", "figure", "table"}
    title : str
    authors : tuple of str
        Persons as ``"Family, Given"``; an organisation's name holds no comma.
    year : str
    host : str
        The journal it appeared in, or the book that holds it.
    volume, pages, version : str
    doi, arxiv : str
        Without their resolvers, e.g. ``"10.1016/j.media.2020.101794"`` and ``"2004.09363"``.
    url, note : str
    """

    key: str
    kind: str
    title: str
    authors: tuple[str, ...]
    year: str = ""
    host: str = ""
    volume: str = ""
    pages: str = ""
    version: str = ""
    doi: str = ""
    arxiv: str = ""
    url: str = ""
    note: str = ""


def entries(root: Path) -> dict[str, Entry]:
    """Return what every reader can cite: the ``paper`` and this ``book``.

    Parameters
    ----------
    root : Path
        The folder that holds `CITATION.cff` and `_config.yml`.

    Raises
    ------
    Problem
        Where `CITATION.cff` is not there or does not name the paper.
    """
    return {"paper": _paper(root), "book": _book(root)}


def of_artefact(
    slug: str,
    title: str,
    number: str,
    *,
    run: str,
    nature: Sequence[str] = (),
    commit: str | None,
    url: str = "",
    root: Path | None = None,
) -> Entry:
    """Return the entry of one figure or table of the book.

    Parameters
    ----------
    slug : str
        Its stable name, e.g. ``"fig-roc"``; a table's starts with ``tab-``.
    title : str
        Its caption.
    number : str
        What the paper calls it, e.g. ``"Fig. 10"``; empty for one of this book's own.
    run : str
        The run its numbers come from.
    nature : sequence of str
        What that run's films and networks are, in lines, as a published artefact's record tells it.
    commit : str or None
        The project's commit then, as `runs.commit` gives it: with a ``+`` where files were changed since. Of several,
        all, joined by ``and``.
    url : str
        Its page, where the book's own address is known.
    root : Path, optional
        The folder that holds `CITATION.cff`; `runs.root` by default.
    """
    book = _book(root or runs.root())
    kind = "table" if slug.startswith("tab-") else "figure"
    note = f"{kind.capitalize()} {slug} of run {run}" + (f" ({'; '.join(nature)})" if nature else "")
    if commit:
        named = (
            f"{each.removesuffix('+')}{', files changed since' * each.endswith('+')}" for each in commit.split(" and ")
        )
        note += f" at commit {'; '.join(named)}"
    if number:
        note += f"; after {number} of the paper"
    return Entry(
        key=f"{book.key}-{slug}",
        kind=kind,
        title=title.strip().removesuffix("."),
        authors=book.authors,
        year=book.year,
        host=book.title,
        version=book.version,
        url=url,
        note=note,
    )


def bibtex(entry: Entry) -> str:
    r"""Return an entry as BibTeX that any style can print; titles keep their capitals.

    Examples
    --------
    >>> print(bibtex(Entry("k", "figure", "A & B_1", ("The crew",), "2026", "A book", note="100%")), end="")
    @misc{k,
      author = {{The crew}},
      title = {{A \& B\_1}},
      howpublished = {In: A book},
      year = {2026},
      note = {100\%}
    }
    """
    article = entry.kind == "article"
    fields = {
        "author": " and ".join(_bibtex_name(author) for author in entry.authors),
        "title": f"{{{_latex(entry.title)}}}",
        "journal" if article else "howpublished": _latex(
            entry.host if article or not entry.host else f"In: {entry.host}"
        ),
        "volume": _latex(entry.volume),
        "pages": _latex(entry.pages),
        "year": _latex(entry.year),
        "version": _latex(entry.version),
        "doi": _plain(entry.doi),
        "eprint": _plain(entry.arxiv),
        "archiveprefix": "arXiv" if entry.arxiv else "",
        "url": _plain(entry.url),
        "note": _latex(entry.note),
    }
    lines = [f"  {name} = {{{text}}}" for name, text in fields.items() if text]
    return f"@{'article' if article else 'misc'}{{{entry.key},\n" + ",\n".join(lines) + "\n}\n"


def ris(entry: Entry) -> str:
    """Return an entry in the RIS format of reference managers: one ``TAG  - value`` a line, TY first, ER last.

    Examples
    --------
    >>> ris(Entry("k", "table", "Two\\nlines", ("Doe, Jane",), "2026")).splitlines()
    ['TY  - DATA', 'AU  - Doe, Jane', 'TI  - Two lines', 'PY  - 2026', 'ID  - k', 'ER  - ']
    """
    lines = [
        ("TY", RIS_TYPES[entry.kind]),
        *(("AU", author) for author in entry.authors),
        ("TI", entry.title),
        ("T2", entry.host),
        ("VL", entry.volume),
        ("SP", entry.pages),
        ("ET", entry.version),
        ("PY", entry.year),
        ("DO", entry.doi),
        ("UR", entry.url or (f"https://doi.org/{entry.doi}" if entry.doi else "")),
        ("N1", f"arXiv:{entry.arxiv}" if entry.arxiv else ""),
        ("N1", entry.note),
        ("ID", entry.key),
    ]
    told = [f"{tag}  - {_line(text)}\n" for tag, text in lines if text]
    return "".join(told) + "ER  - \n"


FORMS = {"bibtex": bibtex, "ris": ris}


def write(folder: Path, root: Path) -> None:
    """Write the files a reader takes away: the paper and this book, each as BibTeX and RIS, and `CITATION.cff`."""
    for name, entry in entries(root).items():
        for form, render in FORMS.items():
            with replacing(folder / f"{name}{SUFFIX[form]}") as temporary:
                temporary.write_text(render(entry), encoding="utf-8")
    with replacing(folder / "CITATION.cff") as temporary:
        shutil.copyfile(root / "CITATION.cff", temporary)


def _paper(root: Path) -> Entry:
    known = next((work for work in _read(root).get("references", []) if work["type"] == "article"), None)
    if known is None:
        raise Problem("does not name the paper", file=root / "CITATION.cff", remedy="list it under references")
    arxiv = [value["value"] for value in known.get("identifiers", []) if value["value"].startswith("arXiv:")]
    authors = _authors(known)
    return Entry(
        key=authors[0].partition(",")[0].lower() + str(known["year"]),
        kind="article",
        title=known["title"],
        authors=authors,
        year=str(known["year"]),
        host=known["journal"],
        volume=str(known["volume"]),
        pages=str(known["start"]),
        doi=known["doi"],
        arxiv=arxiv[0].removeprefix("arXiv:") if arxiv else "",
    )


def _book(root: Path) -> Entry:
    known = _read(root)
    return Entry(
        key=KEY,
        kind="software",
        title=known["title"],
        authors=_authors(known),
        year=_year(known, root),
        version=str(known["version"]),
        doi=known.get("doi", ""),
        url=known.get("repository-code", ""),
    )


def _read(root: Path) -> dict[str, Any]:
    path = root / "CITATION.cff"
    if not path.is_file():
        raise Problem("not there", file=path, remedy="work in the project's checkout")
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


def _year(known: dict[str, Any], root: Path) -> str:
    """The year of the release, or of the book's copyright while there is none."""
    if "date-released" in known:
        return str(known["date-released"])[:4]
    return str(_parsed((root / "_config.yml").read_text(encoding="utf-8"))["copyright"])


def _authors(known: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        author["name"].replace(",", "") if "name" in author else f"{author['family-names']}, {author['given-names']}"
        for author in known["authors"]
    )


def _bibtex_name(author: str) -> str:
    return _latex(author) if "," in author else f"{{{_latex(author)}}}"


def _latex(text: str) -> str:
    return _line(text).translate(LATEX)


def _plain(text: str) -> str:
    """A DOI or address, which styles print as it stands; a brace or space in it would end the field."""
    return re.sub(r"[{}\s\\]", lambda found: f"%{ord(found.group()):02X}", text.strip())


def _line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
