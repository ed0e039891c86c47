"""The fault suite: what a fault test says of itself, which tests are slow, and the report that the book shows."""

import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import checkouts
import pytest
from filelock import FileLock

from deepcovid_lib import runs
from deepcovid_lib.files import write_json

ROOT = Path(__file__).parents[2]
SAID = ("area", "fault", "done", "lost", "rerun")
OUTCOMES = ("passed", "failed", "skipped")


def pytest_addoption(parser):
    group = parser.getgroup("faults")
    group.addoption("--faults", action="store_true", help="run the slow fault tests too")
    group.addoption("--record-faults", metavar="FILE", help="write what every fault led to into FILE, as JSON")


def pytest_configure(config):
    target = config.getoption("record_faults", None)
    if target and not hasattr(config, "workerinput"):
        chosen = config.option.keyword or config.option.markexpr or not config.getoption("faults")
        if chosen or [Path(given).resolve() for given in config.args] != [Path(__file__).parent]:
            raise pytest.UsageError("a record is of all faults: pytest tests/faults --faults --record-faults FILE")
        config.pluginmanager.register(Record(Path(target)), "fault-record")


def pytest_collection_modifyitems(config, items):
    kept, slow = [], []
    for item in items:
        mark = item.get_closest_marker("fault")
        if mark:
            item.user_properties.append(("fault", said(mark)))
        wanted = config.getoption("faults", False) or not item.get_closest_marker("slow_fault")
        (kept if wanted else slow).append(item)
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = kept


def said(mark):
    """Return the five texts of a `fault` marker; raise if one is missing or empty."""
    texts = dict(zip(SAID, mark.args, strict=False)) | mark.kwargs
    if set(texts) != set(SAID) or not all(texts.values()):
        raise pytest.UsageError(f"a fault marker says {', '.join(SAID)}; this one says {texts}")
    return texts


@pytest.fixture
def count_inputs(record_property):
    """Tell how many inputs a test tried, where that is not one: ``count_inputs(n)``."""
    return lambda count: record_property("inputs", count)


class Record:
    """Gather the outcome of every fault test; write them when the session ends."""

    def __init__(self, target):
        self.target = target
        self.found = defaultdict(lambda: {"tests": set(), "inputs": 0, "seconds": 0.0} | dict.fromkeys(OUTCOMES, 0))

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if "fault" not in properties:
            return
        entry = self.found[tuple(properties["fault"][key] for key in SAID)]
        entry["tests"].add(report.nodeid.split("[")[0])
        entry["seconds"] += report.duration
        if report.when == "call" or report.outcome != "passed":
            entry[report.outcome] += 1
        if report.when == "call" and report.outcome == "passed":
            entry["inputs"] += properties.get("inputs", 1)

    def pytest_sessionfinish(self, exitstatus):
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return  # stopped half-way
        faults = [
            {**dict(zip(SAID, key, strict=True)), **entry}
            | {"tests": sorted(entry["tests"]), "seconds": round(entry["seconds"], 1)}
            for key, entry in sorted(self.found.items())
        ]
        facts = {"python": platform.python_version(), "device": runs.device(), "commit": runs.commit(ROOT)}
        write_json({"date": f"{datetime.now(UTC):%Y-%m-%d}", **facts, "faults": faults}, self.target)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, worker_id):
    """The checkout of a tiny run that nothing disturbed, book included: the one that the tests kept, or made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "undisturbed"
    with FileLock(f"{folder}.lock"):
        if checkouts.kept():
            return checkouts.kept()
        if not folder.is_dir():
            making = checkouts.copied(folder.with_name("undisturbed-in-the-making"))
            told = checkouts.reproduce(making)
            assert told.returncode == 0, told.stderr
            making.rename(folder)
    return folder
