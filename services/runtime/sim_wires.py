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
        turn: differs from one connection to the next; what was under way on another is lost.
    """

    def __init__(self, ends: tuple[Host, Host]) -> None:
        self.ends = ends
        self.is_up = False
        self.is_cut = False
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

    def carry(self, host: Host, event: Event) -> None:
        """Send an internal event to each process that hears it; lost if its wire is down."""
        for peer in self._world.hearers(type(event)):
            if peer is host:
                continue
            wire = self._between(host, peer)
            if not wire.is_up:
                self._world.counts.lost_by_wire += 1
                continue
            link = (host.name, peer.name, "wire")
            at_ns = self._world.in_order(link, self._world.arrival_ns())
            self._world.book(at_ns, partial(self._arrive, wire, wire.turn, peer, event))

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
            if wire.is_cut:
                continue
            self._world.counts.wire_cuts += 1
            wire.is_cut = True
            self._settle(wire)
            longest_ns = self._world.faults.cut_ns_max
            back_ns = self._world.now_ns + self._world.chance.between("wire", 1, longest_ns)
            self._world.book(back_ns, partial(self._mend, wire))

    def heal(self) -> None:
        """Mend every wire."""
        for wire in self._wires.values():
            self._mend(wire)

    def _between(self, one: Host, other: Host) -> Wire:
        ends = (one, other) if one.number < other.number else (other, one)
        key = (ends[0].name, ends[1].name)
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = Wire(ends)
            self._settle(wire)
        return wire

    def _mend(self, wire: Wire) -> None:
        wire.is_cut = False
        self._settle(wire)

    def _settle(self, wire: Wire) -> None:
        """Let the wire be what it can be; each end that watches it notices, sooner or later."""
        if wire.is_up == wire.can_be_up:
            return
        wire.is_up = wire.can_be_up
        wire.turn += 1
        for end, peer in (wire.ends, wire.ends[::-1]):
            notice = end.process.notices.get(peer.name)
            if notice is not None and end.is_up:
                patience_ns = 0 if wire.is_up else self._world.faults.notice_ns_max
                after_ns = self._world.chance.between("notice", 0, patience_ns)
                link = (peer.name, end.name, "wire")
                at_ns = self._world.in_order(link, self._world.now_ns + after_ns)
                told = partial(self._notice, end, end.life, notice, wire.is_up)
                self._world.book(at_ns, told)

    def _notice(
        self, end: Host, life: int, notice: Callable[[bool, int], Event], is_up: bool
    ) -> None:
        if end.life == life:
            self._deliver(end, [notice(is_up, self._world.local_ns(end))])

    def _arrive(self, wire: Wire, turn: int, peer: Host, event: Event) -> None:
        if wire.turn != turn:
            self._world.counts.lost_by_wire += 1
        else:
            self._deliver(peer, [event])
