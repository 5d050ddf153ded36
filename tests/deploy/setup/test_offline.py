"""What a host without the internet needs: fetched by a real pip, from a real server, and cached."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.errors import DeployError
from deploy.setup import offline
from deploy.setup.needs import needs
from deploy.setup.offline import gather, uris
from deploy.setup.survey import Survey

PI = Survey(
    architecture="arm64", raspberry=True, python=(3, 11), glibc=(2, 36), login="pi", may="root",
    modules={"numpy": "1.24.2"}, lists_age=1.0,
    candidates={f"python3-{name}": "2.0.1" for name in ("gpiozero", "lgpio", "picamera2")},
)  # fmt: skip
PYTHON = ("venv", "numpy", "gpiozero", "lgpio", "picamera2")
HAS_APT = replace(PI, packages={f"python3-{name}": "1" for name in PYTHON})
AARCH64 = "cp311-cp311-manylinux_2_17_aarch64"


WHERE = offline.cache


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a folder that is all that pip knows, and what puts a wheel into it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # What holds the laptop's packages to versions must not hold the host's.
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))

    def add(name, version, tag="py3-none-any", *, requires=()):
        info = f"{name}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
            wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            wheel.writestr(f"{info}/RECORD", "")

    add("numpy", "1.24.2", AARCH64)
    add("numpy", "2.4.6", AARCH64)
    add("onnxruntime", "1.20.0", AARCH64, requires=["numpy>=1.21", "flatbuffers"])
    add("onnxruntime", "1.21.0", "cp311-cp311-manylinux_2_17_x86_64")
    add("flatbuffers", "25.0")
    add("msgspec", "0.19.0", AARCH64)
    add("click", "8.1.8")
    return folder


def nothing(_command):
    pytest.fail("the host was asked")


def bring(survey, ask=nothing, *, debs=False):
    told = []
    carried = gather(survey, needs(None, survey), ask, debs=debs, tell=told.append)
    return carried, told


WHEELS = {
    f"onnxruntime-1.20.0-{AARCH64}.whl",
    "flatbuffers-25.0-py3-none-any.whl",
    f"msgspec-0.19.0-{AARCH64}.whl",
    "click-8.1.8-py3-none-any.whl",
}


def test_wheels_are_those_of_the_hosts_processor_and_python_and_never_numpy(index):
    carried, told = bring(HAS_APT)
    assert set(carried.wheels) == WHEELS
    assert told == ["fetching wheels for arm64, Python 3.11: once"]


def test_what_was_fetched_once_is_never_fetched_again(index):
    bring(HAS_APT)
    for path in index.iterdir():
        path.unlink()
    carried, told = bring(HAS_APT)
    assert (set(carried.wheels), told) == (WHEELS, [])


def test_a_damaged_wheel_is_fetched_anew(index, cache):
    bring(HAS_APT)
    (wheel,) = cache.glob("*/click*.whl")
    wheel.write_bytes(b"damaged")
    carried, told = bring(HAS_APT)
    assert carried.wheels[wheel.name] != b"damaged"
    assert told


def test_only_what_is_missing_there_is_sent(index):
    there = {"flatbuffers": "25.0", "click": "8.1.8", "msgspec": "0.18.0"}
    venv = replace(HAS_APT, venv={"python": [3, 11], "packages": there, "whole": True})
    carried, _ = bring(venv)
    assert set(carried.wheels) == {name for name in WHEELS if name.startswith("onnxruntime")}


def test_where_nothing_is_missing_nothing_is_fetched():
    there = {"onnxruntime": "1.20.0", "click": "8.1.8", "msgspec": "0.18.0"}
    venv = replace(HAS_APT, venv={"python": [3, 11], "packages": there, "whole": True})
    carried, told = bring(venv)
    assert (carried.wheels, carried.debs, told) == ({}, {}, [])


def test_a_wheel_that_cannot_be_had_is_one_clear_line(index):
    (index / "msgspec-0.19.0-cp311-cp311-manylinux_2_17_aarch64.whl").unlink()
    with pytest.raises(
        DeployError, match=r"pip cannot fetch wheels for that host: ERROR: .*msgspec"
    ):
        bring(HAS_APT)


def test_packages_of_apt_that_are_missing_are_listed():
    with pytest.raises(DeployError, match=r"missing there: python3-venv .*--carry-debs"):
        bring(PI)


def test_without_lists_nobody_knows_what_to_carry():
    with pytest.raises(DeployError, match="apt has no lists there"):
        bring(replace(PI, lists_age=None), debs=True)


def test_what_apt_says_when_it_cannot_is_passed_on():
    def ask(_command):
        return False, ["Reading", "E: Unable to locate package python3-lgpio"]

    with pytest.raises(DeployError, match="E: Unable to locate package python3-lgpio"):
        bring(PI, ask, debs=True)


@pytest.fixture
def server():
    """Serve one package; return its address and what was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"package")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


def row(address, content):
    digest = hashlib.sha256(content).hexdigest()
    return f"'{address}/pool/a%2bb_1_all.deb' a+b_1%3a2_all.deb {len(content)} SHA256:{digest}"


def test_packages_are_fetched_from_where_apt_says_once(server, index):
    address, asked = server

    def ask(command):
        assert "--print-uris" in command
        return True, ["greeting", row(address, b"package"), "'file:/opt/x.deb' x.deb 1 SHA256:0"]

    carried, told = bring(PI, ask, debs=True)
    assert carried.debs == {"a+b_1%3a2_all.deb": b"package"}
    assert "fetching 1 of 1 packages, 0.0 MB: once" in told
    assert bring(PI, ask, debs=True)[0].debs == carried.debs
    assert asked == ["/pool/a%2bb_1_all.deb"]


def test_a_package_that_is_not_what_the_lists_say_is_refused(server):
    address, _ = server
    with pytest.raises(DeployError, match=r"not what apt's lists say"):
        bring(PI, lambda _: (True, [row(address, b"another")]), debs=True)


def test_a_server_that_is_away_is_one_clear_line():
    with pytest.raises(DeployError, match="cannot be fetched from where apt says"):
        bring(PI, lambda _: (True, [row("http://127.0.0.1:9", b"x")]), debs=True)


@pytest.mark.parametrize(
    "line", ["'ftp://x/a.deb' a.deb 1 SHA256:00", "'http://x/a.deb' a.deb 1 MD5Sum:00"]
)
def test_a_package_without_a_web_address_and_sha256_is_refused(line):
    with pytest.raises(DeployError, match="no SHA-256 and web address"):
        uris([line])


def test_a_file_name_never_leaves_its_folder():
    assert uris(["'http://x/a' ../../etc/a.deb 1 SHA256:00"]) == []


def test_what_was_fetched_is_kept_where_handwaves_cache_was_moved_to(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path))
    assert WHERE() == tmp_path / "offline"
