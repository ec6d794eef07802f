from __future__ import annotations

from pathlib import Path

import pytest

from lrm_actors.errors import SettingsError, UnknownSetting
from lrm_actors.settings import FIELDS, LongRunningSettings


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of the machine that runs the tests has a say in them."""
    monkeypatch.chdir(tmp_path)
    for setting in FIELDS:
        monkeypatch.delenv(setting.variable, raising=False)


def test_arguments_come_before_variables_before_files_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place overrules the next, and each value tells where it is from."""
    (tmp_path / "lrm.toml").write_text("max_checkpoints = 3\nagent_id = 'filed'\nenable_modes = false\n")
    monkeypatch.setenv("LRM_MAX_CHECKPOINTS", "4")
    monkeypatch.setenv("LRM_AGENT_ID", "exported")
    settings = LongRunningSettings.load(max_checkpoints=5)
    assert (5, "exported", False, 30.0) == (
        settings.max_checkpoints,
        settings.agent_id,
        settings.enable_modes,
        settings.monitoring_interval,
    )
    assert "argument" == settings.source_of("max_checkpoints")
    assert "LRM_AGENT_ID" == settings.source_of("long_running_agent_id")
    assert str(tmp_path / "lrm.toml") == settings.source_of("enable_modes")
    assert "default" == settings.source_of("monitoring_interval")
    settings.monitoring_interval = 5
    assert "assignment" == settings.source_of("monitoring_interval")


def test_the_constructor_reads_neither_variables_nor_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given by hand is all there is."""
    (tmp_path / "lrm.toml").write_text("max_checkpoints = 3\n")
    monkeypatch.setenv("LRM_AGENT_ID", "exported")
    assert LongRunningSettings() == LongRunningSettings(max_checkpoints=50, agent_id="default")


def test_a_project_file_holds_settings_in_its_own_table(tmp_path: Path) -> None:
    """``[tool.lrm]`` is read where there is no ``lrm.toml``, and a project without it is no error."""
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n[tool.lrm]\nmax_checkpoints = 7\n")
    assert 7 == LongRunningSettings.load().max_checkpoints
    (tmp_path / "lrm.toml").write_text("max_checkpoints = 8\n")
    assert 8 == LongRunningSettings.load().max_checkpoints
    assert 7 == LongRunningSettings.load(config=project).max_checkpoints
    project.write_text("[project]\nname = 'x'\n")
    assert 50 == LongRunningSettings.load(config=project).max_checkpoints


def test_a_file_or_a_directory_can_be_named(tmp_path: Path) -> None:
    """``config`` says where to look."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "lrm.toml").write_text("max_checkpoints = 9\n")
    (tmp_path / "mine.toml").write_text("max_checkpoints = 10\n")
    assert 9 == LongRunningSettings.load(config=tmp_path / "deep").max_checkpoints
    assert 10 == LongRunningSettings.load(config="mine.toml").max_checkpoints


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("lrm.toml", "max_checkpoints = ", SettingsError),
        ("lrm.toml", "max_checkpoints = '5'", SettingsError),
        ("lrm.toml", "max_checkpoints = true", SettingsError),
        ("lrm.toml", "monitoring_interval = nan", SettingsError),
        ("lrm.toml", "max_chekpoints = 5", UnknownSetting),
        ("lrm.toml", b"\xff\xfe", SettingsError),
        ("pyproject.toml", "[tool]\nlrm = 5", SettingsError),
        ("pyproject.toml", "tool = 5", SettingsError),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(
    tmp_path: Path, name: str, text: str | bytes, error: type[Exception]
) -> None:
    """Broken TOML, wrong types and unknown names: the error tells the file."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=name):
        LongRunningSettings.load()


def test_a_named_file_that_is_not_there_is_an_error() -> None:
    """Whoever names one means it."""
    with pytest.raises(SettingsError, match="nowhere.toml"):
        LongRunningSettings.load(config="nowhere.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("Yes", True),
        ("ON", True),
        ("1", True),
        ("false", False),
        ("no", False),
        ("off", False),
        ("0", False),
    ],
)
def test_a_variable_switches_with_the_usual_words(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    """In any case of letters."""
    monkeypatch.setenv("LRM_ENABLE_AUTO_RECOVERY", f" {text} ")
    assert value is LongRunningSettings.load().enable_auto_recovery


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LRM_ENABLE_MODES", "perhaps"),
        ("LRM_MAX_CHECKPOINTS", "5.5"),
        ("LRM_MAX_CHECKPOINTS", "many"),
        ("LRM_MONITORING_INTERVAL", "nan"),
        ("LRM_MONITORING_INTERVAL", "inf"),
        ("LRM_AGENT_ID", "../up"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    """The error tells the variable and the text that was in it."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError, match=variable) as refused:
        LongRunningSettings.load()
    assert variable == refused.value.source


def test_a_misspelt_variable_is_refused_and_a_strange_one_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is nearly a setting was meant as one; what is like none belongs to somebody else."""
    monkeypatch.setenv("LRM_LOG", "/x/lrm.db")
    monkeypatch.setenv("LRM_TEST_PROFILE", "default")
    assert LongRunningSettings() == LongRunningSettings.load()
    monkeypatch.setenv("LRM_MONITORING_INTERVALL", "5")
    with pytest.raises(UnknownSetting, match="LRM_MONITORING_INTERVALL") as refused:
        LongRunningSettings.load()
    assert "LRM_MONITORING_INTERVAL" == refused.value.suggestion


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """``LRM_AGENT_ID=`` in a shell means that it is not set."""
    monkeypatch.setenv("LRM_AGENT_ID", "")
    assert "default" == LongRunningSettings.load().source_of("agent_id").replace("LRM_AGENT_ID", "set")
