"""Oracle: an embedding in one go."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from striped_tiles import FORMAT, VOCABULARY

from swath.config import EmbedConfig
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.errors import DataError, MachineError, UsageError
from swath.features.backbone import FrozenBackbone, open_backbone
from swath.features.embedding import embed
from swath.features.table import feature_blocks, origin_of, read_features, tile_columns, write_features
from swath.runtime.lock import RunLock
from swath.runtime.run import Run
from swath.transfer.embed import run


def part_of(store, rows, path, *, changed=()):
    """A pack of some tiles of another; `changed` ones have other pixels."""
    pixels = [group.copy() for group in store.read(rows)]
    for group in pixels:
        group[np.isin(rows, changed)] += 1
    names = [name for name in store.column_names if name != "crc32"]
    with TileWriter(path, groups=FORMAT.groups, info={}) as writer:
        writer.append(store.columns(*names).take(rows), pixels)
        writer.finish(FORMAT, vocabulary=VOCABULARY, task="multilabel", index_digest="part")
    return TileStore(path)


def values_in(path):
    return np.concatenate(list(feature_blocks(path)))


@pytest.fixture
def grown(make_pack, make_run, tmp_path):
    """A pack of 50 tiles, and features that hold 1, 2, 3, ... for the first 30 of them in another order."""
    store, made = make_pack(count=50), make_run()
    rows = np.random.default_rng(1).permutation(30)
    old = part_of(store, rows, tmp_path / "old.lance", changed=(4, 11))
    known = np.repeat(np.arange(1.0, 31.0, dtype=np.float32)[rows, None], 32, axis=1)
    write_features(tmp_path / "f.parquet", old, open_backbone(made), [known])
    return EmbedConfig(run=made.path, tiles=store.path, out=tmp_path / "f.parquet", batch_size=7)


def test_of_a_grown_pack_only_new_and_changed_tiles_are_computed_and_all_stand_in_its_order(grown, tmp_path):
    result = run(grown)
    assert (result.tiles, result.computed) == (50, 22)
    run(grown.model_copy(update={"out": tmp_path / "fresh.parquet"}))
    fresh, found = values_in(tmp_path / "fresh.parquet"), values_in(grown.out)
    kept = np.setdiff1d(np.arange(30), [4, 11])
    np.testing.assert_array_equal(found[kept], np.repeat(kept[:, None] + 1.0, 32, axis=1))
    new = np.setdiff1d(np.arange(50), kept)
    np.testing.assert_allclose(found[new], fresh[new], atol=1e-5)
    assert tile_columns(grown.out).equals(tile_columns(tmp_path / "fresh.parquet"))
    again = run(grown)
    assert (again.computed, again.images_per_s) == (0, None)
    np.testing.assert_array_equal(values_in(grown.out), found)


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("torn_bytes", [0, 1, 135])
def test_what_a_stopped_embedding_computed_is_not_computed_again(grown, tmp_path, monkeypatch, torn_bytes):
    before, batches = grown.out.read_bytes(), []
    features = FrozenBackbone.features

    def counted(self, groups, given):
        batches.append(len(groups[0]))
        if len(batches) == 3:
            raise Killed
        return features(self, groups, given)

    with monkeypatch.context() as patched:
        patched.setattr(FrozenBackbone, "features", counted)
        with pytest.raises(Killed):
            run(grown)
        assert grown.out.read_bytes() == before
        records = tmp_path / ".f.parquet.unfinished" / "records"
        with records.open("ab") as stream:
            stream.write(b"\1" * torn_bytes)
        assert run(grown).computed == 22 - 14
    assert batches == [7, 7, 7, 7, 1]
    assert not records.parent.exists()
    stopped = values_in(grown.out)
    grown.out.write_bytes(before)
    run(grown)
    np.testing.assert_allclose(stopped, values_in(grown.out), atol=1e-5)


def test_what_was_left_of_other_features_is_not_gone_on_with(grown, make_run, monkeypatch):
    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("swath.features.embedding.write_features", killed)
        with pytest.raises(Killed):
            run(grown)
    make_run(step=20, seed=9)
    assert run(grown).computed == 50


def test_features_of_another_run_are_refused_and_those_of_more_training_replace_them(grown, make_run):
    before, other = grown.out.read_bytes(), make_run("other", seed=77)
    with pytest.raises(UsageError, match=r"holds features of another run, .*/run; those of .*/other cannot"):
        run(grown.model_copy(update={"run": other.path}))
    assert grown.out.read_bytes() == before
    make_run(step=20, seed=9)
    assert run(grown).computed == 50


def test_where_the_pack_scales_its_pixels_all_tiles_are_computed(grown):
    store = TileStore(grown.tiles)
    backbone = open_backbone(Run.open(grown.run))
    for scale, computed in (("run", 22), ("tiles", 50)):
        backbone.scale = scale
        assert embed(grown.out, store, backbone) == computed


def test_two_embeddings_of_one_file_do_not_mix(grown, tmp_path):
    with (
        RunLock(tmp_path / ".f.parquet.unfinished"),
        pytest.raises(MachineError, match=r"f.parquet.unfinished is in use by pid"),
    ):
        run(grown)


def test_parts_are_the_stretches_of_the_whole_and_the_rest_is_computed_from_one(grown, tmp_path):
    fresh = grown.model_copy(update={"out": tmp_path / "fresh.parquet"})
    run(fresh)
    outs = [tmp_path / f"{k}.parquet" for k in (1, 2, 3)]
    done = [run(fresh.model_copy(update={"part": f"{k}/3", "out": out})) for k, out in enumerate(outs, 1)]
    assert [one.tiles for one in done] == [14, 21, 15]  # whole batches of 7
    np.testing.assert_array_equal(np.concatenate([values_in(out) for out in outs]), values_in(fresh.out))
    columns = pa.concat_tables([tile_columns(out) for out in outs])
    assert columns.equals(tile_columns(fresh.out))
    origin = origin_of(outs[0])
    with pytest.raises(DataError, match="14 tiles, a part of the pack"):
        read_features(outs[0], np.arange(50), origin=origin)
    assert run(fresh.model_copy(update={"out": outs[0]})).computed == 36


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ValidationError, match="expected K/N"):
        EmbedConfig(run="r", tiles="t", out="o", part=text)
