"""Options of the book checks, and a quiet single thread for the rest."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("unhurried")
os.environ.setdefault("OMP_NUM_THREADS", "2")


def pytest_addoption(parser):
    parser.addoption("--book", help="the folder of a built book")
    parser.addoption("--run", default="phantom", help="the run it was built from")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(area, fault, done, lost, rerun): what a test plants, and what follows")
    config.addinivalue_line("markers", "slow_fault: a fault test that runs with --faults only")


@pytest.fixture(scope="module")
def book(request):
    """The folder of the built book that was given."""
    given = request.config.getoption("--book")
    if not given:
        pytest.skip("no book given: --book FOLDER")
    return Path(given).resolve()


@pytest.fixture(scope="module")
def results(request):
    """The folder of the run that the book was built from."""
    return Path(__file__).parent.parent / "results" / request.config.getoption("--run")
