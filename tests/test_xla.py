"""What the package sets for XLA, and that the user's own settings win."""

import os
import subprocess
import sys

import pytest

from beadseg import xla

NAMES = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
FLAG = "--xla_cpu_experimental_ynn_fusion_type="
BARRIERS = "--xla_disable_hlo_passes=cse_barrier_expander"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def test_flags_are_added_to_those_of_the_user(environment):
    environment.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    xla.prepare()
    expected = f"{FLAG} {BARRIERS} --xla_cpu_enable_fast_math=false"
    assert os.environ["XLA_FLAGS"] == expected


def test_the_users_settings_stay(environment):
    flags = f"{FLAG}individual_dot --xla_disable_hlo_passes=fusion"
    environment.setenv("XLA_FLAGS", flags)
    environment.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    xla.prepare()
    assert [os.environ[n] for n in NAMES] == [flags, "elsewhere"]


def test_barriers_are_left_alone_where_there_may_be_a_gpu(environment):
    environment.delenv("JAX_PLATFORMS")
    environment.setattr(xla, "find_spec", lambda name: name == "jax_plugins" or None)
    xla.prepare()
    assert os.environ["XLA_FLAGS"].split() == [FLAG]


def test_a_barrier_keeps_what_three_operations_need():
    code = """
import beadseg, jax, jax.numpy as jnp
def f(a):
    kept = jax.lax.optimization_barrier(jnp.maximum(a, 0.5) * 3)
    return kept.sum(), (kept * a).sum(), kept * 2
print(jax.jit(f).lower(jnp.ones((64, 64))).compile().as_text())
"""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count(" maximum(") == 1


def test_no_flag_is_given_to_a_jaxlib_that_may_not_know_it(environment):
    environment.setattr(xla, "version", lambda name: "0.99.1")
    xla.prepare()
    assert "XLA_FLAGS" not in os.environ


def test_nothing_is_kept_where_nothing_can_be_written(environment, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    xla.prepare()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_second_process_finds_the_programs_of_the_first(environment, tmp_path):
    environment.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    code = "import beadseg, jax; jax.jit(lambda x: x * 3.5 + 1)(2.0)"
    entries = []
    for _ in range(2):
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
        (folder,) = (tmp_path / "cache").glob("xla-*")
        entries.append(sorted(f.name for f in folder.glob("*-cache")))
    assert entries[0] and entries[0] == entries[1]
