"""The simulated bus: every listener gets its own copy, and chance decides what becomes of it."""

from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import force_setattr

from schemas.base import Event
from schemas.subjects import subject_of
from services.runtime.sim_host import Host
from services.runtime.sim_world import World

Deliver = Callable[[Host, Sequence[Event]], None]
"""Tell a process some events, as one step; or keep them for it while it stands still."""

BUS, URGENT = "bus", "urgent"


class Bus:
    """Carries events by subject. In order from one process to another, unless reordered."""

    def __init__(self, world: World, deliver: Deliver) -> None:
        self._world = world
        self._deliver = deliver

    def publish(self, host: Host, event: Event) -> None:
        """Stamp an event as the live runtime does, and send it to everybody else who hears it."""
        world = self._world
        world.observe(host, event, is_said=True)
        subject = subject_of(event)
        seq = host.said_counts.get(subject, 0) + 1
        host.said_counts[subject] = seq
        force_setattr(event, "src", str(host.boot_id))
        force_setattr(event, "seq", seq)
        for peer in world.hearers(type(event)):
            if peer is not host:
                self._send(host, peer, event)

    def ask(self, host: Host, asked: Host) -> None:
        """Ask a process for its report; the answer comes to the asker alone."""
        if self._is_open(host, asked):
            answer = partial(self._answer, asked, asked.life, host)
            self._world.book(self._world.arrival_ns(), answer)

    def _send(self, host: Host, peer: Host, event: Event) -> None:
        world, faults = self._world, self._world.faults
        if not self._is_open(host, peer):
            return
        if world.chance.happens("loss", faults.loss_probability):
            world.counts.lost += 1
            return
        is_repeated = world.chance.happens("repeat", faults.repeat_probability)
        world.counts.repeated += is_repeated
        channel = URGENT if type(event) in peer.process.urgent else BUS
        for _ in range(1 + is_repeated):
            at_ns = world.arrival_ns()
            if world.chance.happens("reorder", faults.reorder_probability):
                world.counts.reordered += 1
                at_ns += world.chance.between("reorder", 0, faults.late_ns_max)
            else:
                at_ns = world.in_order((host.name, peer.name, channel), at_ns)
            world.book(at_ns, partial(self._arrive, peer, peer.life, event))

    def _arrive(self, peer: Host, life: int, event: Event) -> None:
        if peer.life != life:
            self._world.counts.lost_by_death += 1
        elif peer.is_cut:
            self._world.counts.lost_by_cut += 1
        else:
            now_ns = self._world.local_ns(peer)
            subject = subject_of(event)
            told = peer.sequences.with_gaps([event], subject=subject, now_ns=now_ns)
            self._deliver(peer, told)

    def _answer(self, asked: Host, life: int, asker: Host) -> None:
        world = self._world
        if asked.life != life or not self._is_open(asked, asker):
            return
        if asked.paused_until_ns:
            asked.waiting.append(partial(self._answer, asked, life, asker))
            return
        report = asked.body.cores[-1].describe(world.local_ns(asked))
        world.observe(asked, report, is_said=True)
        at_ns = world.in_order((asked.name, asker.name, BUS), world.arrival_ns())
        world.book(at_ns, partial(self._arrive_report, asker, asker.life, report))

    def _arrive_report(self, asker: Host, life: int, report: Event) -> None:
        if asker.life == life and not asker.is_cut:
            self._deliver(asker, [report])

    def _is_open(self, host: Host, peer: Host) -> bool:
        if host.is_cut or peer.is_cut:
            self._world.counts.lost_by_cut += 1
            return False
        if not (host.is_up and peer.is_up):
            self._world.counts.lost_by_death += 1
            return False
        return True
