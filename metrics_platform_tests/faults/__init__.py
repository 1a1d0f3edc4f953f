"""What kills, cuts off or overtakes the daily load, and what then has to hold."""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("proxy", "reader", "world")))
