import os

import pytest

from swath import storage
from swath.errors import DataError, MachineError, UsageError
from swath.files import check_is_free, check_output, file_aside
from swath.location import location


def test_objects_are_written_read_listed_and_removed(any_s3):
    folder = any_s3("folder")
    for number in range(5):
        with file_aside(folder / f"{number}.bin") as aside:
            aside.write_bytes(bytes([number]) * 10)
    assert list(storage.list_files(folder)) == [f"{number}.bin" for number in range(5)]
    assert storage.read_bytes(folder / "3.bin") == b"\3" * 10
    assert storage.read_range(folder / "3.bin", 8, 100) == b"\3" * 2
    assert storage.read_many([folder / "4.bin", folder / "1.bin"]) == [b"\4" * 10, b"\1" * 10]
    assert storage.size_of(folder / "2.bin") == 10
    found = [
        (storage.is_file(path), storage.is_folder(path)) for path in (folder, folder / "2.bin", folder / "x")
    ]
    assert found == [(False, True), (True, False), (False, False)]
    storage.remove(folder)
    assert not storage.exists(folder)


def test_the_same_words_read_local_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(b"0123456789")
    path = location(str(tmp_path / "a" / "b.bin"))
    assert list(storage.list_files(tmp_path)) == ["a/b.bin"]
    assert (storage.read_bytes(path), storage.read_range(path, 8, 5)) == (b"0123456789", b"89")
    assert (storage.size_of(path), storage.is_file(path), storage.is_folder(path)) == (10, True, False)
    assert storage.read_many([path, path]) == [b"0123456789"] * 2
    storage.remove(path)
    assert not storage.exists(path)


def test_a_large_object_goes_in_parts(any_s3):
    content = os.urandom(1 << 20) * 12
    with file_aside(any_s3("large.bin")) as aside:
        aside.write_bytes(content)
    assert storage.read_bytes(any_s3("large.bin")) == content


def test_an_error_while_writing_leaves_the_old_object(any_s3):
    path = any_s3("kept.txt")
    with file_aside(path) as aside:
        aside.write_text("old")
    with pytest.raises(ZeroDivisionError), file_aside(path) as aside:
        aside.write_text(f"new {1 / 0}")
    assert storage.read_bytes(path) == b"old"
    with pytest.raises(UsageError, match="exists already"):
        check_is_free(path)
    check_output(path, begins=b"ol")
    with pytest.raises(UsageError, match="holds something else"):
        check_output(path, begins=b"PAR1")
    with pytest.raises(UsageError, match="is a folder"):
        check_output(path.parent)


def test_a_missing_object_is_named(any_s3):
    with pytest.raises(DataError, match=r"^s3://bucket/.*/nothing.bin does not exist"):
        storage.read_bytes(any_s3("nothing.bin"))


def test_a_missing_bucket_is_named(any_s3):
    assert any_s3
    with pytest.raises(DataError, match=r"s3://no-such-bucket/a: there is no bucket no-such-bucket"):
        storage.read_bytes(location("s3://no-such-bucket/a"))
    with pytest.raises(DataError, match="there is no bucket no-such-bucket"):
        storage.is_folder(location("s3://no-such-bucket"))


def test_a_wrong_secret_is_refused_in_one_line_that_does_not_show_it(s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-s3cret")
    with pytest.raises(MachineError, match=r"S3 refuses the credentials \(SignatureDoesNotMatch\)") as caught:
        storage.read_bytes(s3("a"))
    assert "\n" not in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(MachineError, match=r"s3://bucket/.*/a: access denied \(403\)"):
        storage.size_of(s3("a"))


def test_access_denied_names_the_key(s3, monkeypatch):
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(MachineError, match=r"s3://bucket/\w+/private.bin: access denied \(AccessDenied\)"):
        storage.read_bytes(s3("private.bin"))


def test_missing_credentials_say_what_to_set(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # Where this machine has a role, an address that answers nothing stands for one that has none.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/credentials")
    with pytest.raises(MachineError, match=r"no AWS credentials found\. Set AWS_ACCESS_KEY_ID and"):
        storage.read_bytes(s3("a"))


def test_an_endpoint_that_does_not_answer_is_named_without_signatures(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(MachineError, match=r"http://127.0.0.1:9/bucket/.*Check AWS_ENDPOINT_URL") as caught:
        storage.read_bytes(s3("a"))
    assert "\n" not in str(caught.value)
