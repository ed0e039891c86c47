"""Bad images: each is used with the right pixels or refused by name, stops no other, and takes a bounded memory."""

import io
import os
import struct
import subprocess
import sys
import tempfile
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

from deepcovid_lib import backbones, heads, images, predict, runs, stages
from deepcovid_lib.problems import Problem

Y, X = np.mgrid[:40, :48]
FILM = (3 * X + 2 * Y).astype(np.uint8)  # 40 rows, 48 columns, no two corners alike
MOST_MEMORY = 4 * 2**30
MEASURED = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured through Linux's /proc")
NEXT = "mend or remove the named file and run the command again; the others are done"


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, raw, *, depth=8, colour=0, before=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def deep(channels, scale=257):
    """The film as a PNG of 16 bits a channel, any channels."""
    values = FILM.astype(np.uint16) * scale
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    pixels = np.repeat(values.astype(">u2")[..., None], channels, axis=2)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png(values.shape[1], values.shape[0], raw, depth=16, colour=colour)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def grey(kind="PNG", **options):
    return saved(Image.fromarray(FILM), kind, **({"quality": 95} if kind == "JPEG" else {}), **options)


def turned(orientation):
    """The film as stored under an EXIF orientation, by the standard's table of where row 0 and column 0 lie."""
    return {
        1: FILM,
        2: FILM[:, ::-1],
        3: FILM[::-1, ::-1],
        4: FILM[::-1],
        5: FILM.T,
        6: np.rot90(FILM),
        7: FILM[::-1, ::-1].T,
        8: np.rot90(FILM, -1),
    }[orientation]


def oriented(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(np.ascontiguousarray(turned(orientation))), kind, exif=exif)


def ycck():
    """A JPEG whose CMYK was stored as YCCK, as Photoshop does: Pillow's CMYK file with the mark and values of YCCK."""
    rgb = np.repeat(FILM[..., None], 3, axis=2)
    inked = np.array(Image.fromarray(255 - rgb).convert("YCbCr"))
    planes = np.concatenate([255 - inked, np.zeros((*FILM.shape, 1), np.uint8)], axis=2)
    content = bytearray(saved(Image.fromarray(planes, "CMYK"), "JPEG", quality=100))
    content[content.index(b"Adobe") + 11] = 2
    return bytes(content)


def text_bomb(name, head):
    return chunk(name, head + zlib.compress(bytes(200 * 2**20), 9))


PNG, JPEG = grey(), grey("JPEG")
RGB = Image.fromarray(FILM).convert("RGB")
OPAQUE = Image.merge("RGBA", (*RGB.split(), Image.new("L", RGB.size, 255)))
USED = {
    "grey.png": PNG,
    "grey.jpg": JPEG,
    "colour.png": saved(RGB, "PNG"),
    "colour.jpg": saved(RGB, "JPEG", quality=95),
    "progressive.jpg": grey("JPEG", progressive=True),
    "cmyk.jpg": saved(RGB.convert("CMYK"), "JPEG", quality=100),
    "ycck.jpg": ycck(),
    "palette.png": saved(Image.fromarray(FILM).convert("P"), "PNG"),
    "opaque alpha.png": saved(OPAQUE, "PNG"),
    "interlaced in name only.png": saved(RGB, "PNG", optimize=True),
    "deep grey.png": deep(1),
    "deep grey and alpha.png": deep(2),
    "deep colour.png": deep(3),
    "deep colour and alpha.png": deep(4),
    "12 bits in 16.png": deep(1, 16),
    "a png called.jpg": PNG,
    "a jpeg called.png": JPEG,
    "upper case.PNG": PNG,
    "rubbish after the end.png": PNG + b"\0rubbish" * 99,
    "rubbish after the end.jpg": JPEG + b"\0rubbish" * 99,
    "right pixels under a wrong checksum.png": PNG[:-13] + bytes([PNG[-13] ^ 1]) + PNG[-12:],
    "unknown chunk.png": png(48, 40, b"".join(b"\0" + row.tobytes() for row in FILM), before=chunk(b"prVt", b"x" * 9)),
    **{f"turned {number}.{kind}": oriented(number, kind.upper()) for number in range(1, 9) for kind in ("png", "jpeg")},
    "spaces  in   it.png": PNG,
    "'quotes' \"of\" both kinds.png": PNG,
    "commas, and; semicolons.png": PNG,
    "рентген 胸片 صدر é.png": PNG,
    "-v --help.png": PNG,
    "<script>alert(1)</script>.png".replace("/", "∕"): PNG,
    "$(touch oops) `id` %s {x}.png": PNG,
    f"{'long' * 60}.png": PNG,
}
REFUSED = {
    "empty.png": (b"", "an empty file"),
    **{f"cut at {place}.png": (PNG[:place], "cut short or damaged") for place in (9, 33, 50, len(PNG) // 2)},
    **{f"cut at {place}.jpg": (JPEG[:place], "cut short or damaged") for place in (4, 200, len(JPEG) // 2)},
    "signature alone.png": (PNG[:8], "cut short or damaged"),
    "page.jpg": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "page with mark.png": (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "a web page"),
    "text.jpg": (b"not found", "something else"),
    "dicom.png": (bytes(128) + b"DICM" + bytes(100), "a DICOM file"),
    "gif.png": (grey("GIF"), "is not a JPEG or PNG"),
    "animated gif.jpg": (
        saved(RGB, "GIF", save_all=True, append_images=[RGB.rotate(180)]),
        "is not a JPEG or PNG",
    ),
    "animated png.png": (saved(RGB, "PNG", save_all=True, append_images=[RGB.rotate(180)]), "2 frames"),
    "bitmap.png": (grey("BMP"), "is not a JPEG or PNG"),
    "webp.jpg": (saved(RGB, "WEBP"), "is not a JPEG or PNG"),
    **{
        f"12 bits in 16, {channels} channels.png": (deep(channels, 16), "16 bits a channel and uses fewer")
        for channels in (2, 3, 4)
    },
    "deep tiff.png": (saved(Image.fromarray(FILM.astype(np.uint16) * 257), "TIFF"), "is not a JPEG or PNG"),
    "float tiff of nan.png": (saved(Image.fromarray(np.full((40, 48), np.nan, np.float32)), "TIFF"), "is not a JPEG"),
    "one pixel.png": (saved(Image.new("L", (1, 1)), "PNG"), "is 1 x 1 pixels"),
    "one row.png": (saved(Image.new("L", (900, 1)), "PNG"), "is 900 x 1 pixels"),
    "one column.jpg": (saved(Image.new("L", (1, 900)), "JPEG"), "is 1 x 900 pixels"),
    "31 pixels.png": (saved(Image.new("L", (31, 300)), "PNG"), "less than 32 a side"),
    "no width.png": (png(0, 40, b""), "cut short or damaged"),
    "101 megapixels.png": (png(10_100, 10_000, b""), "more than 100 megapixels"),
    "tera pixels.png": (png(2**20, 2**20, bytes(2**20)), "more than 100 megapixels"),
    "largest header.png": (png(2**31 - 1, 2**31 - 1, b""), "more than 100 megapixels"),
    "four gigapixels.jpg": (
        (lambda at: JPEG[: at + 5] + b"\xff\xdc\xff\xdc" + JPEG[at + 9 :])(JPEG.index(b"\xff\xc0")),
        "more than 100 megapixels",
    ),
    "wrong checksum of header.png": (PNG[:29] + bytes([PNG[29] ^ 1]) + PNG[30:], "cut short or damaged"),
    "pixels that are no zlib.png": (
        png(48, 40, b"").replace(chunk(b"IDAT", zlib.compress(b"")), chunk(b"IDAT", b"\x78\x9cxxxxxxxx")),
        "cut short or damaged",
    ),
    "no pixels.png": (png(48, 40, b"")[:33] + chunk(b"IEND", b""), "cut short or damaged"),
    "itxt bomb.png": (png(48, 40, b"", before=text_bomb(b"iTXt", b"Comment\0\1\0\0\0")), "cut short or damaged"),
    "ztxt bomb.png": (png(48, 40, b"", before=text_bomb(b"zTXt", b"Comment\0\0")), "cut short or damaged"),
    "profile bomb.png": (png(48, 40, b"", before=text_bomb(b"iCCP", b"x\0\0")), "cut short or damaged"),
    "chunk of 2 GB that is not there.png": (PNG[:33] + b"\x7f\xff\xff\xffzTXt" + PNG[33:], "cut short or damaged"),
    "unknown colour type.png": (png(48, 40, b"", colour=5), "cut short or damaged"),
    "pickle.png": (b"\x80\x04K\x01.", "something else"),
}
ODD_NAMES = ("new\nline.png", "return\rhere.png", "escape\x1b[2J.png", "latin-1 \udce9.png", "blank at the end .png")


def plant(folder):
    """Write every good and bad file into a folder, and what is no file at all; return the names of both kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in USED.items():
        (folder / name).write_bytes(content)
    for name, (content, _) in REFUSED.items():
        (folder / name).write_bytes(content)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "device.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.jpg").mkdir()
    (folder / "link to a film.png").symlink_to("grey.png")
    return {*USED, "link to a film.png"}, {*REFUSED, "loop.png", "dangling.png", "device.png", "pipe.png", "folder.jpg"}


def difference(read):
    """The largest and the mean distance of the pixels from the film's."""
    apart = np.abs(read.astype(int) - FILM[..., None])
    return apart.max(), apart.mean()


@pytest.mark.fault(
    "images",
    "unusual but whole files: 16 bits, CMYK, YCCK, palette, alpha, all EXIF orientations, wrong suffix, odd names",
    done="read with the right pixels: equal to the upright film (PNG), within 3 grey levels on average (JPEG)",
    lost="nothing",
    rerun="nothing to do",
)
@pytest.mark.parametrize("name", USED)
def test_an_unusual_file_gives_the_films_pixels(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(USED[name])
    read = images.read(path)
    assert read.shape == (40, 48, 3)
    most, mean = difference(read)
    assert mean < 3
    if USED[name].startswith(b"\x89PNG"):
        assert most == 0


@pytest.mark.fault(
    "images",
    "files that are damaged, cut short, no film, or bombs of size and metadata",
    done="refused in one line with name, reason and remedy",
    lost="nothing",
    rerun=NEXT,
)
@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_by_name(tmp_path, name):
    content, words = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Problem, match=words) as caught:
            images.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "; " in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.fault(
    "images",
    "links in a circle, links to nothing or to a device, pipes, folders named x.jpg, no right to read",
    done="refused by name without waiting",
    lost="nothing",
    rerun=NEXT,
)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, count_inputs):
    _, bad = plant(tmp_path)
    names = sorted(bad - set(REFUSED))
    for name in (*names, "absent.png", "nul\0.png", "x" * 300):
        with pytest.raises(Problem) as caught:
            images.read(tmp_path / name)
        assert name[:3] in str(caught.value)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "locked.png"
        path.write_bytes(PNG)
        path.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(Problem, match=r"locked\.png: cannot be read \(Permission denied\)"):
                images.read(path)
        finally:
            os.seteuid(user)
    count_inputs(len(names) + 4)


@pytest.mark.fault(
    "images",
    "a collection with all these files in it",
    done="the run goes on without them; rejected.csv names each with its reason, the manifest holds the others",
    lost="nothing: every good film is in the manifest",
    rerun="read rejected.csv; mend what is worth mending and curate again",
)
def test_a_collection_with_bad_files_is_curated_without_them(tmp_path, monkeypatch, count_inputs):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    place = tmp_path / "archive"
    good, bad = plant(place / "train" / "covid")
    for name in ODD_NAMES:
        (place / "train" / "covid" / name).write_bytes(PNG)
    for number, part in enumerate(("train/non", "test/covid", "test/non"), start=1):
        (place / part).mkdir(parents=True)
        Image.fromarray(FILM // (number + 1)).save(place / part / f"film {number}.png")
    run = runs.begin("covid-xray-5k", settings={"folders.released": str(place), "weights": "random"})
    rows = stages.manifest(run)
    assert {Path(path).name for path in rows["path"]} == good | {f"film {number}.png" for number in (1, 2, 3)}
    for film in rows.itertuples():
        assert images.read(film.path).shape == (40, 48, 3)
    refused = stages.rejected(run).assign(name=lambda frame: frame["path"].map(lambda path: Path(path).name))
    odd = {ascii(name)[1:-1] for name in ODD_NAMES}
    assert set(refused["name"]) == bad - {"folder.jpg"} | odd  # a folder is walked into, not taken for a film
    assert refused["reason"].str.len().min() > 10
    for name, (_, words) in REFUSED.items():
        assert words in refused.set_index("name").loc[name, "reason"]
    count_inputs(len(good) + len(bad) + len(ODD_NAMES))


@pytest.mark.fault(
    "images",
    "a list of files to score with all these in it",
    done="the good ones are scored, the others refused by name",
    lost="nothing: every good file has its score",
    rerun=NEXT,
)
@pytest.mark.filterwarnings("error")
def test_scoring_goes_on_past_bad_files(tmp_path, count_inputs):
    good, bad = plant(tmp_path / "films")
    good = {
        name for name in good if name.startswith(("deep g", "grey", "turned 6", "ycck", "commas", "link", "рентген"))
    }
    paths = [tmp_path / "films" / name for name in sorted(good | bad)]
    (tmp_path / "films" / "latin-1 \udce9.png").write_bytes(PNG)
    paths.append(tmp_path / "films" / "latin-1 \udce9.png")
    generator = torch.Generator().manual_seed(0)
    head = {"weight": torch.randn(2, 512, generator=generator) / 20, "bias": torch.zeros(2)}
    known = {"backbone": "resnet18", "weights": "random", "seed": 0, "preset": "64-squash"}
    weights = backbones.load("resnet18", weights="random", seed=0).weights_id
    heads.save(tmp_path / "head.safetensors", head, {**known, "weights_id": weights})
    scored, refused = predict.score_files(paths, tmp_path / "head.safetensors")
    scored.to_csv(tmp_path / "told.csv")
    told = dict(zip(scored["image"].map(lambda name: Path(name).name), scored["score"], strict=True))
    assert set(told) == good | {"latin-1 \\udce9.png"}
    assert len({told[name] for name in good if USED.get(name) == PNG}) == 1
    assert told["deep grey.png"] == told["grey.png"] == told["turned 6.png"]
    assert len(refused) == len(bad)
    for problem, name in zip(refused, sorted(bad), strict=True):
        assert name in str(problem)
    count_inputs(len(paths))


READ_ALL = """
import resource, sys, pathlib
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from deepcovid_lib import images
from deepcovid_lib.problems import Problem
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        print("read", images.read(path).shape)
    except Problem as problem:
        print("refused", ascii(str(problem)))
status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss would tell the parent's peak if that was higher
print(status.split("VmHWM:")[1].split()[0])
"""


def peak(folder):
    """Read a folder's files in a process of its own that may hold 4 GiB; return its lines and its peak in MiB."""
    program = READ_ALL.format(limit=MOST_MEMORY)
    told = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    *lines, most = told.stdout.splitlines()
    return lines, int(most) / 2**10


@pytest.mark.fault(
    "images",
    "decompression bombs and metadata bombs",
    done="refused before anything is unpacked; reading them all takes less than 300 MiB",
    lost="nothing",
    rerun=NEXT,
)
@MEASURED
def test_no_bad_file_exhausts_memory(tmp_path, count_inputs):
    good, bad = plant(tmp_path)
    lines, most = peak(tmp_path)
    assert sum(line.startswith("read") for line in lines) == len(good)
    assert sum(line.startswith("refused") for line in lines) == len(bad)
    assert most < 300
    count_inputs(len(lines))


@pytest.mark.slow_fault
@pytest.mark.fault(
    "images",
    "films of exactly 100 megapixels, of zeros packed a thousandfold",
    done="read, each within 3 GiB",
    lost="nothing",
    rerun="nothing to do",
)
@MEASURED
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_the_largest_film_is_read_within_bounded_memory(tmp_path, mode):
    Image.new(mode, (10_000, 10_000)).save(tmp_path / "film.png", compress_level=1)
    lines, most = peak(tmp_path)
    assert lines == ["read (10000, 10000, 3)"]
    assert most < 3072


SEEDS = (PNG, JPEG, grey("JPEG", progressive=True), deep(1), deep(4), oriented(6, "JPEG"), USED["palette.png"], ycck())
CHANGE = st.tuples(st.sampled_from("flip cut insert overwrite repeat".split()), st.floats(0, 1), st.binary(max_size=40))


def changed(content, change):
    how, share, noise = change
    at = int(share * len(content))
    if how == "cut":
        return content[:at] + content[at + len(noise) :] if noise else content[:at]
    if how == "insert":
        return content[:at] + noise + content[at:]
    if how == "overwrite":
        return content[:at] + noise + content[at + len(noise) :]
    if how == "repeat":
        return content[:at] + content[at : at + 4 * len(noise)] * 3 + content[at:]
    flipped = bytearray(content)
    for place in noise:
        flipped[(at + place) % len(flipped)] ^= 1 << place % 8
    return bytes(flipped)


@pytest.mark.fault(
    "images",
    "JPEG and PNG bytes changed at random: bits flipped, parts cut, inserted, overwritten, repeated",
    done="read as an image of at least 32 pixels a side, or refused by name; nothing else, and no waiting",
    lost="nothing",
    rerun=NEXT,
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_changed_bytes_are_read_or_refused(tmp_path, count_inputs):
    tried = []

    @settings(deadline=20_000, database=None, max_examples=400, suppress_health_check=list(HealthCheck))
    @given(content=st.sampled_from(SEEDS), changes=st.lists(CHANGE, min_size=1, max_size=4))
    def follow(content, changes):
        for change in changes:
            content = changed(content, change) or b"\xff\xd8\xff"
        path = tmp_path / "film.png"
        path.write_bytes(content)
        tried.append(len(content))
        with suppress(Problem):
            read = images.read(path)
            assert read.dtype == np.uint8
            assert min(read.shape[:2]) >= 32

    follow()
    count_inputs(len(tried))
