from __future__ import annotations

import json

import pytest

from lrm_actors.inspect.plain import plain, plain_json, plain_lines

COMMANDS = ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x1b[8m", "\x7f", "\x85", "\u202e", "\u2066", "\u2028"]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_commands_a_terminal_is_spelled_out(command: str) -> None:
    """Every one of its characters that is not a letter of the text can be seen."""
    for made in (plain(f"a{command}b"), plain_lines(f"a{command}b"), json.dumps(plain(command))):
        assert made.isprintable(), made
    assert r"a\x1b[2Jb" == plain("a\x1b[2Jb")


@pytest.mark.parametrize("text", ["", "plain", "naïve ünïcödé → 世界 👩‍🚀", r"a\b"])
def test_any_other_text_stays_as_it_is(text: str) -> None:
    """Letters of every language and pictures made of several characters too."""
    assert text == plain(text) == plain_lines(text) == plain_json(text)


def test_lines_stay_lines_only_where_they_may() -> None:
    """One line cannot become two by what is in it."""
    assert r"one\ntwo\r\tthree" == plain("one\ntwo\r\tthree")
    assert "one\ntwo\\r\tthree" == plain_lines("one\ntwo\r\tthree")


@pytest.mark.parametrize("command", COMMANDS)
def test_json_says_the_same(command: str) -> None:
    """The value that is read back is the one that was written."""
    told = plain_json(json.dumps({command: [command]}, ensure_ascii=False, indent=2))
    assert {command: [command]} == json.loads(told)
    assert all(line.isprintable() for line in told.split("\n"))
