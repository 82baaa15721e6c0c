"""Work on several threads against plain `map`."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from beadseg.threads import in_order, ordered_map


def test_results_come_in_the_order_of_the_items():
    first = threading.Event()

    def square(i: int) -> int:
        if i == 0:
            first.wait(5)  # is done last
        elif i == 2:
            first.set()
        return i * i

    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(pool, square, range(20), 3)) == [i * i for i in range(20)]
    assert list(ordered_map(str, range(20))) == list(map(str, range(20)))


def test_no_more_than_asked_is_begun_ahead_of_what_is_taken():
    drawn = []

    def items():
        for i in range(50):
            drawn.append(i)
            yield i

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, abs, items(), 4)
        for taken in range(50):
            assert next(results) == taken
            assert len(drawn) <= taken + 5


def test_a_failure_is_raised_where_its_result_is_due():
    def fragile(i: int) -> int:
        return 1 // (3 - i)

    results = ordered_map(fragile, range(10))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
