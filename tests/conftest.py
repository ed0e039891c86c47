"""Options of the book checks, and a quiet single thread for the rest."""

import os

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
