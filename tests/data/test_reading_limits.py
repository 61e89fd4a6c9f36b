import psutil
import pytest

from scribeviz.data.counts import CountsError
from scribeviz.data.reading_limits import ReadingLimits


def test_limits_follow_the_size():
    small, large = ReadingLimits.of(0), ReadingLimits.of(10_000_000)
    assert (small.memory, small.seconds) == (2**30, 2)
    assert (large.memory, large.seconds) == (2**30 + 600_000_000, 42)
    assert large.patience > large.seconds
    assert ReadingLimits.of(10**15).memory == psutil.virtual_memory().total


def test_the_environment_may_set_them(monkeypatch):
    monkeypatch.setenv("SCRIBEVIZ_READ_MEMORY_GB", "0.5")
    monkeypatch.setenv("SCRIBEVIZ_READ_SECONDS", "7")
    assert ReadingLimits.of(10**9) == ReadingLimits(memory=2**29, seconds=7)


@pytest.mark.parametrize("given", ["", "much", "0", "-1", "nan", "inf"])
def test_a_setting_that_is_no_number_is_named(monkeypatch, given):
    monkeypatch.setenv("SCRIBEVIZ_READ_SECONDS", given)
    with pytest.raises(CountsError, match=rf"SCRIBEVIZ_READ_SECONDS='{given}' is no number above"):
        ReadingLimits.of(1)
