"""What the first process of a processing container does with the files that fell to its machine."""

import json

import pytest

from swath.errors import DataError
from swath.launch.sagemaker import processing_entry
from swath.launch.sagemaker.parts import joined

BUNDLE = "bundle=/opt/ml/processing/input/bundle"
OUT = "out=/opt/ml/processing/output"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls it as machine 2 of 3 and returns its exit code and the command that it would have run."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    (tmp_path / "config").mkdir()
    resources = {"current_host": "algo-2", "hosts": ["algo-1", "algo-3", "algo-2"]}
    (tmp_path / "config/resourceconfig.json").write_text(json.dumps(resources))

    def run(*arguments, ends=(0, "")):
        commands = []
        monkeypatch.setattr(processing_entry, "supervised", lambda words: commands.append(words[3:]) or ends)
        return processing_entry.main(arguments), *commands

    return run


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_each_machine_predicts_the_files_it_has_into_a_folder_of_its_own(run, tmp_path):
    data = tmp_path / "processing/input"
    put(data / "scenes0/deep/a.tif"), put(data / "scenes2/june.tif")
    (data / "scenes1").mkdir()
    places = [
        f"/opt/ml/processing/input/{name}" for name in ("scenes0", "scenes1", "scenes2/june.tif", "no.tif")
    ]
    code, words = run("swath_verb=predict", BUNDLE, f"scenes={json.dumps(places)}", OUT, "overlap=0.0")
    assert (code, words[0]) == (0, "predict")
    assert words[2:4] == [str(data / "scenes0"), str(data / "scenes2/june.tif")]
    assert words[words.index("--out") + 1] == str(tmp_path / "processing/output/2-of-3")
    assert "--part" not in words


def test_a_machine_without_a_file_ends_well_and_starts_nothing(run, tmp_path):
    (tmp_path / "processing/input/scenes0").mkdir(parents=True)
    assert run("swath_verb=predict", BUNDLE, 'scenes=["/opt/ml/processing/input/scenes0"]', OUT) == (0,)


def test_what_is_read_from_s3_is_shared_by_number(run, tmp_path):
    words = run("swath_verb=predict", BUNDLE, 'scenes=["s3://bucket/scenes"]', OUT)[1]
    assert words[words.index("--part") + 1] == "2/3"
    words = run(
        "swath_verb=embed", "run=/opt/ml/processing/input/run", "tiles=s3://bucket/t.lance",
        f"{OUT}/features.parquet",
    )[1]  # fmt: skip
    assert words[words.index("--part") + 1] == "2/3"
    out = tmp_path / "processing/output/2-of-3/features.parquet"
    assert words[words.index("--out") + 1] == str(out)


PREDICT = ("swath_verb=predict", BUNDLE, 'scenes=["s3://bucket/s"]', OUT)
LAST_WORDS = {
    "setting": (("swath_verb=predict", "bands=B04"), (0, ""), (2, "BUNDLE is missing")),
    "verb": (("swath_verb=look",), (0, ""), (2, "expected one of")),
    "stage": (PREDICT, (3, "the bundle is damaged"), (3, "the bundle is damaged")),
    "silence": (PREDICT, (5, ""), (5, "ended with code 5")),
}


@pytest.mark.parametrize(("arguments", "ends", "said"), LAST_WORDS.values(), ids=LAST_WORDS)
def test_last_words_are_left_where_aws_shows_them(run, tmp_path, arguments, ends, said):
    code, message = said
    assert run(*arguments, ends=ends)[0] == code
    assert message in (tmp_path / "output/message").read_text()


def test_a_lost_part_and_two_scenes_of_one_name_are_refused(tmp_path):
    put(tmp_path / "lost/1-of-3/features.parquet"), put(tmp_path / "lost/3-of-3/features.parquet")
    with pytest.raises(DataError, match="features of machine 2-of-3 are missing"):
        joined(tmp_path / "lost", of_job="job")
    put(tmp_path / "twice/1-of-2/s/tiles.parquet"), put(tmp_path / "twice/2-of-2/s/tiles.parquet")
    with pytest.raises(DataError, match='two machines have a scene called "s"'):
        joined(tmp_path / "twice", of_job="job")


def test_lists_of_scenes_left_out_follow_each_other(tmp_path):
    put(tmp_path / "1-of-9/bad_scenes.csv", b'path,id,reason\na.tif,a,"no, none"\n')
    put(tmp_path / "7-of-9/bad_scenes.csv", b"path,id,reason\nb.tif,b,cut\n")
    put(tmp_path / "7-of-9/c/tiles.parquet")
    assert joined(tmp_path, of_job="job") == 2
    assert (tmp_path / "bad_scenes.csv").read_text() == 'path,id,reason\na.tif,a,"no, none"\nb.tif,b,cut\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad_scenes.csv", "c"]
