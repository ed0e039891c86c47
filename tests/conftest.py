"""Options of the book checks, and a quiet single thread for the rest."""

import os
import warnings
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("unhurried")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is loaded, so nothing above may load it

from matplotlib import pyplot  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from deepcovid_lib import style  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--book", help="the folder of a built book")
    parser.addoption("--run", default="phantom", help="the run it was built from")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(area, fault, done, lost, rerun): what a test plants, and what follows")
    config.addinivalue_line("markers", "slow_fault: a fault test that runs with --faults only")


def pytest_collection_modifyitems(items):
    """The longest test goes first, or the other worker waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_tiny.py")


@pytest.fixture(scope="module")
def book(request):
    """The folder of the built book that was given."""
    given = request.config.getoption("--book")
    if not given:
        pytest.skip("no book given: --book FOLDER")
    return Path(given).resolve()


@pytest.fixture(scope="module")
def results(request):
    """The folder of the run that the book was built from."""
    return Path(__file__).parent.parent / "results" / request.config.getoption("--run")


@pytest.fixture
def legible():
    """Return a function that draws a figure and asserts that no word is small, clipped or overlapped."""
    return _drawn_legibly


def _drawn_legibly(draw):
    with warnings.catch_warnings(), style.theme("light"):
        warnings.simplefilter("error")
        drawing = draw()
        words = _words(drawing.figure)
    across, down = drawing.figure.canvas.get_width_height()
    for text, size, box in words:
        assert size >= style.SMALL, text
        assert min(box.x0, box.y0, across - box.x1, down - box.y1) >= -1.5, text
    for (one, _, first), (other, _, second) in combinations(words, 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert width <= 1 or height <= 3, (one, other)
    assert drawing.figure.get_size_inches()[0] == pytest.approx(style.WIDTH)
    assert drawing.alt.endswith(".")
    assert "nan" not in drawing.alt
    assert not pyplot.get_fignums()
    return drawing


def _words(figure):
    """The visible texts of a figure, their sizes in points and the places they take, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = {text for axes in figure.axes if not axes.get_visible() for text in axes.findobj(Text)}
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not axis.axes.axison or not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text not in hidden and text.get_visible()]
    texts = [text for text in texts if text.get_text().strip()]
    return [(text.get_text(), text.get_fontsize(), text.get_window_extent(canvas.get_renderer())) for text in texts]
