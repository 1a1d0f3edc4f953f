"""Rows keep the number of their first line, whatever other lines hold and however the file falls into chunks."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from metrics_platform.loading import files
from metrics_platform.loading.files import open_file

KNOWN = frozenset({"number", "text"})
_BROKEN = st.lists(st.sampled_from(['"', '""', ",", "a", " ", "é", '"a,b"', "\\udcff"]), max_size=9).map("".join)
_SOUND = st.sampled_from(['{},"x,""y"""', "{},plain", "{},", '{},5" pipe'])


def _read(file: Path, chunk: int = 4 << 20) -> dict[int, tuple[str, str]]:
    """Line → text and problem."""
    with mock.patch.object(files, "_CHUNK", chunk):
        batches = list(open_file(file, KNOWN).batches([0, 1]))
    return {
        row["line"]: (row["text"].decode("utf-8", "surrogateescape"), row["problem"])
        for batch in batches
        for row in batch.to_pylist()
    }


@with_settings(max_examples=80)
@given(
    drawn=st.lists(
        st.one_of(_BROKEN.map(lambda text: (text, False)), _SOUND.map(lambda text: (text, True))), max_size=12
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 200),
)
def test_every_line_is_in_one_row(tmp_path: Path, drawn: list[tuple[str, bool]], ending: str, chunk: int) -> None:
    lines = [text.format(number) if sound else text for number, (text, sound) in enumerate(drawn, start=2)]
    file = tmp_path / "file.csv"
    file.write_bytes("".join(line + ending for line in ["number,text", *lines]).encode("utf-8", "surrogateescape"))
    read = _read(file, chunk)
    assert "".join(text + "\n" for text, _ in read.values()) == "".join(line + ending for line in lines)
    if '"' not in "".join(text for text, sound in drawn if not sound):
        assert [text.rstrip("\r") for text, _ in read.values()] == lines
        assert list(read) == list(range(2, 2 + len(lines)))
    assert read == _read(file)
