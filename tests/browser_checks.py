"""Checks of a built book in a browser: `pytest tests/browser_checks.py --book _build/html --run phantom`.

Every page is opened once in each theme, from its file, and what the browser saw is kept; the checks read from that.
"""

import importlib.util
import math
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("playwright", reason="the browser checks need the extra `test`")
from axe_playwright_python.base import AXE_SCRIPT  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from deepcovid_lib import manifest, metrics, records, runs  # noqa: E402

_spec = importlib.util.spec_from_file_location("screenshots", Path(__file__).with_name("screenshots.py"))
screenshots = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(screenshots)

ROOT = Path(__file__).parent.parent
THEMES = ("light", "dark")
MODULES = "_modules/deepcovid_lib"
THIN = """() => {
  const grounds = new Map([[null, '']]);
  const ground = element => {
    if (!grounds.has(element)) {
      const style = getComputedStyle(element);
      const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter].join();
      grounds.set(element, ground(element.parentElement) + (own === 'rgba(0, 0, 0, 0),none,1,none' ? '' : `/${own}`));
    }
    return grounds.get(element);
  };
  const known = new Set();
  const alike = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
    const text = own.map(node => node.data).join('').trim();
    if (text.length === 1 && element.matches('.highlight span')) alike.push(element);
    const box = element.getBoundingClientRect();
    const shown = element.checkVisibility({visibilityProperty: true, opacityProperty: true});
    const measured = shown && !element.closest(':disabled') && box.width > 1 && box.right > 0 && box.bottom > 0;
    if (text.length < 2 || !measured) continue;
    const style = getComputedStyle(element);
    const look = [style.color, style.fontSize, style.fontWeight, style.textShadow, ground(element)].join();
    if (known.has(look)) alike.push(element);
    known.add(look);
  }
  for (const element of alike) {
    if (element.matches('.highlight span')) element.replaceWith(...element.childNodes);
    else element.dataset.alike = '';
  }
  document.body.normalize();
}"""
BARRIERS = """() => {
  axe.configure({rules: [{id: 'color-contrast', selector: ':not([data-alike])'}]});
  return axe.run(document, {resultTypes: ['violations'], preload: false});
}"""
TOOLS = '.artefact-tools[data-slug="fig-roc"]'
SIZE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}

FACTS = """() => {
  const seen = element => element.getClientRects().length > 0
    && element.checkVisibility({visibilityProperty: true, opacityProperty: true});
  const all = selector => [...document.querySelectorAll(selector)];
  return {
    lang: document.documentElement.lang,
    title: document.title,
    theme: document.documentElement.dataset.theme,
    headings: all('h1').filter(seen).map(h => h.innerText),
    broken: all('img').filter(seen).filter(i => !i.complete || !i.naturalWidth).map(i => i.getAttribute('src')),
    pictures: all('.artefact').filter(a => a.querySelector('img'))
      .map(a => [...a.querySelectorAll('img')].filter(seen)
        .map(i => ({source: i.getAttribute('src'), alt: i.alt, variant: i.className}))),
    flat: all('math').filter(m => m.checkVisibility()).filter(m => {
      const box = m.getBoundingClientRect(); return box.width < 1 || box.height < 1;
    }).map(m => m.textContent),
    formulas: all('math').length,
    search: all('.search-button, .search-button__button, input[type=search]').filter(seen).length,
    links: all('a[href]').filter(seen).map(a => a.href),
    tools: all('.artefact-tools[data-slug]').map(tools => ({
      slug: tools.dataset.slug,
      links: [...tools.querySelectorAll('a[href]')].filter(seen)
        .map(a => ({href: a.href, kind: a.className})),
      buttons: [...tools.querySelectorAll('button')].filter(seen).map(b => b.dataset.copy),
    })),
    ids: all('[id]').filter(seen).map(e => e.id),
  };
}"""
WIDEST = """() => {
  const room = document.documentElement.clientWidth;
  const aside = style => style.overflowX !== 'visible' || style.position === 'fixed';
  const held = e => e !== document.body && (aside(getComputedStyle(e)) || held(e.parentElement));
  const right = e => e.getBoundingClientRect().left + Math.max(e.getBoundingClientRect().width, e.scrollWidth);
  const wide = [...document.body.querySelectorAll('*')].filter(e => right(e) > room + 1 && !held(e))
    .reduce((widest, e) => (widest && right(widest) > right(e) ? widest : e), null);
  const name = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + [...e.classList].map(c => '.' + c).join('');
  const left = box => box.firstElementChild.getBoundingClientRect().left - box.getBoundingClientRect().left;
  return {
    width: document.documentElement.scrollWidth,
    widest: wide ? name(wide) : '',
    lost: [...document.querySelectorAll('div.math')].filter(box => left(box) + box.scrollLeft < -1)
      .map(box => box.textContent),
  };
}"""

BELOW = """id => {
  const place = document.getElementById(id);
  let next = place && (place.closest('p') || place);
  while (next && !next.matches('.cell')) next = next.nextElementSibling;
  return (next || place.closest('section')).innerText;
}"""


class Visit(NamedTuple):
    """What the browser saw of a page in a theme."""

    name: str
    theme: str
    outside: list[str]
    complaints: list[str]
    facts: dict[str, Any]
    phone: dict[str, Any]
    violations: list[str]


@pytest.fixture(scope="module")
def browser():
    if not screenshots.CHROMIUM:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        started = screenshots.launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="module")
def visits(book):
    """Every page of the book in every theme, those of source code in one of them by turns; a browser for each theme."""
    if not screenshots.CHROMIUM:
        pytest.skip("no chromium on this machine")
    pages = screenshots.pages(book)
    code = [name for name in pages if name.startswith(MODULES)]
    turns = {name: THEMES[number % len(THEMES)] for number, name in enumerate(code)}

    def of_theme(theme):
        return visited({name: path for name, path in pages.items() if turns.get(name, theme) == theme}, theme, book)

    with ThreadPoolExecutor(len(THEMES)) as pool:
        made = [visit for of_one in pool.map(of_theme, THEMES) for visit in of_one]
    assert len(made) > 30
    return made


def visited(pages, theme, book):
    """Open each page, look, and shrink it to a phone."""
    made = []
    with sync_playwright() as playwright, screenshots.launch(playwright) as browser:
        context = browser.new_context(color_scheme=theme, viewport=SIZE, reduced_motion="reduce")
        page = context.new_page()
        outside, complaints = watch(page, book.as_uri())
        for name, path in pages.items():
            outside.clear()
            complaints.clear()
            page.goto(path.as_uri())
            page.evaluate(screenshots.SETTLED)
            facts = page.evaluate(FACTS)
            page.set_viewport_size(PHONE)
            phone = page.evaluate(WIDEST)
            page.set_viewport_size(SIZE)
            found = list(violations(page))
            made.append(Visit(name, theme, list(outside), list(complaints), facts, phone, found))
        context.close()
    return made


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport=SIZE, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(book):
    """The book's address on this machine: from a file, browsers open a download instead of saving it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(book))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def watch(page, home):
    """Return two lists that fill as the page asks for something outside its book, and as it complains."""
    outside, complaints = [], []
    page.on(
        "request",
        lambda request: None if request.url.startswith((home, "data:", "blob:")) else outside.append(request.url),
    )
    page.on(
        "console",
        lambda message: (
            complaints.append(f"{message.type}: {message.text} {message.location['url']}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    return outside, complaints


def violations(page):
    """Tell the page's serious barriers; the contrast of texts of one look on one ground is measured at the first."""
    page.evaluate(AXE_SCRIPT)
    page.evaluate(THIN)
    for rule in page.evaluate(BARRIERS)["violations"]:
        if rule["impact"] in ("serious", "critical"):
            first, *others = (" ".join(map(str, node["target"])) for node in rule["nodes"])
            yield f"{rule['id']} ({rule['impact']}) at {first}" + (f" and {len(others)} more" if others else "")


def gather(visits, complain):
    """Return one line for each thing that `complain` yields of a visit."""
    return [f"{visit.name} ({visit.theme}): {text}" for visit in visits for text in complain(visit)]


def none(failures):
    assert not failures, "\n".join(["", *failures])


def test_no_page_asks_for_anything_outside_the_book(visits):
    none(gather(visits, lambda visit: visit.outside))


def test_no_page_complains(visits):
    none(gather(visits, lambda visit: visit.complaints))


def test_no_picture_is_broken(visits):
    none(gather(visits, lambda visit: visit.facts["broken"]))


def test_each_theme_shows_its_own_variant_of_every_figure(visits):
    for visit in visits:
        assert visit.facts["theme"] == visit.theme
    none(
        gather(
            visits,
            lambda visit: [
                f"shows {shown}"
                for shown in visit.facts["pictures"]
                if [picture["variant"] for picture in shown] != [f"only-{visit.theme}"]
            ],
        )
    )
    assert any(visit.facts["pictures"] for visit in visits)


def test_no_serious_barrier(visits):
    none(gather(visits, lambda visit: visit.violations))


@pytest.mark.parametrize("faint", ["color: #aaa", "background: #666", "opacity: 0.3"])
def test_a_faint_text_is_found_among_others_of_its_colour(page, faint):
    hidden = "".join(f'<p {how}{faint}">as faint</p>' for how in ('hidden style="', 'style="visibility: hidden; '))
    hidden += f'<p style="position: absolute; left: -999px; {faint}">as faint</p><p style="{faint}">¶</p>'
    code = f'<div class="highlight"><pre><span class="n">plain</span> <span style="{faint}">faint</span></pre></div>'
    for shown in (f'<p>plain</p><p id="here" style="{faint}">faint</p>', code):
        page.set_content(f'<html lang="en"><title>T</title><main><h1>T</h1>{hidden}<p>plain</p>{shown}</main></html>')
        (found,) = violations(page)
        assert found.startswith("color-contrast (serious)"), found
        assert "more" not in found


def test_no_page_scrolls_sideways_on_a_phone(visits):
    none(
        gather(
            visits,
            lambda visit: (
                [f"{visit.phone['width']} px wide by {visit.phone['widest']}"]
                if visit.phone["width"] > PHONE["width"]
                else []
            ),
        )
    )


def test_every_page_has_a_language_a_title_and_one_heading(visits):
    none(
        gather(
            visits,
            lambda visit: [
                *([] if visit.facts["lang"] else ["no language"]),
                *([] if visit.facts["title"].strip() else ["no title"]),
                *([] if len(visit.facts["headings"]) == 1 else [f"headings of first level: {visit.facts['headings']}"]),
            ],
        )
    )


def test_mathematics_has_a_size_and_can_be_scrolled_to_its_beginning(visits):
    none(gather(visits, lambda visit: visit.facts["flat"] + visit.phone["lost"]))
    assert any(visit.facts["formulas"] for visit in visits)


def test_every_figure_says_what_it_shows(visits, book):
    """An alternative text names a number or an entry of the figure's own data."""
    none(
        gather(
            visits,
            lambda visit: [
                f"{picture['source']}: '{picture['alt']}'"
                for shown in visit.facts["pictures"]
                for picture in shown
                if not telling(picture["alt"], book / "files" / Path(picture["source"]).name)
            ],
        )
    )


def telling(alt, picture):
    slug = picture.stem.removesuffix("-dark")
    data = picture.with_name(f"{slug}.csv")
    text = data.read_text(encoding="utf-8").lower() if data.is_file() else ""
    entries = {entry for entry in re.split(r'[,\n"]+', text) if len(entry) > 3 and entry[0].isalpha()}
    informed = re.search(r"\d", alt) or any(entry in alt.lower() for entry in entries)
    return len(alt) > 20 and slug not in alt and bool(informed)


def searched(page, home):
    """The titles that the search box of the home page finds for "sensitivity", and what was asked for elsewhere."""
    outside, complaints = watch(page, home)
    page.goto(f"{home}/index.html")
    page.locator(".search-button__button:visible").first.click()
    page.keyboard.type("sensitivity")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=sensitivity*")
    page.wait_for_selector("#search-results > ul.search > li")
    page.wait_for_load_state("networkidle")
    return page.locator("#search-results > ul.search > li > a").all_inner_texts(), outside, complaints


def test_search_answers_from_the_files_alone(book, page):
    """Browsers keep the theme from reading excerpts out of files; the titles do not need them."""
    titles, outside, _ = searched(page, book.as_uri())
    assert any("sensitivity" in title.lower() for title in titles)
    assert not outside


def test_search_answers_from_a_server_without_complaint(served, page):
    titles, outside, complaints = searched(page, served)
    assert any("sensitivity" in title.lower() for title in titles)
    none(outside + complaints)


# Two clicks from the home page


@pytest.fixture(scope="module")
def clicks(visits, book):
    """The least number of clicks from the home page to each page, along the links that can be seen."""
    links = {visit.name: visit.facts["links"] for visit in visits}
    known = {path.as_uri(): name for name, path in screenshots.pages(book).items()}
    reached, queue = {"index": 0}, ["index"]
    for page in queue:
        for name in {known.get(link.split("#")[0]) for link in links[page]} - {None, *reached}:
            reached[name] = reached[page] + 1
            queue.append(name)
    return reached


def test_every_page_can_be_reached(clicks, visits):
    listed = {visit.name for visit in visits} - {"genindex", "py-modindex", "search", "_modules/index"}
    none(sorted(listed - set(clicks)))


def test_the_roc_curve_its_data_code_test_and_citation_are_two_clicks_away(clicks, visits, book):
    data = (book / "files" / "fig-roc.csv").as_uri()
    steps = dict.fromkeys(("place", "data", "code", "test", "bibtex"), 99)
    for visit in visits:
        here = clicks.get(visit.name, 99)
        if "fig-roc" in visit.facts["ids"]:
            steps["place"] = min(steps["place"], here)
        for tools in visit.facts["tools"]:
            if tools["slug"] == "fig-roc":
                kinds = ["data" if link["href"] == data else link["kind"] for link in tools["links"]]
                for kind in steps.keys() & {*kinds, *tools["buttons"]}:
                    steps[kind] = min(steps[kind], here + 1)
    none([f"{what}: {count} clicks" for what, count in steps.items() if count > 2])


@pytest.mark.parametrize(("kind", "words"), [("code", "roc"), ("test", "test_")])
def test_the_links_under_the_roc_curve_lead_to_its_code_and_tests(book, page, kind, words):
    page.goto((book / "index.html").as_uri())
    page.locator(f"{TOOLS} a.{kind}").first.click()
    page.wait_for_function("location.hash")
    page.wait_for_function("document.readyState === 'complete'")
    shown = page.evaluate(BELOW, unquote(urlsplit(page.url).fragment))
    assert words in shown, (page.url, shown)


# Downloads and copies


@pytest.mark.parametrize(
    ("name", "folder", "slug"),
    [("notebooks/roc-and-confusion", "figures", "fig-roc"), ("notebooks/reliability", "tables", "tab-reliability")],
)
def test_downloads_are_the_runs_files(served, results, page, name, folder, slug):
    page.goto(f"{served}/{name}.html")
    links = page.locator(f'.artefact-tools[data-slug="{slug}"] a[download]')
    assert links.count() >= {"figures": 4, "tables": 1}[folder]
    for link in links.all():
        with page.expect_download() as saved:
            link.click()
        file = results / folder / saved.value.suggested_filename
        assert file.stem == slug
        assert Path(saved.value.path()).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("clipboard", ["allowed", "missing"])
def test_the_permalink_and_the_bibtex_are_copied_and_said(book, page, clipboard):
    if clipboard == "missing":
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto((book / "index.html").as_uri())
    tools = page.locator(TOOLS)
    copied = {}
    for what in ("permalink", "bibtex"):
        tools.locator(f"button[data-copy={what}]").press("Enter")
        tools.locator("[role=status]", has_text=re.compile("copied")).wait_for()
        copied[what] = pasted(page)
    tools.locator("summary").click()
    assert copied["bibtex"] == tools.locator("details pre").inner_text()
    assert re.match(r"@\w+\{", copied["bibtex"])
    assert copied["bibtex"].count("{") == copied["bibtex"].count("}")
    assert "fig-roc" in copied["bibtex"]
    assert copied["permalink"] == (book / "at" / "fig-roc.html").as_uri()
    page.goto(copied["permalink"])
    page.locator("#fig-roc img:visible").wait_for()


def pasted(page):
    """What a paste into another page brings."""
    other = page.context.new_page()
    other.set_content("<textarea></textarea>")
    other.locator("textarea").press("Control+V")
    text = other.locator("textarea").input_value()
    other.close()
    page.bring_to_front()
    return text


# The threshold explorer


@pytest.fixture(scope="module")
def scores(results):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCOVID_ROOT", str(results.parent.parent))
        run = runs.reopen(results.name)
    if run.speed == "replay":
        return records.scores(records.of(run))
    return {model: manifest.read_scores(run.fit(model) / "scores.csv") for model in run.edition.models}


def told(frame, threshold):
    truth, score = (frame["label"] == "covid").to_numpy(), frame["score"].to_numpy()
    rates = metrics.sensitivity_specificity(truth, score, threshold=threshold)
    counts = metrics.confusion(truth, score, threshold=threshold)
    shares = {name: f"{100 * rate:.1f}%" for name, rate in rates._asdict().items()}
    return shares | {name: f"{count:,}" for name, count in counts._asdict().items()}


def read(page, names):
    return {name: page.locator(f'[data-value="{name}"]').inner_text() for name in names}


def test_the_explorer_tells_the_librarys_numbers(book, page, scores):
    page.goto((book / "book" / "explorer.html").as_uri())
    slider = page.get_by_role("slider")
    for model, frame in scores.items():
        page.locator(f'.threshold-explorer input[type=radio][value="{model}"]').check()
        steps = [*sorted(frame["score"].unique()), math.inf]
        for key in ("Home", "End", "PageDown"):
            slider.press(key)
            expected = told(frame, steps[int(slider.input_value())])
            assert read(page, expected) == expected, (model, key)


def test_an_address_opens_the_explorer_at_its_setting(book, page, scores):
    model, frame = list(scores.items())[-1]
    threshold = float(frame["score"].median())
    page.goto((book / "book" / "explorer.html").as_uri() + f"#model={model}&threshold={threshold!r}")
    expected = told(frame, threshold)
    assert read(page, expected) == expected


def test_without_scripts_the_explorer_is_a_picture(browser, book):
    context = browser.new_context(java_script_enabled=False, viewport=SIZE)
    page = context.new_page()
    page.goto((book / "book" / "explorer.html").as_uri())
    assert page.locator(".threshold-explorer .explorer-fallback img").first.is_visible()
    assert not page.get_by_role("slider").is_visible()
    context.close()
