"""Options of the book checks, and a quiet single thread for the rest."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")


def pytest_addoption(parser):
    parser.addoption("--book", help="the folder of a built book")
    parser.addoption("--run", default="phantom", help="the run it was built from")
