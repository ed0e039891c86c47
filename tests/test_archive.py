"""The archive: complete, the same every time, without films, and checked file by file."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from fitted import write_head

from deepcovid_lib import __version__, archive, artefacts, runner, runs, site
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Misuse, Problem

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")
BOOK = {"index.html": "<p>start", "book/cite.html": "<p>cite", "files/fig-roc.svg": "<svg>", ".nojekyll": ""}


def put(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def begun(tmp_path, monkeypatch, edition="tiny", audience="public"):
    """A run with a finished book and a few results."""
    root = tmp_path / "root"
    monkeypatch.setenv("DEEPCOVID_ROOT", str(root))
    run = runs.begin(edition, settings={"models": ["resnet18"], "folders.phantom": "/secret/place"})
    put(root / "_build" / "books" / "made-1", BOOK)
    films = {"slug": "fig-samples", "films": True}
    put(
        run.folder,
        {
            "facts.json": '{"book": {"seconds": 1}}',
            "manifest.csv": "image_id,path\nx,/secret/film.png\n",
            "rejected.csv": "path\n/secret/film.png\n",
            "funnel.csv": "rule,images\nall,3\n",
            "tables/tab-auc.csv": "model,auc\nresnet18,0.5\n",
            "tables/tab-auc.json": "{}",
            "figures/fig-roc.csv": "x,y\n0,0\n",
            "figures/fig-roc.png": "film",
            "figures/fig-roc.json": json.dumps({"slug": "fig-roc", "films": False}),
            "figures/fig-samples.csv": "title\nfilm\n",
            "figures/fig-samples.json": json.dumps(films),
            "values/scores.json": '{"auc": "0.5"}',
        },
    )
    scores = run.fit("resnet18") / "scores.csv"
    scores.parent.mkdir(parents=True)
    pd.DataFrame(
        {
            "image_id": ["nih:smith_1", "nih:smith_2"],
            "patient_id": ["nih:smith", "nih:smith"],
            "label": ["covid", "non_covid"],
            "finding": ["COVID-19", "Mass"],
            "group": ["covid", "other_disease"],
            "score": [0.9, 0.25],
        }
    ).to_csv(scores, index=False)
    write_head(scores.parent, run.manifest)
    said = [{"slug": slug, "sha256": artefacts.digest(run, slug)} for slug in artefacts.published(run)]
    said.append({"values": "scores", "sha256": sha256(run.folder / "values" / "scores.json")})
    outputs = [nbformat.v4.new_output("display_data", metadata={"deepcovid": each}) for each in said]
    cells = [nbformat.v4.new_code_cell("show()", outputs=outputs, execution_count=1)]
    asked = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings}
    executed = run.folder / "notebooks" / "scores.ipynb"
    executed.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {"parameters": asked}}), executed)
    runner.seal(executed, {}, {})
    (run.folder / f"book-{audience}.txt").write_text(f"_build/books/made-1 {site.written(run)}\n")
    return run


@pytest.fixture
def run(tmp_path, monkeypatch):
    return begun(tmp_path, monkeypatch)


def inside(path):
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        return {name.partition("/")[2]: packed.read(name) for name in packed.namelist()}


def test_the_book_is_whole_in_one_folder(run, tmp_path):
    made = archive.book(run, tmp_path)
    assert made.name == f"deep-covid-rerun-{__version__}-{run.name}-book.zip"
    assert inside(made) == {name: text.encode() for name, text in BOOK.items()}
    with zipfile.ZipFile(made) as packed:
        names = packed.namelist()
    assert names == sorted(names)
    assert {name.split("/")[0] for name in names} == {made.stem}


def test_equal_books_are_equal_bytes(run, tmp_path):
    first = archive.book(run, tmp_path / "a").read_bytes()
    for path in (run.root / "_build").rglob("*.html"):
        path.touch()
        path.chmod(0o600)
    assert archive.book(run, tmp_path / "b").read_bytes() == first
    put(run.root / "_build" / "books" / "made-1", {"index.html": "<p>other"})
    assert archive.book(run, tmp_path / "c").read_bytes() != first


@pytest.mark.parametrize("edition", ["tiny", "open-cxr"])
def test_a_local_book_is_not_archived(tmp_path, monkeypatch, edition):
    run = begun(tmp_path, monkeypatch, edition, "local")
    with pytest.raises(Problem, match="has no public book; build it with.*--audience public"):
        archive.book(run, tmp_path)
    assert not list(tmp_path.glob("*.zip"))


def test_a_film_in_a_public_book_stops_the_archive(tmp_path, monkeypatch):
    run = begun(tmp_path, monkeypatch, "open-cxr")
    assert not run.edition.publish_films
    archive.book(run, tmp_path / "clean")
    put(run.root / "_build" / "books" / "made-1", {"files/fig-samples-dark.svg": "film"})
    with pytest.raises(Problem, match=r"fig-samples-dark\.svg: shows patients' films"):
        archive.book(run, tmp_path / "spoilt")
    assert not list((tmp_path / "spoilt").glob("*"))


def test_a_link_is_refused(run, tmp_path):
    (run.root / "_build" / "books" / "made-1" / "out").symlink_to(tmp_path)
    with pytest.raises(Problem, match="is a link"):
        archive.book(run, tmp_path / "dist")
    assert not list((tmp_path / "dist").glob("*"))


def test_a_book_that_is_gone_is_told(run, tmp_path):
    (run.root / "_build" / "books" / "made-1" / "index.html").unlink()
    with pytest.raises(Problem, match="has no public book"):
        archive.book(run, tmp_path)


def test_results_are_numbers_alone(run, tmp_path):
    held = inside(archive.results(run, tmp_path))
    assert set(held) == {
        "run.yaml",
        "facts.json",
        "funnel.csv",
        "tables/tab-auc.csv",
        "figures/fig-roc.csv",
        "figures/fig-samples.csv",
        "values/scores.json",
        "scores/resnet18.csv",
        "digests.json",
    }
    text = b"".join(held.values()).decode()
    for word in ("secret", "smith", "folders"):
        assert word not in text
    told = yaml.safe_load(held["run.yaml"])
    assert (told["edition"], told["settings"]) == ("tiny", {"models": ["resnet18"]})
    assert b"recorded:i0000,recorded:p0000" in held["scores/resnet18.csv"]


def test_results_leave_out_what_a_public_book_withholds(tmp_path, monkeypatch):
    held = inside(archive.results(begun(tmp_path, monkeypatch, "open-cxr"), tmp_path))
    assert "figures/fig-roc.csv" in held
    assert "figures/fig-samples.csv" not in held


@pytest.fixture
def sealed(run, tmp_path, monkeypatch):
    folder = tmp_path / "dist"
    assert archive.main(["--run", run.name, "--to", str(folder)]) == 0
    return folder


def test_an_archive_verifies_and_sha256sum_agrees(sealed, capsys):
    assert archive.main(["--verify", str(sealed)]) == 0
    assert capsys.readouterr().out.endswith("2 files are as SHA256SUMS tells\n")
    told = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=sealed, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr


def test_a_changed_missing_or_added_file_is_named(sealed, capsys):
    path = next(sealed.glob("*-book.zip"))
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(Problem, match=f"{path.name}: differs"):
        archive.verify(sealed)
    assert archive.main(["--verify", str(sealed)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    path.unlink()
    with pytest.raises(Problem, match=f"{path.name}: is listed but missing"):
        archive.verify(sealed)
    path.write_bytes(whole)
    assert archive.verify(sealed) == 2
    (sealed / "extra.whl").write_text("x")
    with pytest.raises(Problem, match=r"extra\.whl: has no checksum"):
        archive.verify(sealed)


@pytest.mark.parametrize("line", ["", "abc", "0" * 64 + "  ../outside", "0" * 63 + "  file", "0" * 64 + " file"])
def test_a_spoilt_list_is_told_by_row(sealed, line):
    sums = sealed / "SHA256SUMS"
    sums.write_text(sums.read_text() + line + "\n")
    with pytest.raises(Problem, match="SHA256SUMS, row 3: no checksum and file name"):
        archive.verify(sealed)


def test_nothing_to_verify_is_told(tmp_path):
    with pytest.raises(Problem, match="SHA256SUMS: not there"):
        archive.verify(tmp_path)


def test_an_unknown_run_is_wrong_use(run, tmp_path):
    assert archive.main(["--run", "nowhere", "--to", str(tmp_path)]) == 2
    with pytest.raises(Misuse, match="no run 'nowhere'"):
        runs.reopen("nowhere")


def test_the_wheel_holds_the_library_editions_and_recorded_runs_and_nothing_else(tmp_path):
    if not UV.is_file():
        pytest.skip("uv is not beside this Python")
    told = subprocess.run(
        [UV, "build", "--offline", "--wheel", "--out-dir", tmp_path, ROOT], capture_output=True, text=True
    )
    if told.returncode and "offline" in told.stderr.lower():
        pytest.skip("the build backend is not in uv's cache, and this test does without a network")
    assert told.returncode == 0, told.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        metadata = packed.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    assert f"\nVersion: {__version__}\n" in metadata
    ours = [path for path in (ROOT / "deepcovid_lib").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    wanted = {path.relative_to(ROOT).as_posix() for path in ours}
    for name in ("editions", "recorded"):
        shipped = [path for path in (ROOT / name).rglob("*") if path.is_file()]
        wanted |= {f"deepcovid_lib/shipped/{path.relative_to(ROOT).as_posix()}" for path in shipped}
    assert {name for name in names if ".dist-info/" not in name} == wanted
    films = (".png", ".jpg", ".jpeg", ".dcm", ".npy", ".ipynb", ".safetensors")
    assert not [name for name in names if name.endswith(films)]


def test_changed_scores_stop_the_archive(run, tmp_path):
    scores = run.fit("resnet18") / "scores.csv"
    scores.write_text(scores.read_text().replace("0.25", "0.75"))
    with pytest.raises(Problem, match="scores.csv: was removed or changed since the head gave it"):
        archive.results(run, tmp_path)
