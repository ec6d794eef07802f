"""Everything a user can name stands in the reference, and the reference names nothing that is gone."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest

import eventstore
import eventstore.errors
import lrm_actors
import lrm_actors.cli
import lrm_actors.domain
import lrm_actors.errors
from benchmarks import harness
from eventstore import declared_types, open_store
from lrm_actors import report
from lrm_actors.cli import exits
from lrm_actors.domain.analyzer import STRATEGIES, choose
from lrm_actors.domain.classify import CATEGORIES, FailureFacts
from lrm_actors.domain.modes import PROFILES
from lrm_actors.settings import FIELDS
from lrm_actors.telemetry.logging import KEYS
from lrm_actors.wiring import WIRES
from tests.docs.markdown import ROOT

REFERENCE = ROOT / "docs/reference"


def rows_of(page: Path) -> dict[str, list[str]]:
    """The tables of a page: the code in a row's first cell, to the row's cells."""
    rows = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (name := re.match(r"`([^`]+)`", cells[0])):
            rows[name[1]] = cells
    return rows


def sections_of(page: Path) -> dict[str, str]:
    """The second-level sections of a page by their heading, without its backquotes."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.replace("`", ""): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def differences(there: dict[str, list[str]], documented: dict[str, list[str]]) -> list[str]:
    """What the reference lacks, what it says wrongly, and what it names that is not there.

    Args:
        there: each name, and the texts that its row must contain.
        documented: each row's name, and its cells.
    """
    found = [f"{name} is not there" for name in sorted(documented.keys() - there.keys())]
    for name, texts in there.items():
        row = " | ".join(documented.get(name, []))
        missing = [text for text in texts if text not in row]
        if name not in documented:
            found.append(f"{name} is not documented")
        elif missing:
            found.append(f"{name}: the row lacks {', '.join(missing)}")
    return found


def events() -> dict[str, list[str]]:
    """Every event type of ours, with its version and fields."""
    for module in pkgutil.iter_modules(lrm_actors.domain.__path__, "lrm_actors.domain."):
        importlib.import_module(module.name)
    return {
        name: [f"| {kind.version} |", *(f"`{field.name}`" for field in attrs.fields(kind.cls))]
        for name, kind in declared_types().items()
        if kind.cls.__module__.startswith("lrm_actors.domain.")
    }


def error_codes() -> dict[str, list[str]]:
    """The code of every error that is raised, with its class."""
    for package in (eventstore, lrm_actors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def subclasses(cls: type[Exception]) -> Iterator[type[Exception]]:
        for sub in cls.__subclasses__():
            if sub.__module__.startswith(("lrm_actors.", "eventstore.")):
                yield sub
                yield from subclasses(sub)

    every = [
        cls for base in (lrm_actors.errors.LrmError, eventstore.errors.EventStoreError) for cls in subclasses(base)
    ]
    coded = [(str(vars(cls)["code"]), cls.__name__) for cls in dict.fromkeys(every) if "code" in vars(cls)]
    assert len(coded) == len(dict(coded)), "two errors share a code"
    return {code: [f"`{name}`"] for code, name in coded if not code.endswith("000")}


def settings() -> dict[str, list[str]]:
    """Every setting with its default as TOML writes it, its range, and the variable it is read from."""
    return {
        setting.name: [
            "not set" if setting.default is None else f"`{str(setting.default).lower()}`",
            setting.allowed.replace("'", "`"),
            f"`{setting.variable}`",
        ]
        for setting in FIELDS
    }


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, ``lrm`` itself included."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            with click.Context(command) as context:
                for sub in command.list_commands(context):
                    found = command.get_command(context, sub)
                    assert found is not None
                    yield from walk(f"{name} {sub}", found)

    (group,) = {id(value): value for value in vars(lrm_actors.cli).values() if isinstance(value, click.Group)}.values()
    yield from walk("lrm", group)


def undocumented_of_command(name: str, command: click.Command, sections: dict[str, str]) -> list[str]:
    """The options and arguments of a command that its section does not show."""
    if name not in sections:
        return [f"{name} has no section"]
    shown = sections[name] + sections.get("lrm", "")  # what every command takes is told once
    words = []
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            words += [option for option in (*parameter.opts, *parameter.secondary_opts) if option.startswith("--")]
        elif isinstance(parameter, click.Argument):
            words.append(parameter.make_metavar(click.Context(command)).strip("[].").rstrip("."))
    return [f"{name}: {word}" for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", shown)]


def test_every_event_type_is_in_the_reference() -> None:
    """Whoever reads a log finds there what each event means, its version and its fields."""
    assert differences(events(), rows_of(REFERENCE / "events.md")) == []


def test_every_error_code_is_in_the_reference() -> None:
    """Whoever meets a code finds there its class, what it means and what to try."""
    assert differences(error_codes(), rows_of(REFERENCE / "errors.md")) == []


def test_every_setting_is_in_the_reference() -> None:
    """With its default and the variable it is read from."""
    assert differences(settings(), rows_of(REFERENCE / "settings.md")) == []


def test_every_command_is_in_the_reference() -> None:
    """Each has a section that shows its arguments and options."""
    sections = sections_of(REFERENCE / "cli.md")
    missing = [gap for name, command in commands() for gap in undocumented_of_command(name, command, sections)]
    assert missing == []
    gone = {section for section in sections if section.startswith("lrm")} - {name for name, _ in commands()}
    assert gone == set()


def test_every_category_of_failure_is_in_the_reference() -> None:
    """With the strategies that are chosen for it, at once and after several in a row, and every strategy there is."""
    chosen = {category: {choose(category, FailureFacts(""), n)[0] for n in (1, 9)} for category in CATEGORIES}
    there = {category: [f"`{strategy}`" for strategy in strategies] for category, strategies in chosen.items()}
    there |= {strategy: [] for strategy in STRATEGIES}
    assert differences(there, rows_of(REFERENCE / "failures.md")) == []


def test_every_mode_is_in_the_reference() -> None:
    """With what it does to the intervals and to less important work."""
    rows = rows_of(REFERENCE / "health-report.md")
    for mode, profile in PROFILES.items():
        checkpoints = "emergency" if profile.checkpoint_factor is None else f"×{profile.checkpoint_factor:g}"
        texts = [f"×{profile.monitoring_factor:g}", checkpoints, f"`{profile.least_criticality}`"]
        assert differences({mode: texts}, {mode: rows[mode]}) == []


def test_every_key_of_the_health_report_is_in_the_reference() -> None:
    """With the keys of its value; metrics have rows of their own, or share one."""
    page = REFERENCE / "health-report.md"
    rows = rows_of(page)
    inner = {**report.SECTIONS, **report.TABLES}
    for key in report.KEYS:
        assert differences({key: [f"`{name}`" for name in inner.get(key, ())]}, {key: rows.get(key, [])}) == []
    text = page.read_text(encoding="utf-8")
    assert [metric for metric in report.METRICS if f"`{metric}`" not in text] == []


def test_every_key_of_a_log_line_is_in_the_reference() -> None:
    """Whoever parses the lines finds each key there."""
    rows = rows_of(REFERENCE / "logging.md")
    assert differences({key: [] for key in KEYS}, rows) == []


def test_every_exit_code_is_in_the_reference() -> None:
    """With the words that the code itself has for it."""
    section = sections_of(REFERENCE / "cli.md")["Exit codes"]
    assert re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE) == [
        (str(code), meaning) for code, meaning in exits.MEANINGS.items()
    ]


def test_every_figure_of_a_benchmark_is_in_the_reference() -> None:
    """With the benchmark that measures it. The names are read from the source: running them takes too long."""
    there: dict[str, list[str]] = {}
    for name in harness.names():
        parts = (ROOT / "benchmarks").glob(f"{name}_*.py")
        for path in (ROOT / f"benchmarks/{name}.py", *parts):
            source = path.read_text(encoding="utf-8")
            there |= {figure: [f"`{name}`"] for figure in re.findall(r"Figure\(\s*\"(\w+)\"", source)}
    rows = rows_of(REFERENCE / "benchmarks.md")
    assert differences(there, {name: row for name, row in rows.items() if not name.startswith("--")}) == []


def test_every_rule_names_tests_that_hold_it_and_tests_that_break_it() -> None:
    """All fourteen: each file is there, and has a test of the rule and one of a planted bug."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^\| (\d+) \| .+ \| `(tests/rules/\w+\.py)` \|", text, re.MULTILINE))
    assert [str(number) for number in range(1, 15)] == list(rules)
    for number, name in rules.items():
        tests = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert any("holds" in test for test in tests), f"rule {number}"
        assert any("planted" in test for test in tests), f"rule {number}"


def test_every_row_of_the_wiring_is_in_the_architecture() -> None:
    """The page shows the whole table of who hears of what, and no row besides."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+\.\w+)` \| `(\w+)` \|", text, re.MULTILINE)
    assert sorted((wire.event_name, wire.to) for wire in WIRES) == sorted(shown)


def test_every_view_of_the_log_file_is_in_the_reference(tmp_path: Path) -> None:
    """The columns of each view stand there, in their order."""
    open_store(tmp_path / "lrm.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "lrm.db")) as log:
        views = [name for (name,) in log.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
        columns = {
            view: ", ".join(f"`{row[1]}`" for row in log.execute(f"PRAGMA table_info({view})")) for view in views
        }
    rows = rows_of(REFERENCE / "log-file.md")
    assert columns == {view: rows[view][1] for view in views}


def test_planted_gaps_are_caught() -> None:
    """A new name, a changed fact and a name that is gone are each reported."""
    documented = {"kept": ["`kept`", "1"], "gone": ["`gone`", "1"]}
    assert differences({"kept": ["2"], "new": []}, documented) == [
        "gone is not there",
        "kept: the row lacks 2",
        "new is not documented",
    ]


@pytest.mark.parametrize(
    ("section", "gaps"),
    [
        ("`lrm log PATH`, `--json`", []),
        ("`lrm log PATH`, `--jsonl`", ["lrm log: --json"]),
        ("`--json`", ["lrm log: PATH"]),
    ],
)
def test_a_planted_option_is_caught(section: str, gaps: list[str]) -> None:
    """An option counts as shown only by its whole name, in the section of its command."""

    @click.command()
    @click.argument("path")
    @click.option("--json", "as_json")
    def command(path: str, as_json: str) -> None: ...

    assert undocumented_of_command("lrm log", command, {"lrm": "", "lrm log": section}) == gaps
    assert undocumented_of_command("lrm log", command, {"lrm": "`--json`, `PATH`", "lrm log": section}) == []
    assert undocumented_of_command("lrm show", command, {"lrm log": section}) == ["lrm show has no section"]
