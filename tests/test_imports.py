from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("eventstore", "lrm_actors")
HEAVY = {"asyncio", "click", "msgspec", "pip", "psutil", "pykka", "sqlite3", "sqlite_utils"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    """A program that only imports the package pays for no database, actor, metric or command line library."""
    loaded = loaded_by(f"import {package}")
    assert package in loaded
    assert set() == loaded & HEAVY


def test_running_an_agent_loads_neither_the_command_line_nor_the_schema_tool() -> None:
    """The public classes need psutil, pykka and sqlite3, but not click, sqlite-utils or pip."""
    loaded = loaded_by("from lrm_actors import LongRunningMode, LongRunningSettings")
    assert set() == loaded & {"click", "sqlite_utils", "pip"}


UNNEEDED = {
    *("click", "cryptography", "dateutil", "http.server", "numpy", "pip", "psutil", "rich", "sqlite_utils", "yaml"),
    *("ctypes", "difflib", "doctest", "email", "http.client", "multiprocessing", "pdb", "pydoc", "pytest", "tarfile"),
    *("unittest", "urllib.request", "xml", "zipfile"),
    *("lrm_actors.cli", "lrm_actors.demo", "lrm_actors.testing", "lrm_actors.inspect.chains"),
    *("lrm_actors.inspect.verify", "eventstore.copying", "eventstore.damage.salvaging"),
    *("eventstore.encrypting.sealing", "eventstore.integrity", "eventstore.testing"),
}
"""What an agent that is well has no use for, and would keep in memory for days."""
STARTED = """
import tempfile
from lrm_actors import LongRunningMode, LongRunningSettings
with tempfile.TemporaryDirectory() as folder:
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=folder))
    mode.capture_with(dict)
    mode.register_component("browser", restart=dict, heartbeat_timeout_s=60.0)
    with mode as running:
        with mode.get_circuit_breaker("model"):
            pass
        with running.step("look") as step:
            step.result = 1
        running.take_checkpoint()
        import sys
        print(*sys.modules)
"""


def unneeded(modules: set[str]) -> list[str]:
    """Which of some modules, or of the packages that they are in, an agent has no use for."""
    parents = {name.rsplit(".", depth)[0] for name in modules for depth in range(name.count(".") + 1)}
    return sorted(parents & UNNEEDED)


def test_an_agent_that_runs_loads_nothing_that_it_has_no_use_for() -> None:
    """A mode that owns a new log, with a component, a breaker, a step and a checkpoint: it runs for days so."""
    done = subprocess.run([sys.executable, "-c", STARTED], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "lrm_actors.hosting.engine" in loaded
    assert [] == unneeded(loaded)


def test_the_check_sees_an_unneeded_module() -> None:
    """In a package as well."""
    assert ["ctypes", "sqlite_utils"] == unneeded({"sqlite_utils.db", "ctypes", "json.decoder", "eventstore.store"})


def test_the_check_sees_a_heavy_import() -> None:
    """A package that did import one of them would be caught."""
    assert {"sqlite3"} == loaded_by("import eventstore, sqlite3") & {"sqlite3", "pip"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_loaded(package: str) -> None:
    """Each name a package promises is there, and is the object of the module that holds it."""
    module = importlib.import_module(package)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert [] == missing


@pytest.mark.parametrize("package", PACKAGES)
def test_the_promised_names_are_those_of_the_lazy_table(package: str) -> None:
    """Nothing is promised that cannot be loaded, nothing can be loaded that is not promised, and ``dir`` shows it."""
    module = importlib.import_module(package)
    assert sorted(name for names in module._HOME.values() for name in names) == sorted(module.__all__)
    assert sorted(module.__all__) == dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_nobody_promised_is_an_attribute_error(package: str) -> None:
    """A misspelt name fails as it does in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        importlib.import_module(package).nothing  # noqa: B018 - the access is what fails


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_are_told_that_the_package_is_typed(package: str) -> None:
    """Each package carries the marker of PEP 561."""
    assert (ROOT / package / "py.typed").is_file()
