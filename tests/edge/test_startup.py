"""The `edge` command's process loads soon and small, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_command_hurries_before_numpy_is_loaded():
    code = (
        "import gc, os, sys\n"
        "os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "from edge.startup import hurry\n"
        "hurry()\n"
        "print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'], gc.isenabled())"
    )
    assert run(code).split() == ["False", "1", "False"]


def test_who_wants_other_threads_for_matrices_has_them():
    code = (
        "import os\n"
        "os.environ['OPENBLAS_NUM_THREADS'] = '3'\n"
        "from edge.startup import hurry\n"
        "hurry()\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    assert run(code).split() == ["3"]


def test_settling_looks_at_what_was_loaded_never_again():
    code = (
        "import gc\n"
        "from edge.startup import hurry, settle\n"
        "hurry()\n"
        "settle()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
        "before = gc.get_freeze_count()\n"
        "kept = [[] for _ in range(1000)]\n"
        "settle()\n"
        "print(gc.get_freeze_count() <= before)"
    )
    assert run(code).split() == ["True", "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heaps")
def test_threads_share_one_heap():
    code = (
        "import threading\n"
        "from pathlib import Path\n"
        "from edge.startup import hurry\n"
        "hurry()\n"
        # malloc_info says where each heap is; with one heap there is one.
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "threads = [threading.Thread(target=lambda: ctypes.create_string_buffer(100_000))\n"
        "           for _ in range(4)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]\n"
        "libc.fdopen.restype = ctypes.c_void_p\n"
        "stream = ctypes.c_void_p(libc.fdopen(1, b'w'))\n"
        "libc.malloc_info(0, stream)\n"
        "libc.fflush(stream)\n"
    )
    assert run(code).count("<heap nr=") == 1


def test_the_command_collects_again_once_it_is_loaded(taught, tmp_path):
    (tmp_path / "edge.toml").write_text(f'model = "{taught.path}"\n')
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('collects', gc.isenabled()))\n"
        "from edge.__main__ import main\n"
        f"sys.argv = ['edge', 'check', '--config', {str(tmp_path / 'edge.toml')!r}]\n"
        "main()"
    )
    assert "collects True" in run(code)


def test_gpiozero_loads_while_something_else_is_done():
    code = (
        "import sys, time\n"
        "from edge.startup import preload\n"
        "preload(lambda: __import__('gpiozero'))\n"
        "until = time.monotonic() + 20\n"
        "while 'gpiozero' not in sys.modules and time.monotonic() < until: time.sleep(0.01)\n"
        "print('gpiozero' in sys.modules)"
    )
    assert run(code).split() == ["True"]


def test_a_missing_gpiozero_is_nobody_s_trouble_before_pins_are_wanted():
    code = (
        "import sys, threading\n"
        "sys.modules['gpiozero'] = None\n"
        "from edge.startup import preload\n"
        "preload(lambda: __import__('gpiozero'))\n"
        "[one.join() for one in threading.enumerate() if one is not threading.current_thread()]"
    )
    assert run(code) == ""


@pytest.mark.parametrize("module", ["importlib.metadata", "difflib", "json", "subprocess"])
def test_what_few_need_is_not_loaded_with_the_command(module):
    """gpiozero brings some of them along: in its own time, while the model opens."""
    assert run(f"import sys, edge.cli\nprint({module!r} in sys.modules)").split() == ["False"]
