"""The project's one address: the same in every place, written and taken out without a trace."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from deepcovid_lib import address
from deepcovid_lib.problems import Misuse, Problem

ROOT = Path(__file__).parent.parent
URL = "https://github.com/owner/na-me_1.x"
OTHER = "https://git.example.org:8443/group/book"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout without an address, and with nothing but the files that repeat it."""
    for place in address.PLACES:
        for path in ROOT.glob(place.files):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    address.write(tmp_path, "")
    return tmp_path


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_place_of_this_project_states_the_one_address():
    stated = address.stated(ROOT)
    assert set(stated.values()) == {address.of(ROOT)}
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} < {Path(name).name for name in stated}


@pytest.mark.parametrize("url", [URL, OTHER])
def test_set_once_or_twice_is_the_same(checkout, url):
    before = held(checkout)
    assert set(address.write(checkout, url)) == set(before)
    once = held(checkout)
    assert set(address.stated(checkout).values()) == {url} == {address.of(checkout)}
    assert address.write(checkout, url) == []
    assert held(checkout) == once


def test_unset_gives_back_every_byte(checkout):
    before = held(checkout)
    address.write(checkout, URL)
    address.write(checkout, OTHER)
    assert set(address.stated(checkout).values()) == {OTHER}
    address.write(checkout, "")
    assert held(checkout) == before


def test_the_files_can_still_be_read_and_say_nothing_else_new(checkout):
    address.write(checkout, URL)
    config = yaml.safe_load((checkout / "_config.yml").read_text())
    assert config["repository"]["url"] == URL
    assert yaml.safe_load((checkout / "CITATION.cff").read_text())["repository-code"] == URL
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    assert project["urls"] == {"Repository": URL}
    related = json.loads((checkout / ".zenodo.json").read_text())["related_identifiers"]
    assert {"identifier": URL, "relation": "isDerivedFrom", "scheme": "url"} in related
    assert f"{URL}/actions/workflows/test.yml/badge.svg" in (checkout / "README.md").read_text()
    for path in checkout.glob("notebooks/*.ipynb"):
        setup = "".join(json.loads(path.read_text())["cells"][1]["source"])
        assert setup.splitlines()[0] == f'ADDRESS = "{URL}"  # the project\'s one address', path.name


def test_line_ends_are_kept(checkout):
    path = checkout / "CITATION.cff"
    path.write_bytes(path.read_bytes().replace(b"version: 0", b"version:  0") + b"# last\r\n\xc3\xa9")
    address.write(checkout, URL)
    assert path.read_bytes().endswith(b"# last\r\n\xc3\xa9")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("https://github.com/owner/name/", "https://github.com/owner/name"),
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        (" HTTPS://GitHub.com/Owner/Name.git/ ", "https://github.com/Owner/Name"),
        ("   ", ""),
    ],
)
def test_one_form(given, written):
    assert address.normal(given) == written
    assert address.normal(written) == written


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/owner/name",
        "git@github.com:owner/name",
        "ssh://github.com/owner/name",
        "github.com/owner/name",
        "https://github.com/owner",
        "https://github.com/owner/name/tree/main",
        "https://github.com/owner/name?x=1",
        "https://github.com/owner/name#x",
        "https://github.com/../name",
        "https:///owner/name",
        'https://github.com/owner/na"me',
        "https://github.com/owner/name\\n",
        "https://github.com/owner/na me",
        "https://github.com/owner/<b>",
        "https://github.com/öwner/name",
    ],
)
def test_what_is_no_address_changes_nothing(checkout, url, capsys):
    before = held(checkout)
    assert address.main([url]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert held(checkout) == before


def test_a_password_is_refused_and_not_repeated():
    with pytest.raises(Misuse, match="user name or a password") as refused:
        address.normal("https://me:secret@github.com/owner/name")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("spoilt", ["README.md", "notebooks/dataset.ipynb", "pyproject.toml"])
def test_a_file_without_its_place_is_named_and_nothing_is_changed(checkout, spoilt):
    path = checkout / spoilt
    path.write_text(re.sub("<!-- badges -->|ADDRESS = |keywords = ", "gone ", path.read_text()))
    before = held(checkout)
    with pytest.raises(Problem, match=f"{spoilt}: holds 0 places"):
        address.write(checkout, URL)
    assert held(checkout) == before


@pytest.mark.parametrize(
    ("url", "home"),
    [
        ("https://github.com/Owner/name", "https://owner.github.io/name"),
        ("https://github.com/Owner/Owner.github.io", "https://owner.github.io"),
        (OTHER, ""),
        ("", ""),
    ],
)
def test_the_book_is_at_home_where_the_pages_of_its_host_are_known(checkout, url, home):
    address.write(checkout, url)
    assert address.home(checkout) == home


def test_the_command_tells_what_changed(checkout, capsys):
    assert address.main([URL]) == 0
    assert "CITATION.cff" in capsys.readouterr().out.splitlines()
    assert address.main([URL]) == 0
    assert capsys.readouterr().out == "nothing to change\n"
