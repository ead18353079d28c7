"""Run cores as processes on a bus that lies: one virtual clock, one seed, every fault counted.

What the runtime of the live system does is done here too, in the same order: a deadline that is
due speaks first; what is kept is journalled before anything is said; internal events are acted on
before the rest is published; holes in a publisher's sequence are told. What the machine and the
network may do to it in between is decided by chance, from the seed.

Events of the bus may be lost, late, repeated and reordered. Internal events travel between two
processes on a wire of their own, as over a socket: in order and once, until the wire is cut.
"""

from collections.abc import Callable, Sequence
from functools import partial

from schemas.base import NS_PER_S, Event
from schemas.health import LinkChanged
from schemas.subjects import INTERNAL
from services.core import Core
from services.runtime.sim_bus import Bus
from services.runtime.sim_faults import FaultCounts, Faults
from services.runtime.sim_host import Host, Process
from services.runtime.sim_wires import Wires
from services.runtime.sim_world import Observer, World

QUIET = Faults()


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
        for number, process in enumerate(processes):
            most_ns = faults.clock_offset_ns_max if process.is_mortal else 0
            offset_ns = world.chance.between(f"clock:{process.name}", -most_ns, most_ns)
            world.counts.clocks_off += offset_ns != 0
            world.hosts[process.name] = Host(process, number, offset_ns)
        for host in world.hosts.values():
            host.start()
        for host in world.hosts.values():
            self._begin(host)

    @property
    def counts(self) -> FaultCounts:
        """How often each fault came about so far."""
        return self._world.counts

    @property
    def now_ns(self) -> int:
        """The true time."""
        return self._world.now_ns

    def core(self, process: str, number: int = -1) -> Core:
        """Return a core of a process as it is now; after a restart it is another one."""
        return self._world.hosts[process].body.cores[number]

    def journal(self, process: str) -> list[Event]:
        """Return what a process has in its journal, oldest first."""
        return [event for _, event in self._world.hosts[process].kept]

    def observe(self, observer: Observer) -> None:
        """Show everything from now on to one more observer."""
        self._world.observers = (*self._world.observers, observer)

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
        self._world.faults = QUIET
        for host in self._world.hosts.values():
            self._resume(host, host.life)
            self._join(host, host.life)
            self._start(host)
        self._wires.heal()

    def kill(self, process: str) -> None:
        """Kill a process now; it comes back after a while, with its journal."""
        self._kill(self._world.hosts[process])

    def cut(self, process: str) -> None:
        """Cut a process off the bus now, for a while."""
        self._cut(self._world.hosts[process])

    def pause(self, process: str) -> None:
        """Let a process stand still now, for a while."""
        self._pause(self._world.hosts[process])

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
        now_ns = self._world.local_ns(host)
        said: list[Event] = [] if events else host.told(None, now_ns)
        for event in events:
            if host.hears(type(event)):
                self._world.observe(host, event, is_said=False)
                said += host.told(event, now_ns)
        internal = [event for event in said if _is_internal(host, event)]
        ordered = internal + [event for event in said if not _is_internal(host, event)]
        last = self._last_word(host, len(ordered))
        if last < 0:
            self.counts.crashes_before_journal += 1
            self._die(host)
            return
        host.keep()
        self._let_out(host, ordered, last)

    def _last_word(self, host: Host, count: int) -> int:
        """Return how many events get out: all, fewer if it dies, -1 if before its journal."""
        is_mortal = host.process.is_mortal and count > 0
        if not is_mortal or not self._world.chance.happens(
            "crash", self._world.faults.crash_probability
        ):
            return count
        return self._world.chance.between("crash", -1, count - 1)

    def _let_out(self, host: Host, said: Sequence[Event], last: int) -> None:
        """Act on and publish what was said, or as much of it as the process lives for."""
        posted: list[Event] = []
        for event in said[:last]:
            if _is_internal(host, event):
                posted += self._act(host, event)
            else:
                self._bus.publish(host, event)
        if last < len(said):
            self.counts.crashes_after_journal += last == 0
            self.counts.crashes_half_said += last > 0
            self._die(host)
        elif posted:
            self._step(host, posted)
        else:
            self._set_alarm(host)

    def _act(self, host: Host, event: Event) -> Sequence[Event]:
        """Do what the adapter would do with an internal event; return what it posts back."""
        asked = host.process.queries.get(type(event))
        if asked is not None:
            self._bus.ask(host, self._world.hosts[asked])
            return ()
        act, now_ns = host.body.act, self._world.local_ns(host)
        sent, posted = ((event,), ()) if act is None else act(event, now_ns)
        for each in sent:
            self._world.observe(host, each, is_said=True)
            self._wires.carry(host, each)
        return posted

    def _set_alarm(self, host: Host) -> None:
        wake_ns = host.wake_at_ns
        if wake_ns is None or host.paused_until_ns:
            return
        true_ns = max(self.now_ns, wake_ns - host.offset_ns)
        if host.alarm_ns is None or true_ns < host.alarm_ns:
            host.alarm_ns = true_ns
            self._world.book(true_ns, partial(self._wake, host, host.life, true_ns))

    def _wake(self, host: Host, life: int, booked_ns: int) -> None:
        if host.life != life or host.alarm_ns != booked_ns:
            return
        host.alarm_ns = None
        wake_ns = host.wake_at_ns
        is_due = wake_ns is not None and wake_ns <= self._world.local_ns(host)
        if is_due and not host.paused_until_ns:
            self._step(host, ())
        else:
            self._set_alarm(host)

    # lives

    def _start(self, host: Host) -> None:
        if not host.is_up:
            host.start()
            self._begin(host)

    def _begin(self, host: Host) -> None:
        self._wires.refresh(host)
        self._set_alarm(host)
        if host.process.has_health:
            self._beat(host, host.life)
        for purpose, per_s, trouble in self._troubles() if host.process.is_mortal else ():
            if per_s > 0:
                self._expect(host, purpose, per_s, trouble)

    def _beat(self, host: Host, life: int) -> None:
        """Publish the health of a process that can; each second, as the live runtime does."""
        if host.life != life:
            return
        if not host.paused_until_ns:
            self._bus.publish(host, host.health(self._world.local_ns(host)))
        self._world.book(self.now_ns + NS_PER_S, partial(self._beat, host, life))

    def _troubles(self) -> tuple[tuple[str, float, Callable[[Host], None]], ...]:
        faults = self._world.faults
        return (
            ("cut", faults.cuts_per_s, self._cut),
            ("wire cut", faults.wire_cuts_per_s, self._wires.cut),
            ("pause", faults.pauses_per_s, self._pause),
            ("kill", faults.kills_per_s, self._kill),
        )

    def _expect(
        self, host: Host, purpose: str, per_s: float, trouble: Callable[[Host], None]
    ) -> None:
        wait_ns = self._world.chance.wait_ns(f"{purpose}:{host.name}", per_s)
        happen = partial(self._befall, host, host.life, purpose, per_s, trouble)
        self._world.book(self.now_ns + wait_ns, happen)

    def _befall(
        self,
        host: Host,
        life: int,
        purpose: str,
        per_s: float,
        trouble: Callable[[Host], None],
    ) -> None:
        """Let one trouble come over a process, unless it is another by now or all was healed."""
        if host.life == life and self._world.faults is not QUIET:
            trouble(host)
            if host.life == life:
                self._expect(host, purpose, per_s, trouble)

    def _kill(self, host: Host) -> None:
        if host.is_up:
            self.counts.kills += 1
            self._die(host)

    def _die(self, host: Host) -> None:
        """End a process; it is back after a while, with its journal or what is left of it."""
        world = self._world
        kept_count = len(host.kept)
        can_lose = host.process.can_lose_tail
        if can_lose and world.chance.happens("tail", world.faults.tail_loss_probability):
            world.counts.tails_lost += host.durable_count < kept_count
            kept_count = world.chance.between("tail", host.durable_count, kept_count)
        host.die(kept_count)
        host.is_cut = False
        self._wires.refresh(host)
        down_ns = world.chance.between("down", 1, world.faults.down_ns_max)
        world.book(world.now_ns + down_ns, partial(self._start, host))

    def _pause(self, host: Host) -> None:
        if not host.is_up or host.paused_until_ns:
            return
        self.counts.pauses += 1
        longest_ns = self._world.faults.pause_ns_max
        host.paused_until_ns = self.now_ns + self._world.chance.between("pause", 1, longest_ns)
        self._world.book(host.paused_until_ns, partial(self._resume, host, host.life))

    def _resume(self, host: Host, life: int) -> None:
        if host.life != life or not host.paused_until_ns:
            return
        host.paused_until_ns = 0
        waiting, host.waiting = host.waiting, []
        for happen in waiting:
            if host.life == life:
                happen()
        if host.life == life:
            self._set_alarm(host)

    def _cut(self, host: Host) -> None:
        if not host.is_up or host.is_cut:
            return
        world = self._world
        world.counts.cuts += 1
        host.is_cut = True
        notice_ns = world.chance.between("notice", 0, world.faults.notice_ns_max)
        self._tell_link(host, world.now_ns + notice_ns, is_up=False)
        back_ns = world.now_ns + world.chance.between("cut", 1, world.faults.cut_ns_max)
        world.book(back_ns, partial(self._join, host, host.life))

    def _join(self, host: Host, life: int) -> None:
        if host.life == life and host.is_cut:
            host.is_cut = False
            self._tell_link(host, self.now_ns, is_up=True)

    def _tell_link(self, host: Host, at_ns: int, *, is_up: bool) -> None:
        """Tell a process of its connection to the bus: the loss always before the return."""
        in_order_ns = self._world.in_order(("", host.name, "link"), at_ns)
        self._world.book(in_order_ns, partial(self._notice_link, host, host.life, is_up))

    def _notice_link(self, host: Host, life: int, is_up: bool) -> None:
        if host.life == life and host.hears(LinkChanged):
            now_ns = self._world.local_ns(host)
            self._deliver(host, [LinkChanged(at_ns=now_ns, is_up=is_up)])


def _is_internal(host: Host, event: Event) -> bool:
    return type(event) in INTERNAL or type(event) in host.process.queries
