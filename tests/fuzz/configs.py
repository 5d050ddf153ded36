"""`edge.toml`s that nobody should write."""

from __future__ import annotations

from damage import damaged

from edge.config import Decide
from edge.outputs.kind import find_kind, kind_names

VALUES = (
    "17", "-1", "0", "40", "9223372036854775807", "1e999", "nan", "-inf", "0.5", "true", '""',
    '"x"', "'''\n\n'''", '"\\u0000"', '"\\u001b[31m"', "2026-01-01T00:00:00Z", "[]", "[[]]", "{}",
    "[17, 18, 19]", "{ pin = 17 }", "{ pin = [1] }", "[{}, 17]", '"/dev/zero"', '"../../x"',
    '"~/x.wav"', "0x11", "1_7", "[1, 'a', {b = 2}]", '"C4 E4:0.5"', '{ topic = "a/b" }',
    '"http://["', '"https://example.org/x"', "[17, 27, 22]", "17e-0",
)  # fmt: skip
START = 'model = "model.onnx"\n[decide]\nenter = 0.9\n[when.rock]\nled = 17\n'


def key(rng):
    """Return a name for something: of ours, nearly ours, or no name at all."""
    ours = [*kind_names(), *Decide.__struct_fields__, "model", "source", "when", "decide", "pin"]
    odd = ["", "a b", '"a\\nb"', "'a.b'", "when.x", "a.b.c", "\u00e4", "__class__", "x" * 300]
    name = rng.choice([*ours, *ours, *odd])
    return name[:-1] if rng.random() < 0.05 else name


def value(rng):
    """Return a value: plain, odd, large or deep."""
    kind = rng.random()
    if kind < 0.03:
        depth = rng.choice([10, 200, 3000, 30_000])
        return "[" * depth + "]" * rng.choice([depth, depth - 1])
    if kind < 0.05:
        return "{a=" * (depth := rng.choice([10, 200, 2000])) + "1" + "}" * depth
    if kind < 0.07:
        return "9" * rng.choice([20, 4000, 5000, 60_000])
    if kind < 0.09:
        return '"' + "x" * rng.choice([1000, 65_000]) + '"'
    return rng.choice(VALUES)


def output(rng):
    """Return a line of one of the outputs, with settings that it has, or nearly."""
    name = rng.choice(kind_names())
    fields = [field for field in find_kind(name).__struct_fields__ if rng.random() < 0.5]
    settings = ", ".join(f"{field} = {value(rng)}" for field in fields)
    return f"{name} = {{ {settings} }}" if rng.random() < 0.7 else f"{name} = {value(rng)}"


def written(rng):
    """Return a whole file, made up."""
    lines = [START] if rng.random() < 0.5 else []
    for number in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.25:
            lines.append(f"[when.label{number}]")
        elif kind < 0.35:
            lines.append(rng.choice([f"[{key(rng)}]", f"[[{key(rng)}]]", f"[when.{key(rng)}]"]))
        elif kind < 0.75:
            lines.append(output(rng))
        else:
            lines.append(f"{key(rng)} = {value(rng)}")
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def broken(rng, content):
    """Return an `edge.toml` with something wrong in it, or everything."""
    if rng.random() < 0.5:
        content = written(rng)
    return damaged(rng, content) if rng.random() < 0.5 else content
