import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2pose.batch.inputs import CHUNK, list_inputs, map_ahead
from e2pose.core.errors import InputError

TREE = (
    "a.jpg",
    "program.ts",
    "b.txt",
    ".hidden.jpg",
    "sub/c.PNG",
    "sub/deep/d.mp4",
    "sub/deep/e[1].jpg",
    ".git/f.jpg",
    "z/g.jpg",
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in TREE:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tree"


def list_all(*names):
    with ThreadPoolExecutor(4) as threads:
        return [file for chunk in list_inputs(names, threads) for file in chunk]


def names_of(files, tree):
    return [os.path.relpath(file.uri, tree) for file in files]


PATTERNS = {
    "tree": ["a.jpg", "sub/c.PNG", "sub/deep/d.mp4", "sub/deep/e[1].jpg", "z/g.jpg"],
    "tree/": ["a.jpg", "sub/c.PNG", "sub/deep/d.mp4", "sub/deep/e[1].jpg", "z/g.jpg"],
    "tree/../tree/sub": ["sub/c.PNG", "sub/deep/d.mp4", "sub/deep/e[1].jpg"],
    "tree/b.txt": ["b.txt"],
    "tree/*": ["a.jpg", "b.txt", "program.ts"],
    "tree/*.jpg": ["a.jpg"],
    "tree/.*.jpg": [],
    "tree/*/*.jpg": ["z/g.jpg"],
    "tree/**/*.jpg": ["a.jpg", "sub/deep/e[1].jpg", "z/g.jpg"],
    "tree/**": ["a.jpg", "b.txt", "program.ts", "sub/c.PNG", "sub/deep/d.mp4", "sub/deep/e[1].jpg", "z/g.jpg"],
    "tree/s?b/**/[a-d].*": ["sub/c.PNG", "sub/deep/d.mp4"],
    "tree/[!a-s]*/*": ["z/g.jpg"],
    "tree/sub/deep/e[[]1].jpg": ["sub/deep/e[1].jpg"],
    "tree/sub/deep/e[1].jpg": ["sub/deep/e[1].jpg"],  # an existing file takes precedence
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_folders_and_patterns(pattern, tree):
    if not PATTERNS[pattern]:
        with pytest.raises(InputError, match="no file matches the pattern"):
            list_all(pattern)
        return
    files = list_all(pattern)
    assert names_of(files, tree) == PATTERNS[pattern]
    assert [file.num_bytes for file in files] == [Path(file.uri).stat().st_size for file in files]
    assert all(Path(file.uri).is_absolute() for file in files)


def test_folder_of_many_files_arrives_in_chunks(tree):
    for index in range(CHUNK + 1):
        (tree / "z" / f"{index:06d}.jpg").touch()
    with ThreadPoolExecutor(4) as threads:
        chunks = list(list_inputs(["tree/z"], threads))
    assert [len(chunk) for chunk in chunks] == [CHUNK, 2]


def test_link_to_a_folder_is_not_followed(tree):
    (tree / "sub" / "loop").symlink_to(tree)
    assert names_of(list_all("tree/sub"), tree) == PATTERNS["tree/../tree/sub"]


def test_list_of_files(tree, tmp_path):
    (tmp_path / "list.txt").write_text(
        f"tree/a.jpg\n\n {tree}/z/g.jpg \ntree/missing.jpg\ns3://bucket/key with space.jpg\n"
    )
    files = list_all("@list.txt")
    assert [file.uri for file in files] == [
        str(tree / "a.jpg"),
        str(tree / "z/g.jpg"),
        str(tree / "missing.jpg"),
        "s3://bucket/key with space.jpg",
    ]
    assert [file.num_bytes for file in files] == [5, 7, None, None]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("uri", pa.string()),
        ("file", pa.large_string()),
        ("path", pa.binary()),
        ("uri", pa.dictionary("int8", "string")),
    ],
)
def test_table_of_files(column, kind, tree, tmp_path):
    names = pa.array(["tree/a.jpg", "s3://bucket/b.jpg"], kind)
    pq.write_table(pa.table({"label": [1, 2], column: names}), tmp_path / "table.parquet")
    assert list_all("table.parquet") == [(str(tree / "a.jpg"), 5), ("s3://bucket/b.jpg", None)]


def test_table_with_sizes_needs_no_look_at_the_files(tree, tmp_path):
    pq.write_table(pa.table({"uri": ["tree/a.jpg"], "bytes": [77]}), tmp_path / "table.parquet")
    assert list_all("table.parquet") == [(str(tree / "a.jpg"), 77)]


@pytest.mark.skipif(os.name == "nt", reason="links need a permission on Windows")
def test_links_to_missing_files_are_listed_and_links_to_folders_are_not_followed(tree):
    (tree / "missing.jpg").symlink_to("nowhere")
    (tree / "link.jpg").symlink_to("a.jpg")
    (tree / "folder.jpg").symlink_to("sub")
    os.mkfifo(tree / "pipe.jpg")
    files = list_all("tree/*.jpg")
    assert [(Path(file.uri).name, file.num_bytes) for file in files] == [
        ("a.jpg", 5),
        ("link.jpg", 5),
        ("missing.jpg", None),
    ]


BAD = {
    "missing.jpg": "there is no file",
    "@missing.txt": "cannot read the list 'missing.txt': No such file",
    "missing.parquet": "cannot read the table 'missing.parquet'",
    "bad.parquet": "cannot read the table 'bad.parquet'",
    "columns.parquet": "needs a column uri, file or path; it has: name",
    "empty values.parquet": "the column 'uri' of the table 'empty values.parquet' has empty values",
    "sizes.parquet": "cannot read the table 'sizes.parquet': Failed to parse string: 'big'",
    "tree/empty": "no image or video in the folder",
    "tree/*.gif": "no file matches the pattern",
    "nothing://bucket/key": "cannot open 'nothing://bucket'",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_error_with_a_hint(name, tree, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "columns.parquet")
    pq.write_table(pa.table({"uri": ["a.jpg", None]}), tmp_path / "empty values.parquet")
    pq.write_table(pa.table({"uri": ["a.jpg"], "bytes": ["big"]}), tmp_path / "sizes.parquet")
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match=BAD[name].replace("(", r"\(")) as caught:
        list_all(name)
    assert caught.value.hint


def test_map_ahead_is_lazy_and_keeps_the_order():
    taken = []

    def numbers():
        for number in range(100):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(4) as threads:
        results = map_ahead(threads, lambda number: -number, numbers(), ahead=3)
        assert next(results) == 0
        assert len(taken) == 4
        assert list(results) == [-number for number in range(1, 100)]
