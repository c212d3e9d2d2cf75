"""Context: what ties a line to its request."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from proletto_otel.core import context


def test_carry_takes_the_request_id_into_a_thread() -> None:
    """A thread or executor started through `carry` knows the request."""
    with context.background("rid-1"), ThreadPoolExecutor() as pool:
        carried = pool.submit(context.carry(context.request_id)).result()
        bare = pool.submit(context.request_id).result()

    assert ("rid-1", None) == (carried, bare)


def test_one_carried_function_runs_in_many_threads_at_once() -> None:
    """The wrapper can be used again and again, also concurrently."""
    with context.background("rid-2"), ThreadPoolExecutor(4) as pool:
        carried = context.carry(lambda _: context.request_id())
        assert ["rid-2"] * 50 == list(pool.map(carried, range(50)))


def test_bound_facts_end_with_the_job() -> None:
    """What one job binds is not seen by the next."""
    with context.background() as job:
        context.bind(tenant="a", step=1)
        context.unbind("step")
        inside = dict(context.bound())

    assert {"tenant": "a"} == inside
    assert {} == dict(context.bound())
    assert job.request_id == f"{int(job.request_id, 16):032x}"


def test_facts_are_bounded() -> None:
    """A loop that binds does not grow a request without end."""
    with context.background():
        for i in range(1000):
            context.bind(**{f"fact_{i}": i})
        assert context.MAX_FACTS == len(context.bound())


def test_facts_bound_outside_of_requests_add_up() -> None:
    """A script or a thread binds one fact after the other, and takes them back by name."""
    seen: list[dict[str, Any]] = []

    def script() -> None:
        context.bind(job="import")
        context.bind(step=1)
        seen.append(dict(context.bound()))
        context.unbind("step")
        seen.append(dict(context.bound()))

    copy_context().run(script)

    assert [{"job": "import", "step": 1}, {"job": "import"}] == seen
    assert {} == context.bound()
