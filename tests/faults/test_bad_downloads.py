"""Downloads and archives: never a wrong file under the right name, bounded waiting, nothing outside the folder."""

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from werkzeug import Response

from deepcovid_lib import downloads
from deepcovid_lib.downloads import extract, fetch
from deepcovid_lib.problems import Problem

CONTENT = b"patientid,view\n" + b"2,PA\n" * 500
HASH = hashlib.sha256(CONTENT).hexdigest()
AGAIN = "run the command again; it fetches what is not there"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setattr(downloads, "TIMEOUT", (0.5, 0.5))


def status(code):
    return lambda request: Response(b"sorry", status=code)


def stated(length):
    """Fewer bytes than stated, so that the connection ends in the middle."""
    return lambda request: Response(iter([CONTENT[:length]]), headers={"Content-Length": str(len(CONTENT))})


def understated(request):
    return Response(iter([CONTENT]), headers={"Content-Length": "100"}, direct_passthrough=True)


def stalled(request):
    def parts():
        yield CONTENT[:50]
        threading.Event().wait(1.2)

    return Response(parts(), headers={"Content-Length": str(len(CONTENT))})


FAULTY = {
    **{f"status {code}": status(code) for code in (400, 401, 403, 404, 410, 429, 500, 502, 503)},
    "cut before the first byte": stated(0),
    "cut in the middle": stated(1000),
    "length understated": understated,
    "stalled in the middle": stalled,
    "a page that says no": lambda request: Response("<html>log in first</html>"),
    "nothing": lambda request: Response(b""),
    "other bytes": lambda request: Response(CONTENT[::-1]),
    "one bit changed": lambda request: Response(bytes([CONTENT[0] ^ 1]) + CONTENT[1:]),
    "a redirect to itself": lambda request: Response(status=302, headers={"Location": "/x"}),
    "a redirect to nowhere": lambda request: Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "a redirect to a local file": lambda request: Response(status=302, headers={"Location": "file:///etc/hostname"}),
    "gzip that is none": lambda request: Response(CONTENT, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.fault(
    "downloads",
    "a host that cuts, stalls, lies about the length, refuses, redirects in a circle or sends something else",
    done="refused after at most three tries, each of at most 10 s to connect and 60 s without a byte",
    lost="nothing; no file stands under the name",
    rerun=AGAIN,
)
@pytest.mark.parametrize("how", FAULTY)
def test_a_faulty_host_leaves_no_file(httpserver, tmp_path, how):
    httpserver.expect_request("/x").respond_with_handler(FAULTY[how])
    with pytest.raises(Problem) as caught:
        fetch(httpserver.url_for("/x"), tmp_path / "metadata.csv", sha256=HASH)
    assert str(caught.value).startswith(f"{tmp_path / 'metadata.csv'}: ")
    assert "; try again" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(httpserver.log) <= (1 + downloads.RETRIES) * (31 if how == "a redirect to itself" else 1)
    httpserver.clear()
    httpserver.expect_request("/x").respond_with_data(CONTENT)
    assert fetch(httpserver.url_for("/x"), tmp_path / "metadata.csv", sha256=HASH).read_bytes() == CONTENT


@pytest.mark.fault(
    "downloads",
    "a host without a known hash that sends a web page, a cut archive or one of another shape in place of a collection",
    done="refused and not kept, so that the next try fetches anew",
    lost="nothing",
    rerun=AGAIN,
)
@pytest.mark.parametrize("wrong", ["page", "cut", "two folders", "another version", "empty archive"])
def test_a_collection_that_does_not_unpack_is_fetched_anew(httpserver, tmp_path, monkeypatch, wrong):
    inner = f"collection-{downloads.SOURCES['cohen'].version}"
    good = zipped((f"{inner}/images/a.png", b"film"), (f"{inner}/metadata.csv", b"view"))
    bad = {
        "page": b"<html>log in first</html>",
        "cut": good[: len(good) // 2],
        "two folders": zipped(("one/a.png", b"film"), ("two/b.png", b"film")),
        "another version": zipped(("collection-deadbeef/a.png", b"film")),
        "empty archive": zipped(),
    }[wrong]
    urls = {"images.zip": downloads.Download(httpserver.url_for("/images.zip"), None)}
    monkeypatch.setitem(downloads.SOURCES, "cohen", downloads.SOURCES["cohen"]._replace(downloads=urls))
    httpserver.expect_request("/images.zip").respond_with_data(bad)
    with pytest.raises(Problem, match=r"images\.zip: .*; fetch the archive again"):
        downloads.obtain("cohen", tmp_path / "collection")
    assert not (tmp_path / "collection").exists()
    httpserver.clear()
    httpserver.expect_request("/images.zip").respond_with_data(good)
    (tmp_path / "collection-downloads" / "unpacked").mkdir(exist_ok=True)
    (tmp_path / "collection-downloads" / "unpacked" / "left by a killed run").touch()
    downloads.obtain("cohen", tmp_path / "collection")
    assert (tmp_path / "collection" / "images" / "a.png").read_bytes() == b"film"
    assert not (tmp_path / "collection" / "left by a killed run").exists()


def zipped(*entries, mode=0):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return stream.getvalue()


def tarred(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, kind, link, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            packed.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def one(name, kind=tarfile.REGTYPE, link="", content=b""):
    return tarred((name, kind, link, content))


MEGABYTES = bytes(40 * 2**20)
HOSTILE = {
    "absolute path": zipped(("/tmp/deepcovid-planted", b"x")),
    "absolute path, tar": one("/tmp/deepcovid-planted", content=b"x"),
    "parent": zipped(("../planted", b"x")),
    "parent, tar": one("a/../../planted", content=b"x"),
    "Windows drive": zipped(("C:\\planted", b"x")),
    "Windows parent": zipped(("a\\..\\..\\planted", b"x")),
    "Windows share": one("\\\\host\\share\\planted", content=b"x"),
    "symbolic link": one("planted", tarfile.SYMTYPE, "/etc/hostname"),
    "symbolic link, zip": zipped(("planted", b"/etc/hostname"), mode=stat.S_IFLNK | 0o777),
    "file through a linked folder": tarred(
        ("inside", tarfile.SYMTYPE, "..", b""), ("inside/planted", tarfile.REGTYPE, "", b"x")
    ),
    "hard link": one("planted", tarfile.LNKTYPE, "/etc/hostname"),
    "character device": one("planted", tarfile.CHRTYPE),
    "block device": one("planted", tarfile.BLKTYPE),
    "pipe": one("planted", tarfile.FIFOTYPE),
    "name twice": tarred(("a", tarfile.REGTYPE, "", b"1"), ("a", tarfile.REGTYPE, "", b"2")),
    "file and folder of one name": tarred(("a", tarfile.REGTYPE, "", b"1"), ("a/b", tarfile.REGTYPE, "", b"2")),
    "bomb": zipped(("zeros", MEGABYTES)),
    "bomb, tar": one("zeros", content=MEGABYTES),
    "cut": zipped(("a", bytes(range(256)) * 9))[:-40],
}


@pytest.mark.fault(
    "downloads",
    "archives with absolute, parent or Windows paths, links, devices, names twice, bombs of more than 200 to 1",
    done="refused by name; nothing of the archive is unpacked",
    lost="nothing; no file is written outside the folder or left in it",
    rerun="obtain the archive from its makers",
)
@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_archive_leaves_nothing(tmp_path, how):
    place = tmp_path / "place"
    place.mkdir()
    (place / "archive").write_bytes(HOSTILE[how])
    (place / "mine").write_text("kept")
    with pytest.raises(Problem, match=r"archive: .*; (nothing was unpacked|fetch the archive again)"):
        extract(place / "archive", place / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "mine", "place"]
    assert (place / "mine").read_text() == "kept"
    assert not Path("/tmp/deepcovid-planted").exists()
