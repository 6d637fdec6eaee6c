"""Bundles that were changed, weights that are none, tiles that do not fit: refused in words that help."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from bundle_folder import redescribe, rewrite
from striped_tiles import BANDS

import swath
from swath.errors import DataError, UsageError
from swath.files import sha256_of


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        (np.zeros((2, 3, 16, 16), np.uint16), r"expected \(N, 4, 16, 16\): bands B04,B03,B08,B11 of 16 px"),
        (np.zeros((2, 4, 8, 8), np.uint16), r"expected \(N, 4, 16, 16\)"),
        (np.zeros((16, 16), np.uint16), "expected 4 axes, or 3 for one"),
        (np.zeros((1, 4, 16, 16), np.uint8), "hold uint8; expected float32 or uint16"),
        (np.zeros((1, 4, 16, 16), np.complex64), "pixels of type complex64 are not supported"),
        (np.full((1, 4, 16, 16), np.nan), "not finite"),
        (np.full((1, 4, 16, 16), 0.12), r"far smaller.*Multiply by about 10000 "),
        (np.full((1, 4, 16, 16), 1.2e6), r"far larger.*Multiply by about 0.001 "),
        ({"B04": np.ones((1, 16, 16)), "B3": np.ones((1, 16, 16))}, r'lack band B03.*Did you mean "B3"'),
        ({band: np.ones((1, 12, 12)) for band in BANDS}, r"expected \(N, 16, 16\) or"),
    ],
)
def test_tiles_that_do_not_fit_the_contract_are_refused_by_both_sides(bundled, tiles, message):
    with pytest.raises(DataError, match=message):
        swath.load(bundled[1]).embed(tiles)


def test_a_tampered_bundle_is_named_file_by_file_and_never_loaded(bundled, capsys):
    from swath.cli import main

    _, path = bundled
    flipped = bytearray((path / "backbone.safetensors").read_bytes())
    flipped[-1] ^= 1
    (path / "backbone.safetensors").write_bytes(flipped)
    (path / "bundle.json").write_text("{}")
    (path / "LICENSE").unlink()
    assert main(["verify", str(path)]) == 3
    said = capsys.readouterr().err
    assert "3 of 5 files" in said
    assert "backbone.safetensors sha256 mismatch" in said
    assert "bundle.json has 2 of" in said
    assert "LICENSE is missing" in said
    with pytest.raises(DataError, match="LICENSE is missing"):
        swath.load(path)


def test_verify_says_what_it_checked_and_finds_what_was_added(bundled, capsys):
    from swath.cli import main

    _, path = bundled
    assert main(["verify", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["kind"], said["files"], said["digest"]) == ("bundle", 5, sha256_of(path / "MANIFEST.json"))
    (path / "notes.py").write_text("print()")
    with pytest.raises(DataError, match=r"not bundled: notes\.py"):
        swath.verify(path)
    assert swath.load(path).digest == said["digest"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole safetensors file"),
        (b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.", "not a whole safetensors file"),
        (b"<html>404</html>", "not a whole safetensors file"),
        ((2**40).to_bytes(8, "little") + b"{}", "not a whole safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "not a whole safetensors file"),
    ],
)
def test_weights_that_are_no_safetensors_are_refused_whatever_their_hash(bundled, content, message):
    rewrite(bundled[1], "backbone.safetensors", content)
    with pytest.raises(DataError, match=message):
        swath.load(bundled[1])
    assert not (bundled[1].parent / "owned").exists()


def test_weights_with_nan_or_of_another_network_are_refused(bundled):
    _, path = bundled
    tensors = safetensors.torch.load((path / "backbone.safetensors").read_bytes())
    holed = {name: tensor.clone() for name, tensor in tensors.items()}
    holed["norm.weight"][0] = float("nan")
    rewrite(path, "backbone.safetensors", safetensors.torch.save(holed))
    with pytest.raises(DataError, match=r"1 values that are not finite in norm\.weight"):
        swath.load(path)
    wide = {**tensors, "patch_embed.proj.weight": torch.zeros(32, 4, 4, 4)}
    rewrite(path, "backbone.safetensors", safetensors.torch.save(wide))
    with pytest.raises(DataError, match=r"32 wide.*the network is"):
        swath.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(swath_bundle=2), "version 2; this swath reads version 1"),
        (lambda about: about.pop("tiles"), r"not whole \(KeyError: 'tiles'\)"),
        (lambda about: about["tiles"].update(std=[0.0] * 4), "band B04 has .* std 0.0"),
        (lambda about: about["tiles"].update(low=[float("nan")] * 4), "band B04 has low nan"),
        (lambda about: about["head"].update(class_names=["a", "b"]), "the head has shapes"),
        (lambda about: about["network"].update(in_channels=3), "sees 3 bands, the contract has 4"),
        (lambda about: about["content"].update(blocks=7), "features of 7 blocks, and the network has 2"),
        (lambda about: about.update(head=None), "do not go together"),
    ],
)
def test_a_description_that_does_not_hold_together_is_refused(bundled, change, message):
    redescribe(bundled[1], change)
    with pytest.raises(DataError, match=message):
        swath.load(bundled[1])


def test_a_run_is_verified_too_and_each_damaged_checkpoint_named(make_run):
    made = make_run()
    make_run(step=20)
    found = swath.verify(made.path)
    assert (found.kind, found.files) == ("run", 8)
    (made.checkpoints / "step-00000010" / "student.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 of 2 checkpoints(.|\n)*step-00000010: student.safetensors has 1"):
        swath.verify(made.path)
    with pytest.raises(UsageError, match="neither a bundle nor a run"):
        swath.verify(made.path / "nothing")


def test_a_folder_of_pickled_metadata_is_no_bundle_and_none_of_it_is_run(tmp_path):
    """What torch's distributed checkpoints are: loading one would run the code in its `.metadata`."""
    (tmp_path / "dcp").mkdir()
    (tmp_path / "dcp" / ".metadata").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    for verb in (swath.load, swath.verify):
        with pytest.raises(UsageError, match=r"is (not a|neither a) bundle"):
            verb(tmp_path / "dcp")
