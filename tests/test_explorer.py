"""The explorer's numbers are the library's, in Python, under node and in a browser."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from deepcovid_lib import explorer, metrics, style
from deepcovid_lib.problems import Misuse
from deepcovid_lib.tables import TARGET

ASSETS = Path(__file__).parent.parent / "book" / "assets"
SCRIPT = ASSETS / "explorer.js"
SWITCHES = """
    --no-sandbox --disable-gpu --disable-background-networking --no-first-run --disable-sync --disable-component-update
""".split()
PLANTED = '</script><script>planted = 1</script>&"'
WIDTHS = (360, 1440)
# The theme's own colours
THEMES = """
html[data-theme="light"] { --pst-color-text-base: #222832; --pst-color-text-muted: #48566b; --pst-color-border: #d1d5da;
  --pst-color-surface: #f3f4f5; --pst-color-background: #fff; --pst-color-primary: #176de8; }
html[data-theme="dark"] { --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; --pst-color-border: #48566b;
  --pst-color-surface: #29313d; --pst-color-background: #121212; --pst-color-primary: #528fe4; }
body { background: var(--pst-color-background); color: var(--pst-color-text-base); font: 1rem/1.5 sans-serif;
  margin: 0; padding: 1rem; }
"""

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


def frame(covid, others):
    labels = ["covid"] * len(covid) + ["non_covid"] * len(others)
    return pd.DataFrame({"label": labels, "score": [*covid, *others]}).sample(frac=1, random_state=0)


def random_frame(seed, positives=40, negatives=300, decimals=17):
    generator = np.random.default_rng(seed)
    covid = generator.beta(3, 2, positives).round(decimals)
    return frame(covid.tolist(), generator.beta(1, 4, negatives).round(decimals).tolist())


def classes(scores):
    return (scores["label"] == "covid").to_numpy(), scores["score"].to_numpy()


def descending(scores):
    truth, score = classes(scores)
    return [sorted(score[chosen].tolist(), reverse=True) for chosen in (truth, ~truth)]


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.scripts, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for key, value in attributes if key == "id"]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and not self.scripts[-1]:
            self.scripts[-1] = data
        else:
            self.words.append(data)


# The page's part


def test_the_scores_are_in_the_page_exactly_and_highest_first():
    scores = {"resnet50": random_frame(1), "resnet18": random_frame(2)}
    page = Elements(explorer.html(scores, run="mine", fallback=""))
    data = json.loads(page.scripts[0])
    assert [model["name"] for model in data["models"]] == ["resnet50", "resnet18"]
    for model in data["models"]:
        assert [model["covid"], model["non_covid"]] == descending(scores[model["name"]])
        assert (model["label"], model["colour"]) == style.MODELS[model["name"]][:2]
    assert data["target"] == TARGET


def test_nothing_that_is_given_can_leave_its_place(monkeypatch):
    look = style.MODELS["resnet18"]._replace(label=PLANTED + "\u2028")
    monkeypatch.setitem(style.MODELS, "resnet18", look)
    text = explorer.html({"resnet18": random_frame(1)}, run=PLANTED, fallback="<p>picture</p>")
    page = Elements(text)
    assert page.tags.count("script") == 1
    assert json.loads(page.scripts[0])["models"][0]["label"] == look.label
    assert not re.search("[<>&\u2028]", page.scripts[0])
    assert PLANTED in "".join(page.words)
    assert "<p>picture</p>" in text


def test_models_without_a_class_are_left_out_and_named():
    scores = {"resnet18": frame([0.5], []), "squeezenet": frame([0.5], [0.2]), "densenet121": frame([], [0.2])}
    text = explorer.html(scores, run="mine", fallback="")
    assert "Left out, for want of images of both classes: ResNet18, DenseNet-121." in text
    assert [model["name"] for model in json.loads(Elements(text).scripts[0])["models"]] == ["squeezenet"]
    assert "Left out" not in explorer.html({"squeezenet": scores["squeezenet"]}, run="mine", fallback="")
    nothing = explorer.html({"resnet18": scores["resnet18"]}, run=PLANTED, fallback="<img>")
    assert Elements(nothing).tags == ["p", "strong"]


def test_a_model_without_a_look_is_refused():
    with pytest.raises(Misuse, match="no colour for model 'vgg'"):
        explorer.html({"vgg": random_frame(1)}, run="mine", fallback="")


def test_the_part_needs_no_ids_headings_or_anything_from_elsewhere():
    page = Elements(explorer.html({"resnet18": random_frame(1)}, run="mine", fallback=""))
    assert not page.ids
    assert not {"h1", "h2", "h3", "h4", "h5", "h6", "img", "link", "iframe"} & set(page.tags)
    for name in ("explorer.js", "explorer.css"):
        addresses = re.findall(r"https?://[^\"']+", (ASSETS / name).read_text(encoding="utf-8"))
        assert set(addresses) <= {"http" + "://www.w3.org/2000/svg"}, name
    assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|innerHTML", SCRIPT.read_text(encoding="utf-8"))


# The script's numbers, under node


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    program = shutil.which("node")
    if not program:
        pytest.skip("no node on this machine")
    caller = tmp_path_factory.mktemp("node") / "call.js"
    caller.write_text(
        f"const all = require({json.dumps(str(SCRIPT))});"
        "const calls = new Function('return ' + require('fs').readFileSync(0, 'utf8'))();"
        "const plain = (key, value) => (Number.isFinite(value) || typeof value !== 'number' ? value "
        ": { special: String(value) });"
        "console.log(JSON.stringify(calls.map(([name, ...given]) => all[name](...given)), plain));",
        encoding="utf-8",
    )

    def call(calls):
        told = subprocess.run([program, caller], input=json.dumps(calls), capture_output=True, text=True, timeout=120)
        assert not told.returncode, told.stderr
        return json.loads(
            told.stdout, object_hook=lambda known: float(known["special"]) if "special" in known else known
        )

    return call


CASES = [(seed, decimals) for seed in range(12) for decimals in (1, 2, 17)]


def test_counts_at_every_threshold_are_the_librarys(node):
    calls, expected = [], []
    for seed, decimals in CASES:
        scores = random_frame(seed, 1 + seed, 40, decimals)
        for threshold in [*scores["score"].unique(), 0.0, 0.5, 1.0, math.inf]:
            calls.append(["confusion", *descending(scores), float(threshold)])
            expected.append(metrics.confusion(*classes(scores), threshold=threshold)._asdict())
    assert node(calls) == expected


def test_operating_points_are_the_librarys(node):
    targets = [0, 0.025, 0.1, 0.3, 0.5, 0.7, 0.95, TARGET, 0.98, 1]
    calls, expected = [], []
    for seed, decimals in CASES:
        scores = random_frame(seed, 40 - seed, 60, decimals)
        points = metrics.operating_points(*classes(scores), sensitivities=targets)
        expected += points["threshold"].tolist()
        calls += [["operatingPoint", *descending(scores), target] for target in targets]
    assert node(calls) == expected


def test_intervals_are_the_librarys(node):
    pairs = [(k, n) for n in (1, 2, 7, 39, 40, 600, 3000) for k in {0, 1, n // 3, n - 1, n}]
    found = node([["wilson", *pair] for pair in pairs])
    expected = [metrics.proportion_interval(*pair, method="wilson") for pair in pairs]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_predictive_values_are_the_librarys_and_undefined_together(node):
    shares = [0.0, 0.01, 0.25, 0.975, 1.0]
    asked = [(a, b, c) for a in shares for b in shares for c in (0.0, 0.0001, 0.0625, 0.2, 1.0)]
    expected = [metrics.predictive_values(a, b, prevalence=c)._asdict() for a, b, c in asked]
    np.testing.assert_equal(node([["predictive", *given] for given in asked]), expected)


def test_each_step_calls_differently_and_a_shown_threshold_calls_as_the_exact_one(node):
    for seed, decimals in CASES:
        scores = random_frame(seed, 20, 100, decimals)
        (ascending,) = node([["steps", *descending(scores)]])
        assert ascending == [*np.unique(scores["score"]), math.inf]
        between = [*ascending[:-1], *(np.array(ascending[:-2]) + np.diff(ascending[:-1]) / 3)]
        shown = node([["told", ascending, value] for value in between])
        calls = [metrics.confusion(*classes(scores), threshold=value) for value in between]
        assert [metrics.confusion(*classes(scores), threshold=float(text)) for text in shown] == calls


def test_a_crowd_adds_up(node):
    generator = np.random.default_rng(0)
    asked = [(a, b, 10**-c) for a, b, c in generator.uniform([0, 0, 0], [1, 1, 4], (200, 3)).tolist()]
    asked += [(0.975, 0.905, 0.0625), (1, 1, 0), (0, 0, 1), (0.5, 0.5, 1e-9), (0.975, 0.9997, 0.01)]
    for (a, b, c), people in zip(asked, node([["crowd", *given] for given in asked]), strict=True):
        many = people.pop("people")
        exact = np.array([a * c, (1 - a) * c, (1 - b) * (1 - c), b * (1 - c)]) * many
        assert sum(people.values()) == many
        assert (np.abs(np.array([*people.values()]) - exact) < 1).all()
        shares = [share for share in (exact / many) if share > 0]
        assert min(people[name] > 0 for name, share in zip(people, exact, strict=True) if share > 0) or many == 10**12
        assert many == 1000 or min(shares) * many / 10 < 1


def test_bounds_of_none_and_of_all_are_whole_for_every_number_of_images(node):
    sizes = range(1, 3101)
    told = node([["wilson", right, n] for n in sizes for right in (0, n)])
    assert {low for low, _ in told[::2]} == {0}
    assert {high for _, high in told[1::2]} == {1}


def test_percentages_round_as_the_books(node):
    shares = [k / n for n in (16, 40, 400, 600, 1000) for k in range(n + 1)]
    assert node([["percent", value] for value in shares]) == [f"{100 * value:.1f}%" for value in shares]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.31", 0.31), (" ,5 ", 0.5), ("1e-7", 1e-7), ("1", 1), ("0", 0)]
    + [
        (text, math.nan) for text in ("", "1,000", "1.01", "-0.1", "0x1", "NaN", "Infinity", "1e", ".", "0.1.2", "0.3;")
    ],
)
def test_a_typed_number_is_read_whole_or_not_at_all(node, text, value):
    np.testing.assert_equal(node([["number", text, 1]])[0], value)


def test_an_address_is_read_where_it_can_be(node):
    def read(text):
        return node([["read", text, ["resnet18", "squeezenet"]]])[0]

    setting = {"model": "squeezenet", "threshold": 0.1440177798271179, "prevalence": 0.05}
    assert read(node([["write", setting]])[0]) == {"setting": setting, "faults": []}
    assert read("#threshold=none")["setting"] == {"threshold": math.inf}
    for strange in ("", "#", "#what-a-threshold-buys", "#%E0%A4%A", "#&&=="):
        assert read(strange) == {"setting": {}, "faults": []}
    bad = read("#model=__proto__&threshold=2&prevalence=0.2")
    assert bad["setting"] == {"prevalence": 0.2}
    assert len(bad["faults"]) == 2


def test_per_cent_become_shares_without_a_rounding_error(node):
    typed = [0, 0.7, 1, 5, 6.25, 29, 57, 100]
    assert node([["asShare", value] for value in typed]) == [0, 0.007, 0.01, 0.05, 0.0625, 0.29, 0.57, 1]


# The page in a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs the extra `test`")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=SWITCHES)
        yield chromium
        chromium.close()


SCORES = {"resnet18": random_frame(5), "squeezenet": random_frame(6, decimals=2)}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    part = explorer.html(SCORES, run=PLANTED, fallback="<p>The picture.</p>")
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Explorer</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{THEMES}{(ASSETS / 'explorer.css').read_text(encoding='utf-8')}</style></head>"
        f"<body><main><h1>What does a threshold buy?</h1>{part}</main>"
        f"<script>{SCRIPT.read_text(encoding='utf-8')}</script></body></html>",
        encoding="utf-8",
    )
    return (folder / "page.html").as_uri()


@pytest.fixture
def page(browser):
    opened, complaints = browser.new_page(viewport={"width": 1000, "height": 900}), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
    yield opened
    opened.close()
    assert not complaints


def opened(page, address, fragment=""):
    page.goto("about:blank")
    page.goto(address + fragment)
    page.wait_for_selector(".explorer-body", state="visible")
    return page


def percent(share):
    return f"{100 * share:.1f}%"


def shown(page):
    return {name: page.inner_text(f'[data-value="{name}"]') for name in ("tp", "fn", "fp", "tn", "sensitivity", "ppv")}


def expected(model, threshold, prevalence=None):
    truth, score = classes(SCORES[model])
    counts = metrics.confusion(truth, score, threshold=threshold)
    rates = metrics.sensitivity_specificity(truth, score, threshold=threshold)
    ppv, _ = metrics.predictive_values(*rates, prevalence=truth.mean() if prevalence is None else prevalence)
    told = {name: str(count) for name, count in counts._asdict().items()}
    return told | {"sensitivity": percent(rates.sensitivity), "ppv": "–" if math.isnan(ppv) else percent(ppv)}


def kept(page, threshold):
    """What the address keeps, once it keeps the threshold."""
    now = "wanted => new URLSearchParams(location.hash.slice(1)).get('threshold') === wanted"
    page.wait_for_function(now, arg=str(threshold))
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).fragment).items()}


def test_it_opens_at_the_papers_sensitivity_with_intervals(page, address):
    opened(page, address)
    truth, score = classes(SCORES["resnet18"])
    threshold = metrics.operating_points(truth, score, sensitivities=[TARGET])["threshold"][0]
    assert shown(page) == expected("resnet18", threshold)
    counts = metrics.confusion(truth, score, threshold=threshold)
    for name, right, wrong in (("sensitivity", "tp", "fn"), ("specificity", "tn", "fp")):
        right, trials = getattr(counts, right), getattr(counts, right) + getattr(counts, wrong)
        low, high = map(percent, metrics.proportion_interval(right, trials, method="wilson"))
        assert page.inner_text(f'[data-value="{name}-interval"]') == f"95% interval {low} to {high}"
    page.wait_for_timeout(450)
    assert page.url == address  # the address is the reader's until the reader changes something
    assert PLANTED in page.inner_text("table caption")
    assert page.evaluate("typeof planted") == "undefined"


def test_the_keyboard_reaches_every_operating_point(page, address):
    opened(page, address)
    steps = [*np.unique(SCORES["resnet18"]["score"]), math.inf]
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    assert shown(page) == expected("resnet18", steps[0])
    for place in range(1, 6):
        slider.press("ArrowRight")
        assert shown(page) == expected("resnet18", steps[place])
    slider.press("PageUp")
    place = int(slider.input_value())
    assert place > 15
    assert shown(page) == expected("resnet18", steps[place])
    assert re.fullmatch(
        r"threshold 0\.\d+, sensitivity \d+\.\d%, specificity \d+\.\d%", slider.get_attribute("aria-valuetext")
    )
    assert float(kept(page, steps[place])["threshold"]) == steps[place]
    slider.press("End")
    assert shown(page) == expected("resnet18", math.inf)
    assert page.inner_text('[data-value="ppv-reason"]') == "undefined: nobody is called positive"
    assert "would raise no alarm" in page.inner_text(".explorer-words")
    assert slider.get_attribute("aria-valuetext").startswith("nothing called positive")
    assert kept(page, "none")["model"] == "resnet18"
    slider.press("ArrowLeft")
    assert shown(page) == expected("resnet18", steps[-2])


def test_thresholds_and_prevalences_can_be_typed(page, address):
    opened(page, address)
    threshold, prevalence = (page.get_by_role("textbox", name=name) for name in ("Threshold", "Prevalence"))
    threshold.fill("0.31")
    assert shown(page) == expected("resnet18", 0.31)
    prevalence.fill("5")
    assert shown(page) == expected("resnet18", 0.31, 0.05)
    page.wait_for_timeout(450)
    assert kept(page, 0.31) == {"model": "resnet18", "threshold": "0.31", "prevalence": "0.05"}
    before = shown(page)
    threshold.fill("1.5")
    threshold.press("Tab")
    assert shown(page) == before
    assert threshold.get_attribute("aria-invalid") == "true"
    assert "from 0 to 1" in page.inner_text(".explorer-note")
    page.get_by_role("button", name="20%", exact=True).press("Enter")
    assert shown(page) == expected("resnet18", 0.31, 0.2)
    assert not page.inner_text(".explorer-note")
    page.get_by_role("button", name="as in this test").press("Space")
    assert shown(page) == expected("resnet18", 0.31)


def test_a_sensitivity_is_kept_when_the_model_changes(page, address):
    opened(page, address)
    page.get_by_role("button", name="100% sensitivity").press("Enter")
    page.get_by_role("radio", name="ResNet18").focus()
    page.keyboard.press("ArrowDown")
    lowest = min(descending(SCORES["squeezenet"])[0])
    assert shown(page) == expected("squeezenet", lowest)
    assert page.get_by_role("button", name="100% sensitivity").get_attribute("aria-pressed") == "true"
    page.get_by_role("slider").press("ArrowRight")
    page.get_by_role("radio", name="ResNet18").check()
    steps = np.unique(SCORES["squeezenet"]["score"])
    assert shown(page) == expected("resnet18", steps[np.searchsorted(steps, lowest) + 1])


def test_the_sentence_counts_people_as_the_library_would(page, address):
    opened(page, address, "#threshold=0.4&prevalence=0.05")
    truth, score = classes(SCORES["resnet18"])
    sensitivity, specificity = metrics.sensitivity_specificity(truth, score, threshold=0.4)
    found = re.fullmatch(
        r"Of 1,000 people like this, 5% of whom have COVID-19, the test would raise (\d+) alarms, "
        r"(\d+) of them false, and miss (\d+) of the 50 with COVID-19\.",
        page.inner_text(".explorer-words"),
    )
    alarms, false, missed = map(int, found.groups())
    assert abs(false - 950 * (1 - specificity)) < 1
    assert abs(missed - 50 * (1 - sensitivity)) < 1
    assert alarms == false + 50 - missed


def test_an_address_leads_to_its_setting(page, address):
    exact = descending(SCORES["squeezenet"])[1][3]
    opened(page, address, f"#model=squeezenet&threshold={exact!r}&prevalence=0.01")
    assert shown(page) == expected("squeezenet", exact, 0.01)
    page.evaluate("location.hash = '#threshold=0.2'")
    page.wait_for_function("document.querySelector('[data-control=threshold]').value === '0.2'")
    assert shown(page) == expected("squeezenet", 0.2, 0.01)
    opened(page, address, "#model=nobody&threshold=half&prevalence=0.2")
    assert "“nobody” is no model here; “half” is no threshold" in page.inner_text(".explorer-note")
    threshold = metrics.operating_points(*classes(SCORES["resnet18"]), sensitivities=[TARGET])["threshold"][0]
    assert shown(page) == expected("resnet18", threshold, 0.2)
    opened(page, address, "#some-heading")
    assert not page.inner_text(".explorer-note")


def test_a_link_can_be_copied_or_taken_from_a_field(page, address):
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    opened(page, address, "#threshold=0.31")
    page.get_by_role("button", name="Copy link").press("Enter")
    link = page.get_by_label("Link to this setting").input_value()
    own = classes(SCORES["resnet18"])[0].mean()
    assert link == f"{address}#model=resnet18&threshold=0.31&prevalence={own}"
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { copied = text; } } })"
    )
    page.get_by_role("button", name="Copy link").press("Enter")
    page.wait_for_function(f"window.copied === {json.dumps(link)}")
    assert page.inner_text('[data-control="copied"]') == "Copied."


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits(page, address, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, address, "#threshold=nonsense")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = axe.run(page).response["violations"]
    assert [(found["id"], found["impact"]) for found in violations] == []
    for target in page.locator("button, [type=text], [type=range], .explorer-models label").all():
        box = target.bounding_box()
        assert box is None or min(box["height"], box["width"]) >= 24


def test_the_point_lies_on_the_curve_and_the_line_at_the_threshold(page, address):
    opened(page, address, "#threshold=0.25")
    truth, score = classes(SCORES["resnet18"])
    sensitivity, specificity = metrics.sensitivity_specificity(truth, score, threshold=0.25)
    place = page.evaluate(
        """() => {
            const at = (selector) => document.querySelector(selector);
            const point = at('.point'), ends = at('[data-picture=roc] .axis').getBBox();
            const scores = at('[data-picture=scores] .axis').getBBox(), line = at('path.threshold').getBBox();
            return [(point.cx.baseVal.value - ends.x) / ends.width, point.cy.baseVal.value, ends.y,
                (line.x - scores.x) / scores.width];
        }"""
    )
    assert place[0] == pytest.approx(1 - specificity, abs=1e-4)
    assert place[3] == pytest.approx(0.25, abs=1e-4)
    height = page.evaluate("document.querySelectorAll('[data-picture=roc] .grid')[4].getBBox().y")
    assert (place[2] - place[1]) / (place[2] - height) == pytest.approx(sensitivity, abs=1e-4)


def test_without_scripts_the_picture_stands_in_its_place(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.get_by_text("The picture.").is_visible()
    assert not page.locator(".explorer-body").is_visible()
    assert page.get_by_role("slider").count() == 0
    context.close()
