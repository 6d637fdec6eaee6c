import gzip
import io
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from real_patches import tar_bytes, write_archive

from swath import storage
from swath.data.tarball import BrokenArchiveError, RefusedArchiveError, Tarball, is_archive
from swath.errors import DataError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def read(path):
    with Tarball(path) as tarball:
        return [(member.name, bytes(member.data)) for member in tarball.members()]


def random_archive(seed, kind):
    """What tarfile writes of folders and files with names of any length and letters, as bytes."""
    rng = np.random.default_rng(seed)
    held = io.BytesIO()
    longest = 90 if kind == "ustar" else 300
    letters = "abc-_.ü " if kind == "pax" else "abc-_."
    with tarfile.open(fileobj=held, mode="w", format=FORMATS[kind]) as archive:
        for number in range(60):
            name = "".join(rng.choice(list(letters), rng.integers(1, longest)))
            info = tarfile.TarInfo(f"{'d/' * rng.integers(3)}{number}{name.strip()}x")
            if rng.random() < 0.1:
                info.type = tarfile.DIRTYPE
            elif rng.random() < 0.9:
                info.size = int(rng.integers(0, 3000))
            info.mtime = float(rng.random() * 1e9) if kind == "pax" else 0
            archive.addfile(info, io.BytesIO(rng.bytes(info.size)))
    return held.getvalue()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", FORMATS)
def test_members_are_those_that_tarfile_reads(kind, seed, tmp_path):
    content = random_archive(seed, kind)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        expected = [(m.name, archive.extractfile(m).read()) for m in archive if m.isfile()]
    (tmp_path / "a.tar").write_bytes(content)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content))
    (tmp_path / "a.tar.zst").write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
    (tmp_path / "two.tar.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    for name in ("a.tar", "a.tar.gz", "a.tar.zst", "two.tar.gz"):
        assert is_archive(tmp_path / name)
        assert read(tmp_path / name) == expected, name


def test_members_larger_than_a_chunk_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.data.tarball._PIECE", 100)
    monkeypatch.setattr("swath.data.tarball._CHUNK", 1000)
    members = [(f"{number}.bin", np.random.default_rng(number).bytes(number * 700)) for number in range(9)]
    assert read(write_archive(tmp_path / "a.tar.gz", members)) == members


def test_an_archive_on_s3_is_streamed_in_pieces(any_s3, monkeypatch):
    monkeypatch.setattr("swath.storage._PIECE", 10_000)
    members = [(f"{number}.bin", np.random.default_rng(number).bytes(9000)) for number in range(9)]
    with storage.object_aside(any_s3("a.tar.gz")) as aside:
        write_archive(aside, members)
    assert read(any_s3("a.tar.gz")) == members


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("../evil.tif", tarfile.REGTYPE, r"\.\./evil\.tif leaves the archive"),
        ("a/../../evil.tif", tarfile.REGTYPE, "leaves the archive"),
        ("/etc/evil.tif", tarfile.REGTYPE, "/etc/evil.tif leaves the archive"),
        ("C:/evil.tif", tarfile.REGTYPE, "leaves the archive"),
        ("a\nb.tif", tarfile.REGTYPE, r"a\\nb\.tif|leaves the archive"),
        ("../evil", tarfile.DIRTYPE, "leaves the archive"),
        ("link.tif", tarfile.SYMTYPE, r"link\.tif is a symbolic link"),
        ("link.tif", tarfile.LNKTYPE, r"link\.tif is a hard link"),
        ("disk", tarfile.BLKTYPE, "disk is a device"),
        ("tty", tarfile.CHRTYPE, "tty is a device"),
        ("queue", tarfile.FIFOTYPE, "queue is a pipe"),
    ],
)
def test_members_that_are_no_plain_files_are_refused_by_name(name, kind, words, tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", {"good.tif": b"x"}, extra=[special(name, kind, "good.tif")])
    with pytest.raises(RefusedArchiveError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.zst"])
def test_an_archive_cut_anywhere_says_what_is_whole(suffix, tmp_path):
    members = [(f"{number}.bin", np.random.default_rng(number).bytes(1500)) for number in range(6)]
    content = tar_bytes(members)[: 6 * 2048 + 1024]  # up to the two blocks that end it
    zstd = pa.Codec("zstd").compress(content, asbytes=True)
    whole = {"tar": content, "tar.gz": gzip.compress(content), "tar.zst": zstd}[suffix]
    path = tmp_path / f"a.{suffix}"
    for end in np.linspace(600, len(whole) - 1025, 25, dtype=int):
        path.write_bytes(whole[:end])
        found = []
        with pytest.raises(BrokenArchiveError, match=r"is (truncated|damaged)") as caught:
            read_into(found, path)
        assert found == members[: len(found)]
        assert f" {len(found)} members are whole" in str(caught.value)


def read_into(found, path):
    with Tarball(path) as tarball:
        found += ((member.name, bytes(member.data)) for member in tarball.members())


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_are_one_clear_error_or_change_no_structure(seed, tmp_path):
    rng = np.random.default_rng(seed)
    content = random_archive(seed, "gnu")
    (tmp_path / "a.tar").write_bytes(content)
    whole = read(tmp_path / "a.tar")
    for number in range(60):
        is_packed = number % 2 == 1
        spoilt = bytearray(gzip.compress(content) if is_packed else content)
        for place in rng.integers(0, len(spoilt), 3):
            spoilt[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / ("a.tar.gz" if is_packed else "a.tar")
        path.write_bytes(spoilt)
        try:
            found = read(path)
        except DataError as error:
            said = str(error)
            assert "\n" not in said
        else:  # gzip has a checksum over all, tar over its headers
            assert (
                found == whole
                if is_packed
                else [len(data) for _, data in found] == [len(d) for _, d in whole]
            )


def test_what_is_no_archive_says_so(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"PAR1" * 300)
    with pytest.raises(DataError, match=r"is no tar archive \(starts with b'PAR1PA'\); expected \.tar"):
        read(path)


def test_how_far_along_is_known(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", {"a": np.random.default_rng(0).bytes(100_000)})
    with Tarball(path) as tarball:
        assert list(tarball.members())
        assert tarball.share_read == 1.0
