import os
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from deepcovid_lib import images
from deepcovid_lib.problems import Misuse, Problem

IDENTITY = "0123456789abcdef" * 4
REAL = os.environ.get("DEEPCOVID_REAL_DATA")


@pytest.fixture
def film():
    """A smooth film with a bright spot in the upper left, 96 x 96 pixels."""
    y, x = np.mgrid[:96, :96] / 95
    grey = 40 + 60 * np.sin(4 * x + 1) * np.cos(3 * y) ** 2 + 120 * np.exp(-60 * ((x - 0.3) ** 2 + (y - 0.2) ** 2))
    return np.repeat(grey.clip(1, 255).astype(np.uint8)[..., None], 3, axis=2)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def refusal(path):
    """Return the one line with which a file is refused."""
    with pytest.raises(Problem) as caught:
        images.read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert "; " in line
    return line


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_of_every_mode_is_read_as_rgb(tmp_path, film, mode):
    image = Image.fromarray(film).convert(mode)
    read = images.read(saved(tmp_path / "film.png", image))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_every_mode_is_read_as_rgb(tmp_path, film, mode):
    read = images.read(saved(tmp_path / "film.jpg", Image.fromarray(film).convert(mode), quality=95))
    assert np.abs(read.astype(int) - film).mean() < 3


def test_progressive_jpeg_is_read(tmp_path, film):
    path = saved(tmp_path / "film.jpg", Image.fromarray(film), progressive=True, quality=95)
    assert np.abs(images.read(path).astype(int) - film).mean() < 3


def test_transparent_parts_are_black_and_half_transparent_ones_darker(tmp_path):
    colours = np.full((32, 32, 4), 200, np.uint8)
    colours[:16, :, 3], colours[16:, :, 3] = 0, 128
    read = images.read(saved(tmp_path / "film.png", Image.fromarray(colours)))
    assert (read[:16] == 0).all()
    assert np.abs(read[16:].astype(int) - 100).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_colour_declared_transparent_is_black(tmp_path, mode):
    image = Image.new("RGB", (32, 32), (90, 90, 90))
    image.paste((200, 200, 200), (0, 0, 16, 32))
    image = image.convert("RGB").quantize(4) if mode == "P" else image.convert(mode)
    clear = image.getpixel((0, 0))
    read = images.read(saved(tmp_path / "film.png", image, transparency=clear))
    assert (read[:, :16] == 0).all()
    assert (read[:, 16:] == 90).all()


def test_a_grey_of_16_bits_declared_transparent_is_black(tmp_path):
    film = np.full((32, 32), 40_000, np.uint16)
    film[:, :16] = 65_535
    path = saved(tmp_path / "film.png", Image.fromarray(film))
    content = path.read_bytes()
    chunk = b"tRNS" + (65_535).to_bytes(2, "big")
    clear = (2).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(content[:33] + clear + content[33:])
    read = images.read(path)
    assert (read[:, :16] == 0).all()
    assert (read[:, 16:] == 40_000 >> 8).all()


@pytest.mark.parametrize("bits", images.DEPTHS)
def test_16_bit_film_keeps_the_upper_8_of_the_bits_in_use(tmp_path, bits):
    ramp = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    read = images.read(saved(tmp_path / "film.png", Image.fromarray(ramp)))
    np.testing.assert_array_equal(read[..., 0], ramp >> (bits - 8))
    assert (read.min(), read.max()) == (0, 255)


def test_black_16_bit_film_stays_black(tmp_path):
    assert images.read(saved(tmp_path / "film.png", Image.new("I;16", (40, 40)))).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored = Image.new("L", (64, 48))
    stored.paste(255, (0, 0, 32, 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = images.read(saved(tmp_path / f"film{suffix}", stored, exif=exif))
    assert read.shape == ((64, 48, 3) if orientation >= 5 else (48, 64, 3))
    # the stored upper left corner, by the EXIF standard's table
    row, column = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[
        orientation
    ]
    corners = {(r, c): read[r, c, 0] > 128 for r in (0, -1) for c in (0, -1)}
    assert [corner for corner, bright in corners.items() if bright] == [(row, column)]


def test_content_decides_the_format_whatever_the_name(tmp_path, film):
    np.testing.assert_array_equal(images.read(saved(tmp_path / "film.jpg", Image.fromarray(film), format="PNG")), film)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(tmp_path, film, kind):
    assert "is not a JPEG or PNG" in refusal(saved(tmp_path / "film.png", Image.fromarray(film), format=kind))


def test_a_web_page_saved_as_a_film_is_called_so(tmp_path):
    path = tmp_path / "film.jpg"
    path.write_text("\n<!DOCTYPE html><html><body>404</body></html>")
    assert "a web page" in refusal(path)


def test_dicom_empty_and_absent_files_and_folders_are_called_so(tmp_path):
    dicom, empty = tmp_path / "film.dcm", tmp_path / "film.png"
    dicom.write_bytes(bytes(128) + b"DICM" + bytes(100))
    empty.touch()
    assert "DICOM" in refusal(dicom)
    assert "an empty file" in refusal(empty)
    assert "No such file" in refusal(tmp_path / "absent.png")
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "JPEG"}, {"format": "JPEG", "progressive": True}])
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path, film, options):
    path = saved(tmp_path / "film", Image.fromarray(film[:48, :48]), **options)
    content, whole = path.read_bytes(), images.read(path)
    refused = 0
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        try:
            read = images.read(path)
        except Problem:
            refused += 1
        else:
            np.testing.assert_array_equal(read, whole)
    assert refused > len(content) / 3 - 12


def test_a_png_with_a_flipped_bit_is_refused(tmp_path, film):
    path = saved(tmp_path / "film.png", Image.fromarray(film))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "cut short or damaged" in refusal(path)


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (200, 31)])
def test_a_film_of_less_than_32_pixels_a_side_is_refused(tmp_path, size):
    line = refusal(saved(tmp_path / "film.png", Image.new("L", size)))
    assert f"{size[0]} x {size[1]} pixels" in line


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("size", [(10_001, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header_in_silence(tmp_path, size):
    path = tmp_path / "film.png"
    body = b"IDAT" + zlib.compress(b"")
    path.write_bytes(png_header(*size) + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "more than 100 megapixels" in refusal(path)


def test_an_animation_is_refused(tmp_path, film):
    frames = [Image.fromarray(film), Image.fromarray(film[::-1])]
    path = saved(tmp_path / "film.png", frames[0], save_all=True, append_images=frames[1:])
    assert "2 frames" in refusal(path)


@settings(deadline=None, database=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mark=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", png_header(64, 64)]), noise=st.binary())
def test_random_bytes_meet_nothing_but_a_problem(tmp_path, mark, noise):
    path = tmp_path / "film"
    path.write_bytes(mark + noise)
    refusal(path)


@settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "JPEG"]), place=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_films_with_overwritten_bytes_are_read_or_meet_a_problem(tmp_path, film, kind, place, noise):
    path = saved(tmp_path / "film", Image.fromarray(film[:40, :40]), format=kind)
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + len(noise)] = noise
    path.write_bytes(content)
    with suppress(Problem):
        assert images.read(path).dtype == np.uint8


@pytest.mark.parametrize("shape", [(300, 200), (200, 301), (97, 640), (224, 224), (100, 60)])
def test_crop_is_what_the_released_script_does(shape):
    film = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    script = transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224)])
    ours = images.fit(film, images.Preset(fit="crop"))
    np.testing.assert_array_equal(ours, np.asarray(script(Image.fromarray(film))))


def test_squash_keeps_the_whole_film_and_averages_fine_stripes():
    stripes = np.zeros((400, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    stripes[:, -100:] = 255
    fitted = images.fit(stripes, images.Preset(size=100))
    assert fitted.shape == (100, 100, 3)
    assert np.abs(fitted[:, 5:85].astype(int) - 128).max() <= 3
    assert (fitted[:, -8:] == 255).all()


def test_crop_loses_the_margins_that_squash_keeps():
    film = np.zeros((100, 200, 3), np.uint8)
    film[:, :30] = film[:, -30:] = 255
    assert images.fit(film, images.Preset(size=50, fit="crop")).max() == 0
    assert images.fit(film, images.Preset(size=50, fit="squash")).max() == 255


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_square_is_the_film_read_and_fitted(tmp_path, film, mode, fit):
    path = tmp_path / ("film.jpg" if mode == "CMYK" else "film.png")
    deep = Image.fromarray(film[..., 0].astype(np.uint16) * 16)
    (deep if mode == "I;16" else Image.fromarray(film).convert(mode)).save(path)
    preset = images.Preset(size=64, fit=fit)
    np.testing.assert_array_equal(images.square(path, preset), images.fit(images.read(path), preset))


def test_presets_are_values_with_distinct_keys():
    presets = [images.Preset(size, fit) for size in (64, 224) for fit in ("squash", "crop")]
    assert len({preset.key for preset in presets}) == 4
    assert images.Preset() == images.Preset(224, "squash")
    with pytest.raises(AttributeError):
        presets[0].size = 3


@pytest.mark.parametrize("fields", [{"size": 0}, {"fit": "stretch"}])
def test_a_preset_that_cannot_be_is_refused(fields):
    with pytest.raises(Misuse):
        images.Preset(**fields)


def test_normalise_is_torchvisions():
    films = np.random.default_rng(2).integers(0, 256, (2, 20, 20, 3), np.uint8)
    theirs = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    ours = images.normalise(films)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    np.testing.assert_allclose(ours, torch.stack([theirs(film) for film in films]).numpy(), atol=1e-6)


def copies_of(film, seed=3, identity=IDENTITY):
    return [images.augment(film, copy=copy, seed=seed, identity=identity) for copy in range(16)]


def test_copy_0_is_the_film_and_not_the_same_memory(film):
    copy = images.augment(film, copy=0, seed=3, identity=IDENTITY)
    np.testing.assert_array_equal(copy, film)
    assert not np.shares_memory(copy, film)


def test_sixteen_copies_are_sixteen_different_films_of_one_shape(film):
    copies = copies_of(film)
    assert len({copy.tobytes() for copy in copies}) == 16
    assert {(copy.shape, copy.dtype) for copy in copies} == {(film.shape, film.dtype)}


def test_a_copy_depends_on_seed_identity_and_number_and_not_on_order(film):
    copies = copies_of(film)
    backwards = [images.augment(film, copy=copy, seed=3, identity=IDENTITY) for copy in reversed(range(16))]
    np.testing.assert_array_equal(copies, backwards[::-1])
    assert (copies_of(film, seed=4)[1] != copies[1]).any()
    assert (copies_of(film, identity="f" * 64)[1] != copies[1]).any()


def test_another_process_makes_the_same_copies():
    call = f"images.transform_of(copy=5, seed=11, identity='{IDENTITY}')"
    program = f"from deepcovid_lib import images; print(repr(tuple({call})))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == repr(tuple(images.transform_of(copy=5, seed=11, identity=IDENTITY)))


def test_augmentation_leaves_the_global_random_state_alone(film):
    before = repr(np.random.get_state())  # noqa: NPY002
    copies_of(film)
    assert repr(np.random.get_state()) == before  # noqa: NPY002


def test_transforms_keep_their_ranges_and_flip_half_of_the_copies():
    drawn = [
        images.transform_of(copy=copy, seed=seed, identity=IDENTITY) for copy in range(1, 16) for seed in range(60)
    ]
    degrees = np.array([transform.degrees for transform in drawn])
    assert 0.44 < np.mean([transform.flip for transform in drawn]) < 0.56
    assert np.abs(degrees).max() <= 10
    assert degrees.min() < -9
    assert degrees.max() > 9
    assert 0.03 < max(transform.distortion for transform in drawn) <= 0.04


def test_a_copy_shows_the_transform_that_is_told(film):
    transforms_told = [images.transform_of(copy=copy, seed=3, identity=IDENTITY) for copy in range(1, 16)]
    assert {transform.flip for transform in transforms_told} == {False, True}
    for transform, copy in zip(transforms_told, copies_of(film)[1:], strict=True):
        np.testing.assert_array_equal(copy, images.warp(film, transform))
        spot = np.unravel_index(copy[:, :, 0].argmax(), copy.shape[:2])
        assert (spot[1] > 48) == transform.flip


def test_warp_by_nothing_is_nothing_and_a_flip_is_exact(film):
    np.testing.assert_array_equal(images.warp(film, images.Transform()), film)
    np.testing.assert_array_equal(images.warp(film, images.Transform(flip=True)), film[:, ::-1])


@pytest.mark.parametrize("degrees", [-7.5, 4.0])
def test_warp_turns_anticlockwise_like_pillow(film, degrees):
    turned = np.asarray(Image.fromarray(film).rotate(degrees, Image.Resampling.BILINEAR))
    ours = images.warp(film, images.Transform(degrees=degrees))
    assert np.abs(ours[16:80, 16:80].astype(int) - turned[16:80, 16:80]).max() <= 1


def test_warp_moves_the_film_by_the_shifts(film):
    moved = images.warp(film, images.Transform(shifts=((4 / 96, 0),) * 4))
    assert np.abs(moved[:, 8:].astype(int) - film[:, 4:-4]).max() <= 1


def test_no_copy_has_black_corners():
    bright = np.full((64, 64, 3), 180, np.uint8)
    extreme = [
        images.Transform(flip, degrees, ((x, y),) * 4)
        for flip in (False, True)
        for degrees in (-10, 10)
        for x in (-0.04, 0.04)
        for y in (-0.04, 0.04)
    ]
    assert min(images.warp(bright, transform).min() for transform in extreme) == 180


def test_captions_tell_what_was_done():
    assert str(images.transform_of(copy=0, seed=1, identity=IDENTITY)) == "unchanged"
    assert str(images.Transform(False, 2.04, ((0, 0.031),) * 4)) == "turned by +2.0 degrees, distorted by 3.1%"


@pytest.mark.skipif(not REAL, reason="DEEPCOVID_REAL_DATA names no folder of films")
def test_every_real_film_is_read():
    paths = [path for path in Path(REAL).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    assert paths
    for path in paths:
        film = images.read(path)
        assert film.ndim == 3
        assert film.std() > 1
        np.testing.assert_array_equal(images.square(path, images.Preset()), images.fit(film, images.Preset()))
