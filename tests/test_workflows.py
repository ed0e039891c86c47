"""The workflows: what they call is there, and they may do no more than they must."""

import re
from pathlib import Path

import pytest
import yaml

from deepcovid_lib import editions

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {("publish", "deploy", "pages"), ("publish", "deploy", "id-token"), ("release", "release", "contents")}


def read(path):
    known = yaml.safe_load(path.read_text(encoding="utf-8"))
    known["on"] = known.pop(True)  # YAML 1.1 reads the key `on` as true
    return known


def runs_of(path):
    return [step["run"] for job in read(path)["jobs"].values() for step in job["steps"] if "run" in step]


every = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_there_is_one_for_each_occasion():
    assert {"test", "publish", "release", "colab", "audit"} <= {path.stem for path in WORKFLOWS}


@every
def test_it_may_do_no_more_than_it_must(path):
    known = read(path)
    assert known["permissions"] in ({}, {"contents": "read"})
    for name, job in known["jobs"].items():
        writes = {(path.stem, name, what) for what, level in job.get("permissions", {}).items() if level == "write"}
        assert writes <= WRITES
        if writes:
            assert not any(step.get("uses", "").startswith("actions/checkout") for step in job["steps"])


@every
def test_it_ends_by_itself_and_pins_what_it_uses(path):
    known = read(path)
    assert known["concurrency"]["group"]
    for job in known["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 120
        assert not job["runs-on"].endswith("-latest")
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@every
def test_no_text_from_outside_becomes_a_command(path):
    for command in runs_of(path):
        assert "${{" not in command


@every
def test_what_it_calls_is_there(path):
    commands = "\n".join(runs_of(path))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z-]+)", commands):
        assert target in targets, target
    for name in re.findall(r"\b((?:tests|notebooks|deepcovid_lib|benchmarks)/[\w./-]+)", commands):
        assert (ROOT / name).exists(), name


@every
def test_the_editions_it_names_exist(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:EDITION[=:]|--edition|--run) *\"?([\w$-]+)", text)
    assert {name for name in named if not name.startswith("$")} <= set(editions.names())


def test_the_published_book_is_the_public_one_and_its_edition_is_chosen_once():
    path = ROOT / ".github" / "workflows" / "publish.yml"
    builds = [command for command in runs_of(path) if "reproduce" in command]
    assert builds
    assert all("--audience public" in command for command in builds)
    assert read(path)["env"]["EDITION"] in editions.names()
    assert path.read_text(encoding="utf-8").count(read(path)["env"]["EDITION"]) == 1
    assert read(path)["concurrency"] == {"group": "pages", "cancel-in-progress": False}


def test_a_release_is_the_archive_checked_again():
    commands = runs_of(ROOT / ".github" / "workflows" / "release.yml")
    assert [command for command in commands if command.startswith("make archive")]
    checked = next(n for n, command in enumerate(commands) if "sha256sum --check" in command)
    released = next(n for n, command in enumerate(commands) if "gh release create" in command)
    assert checked < released
    archive = re.search(r"^archive:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert "--audience public" in archive
