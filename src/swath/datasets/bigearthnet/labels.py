"""The 43 CORINE classes of BigEarthNet v1, the 19 that are used, and the two orders of these."""

from collections.abc import Iterable

from swath.errors import DataError, did_you_mean

CLASSES_19 = (
    "Urban fabric",
    "Industrial or commercial units",
    "Arable land",
    "Permanent crops",
    "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Agro-forestry areas",
    "Broad-leaved forest",
    "Coniferous forest",
    "Mixed forest",
    "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland, shrub",
    "Beaches, dunes, sands",
    "Inland wetlands",
    "Coastal wetlands",
    "Inland waters",
    "Marine waters",
)

# Index into CLASSES_19, or None for the eleven classes that the authors left out
# (Sumbul et al., 2021, "BigEarthNet-MM", table 1; the same as label_indices.json of the data set).
FROM_43: dict[str, int | None] = {
    "Continuous urban fabric": 0,
    "Discontinuous urban fabric": 0,
    "Industrial or commercial units": 1,
    "Road and rail networks and associated land": None,
    "Port areas": None,
    "Airports": None,
    "Mineral extraction sites": None,
    "Dump sites": None,
    "Construction sites": None,
    "Green urban areas": None,
    "Sport and leisure facilities": None,
    "Non-irrigated arable land": 2,
    "Permanently irrigated land": 2,
    "Rice fields": 2,
    "Vineyards": 3,
    "Fruit trees and berry plantations": 3,
    "Olive groves": 3,
    "Pastures": 4,
    "Annual crops associated with permanent crops": 3,
    "Complex cultivation patterns": 5,
    "Land principally occupied by agriculture, with significant areas of natural vegetation": 6,
    "Agro-forestry areas": 7,
    "Broad-leaved forest": 8,
    "Coniferous forest": 9,
    "Mixed forest": 10,
    "Natural grassland": 11,
    "Moors and heathland": 12,
    "Sclerophyllous vegetation": 12,
    "Transitional woodland/shrub": 13,
    "Beaches, dunes, sands": 14,
    "Bare rock": None,
    "Sparsely vegetated areas": 11,
    "Burnt areas": None,
    "Inland marshes": 15,
    "Peatbogs": 15,
    "Salt marshes": 16,
    "Salines": 16,
    "Intertidal flats": None,
    "Water courses": 17,
    "Water bodies": 17,
    "Coastal lagoons": 18,
    "Estuaries": 18,
    "Sea and ocean": 18,
}

# CORINE codes of level 3, which the reference maps of v2 hold, in the order of FROM_43.
_CODES = (
    111, 112, 121, 122, 123, 124, 131, 132, 133, 141, 142, 211, 212, 213, 221, 222, 223, 231, 241, 242, 243,
    244, 311, 312, 313, 321, 322, 323, 324, 331, 332, 333, 334, 411, 412, 421, 422, 423, 511, 512, 521, 522,
    523,
)  # fmt: skip
# As FROM_43, by code. A code that is not here ("glaciers", 335, or a mistake) is no class either.
FROM_CODE: dict[int, int | None] = dict(zip(_CODES, FROM_43.values(), strict=True))

# original: label_indices.json of the data set, most papers on v1. alphabetical: bigearthnet-common,
# ConfigILM, metadata.parquet of v2.
CLASS_ORDERS = {"original": CLASSES_19, "alphabetical": tuple(sorted(CLASSES_19))}


def to_19(names: Iterable[str], *, where: str) -> list[str]:
    """The 19-class labels of a patch from its names among the 43: each once, in the original order.

    Raises:
        DataError: a name is none of the 43; `where` begins the message.
    """
    found = set()
    for name in names:
        if name not in FROM_43:
            raise DataError(f'{where}: unknown label "{name}".{did_you_mean(str(name), FROM_43)}')
        found.add(FROM_43[name])
    return [label for number, label in enumerate(CLASSES_19) if number in found]
