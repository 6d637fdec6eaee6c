"""Oracle: numpy on pixels scaled by hand."""

import numpy as np
import torch
from striped_tiles import FORMAT

from swath.transfer.baselines import image_statistics


def test_statistics_equal_numpy_on_unit_pixels_in_the_order_of_rows(make_pack):
    store = make_pack(count=300)
    rows = np.asarray([5, 7, 100, 299, *range(200, 290)])
    found = image_statistics(store, rows)
    assert found.shape == (94, 7 * 4)
    assert found.dtype == np.float32
    fine, coarse = store.read(rows)
    for place, tile in enumerate(fine[:5]):
        for band in range(3):
            unit = np.clip(tile[band] / np.float64(4000), 0, 1).ravel()
            expected = [unit.mean(), unit.std(), *np.percentile(unit, [10, 25, 50, 75, 90])]
            np.testing.assert_allclose(found[place, band::4], expected, atol=1e-6)
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(coarse / 4000.0), size=16, mode="bilinear")
    np.testing.assert_allclose(found[:, 3], enlarged.mean(dim=(1, 2, 3)).numpy(), atol=1e-5)
    assert FORMAT.bands[3] == "B11"
