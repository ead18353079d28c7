"""Run cores as processes on a bus that lies: one virtual clock, one seed, every fault counted.

What the runtime of the live system does is done here too, in the same order: a deadline that is
due speaks first; what is kept is journalled before anything is said; internal events are acted on
before the rest is published; holes in a publisher's sequence are told. What the machine and the
network may do to it in between is decided by chance, from the seed.

Events of the bus may be lost, late, repeated and reordered. Internal events travel between two
processes on a wire of their own, as over a socket: in order and once, until the wire is cut; only
a process that is unruly may itself say things late or twice.
"""

from collections.abc import Sequence
from functools import partial

from schemas.base import Event
from services.core import Core
from services.runtime.sim_bus import Bus
from services.runtime.sim_faults import FaultCounts, Faults
from services.runtime.sim_host import Host, Process
from services.runtime.sim_lives import Lives
from services.runtime.sim_wires import Wires
from services.runtime.sim_world import Observer, World


class Simulation:
    """Processes, one clock, one seed: the same seed gives the same run.

    Args:
        processes: everybody, in the order in which simultaneous things happen.
        faults: what may go wrong.
        seed: decides what does.
        observers: told of every event that passes into or out of a process.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        faults: Faults,
        seed: int,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._world = world = World(faults, seed, observers)
        self._bus = Bus(world, self._deliver)
        self._wires = Wires(world, self._deliver)
        self._lives = Lives(world, self._wires, self._deliver, self._bus.publish, self._set_alarm)
        for number, process in enumerate(processes):
            world.hosts[process.name] = Host(process, number)
        self._lives.begin_all()

    @property
    def counts(self) -> FaultCounts:
        """How often each fault came about so far."""
        return self._world.counts

    @property
    def now_ns(self) -> int:
        """The true time."""
        return self._world.now_ns

    @property
    def is_disk_full(self) -> bool:
        """Whether nothing can be written just now."""
        return self._world.is_disk_full

    def can_store(self, process: str) -> bool:
        """Return whether what is published now would be written down by a process at once."""
        host = self._world.hosts[process]
        is_there = host.is_up and not host.is_deaf and not host.paused_until_ns
        return is_there and not self._world.is_disk_full

    def core(self, process: str, number: int = -1) -> Core:
        """Return a core of a process as it is now; after a restart it is another one."""
        return self._world.hosts[process].body.cores[number]

    def journal(self, process: str) -> list[Event]:
        """Return what a process has in its journal, oldest first."""
        return [event for _, event in self._world.hosts[process].kept]

    def journal_from(self, process: str, begin: int) -> list[Event]:
        """Return what a process has in its journal from entry `begin` on, oldest first."""
        return [event for _, event in self._world.hosts[process].kept[begin:]]

    def observe(self, observer: Observer) -> None:
        """Show everything from now on to one more observer, before the others."""
        self._world.add_observer(observer)

    def tell(self, process: str, event: Event) -> None:
        """Tell a process an event now, as its own shell would."""
        self._deliver(self._world.hosts[process], [event])

    def publish(self, process: str, event: Event) -> None:
        """Publish an event now, on behalf of a process."""
        self._bus.publish(self._world.hosts[process], event)

    def run(self, duration_ns: int) -> None:
        """Let so much time pass."""
        self._world.run(self._world.now_ns + duration_ns)

    def heal(self) -> None:
        """End every fault that is under way; none happens from now on."""
        self._lives.heal()

    def kill(self, process: str) -> None:
        """Kill a process now; it comes back after a while, with its journal."""
        self._lives.kill(self._world.hosts[process])

    def end(self, process: str) -> None:
        """End a process now, for good."""
        self._lives.end(self._world.hosts[process])

    def cut(self, process: str) -> None:
        """Cut a process off the bus now, for a while."""
        self._lives.cut(self._world.hosts[process])

    def pause(self, process: str) -> None:
        """Let a process stand still now, for a while."""
        self._lives.pause(self._world.hosts[process])

    def double(self, process: str) -> None:
        """Let a process be replaced now, and go on beside its successor for a while."""
        self._lives.double(self._world.hosts[process])

    # steps

    def _deliver(self, host: Host, events: Sequence[Event]) -> None:
        if not host.is_up:
            self.counts.lost_by_death += 1
        elif host.paused_until_ns:
            self.counts.kept_waiting += 1
            host.waiting.append(partial(self._deliver, host, events))
        else:
            self._step(host, events)

    def _step(self, host: Host, events: Sequence[Event]) -> None:
        """Tell a process some events, or (none) that time has passed; let out what it says."""
        world = self._world
        now_ns = host.local_ns(world.now_ns)
        said: list[Event] = [] if events else host.told(None, now_ns)
        for event in events:
            if type(event) in host.heard:
                world.observe(host, event, now_ns, is_said=False)
                answers = host.told(event, now_ns)
                said = said + answers if said else answers
        if not said:
            if not host.has_changed or self._is_kept(host):
                self._set_alarm(host)
            return
        internal = host.internal
        ordered = [event for event in said if type(event) in internal]
        if ordered:
            ordered += [event for event in said if type(event) not in internal]
        else:
            ordered = said
        last = self._last_word(host, ordered)
        if last < 0:
            self.counts.crashes_before_journal += 1
            self._lives.die(host)
        elif not host.has_changed or self._is_kept(host):
            self._let_out(host, ordered, last)

    def _is_kept(self, host: Host) -> bool:
        """Write the journal; a process that cannot ends, as live, before anything is said."""
        if self._world.is_disk_full:
            self.counts.writes_failed += 1
            self._lives.die(host)
            return False
        host.keep()
        return True

    def _last_word(self, host: Host, said: Sequence[Event]) -> int:
        """Return after how many events it dies, -1 before its journal; more than all if it lives.

        To die after all of them is to die before what came of them was taken in.
        """
        if not host.process.is_mortal:
            return len(said) + 1
        faults, writes = self._world.faults, host.process.writes
        probability = faults.crash_probability
        if writes and faults.write_crash_probability and any(type(e) in writes for e in said):
            probability = max(probability, faults.write_crash_probability)
        if not self._world.chance.happens("crash", probability):
            return len(said) + 1
        return self._world.chance.between("crash at", -1, len(said))

    def _let_out(self, host: Host, said: Sequence[Event], last: int) -> None:
        """Act on and publish what was said, or as much of it as the process lives for."""
        posted: list[Event] = []
        publish, internal = self._bus.publish, host.internal
        for event in said[:last]:
            if type(event) in internal:
                posted += self._act(host, event)
            else:
                publish(host, event)
        if last <= len(said):
            self._count_crash(host, said, last)
            self._lives.die(host)
        elif posted:
            self._step(host, posted)
        else:
            self._set_alarm(host)

    def _count_crash(self, host: Host, said: Sequence[Event], last: int) -> None:
        counts, writes = self.counts, host.process.writes
        counts.crashes_after_journal += last == 0
        counts.crashes_half_said += 0 < last < len(said)
        counts.crashes_after_saying += last == len(said)
        counts.crashes_before_write += any(type(event) in writes for event in said[last:])
        counts.crashes_after_write += any(type(event) in writes for event in said[:last])

    def _act(self, host: Host, event: Event) -> Sequence[Event]:
        """Do what the adapter would do with an internal event; return what it posts back."""
        asked = host.process.queries.get(type(event))
        if asked is not None:
            self._bus.ask(host, self._world.hosts[asked])
            return ()
        act, now_ns = host.body.act, host.local_ns(self._world.now_ns)
        sent, posted = ((event,), ()) if act is None else act(event, now_ns)
        for each in sent:
            self._world.observe(host, each, now_ns, is_said=True)
            self._wires.carry(host, each)
        return posted

    def _set_alarm(self, host: Host) -> None:
        wake_ns = host.wake_at_ns
        if wake_ns is None or host.paused_until_ns:
            return
        true_ns = max(self._world.now_ns, host.true_ns(wake_ns))
        if host.alarm_ns is None or true_ns < host.alarm_ns:
            host.alarm_ns = true_ns
            self._world.book(true_ns, partial(self._wake, host, host.life, true_ns))

    def _wake(self, host: Host, life: int, booked_ns: int) -> None:
        if host.life != life or host.alarm_ns != booked_ns:
            return
        host.alarm_ns = None
        wake_ns = host.wake_at_ns
        is_due = wake_ns is not None and wake_ns <= host.local_ns(self._world.now_ns)
        if is_due and not host.paused_until_ns:
            self._step(host, ())
        else:
            self._set_alarm(host)
