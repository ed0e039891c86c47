"""The block diagrams show what the table of blocks says."""

import io
import warnings
from itertools import combinations

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, Polygon

from deepcovid_lib import backbones, style
from deepcovid_lib.diagrams import architecture


def table(*rows):
    return pd.DataFrame(rows, columns=["name", "kind", "output", "parameters", "trainable"])


SMALL = table(
    ("conv1", "Conv2d", "64x112x112", 9408, 0),
    ("bn1", "BatchNorm2d", "64x112x112", 128, 0),
    ("pool", "MaxPool2d", "64x56x56", 0, 0),
    ("layer1.0", "BasicBlock", "64x56x56", 70000, 0),
    ("layer1.1", "BasicBlock", "64x56x56", 70001, 0),
    ("layer2.0", "Bottleneck", "128x28x28", 1230000, 0),
    ("fire", "Fire", "128x28x28", 500, 0),
    ("dense", "DenseBlock", "256x14x14", 600, 0),
    ("mystery", "Swirl", "256x14x14", 0, 0),
    ("fc", "Linear", "2", 1026, 1026),
)
NETWORKS = ["resnet18", "resnet50", "squeezenet", "densenet121", "densenet161"]


@pytest.fixture(scope="module")
def summaries():
    return {"small": SMALL} | {name: backbones.summary(name) for name in NETWORKS}


def shown(drawing):
    return [text.get_text() for text in drawing.figure.axes[0].texts]


@pytest.mark.parametrize("name", ["small", *NETWORKS])
def test_it_draws_without_warnings_clipped_or_overlapping_words(summaries, name):
    with warnings.catch_warnings(), style.theme("dark"):
        warnings.simplefilter("error")
        figure = architecture(summaries[name], name).figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in figure.axes[0].texts]
    for text, box in boxes:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0, text
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.overlaps(second), (one, other)


def test_equal_neighbours_are_stacked_and_norms_belong_to_their_convolution():
    words = shown(architecture(SMALL, "Small"))
    assert "2 × residual block" in words
    assert "140,001" in words
    assert "9,536" in words
    assert "batch norm" not in words
    assert "1.23 M" in words
    assert "Swirl" in words


def test_only_what_is_trained_stands_out():
    drawing = architecture(SMALL, "Small")
    bold = [text.get_text() for text in drawing.figure.axes[0].texts if text.get_weight() == "bold"]
    assert bold == ["Small", "linear", "1,026"]
    trained = pd.Series([patch.get_facecolor() for patch in drawing.figure.axes[0].patches])
    assert trained.value_counts().min() == 1


def test_each_kind_of_block_has_its_own_look():
    def pieces(kind):
        axes = architecture(table(("x", kind, "64x56x56", 1, 0)), "One").figure.axes[0]
        arrows = sum(isinstance(patch, FancyArrowPatch) for patch in axes.patches)
        return arrows, len(axes.patches) - arrows, any(type(patch) is Polygon for patch in axes.patches)

    looks = {kind: pieces(kind) for kind in ("Conv2d", "BasicBlock", "Bottleneck", "Fire", "DenseBlock", "MaxPool2d")}
    assert looks == {
        "Conv2d": (0, 1, False),
        "BasicBlock": (1, 2, False),
        "Bottleneck": (1, 3, False),
        "Fire": (0, 3, False),
        "DenseBlock": (3, 4, False),
        "MaxPool2d": (0, 1, True),
    }


def test_larger_maps_are_drawn_wider():
    rows = [("a", "Linear", f"8x{side}x{side}", 1, 0) for side in (56, 28, 14, 7, 1)]
    widths = [patch.get_width() for patch in architecture(table(*rows), "Falling").figure.axes[0].patches]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 5


@pytest.mark.parametrize("name", NETWORKS)
def test_data_and_words_are_the_summarys(summaries, name):
    summary = summaries[name]
    drawing = architecture(summary, backbones.get(name).title)
    pd.testing.assert_frame_equal(drawing.data, summary)
    assert f"{summary['parameters'].sum():,} parameters" in drawing.alt
    assert f"{summary['trainable'].sum():,} in the head" in drawing.alt
    assert backbones.get(name).title in drawing.alt


def test_equal_tables_give_equal_bytes():
    files = []
    for _ in range(2):
        stream = io.BytesIO()
        with style.theme("light"):
            figure = architecture(SMALL, "Small").figure
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        files.append(stream.getvalue())
    assert files[0] == files[1]
