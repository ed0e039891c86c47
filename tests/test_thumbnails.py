"""Thumbnails: made once, right in every cell, made again when damaged."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepcovid_lib import images, thumbnails
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Problem


@pytest.fixture
def films(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number, shape in enumerate([(120, 90), (90, 120, 3), (80, 80)]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return pd.DataFrame({"path": [str(path) for path in paths], "sha256": [sha256(path) for path in paths]})


def test_they_are_the_whole_films_at_80_pixels_in_order(films, tmp_path):
    small = thumbnails.gather(films, cache=tmp_path / "cache")
    for row, path in enumerate(films["path"]):
        film = images.read(path)
        assert (small.pixels[row] == images.fit(film, images.Preset(size=80, fit="squash"))).all()
        assert small.files[row].tolist()[1:] == list(film.shape[:2])


def test_a_second_call_reads_no_film_and_damage_is_mended(films, tmp_path, monkeypatch):
    before = thumbnails.gather(films, cache=tmp_path / "cache")
    read = images.read
    monkeypatch.setattr(thumbnails.images, "read", lambda path: pytest.fail("read again"))
    again = thumbnails.gather(films, cache=tmp_path / "cache")
    assert (again.pixels == before.pixels).all()
    (kept,) = (tmp_path / "cache" / "thumbnails").iterdir()
    monkeypatch.setattr(thumbnails.images, "read", read)
    np.savez(tmp_path / "other.npz", pixels=before.pixels // 2, files=before.files, seal="0" * 64)
    for damage in (kept.read_bytes()[:300], b"", b"not an archive", (tmp_path / "other.npz").read_bytes()):
        kept.write_bytes(damage)
        assert (thumbnails.gather(films, cache=tmp_path / "cache").pixels == before.pixels).all()


def test_other_films_and_other_code_are_other_files(films, tmp_path, monkeypatch):
    for chosen in (films, films[:2], films[::-1]):
        thumbnails.gather(chosen, cache=tmp_path)
    assert len(list((tmp_path / "thumbnails").iterdir())) == 3
    monkeypatch.setattr(thumbnails, "fingerprint", lambda *sources: "other code")
    thumbnails.gather(films, cache=tmp_path)
    assert len(list((tmp_path / "thumbnails").iterdir())) == 4


def test_an_unreadable_film_is_told(films, tmp_path):
    with open(films["path"][1], "wb"):
        pass
    with pytest.raises(Problem, match=r"1\.png: has changed since the manifest was written; restore it"):
        thumbnails.gather(films, cache=tmp_path)
    with pytest.raises(Problem, match="an empty file"):
        thumbnails.gather(films.assign(sha256=films["path"].map(sha256)), cache=tmp_path)


@pytest.mark.parametrize("cells", [8, 16])
def test_cells_are_means(cells):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
    step = 80 // cells
    field = pixels[1, step : 2 * step, 2 * step : 3 * step].astype(float)
    assert thumbnails.grey(pixels, cells)[1].reshape(cells, cells)[1, 2] == pytest.approx(field.mean(), abs=1e-3)
    red, blue = thumbnails.chroma(pixels, cells)[1].reshape(cells, cells, 2)[1, 2]
    assert red == pytest.approx((field[..., 0] - field[..., 1]).mean(), abs=1e-3)
    assert blue == pytest.approx((field[..., 2] - field[..., 1]).mean(), abs=1e-3)


@pytest.mark.parametrize(("share", "kept"), [(0.3, 0.91), (0.5, 0.75), (0.7, 0.51), (0.8, 0.36), (0.9, 0.19)])
def test_a_central_square_is_blacked(share, kept):
    pixels = np.ones((1, 80, 80, 3), np.uint8)
    hidden = thumbnails.blacked(pixels, share)
    assert hidden[..., 0].mean() == pytest.approx(kept)
    assert (hidden == hidden[:, ::-1, ::-1]).all()
    assert pixels.all()
