"""An error is one line, whatever the names in it are."""

from __future__ import annotations

import pytest

from edge.errors import ConfigError, HandwaveError


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("edge.toml: no such file", "edge.toml: no such file"),
        ("unknown key 'a\nb'\r\n; see  there\n", "unknown key 'a b' ; see  there"),
        ("the class '\x1b[31mred\x00'", "the class '?[31mred?'"),
        ("the class 'Händer 🖐'", "the class 'Händer 🖐'"),
        ("the class '🙋\u200d♀️'", "the class '🙋\u200d♀️'"),  # one emoji of three
        ("the class 'kcor\u202e'", "the class 'kcor?'"),
        ("/tmp/no  such.jpg: no such picture", "/tmp/no  such.jpg: no such picture"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("kind", [HandwaveError, ConfigError])
def test_a_message_is_one_printable_line(kind, message, line):
    assert str(kind(message)) == line
    assert f"{kind(message)}" == line
