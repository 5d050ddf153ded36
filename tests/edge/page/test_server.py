"""The live page: what it shows, whom it shows it to, and that the frame loop never waits for it."""

from __future__ import annotations

import gc
import http.client
import io
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from http.cookies import SimpleCookie
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from edge.classifier import Prediction
from edge.decider import Decision
from edge.errors import OutputError
from edge.frame import Frame
from edge.loop import Step
from edge.page import Page, find_token, server
from edge.status import Report, Status

LABELS = ("background", "palm", "rock")
TOKEN = "a token that nobody guesses"
PATHS = ["/", "/live.json", "/status.json", "/picture.jpg", "/metrics", "/healthz"]


def turn(label="rock", *, image=None, trouble=None):
    image = np.full((48, 64, 3), 200, np.uint8) if image is None else image
    shares = np.array([0.02, 0.03, 0.95], np.float32)
    return Step(
        Frame(image, 1.0),
        Prediction(LABELS, shares, 0.4, 1.0),
        Decision(label, 0.9, 0.5, 1.0, changed=False),
        trouble,
        True,
        0.01,
        0.06,
    )


class Loop:
    """A frame loop at a hundred frames a second, that shows each to the page."""

    def __init__(self, page, status, step, states=lambda: {17: True, 22: False}):
        self.frames, self.slowest, self._stop = 0, 0.0, threading.Event()
        self._work = (page, status, step, states)
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        page, status, step, states = self._work
        while not self._stop.wait(0.01):
            status.step(step, 0.06)
            page.show(step, states)
            self.frames += 1

    def __enter__(self):
        self._thread.start()
        while not self.frames:
            time.sleep(0.001)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class Opened:
    """A page with a status, and the ways to ask it."""

    def __init__(self, **options):
        self.status = Status()
        self.page = Page(self.status, 0, **options)
        self.port = int(re.search(r":(\d+)/$", self.page.address)[1])

    def ask(self, path="/", *, method="GET", host=None, body=None, **headers):
        """Return `(status, headers, body)`; follows no redirection and keeps no cookies."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            host = f"127.0.0.1:{self.port}" if host is None else host
            words = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": host, **words})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def send(self, text):
        """Send raw bytes; return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as raw:
            try:
                raw.sendall(text)
                raw.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: raw.recv(65536), b""))
            except (ConnectionResetError, BrokenPipeError):  # it had read enough
                return b""

    def running(self, step=None, **details):
        return Loop(self.page, self.status, step or turn(), **details)


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch):
    monkeypatch.setattr(server, "WAKE", 0.02)


@pytest.fixture
def opened():
    made = []

    def open_page(**options):
        made.append(Opened(**options))
        return made[-1]

    yield open_page
    for one in made:
        one.page.close()


@pytest.fixture
def page(opened):
    return opened(names={17: "led: rock"})


@pytest.fixture
def locked(opened):
    return opened(token=TOKEN)


# --- what it shows


def test_the_page_is_one_file_that_wants_nothing_from_elsewhere(page):
    with urllib.request.urlopen(page.page.address) as answer:
        html = answer.read().decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?:|//\w|@import|url\(", html)
    assert not re.findall(r"<(?:script|link|img|style)[^>]+(?:src|href)=\"(?!data:)", html)


def test_a_look_is_the_picture_the_bars_the_decision_and_the_outputs(page):
    with page.running():
        status, headers, body = page.ask("/live.json")
    said = json.loads(body)
    look = said["look"]
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (look["labels"], look["label"], look["confidence"]) == (list(LABELS), "rock", 0.9)
    assert look["probabilities"] == [0.02, 0.03, 0.95]
    assert look["pins"] == [
        {"pin": 17, "name": "led: rock", "on": True},
        {"pin": 22, "name": None, "on": False},
    ]
    assert look["picture"].startswith("data:image/jpeg;base64,")
    assert said["status"]["state"] == "watching"
    assert said["status"]["latency_ms"]["p50"] == 60.0


def test_the_picture_is_what_the_camera_sees(page):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32, 0] = 250  # red on the left
    with page.running(turn(image=image)):
        status, headers, body = page.ask("/picture.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    seen = np.asarray(Image.open(io.BytesIO(body)))
    assert seen.shape == image.shape
    assert np.abs(seen[:, :28].mean((0, 1)) - (250, 0, 0)).max() < 20
    assert seen[:, 40:].mean() < 10


def test_a_large_picture_is_sent_smaller(page):
    with page.running(turn(image=np.zeros((1080, 1920, 3), np.uint8))):
        body = page.ask("/picture.jpg")[2]
    assert Image.open(io.BytesIO(body)).size == (640, 360)


def test_a_frame_whose_memory_the_camera_takes_again_is_shown_as_it_was(page):
    image = np.full((48, 64, 3), 200, np.uint8)
    page.page._wanted = float("inf")
    page.page.show(turn(image=image), dict)
    image[:] = 0
    assert Image.open(io.BytesIO(page.page._look.jpeg())).getpixel((5, 5))[0] > 190


def test_nothing_is_copied_or_asked_while_nobody_looks(page):
    asked = []
    for _ in range(50):
        page.page.show(turn(), lambda: asked.append(1) or {})
    assert page.page._look is None
    assert asked == []


def test_about_ten_looks_a_second_are_taken_however_many_frames_come(page, monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep)
    monkeypatch.setattr(server, "time", fake)
    page.page._wanted = 1001.0
    taken = []
    for _ in range(300):  # three seconds, of which somebody looks for one
        page.page.show(turn(), lambda: taken.append(clock.now) or {})
        clock.now += 0.01
    assert 9 <= len(taken) <= 12
    assert max(taken) <= 1001.0


def test_a_picture_is_encoded_once_for_all_who_look(page, monkeypatch):
    encoded = []
    encode = server.Look.jpeg.__globals__["_encode"]
    monkeypatch.setitem(
        server.Look.jpeg.__globals__, "_encode", lambda *them: encoded.append(1) or encode(*them)
    )
    page.page._wanted = float("inf")
    page.page.show(turn(), dict)
    assert len({page.page._look.json() for _ in range(5)}) == 1
    assert encoded == [1]


def test_without_frames_there_is_no_look_but_the_state(page):
    page.status.say("camera absent")
    said = json.loads(page.ask("/live.json")[2])
    assert said["look"] is None
    assert said["status"]["state"] == "camera absent"
    status, _, body = page.ask("/picture.jpg")
    assert (status, body) == (503, b"no picture: camera absent\n")


def test_an_old_picture_is_not_shown_as_if_it_were_now(page):
    with page.running():
        assert json.loads(page.ask("/live.json")[2])["look"] is not None
    page.page._look.time -= 10
    page.page._framed -= 10
    assert json.loads(page.ask("/live.json")[2])["look"] is None


def test_trouble_is_shown_with_the_picture_that_explains_it(page):
    with page.running(turn(None, trouble="picture black")):
        said = json.loads(page.ask("/live.json")[2])
    assert said["status"]["state"] == said["look"]["trouble"] == "picture black"
    assert said["look"]["label"] is None
    assert said["look"]["picture"]


def test_pins_that_cannot_be_read_are_left_out(page):
    def broken():
        raise RuntimeError("GPIO is gone")

    with page.running(states=broken):
        assert json.loads(page.ask("/live.json")[2])["look"]["pins"] == []


def test_the_status_is_that_of_the_status_file(page):
    page.status.step(turn())
    told = json.loads(page.ask("/status.json")[2])
    assert list(told) == list(Report.__struct_fields__)


def test_health_is_watching_with_fresh_frames(page):
    assert page.ask("/healthz")[::2] == (503, b"starting\n")
    page.status.step(turn())
    assert page.ask("/healthz")[::2] == (200, b"watching\n")
    page.status.say("paused")
    assert page.ask("/healthz")[::2] == (200, b"paused\n")
    page.status.say("picture black")
    assert page.ask("/healthz")[::2] == (503, b"picture black\n")


def test_no_script_may_run_but_its_own(page):
    _, headers, html = page.ask("/")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["style-src"])
    assert not re.search(rb"\son\w+=|\sstyle=|javascript:|innerHTML", html)


# --- /metrics


def metrics(page):
    status, headers, body = page.ask("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(body.decode()))
    return {
        sample.name + ("" if not sample.labels else str(sorted(sample.labels.values()))): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def test_prometheus_reads_the_metrics(page):
    for label in ("rock", None, "rock", "palm"):
        page.status.step(turn(label), 0.06)
    page.status.failures = 2
    got = metrics(page)
    assert got["handwave_frames_total"] == 4
    assert got["handwave_output_failures_total"] == 2
    assert got["handwave_decisions_total['rock']"] == 2
    assert got["handwave_decisions_total['palm']"] == 1
    assert got["handwave_watching"] == 1
    assert got["handwave_confidence_ratio"] == 0.9
    assert got["handwave_frame_to_pin_seconds_bucket['0.05']"] == 0
    assert got["handwave_frame_to_pin_seconds_bucket['0.075']"] == 4
    assert got["handwave_frame_to_pin_seconds_count"] == 4
    assert got["handwave_frame_to_pin_seconds_sum"] == pytest.approx(0.24)
    assert abs(got["handwave_last_frame_timestamp_seconds"] - time.time()) < 60


def test_what_is_not_known_is_no_metric(page):
    got = metrics(page)
    assert "handwave_confidence_ratio" not in got
    assert got["handwave_watching"] == 0


def test_metrics_are_named_as_prometheus_wants(page):
    page.status.step(turn(), 0.06)
    text = page.ask("/metrics")[2].decode()
    names = re.findall(r"^# TYPE (handwave_\w+) (\w+)", text, re.MULTILINE)
    assert len(names) > 8
    bare = {"handwave_watching", "handwave_undervoltage", "handwave_throttled"}  # true or false
    units = r"_(seconds|total|info|ratio|hertz|celsius)"
    assert [n for n, _ in names if n not in bare and not re.search(f"{units}$", n)] == []
    assert all(name.endswith("_total") for name, kind in names if kind == "counter")


def test_two_pages_do_not_share_their_metrics(opened):
    one, other = opened(), opened()
    one.status.step(turn())
    assert metrics(one)["handwave_frames_total"] == 1
    assert metrics(other)["handwave_frames_total"] == 0


def test_openmetrics_is_given_to_who_asks_for_it(page):
    _, headers, body = page.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("version", ["..", "x", "1", "", "1.0.0.0", "-1.0"])
def test_a_version_that_there_is_not_gets_metrics_all_the_same(page, version, caplog):
    accept = f"application/openmetrics-text; version={version}"
    status, _, body = page.ask("/metrics", Accept=accept)
    assert (status, b"handwave_frames_total" in body) == (200, True)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("path", "module", "word"),
    [("/metrics", "prometheus_client", b"prometheus_client"), ("/picture.jpg", "PIL", b"Pillow")],
)
def test_a_library_that_is_not_there_is_said_to_be(page, monkeypatch, path, module, word):
    monkeypatch.setitem(sys.modules, module, None)
    with page.running():
        status, _, body = page.ask(path)
        assert (status, word in body) == (501, True)
        look = json.loads(page.ask("/live.json")[2])["look"]  # the rest goes on
    assert look["label"] == "rock"


# --- other sites' pages


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "a b", "[::1", ""])
def test_a_name_that_somebody_else_points_here_is_refused(page, path, host):
    status, _, body = page.ask(path, host=host)
    assert status == 403
    assert b"rock" not in body


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:80", "192.168.1.7", "LOCALHOST."]
)
def test_an_address_and_our_own_name_are_answered(page, host):
    assert page.ask(host=host)[0] == 200
    own = socket.gethostname()
    if re.fullmatch(r"[\w.-]+", own):
        assert page.ask(host=own)[0] == 200
        assert page.ask(host=f"{own.partition('.')[0]}.local:80")[0] == 200


def test_no_host_or_two_are_refused(page):
    assert b" 400 " in page.send(b"GET /status.json HTTP/1.0\r\n\r\n")
    twice = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert b" 400 " in page.send(twice)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_page_may_not_fetch_or_show_it(page, site):
    for mode in ("no-cors", "cors"):
        assert page.ask("/picture.jpg", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)[0] == 403
    assert page.ask("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200  # a link


def test_its_own_page_may(page):
    assert page.ask("/live.json", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_every_answer_is_for_this_page_alone_and_never_kept(page, path):
    headers = page.ask(path, Origin="http://evil.example")[1]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


# --- other people


def test_others_can_look_only_with_a_token():
    with pytest.raises(OutputError, match=r"0\.0\.0\.0: everybody there .* HANDWAVE_TOKEN"):
        Page(Status(), 0, host="0.0.0.0")


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(OutputError, match="6 characters can be guessed"):
        Page(Status(), 0, token="secret")


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_without_the_token_nothing_is_told(locked, path):
    locked.status.say("rock and palm")
    status, headers, body = locked.ask(path)
    assert status == 401
    assert headers["WWW-Authenticate"] == "Bearer"
    assert b"rock" not in body
    assert b"<form" in body


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "/status.json?token=wrong"},
        {"path": "/status.json?token="},
        {"path": "/status.json?" + "&".join(["token=wrong"] * 50)},
        {"path": "/status.json?token=%ff%00%f0%9f"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"handwave={TOKEN}"},
        {"Cookie": ";;=;=;" * 50},
    ],
)
def test_a_wrong_token_opens_nothing(locked, wrong):
    words = dict(wrong)
    path = words.pop("path", "/status.json")
    status, headers, _ = locked.ask(path, **words)
    assert status == 401
    assert "Set-Cookie" not in headers


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(locked):
    status, headers, _ = locked.ask("/?token=" + TOKEN.replace(" ", "%20"))
    assert (status, headers["Location"]) == (303, "/")
    cookie = SimpleCookie(headers["Set-Cookie"])[f"handwave-{locked.port}"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert TOKEN not in headers["Set-Cookie"]
    kept = f"other=1; {cookie.key}={cookie.value}"
    assert locked.ask("/", Cookie=kept)[0] == 200
    assert locked.ask("/", Cookie=kept[:-1])[0] == 401
    assert locked.ask("/", Cookie=kept.replace(str(locked.port), "1"))[0] == 401


def test_a_browser_comes_in_by_the_form(locked):
    keep = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    address = locked.page.address
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        keep.open(address)
    form = refused.value.read().decode()
    refused.value.close()
    assert re.search(r'<form action="/" method="get">', form)
    assert 'name="token"' in form
    with keep.open(f"{address}?token={TOKEN.replace(' ', '+')}") as answer:
        assert (answer.status, answer.url) == (200, address)
    with keep.open(f"{address}status.json") as answer:
        assert json.load(answer)["state"] == "starting"


def test_a_wrong_token_leaves_the_address_and_the_form_says_that_it_was_wrong(locked):
    assert b"That is not it" not in locked.ask()[2]
    status, headers, _ = locked.ask("/?token=nearly+" + TOKEN.replace(" ", "%20"))
    assert (status, headers["Location"]) == (303, "/?wrong=1")
    assert "Set-Cookie" not in headers
    status, _, form = locked.ask(headers["Location"])
    assert status == 401
    assert b'<p role="alert">That is not it; try again.</p>' in form


def test_blanks_around_the_token_are_copying(locked):
    told = f"%20{TOKEN.replace(' ', '%20')}%0A"
    assert locked.ask(f"/?token={told}")[1]["Location"] == "/"


def test_blanks_are_no_token():
    with pytest.raises(OutputError, match="0 characters can be guessed"):
        Page(Status(), 0, token=" " * 20)


def test_a_program_sends_it_as_bearer(locked):
    assert locked.ask("/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert locked.ask("/metrics", Authorization=f"bearer  {TOKEN} ")[0] == 200


def test_a_token_may_have_any_letters(opened):
    locked = opened(token="schöne Grüße, 你好 und mehr;")
    told = "sch%C3%B6ne%20Gr%C3%BC%C3%9Fe,%20%E4%BD%A0%E5%A5%BD%20und%20mehr%3B"
    assert locked.ask(f"/?token={told}")[0] == 303
    # As curl and Prometheus send it: http.client itself would refuse such letters.
    assert locked.ask("/", Authorization="Bearer schöne Grüße, 你好 und mehr;".encode())[0] == 200


def test_all_addresses_are_listened_at_with_a_token(opened):
    assert opened(host="0.0.0.0", token=TOKEN).ask()[0] == 401


def test_the_token_is_found_in_the_environment(monkeypatch):
    monkeypatch.delenv("HANDWAVE_TOKEN", raising=False)
    assert find_token() is None
    monkeypatch.setenv("HANDWAVE_TOKEN", " ")
    assert find_token() is None
    monkeypatch.setenv("HANDWAVE_TOKEN", f" {TOKEN} ")
    assert find_token() == TOKEN


# --- nonsense, and too much of it


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.html", "/.",
        "/\\..\\", "/server.py", "/live.json/", "/LIVE.JSON", "http://evil.example/", "*", "/%00",
        "[", "/[::1", "/metrics;x",
    ],
)  # fmt: skip
def test_no_other_file_is_reached(page, path):
    got = page.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.0 404 ")
    assert b"root:" not in got


@pytest.mark.parametrize(
    ("request_bytes", "answers"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", {b"414"}),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", {b"431"}),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(500)), {b"431"}),
        (b"GET / HTTP/9.9\r\n\r\n", {b"505", b"400"}),
        (b"GET\r\n\r\n", {b"400"}),
        (b"GET /<script>\r\n\r\n", {b"400"}),
        (b"<script> x y z\r\n\r\n", {b"400"}),
        (b"BREW /coffee HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"501"}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {b"400"}),  # https
        (b"\0" * 1000 + b"\r\n\r\n", {b"400"}),
        (b"", set()),
    ],
)
def test_nonsense_is_answered_and_the_next_request_as_ever(page, request_bytes, answers):
    got = page.send(request_bytes)
    found = re.match(rb"HTTP/1.0 ([45]\d\d) ", got)
    assert got == b"" or found[1] in answers
    assert b"<script>" not in got
    assert b"Traceback" not in got
    assert page.ask()[0] == 200


@pytest.mark.parametrize("path", PATHS[:3])
def test_head_is_get_without_the_content(page, path):
    status, headers, body = page.ask(path, method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(page, method):
    status, headers, _ = page.ask("/", method=method, body=b"x" * 5000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_whoever_says_no_length_is_not_read_to_the_end(page):
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=5) as raw:
        raw.sendall(request)  # and stays, as if more were to come
        assert raw.recv(100).startswith(b"HTTP/1.0 405")


def test_a_wrong_length_is_no_trouble(page):
    for length in (b"-1", b"x", b"99999999999999999999"):
        page.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n")
    assert page.ask()[0] == 200


def test_a_mistake_of_ours_is_logged_and_told_without_a_traceback(page, monkeypatch, caplog):
    monkeypatch.setattr(page.status, "report", lambda: 1 / 0)
    status, _, body = page.ask("/status.json")
    assert status == 500
    assert b"ZeroDivision" not in body
    assert "ZeroDivision" in caplog.text
    assert page.ask("/")[0] == 200


def test_neither_the_address_nor_the_token_is_ever_logged(locked, caplog, capfd):
    caplog.set_level("DEBUG")
    locked.ask("/?token=" + TOKEN.replace(" ", "%20"))
    locked.ask("/?token=wrong")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def idle(port, number):
    return [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(number)]


def test_fifty_that_say_nothing_keep_nobody_out_and_the_frames_go_on(page):
    with page.running() as loop:
        waiting = idle(page.port, 50)
        try:
            before = loop.frames
            for _ in range(5):
                assert json.loads(page.ask("/live.json")[2])["look"] is not None
            assert len(page.page._server._since) <= server.MOST
            mine = [t for t in threading.enumerate() if "process_request" in t.name]
            assert len(mine) <= 2 * server.MOST
            assert loop.frames > before
        finally:
            for one in waiting:
                one.close()


def test_who_is_too_slow_is_hung_up_on(page, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as slow:
        slow.sendall(b"GET / HT")
        assert slow.recv(100) == b""


def test_who_does_not_read_the_answer_does_not_stop_the_frames(page):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with page.running(turn(image=noise)) as loop, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", page.port))
        deaf.sendall(b"GET /picture.jpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
        before = loop.frames
        assert page.ask("/picture.jpg")[0] == 200
        while loop.frames < before + 10:
            time.sleep(0.01)


def test_many_may_look_at_once(page):
    got = []
    with page.running():
        askers = [
            threading.Thread(target=lambda: got.append(page.ask("/live.json")[0]))
            for _ in range(server.MOST // 2)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert got == [200] * len(askers)


# --- beginning and end


def test_a_port_that_is_taken_is_one_line(page):
    with pytest.raises(OutputError, match=rf"port {page.port} is taken; take another") as said:
        Page(Status(), page.port)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("host", "port", "problem"),
    [
        ("203.0.113.1", 0, "this machine has no address 203"),
        ("no such host", 0, "cannot listen at no such host"),
        ("127.0.0.1", 99_999, "cannot listen at 127"),
    ],
)
def test_an_address_that_cannot_be_listened_at_is_one_line(host, port, problem):
    with pytest.raises(OutputError, match=problem):
        Page(Status(), port, host=host, token=TOKEN)


def test_at_the_end_the_port_is_free_and_no_thread_or_handle_is_left():
    before = threading.active_count()
    for _ in range(2):
        one = Opened()
        port = one.port
        waiting = idle(port, 3)
        with one.running():
            one.ask("/live.json")
            one.page.close()  # before the loop ends: show() goes on harmlessly
        assert all(w.recv(10) == b"" for w in waiting)
        for w in waiting:
            w.close()
        Page(Status(), port).close()
    gc.collect()  # an unclosed socket would be a warning, and so an error
    assert threading.active_count() == before


def test_closing_twice_is_fine(opened):
    page = opened()
    page.page.close()
    page.page.close()


def test_the_address_is_one_to_click_on(opened):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", opened().page.address)


def test_ip_version_six_works_as_well(opened):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    page = opened(host="::1")
    with urllib.request.urlopen(page.page.address) as answer:
        assert answer.status == 200
