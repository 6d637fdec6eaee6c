import time

import pytest
import yaml

from swath.errors import UsageError
from swath.settings_file import read_settings, settings_lines, settings_text

REFUSED = {
    "tab": ("a: 1\n\tb: 2\n", ":2: a tab indents this line; use spaces"),
    "duplicate": ("a: 1\nb: 2\na: 3\n", ':3: "a" is set on line 1 already'),
    "duplicate below": ("a:\n  b: 2\n  b: 3\n", ':3: "b" is set on line 2 already'),
    "empty": ("", " is empty; expected lines such as `batch_size: 64`"),
    "comments only": ("# nothing\n", " is empty; expected lines such as `batch_size: 64`"),
    "list at top": ("- a\n- b\n", " has a list at the top; expected lines such as `batch_size: 64`"),
    "word at top": ("hello\n", " has a single value at the top; expected lines such as `batch_size: 64`"),
    "byte order mark": ("\ufeffa: 1\n", ":1: starts with a byte order mark; save it as UTF-8 without BOM"),
    "nesting": ("a: " + "[" * 5000, ":1: nested more than 20 deep"),
    "alias": ("a: &x [1]\nb: *x\n", ":1: anchors and aliases (& and *) are not read; write the value out"),
    "tag": ("\na: !!str 1\n", ":2: the tag tag:yaml.org,2002:str is not read; write a plain value"),
    "number as name": ("1: 2\n", ":1: a name must be a word; put it in quotes"),
    "two documents": ("a: 1\n---\nb: 2\n", ":2: a second document starts here (---); keep one"),
    "open bracket": ("a: [1,\n", ":2: expected the node content, but found '<stream end>'"),
    "control character": ("a: 1\nb: \x07\n", ":2: control character #x07; expected plain text"),
}


@pytest.fixture
def settings(tmp_path):
    def write(content):
        path = tmp_path / "x.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_every_setting_has_a_line_of_its_own():
    text = settings_text({"lr": 1e-3, "name": "x", "list": [1, 2]})
    assert [line.split(":")[0] for line in text.splitlines()] == ["lr", "name", "list"]
    assert settings_text({"lr": 1, "seed": 2}) == "lr: 1\nseed: 2\n"


def test_numbers_words_and_truth_are_what_they_look_like(settings):
    text = (
        "lr: 1e-3\na: 1.5E+2\nb: .5\nc: -7\nd: true\ne: no\nf: 2020-01-01\ng: 1:30\nh: 010\ni:\nj: [1, x]\n"
    )
    assert read_settings(settings(text)) == {
        "lr": 0.001, "a": 150.0, "b": 0.5, "c": -7, "d": True, "e": "no", "f": "2020-01-01", "g": "1:30",
        "h": "010", "i": None, "j": [1, "x"],
    }  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_ambiguous_or_hostile_is_refused_in_one_line_by_file_and_line(settings, text, message):
    path = settings(text)
    with pytest.raises(UsageError) as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}{message}"


def test_every_setting_knows_its_line(settings):
    assert settings_lines(settings("# mine\nlr: 1\n\nbands:\n  - a\nseed: 2\n")) == {
        "lr": 2,
        "bands": 4,
        "seed": 6,
    }


def test_a_tag_runs_no_code(settings, tmp_path):
    marker = tmp_path / "marker"
    path = settings(f"a: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(UsageError, match=r"python/object/apply:os.system is not read"):
        read_settings(path)
    assert not marker.exists()


def test_an_alias_bomb_and_a_huge_file_are_refused_at_once(settings):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    began = time.monotonic()
    with pytest.raises(UsageError, match="anchors and aliases"):
        read_settings(settings(bomb))
    with pytest.raises(UsageError, match=r"has 50,000,000 bytes; settings are at most 1,000,000"):
        read_settings(settings(b"#" * 50_000_000))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.write_bytes(b"a: \xff\xfe\n"), r"is not UTF-8 text \(byte 3\)"),
    ],
)
def test_what_is_not_a_text_file_is_refused(tmp_path, make, message):
    make(tmp_path / "x.yaml")
    with pytest.raises(UsageError, match=message):
        read_settings(tmp_path / "x.yaml")


def test_what_is_written_loads_back_equal(settings):
    bands = ["B04", "B03"]
    value = {
        "lr": 1e-05, "big": 1e20, "third": 1 / 3, "inf": float("inf"), "steps": 20, "flag": False,
        "none": None, "text": "1e-3", "no": "no", "on": "010", "null": "null", "date": "2020-01-01",
        "empty": "", "lines": "a\nb: c",
        "letters": "\u00e9\u6f22", "hash": "# x", "tab": "a\tb", "star": "*x",
        "wide": "w " * 200, "list": [], "map": {}, "deep": {"x": {"y": [[1, 2], [3.5]]}},
        "bands": bands, "the same bands": bands,
    }  # fmt: skip
    text = settings_text(value)
    assert read_settings(settings(text)) == value
    assert list(read_settings(settings(text))) == list(value)


def test_another_yaml_reader_reads_the_same_text(settings):
    value = {"text": "1e-3", "no": "no", "date": "2020-01-01", "lr": 1e-05, "bands": ("a", "b"), "n": 3}
    text = settings_text(value)
    assert yaml.safe_load(text) == {**value, "bands": ["a", "b"]} == read_settings(settings(text))
