"""`edge.toml`: each mistake is one line that says what, where and what next."""

from __future__ import annotations

import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.config import FORMS, read_config
from edge.errors import ConfigError
from edge.outputs.header import HEADER_PINS, PHYSICAL_TO_BCM


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "edge.toml"

    def write(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def pins(got, label):
    return [(name, one.pin) for where, name, one in got.outputs() if where == label]


def complaint(path):
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_everything_that_can_be_said(write):
    got = read_config(
        write(
            'model = "models/m.onnx"\nsource = "webcam:1"\n'
            "[when.rock]\nled = 17\nbuzzer = [22, 23]\n[when.palm]\nled = [5]\n"
            "[decide]\nenter = 0.8\nleave = 0.6\nwindow = 0\nhold = 1\ncooldown = 2.5\n"
            "novelty = 7\n"
        )
    )
    assert got.model == got.path.parent / "models" / "m.onnx"
    assert got.source == "webcam:1"
    assert pins(got, "rock") == [("led", 17), ("buzzer", 22), ("buzzer", 23)]
    assert pins(got, "palm") == [("led", 5)]
    assert got.decide == config.Decide(0.8, 0.6, 0, 1, 2.5, 7)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[when]\n", "[when.rock]\n"])
def test_an_empty_file_takes_every_default(write, text):
    got = read_config(write(text))
    assert got.model == got.path.parent / "model.onnx"
    assert got.source is None
    assert got.decide == config.Decide()
    assert got.outputs() == []


def test_an_absolute_model_path_stays_as_it_is(write):
    assert str(read_config(write('model = "/srv/m.onnx"')).model) == "/srv/m.onnx"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('modle = "m.onnx"', "unknown key 'modle'; did you mean 'model'?"),
        (
            "zzz = 1",
            "unknown key 'zzz'; there is: model, source, when, decide, camera, button, keep",
        ),
        ("[wen.rock]\nled = 1", "unknown key 'wen'; did you mean 'when'?"),
        ("[when.rock]\nlde = 17", "[when.rock] unknown key 'lde'; did you mean 'led'?"),
        ("[when.rock]\nLED = 17", "[when.rock] unknown key 'LED'; did you mean 'led'?"),
        ("Model = 'm.onnx'", "unknown key 'Model'; did you mean 'model'?"),
        ("[decide]\nenterr = 1", "[decide] unknown key 'enterr'; did you mean 'enter'?"),
        ("model = 3", "model: expected text, got a whole number"),
        ("source = []", "source: expected text, got a list"),
        ("when = 1", "when: expected a table, got a whole number"),
        ("[[when]]\nled = 1", "when: expected a table, got a list"),
        ("decide = 'fast'", "decide: expected a table, got text"),
        ("[when]\nrock = 17", "[when.rock] expected a table, got a whole number"),
        (
            "[when.rock]\nled = 'x'",
            (
                "[when.rock] led: expected a whole number, got text; "
                "write just the number, without quotes"
            ),
        ),
        (
            "[when.rock]\nled = 17.5",
            "[when.rock] led: expected a whole number, got a number",
        ),
        (
            "[when.rock]\nled = true",
            "[when.rock] led: expected a whole number, got true or false",
        ),
        (
            "[when.rock]\nled = ['x']",
            (
                "[when.rock] led[0]: expected a whole number, got text; write just the number, "
                "without quotes"
            ),
        ),
        (
            "[led]\npin = 17",
            (
                "unknown key 'led'; an output stands below its label: "
                "[when.LABEL] and below it led = ..."
            ),
        ),
        (
            "[when.rock]\nrgb_led = [5, 6, 13]",
            "[when.rock] rgb_led: a list is several; for one: { pins = [5, 6, 13] }",
        ),
        (
            "[button]\npin = 5\npress = 'off'",
            "[button] press: there is no 'off'; there is: pause, shutdown, nothing",
        ),
        ("button = 3", "button: expected a table, got a whole number"),
        (
            "[when.rock]\ncommand = 3",
            "[when.rock] command: expected text or a list, got a whole number",
        ),
        ("source = 2026-03-01", "source: expected text, got a date"),
        ("source = 07:32:00", "source: expected text, got a time of day"),
        ("[rock]\nled = 17", "unknown key 'rock'; did you mean [when.rock]?"),
        ("[decide]\nenter = 'x'", "[decide] enter: expected a number, got text"),
        ("[decide]\nenter = 1", "[decide] enter: expected a number < 1.0"),
        ("[decide]\nleave = 0.0", "[decide] leave: expected a number > 0.0"),
        ("[decide]\nnovelty = 0", "[decide] novelty: expected a number > 0.0"),
        ("[decide]\nhold = -1", "[decide] hold: expected a number >= 0.0"),
        ("[decide]\ncooldown = 61", "[decide] cooldown: expected a number <= 60.0"),
        ("[decide]\nwindow = inf", "[decide] window: expected a number <= 60.0"),
        ("[decide]\nenter = 0.3\nleave = 0.5", "[decide] leave: must not be above enter (0.3)"),
        (
            "[when.rock]\nled = 17\n[when.palm]\nbuzzer = 17",
            "[when.palm] buzzer: pin 17 is already used by [when.rock] led; take another",
        ),
        (
            "[when.rock]\nled = [17, 17]",
            "[when.rock] led: pin 17 is already used by [when.rock] led; take another",
        ),
        ("[when.rock]\nled = 0", "[when.rock] led: 0 is not a BCM pin on the header (2 to 27)"),
        ("[when.rock]\nled = -4", "[when.rock] led: -4 is not a BCM pin on the header (2 to 27)"),
        (
            "[when.rock]\nled = 40",
            (
                "[when.rock] led: 40 is not a BCM pin on the header (2 to 27); "
                "the pin at place 40 of the header is BCM 21"
            ),
        ),
        (
            "[when.rock]\nled = 39",  # a ground pin: no hint
            "[when.rock] led: 39 is not a BCM pin on the header (2 to 27)",
        ),
        (
            "[when.background]\nled = 17",
            "[when.background]: 'background' never triggers anything; take it away",
        ),
        (b"model = 'caf\xe9'", "not UTF-8 text at byte 12"),
        (b"\xff\xfe", "not UTF-8 text at byte 0"),
    ],
)
def test_each_mistake_is_named_where_it_is(write, text, line):
    assert complaint(write(text)) == line


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("model = 'm'\n[when.rock\n", "line 2"),
        ("[when.rock]\nled = 17\n[when.rock]\nled = 18\n", "line 3"),
        ("\n\nled == 17", "line 3"),
        ("[decide]\nhold = nan x", "line 2"),
    ],
)
def test_a_slip_in_the_toml_names_its_line(write, text, where):
    line = complaint(write(text))
    assert line.startswith("not valid TOML: ")
    assert where in line


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "9" * 5000,  # Python refuses to read so long a number
        "a = " + "[" * 9_000,
        "a = " + "{a=" * 2000,
        "a = 2024-13-45",
    ],
)
def test_hostile_toml_is_one_line_too(write, text):
    assert complaint(write(text)).startswith("not valid TOML: ")


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
@pytest.mark.parametrize("key", ["enter", "leave", "window", "hold", "cooldown", "novelty"])
def test_what_is_no_number_is_no_setting(write, key, value):
    assert complaint(write(f"[decide]\n{key} = {value}")).startswith(f"[decide] {key}: ")


def test_a_huge_file_is_not_read_through(write):
    assert complaint(write("#" * 64_001)) == "larger than 64 kB, this is no edge.toml"
    deep = "a." * 30_000 + "b = 1"  # seconds' work for a parser
    assert complaint(write(f"\n{deep}")) == "line 2 has over 10,000 bytes; break it up"


def test_a_missing_file_says_where_to_get_one(tmp_path):
    assert "README" in complaint(tmp_path / "edge.toml")


def test_a_folder_is_no_file(tmp_path):
    assert complaint(tmp_path) == "cannot be read: Is a directory"


def test_names_that_no_file_can_have():
    for name in ["a\0b", "x" * 5000]:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_config(name)


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("rok", "; did you mean 'rock'?"),
        ("Rock", "; did you mean 'rock'?"),
        ("xyz", "; there is: palm, rock"),
        ("backgroud", "; there is: palm, rock"),  # never an advice that would be refused
    ],
)
def test_an_unknown_label_gets_the_nearest_known_one(write, label, hint):
    got = read_config(write(f"[when.{label}]\nled = 17"))
    with pytest.raises(ConfigError) as caught:
        got.check_labels(["background", "palm", "rock"])
    assert (
        str(caught.value) == f"{got.path}: [when.{label}]: the model has no class '{label}'{hint}"
    )


def test_known_labels_pass(write):
    read_config(write("[when.rock]\nled = 17")).check_labels(["background", "rock"])


def test_every_pin_of_the_header_is_accepted_once(write):
    assert read_config(write(f"[when.rock]\nled = {list(HEADER_PINS)}"))


def test_the_table_of_places_has_all_that_are_no_pins():
    ground, hat = {30, 34, 39}, {28}
    assert set(PHYSICAL_TO_BCM) == set(range(28, 41)) - ground - hat
    assert set(PHYSICAL_TO_BCM.values()) < set(HEADER_PINS)
    assert len(set(PHYSICAL_TO_BCM.values())) == len(PHYSICAL_TO_BCM)


# --- Anything at all


def harmless(path):
    with suppress(ConfigError):
        read_config(path).check_labels(["background", "rock"])


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "edge.toml"


@given(st.text() | st.binary())
def test_any_text_is_a_config_or_a_config_error(anywhere, content):
    anywhere.write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    )
    harmless(anywhere)


keys = st.sampled_from(
    ["model", "source", "when", "decide", "rock", "led", "buzzer", "enter", "hold", "", "a.b", '"']
) | st.text(max_size=5)
numbers = st.integers() | st.integers(0, 45) | st.floats()
leaves = numbers | st.booleans() | st.text(max_size=5) | st.dates() | st.datetimes() | st.times()
tables = st.dictionaries(
    keys,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(tables)
def test_any_table_is_a_config_or_a_config_error(anywhere, table):
    with pytest.MonkeyPatch.context() as patch:  # tomllib reads but does not write
        anywhere.write_text("")
        patch.setattr(tomllib, "loads", lambda _text: table)
        harmless(anywhere)


actions = st.fixed_dictionaries(
    {}, optional={"led": numbers | st.lists(st.integers(0, 30)), "buzzer": st.integers(0, 30)}
)


@given(st.dictionaries(st.sampled_from(["rock", "palm", "background"]), actions))
def test_whatever_is_accepted_uses_each_pin_once_and_never_background(anywhere, when):
    with pytest.MonkeyPatch.context() as patch:
        anywhere.write_text("")
        patch.setattr(tomllib, "loads", lambda _text: {"when": when})
        try:
            got = read_config(anywhere)
        except ConfigError:
            return
    used = [pin for _, _, output in got.outputs() for pin in output.pins()]
    assert len(used) == len(set(used))
    assert set(used) <= set(HEADER_PINS)
    assert "background" not in got.when


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model = model.onnx", "model = model.onnx"),
        ("[when.my fist]\nled = 17", "[when.my fist]"),
        ("model = \u201cmodel.onnx\u201d", "model = \u201cmodel.onnx\u201d"),
        ("[when]\nr\u00f6ck = 1", "r\u00f6ck = 1"),
    ],
)
def test_a_line_that_is_no_toml_is_shown_with_what_it_may_want(write, text, line):
    said = complaint(write(text))
    assert said.startswith("not valid TOML: ")
    assert f": {line}  (text wants plain quotes" in said


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("[when.rock]\nled = GPIO17", ": led = GPIO17  (write just the number: 17)"),
        ("[when.rock]\nled = pin 4", ": led = pin 4  (write just the number: 4)"),
        ("[decide]\nenter = 0,6  # sure", ": enter = 0,6  # sure  (a point, not a comma: 0.6)"),
        (r'model = "C:\Users\me"', r'(in quotes write / or \\ for \: "C:/pictures")'),
        (r'model = "C:\data\me"', r'(in quotes write / or \\ for \: "C:/pictures")'),
        ("[when.rock]\nled = 17 18", ": led = 17 18"),
        ("[when.rock]\nled = 17 18 # gr\u00fcn", ": led = 17 18 # gr\u00fcn"),
        ("\ufeffled = 17 18", ": led = 17 18"),
        ("[when.rock]\nled =\n", ": led ="),
        ("[when.rock\nled = 17", ": [when.rock"),
        ("[decide]\nenter = 0,6,7", ": enter = 0,6,7"),
    ],
)
def test_a_hint_is_given_where_it_fits(write, text, end):
    said = complaint(write(text))
    assert said.startswith("not valid TOML: ")
    assert said.endswith(end)


def test_a_table_that_is_there_twice_wants_no_quotes(write):
    said = complaint(write("[when.rock]\nled = 17\n[when.rock]\nled = 18"))
    assert said.endswith("(at line 3, column 11): [when.rock]")


def test_the_mark_that_notepad_writes_first_is_no_mistake(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xef\xbb\xbf[when.rock]\nled = 17\n")
    assert pins(read_config(path), "rock") == [("led", 17)]


def test_a_label_spelled_in_two_ways_is_no_two_labels(write):
    """An umlaut of one letter or two looks alike: one of the tables would vanish."""
    text = '[when."u\u0308"]\nled = 17\n[when."\u00fc"]\nled = 27\n'
    with pytest.raises(ConfigError, match=r"\[when.\u00fc\] is there twice, spelled in two ways"):
        read_config(write(text))


def test_a_word_for_a_source_is_that_source_whatever_lies_beside_it(write, tmp_path):
    (tmp_path / "virtual").mkdir()
    assert read_config(write('source = "virtual"')).source == "virtual"


def test_a_source_that_is_none_is_told_at_once(write):
    assert complaint(write("source = 'webcm:0'")).startswith("source: there is no 'webcm:0'")
    for source in ("hall", "virtual:x", "ssh://", "webcam:front", "pi:2"):
        said = complaint(write(f"source = '{source}'"))
        assert said.endswith(f"no '{source}'; a source is {FORMS}")
    assert complaint(write("source = ''")).startswith("source: it is empty")
    assert complaint(write("model = ''")).startswith("model: it is empty; write model =")


def test_a_source_beside_edge_toml_is_found_from_anywhere(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "edge.toml").write_text("source = 'clips'")
    assert read_config(tmp_path / "edge.toml").source == str(tmp_path / "clips")


def test_a_bad_source_is_named_in_the_file_it_stands_in(tmp_path):
    path = tmp_path / "kitchen.toml"
    path.write_text("source = 'webcm:0'")
    with pytest.raises(ConfigError, match=r"kitchen\.toml: source: "):
        read_config(path)


@pytest.mark.parametrize("text", ["a = [1,\n", "a = 1\n[", "a = 1\n[x]\nb =\n", "\x0c\na = 1"])
def test_a_mistake_on_any_line_up_to_the_last_is_one_line(write, text):
    assert complaint(write(text)).startswith("not valid TOML: ")


# --- The camera


def camera_of(tmp_path, text):
    path = tmp_path / "edge.toml"
    path.write_text(f"[camera]\n{text}\n")
    return read_config(path).camera


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("", "rotation", 0),
        ("number = 1", "number", 1),
        ("rotation = 270", "rotation", 270),
        ("rate = 15", "rate", 15),
        ('focus = "once"', "focus", "once"),
        ("focus = 2", "focus", 2.0),
        ('white_balance = "cloudy"', "white_balance", "cloudy"),
        ("white_balance = [1.5, 2]", "white_balance", (1.5, 2.0)),
        ("exposure = 0.01", "exposure", 0.01),
        ('exposure = "auto"', "exposure", "auto"),
    ],
)
def test_how_the_camera_is_mounted_and_set(tmp_path, text, name, value):
    assert getattr(camera_of(tmp_path, text), name) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nummer = 1", "unknown key 'nummer'; did you mean 'number'?"),
        ("number = -1", "number: expected a whole number >= 0"),
        ("rotation = 45", "rotation: 45 is not 0, 90, 180 or 270"),
        ("rate = 0", "rate: expected a number >= 1.0"),
        ("rate = nan", "rate: "),
        ('focus = "one"', "focus: 'one' is not continuous, once or a number of dioptres"),
        ("focus = -1", "focus: -1 dioptres; 0 is far away"),
        ("focus = nan", "focus: nan dioptres"),
        ("focus = true", "focus: expected a number or text, got true or false"),
        ('white_balance = "daylite"', "there is no 'daylite'; did you mean 'daylight'?"),
        ("white_balance = 5", "white_balance: expected text or a list, got a whole number"),
        ("white_balance = [0, 1]", "white_balance: gains of red and blue are above 0"),
        ("white_balance = [1]", "white_balance: expected a list of length 2, got 1"),
        ('exposure = "fast"', "exposure: 'fast' is not auto or a number of seconds"),
        ("exposure = 10_000", "exposure: 10000 is not above 0 s and at most 1 s"),
    ],
)
def test_a_camera_that_cannot_be_set_like_that_is_one_line(tmp_path, text, expected):
    with pytest.raises(ConfigError) as caught:
        camera_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'edge.toml'}: [camera] ")
    assert expected in message
    assert "\n" not in message
