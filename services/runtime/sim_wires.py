"""Simulated connections between two processes: in order, once, and lost as a whole."""

from collections.abc import Callable, Sequence
from functools import partial

from schemas.base import Event
from services.runtime.sim_host import Host
from services.runtime.sim_world import World

Deliver = Callable[[Host, Sequence[Event]], None]


class Wire:
    """One connection.

    Attributes:
        ends: the two processes.
        is_up: whether it carries anything now.
        is_cut: whether a fault keeps it down.
        silent: the end whose words no longer get through, although nobody has noticed yet.
        turn: differs from one connection to the next; what was under way on another is lost.
        died: the turn that the death of one end has ended, and that end: what it had written until
            then is in the other's hands all the same.
    """

    def __init__(self, ends: tuple[Host, Host]) -> None:
        self.ends = ends
        self.is_up = False
        self.is_cut = False
        self.silent: Host | None = None
        self.died: tuple[int, Host] | None = None
        self.turn = 0

    @property
    def can_be_up(self) -> bool:
        """Whether both ends live and no fault stands between them."""
        return not self.is_cut and all(end.is_up for end in self.ends)


class Wires:
    """All wires; there is one wherever a process says internal events that another one hears."""

    def __init__(self, world: World, deliver: Deliver) -> None:
        self._world = world
        self._deliver = deliver
        self._wires: dict[tuple[str, str], Wire] = {}
        self._asker: Host | None = None

    def carry(self, host: Host, event: Event) -> None:
        """Send an internal event to each process that hears it; lost if its wire is down."""
        is_answer = type(event) in host.process.answers
        for peer in self._world.hearers(type(event)):
            if peer is host or (is_answer and self._asker not in (None, peer)):
                continue
            wire = self._between(host, peer)
            if not wire.is_up or wire.silent is host:
                self._world.counts.lost_by_wire += 1
            else:
                self._send(wire, host, peer, event)

    def refresh(self, host: Host) -> None:
        """Bring a process's wires up, or down, after it started or died."""
        for peer in host.process.notices:
            self._between(host, self._world.hosts[peer])
        for wire in self._wires.values():
            if host in wire.ends:
                self._settle(wire)

    def cut(self, host: Host) -> None:
        """Cut what a process has to those it watches, for a while."""
        for peer in host.process.notices:
            wire = self._between(host, self._world.hosts[peer])
            if not wire.is_cut:
                self._world.counts.wire_cuts += 1
                self._cut(wire)

    def cut_watched(self, host: Host, until_ns: int) -> None:
        """Cut what a process has to those it watches, until a given time."""
        for peer in host.process.notices:
            wire = self._between(host, self._world.hosts[peer])
            if not wire.is_cut:
                wire.is_cut = True
                self._settle(wire)
                self._world.book(until_ns, partial(self._mend, wire))

    def half_open(self, host: Host) -> None:
        """Let the words of one end be lost on what a process has to those it watches."""
        for peer in host.process.notices:
            wire = self._between(host, self._world.hosts[peer])
            if wire.is_up and wire.silent is None:
                self._world.counts.half_open_wires += 1
                which = self._world.chance.between("half open", 0, 1)
                wire.silent = wire.ends[which]
                longest_ns = self._world.faults.cut_ns_max
                until_ns = self._world.now_ns + self._world.chance.between("wire", 1, longest_ns)
                self._world.book(until_ns, partial(self._break, wire, wire.turn))

    def heal(self) -> None:
        """Mend every wire; one that is half open breaks first, or nobody would know."""
        for wire in self._wires.values():
            if wire.silent is not None:
                wire.is_cut = True
                self._settle(wire)
            self._mend(wire)

    def _send(self, wire: Wire, host: Host, peer: Host, event: Event) -> None:
        world, faults = self._world, self._world.faults
        arrive = partial(self._arrive, wire, wire.turn, peer, event)
        link = (host.key, peer.key, "wire")
        is_unruly = type(event) in host.process.unruly
        if is_unruly and world.chance.happens("report twice", faults.report_repeat_probability):
            world.counts.repeated_reports += 1
            world.book(world.in_order(link, world.arrival_ns()), arrive)
        if is_unruly and world.chance.happens("report late", faults.report_late_probability):
            world.counts.late_reports += 1
            held_ns = world.chance.between("report", 1, faults.report_late_ns_max)
            world.book(world.arrival_ns() + held_ns, arrive)
        else:
            world.book(world.in_order(link, world.arrival_ns()), arrive)

    def _between(self, one: Host, other: Host) -> Wire:
        ends = (one, other) if one.number < other.number else (other, one)
        key = (ends[0].key, ends[1].key)
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = Wire(ends)
            self._settle(wire)
        return wire

    def _break(self, wire: Wire, turn: int) -> None:
        """End a half-open connection: both ends see that it is gone."""
        if wire.turn == turn and wire.silent is not None:
            self._cut(wire)

    def _cut(self, wire: Wire) -> None:
        wire.is_cut = True
        self._settle(wire)
        longest_ns = self._world.faults.cut_ns_max
        back_ns = self._world.now_ns + self._world.chance.between("wire", 1, longest_ns)
        self._world.book(back_ns, partial(self._mend, wire))

    def _mend(self, wire: Wire) -> None:
        wire.is_cut = False
        self._settle(wire)

    def _settle(self, wire: Wire) -> None:
        """Let the wire be what it can be; each end that watches it notices, sooner or later."""
        if wire.is_up == wire.can_be_up:
            return
        wire.is_up = wire.can_be_up
        dead = [end for end in wire.ends if not end.is_up]
        if len(dead) == 1 and not wire.is_cut and wire.silent is None:
            wire.died = (wire.turn, dead[0])
        wire.silent = None
        wire.turn += 1
        for end, peer in (wire.ends, wire.ends[::-1]):
            notice = end.process.notices.get(peer.name)
            if notice is not None and end.is_up:
                patience_ns = 0 if wire.is_up else self._world.faults.notice_ns_max
                after_ns = self._world.chance.between("notice", 0, patience_ns)
                link = (peer.key, end.key, "wire")
                at_ns = self._world.in_order(link, self._world.now_ns + after_ns)
                told = partial(self._notice, end, end.life, notice, wire.is_up)
                self._world.book(at_ns, told)

    def _notice(
        self, end: Host, life: int, notice: Callable[[bool, int], Event], is_up: bool
    ) -> None:
        if end.life == life:
            self._deliver(end, [notice(is_up, end.local_ns(self._world.now_ns))])

    def _arrive(self, wire: Wire, turn: int, peer: Host, event: Event) -> None:
        is_last_word = wire.died is not None and wire.died[0] == turn and wire.died[1] is not peer
        if wire.turn == turn or is_last_word:
            self._take(wire, peer, event)
        else:
            self._world.counts.lost_by_wire += 1

    def _take(self, wire: Wire, peer: Host, event: Event) -> None:
        """Let one end have what came; it answers to the other end, whenever it gets to it."""
        if peer.paused_until_ns:
            self._world.counts.kept_waiting += 1
            peer.waiting.append(partial(self._take, wire, peer, event))
            return
        self._asker = wire.ends[0] if wire.ends[1] is peer else wire.ends[1]
        self._deliver(peer, [event])
        self._asker = None
