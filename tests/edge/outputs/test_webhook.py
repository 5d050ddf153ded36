"""Webhooks to a real HTTP server: slow, failing, refusing, recovering, leading elsewhere."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError, OutputError
from edge.outputs import Outputs, webhook, worker
from edge.outputs.wiring import Wiring
from edge.outputs.worker import WAITING

PATIENCE = 30
"""Seconds; only a test that fails waits so long."""


def decision(label="rock", *, changed=True):
    return Decision(label, 0.87654, 0.0, 0.0, changed)


class Server(ThreadingHTTPServer):
    """Answers as `answers` says, one after the other and the last for ever."""

    daemon_threads = True

    def __init__(self, *answers):
        self.answers, self.got, self.news = list(answers) or [200], [], threading.Condition()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that hang up early are meant

    def wait(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= count, PATIENCE), self.got
        return self.got


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        with self.server.news:
            self.server.got.append((self.command, self.path, dict(self.headers), body))
            kind = self.server.answers[min(len(self.server.got), len(self.server.answers)) - 1]
            self.server.news.notify_all()
        if callable(kind):
            kind(self)
            return
        status, headers = kind if isinstance(kind, tuple) else (kind, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_POST = do_PUT = do_GET = answer  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def serve(*answers):
        servers.append(Server(*answers))
        return servers[-1]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def wire(tmp_path, monkeypatch):
    """A function that opens an edge.toml; pauses are short here."""
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(webhook, "LONGEST_PAUSE", 0.02)
    opened = []

    def wire(value, label="rock"):
        (tmp_path / "edge.toml").write_text(f"[when.{label}]\nwebhook = {value}\n")
        opened.append(Wiring(read_config(tmp_path / "edge.toml"), "mock"))
        return Outputs(opened[-1].when, opened[-1].observers)

    wire.opened = opened
    yield wire
    for one in opened:
        one.close()


@pytest.fixture
def line(caplog):
    """A function that waits for the one line in the log."""

    def line():
        end = time.monotonic() + PATIENCE
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.005)
        (only,) = caplog.messages
        return only

    return line


# --- What arrives


def test_a_gesture_is_posted_once_as_json(serve, wire):
    server = serve()
    outputs = wire(f'"{server.url}/api/hook"')
    before = datetime.now(UTC)
    for label, changed in [("rock", True), ("rock", False), (None, True), ("rock", True)]:
        outputs.apply(decision(label, changed=changed))
    for method, path, headers, body in server.wait(2):
        assert (method, path) == ("POST", "/api/hook")
        assert headers["Content-Type"] == "application/json"
        told = json.loads(body)
        assert set(told) == {"label", "confidence", "time", "device"}
        assert told["label"] == "rock"
        assert told["confidence"] == 0.877
        assert told["device"] == socket.gethostname()
        # To the millisecond, in UTC, and later than before.
        assert datetime.fromisoformat(told["time"]).timestamp() >= before.timestamp() - 0.001
    assert len(server.got) == 2


def test_method_headers_and_secret_are_the_users(serve, wire, tmp_path):
    server = serve()
    (tmp_path / "token").write_text("abc.123\n")
    (tmp_path / "token").chmod(0o600)
    outputs = wire(
        f'{{ url = "{server.url}/x", method = "PUT", headers = {{ X-Room = "kitchen" }}, '
        'secret_file = "token" }'
    )
    outputs.apply(decision())
    ((method, _, headers, _),) = server.wait(1)
    assert method == "PUT"
    assert headers["X-Room"] == "kitchen"
    assert headers["Authorization"] == "Bearer abc.123"


def test_a_get_has_no_body(serve, wire):
    server = serve()
    wire(f'{{ url = "{server.url}/on?lamp=1", method = "GET" }}').apply(decision())
    ((method, path, headers, body),) = server.wait(1)
    assert (method, path, body) == ("GET", "/on?lamp=1", b"")
    assert "Content-Type" not in headers


def test_several_urls_are_several_webhooks(serve, wire):
    one, other = serve(), serve()
    wire(f'["{one.url}/1", "{other.url}/2"]').apply(decision())
    assert one.wait(1)[0][1] == "/1"
    assert other.wait(1)[0][1] == "/2"


# --- A server in trouble


@pytest.mark.parametrize("answer", [500, 502, 503, 429, 408, (503, {"Retry-After": "0"})])
def test_a_server_that_recovers_is_told_in_the_end(serve, wire, answer, caplog):
    server = serve(answer, answer, 204)
    wire(f'"{server.url}/"').apply(decision())
    got = server.wait(3)
    assert len({body for *_, body in got}) == 1, "the same gesture, at the time it was made"
    assert caplog.messages == []


def test_a_server_that_hangs_up_without_an_answer_is_tried_again(serve, wire):
    server = serve(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), 200)
    wire(f'"{server.url}/"').apply(decision())
    server.wait(2)


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 413])
def test_a_refusal_is_one_line_and_not_tried_again(serve, wire, line, answer):
    server = serve(answer)
    wire(f'"{server.url}/secret/path"').apply(decision())
    assert line().startswith(f"webhook: {server.url}: answered {answer} ")
    assert line().endswith("; gave up after 1 try")
    assert "secret" not in line(), "a URL may be a secret; the server's name is enough"
    assert len(server.got) == 1


def test_a_server_that_stays_ill_is_given_up_with_one_line(serve, wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.2)
    server = serve(500)
    wire(f'"{server.url}/"').apply(decision())
    assert line().startswith(f"webhook: {server.url}: answered 500 Internal Server Error; gave up")
    assert len(server.got) > 2


def test_a_server_that_is_not_there_is_given_up_with_one_line(wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wire(f'"http://127.0.0.1:{port}/"').apply(decision())
    assert line().startswith(f"webhook: http://127.0.0.1:{port}: Connection refused; gave up after")


def test_a_server_that_asks_for_a_day_of_peace_gets_what_is_left_of_ours(
    serve, wire, line, monkeypatch
):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.1)
    server = serve((503, {"Retry-After": "86400"}))
    wire(f'"{server.url}/"').apply(decision())
    assert "answered 503 Service Unavailable; gave up after 1 try" in line()
    assert len(server.got) == 1


def test_a_server_that_does_not_answer_in_time(serve, wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.2)
    gate = threading.Event()
    server = serve(lambda _: gate.wait(PATIENCE))
    wire(f'{{ url = "{server.url}/", seconds = 0.1 }}').apply(decision())
    assert line().startswith(f"webhook: {server.url}: no answer in time; gave up after ")
    gate.set()


def test_a_slow_server_keeps_no_frame_no_other_server_and_no_end(serve, wire):
    gate = threading.Event()
    slow, quick = serve(lambda _: gate.wait(PATIENCE)), serve()
    outputs = wire(f'[{{ url = "{slow.url}/", seconds = 60 }}, "{quick.url}/"]')
    outputs.apply(decision())
    slow.wait(1)
    for _ in range(500):
        outputs.apply(decision(None))
        outputs.apply(decision())
    quick.wait(2)
    waiting = [output._worker._jobs.qsize() for output in outputs._when["rock"]]
    assert max(waiting) <= WAITING
    outputs.close()
    gate.set()


def test_several_servers_that_hang_keep_the_end_no_longer_than_one(serve, wire):
    gate = threading.Event()
    slow = serve(*[lambda _: gate.wait(PATIENCE)] * 4)
    urls = ", ".join(f'{{ url = "{slow.url}/{number}", seconds = 60 }}' for number in range(4))
    outputs = wire(f"[{urls}]")
    outputs.apply(decision())
    slow.wait(4)
    begun = time.monotonic()
    outputs.close()
    wire.opened[-1].close()
    assert time.monotonic() - begun < 2 * worker.PATIENCE
    gate.set()


def test_what_waited_too_long_behind_a_slow_server_is_not_sent(serve, wire, line, monkeypatch):
    gate = threading.Event()
    server = serve(lambda _: gate.wait(PATIENCE), 200)
    outputs = wire(f'"{server.url}/"')
    outputs.apply(decision())
    server.wait(1)
    monkeypatch.setattr(webhook, "GIVE_UP", 0)
    outputs.apply(decision())
    gate.set()
    assert line() == f"webhook: {server.url}: waited too long behind an earlier one; not sent"


def test_one_that_fails_holds_up_no_other_on_its_server(serve, wire, monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_PAUSE", 60)
    server = serve(lambda h: h.send_error(503 if h.path == "/ill" else 200))
    outputs = wire(f'["{server.url}/ill", "{server.url}/well"]')
    outputs.apply(decision())
    assert {path for _, path, *_ in server.wait(2)} == {"/ill", "/well"}


def test_a_server_that_drips_its_answer_has_no_longer_than_others(serve, wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.1)

    def drip(handler):
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(90):
                handler.wfile.write(b"X-Y: z\r\n")
                time.sleep(0.1)

    server = serve(drip)
    began = time.monotonic()
    wire(f'{{ url = "{server.url}/", seconds = 0.3 }}').apply(decision())
    assert line() == f"webhook: {server.url}: no answer in time; gave up after 1 try"
    assert time.monotonic() - began < 3


def test_a_header_of_the_users_takes_ours_place_however_it_is_written(serve, wire):
    server = serve()
    headers = '{ content-type = "application/cloudevents+json", user-agent = "me" }'
    wire(f'{{ url = "{server.url}/", headers = {headers} }}').apply(decision())
    ((_, _, got, _),) = server.wait(1)
    told = [(name, value) for name, value in got.items() if name.lower() in headers]
    assert sorted(told) == [("content-type", "application/cloudevents+json"), ("user-agent", "me")]


def test_an_answer_without_end_is_not_read(serve, wire, monkeypatch):
    hung_up = threading.Event()

    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            hung_up.set()

    server = serve(pour, 200)
    outputs = wire(f'"{server.url}/"')
    outputs.apply(decision())
    assert hung_up.wait(PATIENCE)
    outputs.apply(decision())
    server.wait(2)


def test_headers_without_end_are_a_failure_like_others(serve, wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.2)

    def pour(handler):
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 1000)

    server = serve(pour)
    wire(f'"{server.url}/"').apply(decision())
    assert "gave up after" in line()


def test_what_speaks_no_http_is_a_failure_like_others(serve, wire, line, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.2)
    server = serve(lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"))
    wire(f'"{server.url}/"').apply(decision())
    assert line().startswith(f"webhook: {server.url}: ")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_but_said(serve, wire, line, status):
    other = serve()
    server = serve((status, {"Location": f"{other.url}/there"}))
    wire(f'"{server.url}/"').apply(decision())
    assert f"is elsewhere: {other.url}/there; write that in edge.toml" in line()
    assert other.got == [], "neither the gesture nor a secret goes where nobody sent it"


def test_escapes_in_an_answer_do_not_reach_the_terminal(serve, wire, line):
    def sneer(handler):
        handler.wfile.write(b"HTTP/1.0 404 \x1b[2Jboo\r\n\r\n")

    wire(f'"{serve(sneer).url}/"').apply(decision())
    assert "answered 404 ?[2Jboo" in line()


# --- Whom to trust


def test_a_server_that_nobody_vouches_for_is_told_nothing(serve, wire, line, tmp_path, monkeypatch):
    monkeypatch.setattr(webhook, "GIVE_UP", 0.2)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [shutil.which("openssl") or "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = serve()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    wire(f'"{server.url.replace("http", "https")}/"').apply(decision())
    assert "certificate verify failed" in line()
    assert server.got == []


def test_proxies_of_the_environment_are_not_asked(serve, wire, monkeypatch):
    proxy, server = serve(), serve()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    wire(f'"{server.url}/"').apply(decision())
    server.wait(1)
    assert proxy.got == []


# --- What is wrong in edge.toml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'example.org/x'", "url: must begin with http:// or https:// and a host"),
        ("'file:///etc/passwd'", "url: must begin with http:// or https:// and a host"),
        ("'ftp://example.org'", "url: must begin with http:// or https:// and a host"),
        ("'http://'", "url: must begin with http:// or https:// and a host"),
        ("'http://x:99999/'", "url: Port out of range 0-65535"),
        ("'http://[::1/'", "url: Invalid IPv6 URL"),
        ("'http://me:pw@x/'", "url: no user and password in it; use secret_file"),
        ("'http://x/a b'", "url: only plain letters; write others, and blanks, as %20"),
        ('"http://x/a\\r\\nEvil: 1"', "url: only plain letters; write others, and blanks, as %20"),
        ("''", "url: must begin with http:// or https:// and a host"),
        ("17", "expected text, got a whole number"),
        ("{ url = 'http://x', method = 'DELETE' }", "method: there is no 'DELETE'; there is: P"),
        ("{ url = 'http://x', seconds = 0 }", "seconds: expected a number >= 0.1"),
        ("{ url = 'http://x', seconds = inf }", "seconds: expected a number <= 60.0"),
        ("{ url = 'http://x', headers = { 'a b' = 'c' } }", "headers: 'a b' is no header's name"),
        ("{ url = 'http://x', headers = { a = \"b\\nc\" } }", "headers: a: plain text of one line"),
        (
            "{ url = 'http://x', headers = { content-length = '99' } }",
            "headers: content-length is set by itself; take it away",
        ),
        (
            "{ url = 'http://x', secret_file = 'y', headers = { authorization = 'z' } }",
            "headers: Authorization comes from secret_file already",
        ),
        ("{ url = 'http://x', body = 'y' }", "unknown key 'body'; there is: url, method, seconds"),
    ],
)
def test_each_mistake_is_named_where_it_is(tmp_path, value, text):
    path = tmp_path / "edge.toml"
    path.write_text(f"[when.rock]\nwebhook = {value}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: [when.rock] webhook: {text}")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "token: no such file; write the secret into it, and nothing else"),
        (b"", "token: not one line of plain letters, so no secret"),
        (b"two\nlines", "token: not one line of plain letters, so no secret"),
        (b"\xff\xfe", "token: not one line of plain letters, so no secret"),
        (b"x" * 5000, "token: larger than 4 kB, this is no secret"),
    ],
)
def test_a_secret_that_is_no_use_is_said_before_it_begins(wire, tmp_path, content, text):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
        (tmp_path / "token").chmod(0o600)
    with pytest.raises(OutputError) as caught:
        wire('{ url = "http://x", secret_file = "token" }')
    where = f"{tmp_path / 'edge.toml'}: [when.rock] webhook: secret_file: {tmp_path}/"
    assert str(caught.value) == where + text


def test_a_secret_that_everybody_may_read_is_told(wire, tmp_path, line):
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o644)
    wire('{ url = "http://x", secret_file = "token" }')
    assert line().startswith("webhook: everybody on this machine may read ")


def test_without_the_library_the_way_to_get_it(wire, monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(OutputError, match=r"in edge's venv: pip install urllib3"):
        wire('"http://x"')
