"""Licences: every locked package has one that is known, and the recorded list is true to the lock."""

import tomllib
from importlib.metadata import PathDistribution, distribution, distributions
from pathlib import Path

import pandas as pd
import pytest

from deepcovid_lib import licences

ROOT = Path(__file__).parent.parent
LOCK = licences.locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def recorded():
    return licences.read()


def test_the_lock_is_read_whole():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert len(LOCK) == sum("==" in line.partition(";")[0] for line in lines)


def test_the_recorded_list_is_true_to_the_lock(recorded):
    pd.testing.assert_frame_equal(recorded[["package", "version", "where"]], LOCK)


def test_every_locked_package_has_a_known_licence(recorded):
    kinds = recorded["licence"].map(licences.kind)
    assert not recorded[kinds == "unknown"].to_dict("records")
    assert set(kinds) == set(licences.KINDS)


def test_the_list_says_what_the_packages_installed_here_say(recorded):
    told = recorded.set_index(["package", "version"])[["licence", "told_by"]]
    here = {(licences.name(package), package.version): licences.licence(package) for package in distributions()}
    known = [key for key in here if key in told.index]
    assert len(known) > 100
    assert {key: tuple(told.loc[key]) for key in known} == {key: here[key] for key in known}


def test_nothing_proprietary_is_asked_for_by_name_or_outside_linux(recorded):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = " ".join([*project["dependencies"], *sum(project["optional-dependencies"].values(), [])])
    rows = recorded[recorded["licence"].map(licences.kind) == "proprietary"]
    assert not [row.package for row in rows.itertuples() if row.package in asked]
    assert rows["package"].str.fullmatch(r"(nvidia|cuda)-[a-z0-9-]+").all()
    assert rows["where"].str.contains("sys_platform == 'linux'").all()


def test_the_one_gpl_file_of_docutils_is_not_installed():
    assert not [file for file in distribution("docutils").files if file.suffix == ".el"]


@pytest.mark.parametrize("text", ["", "GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "(MIT OR GPL-2.0-only) AND BSD"])
def test_a_licence_that_asks_more_is_unknown(text):
    assert licences.kind(text) == "unknown"


def put(folder, metadata, heading=None):
    """A package as it lies in an environment."""
    place = folder / "sample-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Sample\nVersion: 1.0\n{metadata}", "utf-8")
    (place / "RECORD").write_text("sample-1.0.dist-info/LICENSE.txt,,\n" if heading else "", "utf-8")
    if heading:
        (place / "LICENSE.txt").write_text(heading, "utf-8")
    return PathDistribution(place)


BSD, GPL = (
    f"Classifier: License :: OSI Approved :: {name}\n" for name in ("BSD License", "GNU General Public License")
)


@pytest.mark.parametrize(
    ("metadata", "heading", "told"),
    [
        (f"License-Expression: Zlib OR MIT\nLicense: ISC\n{BSD}", "MIT License\n", ("Zlib OR MIT", "expression")),
        (f"License: Apache 2.0\n{BSD}", "MIT License\n", ("Apache-2.0", "field")),
        (f"License: Copyright someone\n        and others\n{BSD}", "MIT License\n", ("BSD", "classifiers")),
        (f"License: UNKNOWN\n{BSD}", None, ("BSD", "classifiers")),
        ("Classifier: Topic :: Text\n", "MIT License\n\nCopyright", ("MIT", "file")),
        (f"{BSD}{GPL}", None, ("BSD AND GNU General Public License", "classifiers")),
        ("License-Expression: GPL-3.0-only\nLicense: MIT\n", "MIT License\n", ("GPL-3.0-only", "expression")),
        ("", "All rights reserved\n", ("", "")),
        ("", None, ("", "")),
    ],
)
def test_a_licence_is_read_where_it_is_told_best(tmp_path, metadata, heading, told):
    assert licences.licence(put(tmp_path, metadata, heading)) == told


def test_what_is_known_of_a_package_elsewhere_is_kept(monkeypatch, tmp_path):
    lock = pd.DataFrame(
        [("sample", "1.0", ""), ("other", "2.0", "os_name == 'nt'"), ("third", "3.0", "")],
        columns=["package", "version", "where"],
    )
    known = lock.assign(version=["0.9", "2.0", "2.9"], licence="ISC", told_by="field")
    monkeypatch.setattr(licences, "distributions", lambda: [put(tmp_path, "License: MIT\n")])
    rows = licences.listed(lock, known).to_numpy().tolist()
    assert [row[3:] for row in rows] == [["MIT", "field"], ["ISC", "field"], ["", ""]]
    assert [row[:3] for row in rows] == lock.to_numpy().tolist()


def test_the_page_counts_packages_once_and_escapes_their_text(recorded):
    text = licences.page(recorded)
    assert f"these are {recorded['package'].nunique()} packages" in text
    assert text.count("<tr>") == len(recorded) + text.count("<thead>")
    spoilt = recorded.head(1).assign(where="<script>")
    assert "<script>" not in licences.page(spoilt)
