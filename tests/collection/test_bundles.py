"""A bundle is the old one whole or the new one whole, whatever happens to it."""

import errno
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.collection import bundles, locks
from utils.collection.bundles import read_bundle, write_bundle
from utils.errors import IndexFileError

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parents[1] / "data" / "bundle_format_1"
FILES = {"first.bin": bytes(range(256)), "second.txt": b"two" * 30}
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(number: int) -> dict[str, bytes]:
    """Two files that belong together: a mixture of two saves would show."""
    return {"a.bin": b"%d" % number * 5000, "b.bin": b"%d" % number * 3}


def number_in(folder: Path) -> int:
    bundle = read_bundle(folder)
    number = bundle.facts["number"]
    assert bundle.files == content(number)
    return number


def run(program: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "saved", FILES, {"number": 1})
    return tmp_path / "saved"


# ------------------------------------------------------------------ the good days
def test_what_is_written_is_read(folder):
    bundle = read_bundle(folder)
    assert bundle.files == FILES
    assert bundle.facts == {"number": 1}
    assert bundle.folder.name == f"generation-{bundle.build}"


def test_a_function_may_write_the_content(tmp_path):
    seen = []

    def write(file):
        for _ in range(9):
            file.write(b"x")
        seen.append((file.size, file.sha256))

    write_bundle(tmp_path, {"a": write}, {})
    bundle = read_bundle(tmp_path)
    assert bundle.files == {"a": b"x" * 9}
    assert seen == [(9, bundle.sha256s["a"])]
    assert bundle.sha256s["a"] == digest(b"x" * 9)


def test_a_new_save_leaves_nothing_of_the_old_one(folder):
    before = read_bundle(folder)
    write_bundle(folder, {"other": b"new"}, {})
    after = read_bundle(folder)
    assert (after.files, before.build != after.build) == ({"other": b"new"}, True)
    names = {path.name for path in folder.iterdir()}
    assert names == {"CURRENT", ".lock", after.folder.name}


def test_what_a_killed_save_left_is_cleared_but_nothing_of_the_users(folder):
    (folder / ("generation-" + "0" * 32)).mkdir()
    mine = ["notes.txt", "generation-of-mine", "CURRENT.backup"]
    for name in mine:
        (folder / name).touch()
    write_bundle(folder, FILES, {})
    left = {path.name for path in folder.iterdir()} - {".lock", "CURRENT"}
    assert left == {*mine, read_bundle(folder).folder.name}


@pytest.mark.parametrize(
    "name", ["../a", "a/b", "", ".hidden", "MANIFEST.json", "CURRENT", "a\n"]
)
def test_odd_file_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected a plain file name"):
        write_bundle(tmp_path / "saved", {name: b""}, {})
    assert not (tmp_path / "saved").exists()


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(st.from_regex(bundles.FILE_NAME, fullmatch=True), st.binary()),
    st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())),
)
def test_any_files_and_facts_come_back(tmp_path_factory, files, facts):
    for ours in ("MANIFEST.json", "CURRENT"):
        files.pop(ours, None)
    folder = tmp_path_factory.mktemp("any")
    write_bundle(folder, files, facts)
    bundle = read_bundle(folder)
    assert (bundle.files, bundle.facts) == (files, facts)


# --------------------------------------------------------------------- damage
def every_file(folder: Path) -> list[Path]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if path.name != ".lock"]


def test_every_flipped_bit_is_refused(folder):
    rng = random.Random(0)
    paths = every_file(folder)
    assert len(paths) == 4
    for path in paths:
        good = path.read_bytes()
        for position in range(len(good)):
            spoiled = bytearray(good)
            spoiled[position] ^= 1 << rng.randrange(8)
            path.write_bytes(spoiled)
            with pytest.raises(IndexFileError, match="saved.*[eE]xpected.*Received"):
                read_bundle(folder)
        path.write_bytes(good)
    assert read_bundle(folder).files == FILES


def test_every_truncation_and_extension_is_refused_by_name(folder):
    for path in every_file(folder):
        good = path.read_bytes()
        for spoiled in (*(good[:n] for n in range(len(good))), good + b"\n"):
            path.write_bytes(spoiled)
            with pytest.raises(IndexFileError, match=path.name):
                read_bundle(folder)
        path.write_bytes(good)


def test_a_missing_file_is_refused_by_name(folder):
    for path in every_file(folder):
        good = path.read_bytes()
        path.unlink()
        with pytest.raises(IndexFileError, match=path.name):
            read_bundle(folder)
        path.write_bytes(good)
    with pytest.raises(IndexFileError, match="nowhere: expected a saved bundle"):
        read_bundle(folder / "nowhere")


@posix
def test_links_pipes_and_folders_in_place_of_a_file_are_refused(folder, tmp_path):
    for path in every_file(folder):
        good = path.read_bytes()
        (tmp_path / "elsewhere").write_bytes(good)
        for replace in (
            lambda path: path.symlink_to(tmp_path / "elsewhere"),
            os.mkfifo,
            Path.mkdir,
        ):
            path.unlink()
            replace(path)
            with pytest.raises(IndexFileError, match=f"{path.name}: expected a plain"):
                read_bundle(folder)
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(good)


def test_parts_of_two_saves_do_not_mix(folder, tmp_path):
    write_bundle(tmp_path / "other", {n: d[::-1] for n, d in FILES.items()}, {})
    other = read_bundle(tmp_path / "other").folder
    mine = read_bundle(folder).folder
    for names in (["first.bin"], ["MANIFEST.json"], ["MANIFEST.json", *FILES]):
        spoiled = tmp_path / "spoiled"
        shutil.copytree(folder, spoiled)
        for name in names:
            shutil.copy(other / name, spoiled / mine.name / name)
        with pytest.raises(IndexFileError, match="belongs to another save"):
            read_bundle(spoiled)
        shutil.rmtree(spoiled)


def signed(folder: Path, manifest: bytes, *, version: int = bundles.FORMAT) -> None:
    """Put a manifest and a pointer of our own in place, with a sha256 that fits."""
    path = read_bundle(folder).folder / "MANIFEST.json"
    path.write_bytes(manifest)
    line = f"lookalike-bundle {version} {path.parent.name} {digest(manifest)}\n"
    (folder / "CURRENT").write_text(line)


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"{}",
        b"no JSON",
        b"[" * 100_000,
        b'{"format": 3, "build": 3, "facts": {}, "files": {}}',
        b'{"format": 3, "build": "x", "facts": {}, "files": {"../CURRENT": {}}}',
        b'{"format": 3, "build": "x", "facts": {}, "files": {"a": {"bytes": "9"}}}',
        b'{"format": 3, "build": "x", "facts": {}, "files": {"a": {"bytes": 9}}}',
        b'{"format": 3, "build": "x", "facts": {}, "files": {"a": 1}}',
        b'{"format": 3, "build": "another", "facts": {}, "files": {}}',
        b'{"format": 2, "build": "x", "facts": {}, "files": {}}',
        b'{"format": "3", "build": "x", "facts": {}, "files": {}}',
    ],
    ids=lambda manifest: manifest[:70].decode(),
)
def test_a_manifest_of_another_kind_is_refused(folder, manifest):
    signed(folder, manifest)
    with pytest.raises(IndexFileError, match=r"MANIFEST\.json: expected"):
        read_bundle(folder)


def test_other_format_versions_say_what_to_do():
    with pytest.raises(IndexFileError, match="Received format 1.*Build it again"):
        read_bundle(OLD)


def test_a_bundle_of_the_future_says_what_to_do(folder):
    signed(folder, b"{}", version=bundles.FORMAT + 1)
    with pytest.raises(IndexFileError, match="Received format 4. Update Lookalike"):
        read_bundle(folder)


def test_a_bundle_of_format_2_is_read_and_replaced(folder):
    """It has the same files, and a checksum at the end of its pointer."""
    path = read_bundle(folder).folder / "MANIFEST.json"
    text = path.read_bytes().replace(b'"format": 3', b'"format": 2')
    signed(folder, text, version=2)
    pointer = folder / "CURRENT"
    pointer.write_text(pointer.read_text()[:-1] + " 0123456789abcdef\n")
    assert read_bundle(folder).files == FILES
    write_bundle(folder, {"a": b"new"}, {})
    assert read_bundle(folder).files == {"a": b"new"}
    assert pointer.read_text().startswith("lookalike-bundle 3 ")


def test_an_old_bundle_is_replaced_by_saving_over_it(tmp_path):
    shutil.copytree(OLD, tmp_path / "saved")
    write_bundle(tmp_path / "saved", FILES, {})
    assert read_bundle(tmp_path / "saved").files == FILES


# ------------------------------------------------------- disks that fail or are full
def test_a_disk_that_fails_at_any_step_leaves_one_whole_bundle(tmp_path, monkeypatch):
    fsync, calls = os.fsync, 0
    write_bundle(tmp_path, content(1), {"number": 1})

    def failing(descriptor):
        nonlocal calls
        calls -= 1
        if calls == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("utils.collection.bundles.os.fsync", failing)
    found = []
    for step in range(1, 8):  # two files, manifest, pointer, two folders, folder
        calls = step
        with pytest.raises(OSError, match="No space left") as info:
            write_bundle(tmp_path, content(step + 1), {"number": step + 1})
        if step < 7:
            message = rf"{tmp_path}: No space.* after [\d,]+ bytes, and [\d,]+ are free"
            assert re.search(message, str(info.value))
        found.append(number_in(tmp_path) == step + 1)
    assert found == [False] * 6 + [True]  # the last is after the swap
    calls = 8
    write_bundle(tmp_path, content(9), {"number": 9})
    assert number_in(tmp_path) == 9
    assert len(list(tmp_path.iterdir())) == 3


def test_a_content_that_cannot_be_written_leaves_the_old_bundle(folder):
    names = sorted(path.name for path in folder.iterdir())

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    for spoiled, error in (
        ({"a": interrupted}, KeyboardInterrupt),
        ({"a": "text"}, TypeError),
    ):
        with pytest.raises(error):
            write_bundle(folder, spoiled, {})
    with pytest.raises(TypeError):
        write_bundle(folder, {}, {"no JSON": object()})
    assert read_bundle(folder).files == FILES
    assert sorted(path.name for path in folder.iterdir()) == names


@posix
def test_a_limit_on_the_size_of_files_leaves_the_old_bundle(tmp_path):
    write_bundle(tmp_path, content(1), {"number": 1})
    program = """
        import resource, sys
        from utils.collection.bundles import write_bundle
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            write_bundle(sys.argv[1], {"a.bin": b"2" * 5000, "b.bin": b"222"}, {})
        except OSError as error:
            print(error.strerror)
    """
    for limit in (0, 10, 4999, 5000 + 3):
        said = run(program, tmp_path, limit).communicate()[0]
        assert ("File too large" in said) == (limit < 5000)
        if limit < 5000:
            assert number_in(tmp_path) == 1


@posix
def test_a_full_disk_leaves_the_old_bundle(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mounted, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no right to mount a small tmpfs: {error}")
    try:
        write_bundle(disk, content(1), {"number": 1})
        for size in range(0, 60_000, 4096):  # leave less and less room
            (disk / "filler").write_bytes(b"x" * (60_000 - size))
            try:
                write_bundle(disk, {"a": b"x" * size, "b": b"y" * 9000}, {"number": 2})
            except OSError as error:
                assert error.errno == errno.ENOSPC
                assert number_in(disk) == 1
            else:
                write_bundle(disk, content(1), {"number": 1})
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_on_windows_a_pointer_that_somebody_reads_is_waited_for(folder, monkeypatch):
    replace, calls = os.replace, []

    def shared(*paths):
        calls.append(1)
        if len(calls) < 4:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(*paths)

    monkeypatch.setattr(bundles.os, "replace", shared)
    with pytest.raises(PermissionError):  # elsewhere it is a real refusal
        write_bundle(folder, {"a": b"new"}, {})
    assert read_bundle(folder).files == FILES
    monkeypatch.setattr(bundles, "WINDOWS", True)
    monkeypatch.setattr(bundles, "sync_folder", lambda folder: None)
    write_bundle(folder, {"a": b"new"}, {})
    assert (len(calls), read_bundle(folder).files) == (4, {"a": b"new"})
    assert len(list(folder.glob("generation-*"))) == 1  # nor is the refused one left
    monkeypatch.setattr(bundles, "SECONDS_FOR_READERS", 0.05)
    monkeypatch.setattr(bundles.os, "replace", Mock(side_effect=PermissionError))
    with pytest.raises(PermissionError):
        write_bundle(folder, FILES, {})
    assert read_bundle(folder).files == {"a": b"new"}


def test_a_place_that_cannot_be_looked_at_is_told_from_an_empty_one(folder):
    with pytest.raises(IndexFileError, match=r"CURRENT: expected a file that can be"):
        read_bundle("null\0character")
    with pytest.raises(IndexFileError, match="expected a saved bundle"):
        read_bundle(folder / "CURRENT")
    (folder / "CURRENT").unlink()
    (folder / "CURRENT").symlink_to("nowhere")
    with pytest.raises(IndexFileError, match=r"CURRENT: expected a plain file"):
        read_bundle(folder)


@posix
def test_a_folder_that_may_not_be_written_is_named(folder):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="saved"):
            write_bundle(folder, {}, {})
        assert read_bundle(folder).files == FILES
    finally:
        folder.chmod(0o755)


# ---------------------------------------------------------------- kills and crowds
SAVE_FOR_EVER = """
    import sys
    from utils.collection.bundles import write_bundle
    number = int(sys.argv[2])
    while True:
        number += 1
        files = {"a.bin": b"%d" % number * 5000, "b.bin": b"%d" % number * 3}
        write_bundle(sys.argv[1], files, {"number": number})
        print(number, flush=True)
"""


@posix
def test_a_killed_save_leaves_the_old_bundle_or_the_new_one(tmp_path):
    rng = random.Random(0)
    write_bundle(tmp_path, content(0), {"number": 0})
    number = 0
    for _ in range(40):
        child = run(SAVE_FOR_EVER, tmp_path, number)
        acknowledged = int(child.stdout.readline())
        time.sleep(rng.random() * 0.02)
        child.kill()
        lines = child.communicate()[0].split()
        acknowledged = int(lines[-1]) if lines else acknowledged
        number = number_in(tmp_path)
        assert number in (acknowledged, acknowledged + 1)
    write_bundle(tmp_path, content(1), {"number": 1})
    assert len(list(tmp_path.iterdir())) == 3  # nothing is left of 40 kills


@posix
def test_two_writers_and_a_reader_never_meet_half_a_bundle(tmp_path):
    write_bundle(tmp_path, content(0), {"number": 0})
    writers = [run(SAVE_FOR_EVER, tmp_path, start) for start in (1000, 5000)]
    try:
        for writer in writers:
            writer.stdout.readline()
        seen, end = set(), time.monotonic() + 60
        while len(seen) < 20 and time.monotonic() < end:
            seen.add(number_in(tmp_path))
        assert len(seen) == 20
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert number_in(tmp_path) > 1000


def test_a_reader_whose_generation_is_removed_reads_the_next_one(folder, monkeypatch):
    read_generation = bundles._read_generation
    overtaken = []

    def overtake(*arguments):
        if not overtaken:
            overtaken.append(write_bundle(folder, {"a": b"next"}, {}))
        return read_generation(*arguments)

    monkeypatch.setattr(bundles, "_read_generation", overtake)
    assert read_bundle(folder).files == {"a": b"next"}


@posix
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_writers_leave_each_others_generations(
    folder, monkeypatch, number
):
    refuse = Mock(side_effect=OSError(number, "no locks on this disk"))
    monkeypatch.setattr("fcntl.flock", refuse)
    before = read_bundle(folder).folder
    write_bundle(folder, {"a": b"next"}, {})
    assert before.exists()
    assert read_bundle(folder).files == {"a": b"next"}
    monkeypatch.undo()
    write_bundle(folder, {"a": b"last"}, {})
    assert len(list(folder.glob("generation-*"))) == 1


def test_a_writer_that_waits_too_long_says_so(folder, monkeypatch):
    monkeypatch.setattr(locks, "SECONDS_TO_WAIT", 0.05)
    with locks.locked(folder) as alone:
        assert alone
        with pytest.raises(TimeoutError, match="saved: expected to save here"):
            write_bundle(folder, {}, {})
    write_bundle(folder, {}, {})


def test_a_home_folder_is_found_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_bundle("~/saved", FILES, {})
    assert read_bundle("~/saved").folder.parent == tmp_path / "saved"
    with pytest.raises(IndexFileError, match="expected a saved bundle"):
        read_bundle("~nobody-of-this-name/saved")


@pytest.mark.parametrize("claimed", [10**12, 10**30, -1])
def test_a_manifest_that_claims_another_size_costs_no_memory(folder, claimed):
    """Hashes that fit do not make a claim true."""
    path = read_bundle(folder).folder / "MANIFEST.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["first.bin"]["bytes"] = claimed
    signed(folder, json.dumps(manifest).encode())
    with pytest.raises(IndexFileError, match=r"first\.bin|MANIFEST"):
        read_bundle(folder)
