"""Networks that were trained on photographs, for the bands of an image that a photograph has."""

from pathlib import Path

from swath.data.bands import BandGroup, TileFormat
from swath.errors import UsageError
from swath.features.backbone import FrozenBackbone, Weights
from swath.features.content import Content
from swath.files import sha256_of
from swath.models.foreign import chosen_network, position_mode, shape_of_weights
from swath.models.pickled import read_weights
from swath.models.vit import VisionTransformer
from swath.models.weights import check_finite, load_backbone

# What torchvision's transforms, and so nearly every network trained on photographs, subtract and divide by.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RGB = ("red", "green", "blue")


def photographic(path: Path, *, content: Content) -> FrozenBackbone:
    """Weights of a network for photographs: red, green and blue in [0, 1], standardised as torchvision does,
    at the size that its positions were learned for.

    Raises:
        DataError: damaged, code in it, no vision transformer that swath knows, or not of three bands.
    """
    content_of_file = read_weights(path)
    tensors = chosen_network(content_of_file, where=path)
    check_finite(tensors, where=str(path))
    shape = shape_of_weights(tensors, position=position_mode(content_of_file), where=path)
    if shape.in_channels != len(_RGB):
        raise UsageError(
            f"{path} sees {shape.in_channels} bands; --weights takes those of photographs (3 bands). Others "
            f"come in with: swath import {path} --tiles TILES --out RUN, then --runs RUN"
        )
    network = VisionTransformer(shape)
    load_backbone(network, tensors)
    seen = TileFormat(
        bands=_RGB, groups=(BandGroup(_RGB, shape.image_px, "uint8"),), gsd_m=None,
        low=(0.0,) * 3, high=(255.0,) * 3, mean=_MEAN, std=_STD,
    )  # fmt: skip
    return FrozenBackbone(
        network, seen, Weights(sha256_of(path), 0, "weights"), content=content, scale="photo"
    )
