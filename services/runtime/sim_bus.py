"""The simulated bus: every listener gets its own copy, and chance decides what becomes of it."""

from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import force_setattr

from schemas.base import Event
from schemas.subjects import subject_of
from services.runtime.sim_host import Host
from services.runtime.sim_world import World
from services.tellers import teller_of

Deliver = Callable[[Host, Sequence[Event]], None]
"""Tell a process some events, as one step; or keep them for it while it stands still."""

BUS, URGENT = "bus", "urgent"


class Bus:
    """Carries events by subject. In order from one process to another, unless reordered."""

    def __init__(self, world: World, deliver: Deliver) -> None:
        self._world = world
        self._deliver = deliver
        self._loss, self._repeat, self._reorder = (
            world.chance.stream(purpose) for purpose in ("loss", "repeat", "reorder")
        )

    def publish(self, host: Host, event: Event) -> None:
        """Stamp an event as the live runtime does, and send it to everybody else who hears it."""
        world = self._world
        world.observe(host, event, host.local_ns(world.now_ns), is_said=True)
        subject = subject_of(event)
        seq = host.said_counts.get(subject, 0) + 1
        host.said_counts[subject] = seq
        force_setattr(event, "src", teller_of(host.process.name, host.boot_id))
        force_setattr(event, "seq", seq)
        kind = type(event)
        for peer in world.hearers(kind):
            if peer is not host:
                is_for_it = peer.process.is_for_it
                if is_for_it is None or is_for_it(event):
                    self._send(host, peer, event, subject)

    def ask(self, host: Host, asked: Host) -> None:
        """Ask a process for its report; the answer comes to the asker alone."""
        if self._is_open(host, asked):
            answer = partial(self._answer, asked, asked.life, host)
            self._world.book(self._world.arrival_ns(), answer)

    def _send(self, host: Host, peer: Host, event: Event, subject: str) -> None:
        world = self._world
        is_open = host.is_up and peer.is_up and not host.is_mute and not peer.is_deaf
        if not is_open and not self._is_open(host, peer):
            return
        faults = world.faults
        if faults.loss_probability and self._loss() < faults.loss_probability:
            world.counts.lost += 1
            return
        count = 1
        if faults.repeat_probability and self._repeat() < faults.repeat_probability:
            world.counts.repeated += 1
            count = 2
        channel = URGENT if type(event) in peer.process.urgent else BUS
        for _ in range(count):
            at_ns = world.arrival_ns()
            if faults.reorder_probability and self._reorder() < faults.reorder_probability:
                world.counts.reordered += 1
                at_ns += world.chance.between("reordered", 0, faults.late_ns_max)
            else:
                at_ns = world.in_order((host.key, peer.key, channel), at_ns)
            world.book(at_ns, partial(self._arrive, peer, peer.life, event, subject))

    def _arrive(self, peer: Host, life: int, event: Event, subject: str) -> None:
        if peer.life != life:
            self._world.counts.lost_by_death += 1
        elif peer.is_deaf:
            self._world.counts.lost_by_cut += 1
        else:
            now_ns = peer.local_ns(self._world.now_ns)
            told = peer.sequences.with_gaps((event,), subject=subject, now_ns=now_ns)
            self._deliver(peer, told)

    def _answer(self, asked: Host, life: int, asker: Host) -> None:
        world = self._world
        if asked.life != life or not self._is_open(asked, asker):
            return
        if asked.paused_until_ns:
            asked.waiting.append(partial(self._answer, asked, life, asker))
            return
        now_ns = asked.local_ns(world.now_ns)
        report = asked.body.cores[-1].describe(now_ns)
        force_setattr(report, "src", teller_of(asked.process.name, asked.boot_id))
        world.observe(asked, report, now_ns, is_said=True)
        at_ns = world.in_order((asked.key, asker.key, BUS), world.arrival_ns())
        world.book(at_ns, partial(self._arrive_report, asker, asker.life, report))

    def _arrive_report(self, asker: Host, life: int, report: Event) -> None:
        if asker.life == life and not asker.is_deaf:
            self._deliver(asker, [report])

    def _is_open(self, host: Host, peer: Host) -> bool:
        if host.is_mute or peer.is_deaf:
            self._world.counts.lost_by_cut += 1
            return False
        if not (host.is_up and peer.is_up):
            self._world.counts.lost_by_death += 1
            return False
        return True
