"""A tar is read to where it is whole: what is wrong in it is named, the rest is there, and nothing gets out of it."""

import io
import tarfile

import pytest
from shard_files import photo, samples, tar

from captioning.shards import tar_file
from captioning.shards.shard import Shard, records


def read(path):
    return list(records(Shard(str(path), path.stem)))


def good(found):
    return [record.key for record in found if record.error is None]


def errors(found):
    return [record.error for record in found if record.error is not None]


def test_every_photo_is_a_record_in_order_with_its_bytes(tmp_path):
    found = read(tar(tmp_path / "a.tar", samples(range(4))))
    assert good(found) == ["00000", "00001", "00002", "00003"] and not errors(found)
    assert [record.picture.bytes() for record in found] == [photo(n) for n in range(4)]


@pytest.mark.parametrize("lost", [1, 300, 600, 1024, 1500])
def test_of_a_shard_that_is_cut_short_what_stands_before_is_there_and_the_end_is_named(tmp_path, lost):
    path = tar(tmp_path / "a.tar", samples(range(3)))
    with tarfile.open(path) as whole:
        last = whole.getmembers()[-2]
    path.write_bytes(path.read_bytes()[: last.offset_data + last.size - lost])
    found = read(path)
    assert good(found)[:2] == ["00000", "00001"] and errors(found)
    assert "a.tar" in errors(found)[-1] and ("cut short" in errors(found)[-1] or "damaged" in errors(found)[-1])


def test_a_missing_end_is_named_though_every_member_is_whole(tmp_path):
    path = tar(tmp_path / "a.tar", samples(range(2)))
    with tarfile.open(path) as whole:
        last = whole.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset_data + 512])
    found = read(path)
    assert good(found) == ["00000", "00001"] and "cut short" in errors(found)[0]


def test_a_key_that_is_there_twice_is_named_and_counted_once(tmp_path):
    found = read(tar(tmp_path / "a.tar", [*samples([0]), *samples([1]), *samples([0])]))
    assert good(found) == ["00000", "00001"] and "00000 is there twice" in errors(found)[0]


def test_files_in_a_wrong_order_lose_no_photo_and_are_named(tmp_path):
    images = [file for file in samples(range(2)) if file[0].endswith("png")]
    texts = [file for file in samples(range(2)) if file[0].endswith("txt")]
    found = read(tar(tmp_path / "a.tar", images + texts))
    assert good(found) == ["00000", "00001"] and "2 files stand apart" in errors(found)[0]


def test_a_sample_without_a_photo_is_a_record_with_its_error(tmp_path):
    found = read(tar(tmp_path / "a.tar", [*samples([0]), ("x.txt", b"a dog"), *samples([1])]))
    assert good(found) == ["00000", "00001"] and "x has no photo" in errors(found)[0]


def test_a_claim_of_two_gigabytes_reads_nothing_and_is_named(tmp_path):
    path = tar(tmp_path / "a.tar", samples([0]))
    info = tarfile.TarInfo("big.png")
    info.size = 2 << 30
    content = path.read_bytes().rstrip(b"\0")
    content += b"\0" * (-len(content) % 512)
    path.write_bytes(content + info.tobuf() + photo(1))
    found = read(path)
    assert good(found) == ["00000"] and "big.png claims 2.1 GB" in errors(found)[0]


@pytest.mark.parametrize("name", ["../../etc/x.png", "/etc/x.png", "a\\..\\x.png", "a\n.png"])
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path, name):
    found = read(tar(tmp_path / "a.tar", [(name, photo(0)), *samples([1])]))
    assert good(found) == ["00001"] and "leads out of a folder" in errors(found)[0]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_not_followed(tmp_path, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as shard:
        info = tarfile.TarInfo("x.png")
        info.type, info.linkname = kind, "/etc/passwd"
        shard.addfile(info)
    found = read(path)
    assert not good(found) and "no plain file" in errors(found)[0]


def test_a_header_of_megabytes_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        info = tarfile.TarInfo("x.png")
        info.pax_headers = {"comment": "x" * (2 * tar_file.MAX_HEADER)}
        shard.addfile(info, io.BytesIO(b""))
    found = read(path)
    assert not good(found) and "a.tar" in errors(found)[0]


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b" + b"x" * 2000])
def test_what_is_no_tar_is_named(tmp_path, content):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    assert "no tar" in errors(read(path))[0]
