"""The palette is readable on every page and for every eye; the theme leaves nothing behind."""

from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from deepcovid_lib import backbones, style
from deepcovid_lib.problems import Misuse

MODES = sorted(style.PAGES)
# Machado, Oliveira & Fernandes (2009), IEEE Trans. Vis. Comput. Graph. 15:1291, severity 1
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour, eye):
    """CIE 1976 L*a*b* of a colour (D65) as an eye sees it."""
    part = np.array(to_rgb(colour))
    linear = np.clip(
        np.array(EYES[eye]) @ np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4), 0, 1
    )
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("looks", [style.MODELS, style.GROUPS, style.CLASSES], ids=["models", "groups", "classes"])
def test_every_model_and_group_stands_out_from_the_page(mode, looks):
    for name, look in looks.items():
        for page in style.PAGES[mode]:
            assert style.contrast(look.colour, page) >= 3, (name, page)


@pytest.mark.parametrize("mode", MODES)
def test_text_is_readable_on_the_page_and_on_quiet_areas(mode):
    inks = style.INKS[mode]
    for page in (*style.PAGES[mode], inks["surface"]):
        assert style.contrast(inks["ink"], page) >= 7
        assert style.contrast(inks["muted"], page) >= 4.5


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize(
    "looks",
    [[look for name, look in style.MODELS.items() if name != "squeezenet1_1"], [*style.GROUPS.values()]],
    ids=["models", "groups"],
)
def test_colours_differ_for_every_kind_of_eye(eye, looks):
    for one, other in combinations(looks, 2):
        assert np.linalg.norm(lab(one.colour, eye) - lab(other.colour, eye)) > 14, (one.label, other.label)


@pytest.mark.parametrize("looks", [style.MODELS, style.GROUPS, style.CLASSES], ids=["models", "groups", "classes"])
def test_no_two_share_label_marker_or_dash(looks):
    for field in ("label", "marker", "dash"):
        values = [getattr(look, field) for look in looks.values()]
        assert len(set(values)) == len(values), field


def test_every_backbone_has_a_look():
    assert set(backbones.CATALOGUE) <= set(style.MODELS)


def test_the_classes_wear_the_colour_of_their_group():
    assert style.CLASSES["covid"].colour == style.GROUPS["covid"].colour


def test_contrast_knows_the_published_extremes():
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert style.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_words_on_any_grey_are_readable():
    for level in np.linspace(0, 1, 52):
        assert style.contrast(style.text_on((level,) * 3), (level,) * 3) >= 4.5


@pytest.mark.parametrize("mode", MODES)
def test_the_theme_sets_transparent_ground_and_its_own_ink(mode):
    with style.theme(mode):
        figure = Figure()
        assert figure.get_facecolor()[3] == 0
        assert (style.ink(), style.muted()) == (style.INKS[mode]["ink"], style.INKS[mode]["muted"])
        assert (style.rule(), style.surface()) == (style.INKS[mode]["rule"], style.INKS[mode]["surface"])
        assert matplotlib.rcParams["font.sans-serif"] == ["DejaVu Sans"]


def test_the_theme_leaves_nothing_behind_even_after_an_error():
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError), style.theme("dark"):
        1 / 0  # noqa: B018
    assert dict(matplotlib.rcParams) == before


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(Misuse, match="resnet18"):
        style.model("vgg16")
    with pytest.raises(Misuse, match="other_disease"):
        style.group("other")
    with pytest.raises(Misuse, match="light, dark"), style.theme("sepia"):
        pass
