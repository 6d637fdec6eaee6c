"""The sentence at the top says what the numbers say, whichever way they came out."""

import pytest
from mapped_tiles import probe_json

from swath.pages.markdown import text
from swath.transfer.report.headline import probe_name, verdict


@pytest.mark.parametrize(
    ("gain", "kind", "words"),
    [
        ((0.1, 0.05, 0.15), "better", "Pretraining paid off"),
        ((0.02, -0.01, 0.05), "flat", "No gain from pretraining could be shown"),
        ((-0.1, -0.15, -0.05), "worse", "made the features worse"),
    ],
)
def test_the_interval_decides_what_is_claimed(
    gain: tuple[float, float, float], kind: str, words: str
) -> None:
    answer = verdict(probe_json(gain))
    assert answer.kind == kind
    assert words in answer.claim
    assert f"{gain[0]:+.3f}, 95% interval {gain[1]:+.3f} to {gain[2]:+.3f}" in answer.detail


def test_image_statistics_that_are_better_are_said_to_be() -> None:
    probe = probe_json()
    probe["baselines"]["image statistics"]["map_macro"] = [0.6, 0.5, 0.7]
    answer = verdict(probe)
    assert (answer.kind, answer.claim) == ("flat", "Better than untrained, not better than image statistics:")
    assert "reach more: 0.600" in answer.detail


def test_single_labels_are_judged_by_accuracy() -> None:
    probe = probe_json()
    for scores, value in ((probe, 0.9), (probe["baselines"]["untrained ViT"], 0.8)):
        scores["accuracy"] = [value, value - 0.01, value + 0.01]
    probe["gain_over_untrained"]["accuracy"] = [0.1, 0.08, 0.12]
    assert "accuracy on 20 held-out tiles is 0.900, against 0.800" in verdict(probe).detail


def test_knn_is_named_with_k_and_temperature() -> None:
    knn = {"probe": "knn", "settings": {"k": 5, "temperature": 0.07}}
    assert probe_name(knn) == "kNN (k 5, T 0.07)"
    assert probe_name({"probe": "linear", "settings": {"strength": 1.0}}) == "linear probe"


def test_without_a_probe_nothing_is_claimed() -> None:
    assert verdict(None).kind == "unknown"


def test_names_cannot_change_the_model_card() -> None:
    assert text("# a\n|b| <i>*c*") == r"\# a \|b\| \<i\>\*c\*"
