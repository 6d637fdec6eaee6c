"""The compiled loops and the batched products against plain loops."""

import numpy as np
import pytest
import torch

from swath.data.line_filter import Filters, LineFilter, filtered, filtered_in_batches, line_filter


def some_filter(n: int, *, out_px: int, in_px: int, taps: int, seed: int) -> LineFilter:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(-2, in_px, (n, out_px, 1), generator=generator)
    place = (first + torch.arange(taps)).clamp(0, in_px - 1)
    return line_filter(place, torch.rand(n, out_px, taps, generator=generator) / taps, in_px=in_px)


@pytest.mark.parametrize("make", [filtered, filtered_in_batches])
def test_a_view_is_the_double_sum_of_plain_loops(make) -> None:
    tiles = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    rows = some_filter(4, out_px=7, in_px=5, taps=3, seed=1)
    columns = some_filter(4, out_px=7, in_px=6, taps=4, seed=2)
    turned = np.array([False, True, False, True])
    of = np.array([0, 1, 1, 0])
    views = make(tiles, of, Filters(rows, columns, turned))
    for n, row_weights, column_weights in zip(range(4), rows.dense(), columns.dense(), strict=True):
        expected = torch.zeros(3, 7, 7)
        for y in range(5):
            for x in range(6):
                weight = row_weights[:, y, None] * column_weights[None, :, x]
                expected += tiles[of[n], :, y, x, None, None] * weight
        torch.testing.assert_close(views[n], expected.mT if turned[n] else expected)


def test_values_are_clamped_to_the_unit_range() -> None:
    twice_and_minus = LineFilter(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[[2.0], [-1.0]]]), 1)
    one = LineFilter(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, 1), 1)
    filters = Filters(twice_and_minus, one, np.array([False]))
    for make in (filtered, filtered_in_batches):
        views = make(torch.full((1, 1, 1, 1), 0.7), np.array([0]), filters)
        assert views.flatten().tolist() == [1.0, 0.0]


def test_places_moved_onto_the_end_of_a_short_line_add_up() -> None:
    place = torch.tensor([[[0, 0, 0, 1, 1]]])
    weights = line_filter(place, torch.tensor([[[1.0, 2.0, 4.0, 8.0, 16.0]]]), in_px=2).dense()
    assert weights.tolist() == [[[7.0, 24.0]]]


def test_tiles_that_do_not_lie_in_a_row_are_filtered_alike() -> None:
    tiles = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    rows = some_filter(1, out_px=4, in_px=6, taps=3, seed=4)
    filters = Filters(rows, rows, np.array([False]))
    strided = tiles.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(filtered(strided, np.array([0]), filters), filtered(tiles, np.array([0]), filters))
