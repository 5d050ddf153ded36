"""TOML that people write by hand, read strictly: a mistake is one line that says what to write."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, TypeVar, get_args, get_origin

import msgspec

from edge.errors import did_you_mean
from edge.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.errors import HandwaveError

T = TypeVar("T")

LONGEST = 10_000
"""Bytes of a line: a key of many dots takes the parser a time that grows with their square."""

PLAIN_TYPES = {
    "int": "a whole number",
    "str": "text",
    "float": "a number",
    "object": "a table",
    "array": "a list",
    "bool": "true or false",
    "datetime": "a date",
    "date": "a date",
    "time": "a time of day",
}
"""msgspec's types; what may be `null` may be left out, and TOML has no other null."""
SLIPS = (
    (r"(?i)=\s*(?:gpio|bcm|pin)[ _]?(\d+)", "write just the number: {0}"),
    (r"=\s*(-?\d+),(\d+)\s*(?:#|$)", "a point, not a comma: {0}.{1}"),
    (r'"[^"]*\\', r'in quotes write / or \\ for \: "C:/pictures"'),
    (
        r"^\[[^\]]*[^\]\w.-]|=\s*\[?\s*[^\W\d]|[^\x00-\x7f]",
        'text wants plain quotes: "model.onnx"; so does a label with more than a-z, 0-9, - and _',
    ),
)
"""Patterns of lines that are no TOML, and the advice for each; the first match is used."""


def load(
    path: Path, most: int, *, what: str, missing: str, error: type[HandwaveError]
) -> dict[str, Any]:
    """Return a file's table; the arguments are those of `edge.files.read_bounded`.

    Raises:
        HandwaveError: of the kind `error`: it cannot be read, or is no TOML.
    """
    text = read_bounded(path, most, what=what, missing=missing, error=error)
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST:
            raise error(f"{path}: line {number} has over {LONGEST:,} bytes; break it up")
    try:
        return tomllib.loads(text.decode("utf-8-sig"))  # Windows' Notepad writes a mark first
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text at byte {problem.start}") from None
    except (ValueError, RecursionError) as problem:  # ValueError: also a number without end
        raise error(f"{path}: not valid TOML: {problem}{_hint(text, problem)}") from None


def convert(
    table: object,
    kind: type[T],
    where: str,
    *,
    error: type[HandwaveError],
    inner: str | None = None,
    unknown: Callable[[str, str], str] | None = None,
) -> T:
    """Return a table of a file as what it should be.

    Args:
        table: as TOML gave it.
        kind: a Struct.
        where: how an error begins.
        error: what to raise.
        inner: a field that the file does not name, as in `led = 17`; errors do not either.
        unknown: called with an unknown key and its place; returns the hint.

    Raises:
        HandwaveError: of the kind `error`: the table is something else.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as problem:
        message, _, path = str(problem).partition(" - at `$")
        key = path.strip(".`")
        if inner is not None:
            key = key.removeprefix(inner).lstrip(".")
        found = re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL)
        if found:
            known = getattr(kind, "__struct_encode_fields__", ())
            hint = unknown(found[1], key) if unknown else did_you_mean(found[1], known)
            message = f"unknown key '{found[1]}'{hint}"
        elif word := re.fullmatch(r"Invalid enum value '(.*)'", message, re.DOTALL):
            chosen = _choices(kind, path.strip(".`"))
            message = f"there is no '{word[1]}'; there is: {', '.join(chosen)}"
        elif re.search(r"`int.*got `str`", message):
            message += "; write just the number, without quotes"
        raise error(
            f"{where} {key}: {_plain(message)}" if key else f"{where} {_plain(message)}"
        ) from None


def _hint(text: bytes, problem: Exception) -> str:
    """Show the line that is no TOML, and what it may want."""
    found = re.search(r"at line (\d+)", str(problem))
    if not found:
        return ""
    line = text.decode("utf-8-sig").split("\n")[int(found[1]) - 1].strip()[:60]
    said = re.sub(r'^((?:[^"#]|"[^"]*")*)#.*', r"\1", line)  # without a comment
    hints = (hint.format(*slip.groups()) for like, hint in SLIPS if (slip := re.search(like, said)))
    hint = next(hints, None)
    twice = str(problem).startswith("Cannot")
    return f": {line}" if hint is None or twice else f": {line}  ({hint})"


def _plain(message: str) -> str:
    """Say msgspec's types, such as `int | null`, in a maker's words."""

    def ours(found: re.Match[str]) -> str:
        parts = [part for part in found[1].split(" | ") if part != "null"]
        known = all(part in PLAIN_TYPES for part in parts)
        return " or ".join(PLAIN_TYPES[part] for part in parts) if known else found[0]

    message = re.sub(r"`([a-z |]+)`", ours, message)
    return message[:1].lower() + message[1:]


def _choices(kind: object, key: str) -> tuple[str, ...]:
    """Return the words of which a Struct's field takes one; none for any other field."""
    fields = msgspec.structs.fields(kind) if _is_struct(kind) else ()
    found = next((field.type for field in fields if field.encode_name == key), None)
    return get_args(found) if get_origin(found) is Literal else ()


def _is_struct(kind: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
