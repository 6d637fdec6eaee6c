import pytest
import torch

from swath.products import product


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch says so when the flags are set
@pytest.mark.parametrize("shape", [(1, 384, 5000), (300, 33, 7), (19, 4097, 64)])
@pytest.mark.parametrize("onednn", [True, False])
def test_a_product_is_that_of_float64_by_every_library_also_of_a_view(shape, onednn):
    rows, inner, others = shape
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator)
    right = torch.randn(inner, others, generator=generator)
    with torch.backends.mkldnn.flags(enabled=onednn):
        found = product(left, right.T)
    torch.testing.assert_close(found.double(), left.double() @ right.double(), rtol=1e-5, atol=1e-4)
