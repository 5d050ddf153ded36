"""Imports go one way, `trainer -> edge <- deploy`, and a Pi loads no more than it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"edge": {"trainer", "deploy"}, "trainer": {"deploy"}, "deploy": {"trainer"}}
AT_ONCE = {"numpy", "msgspec", "click"}
"""What `import edge` and its modules may load of others' packages."""
WHEN_USED = {
    "PIL", "pi_heif", "cv2", "onnxruntime", "gpiozero", "colorzero", "picamera2", "libcamera",
    "paho", "urllib3", "prometheus_client", "pygame",
}  # fmt: skip
"""What `edge` may import of others' packages, but only inside functions."""
HARDWARE = {
    "picamera2": "edge/sources/camera.py",
    "libcamera": "edge/sources/camera.py",
    "gpiozero": "edge/outputs/gpio.py",
}


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def guarded(test):
    """Whether an `if` is `if TYPE_CHECKING:`; such imports are never run."""
    return isinstance(test, (ast.Name, ast.Attribute)) and ast.unparse(test).endswith(
        "TYPE_CHECKING"
    )


def find(tree):
    """Yield `(top-level package, where)` of each import; `at once`, `when used` or `for types`."""
    stack = [(node, "at once") for node in ast.iter_child_nodes(tree)]
    while stack:
        node, where = stack.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield ".", where
            else:
                yield str(node.module).partition(".")[0], where
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            name = node.args[0]
            found = name.value if isinstance(name, ast.Constant) else "?"
            yield str(found).partition(".")[0], where
        inside = where
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inside = "when used" if where == "at once" else where
        if isinstance(node, ast.If) and guarded(node.test):
            stack += [(child, "for types") for child in node.body]
            stack += [(child, inside) for child in node.orelse]
        else:
            stack += [(child, inside) for child in ast.iter_child_nodes(node)]


def imports(path):
    return set(find(ast.parse(path.read_text(), str(path))))


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_there_is_something_to_look_at(package):
    assert len(files(package)) > 5


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    wrong = [
        f"{relative(path)} imports {name}"
        for path in files(package)
        for name, _ in imports(path)
        if name in FORBIDDEN[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_are_absolute_and_named(package):
    odd = {relative(p) for p in files(package) if {n for n, _ in imports(p)} & {".", "?"}}
    assert odd - {"edge/__init__.py"} == set()  # its table names modules of edge alone


@pytest.mark.parametrize(("name", "home"), HARDWARE.items())
def test_each_hardware_library_is_imported_in_one_file_when_used(name, home):
    found = {
        (relative(path), where)
        for package in FORBIDDEN
        for path in files(package)
        for imported, where in imports(path)
        if imported == name
    }
    assert found == {(home, "when used")}


def test_edge_loads_of_others_only_what_is_on_every_pi():
    known = set(sys.stdlib_module_names) | {"edge"}
    wrong = [
        f"{relative(path)} imports {name} {where}"
        for path in files("edge")
        for name, where in imports(path)
        if name not in known
        and (relative(path), name) != ("edge/__init__.py", "?")  # modules of its own, by a table
        and where != "for types"
        and not (name in AT_ONCE or (name in WHEN_USED and where == "when used"))
    ]
    assert wrong == []


def loaded(code):
    """Return the top-level packages that a fresh Python has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return {name.partition(".")[0] for name in done.stdout.split()}


HEAVY = {*WHEN_USED, "onnx", "rich", "matplotlib", "trainer", "deploy"}


def test_importing_edge_loads_nothing_heavy():
    assert loaded("import edge") & {*HEAVY, "numpy", "msgspec"} == set()


def test_reading_an_edge_toml_needs_no_numpy():
    got = loaded("import edge.config, edge.commands.off")
    assert "msgspec" in got
    assert got & {*HEAVY, "numpy"} == set()


def test_everything_that_edge_offers_is_there():
    code = "import edge; from edge import *; assert set(edge._MODULES) == set(edge.__all__)"
    assert "edge" in loaded(code)


@pytest.mark.parametrize("command", ["push", "status", "logs", "rollback"])
def test_deploy_of_one_host_loads_nothing_that_only_many_need(command):
    code = (
        "import deploy.cli\n"
        f"try: deploy.cli.main(['{command}', 'ssh://127.0.0.1:1'])\n"
        "except SystemExit as end: assert end.code == 1, end.code\n"
    )
    got = loaded(code)
    assert "deploy" in got
    assert got & (HEAVY - {"deploy"} | {"numpy", "pyinfra", "gevent", "paramiko"}) == set()


def test_running_loads_nothing_that_only_other_commands_and_sources_need():
    code = (
        "import sys, edge.cli\n"
        "try: edge.cli.main(['run', '--config', 'none.toml'])\n"
        "except SystemExit as end: assert end.code == 1\n"
        "rare = {'edge.sources.virtual', 'edge.sources.camera', 'edge.commands.doctor',"
        " 'edge.replay.played', 'hashlib'}\n"
        "assert not rare & set(sys.modules), rare & set(sys.modules)\n"
        "from edge import Camera, Virtual\n"
    )
    assert "edge" in loaded(code)


def test_help_loads_not_even_numpy_for_work():
    code = (
        "import edge.cli\n"
        "try: edge.cli.main(['run', '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
    )
    assert loaded(code) & HEAVY == set()


def test_opening_a_model_loads_the_runtime_and_nothing_else_heavy():
    code = (
        "from edge.classifier import open_session\n"
        "try: open_session(b'', 'x')\n"
        "except Exception: pass\n"
    )
    assert loaded(code) & (HEAVY - {"onnxruntime"}) == set()


# --- The looking itself


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import trainer.cli", ("trainer", "at once")),
        ("import os, deploy as d", ("deploy", "at once")),
        ("from trainer import x", ("trainer", "at once")),
        ("from . import x", (".", "at once")),
        ("class A:\n import cv2", ("cv2", "at once")),
        ("try:\n import cv2\nexcept ImportError: pass", ("cv2", "at once")),
        ("def f():\n if 1:\n  from PIL import Image", ("PIL", "when used")),
        ("class A:\n async def f(self):\n  import cv2", ("cv2", "when used")),
        ("if TYPE_CHECKING:\n import PIL.Image", ("PIL", "for types")),
        ("if typing.TYPE_CHECKING: pass\nelse:\n import cv2", ("cv2", "at once")),
        ("if not TYPE_CHECKING:\n import cv2", ("cv2", "at once")),
        ("importlib.import_module('trainer.x')", ("trainer", "at once")),
        ("def f():\n __import__(name)", ("?", "when used")),
    ],
)
def test_every_way_to_import_is_seen(code, expected):
    assert expected in set(find(ast.parse(code)))
