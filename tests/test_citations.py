"""Citations: what a reader pastes into a bibliography says what CITATION.cff says."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file, parse_string
from pybtex.richtext import Text

from deepcovid_lib import __version__, citations
from deepcovid_lib.problems import Problem

ROOT = Path(__file__).parent.parent
CFF = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
ZENODO = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
RIS_LINE = re.compile(r"^[A-Z][A-Z0-9]  - \S.*$")
HOSTILE = r"""50% of "A&B_1" #2 cost $3 {one} }two{ ~x ^y C:\new @misc{k, é – ≥ <script>"""


def of_roc(title="ROC curves.", number="Fig. 10", *, run="phantom", commit="0a984183ac31", **known):
    return citations.of_artefact("fig-roc", title, number, run=run, commit=commit, root=ROOT, **known)


def parsed(entry):
    return parse_string(citations.bibtex(entry), "bibtex").entries[entry.key]


def printed(field):
    """What a style prints of a field: braces and commands resolved, once the names for braces are."""
    for command, character in {"braceleft": "⟨", "braceright": "⟩", "asciicircum": "ˆ"}.items():
        field = field.replace(f"\\text{command}{{}}", character)
    field = field.replace(r"\$", "$")  # which pybtex leaves as it is
    return str(Text.from_latex(field)).translate(str.maketrans("⟨⟩ˆ", "{}^")).replace("\xa0", "~")


def tags(entry):
    lines = citations.ris(entry).splitlines()
    assert lines[0].startswith("TY  - ")
    assert lines[-1] == "ER  - "
    assert all(RIS_LINE.match(line) for line in lines[:-1]), lines
    return [tuple(line.split("  - ", 1)) for line in lines]


def test_the_paper_is_the_one_of_the_bibliography():
    paper = citations.entries(ROOT)["paper"]
    known = parse_file(str(ROOT / "book" / "references.bib"), "bibtex").entries[paper.key]
    made = parsed(paper)
    assert made.type == known.type == "article"
    assert [str(person) for person in made.persons["author"]] == [str(person) for person in known.persons["author"]]
    for field in ("journal", "volume", "pages", "year"):
        assert made.fields[field] == known.fields[field]
    assert printed(made.fields["title"]) == printed(known.fields["title"])


def test_the_papers_identifiers_are_in_both_formats():
    paper = citations.entries(ROOT)["paper"]
    made = parsed(paper)
    assert (made.fields["doi"], made.fields["eprint"]) == ("10.1016/j.media.2020.101794", "2004.09363")
    assert ("DO", "10.1016/j.media.2020.101794") in tags(paper)
    assert ("N1", "arXiv:2004.09363") in tags(paper)
    assert [tag for tag, _ in tags(paper)].count("AU") == 5


def test_the_book_is_by_one_organisation_of_many_words():
    book = parsed(citations.entries(ROOT)["book"])
    assert [str(person) for person in book.persons["author"]] == ["{The Deep-COVID companion contributors}"]
    assert book.fields["version"] == __version__
    assert "doi" not in book.fields


def test_a_figure_names_its_run_its_commit_and_the_papers_number():
    made = parsed(of_roc())
    assert made.key == "deepcovid-rerun-fig-roc"
    assert printed(made.fields["title"]) == "ROC curves"
    assert made.fields["note"] == "Figure fig-roc of run phantom at commit 0a984183ac31; after Fig. 10 of the paper"
    assert "url" not in made.fields
    assert ("TY", "FIGURE") in tags(of_roc())


def test_a_table_without_number_or_commit_says_less():
    entry = citations.of_artefact("tab-auc", "Areas", "", run="tiny", commit=None, root=ROOT)
    assert parsed(entry).fields["note"] == "Table tab-auc of run tiny"
    assert ("TY", "DATA") in tags(entry)


def test_changed_files_are_told():
    assert "0a984183ac31, files changed since" in parsed(of_roc(commit="0a984183ac31+")).fields["note"]


def test_a_known_page_is_the_address():
    page = "https://example.org/book/at/fig-roc.html?x=1%202_3"
    entry = of_roc(url=page)
    assert parsed(entry).fields["url"] == page
    assert ("UR", page) in tags(entry)


@pytest.mark.parametrize(
    "title", [HOSTILE, "}", "{", "\\", "a\nb\r\n\tER  - \nTY  - JOUR", '"', "@article{x,", "a, b = c"]
)
def test_any_caption_survives_both_formats(title):
    entry = of_roc(title, run="a_b%", url="https://example.org/{a} b")
    one_line = " ".join(title.split())
    database = parse_string(citations.bibtex(entry), "bibtex")
    assert list(database.entries) == [entry.key]
    made = database.entries[entry.key]
    assert printed(made.fields["title"]) == one_line
    assert "run a\\_b\\%" in made.fields["note"]
    assert made.fields["url"] == "https://example.org/%7Ba%7D%20b"
    known = tags(entry)
    assert dict(known)["TI"] == one_line
    assert [tag for tag, _ in known].count("TY") == [tag for tag, _ in known].count("ER") == 1


def test_titles_keep_their_capitals():
    field = parsed(of_roc("SqueezeNet in COVID-19")).fields["title"]
    assert field == "{SqueezeNet in COVID-19}"


def test_the_files_for_readers(tmp_path):
    citations.write(tmp_path / "cite", ROOT)
    made = {path.name: path.read_bytes() for path in (tmp_path / "cite").iterdir()}
    assert set(made) == {"paper.bib", "paper.ris", "book.bib", "book.ris", "CITATION.cff"}
    assert made["CITATION.cff"] == (ROOT / "CITATION.cff").read_bytes()
    for name, entry in citations.entries(ROOT).items():
        assert made[f"{name}.bib"].decode() == citations.bibtex(entry)
        assert made[f"{name}.ris"].decode() == citations.ris(entry)


def test_the_page_links_every_file_there_is(tmp_path):
    citations.write(tmp_path, ROOT)
    page = (ROOT / "book" / "cite.md").read_text(encoding="utf-8")
    assert set(re.findall(r'href="\.\./files/cite/([^"]+)"', page)) == {path.name for path in tmp_path.iterdir()}
    asked = re.findall(r"^```\{citation\} (\w+) (\w+)$", page, re.MULTILINE)
    assert {what for what, _ in asked} == set(citations.entries(ROOT))
    assert {form for _, form in asked} <= set(citations.FORMS)


def test_a_release_date_is_the_year(tmp_path):
    shutil.copy(ROOT / "_config.yml", tmp_path)
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (tmp_path / "CITATION.cff").write_text(text + "date-released: 2031-02-03\n", encoding="utf-8")
    assert citations.entries(tmp_path)["book"].year == "2031"


def test_without_the_file_one_line_says_so(tmp_path):
    with pytest.raises(Problem, match="CITATION.cff: not there"):
        citations.entries(tmp_path)


def test_the_citation_file_has_what_its_format_asks_for():
    assert CFF["cff-version"] == "1.2.0"
    for key in ("message", "title", "abstract", "version", "license"):
        assert isinstance(CFF[key], str), key
    assert CFF["type"] == "software"
    assert CFF["authors"] == [{"name": "The Deep-COVID companion contributors"}]
    assert len(CFF["keywords"]) == len(set(CFF["keywords"])) > 2
    assert "doi" not in CFF
    assert "preferred-citation" not in CFF
    (paper,) = CFF["references"]
    assert re.fullmatch(r"10\.\d{4,9}/\S+", paper["doi"])
    assert isinstance(paper["start"], str)
    assert isinstance(paper["year"], int)
    assert {identifier["type"] for identifier in paper["identifiers"]} <= {"doi", "url", "swh", "other"}
    assert all(set(person) == {"family-names", "given-names"} for person in paper["authors"])


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert CFF["version"] == project["version"] == __version__ == ZENODO["version"]


def test_the_archive_metadata_say_the_same():
    for key in ("title", "keywords", "license"):
        assert ZENODO[key] == CFF[key], key
    assert ZENODO["creators"] == CFF["authors"]
    assert " ".join(ZENODO["description"].split()) == " ".join(CFF["abstract"].split())
    assert ZENODO["upload_type"] == CFF["type"]
    (paper,) = CFF["references"]
    cited = {known["identifier"] for known in ZENODO["related_identifiers"] if known["relation"] == "cites"}
    assert cited == {paper["doi"], *(identifier["value"] for identifier in paper["identifiers"])}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["authors"] == CFF["authors"]
    assert project["keywords"] == CFF["keywords"]


def test_what_a_run_was_made_of_is_cited_with_it():
    note = parsed(of_roc(nature=["synthetic radiographs, untrained networks", "recorded: real films"])).fields["note"]
    assert "of run phantom (synthetic radiographs, untrained networks; recorded: real films) at commit" in note
    assert "()" not in parsed(of_roc(nature=[])).fields["note"]
