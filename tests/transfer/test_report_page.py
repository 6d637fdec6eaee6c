"""The whole page: one file in which nothing runs, and whose every part shows or says what is missing."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from mapped_tiles import EVIL, make_run, pack_scene, probe_json, scene_of

from swath.config import EmbedConfig, ReportConfig
from swath.errors import DataError, UsageError
from swath.transfer.embed import run as embed
from swath.transfer.report import run as report

EMPTY = {"img", "meta", "br", "source"}


class Page(HTMLParser):
    """Names and attributes of all elements, the visible text, and whether every element was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with everything a page can show."""
    folder = tmp_path_factory.mktemp("report")
    store = pack_scene(folder / "tiles.lance", scene_of(96, 128), stride_px=8)
    run = make_run(folder / "run", store.path)
    (run.path / "probe-linear.json").write_text(json.dumps(probe_json()), encoding="utf-8")
    embed(EmbedConfig(run=run.path, tiles=store.path, out=run.path / "features.parquet"))
    return report(ReportConfig(run=run.path)).out


def bare(folder: Path, *, trained: bool) -> Page:
    """The report of tiles without place, split or label, with no probe and no features."""
    store = pack_scene(folder / "tiles.lance", scene_of(64, 64), described=False)
    run = make_run(folder / "run", store.path, trained=trained)
    return Page(report(ReportConfig(run=run.path)).out.read_text(encoding="utf-8"))


def test_the_page_is_one_small_file_that_fetches_and_runs_nothing(full: Path) -> None:
    text = full.read_text(encoding="utf-8")
    page = Page(text)
    assert full.stat().st_size < 2_000_000
    assert not page.open
    assert not {name for name, _ in page.elements} & {"script", "link", "iframe", "object", "base", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert re.match(r"data:image/(png|jpeg);base64,|#", attributes.get(name) or "#")
    assert "url(" not in text
    assert "@import" not in text


def test_names_from_the_archive_are_text(full: Path) -> None:
    page = Page(full.read_text(encoding="utf-8"))
    assert page.text.count(EVIL) >= 5  # label, setting, command, left out class, attribution
    assert EVIL not in full.read_text(encoding="utf-8")
    card = full.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    outside_code = "\n".join(line for line in card.splitlines() if not line.startswith("    "))
    assert "\\<script" in outside_code
    assert not re.search(r"(?<!\\)<", outside_code)


def test_every_part_the_issue_asks_for_is_there(full: Path) -> None:
    page = Page(full.read_text(encoding="utf-8"))
    ids = {attributes["id"] for name, attributes in page.elements if name == "section"}
    assert ids == {
        "scene",
        "worth",
        "labels",
        "ladder",
        "mistakes",
        "search",
        "attention",
        "ground",
        "leaks",
        "views",
        "learning",
        "again",
    }
    assert page.text.count("To fill this") == 3  # the ladder, the label curve and the head are not there
    for words in (
        "Pretraining paid off",
        "+0.100",
        "entropy",
        "KL",
        "map of splits",
        "Sample tiles",
        "local views",
    ):
        assert words in page.text or any(words == a.get("alt") for _, a in page.elements)
    queries = [a for name, a in page.elements if a.get("class") == "strip neighbours"]
    assert len(queries) == 6


def test_the_model_card_tells_the_same_numbers(full: Path) -> None:
    card = full.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| linear probe | pretrained ViT | 0.512 [0.482, 0.542] |" in card
    assert "Pretraining paid off" in card
    assert "0.512" in Page(full.read_text(encoding="utf-8")).text


def test_what_is_missing_names_the_command_that_fills_it(tmp_path: Path) -> None:
    page = bare(tmp_path, trained=True)
    for words in (
        "has not been measured yet",
        "swath index SOURCE --labels",
        "swath embed",
        "have no location",
    ):
        assert words in page.text
    assert "a sheet of samples stands for the scene" in page.text


def test_paths_are_those_that_were_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = pack_scene(tmp_path / "tiles.lance", scene_of(96, 128))
    make_run(tmp_path / "run", store.path)
    out = report(ReportConfig(run=Path("run"))).out
    texts = [path.read_text(encoding="utf-8") for path in (out, out.with_name("MODEL_CARD.md"))]
    assert not any(str(tmp_path) in text for text in texts)
    assert "swath probe run tiles.lance" in texts[0]
    assert "swath embed run tiles.lance --out run/features.parquet" in texts[0]


def test_a_run_before_its_first_step_still_has_a_page(tmp_path: Path) -> None:
    page = bare(tmp_path, trained=False)
    assert "No checkpoint yet" in page.text
    assert "Nothing was logged yet" in page.text


def test_features_of_another_checkpoint_are_not_shown(full: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", full.parents[1] / "tiles.lance")
    (run.path / "features.parquet").write_bytes(b"not parquet")
    page = Page(report(ReportConfig(run=run.path)).out.read_text(encoding="utf-8"))
    assert "No features of this checkpoint yet" in page.text


def test_the_same_run_gives_the_same_pictures(full: Path, tmp_path: Path) -> None:
    again = report(ReportConfig(run=full.parent, out=tmp_path / "again.html")).out
    pictures = [re.findall(r"base64,([^\"]+)", path.read_text(encoding="utf-8")) for path in (full, again)]
    assert pictures[0] == pictures[1]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        report(ReportConfig(run=tmp_path))


def test_a_damaged_probe_file_is_named(tmp_path: Path) -> None:
    store = pack_scene(tmp_path / "tiles.lance", np.full((3, 32, 32), 9, np.uint8))
    run = make_run(tmp_path / "run", store.path)
    (run.path / "probe-knn.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"probe-knn\.json is not JSON.*swath probe"):
        report(ReportConfig(run=run.path))
