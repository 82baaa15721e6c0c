"""The locks hold what pyproject.toml asks for, and what an install needs."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import lock

SYSTEMS = [
    {"python_full_version": f"{python}.1", "python_version": python, "extra": ""}
    | {"sys_platform": platform, "platform_system": system, "os_name": name}
    for python in ("3.11", "3.12", "3.13")
    for platform, system, name in (
        ("linux", "Linux", "posix"),
        ("darwin", "Darwin", "posix"),
        ("win32", "Windows", "nt"),
    )
]
TOOLS = "pytest ruff pre-commit hypothesis playwright hatchling uv openpyxl optuna"


def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """Requirements of a lock with their hashes."""
    text = (lock.ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        (
            Requirement(line.split("--hash")[0].strip()),
            re.findall(r"--hash=(\S+)", line),
        )
        for line in lines
    ]


def pins(name: str, system: dict[str, str]) -> dict[str, str]:
    """Versions by name, as an installer takes them on a system."""
    found = {}
    for requirement, _ in entries(name):
        if requirement.marker is None or requirement.marker.evaluate(system):
            key = canonicalize_name(requirement.name)
            assert key not in found, f"{key} stands twice in {name}"
            (version,) = requirement.specifier
            found[key] = version.version
    return found


@pytest.mark.parametrize("name", lock.LOCKS)
def test_a_lock_is_no_older_than_the_requirements(name):
    text = (lock.ROOT / name).read_text()
    assert text.startswith(lock.head(name)), (
        f"{name} is stale: run `python -m tests.lock` and commit what it writes"
    )


@pytest.mark.parametrize("name", lock.LOCKS)
def test_every_version_has_hashes_and_no_address(name):
    text = (lock.ROOT / name).read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    for requirement, hashes in entries(name):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_versions_are_those_that_pyproject_allows(system):
    pyproject = lock.tomllib.loads((lock.ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    asked = {"requirements.lock": project["dependencies"]}
    extras = project["optional-dependencies"]
    asked["tests/requirements.lock"] = [
        *project["dependencies"],
        *(r for extra in ("test", "dev", "sweep") for r in extras[extra]),
    ]
    for name, requirements in asked.items():
        found = pins(name, system)
        for requirement in map(Requirement, requirements):
            key = canonicalize_name(requirement.name)
            if key != "beadseg":
                assert found[key] in requirement.specifier, f"{requirement} in {name}"


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_users_lock_is_the_same_without_tools_of_tests_and_style(system):
    users, all_ = (pins(name, system) for name in lock.LOCKS)
    assert {key: all_[key] for key in users} == users
    assert not set(TOOLS.split()) & users.keys()
    assert set(TOOLS.split()) <= all_.keys()


def test_both_commands_of_the_readme_install_from_the_locks():
    readme = (lock.ROOT / "README.md").read_text()
    commands = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    assert len(commands) == 2
    for command, name in zip(commands, lock.LOCKS, strict=True):
        assert f"install -q -r {name} &&" in command
        assert "install -q --no-deps -e . &&" in command
