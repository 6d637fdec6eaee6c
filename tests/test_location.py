from pathlib import Path

import pytest

from swath.arguments import command_line, parse
from swath.config import PackConfig
from swath.errors import UsageError
from swath.location import S3Path, absolute, location


@pytest.mark.parametrize("text", ["s3://bucket/a/b.tar.gz", "s3://bucket", "s3://bucket/a b"])
def test_a_place_on_s3_is_read_and_written_alike(text):
    assert str(location(text)) == text
    assert location(text + "/") == location(text)
    assert absolute(location(text)) == text


def test_it_is_named_and_joined_as_a_path_is():
    for text in ("a/b/tiles.tar.gz", "a/x"):
        path, place = Path(text), S3Path("bucket", text)
        assert (place.name, place.stem, place.suffix) == (path.name, path.stem, path.suffix)
        assert place.with_name("c.csv") == S3Path("bucket", str(path.with_name("c.csv")))
        assert place.parent / "d" == S3Path("bucket", str(path.parent / "d"))
    assert S3Path("bucket") / "a" == S3Path("bucket", "a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3:/bucket/a", "no place on S3"),  # what pathlib makes of it
        ("s3:///a", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://bucket/a//b", "empty or dotted part"),
        ("s3://bucket/../other", "empty or dotted part"),
    ],
)
def test_what_is_no_place_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        location(text)


def test_settings_take_both_kinds_and_give_the_command_back():
    config = parse(PackConfig, ["s3://bucket/index.parquet", "--out", "tiles.lance"])
    assert (config.index, config.out) == (S3Path("bucket", "index.parquet"), Path("tiles.lance"))
    assert command_line("pack", config) == "swath pack s3://bucket/index.parquet --out tiles.lance"
    assert config.model_dump(mode="json")["index"] == "s3://bucket/index.parquet"
    with pytest.raises(UsageError, match=r"--out s3:///x: .*names no bucket"):
        parse(PackConfig, ["index.parquet", "--out", "s3:///x"])
