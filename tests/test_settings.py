from __future__ import annotations

import ast
import copy
import inspect
import math
import pickle
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrm_actors.settings
from lrm_actors.errors import SettingsError, UnknownSetting
from lrm_actors.settings import FIELDS, LongRunningSettings, Setting

NUMBERS = [setting for setting in FIELDS if setting.type in {"int", "float"}]
OTHER_VALUE: dict[str, Any] = {
    "bool": lambda setting: not setting.default,
    "int": lambda setting: setting.default + 1,
    "float": lambda setting: (setting.default or 100.0) - 0.5,
    "path": lambda setting: "/var/lib/agent",
    "name": lambda setting: "agent-7",
}


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file and no variable of the machine that runs the tests has a say in them."""
    monkeypatch.chdir(tmp_path)
    for setting in FIELDS:
        monkeypatch.delenv(setting.variable, raising=False)
    return tmp_path


def other(setting: Setting) -> Any:
    """A value of a setting that is allowed and not the default."""
    return OTHER_VALUE[setting.type](setting)


def of(**arguments: Any) -> LongRunningSettings:
    """Settings of names that are only known when the test runs."""
    return LongRunningSettings(**arguments)


# The table and the class


def test_the_table_and_the_class_have_the_same_settings() -> None:
    """A setting is in both, in one order, with one default."""
    assert [setting.name for setting in FIELDS] == [field.name for field in attrs.fields(LongRunningSettings)]
    assert {setting.name: setting.default for setting in FIELDS} == LongRunningSettings().as_dict()


def test_type_checkers_are_told_the_same_defaults() -> None:
    """The signature that editors show is written out by hand, and must not drift from the table."""
    tree = ast.parse(inspect.getsource(lrm_actors.settings))
    (shown,) = (
        node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and len(node.args.kwonlyargs) > 10
    )
    defaults = {
        argument.arg: ast.literal_eval(default)
        for argument, default in zip(shown.kwonlyargs, shown.kw_defaults, strict=True)
        if default is not None
    }
    assert {setting.name: setting.default for setting in FIELDS} == defaults


def test_the_defaults_are_those_of_the_feature_document() -> None:
    """Whoever sets nothing gets what the document promises."""
    settings = LongRunningSettings()
    assert settings.enable_long_running_mode is False
    assert (30.0, 300.0) == (settings.monitoring_interval, settings.checkpoint_interval)
    assert (80.0, 95.0) == (settings.cpu_threshold_warning, settings.cpu_threshold_critical)
    assert (80.0, 95.0) == (settings.memory_threshold_warning, settings.memory_threshold_critical)
    assert (5, 60.0) == (settings.circuit_breaker_failure_threshold, settings.circuit_breaker_recovery_timeout)
    assert (None, 50, True) == (settings.checkpoint_dir, settings.max_checkpoints, settings.enable_auto_recovery)


@pytest.mark.parametrize("setting", FIELDS, ids=lambda one: one.name)
def test_every_default_is_an_allowed_value(setting: Setting) -> None:
    """A setting could be assigned its own default."""
    assert setting.default == setting.check(setting.default, "default")


@pytest.mark.parametrize("setting", FIELDS, ids=lambda one: one.name)
def test_every_setting_can_be_given_in_each_way(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its name, by the document's longer name, by a variable, by a file, and by assignment: each way the same."""
    value = other(setting)
    given = LongRunningSettings(**{setting.name: value})
    assert value == getattr(given, setting.name)
    assert given == LongRunningSettings(**{f"long_running_{setting.name}": value})

    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    (tmp_path / "lrm.toml").write_text(f"{setting.name} = {text}\n")
    assert given == LongRunningSettings.load()
    (tmp_path / "lrm.toml").write_text(f"long_running_{setting.name} = {text}\n")
    assert given == LongRunningSettings.load()
    (tmp_path / "lrm.toml").unlink()

    monkeypatch.setenv(setting.variable, str(value))
    assert given == LongRunningSettings.load()
    monkeypatch.delenv(setting.variable)
    monkeypatch.setenv(f"LRM_LONG_RUNNING_{setting.name.upper()}", str(value))
    assert given == LongRunningSettings.load()

    assigned = LongRunningSettings()
    setattr(assigned, setting.name, value)
    assert given == assigned


# Wrong values


WRONG_FOR_NUMBERS = [True, False, "5", "", [], {}, math.nan, math.inf, -math.inf, -1, 1e300, 10**400]


@pytest.mark.parametrize("value", WRONG_FOR_NUMBERS, ids=repr)
@pytest.mark.parametrize("setting", NUMBERS, ids=lambda one: one.name)
def test_a_number_must_be_one_and_within_its_range(setting: Setting, value: Any) -> None:
    """Texts, booleans, NaN, infinities and numbers out of range are refused, given or assigned."""
    for source, attempt in (
        ("argument", lambda: LongRunningSettings(**{setting.name: value})),
        ("assignment", lambda: setattr(LongRunningSettings(), setting.name, value)),
    ):
        with pytest.raises(SettingsError) as refused:
            attempt()
        assert (setting.name, setting.allowed, source) == (
            refused.value.field,
            refused.value.allowed,
            refused.value.source,
        )
        assert value is refused.value.value
        assert setting.name in str(refused.value)
        assert setting.allowed in refused.value.hint


@pytest.mark.parametrize("value", [5.0, 5.5])
def test_a_whole_number_must_be_whole(value: float) -> None:
    """A float is no count, not even one without a fraction."""
    with pytest.raises(SettingsError, match="a whole number from 1 to 100000"):
        LongRunningSettings(max_checkpoints=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda one: one.name)
def test_the_ends_of_a_range_are_within_it(setting: Setting) -> None:
    """The least and the most are allowed, and what is just beyond them is not."""
    kind = int if setting.type == "int" else float
    step = 1 if setting.type == "int" else 0.001
    assert kind(setting.least) == setting.check(kind(setting.least), "test")
    assert kind(setting.most) == setting.check(kind(setting.most), "test")
    for beyond in (setting.least - step, setting.most * 1.001 + step):
        with pytest.raises(SettingsError):
            setting.check(kind(beyond), "test")


@pytest.mark.parametrize("value", [0, 1, "true", "yes", None])
def test_a_switch_is_true_or_false_and_nothing_like_it(value: Any) -> None:
    """A truthy value is not taken for one: a text 'false' would switch on."""
    with pytest.raises(SettingsError, match="true or false"):
        LongRunningSettings(enable_auto_recovery=value)


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "../x", "a/b", "/a", "a\\b", "a b", "-a", ".a", "a\n", "a\0", "ä", "a" * 101, 7, None, b"a"],
)
def test_an_agent_id_leads_nowhere_but_to_its_directory(value: Any) -> None:
    """It becomes a directory's name, so nothing that could lead elsewhere is one."""
    with pytest.raises(SettingsError) as refused:
        LongRunningSettings(agent_id=value)
    assert "agent_id" == refused.value.field


@pytest.mark.parametrize("value", ["", "  ", "a\0b", 7, b"x", True])
def test_a_directory_is_a_path(value: Any) -> None:
    """Neither empty, nor of another type, nor impossible."""
    with pytest.raises(SettingsError, match="a directory, or None"):
        LongRunningSettings(checkpoint_dir=value)


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_a_warning_comes_before_it_is_critical(resource: str) -> None:
    """The one that was given is at fault, and the other is named."""
    warning, critical = f"{resource}_threshold_warning", f"{resource}_threshold_critical"
    with pytest.raises(SettingsError, match=f"{warning} = 96.0 .* at most {critical} \\(95\\)"):
        of(**{warning: 96})
    with pytest.raises(SettingsError, match=f"{critical} = 79.0 .* at least {warning} \\(80\\)"):
        of(**{critical: 79})
    settings = LongRunningSettings()
    with pytest.raises(SettingsError, match="from assignment"):
        setattr(settings, warning, 96)
    assert 80.0 == getattr(settings, warning)
    setattr(settings, warning, 95)  # the same is allowed
    settings.update(**{warning: 96, critical: 97})
    assert (96.0, 97.0) == (getattr(settings, warning), getattr(settings, critical))


@pytest.mark.parametrize("name", ["monitoring_intervall", "long_running_monitoring_intervall", "checkpoints_interval"])
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(name: str) -> None:
    """Given or assigned; an attribute of another name would otherwise be set without effect."""
    meant = "checkpoint_interval" if name.startswith("check") else "monitoring_interval"
    for attempt in (
        lambda: of(**{name: 1.0}),
        lambda: setattr(LongRunningSettings(), name, 1.0),
        lambda: LongRunningSettings().update(**{name: 1.0}),
    ):
        with pytest.raises(UnknownSetting) as refused:
            attempt()
        assert (name, meant) == (refused.value.field, refused.value.suggestion)
        assert meant in refused.value.hint


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    """Nothing is suggested that was surely not meant."""
    with pytest.raises(UnknownSetting) as refused:
        LongRunningSettings(colour="red")
    assert refused.value.suggestion is None


def test_a_setting_given_twice_is_refused() -> None:
    """By its name and its longer name at once: nobody could say which holds."""
    with pytest.raises(SettingsError, match="given once"):
        LongRunningSettings(monitoring_interval=1.0, long_running_monitoring_interval=2.0)


def test_a_setting_cannot_be_deleted() -> None:
    """Every setting always has a value."""
    settings = LongRunningSettings()
    with pytest.raises(SettingsError):
        del settings.agent_id
    assert "default" == settings.agent_id


@given(st.data())
def test_whatever_is_refused_leaves_everything_as_it_was(data: st.DataObject) -> None:
    """One wrong value among several assigned at once changes none of them, and nobody is told anything."""
    wrong = data.draw(st.sampled_from(NUMBERS))
    right = data.draw(st.sampled_from([setting for setting in FIELDS if setting.type == "bool"]))
    settings = LongRunningSettings()
    told: list[Any] = []
    settings.observe(lambda *change: told.append(change))
    before = settings.as_dict()
    with pytest.raises(SettingsError):
        settings.update(**{right.name: not right.default, wrong.name: data.draw(st.sampled_from(WRONG_FOR_NUMBERS))})
    assert (before, []) == (settings.as_dict(), told)


# Assigning while somebody watches


def test_observers_are_told_of_changes_and_of_nothing_else() -> None:
    """Field, old value and new one, after the value is in place; an equal value is no change."""
    settings = LongRunningSettings()
    told: list[Any] = []
    stop = settings.observe(lambda name, old, new: told.append((name, old, new, getattr(settings, name))))
    settings.max_checkpoints = 7
    settings.max_checkpoints = 7
    settings.long_running_agent_id = "other"
    settings.update(monitoring_interval=1, checkpoint_interval=2)
    stop()
    stop()
    settings.max_checkpoints = 8
    assert [
        ("max_checkpoints", 50, 7, 7),
        ("agent_id", "default", "other", "other"),
        ("monitoring_interval", 30.0, 1.0, 1.0),
        ("checkpoint_interval", 300.0, 2.0, 2.0),
    ] == told


def test_one_function_may_observe_twice_and_stop_once() -> None:
    """Each observation ends on its own."""
    settings = LongRunningSettings()
    told: list[Any] = []

    def note(*change: Any) -> None:
        told.append(change)

    settings.observe(note)
    stop = settings.observe(note)
    stop()
    settings.max_checkpoints = 7
    assert [("max_checkpoints", 50, 7)] == told


def test_an_observer_that_fails_keeps_nobody_else_from_being_told() -> None:
    """Whoever assigned hears of it at the end, and the value stands."""
    settings = LongRunningSettings()
    told: list[Any] = []

    def fail(*_: Any) -> None:
        raise OSError("no space")

    settings.observe(fail)
    settings.observe(lambda *change: told.append(change))
    with pytest.raises(OSError, match="no space"):
        settings.max_checkpoints = 7
    assert ([("max_checkpoints", 50, 7)], 7) == (told, settings.max_checkpoints)


def test_an_observer_may_assign() -> None:
    """From inside a notification, on the same thread, without a deadlock."""
    settings = LongRunningSettings()

    def follow(name: str, _: Any, new: Any) -> None:
        if name == "cpu_threshold_warning":
            settings.memory_threshold_warning = new

    settings.observe(follow)
    settings.cpu_threshold_warning = 50
    assert 50.0 == settings.memory_threshold_warning


def test_assignments_of_many_threads_are_told_in_one_order() -> None:
    """Each change begins where the one before ended: no update is lost and none is told late."""
    settings = LongRunningSettings()
    told: list[tuple[Any, Any]] = []
    settings.observe(lambda _, old, new: told.append((old, new)))
    ready = threading.Barrier(4)

    def assign(first: int) -> None:
        ready.wait()
        for value in range(first, first + 200):
            settings.max_checkpoints = value

    threads = [threading.Thread(target=assign, args=(1000 * number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 800 == len(told)
    assert [old for old, _ in told] == [50, *(new for _, new in told[:-1])]


# What they are besides


def test_the_log_of_an_agent_is_where_the_settings_say(tmp_path: Path) -> None:
    """Below ``.lrm`` when no directory is named."""
    assert Path(".lrm/default/lrm.db") == LongRunningSettings().log_path
    settings = LongRunningSettings(checkpoint_dir=tmp_path, agent_id="a")
    assert tmp_path / "a" / "lrm.db" == settings.log_path
    assert str(tmp_path) == settings.checkpoint_dir


def test_copies_hold_the_values_and_not_the_observers() -> None:
    """Copied, deep-copied or pickled: equal, and nobody is told of what happens to the copy."""
    settings = LongRunningSettings(max_checkpoints=7)
    told: list[Any] = []
    settings.observe(lambda *change: told.append(change))
    for twin in (copy.copy(settings), copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):
        assert settings == twin
        twin.max_checkpoints = 8
        assert settings != twin
    assert [] == told


def test_a_number_is_kept_as_its_setting_has_it() -> None:
    """A whole number given for seconds is seconds."""
    settings = LongRunningSettings(monitoring_interval=5, memory_budget_mb=500)
    assert (float, float) == (type(settings.monitoring_interval), type(settings.memory_budget_mb))


def test_where_an_unknown_setting_comes_from_cannot_be_told() -> None:
    """The question itself is refused."""
    with pytest.raises(UnknownSetting):
        LongRunningSettings().source_of("nothing")
