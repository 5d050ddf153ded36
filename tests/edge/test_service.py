"""Living under systemd: signals end the block once, and readiness is told to who asked."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from edge.service import Herald, finishing, notify, until_stopped

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def _handlers():
    """Whatever a failing test leaves behind, the next starts with pytest's own handlers."""
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_the_block_and_goes_on_behind_it(number):
    seen = []
    with until_stopped():
        seen.append("in")
        os.kill(os.getpid(), number)
        time.sleep(5)
        seen.append("not reached")
    seen.append("behind")
    assert seen == ["in", "behind"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_a_wait(number):
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.start()
    start = time.monotonic()
    with until_stopped():
        threading.Event().wait(20)
    assert time.monotonic() - start < 5
    timer.join()


def test_no_handler_of_errors_swallows_the_signal():
    reached = []
    with until_stopped():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception:  # noqa: BLE001
            reached.append("swallowed")
        reached.append("went on")
    assert reached == []


def test_what_lets_go_of_things_is_finished_before_a_signal_counts():
    reached = []
    with until_stopped():
        with finishing(), finishing():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.02)
            reached.append("let go")
        reached.append("went on")
    assert reached == ["let go"]


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_does_not_interrupt_the_clean_up(second):
    done = []
    with until_stopped():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), second)
            time.sleep(0.02)
            done.append("cleaned up")
    assert done == ["cleaned up"]


@pytest.mark.parametrize("ending", ["normal", "signal", "error"])
def test_the_handlers_are_put_back(ending):
    mine = [(number, lambda *_: None) for number in SIGNALS]
    for number, handler in mine:
        signal.signal(number, handler)
    try:
        with until_stopped():
            assert all(signal.getsignal(number) is not handler for number, handler in mine)
            if ending == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            elif ending == "error":
                1 / 0  # noqa: B018
    except ZeroDivisionError:
        assert ending == "error"
    assert all(signal.getsignal(number) is handler for number, handler in mine)


def test_an_error_passes_through():
    with pytest.raises(ZeroDivisionError), until_stopped():
        raise ZeroDivisionError


def test_it_can_be_used_again():
    too_far = []
    for _ in range(2):
        with until_stopped():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            too_far.append(True)
    assert not too_far


def test_outside_the_main_thread_signals_are_left_alone():
    seen, before = [], [signal.getsignal(number) for number in SIGNALS]

    def work():
        with until_stopped():
            seen.append([signal.getsignal(number) for number in SIGNALS])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


# --- notify


def receive(address, expected, told):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(5)
        told()
        assert systemd.recv(100) == expected


def test_readiness_reaches_a_socket_in_the_file_system(tmp_path, monkeypatch):
    path = str(tmp_path / "n")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    receive(path, b"READY=1", lambda: notify("READY=1"))


def test_a_label_with_a_line_in_it_tells_systemd_no_more(tmp_path, monkeypatch):
    path = str(tmp_path / "n")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    says = b"STATUS=rock?MAINPID=1"
    receive(path, says, lambda: Herald().trouble("rock\nMAINPID=1"))


@pytest.mark.skipif(not hasattr(socket, "SOCK_CLOEXEC"), reason="abstract sockets are Linux's")
def test_readiness_reaches_an_abstract_socket(monkeypatch):
    name = f"handwave-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    receive(f"\0{name}", b"STOPPING=1", lambda: notify("STOPPING=1"))


@pytest.mark.parametrize("address", [None, ""])
def test_started_by_hand_there_is_nobody_to_tell(monkeypatch, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.parametrize("address", ["/nowhere/notify", "relative", "@nobody-listens", "/" * 300])
def test_where_nobody_listens_nothing_fails(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
