import pytest

from swath.datasets.bigearthnet.labels import CLASS_ORDERS, CLASSES_19, FROM_43, FROM_CODE, to_19
from swath.errors import DataError


def test_the_43_classes_go_to_19_and_eleven_are_left_out():
    assert len(FROM_43) == 43
    assert sum(number is None for number in FROM_43.values()) == 11
    assert {number for number in FROM_43.values() if number is not None} == set(range(19))
    # spot checks against the table of Sumbul et al. (2021)
    pairs = {
        "Rice fields": "Arable land",
        "Olive groves": "Permanent crops",
        "Broad-leaved forest": "Broad-leaved forest",
        "Sparsely vegetated areas": "Natural grassland and sparsely vegetated areas",
        "Salines": "Coastal wetlands",
        "Water courses": "Inland waters",
        "Estuaries": "Marine waters",
    }
    assert {name: CLASSES_19[FROM_43[name]] for name in pairs} == pairs


def test_labels_of_one_class_are_given_once_and_in_order():
    names = ["Sea and ocean", "Discontinuous urban fabric", "Continuous urban fabric", "Airports"]
    assert to_19(names, where="x") == ["Urban fabric", "Marine waters"]
    assert to_19(["Airports", "Bare rock"], where="x") == []


def test_an_unknown_label_names_the_nearest():
    with pytest.raises(DataError, match=r'^a.json: unknown label "Pasture". Did you mean "Pastures"\?$'):
        to_19(["Pasture"], where="a.json")


def test_both_orders_hold_the_same_classes_and_the_second_is_alphabetical():
    original, alphabetical = CLASS_ORDERS["original"], CLASS_ORDERS["alphabetical"]
    assert original == CLASSES_19
    assert (original[2], alphabetical[2]) == ("Arable land", "Beaches, dunes, sands")
    assert list(alphabetical) == sorted(original)


def test_codes_of_the_reference_maps_follow_the_table():
    # corners of the 19 by CORINE's own first and second digit
    pairs = {111: 0, 121: 1, 213: 2, 231: 4, 241: 3, 312: 9, 324: 13, 333: 11, 421: 16, 512: 17, 523: 18}
    assert {code: FROM_CODE[code] for code in pairs} == pairs
    assert FROM_CODE[122] is None
    assert 335 not in FROM_CODE
    assert len(FROM_CODE) == 43
