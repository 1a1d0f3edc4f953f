"""Days and slots as intervals of instants, where zones do what zones do."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.time_windows import SLOT, SlotRange, day_of, day_of_key, first_instant, slot_at

ZONES = (
    "UTC", "Europe/Moscow", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns",
    "Asia/Kathmandu", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Cairo",
)  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "date", "start_utc", "hours"),
    [
        ("UTC", "2026-11-21", "2026-11-21T00:00", 24),
        ("Europe/Moscow", "2026-11-21", "2026-11-20T21:00", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", 25),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00", 23),  # begins at 01:00: midnight is missing
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30", 23.5),
        # the clock goes back at 00:01, into the day before: the new day has begun and goes on
        ("America/St_Johns", "2010-11-06", "2010-11-06T02:30", 24),
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30", 25),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00", 0),  # the zone skipped the whole date
    ],
)
def test_a_day_is_the_interval_between_first_instants(zone: str, date: str, start_utc: str, hours: float) -> None:
    day = day_of_key(date, ZoneInfo(zone))
    assert day.start == datetime.datetime.fromisoformat(start_utc).replace(tzinfo=datetime.UTC)
    assert day.hours == hours


@given(zone=st.sampled_from(ZONES), date=st.dates(datetime.date(1990, 1, 1), datetime.date(2036, 12, 31)))
@settings(max_examples=300)
def test_days_tile_time_and_begin_when_clocks_first_show_their_date(zone: str, date: datetime.date) -> None:
    info = ZoneInfo(zone)
    day, after = day_of(date, info), day_of(date + datetime.timedelta(days=1), info)
    assert day.end == after.start
    if day.start < day.end:
        assert day.start.astimezone(info).date() == date
        just_before = day.start - datetime.timedelta(seconds=1)
        assert just_before.astimezone(info).date() < date


def test_a_midnight_that_happens_twice_is_the_earlier_one() -> None:
    start = first_instant(datetime.date(2026, 11, 1), ZoneInfo("America/Havana"))
    assert start == datetime.datetime(2026, 11, 1, 4, tzinfo=datetime.UTC)


@pytest.mark.parametrize("key", ["2026-13-01", "yesterday", "2026-01-01T00:00", ""])
def test_a_key_that_is_not_a_date_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)iso|month"):
        day_of_key(key, ZoneInfo("UTC"))


@given(
    st.datetimes(datetime.datetime(1980, 1, 1), datetime.datetime(2100, 1, 1)),
    st.sampled_from(["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_every_instant_lies_in_exactly_one_slot(naive: datetime.datetime, zone: str) -> None:
    instant = naive.replace(tzinfo=ZoneInfo(zone)).astimezone(datetime.UTC)
    slot = slot_at(instant.astimezone(ZoneInfo(zone)))
    assert slot.start <= instant < slot.end
    assert slot.end - slot.start == datetime.timedelta(minutes=15)
    assert slot.start.timestamp() % 900 == 0


def test_an_hour_that_clocks_repeat_has_eight_slots_with_keys_of_their_own() -> None:
    start = datetime.datetime(2026, 10, 25, 0, 0, tzinfo=datetime.UTC)  # 02:00 in Berlin, shown twice
    keys = [slot_at(start + number * datetime.timedelta(minutes=15)).key for number in range(8)]
    assert keys[0] == "2026-10-25-00:00" and keys[7] == "2026-10-25-01:45"
    assert len(set(keys)) == 8


def test_a_moment_without_a_time_zone_lies_in_no_slot() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        slot_at(datetime.datetime(2026, 10, 25, 0, 7))


def test_a_range_of_slots_shows_its_end_date_if_it_differs() -> None:
    begins = datetime.datetime(2026, 11, 8, 22, 30, tzinfo=datetime.UTC)
    assert str(SlotRange(begins, begins + 2 * SLOT)) == "2026-11-08 22:30 – 23:00 UTC"
    assert str(SlotRange(begins, begins + 6 * SLOT)) == "2026-11-08 22:30 – 2026-11-09 00:00 UTC"


def test_clocks_that_go_back_over_midnight_leave_each_slot_in_one_day() -> None:
    zone = ZoneInfo("America/St_Johns")  # at 00:01 on 2010-11-07 it was 23:01 on the 6th again
    start = datetime.datetime(2010, 11, 7, 2, 45, tzinfo=datetime.UTC)
    ((day, piece),) = SlotRange(start, start + 4 * SLOT).by_day(zone)
    assert (day.key, piece) == ("2010-11-07", SlotRange(start, start + 4 * SLOT))
