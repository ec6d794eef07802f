from __future__ import annotations

from pathlib import Path

import pytest

from lrm_actors.demo.scenarios.running import SCENARIOS
from tests.docs.markdown import ROOT, blocks_of, pages
from tests.docs.snippets import PageReport, main, matches, run_page

HOSTS = "pytest --profile hosts runs it"
"""The reason of a block that ``tests/hosts/browser_use/test_pages.py`` runs."""


def run(*blocks: str, **options: object) -> PageReport:
    """Run a page of these blocks."""
    return run_page("\n\n".join(blocks), "page.md", **options)  # type: ignore[arg-type]  # options are passed through


def fence(language: str, code: str) -> str:
    """One block."""
    return f"```{language}\n{code}\n```"


def reasons(report: PageReport) -> list[str]:
    """What went wrong."""
    return [str(failure) for failure in report.failures]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_the_documentation_runs(page: Path) -> None:
    """A reader who types a page's code, in order, gets what the page says."""
    report = run_page(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
    assert reasons(report) == []


def test_blocks_left_out_give_a_reason_and_are_few() -> None:
    """Only what cannot run inside a test, the installation, and what has tests of its own: scenarios, and hosts."""
    left_out = [
        block
        for page in pages()
        for block in blocks_of(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
        if block.not_run is not None
    ]
    assert all(block.not_run for block in left_out)
    scenarios = [block for block in left_out if "$ lrm demo --chaos --scenario" in block.text]
    elsewhere = [block for block in left_out if HOSTS in str(block.not_run)]
    assert len(left_out) - len(scenarios) - len(elsewhere) <= 8
    assert len(scenarios) <= len(SCENARIOS) + 1


def test_blocks_of_a_page_share_one_namespace_and_directory() -> None:
    """A later block sees the names and files of an earlier one, of whichever language."""
    report = run(
        fence("python", "import pathlib\npathlib.Path('a').write_text('kept')"),
        fence("console", "$ cat a; echo\nkept"),
        fence("python", "print(pathlib.Path('a').read_text())"),
        fence("output", "k…t"),
        fence("bash", "test -f a"),
    )
    assert reasons(report) == []
    assert len(report.ran) == 4


def test_a_block_with_a_title_is_saved_and_not_run() -> None:
    """The reader is told to save it, and a later block runs it."""
    report = run(fence('python title="agent.py"', "print('here'); 1 / 0"), fence("console", "$ cat agent.py\n…1 / 0"))
    assert reasons(report) == []


def test_a_block_may_await_and_another_run_a_loop_of_its_own() -> None:
    """Documents show both styles."""
    report = run(
        fence("python", "import asyncio\nawait asyncio.sleep(0)\nasync def nothing(): pass"),
        fence("python", "asyncio.run(nothing())"),
    )
    assert reasons(report) == []


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (fence("python", "x = 1\n1 / 0"), 'File "page.md", line 3'),
        (fence("python", "1 / 0"), "ZeroDivisionError"),
        (fence("python", "raise SystemExit(0)"), "SystemExit"),
        (fence("python", "import os\nos._exit(3)"), "ended with status 3"),
        (fence("python", "import asyncio\nawait asyncio.sleep(60)"), "still running after 0.5 s"),
        (fence("console", "$ echo one\ntwo"), "and it printed\none"),
        (fence("console", "$ false"), "exit 1: false"),
        (fence("console", "$ sleep 60"), "still running after 0.5 s"),
        (fence("console", "echo one"), "begins with '$ command'"),
        (fence("bash", "false\ntrue"), "exit 1"),
        (fence("json", "{1}"), "Expecting property name"),
        (fence("toml", "a ="), "Invalid value"),
        ("<!-- not run: -->\n" + fence("python", "1"), "no reason is given"),
    ],
)
def test_a_broken_snippet_is_caught(block: str, reason: str) -> None:
    """Whatever a block gets wrong is reported with the page and the line."""
    report = run(block, timeout_s=0.5 if "0.5" in reason else 30.0)
    (failure,) = reasons(report)
    assert failure.startswith("page.md:")
    assert reason in failure


def test_wrong_output_of_a_python_block_is_caught() -> None:
    """The output shown after a block is compared."""
    (failure,) = reasons(run(fence("python", "print(1)"), fence("output", "2")))
    assert "the page shows\n2\n\nand it printed\n1" in failure


def test_a_marked_block_is_left_out() -> None:
    """The mark stands on the line above and says why."""
    report = run("<!-- not run: it would wipe the disk -->\n" + fence("python", "1 / 0"))
    assert reasons(report) == []
    assert [block.not_run for block in report.left_out] == ["it would wipe the disk"]


def test_a_block_that_is_never_closed_is_an_error() -> None:
    """Half a page would otherwise pass for code, or for prose."""
    with pytest.raises(ValueError, match=r"page\.md:1: the code block is never closed"):
        run("```python\n1")


def test_a_document_for_other_packages_runs_against_stand_ins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The import map replaces modules that are not there, and the prelude names that the document takes for granted."""
    code = (
        "from nowhere.agent.service import JSONDecoder\n"
        "import nowhere.agent.service as s\n"
        "assert s.JSONDecoder is JSONDecoder and given == 1"
    )
    options = {"import_map": {"nowhere.agent.service": "json"}, "prelude": "given = 1"}
    assert reasons(run(fence("python", code), **options)) == []
    (failure,) = reasons(run(fence("python", code)))
    assert "No module named 'nowhere'" in failure
    page, prelude = tmp_path / "page.md", tmp_path / "prelude.py"
    page.write_text(fence("python", code))
    prelude.write_text("given = 1")
    assert main([str(page), "--map", "nowhere.agent.service=json", "--prelude", str(prelude)]) == 0
    assert main([str(page)]) == 1
    assert "1 blocks run, 0 left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a", "a\n", True),
        ("a  ", "a \n\n", True),
        ("a", "b", False),
        ("a … c", "a b c", True),
        ("a … c", "a b d", False),
        ("a … c", "a b\nc", False),
        ("a\n…\nc", "a\nb\nb\nc", True),
        ("a\n…\nc", "a\nc", True),
        ("a\n…", "a\nb", True),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
    ],
)
def test_an_ellipsis_stands_for_any_text(expected: str, actual: str, same: bool) -> None:
    """Within a line for part of it, alone on a line for any lines, and nothing else is a wildcard."""
    assert matches(expected, actual) is same
