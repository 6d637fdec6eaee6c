"""Oracles: scikit-learn on the same features, and the promises of the JSON."""

import json
import logging

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from swath.config import EmbedConfig, ProbeConfig
from swath.errors import DataError, UsageError
from swath.features.backbone import open_backbone
from swath.features.embedding import kept_features
from swath.models.weights import read_metadata
from swath.transfer.baselines import image_statistics
from swath.transfer.embed import run as embed
from swath.transfer.probe import run


def probe(made, store, **settings):
    return run(ProbeConfig(run=made.path, tiles=store.path, rounds=100, **settings))


def split_of(store, made, name):
    """Features and labels of the labelled tiles of a split."""
    features = kept_features(
        made.path / "features.parquet", store, open_backbone(made), np.arange(len(store))
    )
    rows = (store.splits() == name) & store.labelled()
    return features[rows].astype(np.float64), store.labels()[rows]


def test_linear_multi_label_equals_scikit_learn_at_the_chosen_strength(make_pack, make_run):
    store, made = make_pack(), make_run()
    result = probe(made, store)
    train, labels = split_of(store, made, "train")
    test, truth = split_of(store, made, "test")
    mean, std = train.mean(axis=0), train.std(axis=0)
    decisions = []
    for k in range(3):
        solved = LogisticRegression(C=result.settings["strength"], tol=1e-8, max_iter=10_000)
        decisions.append(
            solved.fit((train - mean) / std, labels[:, k]).decision_function((test - mean) / std)
        )
    decisions = np.stack(decisions, axis=1)
    expected = average_precision_score(truth[:, :3], decisions, average=None)
    for k, name in enumerate(("bright", "striped", "rough")):
        assert result.per_class[name]["ap"] == pytest.approx(expected[k], abs=1e-3)
        assert result.per_class[name]["n"] == truth[:, k].sum()
        assert result.per_class[name]["prevalence"] == pytest.approx(truth[:, k].mean())
    assert result.map_macro[0] == pytest.approx(expected.mean(), abs=1e-3)
    micro = average_precision_score(truth[:, :3], decisions, average="micro")
    assert result.map_micro[0] == pytest.approx(micro, abs=1e-3)
    assert (result.task, result.accuracy) == ("multilabel", None)
    assert (result.n_train, result.n_test) == (len(train), len(test))


def test_knn_single_label_equals_scikit_learn(make_pack, make_run):
    store, made = make_pack(task="class"), make_run()
    result = probe(made, store, task="knn", k=7, temperature=0.1)
    train, labels = split_of(store, made, "train")
    test, truth = split_of(store, made, "test")

    def weigh(distances):
        return np.exp((1 - distances) / 0.1)

    judge = KNeighborsClassifier(
        7, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.1)
    )
    votes = judge.fit(train, labels.argmax(axis=1)).predict_proba(test).round(6)
    assert result.accuracy[0] == accuracy_score(truth.argmax(axis=1), votes.argmax(axis=1))
    expected = average_precision_score(truth[:, :3], votes, average="macro")
    assert result.map_macro[0] == pytest.approx(expected, abs=1e-4)
    assert (result.settings["k"], result.settings["temperature"]) == (7, 0.1)
    assert set(result.gain_over_untrained) == {"map_macro", "map_micro", "f1_macro", "f1_micro", "accuracy"}


def test_the_json_has_the_promised_shape_and_is_what_the_result_says(make_pack, make_run):
    store, made = make_pack(), make_run()
    result = probe(made, store)
    found = json.loads((made.path / "probe-linear.json").read_text())
    assert found == json.loads(json.dumps(result.to_json()))
    for row in (found, *found["baselines"].values()):
        for measure in ("map_macro", "map_micro"):
            value, low, high = row[measure]
            assert 0 < low <= value <= high <= 1
        assert row["accuracy"] is None
        assert set(row["per_class"]) == {"bright", "striped", "rough"}
    assert list(found["baselines"]) == ["image statistics", "untrained ViT"]
    gain = found["map_macro"][0] - found["baselines"]["untrained ViT"]["map_macro"][0]
    assert found["gain_over_untrained"]["map_macro"][0] == pytest.approx(gain)
    assert found["settings"]["strength"] > 0
    assert found["settings"]["chosen_on"] == "val"
    assert found["digests"]["pack"] == store.digest
    assert found["digests"]["index"] == "feed"


def test_a_class_without_test_positives_is_left_out_and_listed(make_pack, make_run):
    store, made = make_pack(), make_run()
    result = probe(made, store, task="knn")
    assert result.left_out == ["never"]
    assert "never" not in result.per_class
    counts = {name: row["n"] for name, row in result.per_class.items()}
    fewest = min(counts, key=counts.get)
    stricter = probe(made, store, task="knn", min_positives=counts[fewest] + 1)
    assert set(stricter.left_out) == {"never"} | {n for n, c in counts.items() if c <= counts[fewest]}
    kept = [row["ap"] for row in stricter.per_class.values()]
    assert stricter.map_macro[0] == pytest.approx(np.mean(kept))


def test_intervals_are_drawn_by_block_where_tiles_have_one_and_by_tile_elsewhere(make_pack, make_run, caplog):
    made = make_run()
    by_block = probe(made, make_pack(), task="knn").settings
    assert (by_block["by"], by_block["groups"]) == ("block", 13)
    by_tile = probe(made, make_pack("plain.lance", blocks=False), task="knn")
    assert (by_tile.settings["by"], by_tile.settings["groups"]) == ("tile", by_tile.n_test)
    assert "intervals are rough" not in caplog.text
    few = probe(made, make_pack("few.lance", count=120), task="knn").settings
    assert few["groups"] < 10
    assert "intervals are rough" in caplog.text


def test_without_val_the_strength_is_chosen_within_train_by_block(make_pack, make_run):
    splits = ("train", "train", "test")
    result = probe(make_run(), make_pack(splits=splits))
    assert result.settings["chosen_on"] == "5-fold cross-validation in train, folds by block"


def test_the_head_gives_the_same_scores_by_itself(make_pack, make_run):
    store, made = make_pack(), make_run()
    result = probe(made, store)
    head = load_file(made.path / "probe-linear-head.safetensors")
    test, truth = split_of(store, made, "test")
    decisions = (test - head["mean"]) / head["std"] @ head["weights"] + head["bias"]
    found = average_precision_score(truth[:, :3], decisions[:, :3], average="macro")
    assert found == pytest.approx(result.map_macro[0], abs=1e-4)
    about = read_metadata(made.path / "probe-linear-head.safetensors")
    assert json.loads(about["class_names"]) == list(store.vocabulary)
    contract = json.loads(about["contract"])
    assert contract["checkpoint"] == result.digests["checkpoint"]
    assert contract["split"] == result.digests["split"]
    assert float(about["strength"]) == result.settings["strength"]
    assert about["task"] == "multilabel"


def test_the_same_probe_twice_gives_the_same_numbers(make_pack, make_run):
    store, made = make_pack(), make_run()
    first = probe(made, store).to_json()
    assert probe(made, store).to_json() == first


def test_features_that_embed_wrote_are_used_and_those_of_another_pack_are_not(make_pack, make_run, caplog):
    caplog.set_level(logging.INFO)
    store, made = make_pack(), make_run()
    path = made.path / "features.parquet"
    embed(EmbedConfig(run=made.path, tiles=store.path, out=path))
    written = path.stat().st_mtime_ns
    probe(made, store, task="knn")
    assert path.stat().st_mtime_ns == written
    probe(made, make_pack("other.lance", seed=3), task="knn")
    assert f"on pack {store.digest[:12]}, split" in caplog.text
    assert "; making those of" in caplog.text


def test_another_out_is_written_there_with_its_head(make_pack, make_run, tmp_path):
    made = make_run()
    out = tmp_path / "elsewhere" / "scores.json"
    result = probe(made, make_pack(), out=out)
    assert result.out == out
    assert sorted(p.name for p in out.parent.iterdir()) == ["scores-head.safetensors", "scores.json"]
    assert not (made.path / "probe-linear.json").exists()


def test_the_table_names_all_three_and_the_gain(make_pack, make_run):
    lines = "\n".join(probe(make_run(), make_pack(task="class")).lines())
    for words in ("image statistics", "untrained ViT", "pretrained ViT", "accuracy", "gain over", "never"):
        assert words in lines


def test_without_a_test_split_the_command_that_makes_one_is_named(make_pack, make_run):
    store = make_pack(splits=("train", "val"))
    with pytest.raises(
        UsageError, match=r'split "test" \(splits here: train, val\).*swath split .* --by blocks'
    ):
        probe(make_run(), store)


def test_without_a_test_split_tiles_that_lie_nowhere_are_split_at_random(make_pack, make_run):
    store = make_pack(splits=("train", "val"), located=False)
    with pytest.raises(UsageError, match=r"swath split .* --by random, then"):
        probe(make_run(), store)


def test_tiles_without_any_label_in_test_are_an_error(make_pack, make_run):
    store = make_pack(count=26, splits=("train",) * 7 + ("test",) + ("train",) * 18, blocks=False)
    with pytest.raises(DataError, match=r'none of the 1 tiles in split "test" is labelled'):
        probe(make_run(), store)


def test_training_tiles_that_are_all_alike_are_an_error_before_anything_is_computed(make_pack, make_run):
    store, made = make_pack(count=4, splits=("train", "test", "test", "test"), blocks=False), make_run()
    with pytest.raises(DataError, match="split train: all 1 tiles have the same labels"):
        probe(made, store)
    assert not (made.path / "features.parquet").exists()


def test_a_demand_for_more_positives_than_there_are_is_an_error(make_pack, make_run):
    with pytest.raises(DataError, match=r"no class has 5000 positive tiles among \d+ test tiles"):
        probe(make_run(), make_pack(), min_positives=5000)


def test_image_statistics_find_what_they_can_see(make_pack, make_run):
    store = make_pack()
    result = probe(make_run(), store)
    bright = result.baselines["image statistics"]["per_class"]["bright"]
    assert bright["ap"] > bright["prevalence"] + 0.15
    assert image_statistics(store, np.arange(3)).shape == (3, 28)


def test_the_student_has_a_file_of_its_own(make_pack, make_run):
    store, made = make_pack(), make_run()
    probe(made, store)
    before = (made.path / "features.parquet").read_bytes()
    probe(made, store, weights="student")
    assert (made.path / "features.parquet").read_bytes() == before
    assert (made.path / "features-student.parquet").exists()


def test_shares_of_the_labels_give_a_curve_draws_and_sentences(make_pack, make_run, caplog):
    store, made = make_pack(count=480), make_run()
    result = probe(made, store, task="knn", label_fraction=(0.05, 0.5, 1.0), fraction_seeds=2)
    curve = result.label_efficiency["pretrained ViT"]
    assert [(p["fraction"], p["draws"]) for p in curve] == [(0.05, 2), (0.5, 2), (1.0, 1)]
    assert curve[0]["n_train"] == round(0.05 * result.n_train)
    assert curve[0]["map_macro"][0] == pytest.approx(np.mean(curve[0]["by_draw"]["map_macro"]))
    assert curve[-1]["map_macro"] == result.map_macro
    assert len(result.sentences) == 4  # two rivals, two shares below all
    assert all(said.startswith("With ") for said in result.sentences)
    assert "of the labels, draw 0: 8 tiles hold no positive of never" in caplog.text
    assert "macro AP by labels" in "\n".join(result.lines())
    draws = result.details["label_draws"]
    assert len(draws) == 5
    assert draws[0]["classes_without_positive"] == ["never"]


def test_below_all_labels_the_strength_is_chosen_within_the_draw_and_val_is_not_counted(make_pack, make_run):
    result = probe(make_run(), make_pack(), label_fraction=0.5, fraction_seeds=1)
    assert result.settings["chosen_on"].startswith("5-fold cross-validation in train")
    assert result.n_train == 40
    assert result.sentences == []


def test_permuted_labels_give_the_prevalence_within_the_interval(make_pack, make_run):
    store = make_pack(count=2880, permuted=True)
    result = probe(make_run(), store)
    for name in ("bright", "striped", "rough"):
        row = result.per_class[name]
        assert row["interval"][0] <= row["prevalence"] <= row["interval"][1]
    assert result.p_no_gain["map_macro"] > 0.01


def test_settings_without_effect_are_refused():
    for settings, words in (
        ({"task": "knn", "recipe": "dino"}, "--recipe would change nothing"),
        ({"k": 5}, "--k would change nothing with --task linear"),
        ({"fraction_seeds": 2}, "needs a --label-fraction below 1"),
    ):
        with pytest.raises(ValueError, match=words):
            ProbeConfig(run="r", tiles="t", **settings)


def test_one_tile_in_train_and_test_is_refused(make_pack, make_run):
    with pytest.raises(DataError, match="1 tiles are in both train and test, such as"):
        probe(make_run(), make_pack(doubled=True))
