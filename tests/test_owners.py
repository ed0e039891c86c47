"""Ownership of a checkout: one at a time, and a process that no owner started is left alone."""

import os
import subprocess
import sys

import pytest

from deepcovid_lib import owners
from deepcovid_lib.problems import Problem


def test_a_checkout_has_one_owner_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(owners, "PATIENCE", 0.2)
    with owners.own(tmp_path):
        with pytest.raises(Problem, match="another reproduce is at work"), owners.own(tmp_path):
            pass
    with owners.own(tmp_path) as environment:
        assert set(environment) == {owners.OWNER}


@pytest.mark.parametrize("token", ["", "another-machine-0123"])
def test_a_process_that_no_owner_here_started_is_left_alone(tmp_path, monkeypatch, token):
    monkeypatch.setenv(owners.OWNER, token)
    assert owners.serve(tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_a_module_is_run_as_the_owners_process_with_its_arguments(tmp_path):
    with owners.own(tmp_path) as environment:
        environment = {**os.environ, **environment, "DEEPCOVID_ROOT": str(tmp_path)}
        command = [sys.executable, "-m", "deepcovid_lib.owners", "json.tool", "--compact"]
        told = subprocess.run(command, input='{"a": 1}', capture_output=True, text=True, env=environment)
    assert told.stdout.strip() == '{"a":1}'


def test_a_script_is_run_as_the_owners_process(tmp_path):
    (tmp_path / "script").write_text("import sys\nif __name__ == '__main__':\n    sys.exit(len(sys.argv))\n")
    command = [sys.executable, "-m", "deepcovid_lib.owners", str(tmp_path / "script"), "one", "two"]
    assert subprocess.run(command).returncode == 3
