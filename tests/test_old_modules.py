"""Scripts that import modules by their old places still do."""

import importlib

import pytest

from beadseg.old_names import MODULES


@pytest.mark.parametrize("old", MODULES)
def test_a_module_is_found_by_its_old_place(old):
    there = importlib.import_module(f"beadseg.{old}")
    now = importlib.import_module(f"beadseg.{MODULES[old]}")
    own = [name for name in vars(now) if not name.startswith("__")]
    assert own and all(getattr(there, name) is getattr(now, name) for name in own)


def test_renamed_classes_are_found_by_their_old_names():
    from beadseg.partial import book
    from beadseg.partial.review.annotation_log import AnnotationLog

    assert book.Book is AnnotationLog


def test_what_was_never_there_is_not_found():
    with pytest.raises(ModuleNotFoundError, match="beadseg.data.nothing"):
        importlib.import_module("beadseg.data.nothing")
