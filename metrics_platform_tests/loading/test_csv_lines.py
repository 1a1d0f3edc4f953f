"""Lines keep their numbers whatever the lines around them hold, and however the file falls into blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from metrics_platform.loading.csv_file import CsvReader

KNOWN = frozenset({"number", "text"})
_BROKEN = st.lists(st.sampled_from(['"', '""', ",", "a", " ", "é", "\r", '"a,b"', "\\udcff"]), max_size=9).map("".join)
_SOUND = st.sampled_from(['{},"x,""y"""', "{},plain", "{},"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "file.csv"


@with_settings(max_examples=150)
@given(
    drawn=st.lists(
        st.one_of(_BROKEN.map(lambda text: (text, False)), _SOUND.map(lambda text: (text, True))), max_size=12
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    block_bytes=st.integers(1, 200),
)
def test_sound_lines_are_read_with_their_numbers(
    file: Path, drawn: list[tuple[str, bool]], ending: str, block_bytes: int
) -> None:
    lines = [text.format(number) if sound else text for number, (text, sound) in enumerate(drawn, start=2)]
    file.write_bytes(ending.join(["number,text", *lines]).encode("utf-8", "surrogateescape"))
    read: dict[int, str] = {}
    bad: list[int] = []
    for batch in CsvReader(file, "csv", KNOWN, block_bytes).batches([0, 1], lambda _: None):
        for number, value in zip(batch.numbers.tolist(), batch.columns[0].to_pylist(), strict=True):
            assert number not in read
            read[number] = value
        bad += [row.number for row in batch.bad]
    sound = {number for number, (_, is_sound) in enumerate(drawn, start=2) if is_sound}
    assert {number: read.get(number) for number in sound} == {number: str(number) for number in sound}
    assert not sound & set(bad)
    assert len(bad) == len(set(bad))
    filled = {number for number, line in enumerate(lines, start=2) if line.strip()}
    assert filled == set(read) | set(bad)
