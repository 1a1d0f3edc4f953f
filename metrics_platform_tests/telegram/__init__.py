"""A strict local Bot API server, Telegram's own HTML parser, and the tests of both.

Tests of notifications start with `bot_api_server()`; see `bot_api.py`.
"""

from metrics_platform_tests.telegram.bot_api import BotApi, Fault, bot_api_server
from metrics_platform_tests.telegram.parsing import Parsed, ParseError, parse_html
from metrics_platform_tests.telegram.state import Standing

__all__ = ["BotApi", "Fault", "ParseError", "Parsed", "Standing", "bot_api_server", "parse_html"]
