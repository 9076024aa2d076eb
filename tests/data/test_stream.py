import threading

import pytest

from jaxcnn.data.stream import read_ahead


class Reads:
    """Items that are read when they are allowed to."""

    def __init__(self):
        self.allowed, self.begun, self.ended = threading.Event(), [], []

    def __call__(self, item):
        self.begun.append(item)
        if item:
            assert self.allowed.wait(60)
        self.ended.append(item)
        return item * 10


def wait_for(condition):
    tick = threading.Event()
    for _ in range(60_000):
        if condition():
            return True
        tick.wait(0.001)
    return False


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_items_come_in_order_and_no_more_are_held_than_asked_for(workers):
    read = Reads()
    ahead = read_ahead(read, range(8), workers=workers)
    assert next(ahead) == 0
    assert wait_for(lambda: len(read.begun) == 1 + workers), "all workers read, though nobody has asked"
    read.allowed.set()
    assert wait_for(lambda: len(read.ended) == 1 + workers)
    assert sorted(read.begun) == [*range(1 + workers)], "and no more"
    assert list(ahead) == [10, 20, 30, 40, 50, 60, 70]


def test_closing_waits_for_the_read_that_goes_on_and_begins_no_other():
    read = Reads()
    ahead = read_ahead(read, range(8))
    next(ahead)
    assert wait_for(lambda: len(read.begun) == 2)
    threading.Timer(0.05, read.allowed.set).start()
    ahead.close()
    assert read.ended == [0, 1]
    assert wait_for(lambda: not any(thread.name.startswith("grain") for thread in threading.enumerate()))
    assert read.begun == [0, 1]


def test_an_error_of_a_read_comes_in_its_turn():
    def read(item):
        return 1 // item

    ahead = read_ahead(read, [1, 0, 1])
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_no_workers_are_an_error():
    with pytest.raises(ValueError, match=r"`workers` \(=0\) must be at least 1"):
        next(read_ahead(str, [1], workers=0))
