"""Rotation of logs that others write."""

import os
from pathlib import Path

from rftui.launch.logs import rotate


def test_long_log_is_moved_while_its_writer_goes_on(tmp_path: Path) -> None:
    log, short = tmp_path / "rank-00000.log", tmp_path / "launcher.log"
    short.write_text("short")
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for part in (b"a" * 11, b"b" * 11, b"c" * 11):
        os.write(writer, part)
        rotate(tmp_path, max_bytes=10)
    os.write(writer, b"d")
    os.close(writer)
    assert log.read_bytes() == b"d"
    assert (tmp_path / "rank-00000.log.1").read_bytes() == b"c" * 11
    assert (tmp_path / "rank-00000.log.2").read_bytes() == b"b" * 11
    assert short.read_text() == "short"
    assert len(list(tmp_path.iterdir())) == 4
