"""Requests to a real unix socket through a real sshd, and everything that can be missing there."""

import os
import socket
import threading

import pytest

from deploy import DeployError, Target
from deploy.errors import ConnectionLostError
from deploy.live.tunnel import NoServiceError, Tunnel
from deploy.ssh import hang_up


def test_it_answers_as_the_page_does(tunnel):
    answer = tunnel.ask("/healthz")
    assert (answer.status, answer.text) == (200, "watching")
    assert answer.raw.startswith(b"HTTP/1.0 200")
    assert tunnel.ask("/nowhere").status == 404


def test_many_questions_share_one_connection(tunnel):
    tunnel.ask("/healthz")
    reader = tunnel._reader
    assert {tunnel.ask("/status.json").status for _ in range(20)} == {200}
    assert tunnel._reader is reader


def test_a_picture_comes_through_whole(tunnel):
    answer = tunnel.ask("/picture.jpg")
    assert answer.content.startswith(b"\xff\xd8")
    assert answer.content.endswith(b"\xff\xd9")


def test_several_threads_may_ask(tunnel):
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(tunnel.ask("/status.json").status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 8


def test_a_service_that_does_not_run_is_one_line(tunnel, service):
    service.stop()
    with pytest.raises(NoServiceError, match=r"pi: handwave.service does not run there"):
        tunnel.ask("/healthz")


def test_a_service_that_runs_again_is_found_without_connecting_anew(tunnel, service):
    tunnel.ask("/healthz")
    reader = tunnel._reader
    service.stop()
    with pytest.raises(NoServiceError):
        tunnel.ask("/healthz")
    service.start()
    assert tunnel.ask("/status.json").status == 200
    assert tunnel._reader is reader


def test_a_stale_socket_counts_as_none(tunnel, service):
    service.stop()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(service.folder / "live.sock"))
    with pytest.raises(NoServiceError, match="does not run there"):
        tunnel.ask("/healthz")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_who_may_not_look_is_told_which_group(service, sshd):
    service.folder.chmod(0o750)
    why = pytest.raises(NoServiceError, match=r"usermod -aG handwave \$USER")
    with Tunnel("weak", Target(), config=sshd / "ssh_config") as tunnel, why:
        tunnel.ask("/healthz")


def test_a_connection_that_is_cut_is_made_anew(tunnel):
    tunnel.ask("/healthz")
    hang_up(tunnel._host._folder / "ssh")
    with pytest.raises(ConnectionLostError):
        tunnel.ask("/healthz")
    assert tunnel.ask("/healthz").status == 200


@pytest.mark.parametrize("name", ["off", "stranger", "changed", "keyless"])
def test_a_host_that_cannot_be_reached_is_one_line(service, sshd, name):
    why = pytest.raises(DeployError, match=f"^{name}: ")
    with Tunnel(name, Target(), config=sshd / "ssh_config") as tunnel, why:
        tunnel.ask("/healthz")


def test_something_else_at_the_socket_is_no_service(tunnel, service):
    service.stop()
    with socket.socket(socket.AF_UNIX) as other:
        (service.folder / "live.sock").unlink(missing_ok=True)
        other.bind(str(service.folder / "live.sock"))
        other.listen()

        def answer():
            line, _ = other.accept()
            line.recv(1000)
            line.sendall(b"220 mail here\r\n")
            line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoServiceError, match="not handwave's live page"):
            tunnel.ask("/healthz")
        thread.join()


def test_closing_leaves_no_process(tunnel):
    tunnel.ask("/healthz")
    reader, folder = tunnel._reader, tunnel._host._folder
    tunnel.close()
    tunnel.close()
    assert reader.poll() is not None
    assert not folder.exists()
