"""Telemetry starts in the process that serves, survives forks, and ends within its budget."""

from __future__ import annotations

import signal
import threading

import pytest

from proletto_otel.runtime.lifecycle import Lifecycle
from tests.state.scripts import pythons, run, run_until, terminate
from tests.waiting import PATIENCE_S, slowness

NAMES = {"signal": str(-signal.SIGTERM)}


def test_nothing_starts_at_set_up() -> None:
    """Set-up only records; the end delivers what was recorded."""
    said = run("life = Lifecycle([Part()]); life.begin(); say('ready')")

    assert ["ready", "part stop parent"] == said


def test_activation_happens_once() -> None:
    """First request, hook and program may all activate: each part starts once."""
    said = run(
        """
life = Lifecycle([Part("a"), Part("b")]); life.begin()
threads = [threading.Thread(target=life.ensure) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
life.activate(); life.ensure()
say(life.active)
"""
    )

    assert ["a start parent", "b start parent", "True"] == said[:3]
    assert {"a stop parent", "b stop parent"} == set(said[3:])


def test_an_idle_service_activates_by_itself() -> None:
    """A service without requests is not silent."""
    said = run(
        """
life = Lifecycle([Part()], auto_seconds=0.05); life.begin()
end = time.monotonic() + 10
while not life.active and time.monotonic() < end: time.sleep(0.01)
"""
    )

    assert ["part start parent", "part stop parent"] == said


FORK = """
life = Lifecycle([Part()], auto_seconds=0.2); life.begin()
{before}
child = os.fork()
if child == 0:
    {in_child}
    sys.exit()
os.waitpid(child, 0)
{after}
"""


def test_a_parent_that_only_forks_stays_quiet() -> None:
    """A pre-fork master starts nothing; its child does, by itself."""
    in_child = "time.sleep(0.01)\n    while not life.active: time.sleep(0.01)"
    said = run(FORK.format(before="", in_child=in_child, after="time.sleep(0.4)"))

    assert ["part forked child", "part start child", "part stop child", "part stop parent"] == said


def test_a_fork_while_active_leaves_both_whole() -> None:
    """After a fork the parent goes on and the child starts afresh with its first request."""
    said = run(
        FORK.format(before="life.activate()", in_child="life.ensure()", after="say(life.active)")
    )

    assert [
        "part start parent", "part forked child", "part start child", "part stop child",
        "True", "part stop parent",
    ] == said  # fmt: skip


def test_a_fork_waits_for_a_write_to_end() -> None:
    """What a thread writes under its gate is whole in the child."""
    said = run(
        """
part = Part(); life = Lifecycle([part]); life.begin(); life.activate()
held, state = threading.Event(), {"torn": False}
def write():
    with part.gate:
        state["torn"] = True
        held.set()
        time.sleep(0.2)
        state["torn"] = False
threading.Thread(target=write).start()
held.wait()
child = os.fork()
if child == 0:
    say("torn", state["torn"]); os._exit(0)
os.waitpid(child, 0)
with part.gate: say("free")
"""
    )

    assert ["part start parent", "part forked child", "torn False", "free"] == said[:4]


def test_a_stuck_gate_delays_a_fork_by_a_second_at_most() -> None:
    """A thread that never lets go stops neither the fork nor the child, nor the other gates."""
    said = run(
        """
import proletto_otel.runtime.lifecycle as module
module.GATE_WAIT_S = 0.1
stuck, other = Part("stuck"), Part("other")
life = Lifecycle([stuck, other]); life.begin(); life.activate()
held, done = threading.Event(), threading.Event()
def hold():
    with stuck.gate:
        held.set(); done.wait()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    with stuck.gate, other.gate: say("both free")
    life.activate(); os._exit(0)
os.waitpid(child, 0)
with other.gate: say("free in the parent")
done.set()
"""
    )

    assert "both free" in said
    assert "stuck start child" in said
    assert "free in the parent" in said


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_at_their_end(method: str, tmp_path) -> None:
    """multiprocessing skips atexit; what its children recorded is delivered all the same."""
    (tmp_path / "job.py").write_text(
        """
import os
from proletto_otel.runtime.lifecycle import Component, Lifecycle
life = None
class Part(Component):
    name = "part"
    def start(self): os.write(1, b"start\\n")
    def stop(self, deadline): os.write(1, b"stop in child\\n" if os.getpid() != home else b"")
    def forked(self): pass
home = 0
def work(parent):
    global life, home
    home = parent
    if life is None:
        life = Lifecycle([Part()]); life.begin()
    life.activate()
"""
    )
    said = run(
        f"""
sys.path.insert(0, {str(tmp_path)!r})
os.environ["PYTHONPATH"] += ":" + {str(tmp_path)!r}
import multiprocessing, job
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    if {method!r} == "fork":
        job.life = Lifecycle([job.Part()]); job.life.begin(); job.home = os.getpid()
    child = context.Process(target=job.work, args=(os.getpid(),)); child.start(); child.join()
"""
    )

    assert ["start", "stop in child"] == [line for line in said if line]


def test_a_parent_of_multiprocessing_is_no_master() -> None:
    """A script that hands work to a pool still delivers its own telemetry while it runs."""
    said = run(
        """
import multiprocessing
life = Lifecycle([Part()], auto_seconds=0.3); life.begin()
child = multiprocessing.get_context("fork").Process(target=int); child.start(); child.join()
end = time.monotonic() + 10
while not life.active and time.monotonic() < end: time.sleep(0.01)
"""
    )

    assert "part start parent" in said


def test_a_subprocess_is_no_fork_of_ours() -> None:
    """Starting another program neither resets anything nor makes the process a master."""
    said = run(
        """
import subprocess
life = Lifecycle([Part()]); life.begin(); life.activate()
subprocess.run([sys.executable, "-c", "pass"], preexec_fn=lambda: None)
say(life._has_forked)
"""
    )

    assert ["part start parent", "False", "part stop parent"] == said


def test_sigterm_to_a_plain_script_delivers() -> None:
    """Where the program has no handler SIGTERM ends it as ever, after the last batch is out."""
    said = run_until(
        """
life = Lifecycle([Part()]); life.begin(); life.activate()
say("ready")
time.sleep(30)
""",
        "ready",
        terminate,
    )

    assert ["part start parent", "ready", "part stop parent", NAMES["signal"]] == said


def test_the_programs_own_sigterm_handler_stays() -> None:
    """A program that handles SIGTERM keeps its handler."""
    said = run_until(
        """
def mine(number, frame):
    say("mine"); sys.exit(3)
signal.signal(signal.SIGTERM, mine)
life = Lifecycle([Part()]); life.begin(); life.activate()
say("ready")
time.sleep(30)
""",
        "ready",
        terminate,
    )

    assert ["part start parent", "ready", "mine", "part stop parent", "3"] == said


@pytest.mark.parametrize("python", pythons())
def test_a_part_that_hangs_takes_no_time_from_the_others(python: str) -> None:
    """At exit all parts stop side by side within one budget, on every supported Python."""
    said = run(
        f"BUDGET = {slowness():.1f}  # seconds; one on a quiet machine\n"
        """
class Slow(Part):
    def stop(self, deadline):
        say(self.name, "begin"); time.sleep(BUDGET * 30)

class Late(Part):
    stops_last = True

began = []
class Watch(Part):
    def stop(self, deadline):
        say(self.name, "had time", deadline - time.monotonic() > BUDGET / 5)

import atexit
life = Lifecycle([Slow("slow"), Watch("watch"), Late("late")], shutdown_timeout_s=BUDGET)
atexit.register(lambda: say("quick", time.monotonic() - began[0] < BUDGET * 5))
life.begin(); life.activate()
began.append(time.monotonic())
""",
        python,
    )

    assert {"slow begin", "watch had time True", "late stop parent", "quick True"} <= set(said)
    assert said.index("watch had time True") < said.index("late stop parent")


@pytest.mark.parametrize("python", pythons())
def test_a_short_script_delivers_at_its_end(python: str) -> None:
    """A script that ends before anything was active still delivers, on every supported Python."""
    assert ["part stop parent"] == run("life = Lifecycle([Part()]); life.begin()", python)


@pytest.mark.parametrize("python", pythons())
def test_an_end_does_not_wait_for_a_start_that_hangs(python: str) -> None:
    """A late part that never comes up: the others stop all the same, on every supported Python."""
    said = run(
        """
begun = threading.Event()
class Stuck(Part):
    def start(self):
        begun.set(); threading.Event().wait()

life = Lifecycle([Part()]); life.begin(); life.activate()
threading.Thread(target=life.add, args=(Stuck("late"),), daemon=True).start()
begun.wait()
""",
        python,
    )

    assert "part stop parent" in said


def test_a_second_shutdown_is_harmless() -> None:
    """Program, signal and exit may all shut down: each part stops once, and nothing restarts."""
    said = run(
        """
life = Lifecycle([Part()]); life.begin(); life.activate()
life.shutdown(); life.shutdown(); life.ensure(); life.activate()
say(life.active)
"""
    )

    assert ["part start parent", "part stop parent", "False"] == said


def test_flush_says_whether_all_arrived() -> None:
    """flush is true only when every part delivered in time."""
    said = run(
        """
class Good(Part):
    def flush(self, deadline): return True
class Late(Part):
    def flush(self, deadline): time.sleep(5); return True
say(Lifecycle([Part(), Good()]).flush(1), Lifecycle([Good(), Late()]).flush(0.1))
os._exit(0)
"""
    )

    assert ["True False"] == said


def test_a_failing_part_stops_nobody_else() -> None:
    """A part that raises in start, fork or stop is counted; the others go on."""
    said = run(
        """
import proletto_otel.core.internal_errors as silence, logging
silence.strict = False; logging.disable()
class Bad(Part):
    def start(self): raise ValueError
    stop = start
    def forked(self): raise ValueError
life = Lifecycle([Bad("bad"), Part("good")]); life.begin(); life.activate()
child = os.fork()
if child == 0: sys.exit()
os.waitpid(child, 0)
""".replace("stop = start", "def stop(self, deadline): raise ValueError")
    )

    assert {"good start parent", "good forked child", "good stop child", "good stop parent"} == set(
        said
    )


def test_threads_that_come_after_the_end_do_not_wait() -> None:
    """A request that is still served while the process ends is answered."""
    lifecycle = Lifecycle()
    lifecycle.activate()
    lifecycle.shutdown(1.0)
    late = threading.Thread(target=lifecycle.ensure, daemon=True)
    late.start()
    late.join(PATIENCE_S)

    assert not late.is_alive()
    assert not lifecycle.active
