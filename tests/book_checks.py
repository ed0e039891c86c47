"""Checks of a built book: `pytest tests/book_checks.py --book _build/html --run phantom`."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from deepcovid_lib import editions, paper

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """What a page loads, links to and holds."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.ids, self.images = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if "id" in known:
            self.ids.add(known["id"])
        if tag in ("script", "img", "iframe", "source", "audio", "video") and known.get("src"):
            self.loads.append(known["src"])
        if (
            tag == "link"
            and known.get("href")
            and known.get("rel") not in ("canonical", "search", "next", "prev", "index")
        ):
            self.loads.append(known["href"])
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        if tag == "img":
            self.images.append(known)


@pytest.fixture(scope="module")
def pages(book):
    found = {path: Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    assert len(found) > 15
    return found


def test_no_page_loads_anything_from_elsewhere(pages):
    for path, page in pages.items():
        outside = [url for url in page.loads if urlsplit(url).netloc]
        assert not outside, f"{path.name} loads {outside[0]}"


def test_every_image_and_link_inside_the_book_is_there(pages, book):
    for path, page in pages.items():
        for url in [*page.loads, *page.links]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.relative_to(book)}: {url}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path.relative_to(book)}: {url}"


def test_every_image_has_an_alternative_text(pages):
    for path, page in pages.items():
        for image in page.images:
            assert image.get("alt"), f"{path.name}: {image.get('src')}"


def test_every_figure_and_table_of_the_paper_is_in_the_book(pages, results):
    models = editions.resolve(json_edition(results)).models
    everything = set().union(*(page.ids for page in pages.values()))
    for row in paper.artefacts().itertuples():
        absent_model = any(row.slug.endswith(f"-{model}") for model in ("resnet50", "densenet121")) and not any(
            row.slug.endswith(f"-{model}") for model in models
        )
        if row.kind == "equation" or (absent_model and not row.slug.startswith("fig-architecture")):
            continue
        assert row.slug in everything, row.slug


def test_no_error_output_reached_a_page(book):
    for path in set(book.rglob("*.html")) - set((book / "_modules").rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert "Traceback (most recent call last)" not in re.sub(r'(?s)<div class="highlight.*?</div>', "", text), (
            path.name
        )


def test_every_page_names_its_run(pages, results):
    for path in pages:
        if path.name in ("genindex.html", "search.html", "py-modindex.html") or {"at", "_modules"} & set(path.parts):
            continue
        assert f"<strong>{results.name}</strong>" in path.read_text(encoding="utf-8"), path.name


def test_mathematics_is_in_the_page(book):
    assert "<math" in (book / "notebooks" / "reliability.html").read_text(encoding="utf-8")


def test_the_numbers_on_the_page_are_the_runs(book, results):
    table = json.loads((results / "tables" / "tab-reliability.json").read_text(encoding="utf-8"))
    text = (book / "notebooks" / "reliability.html").read_text(encoding="utf-8")
    for cell in table["cells"][0][2:]:
        assert cell in text


def json_edition(results):
    text = (results / "run.yaml").read_text(encoding="utf-8")
    return re.search(r"^edition: (\S+)", text, re.MULTILINE)[1]
