"""The page as a person uses it, in a headless browser: map, plot, neighbours, selection, labelling."""

import shlex
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from browser import chromium, open_page, served, until
from mapped_tiles import EVIL, make_run, pack_scene, scene_of
from sklearn.metrics import average_precision_score

from swath import cli
from swath.runtime.run import Run
from swath.serve.explore.archive import open_archive

STATE = "import('/page/state.js').then(({state}) => %s)"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(opened):
    with served(opened) as found:
        yield found


@pytest.fixture
def page(browser, address, opened):
    shutil.rmtree(opened.run / "labels", ignore_errors=True)
    page = open_page(browser, address)
    yield page
    assert page.problems == []
    assert all(url.startswith((address.split("?")[0], "blob:")) for url in page.asked)
    page.close()


def state(page, what):
    return page.evaluate(STATE % what)


def painted(page, view, canvas="dots"):
    """Pixels of a canvas that are not transparent."""
    return page.evaluate(
        """([view, canvas]) => {
          const found = document.querySelector(`#${view} canvas.${canvas}`);
          const pixels = found.getContext("2d").getImageData(0, 0, found.width, found.height).data;
          let count = 0;
          for (let k = 3; k < pixels.length; k += 4) count += pixels[k] > 0;
          return count;
        }""",
        [view, canvas],
    )


def spot(page, view, row):
    """Where a tile is on the screen."""
    place = page.evaluate(
        "([view, row]) => document.querySelector(`#${view} .stage`).view.screen(row)", [view, row]
    )
    box = page.locator(f"#{view} .stage").bounding_box()
    return box["x"] + place[0], box["y"] + place[1]


def drag(page, view, corners):
    """Draw a line through points given as shares of the stage."""
    box = page.locator(f"#{view} .stage").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def choose(page, view, row):
    page.mouse.click(*spot(page, view, row))
    page.wait_for_selector(f"#tile[data-answered='{row}']")


def test_map_and_plot_are_painted_and_the_page_says_what_it_shows(page):
    assert painted(page, "map") > 500
    assert painted(page, "plot") > 500
    until(page, "document.querySelector('#map .stage').view.pictures.held.size === 144")
    assert painted(page, "map", "ground") > 20_000
    assert page.locator("#count").inner_text() == "144 tiles"
    assert page.locator("#legend button.word").all_inner_texts()[0].startswith(("flat", "checks", "stripes"))
    assert page.locator(".scale").inner_text() == "1 km"
    assert page.locator("#gallery").inner_text().startswith("Choose a tile")
    assert "token" not in page.url


@pytest.mark.parametrize("view", ["map", "plot"])
def test_a_click_shows_the_tile_and_its_neighbours(page, opened, view):
    choose(page, view, 77)
    assert opened.ids[77] in page.locator("#tile").inner_text()
    page.wait_for_selector("#gallery[data-of='77']")
    shown = [int(each.get_attribute("data-row")) for each in page.locator("#gallery .thumb").all()]
    assert shown == opened.neighbours(77, 24)[0]
    until(page, "document.querySelector('#tile img').naturalWidth === 32")
    until(page, "!document.querySelector('#gallery canvas:not([data-painted])')")
    other = "plot" if view == "map" else "map"
    assert painted(page, other, "marks") > 1000  # rings around the tile and its neighbours


def test_what_one_points_at_in_one_view_is_ringed_in_the_other(page):
    assert painted(page, "map", "marks") == painted(page, "plot", "marks") == 0
    page.mouse.move(*spot(page, "plot", 30))
    page.wait_for_selector("#tip:not([hidden]) img")
    row = state(page, "state.hovered")
    assert painted(page, "map", "marks") > 50
    assert page.locator("#tip img").get_attribute("src").startswith(f"/picture/{row}?")
    page.mouse.move(5, 5)
    assert painted(page, "map", "marks") == 0


def test_box_and_lasso_select_the_tiles_inside_in_both_views(page, opened):
    page.keyboard.press("b")
    drag(page, "map", [(0.02, 0.02), (0.5, 0.98)])
    west = opened.ground.lonlat[:, 0]
    chosen = set(state(page, "state.selected"))
    assert chosen == set(np.flatnonzero(west < (west.min() + west.max()) / 2).tolist())
    assert page.locator("[data-tab=selection]").inner_text() == f"Selection {len(chosen)}"
    assert page.locator("#gallery .thumb").count() == min(60, len(chosen))
    page.keyboard.press("l")
    page.keyboard.down("Shift")
    drag(page, "plot", [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    page.keyboard.up("Shift")
    assert len(state(page, "state.selected")) == 144
    page.keyboard.press("Escape")
    assert state(page, "state.selected") == []
    page.keyboard.press("v")
    before = spot(page, "plot", 3)
    drag(page, "plot", [(0.5, 0.5), (0.6, 0.6)])
    assert spot(page, "plot", 3)[0] > before[0] + 10


def test_labelling_by_example_ranks_better_and_the_export_indexes_again(page, opened, tmp_path, capsys):
    truth = opened.store.labels()[:, opened.store.vocabulary.index("flat")].astype(bool)
    page.locator("#label").fill("smooth ground")
    page.locator("#label").press("Enter")
    page.locator("#map .stage").focus()
    choose(page, "plot", int(np.flatnonzero(truth)[0]))
    page.keyboard.press("y")
    page.wait_for_selector("#labelling[data-fitted='1']")
    first = np.asarray(state(page, "[...state.scores]"))
    page.keyboard.press("3")
    for count in range(2, 14):
        page.keyboard.press("ArrowRight")
        row = state(page, "state.current")
        page.keyboard.press("y" if truth[row] else "n")
        page.wait_for_selector(f"#labelling[data-fitted='{state(page, 'state.marks.size')}']")
        assert state(page, "state.marks.size") >= count
    marks = {int(row): mark for row, mark in state(page, "[...state.marks]")}
    last = np.asarray(state(page, "[...state.scores]"))
    rest = np.setdiff1d(np.arange(144), list(marks))
    early, late = (average_precision_score(truth[rest], scores[rest]) for scores in (first, last))
    assert late > early

    words = shlex.split(page.locator("#label-command").text_content())
    words[words.index("--out") + 1] = str(tmp_path / "again.parquet")
    assert cli.main(words[1:]) == 0
    again = pq.read_table(tmp_path / "again.parquet", columns=["id", "labels"]).to_pylist()
    expected = {opened.ids[row]: ["smooth ground"] if mark else [] for row, mark in marks.items()}
    assert {row["id"]: row["labels"] for row in again if row["labels"] is not None} == expected
    assert "smooth ground" in capsys.readouterr().out

    page.reload()
    page.wait_for_selector(f"#labelling[data-fitted='{len(marks)}']")
    assert page.locator("#label").input_value() == "smooth ground"
    assert {int(row): mark for row, mark in state(page, "[...state.marks]")} == marks


def test_everything_can_be_done_from_the_keyboard(page):
    page.locator("#plot .stage").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#tile[data-answered]")
    first = state(page, "state.current")
    page.wait_for_selector(f"#gallery[data-of='{first}']")
    page.keyboard.press("j")
    assert state(page, "state.current") != first
    before = state(page, "state.colouring")
    page.keyboard.press("c")
    assert state(page, "state.colouring") != before
    page.keyboard.press("u")
    page.keyboard.press("n")
    until(page, "document.getElementById('label-state').textContent.startsWith('1 no')")
    page.keyboard.press("4")
    assert page.locator("#gallery .thumb.is-no").count() == 1
    page.keyboard.press("u")
    until(page, "!document.querySelector('#gallery .thumb')")
    scale = page.evaluate("document.querySelector('#plot .stage').view.scale")
    page.keyboard.press("+")
    assert page.evaluate("document.querySelector('#plot .stage').view.scale") > scale
    page.keyboard.press("0")
    assert page.evaluate("document.querySelector('#plot .stage').view.scale") == scale
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_word_of_the_legend_puts_the_others_in_the_shade(page, opened):
    word = page.locator("#legend button.word", has_text="flat")
    word.click()
    lit = page.evaluate("import('/page/colours.js').then(({paintOf}) => [...paintOf().layer])")
    assert lit == opened.store.labels()[:, opened.store.vocabulary.index("flat")].tolist()
    assert word.get_attribute("aria-pressed") == "true"
    word.click()
    page.locator("#colour").select_option("cluster")
    assert "cluster 1" in page.locator("#legend").inner_text()


def test_a_tile_named_like_a_script_is_shown_as_text(browser, tmp_path):
    store = pack_scene(tmp_path / "tiles.lance", scene_of(64, 96))
    archive = open_archive(Run.open(make_run(tmp_path / "run", store.path).path), None)
    with served(archive) as address:
        page = open_page(browser, address)
        page.on("dialog", lambda dialog: page.problems.append(dialog.message))
        choose(page, "plot", 5)
        assert archive.ids[5] in page.locator("#tile").inner_text()
        assert EVIL in page.locator("#tile").inner_text()
        assert EVIL in page.locator("#legend").inner_text()
        assert EVIL in page.locator("#map .credit").text_content()
        assert page.locator("script").count() == 1
        page.locator("#label").fill(EVIL)
        page.locator("#label").press("Enter")
        page.locator("#tile [data-mark=Yes]").click()
        page.wait_for_selector("#problem:not([hidden])")
        assert EVIL in page.locator("#problem").inner_text()
        assert [line for line in page.problems if "422" not in line] == []
        page.close()


def test_tiles_without_a_place_leave_the_room_to_the_plot(browser, tmp_path):
    store = pack_scene(tmp_path / "tiles.lance", scene_of(64, 64), described=False)
    archive = open_archive(Run.open(make_run(tmp_path / "run", store.path).path), None)
    with served(archive) as address:
        page = open_page(browser, address, color_scheme="dark")
        assert "None of the 16 tiles says where it lies" in page.locator("#map").inner_text()
        assert not page.locator("#map .stage").is_visible()
        assert painted(page, "plot") > 100
        assert page.locator("#colour option").all_inner_texts() == ["cluster"]
        assert page.problems == []
        page.close()
