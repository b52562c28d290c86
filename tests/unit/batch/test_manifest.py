import random
import sys

import pytest

from e2pose.batch.manifest import _SeenNames, freeze, read_shards
from e2pose.batch.storage import JobFolder
from e2pose.core.errors import InputError, OutputError
from helpers.synthetic import write_video


@pytest.fixture
def folder(tmp_path):
    return JobFolder(str(tmp_path / "job"))


def write_files(tmp_path, sizes, suffix="jpg"):
    for index, size in enumerate(sizes):
        path = tmp_path / "in" / f"{index:04d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    return str(tmp_path / "in")


def freeze_all(folder, *inputs, parts=(), **options):
    return freeze(folder, inputs, **{"segment_s": 60, "whole_videos": False, "parts": parts, **options})


def shard_sizes(folder, *parts, done=()):
    return [(shard.number, len(shard.items)) for shard in read_shards(folder, parts, done)]


def test_ids_are_consecutive_and_shards_are_limited_by_count(folder, tmp_path):
    part = freeze_all(folder, write_files(tmp_path, [1] * 11), max_files=4)
    shards = list(read_shards(folder, [part], ()))
    assert [item.id for shard in shards for item in shard.items] == list(range(11))
    assert [item.uri[-8:-4] for shard in shards for item in shard.items] == [f"{index:04d}" for index in range(11)]
    assert [(shard.number, len(shard.items)) for shard in shards] == [(0, 4), (1, 4), (2, 3)]
    assert (part.num_files, part.num_items, part.num_shards) == (11, 11, 3)


MIB = 1 << 20
SIZES = {
    "together exactly at the limit": ([128 * MIB, 128 * MIB, 1], [2, 1]),
    "together above the limit": ([128 * MIB, 128 * MIB + 1, 1], [1, 2]),
    "single file above the limit": ([1, 300 * MIB, 1], [1, 1, 1]),
}


@pytest.mark.parametrize("case", SIZES)
def test_shards_are_limited_to_256_mib(case, folder, tmp_path):
    sizes, expected = SIZES[case]
    part = freeze_all(folder, write_files(tmp_path, sizes), max_files=100)
    assert [size for _, size in shard_sizes(folder, part)] == expected


@pytest.mark.parametrize(("count", "expected"), [(31, 1), (33, 2), (64 * 40, 64), (64 * 60, 77)])
def test_default_shard_is_a_64th_of_the_files_within_limits(count, expected, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("e2pose.batch.manifest._MAX_SHARD_FILES", 50)
    (tmp_path / "list.txt").write_text("".join(f"/none/{index}.jpg\n" for index in range(count)))
    assert freeze_all(folder, f"@{tmp_path / 'list.txt'}").num_shards == expected


def test_short_videos_share_a_shard_up_to_the_length_of_a_segment(folder, tmp_path):
    for index in range(5):
        write_video(tmp_path / "in" / f"{index}.mp4", frames=12, rate=12)
    part = freeze_all(folder, str(tmp_path / "in"), max_files=100, segment_s=2.1)
    assert [size for _, size in shard_sizes(folder, part)] == [2, 2, 1]


def test_segments_have_the_id_of_their_video_and_shards_of_their_own(folder, tmp_path):
    write_video(tmp_path / "in" / "a.mp4", frames=6)
    write_video(tmp_path / "in" / "b.mp4", frames=600, rate=12)  # a key frame every 250
    write_video(tmp_path / "in" / "c.mp4", frames=6)
    part = freeze_all(folder, str(tmp_path / "in"), segment_s=20)
    items = [
        (shard.number, item.id, item.segment, item.part)
        for shard in read_shards(folder, [part], ())
        for item in shard.items
    ]
    assert [item[:3] for item in items] == [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 1, 2), (3, 2, 0)]
    assert [item[3] and item[3][:2] for item in items] == [None, (0, 250), (250, 250), (500, 100), None]
    assert (part.num_files, part.num_items) == (3, 5)


def test_tracked_videos_stay_whole(folder, tmp_path):
    write_video(tmp_path / "in" / "b.mp4", frames=600, rate=12)
    part = freeze_all(folder, str(tmp_path / "in"), segment_s=20, whole_videos=True)
    assert part.num_items == 1


def test_manifest_of_the_same_files_is_the_same(tmp_path):
    write_video(tmp_path / "in" / "b.mp4", frames=300, rate=12)
    write_files(tmp_path, range(50))
    parts = [freeze_all(JobFolder(str(tmp_path / name)), str(tmp_path / "in"), segment_s=10) for name in ("one", "two")]
    assert parts[0] == parts[1]


def test_duplicates_are_listed_once(folder, tmp_path):
    name = write_files(tmp_path, [1, 1])
    part = freeze_all(folder, name, f"{name}/0000.jpg", f"{name}/../in/*.jpg")
    assert part.num_files == 2


def test_names_are_new_once():
    generator, seen, known = random.Random(0), _SeenNames(), set()
    for _ in range(60):
        names = [str(generator.randrange(3000)) for _ in range(generator.randint(0, 200))]
        expected = [name not in known and name not in names[:index] for index, name in enumerate(names)]
        assert seen.add(names) == expected
        known |= set(names)


def test_extension_continues_ids_and_shards_with_new_files_only(folder, tmp_path):
    name = write_files(tmp_path, [1] * 3)
    first = freeze_all(folder, name, max_files=2)
    write_files(tmp_path, [1] * 6)
    second = freeze_all(folder, name, max_files=2, parts=(first,))
    shards = list(read_shards(folder, [first, second], ()))
    assert [(shard.number, [item.id for item in shard.items]) for shard in shards] == [
        (0, [0, 1]),
        (1, [2]),
        (2, [3, 4]),
        (3, [5]),
    ]
    assert freeze_all(folder, name, parts=(first, second)) is None
    assert folder.names("manifest") == ["part-00000.parquet", "part-00001.parquet"]


def test_finished_shards_are_skipped(folder, tmp_path):
    part = freeze_all(folder, write_files(tmp_path, [1] * 11), max_files=2)
    assert shard_sizes(folder, part, done={0, 3, 5}) == [(1, 2), (2, 2), (4, 2)]


def test_changed_manifest_is_refused(folder, tmp_path):
    part = freeze_all(folder, write_files(tmp_path, [1] * 3))
    path = tmp_path / "job" / part.name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(OutputError, match="has been changed"):
        list(read_shards(folder, [part], ()))
    path.unlink()
    with pytest.raises(OutputError, match=r"cannot read .*No such file"):
        list(read_shards(folder, [part], ()))


def test_failed_listing_leaves_no_file(folder, tmp_path):
    with pytest.raises(InputError):
        freeze_all(folder, write_files(tmp_path, [1]), "missing.jpg")
    assert list((tmp_path / "job" / "manifest").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems accept Unicode names only")
def test_name_that_is_not_utf8_is_kept_as_text(folder, tmp_path):
    write_files(tmp_path, [1])
    (tmp_path / "in" / "\udcff.jpg").write_bytes(b"x")
    part = freeze_all(folder, str(tmp_path / "in"))
    assert freeze_all(folder, str(tmp_path / "in"), parts=(part,)) is None
    assert [item.uri[-11:] for shard in read_shards(folder, [part], ()) for item in shard.items][1] == "/\\udcff.jpg"
