"""Films: read them strictly, bring them to one size, make the augmented copies."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from deepcovid_lib.problems import Misuse, Problem

SHORTEST_SIDE = 32
LARGEST_AREA = 100_000_000
LARGEST_SQUARE = 2048
DEPTHS = (8, 10, 12, 14, 16)
SEEN = {"LA": "L", "RGB": "RGB", "RGBA": "RGB"}  # modes that Pillow cuts to 8 bits a channel, and what they show
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_ROTATION = 10.0
LARGEST_SHIFT = 0.04

_READERS = {b"\xff\xd8\xff": JpegImageFile, b"\x89PNG\r\n\x1a\n": PngImageFile}


def read(path: str | Path) -> np.ndarray:
    """Read a JPEG or PNG film as RGB.

    The content decides the format, whatever the file is called. Grey becomes three equal channels, transparency is laid
    over black, the EXIF orientation is applied. Grey images of 16 bits keep the upper 8 of the bits in use: of 8, 10,
    12, 14 or 16, the fewest that hold the brightest pixel, so that a 12-bit film stored in 16 does not turn black.

    Returns
    -------
    numpy.ndarray of uint8, shape (height, width, 3)
        Values from 0 to 255.

    Raises
    ------
    Problem
        If the file is absent, no plain file, empty, no JPEG or PNG, cut short, damaged, animated, less than 32 pixels
        a side, or more than 100 megapixels, which are never decoded.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "film.png"
    >>> Image.new("I;16", (40, 32), 2048).save(path)
    >>> film = read(path)
    >>> film.shape, film.dtype, int(film.max())
    ((32, 40, 3), dtype('uint8'), 128)
    """
    return _three(_decoded(path))


def _three(pixels: np.ndarray) -> np.ndarray:
    """Three equal channels of a grey film; a film in colour as it is."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _decoded(path: str | Path) -> np.ndarray:
    """Every pixel of a file, uint8 (height, width) where the film is grey, else (height, width, 3)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for without end
            raise Problem("is a directory, a pipe or a device", file=path, remedy="check the path")
        with Path(path).open("rb") as stream:
            return _pixels(stream, path)
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise Problem(f"cannot be read ({reason})", file=path, remedy="check the path") from fault


def _pixels(stream, path: str | Path) -> np.ndarray:
    """Decode an open file, every pixel of it."""
    head = stream.read(512)
    reader = next((reader for mark, reader in _READERS.items() if head.startswith(mark)), None)
    if reader is None:
        raise Problem(f"is not a JPEG or PNG image but {_likeness(head)}", file=path, remedy="fetch the file again")
    stream.seek(0)
    try:
        image = reader(stream)
        _refuse_odd(image, path)
        cut = image.mode in SEEN and any("16" in str(tile.args) for tile in image.tile)
        image.load()
        if cut and np.asarray(image.convert(SEEN[image.mode])).max() < 2 ** (DEPTHS[-2] - 8):
            what = "holds 16 bits a channel and uses fewer, which cannot be told from a dark film"
            raise Problem(what, file=path, remedy="save it in grey, without transparency")
        ImageOps.exif_transpose(image, in_place=True)
        return _plain(image)
    except Problem:
        raise
    except Exception as fault:  # on damaged bytes Pillow raises a dozen types
        raise Problem(f"is cut short or damaged ({fault})", file=path, remedy="fetch the file again") from fault


def _likeness(head: bytes) -> str:
    """Say what the first bytes of a file look like."""
    if not head:
        return "an empty file"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page"
    return "a DICOM file" if head[128:132] == b"DICM" else "something else"


def _refuse_odd(image: ImageFile.ImageFile, path: str | Path) -> None:
    """Raise a `Problem` for a header that no chest film has."""
    width, height = image.size
    if width * height > LARGEST_AREA:
        what = f"is {width} x {height} pixels, more than {LARGEST_AREA // 10**6} megapixels"
        raise Problem(what, file=path, remedy="export the film in a smaller size")
    if min(width, height) < SHORTEST_SIDE:
        what = f"is {width} x {height} pixels, less than {SHORTEST_SIDE} a side"
        raise Problem(what, file=path, remedy="use the full film")
    if getattr(image, "n_frames", 1) > 1:
        raise Problem(f"holds {image.n_frames} frames", file=path, remedy="save the film alone, as one still image")


def _plain(image: Image.Image) -> np.ndarray:
    """Return a decoded image of any Pillow mode as uint8 in grey (height, width) or colour (height, width, 3)."""
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if "transparency" in image.info:  # a PNG's one transparent grey
            grey = np.where(grey == image.info["transparency"], 0, grey)
        bits = next(bits for bits in DEPTHS if grey.max() < 2**bits)
        return (grey >> (bits - 8)).astype(np.uint8)
    if image.mode == "L" and "transparency" not in image.info:
        return np.array(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.array(image.convert("RGB"))


@dataclass(frozen=True)
class Preset:
    """How a film becomes a square.

    Parameters
    ----------
    size : int
        Side of the square in pixels.
    fit : {"squash", "crop"}
        ``"squash"`` scales both sides to `size` and keeps the whole film (the paper: "down-sampled to 224x224");
        ``"crop"`` scales the short side to `size` and keeps the centre, as the script that the authors released does.

    References
    ----------
    Minaee et al. (2020), Section IV.A.

    Examples
    --------
    >>> Preset().key
    '224-squash'
    """

    size: int = 224
    fit: Literal["squash", "crop"] = "squash"

    def __post_init__(self):
        if not 1 <= self.size <= LARGEST_SQUARE:
            raise Misuse(f"a film cannot have {self.size} pixels a side", remedy="224 is the paper's size")
        if self.fit not in ("squash", "crop"):
            raise Misuse(f"no fit is called '{self.fit}'", remedy="use 'squash' or 'crop'")

    @property
    def key(self) -> str:
        """The preset as a short text for names of caches."""
        return f"{self.size}-{self.fit}"


def fit(image: np.ndarray, preset: Preset) -> np.ndarray:
    """Bring a film to the size of a preset, by bilinear interpolation with antialiasing.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (height, width, 3), or (height, width) in grey
    preset : Preset

    Returns
    -------
    numpy.ndarray of uint8, shape (size, size, 3), or (size, size) in grey

    Examples
    --------
    >>> fit(np.zeros((300, 500, 3), np.uint8), Preset(size=64, fit="crop")).shape
    (64, 64, 3)
    """
    size = width = height = preset.size
    if preset.fit == "crop":
        height, width = (size * side // min(image.shape[:2]) for side in image.shape[:2])
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized.crop((left, top, left + size, top + size)))


def square(path: str | Path, preset: Preset) -> np.ndarray:
    """Read a film at the size of a preset: the bytes of ``fit(read(path), preset)``.

    A grey film, as most are, is decoded and scaled as one channel.

    Returns
    -------
    numpy.ndarray of uint8, shape (size, size, 3)

    Raises
    ------
    Problem
        As `read` does.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "film.png"
    >>> Image.new("L", (40, 32), 99).save(path)
    >>> square(path, Preset(size=8)).shape
    (8, 8, 3)
    """
    return _three(fit(_decoded(path), preset))


def normalise(images: np.ndarray) -> np.ndarray:
    """Scale films as the ImageNet backbones expect them: to [0, 1], less the mean, over the standard deviation.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n, size, size, 3)

    Returns
    -------
    numpy.ndarray of float32, shape (n, 3, size, size)

    Examples
    --------
    >>> print(normalise(np.full((1, 2, 2, 3), 255, np.uint8))[0, :, 0, 0].round(3))
    [2.249 2.429 2.64 ]
    """
    scaled = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    scaled /= np.float32(255)
    scaled -= np.float32(IMAGENET_MEAN)[:, None, None]
    scaled /= np.float32(IMAGENET_STD)[:, None, None]
    return scaled


class Transform(NamedTuple):
    """What turns a film into one of its copies; as text, a caption.

    `flip` exchanges left and right; `degrees` is the rotation, anticlockwise, from -10 to 10; `shifts` tells how far
    the corners (upper left, lower left, lower right, upper right) move, as (x, y) in sides of the film, each from -0.04
    to 0.04, the film being stretched, sheared and bent smoothly in between.

    Examples
    --------
    >>> print(Transform(flip=True, degrees=-3.24, shifts=((0.01, 0), (0, 0), (0, -0.02), (0, 0))))
    flipped, turned by -3.2 degrees, distorted by 2.0%
    """

    flip: bool = False
    degrees: float = 0.0
    shifts: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4

    @property
    def distortion(self) -> float:
        """The largest of the shifts, in sides of the film."""
        return max(abs(shift) for corner in self.shifts for shift in corner)

    def __str__(self) -> str:
        if self == Transform():
            return "unchanged"
        start = "flipped, " if self.flip else ""
        return f"{start}turned by {self.degrees:+.1f} degrees, distorted by {self.distortion:.1%}"


def transform_of(*, copy: int, seed: int, identity: str) -> Transform:
    """Return what `augment` does for the same arguments.

    Examples
    --------
    >>> print(transform_of(copy=0, seed=1, identity="ab" * 32))
    unchanged
    """
    if copy == 0:
        return Transform()
    generator = np.random.default_rng([seed, copy, int(identity, 16)])
    flip = bool(generator.random() < 0.5)
    degrees = float(generator.uniform(-LARGEST_ROTATION, LARGEST_ROTATION))
    shifts = generator.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, size=(4, 2))
    return Transform(flip, degrees, tuple((float(x), float(y)) for x, y in shifts))


def augment(image: np.ndarray, *, copy: int, seed: int, identity: str) -> np.ndarray:
    """Make one augmented copy of a film: flipped or not, rotated a little, distorted a little.

    Seed, identity and number of the copy determine it, whichever copies are made before it and in whatever process.
    `transform_of` tells what is done and `warp` does it.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (size, size, 3)
    copy : int
        0 gives the film itself. The paper's 31 films become 496 with copies 0 to 15.
    seed : int
        Zero or more.
    identity : str
        The SHA-256 of the source file, in hexadecimal digits.

    Returns
    -------
    numpy.ndarray of uint8, shape (size, size, 3)

    References
    ----------
    Minaee et al. (2020), Section II: "a combination of flipping, rotation, small distortion, and over-sampling".

    Examples
    --------
    >>> film = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    >>> [bool((augment(film, copy=copy, seed=1, identity="ab" * 32) == film).all()) for copy in (0, 1)]
    [True, False]
    """
    if copy == 0:
        return image.copy()
    return warp(image, transform_of(copy=copy, seed=seed, identity=identity))


def warp(image: np.ndarray, transform: Transform) -> np.ndarray:
    """Apply a transform to a film, uint8 (size, size, 3), in one bilinear resampling.

    Beyond its edge the film goes on as its mirror image, so that turning it leaves no black corners.

    Examples
    --------
    >>> film = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    >>> bool((warp(film, Transform(flip=True)) == film[:, ::-1]).all())
    True
    """
    size = len(image)
    margin = size // 8 + 2
    angle = math.radians(transform.degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]) @ turn.T - transform.shifts
    if transform.flip:
        corners = corners[[3, 2, 1, 0]]
    padded = Image.fromarray(np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"))
    quad = ((corners + 0.5) * size + margin).ravel().tolist()
    return np.array(padded.transform((size, size), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR))
