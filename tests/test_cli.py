"""The command line: help with examples, one line for a fault, the right exit status."""

import subprocess
import sys

import pytest

from deepcovid_lib import cli


def told(*arguments):
    return subprocess.run([sys.executable, "-m", "deepcovid_lib.cli", *arguments], capture_output=True, text=True)


def test_help_shows_every_command_and_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in (
        "reproduce",
        "curate",
        "extract",
        "finetune",
        "predict",
        "compare",
        "doctor",
        "examples:",
        "no medical device",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["curate", "--edition", "tinny"], "no edition 'tinny'"),
        (["curate", "--edition", "tiny", "--set", "sed=1"], "nearest: seed"),
        (["curate", "--run", "never-begun"], "no run 'never-begun'"),
        (["reproduce", "--jobs", "0"], "--jobs"),
        (["compare", "never-begun", "phantom"], "'never-begun' is no run"),
        (["extract", "--edition", "tiny", "--model", "resnet18", "--shard", "3/2"], "not I/N"),
        (["extract", "--edition", "tiny", "--model", "resnet18", "--device", "abacus"], "offers no device 'abacus'"),
        (["reproduce", "--edition", "tiny", "--shards", "0"], "--shards"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    monkeypatch.setenv("DEEPCOVID_DEVICE", "cpu")  # so that what a command sets goes again
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_missing_data_is_one_line_and_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    assert cli.main(["curate", "--edition", "open-cxr"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_what_cannot_be_fetched_says_how_to_obtain_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    assert cli.main(["fetch", "chexpert"]) == 1
    assert "register" in capsys.readouterr().err
    assert cli.main(["fetch", "mimic"]) == 2


def test_a_full_disk_is_one_line_and_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert cli.main(["curate", "--edition", "tiny"]) == 1
    error = capsys.readouterr().err
    assert "No space left" in error
    assert error.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_starting_up_needs_no_torch():
    code = "import sys, deepcovid_lib.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_command_is_wrong_use():
    assert told().returncode == 2
