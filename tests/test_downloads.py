"""Downloads are right or absent; archives unpack inside their folder or not at all."""

import gzip
import hashlib
import io
import re
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from werkzeug import Response

from deepcovid_lib import downloads
from deepcovid_lib.downloads import extract, fetch
from deepcovid_lib.problems import Problem

CONTENT = b"patientid,view\n2,PA\n"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


@pytest.fixture
def url(httpserver):
    httpserver.expect_request("/metadata.csv").respond_with_data(CONTENT)
    return httpserver.url_for("/metadata.csv")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_of_the_right_hash_arrives_and_is_not_fetched_again(url, httpserver, tmp_path):
    target = tmp_path / "deep" / "metadata.csv"
    for _ in range(2):
        assert fetch(url, target, sha256=HASH.upper()) == target
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["metadata.csv"]
    assert len(httpserver.log) == 1


def test_other_bytes_are_refused_and_nothing_is_left(url, tmp_path):
    with pytest.raises(Problem, match=r"gave other bytes than those of SHA-256 0000"):
        fetch(url, tmp_path / "x.csv", sha256="0" * 64)
    assert names(tmp_path) == []


def test_the_first_hash_is_kept_where_none_is_known(url, httpserver, tmp_path):
    target = tmp_path / "metadata.csv"
    fetch(url, target)
    assert (tmp_path / "metadata.csv.sha256").read_text() == HASH + "\n"
    fetch(url, target)
    assert len(httpserver.log) == 1


def test_a_file_that_changed_since_is_told_and_left_alone(url, tmp_path):
    target = tmp_path / "metadata.csv"
    fetch(url, target)
    target.write_bytes(b"changed")
    with pytest.raises(Problem, match="the file has changed"):
        fetch(url, target)
    assert target.read_bytes() == b"changed"


def test_a_host_that_changed_its_file_is_refused_by_the_kept_hash(httpserver, tmp_path):
    target = tmp_path / "images.zip"
    httpserver.expect_ordered_request("/z").respond_with_data(b"one")
    fetch(httpserver.url_for("/z"), target)
    target.unlink()
    httpserver.clear()
    httpserver.expect_request("/z").respond_with_data(b"two")
    with pytest.raises(Problem, match="gave other bytes"):
        fetch(httpserver.url_for("/z"), target)
    assert names(tmp_path) == ["images.zip.sha256"]


def test_a_wrong_file_under_the_right_name_is_never_taken_for_it(url, httpserver, tmp_path):
    target = tmp_path / "metadata.csv"
    target.write_bytes(b"my own")
    with pytest.raises(Problem, match="remove it and fetch it again"):
        fetch(url, target, sha256=HASH)
    assert target.read_bytes() == b"my own"
    assert len(httpserver.log) == 0


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_host_is_told_after_a_bounded_number_of_tries(httpserver, tmp_path, status):
    httpserver.expect_request("/x").respond_with_data(b"sorry", status=status)
    with pytest.raises(Problem, match=f"failed .*{status}"):
        fetch(httpserver.url_for("/x"), tmp_path / "x", sha256=HASH)
    assert names(tmp_path) == []
    assert len(httpserver.log) == 1 + downloads.RETRIES


def test_a_passing_error_is_outlived(httpserver, tmp_path):
    httpserver.expect_ordered_request("/x").respond_with_data(b"", status=503)
    httpserver.expect_ordered_request("/x").respond_with_data(CONTENT)
    assert fetch(httpserver.url_for("/x"), tmp_path / "x", sha256=HASH).read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", [HASH, None])
def test_a_cut_connection_leaves_nothing(httpserver, tmp_path, sha256):
    httpserver.expect_request("/x").respond_with_response(
        Response(iter([CONTENT[:5]]), headers={"Content-Length": str(len(CONTENT))})
    )
    with pytest.raises(Problem, match="the download from .* failed"):
        fetch(httpserver.url_for("/x"), tmp_path / "x", sha256=sha256)
    assert names(tmp_path) == []


def test_a_redirect_is_followed(url, httpserver, tmp_path):
    httpserver.expect_request("/old").respond_with_data(b"", status=302, headers={"Location": url})
    assert fetch(httpserver.url_for("/old"), tmp_path / "x", sha256=HASH).read_bytes() == CONTENT


def test_a_redirect_without_end_is_told(httpserver, tmp_path):
    httpserver.expect_request("/x").respond_with_data(b"", status=302, headers={"Location": "/x"})
    with pytest.raises(Problem, match="failed"):
        fetch(httpserver.url_for("/x"), tmp_path / "x")


def test_a_silent_host_is_given_up(httpserver, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", (0.3, 0.3))

    def silent(request):
        import threading

        threading.Event().wait(0.7)
        return Response(CONTENT)

    httpserver.expect_request("/x").respond_with_handler(silent)
    with pytest.raises(Problem, match="failed"):
        fetch(httpserver.url_for("/x"), tmp_path / "x", sha256=HASH)
    assert names(tmp_path) == []


def test_no_host_at_all_is_told(tmp_path):
    with pytest.raises(Problem, match="place the file by hand"):
        fetch("http://127.0.0.1:9/x", tmp_path / "x")
    assert names(tmp_path) == []


def zipped(path: Path, *entries: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return path


def tarred(path: Path, *entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            packed.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=[zipped, tarred], ids=["zip", "tar"])
def packed(request, tmp_path):
    return lambda *entries, **kind: request.param(tmp_path / "archive", *entries, **kind)


def test_files_and_folders_are_unpacked(packed, tmp_path):
    folder = extract(packed(("data/train/a.png", b"film"), ("b.txt", b"")), tmp_path / "out")
    assert (folder / "data" / "train" / "a.png").read_bytes() == b"film"
    assert (folder / "b.txt").read_bytes() == b""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert names(tmp_path) == ["archive", "out"]


def test_entries_of_folders_make_folders(tmp_path):
    assert (extract(zipped(tmp_path / "a.zip", ("x/", b"")), tmp_path / "zip") / "x").is_dir()
    assert (extract(tarred(tmp_path / "a.tar", ("x", b""), kind=tarfile.DIRTYPE), tmp_path / "tar") / "x").is_dir()


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "x/../../a", "..\\a", "C:\\a", "C:a"])
def test_a_name_that_leads_out_is_refused(packed, tmp_path, name):
    with pytest.raises(Problem, match="leads out of the folder"):
        extract(packed(("good.txt", b"x"), (name, b"x")), tmp_path / "out")
    assert names(tmp_path) == ["archive"]
    assert not (tmp_path.parent / "a").exists()


def test_links_and_devices_are_refused(tmp_path):
    link = zipped(tmp_path / "archive", ("x", b"/etc/hostname"), mode=stat.S_IFLNK | 0o777)
    with pytest.raises(Problem, match="'x' is a link or a device"):
        extract(link, tmp_path / "out")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with pytest.raises(Problem, match="'x' is a link or a device"):
            extract(tarred(tmp_path / "archive", ("x", b""), kind=kind), tmp_path / "out")
    assert names(tmp_path) == ["archive"]


def test_a_bomb_is_stopped_by_what_it_writes(packed, tmp_path):
    archive = packed(("a", bytes(3000)), ("b", bytes(3000)))
    assert archive.stat().st_size < 1000
    with pytest.raises(Problem, match="more than 5999 bytes"):
        extract(archive, tmp_path / "out", largest=5999)
    assert names(tmp_path) == ["archive"]
    extract(archive, tmp_path / "out", largest=6000)


def test_too_many_entries_are_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_MEMBERS", 2)
    with pytest.raises(Problem, match="more than 2 entries"):
        extract(packed(("a", b""), ("b", b""), ("c", b"")), tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused(packed, tmp_path):
    with pytest.raises(Problem, match="cannot be unpacked"):
        extract(packed(("a", b"1"), ("a", b"2")), tmp_path / "out")
    assert names(tmp_path) == ["archive"]


def test_a_damaged_archive_leaves_nothing(packed, tmp_path):
    archive = packed(("a", bytes(range(256)) * 40))
    whole = archive.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF
    for content in (bytes(damaged), whole[: len(whole) // 2], b"", b"no archive"):
        archive.write_bytes(content)
        with pytest.raises(Problem, match="archive: "):
            extract(archive, tmp_path / "out")
        assert names(tmp_path) == ["archive"]


def test_damage_that_only_the_checksum_of_the_whole_shows_is_seen(tmp_path):
    archive = tarred(tmp_path / "archive", ("a", b"film" * 9))
    content = bytearray(gzip.decompress(archive.read_bytes()))
    good = gzip.compress(bytes(content), 0)
    archive.write_bytes(good.replace(b"filmfilm", b"filmFILM", 1))
    with pytest.raises(Problem, match="cannot be unpacked"):
        extract(archive, tmp_path / "out")
    archive.write_bytes(good)
    assert (extract(archive, tmp_path / "out") / "a").read_bytes() == b"film" * 9


def test_a_second_archive_behind_the_first_is_refused(tmp_path):
    first, second = (tarred(tmp_path / name, (name, b"x")) for name in "ab")
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(Problem, match="something follows the end"):
        extract(first, tmp_path / "out")


def test_plain_gzip_is_no_archive(tmp_path):
    (tmp_path / "archive").write_bytes(gzip.compress(CONTENT))
    with pytest.raises(Problem, match="is no zip or tar archive"):
        extract(tmp_path / "archive", tmp_path / "out")


def test_an_absent_archive_is_told(tmp_path):
    with pytest.raises(Problem, match="is no zip or tar archive"):
        extract(tmp_path / "none.zip", tmp_path / "out")


def test_a_folder_that_holds_something_is_kept(packed, tmp_path):
    (tmp_path / "out").mkdir()
    archive = packed(("a", b"1"))
    extract(archive, tmp_path / "out")
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(Problem, match="is there already"):
        extract(archive, tmp_path / "out")
    assert names(tmp_path / "out") == ["a", "mine"]


def test_every_source_can_be_obtained():
    assert set(downloads.SOURCES) == {"cohen", "chexpert", "nih", "released"}
    for source in downloads.SOURCES.values():
        assert source.title
        assert source.licence
        assert bool(source.downloads) != bool(source.by_hand)
        for download in source.downloads.values():
            assert download.url.startswith("https://")
            assert source.version in download.url
            assert download.sha256 is None or re.fullmatch("[0-9a-f]{64}", download.sha256)


def test_a_collection_is_fetched_and_unpacked_whole(httpserver, tmp_path, monkeypatch):
    packed, inner = io.BytesIO(), f"collection-{downloads.SOURCES['cohen'].version}"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{inner}/images/a.png", b"film")
        archive.writestr(f"{inner}/metadata.csv", b"old")
    httpserver.expect_request("/images.zip").respond_with_data(packed.getvalue())
    httpserver.expect_request("/metadata.csv").respond_with_data(b"pinned")
    urls = {name: downloads.Download(httpserver.url_for(f"/{name}"), None) for name in ("images.zip", "metadata.csv")}
    source = downloads.SOURCES["cohen"]._replace(downloads=urls)
    monkeypatch.setitem(downloads.SOURCES, "cohen", source)
    folder = downloads.obtain("cohen", tmp_path / "data" / "collection")
    assert (folder / "images" / "a.png").read_bytes() == b"film"
    assert (folder / "metadata.csv").read_bytes() == b"pinned"
    with pytest.raises(Problem, match="is there already"):
        downloads.obtain("cohen", folder)
