"""What a stage names as the next command can be typed as it stands."""

from swath.cli import main


def test_each_stage_names_a_next_command_that_runs(capsys, archive, tmp_path):
    index = str(tmp_path / "index.parquet")
    words = ["index", str(archive), "--layout", "scenes", "--tile-px", "32", "--out", index]
    verbs = []
    while words[0] != "pretrain":
        verbs.append(words[0])
        smaller = ["--block-m", "640"] if words[0] == "split" else []
        assert main([*words, *smaller]) == 0
        words = capsys.readouterr().err.splitlines()[-1].removeprefix("next: swath ").split()
    assert verbs == ["index", "split", "pack"]
    assert words[1] == str(tmp_path / "tiles.lance")


def test_quiet_leaves_it_out(capsys, archive, tmp_path):
    words = ["index", str(archive), "--layout", "scenes", "--tile-px", "32", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "index.parquet")]) == 0
    assert capsys.readouterr().err == ""
