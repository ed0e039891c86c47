"""The script that sorts and filters the book's tables, in a browser, from a file."""

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser checks need the extra `test`")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

ASSETS = Path(__file__).parent.parent / "book" / "assets"
CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason=f"no browser at {CHROMIUM}")

COLOURS = """
html { --pst-color-primary: #0a7d91; --pst-color-text-base: #323232; --pst-color-text-muted: #646464;
  --pst-color-background: #fff; color: #323232; background: #fff; }
html[data-theme="dark"] { --pst-color-primary: #3fb1c5; --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af;
  --pst-color-background: #14181e; color: #ced6dd; background: #14181e; }
"""
HEADS = ["where", "model", "paper", "difference", "verdict"]
ROWS = [
    ("Table II, row 0.04", "ResNet18", "81.6%", "−1.2 points", "agrees"),
    ("Table II, row 0.2", "ResNet18", "97%(±5%)", "+0.5 points", "agrees"),
    ("Section II", "–", "2,031", "–", "not a test of this value"),
    ("Section II", "–", "496", "+10", "differs"),
    ("Section V", "–", "5k", "0", "differs"),
    ("Table II, row 0.055", "SqueezeNet", "0.055", "−0.01", "not a test of this value"),
    ("Section IV.A", "–", "–", "–", "not a test of this value"),
    ("<b>Section</b> & more", "–", "20", "−300", "not a test of this value"),
]


def table_of(heads, rows):
    cells = [[text.replace("&", "&amp;").replace("<", "&lt;") for text in row] for row in rows]
    head = "".join(f'<th class="head"><p>{text}</p></th>' for text in heads)
    body = "".join(f"<tr>{''.join(f'<td><p>{text}</p></td>' for text in row)}</tr>" for row in cells)
    caption = '<caption><span class="caption-text">Printed values</span></caption>'
    return f'<table class="artefact sortable">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def write_page(folder, content, theme="light", script="tables.js"):
    path = folder / f"page-{theme}.html"
    path.write_text(
        f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>Tables</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{COLOURS}</style>'
        f'<link rel="stylesheet" href="{(ASSETS / "book.css").as_uri()}">'
        f'<link rel="stylesheet" href="{(ASSETS / "tables.css").as_uri()}"></head><body><main><h1>Tables</h1>{content}'
        f'</main><script src="{(ASSETS / script).as_uri()}"></script></body></html>',
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def shown(page, tmp_path):
    page.goto(write_page(tmp_path, table_of(HEADS, ROWS)))
    return page


def column(page, name):
    number = HEADS.index(name) + 1
    return [text.strip() for text in page.locator(f"tbody tr:not([hidden]) td:nth-child({number})").all_inner_texts()]


def sorts(page):
    return page.locator("th").evaluate_all("heads => heads.map(head => head.getAttribute('aria-sort'))")


def test_a_click_sorts_numbers_by_size_with_dashes_last(shown):
    button = shown.get_by_role("button", name="paper")
    button.click()
    assert column(shown, "paper") == ["0.055", "81.6%", "97%(±5%)", "20", "496", "2,031", "5k", "–"]
    assert sorts(shown) == [None, None, "ascending", None, None]
    button.click()
    assert column(shown, "paper") == ["5k", "2,031", "496", "20", "97%(±5%)", "81.6%", "0.055", "–"]
    assert sorts(shown) == [None, None, "descending", None, None]
    button.click()
    assert column(shown, "paper") == [row[2] for row in ROWS]
    assert sorts(shown) == [None] * 5


def test_signs_count_and_ties_keep_their_order(shown):
    shown.get_by_role("button", name="difference").click()
    ordered = ["−300", "−1.2 points", "−0.01", "0", "+0.5 points", "+10", "–", "–"]
    assert column(shown, "difference") == ordered
    assert column(shown, "where")[-2:] == ["Section II", "Section IV.A"]
    shown.get_by_role("button", name="verdict").click()
    firsts = [
        row[0] for verdict in ("agrees", "differs", "not a test of this value") for row in ROWS if row[4] == verdict
    ]
    assert column(shown, "where") == firsts


def test_the_keyboard_sorts_and_its_focus_is_seen(shown):
    shown.get_by_label("verdict").focus()
    shown.keyboard.press("Tab")
    focused = "document.activeElement.textContent"
    assert shown.evaluate(focused) == "where"
    outline = "getComputedStyle(document.activeElement)"
    assert shown.evaluate(f"{outline}.outlineStyle") == "solid"
    assert shown.evaluate(f"parseFloat({outline}.outlineWidth)") >= 2
    shown.keyboard.press("Enter")
    assert column(shown, "where")[:2] == ["<b>Section</b> & more", "Section II"]
    shown.keyboard.press("Space")
    assert column(shown, "where")[0] == "Table II, row 0.2"
    assert shown.evaluate(focused) == "where"


def test_text_and_choices_filter_together_and_the_count_says_so(shown):
    status = shown.get_by_role("status")
    assert status.inner_text() == "8 of 8 rows"
    shown.get_by_label("Rows with").fill("table ROW")
    assert status.inner_text() == "3 of 8 rows"
    shown.get_by_label("verdict").select_option("agrees")
    assert status.inner_text() == "2 of 8 rows"
    assert column(shown, "where") == ["Table II, row 0.04", "Table II, row 0.2"]
    shown.get_by_role("button", name="paper").click()
    shown.get_by_role("button", name="paper").click()
    assert column(shown, "paper") == ["97%(±5%)", "81.6%"]
    shown.get_by_label("Rows with").fill("")
    shown.get_by_label("verdict").select_option("")
    assert status.inner_text() == "8 of 8 rows"
    shown.get_by_label("model").select_option("none")
    assert status.inner_text() == "5 of 8 rows"
    shown.get_by_label("Rows with").fill("no such text")
    assert status.inner_text() == "0 of 8 rows"


def test_only_columns_of_few_values_have_a_choice(shown):
    labels = shown.locator(".table-controls label").all_inner_texts()
    assert [label.lower() for label in labels] == ["rows with", "model", "verdict"]
    offered = shown.get_by_label("verdict").locator("option").all_inner_texts()
    assert offered == ["all", "agrees", "differs", "not a test of this value"]


@pytest.mark.parametrize("width", [360, 390, 1440])
def test_filtering_moves_no_column_and_widens_no_page(page, tmp_path, width):
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(write_page(tmp_path, table_of(HEADS, ROWS * 4)))
    places = "heads => heads.map(head => head.getBoundingClientRect().left)"
    before = page.locator("th").evaluate_all(places)
    page.get_by_label("verdict").select_option("agrees")
    page.get_by_role("button", name="paper").evaluate("button => button.click()")
    assert page.locator("th").evaluate_all(places) == pytest.approx(before, abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


ODD = {
    "empty": table_of(["a"], []),
    "one row": table_of(["a"], [("1",)]),
    "no head": '<table class="artefact sortable"><tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>',
    "spans": '<table class="artefact sortable"><thead><tr><th>a</th><th>b</th></tr></thead><tbody>'
    '<tr><td colspan="2">1</td></tr><tr><td>2</td><td>3</td></tr></tbody></table>',
    "ragged": '<table class="artefact sortable"><thead><tr><th>a</th><th>b</th></tr></thead><tbody>'
    "<tr><td>1</td></tr><tr><td>2</td><td>3</td></tr></tbody></table>",
    "not asked for": table_of(["a"], [("1",), ("2",)]).replace(" sortable", ""),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables_are_left_as_they_are(page, tmp_path, name):
    page.goto(write_page(tmp_path, ODD[name]))
    assert page.locator("table").evaluate("table => table.outerHTML.length") > 0
    assert page.locator("button, input, select").count() == 0


def test_a_heading_that_holds_a_link_stays_and_the_others_sort(page, tmp_path):
    page.goto(
        write_page(tmp_path, table_of(["a", "b"], [("2", "x"), ("1", "y")]).replace("<p>b<", '<p><a href="#b">b</a><'))
    )
    assert page.locator("th a").count() == 1
    page.get_by_role("button", name="a").click()
    assert page.locator("td:first-child").all_inner_texts() == ["1", "2"]


def test_two_tables_do_not_disturb_each_other(page, tmp_path):
    page.goto(write_page(tmp_path, table_of(HEADS, ROWS) * 2))
    page.get_by_label("Rows with").first.fill("SqueezeNet")
    assert page.get_by_role("status").all_inner_texts() == ["1 of 8 rows", "8 of 8 rows"]
    ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids)) == 6


def test_without_the_script_the_table_is_simply_there(browser, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_page(tmp_path, table_of(HEADS, ROWS)))
    assert page.locator("tbody tr").count() == len(ROWS)
    assert page.locator("button, input").count() == 0
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_for_assistive_technology(page, tmp_path, theme):
    page.goto(write_page(tmp_path, table_of(HEADS, ROWS), theme))
    page.get_by_role("button", name="paper").click()
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
