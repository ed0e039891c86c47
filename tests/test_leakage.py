import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from deepcovid_lib import leakage
from deepcovid_lib.problems import Problem

SIZE = 320


def film(number):
    """A smooth texture of its own, over a bright field that all films share, as lungs are."""
    generator = np.random.default_rng(number)
    texture = sum(
        gaussian_filter(generator.normal(size=(SIZE, SIZE)), SIZE / scale) * SIZE / scale for scale in (8, 16)
    )
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    grey = 120 + 60 * np.cos(6 * (x - 0.5)) * np.sin(3 * y) + 25 * texture
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def cropped(image):
    margin = round(0.02 * SIZE)
    return image.crop((margin, margin, SIZE - margin, SIZE - margin))


COPIES = {
    "re-encoded": lambda image: image,
    "smaller": lambda image: image.resize((150, 140)),
    "darker": lambda image: image.point(lambda grey: 255 * (grey / 255) ** 1.4),
    "cropped": cropped,
    "turned": lambda image: image.rotate(2, Image.Resampling.BILINEAR),
    "turned back": lambda image: image.rotate(-2, Image.Resampling.BILINEAR),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored, cropped": lambda image: cropped(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "in colour": lambda image: image.convert("RGB"),
}


def rows(folder, films, split, patients=None):
    """Write films and return their rows of a manifest."""
    listed = []
    for number, (name, image) in enumerate(films.items()):
        path = folder / f"{split}-{name}.jpg"
        image.save(path, quality=80 if split == "train" else 60)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        patient = patients[number] if patients else f"x:{split}-{number}"
        listed.append((f"x:{path.stem}", str(path), digest, patient, split))
    return pd.DataFrame(listed, columns=["image_id", "path", "sha256", "patient_id", "split"])


def test_planted_copies_are_found_and_nothing_else(tmp_path):
    train = rows(tmp_path, {name: film(number) for number, name in enumerate(COPIES)}, "train")
    planted = {name: copy(film(number)) for number, (name, copy) in enumerate(COPIES.items())}
    test = rows(tmp_path, planted | {f"other {number}": film(100 + number) for number in range(20)}, "test")
    found = leakage.near_duplicates(pd.concat([train, test]))
    assert set(found["image_a"] + found["image_b"]) == {f"x:train-{name}x:test-{name}" for name in COPIES}
    assert len(found) == len(COPIES)
    assert found["similarity"].between(leakage.SIMILAR, 1).all()
    assert found["similarity"].is_monotonic_decreasing
    assert not found["same_patient"].any()


def test_the_same_file_has_similarity_1_even_without_any_structure(tmp_path):
    blank = Image.new("L", (64, 64), 7)
    one, other = rows(tmp_path, {"blank": blank}, "train"), rows(tmp_path, {"other": blank.resize((65, 64))}, "test")
    assert leakage.near_duplicates(pd.concat([one, other])).empty
    found = leakage.near_duplicates(pd.concat([one, one.assign(image_id="again", split="test")]))
    assert found["similarity"].tolist() == [1]


def test_copies_on_one_side_are_no_leak(tmp_path):
    frame = rows(tmp_path, {"a": film(1), "b": film(1)}, "train")
    assert leakage.near_duplicates(pd.concat([frame, rows(tmp_path, {"c": film(2)}, "test")])).empty
    assert leakage.near_duplicates(frame).empty
    assert leakage.near_duplicates(frame.assign(split="test")).empty


def test_pairs_of_one_patient_are_told(tmp_path):
    train = rows(tmp_path, {"a": film(1), "b": film(2)}, "train", patients=["x:1", "x:2"])
    test = rows(tmp_path, {"a": film(1), "b": film(2)}, "test", patients=["x:1", "x:3"])
    found = leakage.near_duplicates(pd.concat([train, test]))
    assert dict(zip(found["image_a"], found["same_patient"], strict=True)) == {"x:train-a": True, "x:train-b": False}


def test_the_threshold_is_inclusive_and_moves_what_is_listed(tmp_path):
    frame = pd.concat([rows(tmp_path, {"a": film(1)}, "train"), rows(tmp_path, {"a": film(1), "b": film(2)}, "test")])
    everything = leakage.near_duplicates(frame, threshold=-1)
    assert len(everything) == 2
    exactly = leakage.near_duplicates(frame, threshold=everything["similarity"].iloc[1])
    assert len(exactly) == 2
    assert len(leakage.near_duplicates(frame, threshold=everything["similarity"].iloc[1] + 1e-6)) == 1


def test_blocks_of_test_films_change_nothing(tmp_path, monkeypatch):
    films = {str(number): film(number) for number in range(5)}
    frame = pd.concat([rows(tmp_path, films, "train"), rows(tmp_path, films, "test")])
    at_once = leakage.near_duplicates(frame, threshold=-1)
    monkeypatch.setattr(leakage, "BLOCK", 2)
    in_blocks = leakage.near_duplicates(frame, threshold=-1)
    pd.testing.assert_frame_equal(at_once, in_blocks, rtol=1e-5)


def test_a_film_that_cannot_be_read_is_a_problem(tmp_path):
    frame = rows(tmp_path, {"a": film(1)}, "train").assign(path=str(tmp_path / "absent.jpg"))
    with pytest.raises(Problem, match=r"absent\.jpg"):
        leakage.near_duplicates(frame)


def test_overlap_counts_films_of_patients_on_both_sides():
    frame = pd.DataFrame(
        {"patient_id": list("abbcccd"), "split": ["train", *["train", "test"], *["test"] * 2, "train", "test"]}
    )
    assert leakage.overlap(frame).to_dict("records") == [
        {"patient_id": "b", "train": 1, "test": 1},
        {"patient_id": "c", "train": 1, "test": 2},
    ]


@pytest.mark.parametrize("split", [["train", "test"], ["train", "train"], ["test", "test"]])
def test_overlap_of_a_clean_split_is_empty(split):
    found = leakage.overlap(pd.DataFrame({"patient_id": ["a", "b"], "split": split}))
    assert found.empty
    assert found.columns.tolist() == ["patient_id", "train", "test"]
