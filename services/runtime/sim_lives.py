"""What comes over the simulated processes: deaths, pauses, cuts, clocks that jump, a full disk."""

from collections.abc import Callable, Sequence
from functools import partial

from schemas.base import NS_PER_S, Event
from schemas.health import LinkChanged
from services.runtime.sim_faults import Faults
from services.runtime.sim_host import Host
from services.runtime.sim_wires import Wires
from services.runtime.sim_world import World

QUIET = Faults()
SEEDS = 1 << 30
"""How many seeds there are for what a process is asked to spoil."""

Trouble = tuple[str, float, Callable[[Host], None]]


class Lives:
    """Lets processes begin, suffer and end.

    Args:
        world: what is shared.
        wires: the connections between two processes.
        deliver: tells a process some events, as one step.
        say: publishes an event for a process.
        set_alarm: books the next waking of a process.
    """

    def __init__(
        self,
        world: World,
        wires: Wires,
        deliver: Callable[[Host, Sequence[Event]], None],
        say: Callable[[Host, Event], None],
        set_alarm: Callable[[Host], None],
    ) -> None:
        self._world, self._wires = world, wires
        self._deliver, self._say, self._set_alarm = deliver, say, set_alarm

    def begin_all(self) -> None:
        """Start every process, and let the troubles of the whole system be expected."""
        for host in self._world.hosts.values():
            self._set_clock(host)
            host.start()
        for host in self._world.hosts.values():
            self._begin(host)
        faults = self._world.faults
        for purpose, per_s, trouble in (
            ("disk", faults.disk_fulls_per_s, self._fill_disk),
            ("outage", faults.outages_per_s, self._outage),
        ):
            if per_s > 0:
                self._expect_all(purpose, per_s, trouble)

    def heal(self) -> None:
        """End every trouble that is under way; none begins from now on."""
        world = self._world
        world.faults = QUIET
        world.is_disk_full = False
        for ghost in list(world.ghosts):
            self._lay(ghost, ghost.life)
        for host in world.hosts.values():
            self.resume(host, host.life)
            self.join(host, host.life)
            self._start(host)
        self._wires.heal()

    # beginning and ending

    def _set_clock(self, host: Host) -> None:
        faults, chance, counts = self._world.faults, self._world.chance, self._world.counts
        if not host.process.is_mortal:
            return
        most_ns, most_ppm = faults.clock_offset_ns_max, faults.clock_drift_ppm_max
        offset_ns = chance.between(f"clock:{host.name}", -most_ns, most_ns)
        drift_ppm = chance.between(f"drift:{host.name}", -most_ppm, most_ppm)
        counts.clocks_off += offset_ns != 0
        counts.clocks_drifting += drift_ppm != 0
        host.set_clock(offset_ns, drift_ppm, self._world.now_ns)

    def _start(self, host: Host) -> None:
        if host.is_up or host.is_ghost:
            return
        world, damage = self._world, host.process.damage
        if damage is not None and world.chance.happens("damage", world.faults.damage_probability):
            world.counts.bytes_changed += 1
            damage([event for _, event in host.kept], world.chance.between("byte", 0, SEEDS))
        host.start(world.now_ns)
        world.changed()
        self._begin(host)

    def _begin(self, host: Host) -> None:
        self._wires.refresh(host)
        self._set_alarm(host)
        if host.process.has_health:
            self._beat(host, host.life)
        for purpose, per_s, trouble in self._troubles(host):
            if per_s > 0:
                self._expect(host, purpose, per_s, trouble)

    def _beat(self, host: Host, life: int) -> None:
        """Publish the health of a process that can; each second, as the live runtime does."""
        if host.life != life:
            return
        if not host.paused_until_ns:
            self._say(host, host.health(host.local_ns(self._world.now_ns)))
        self._world.book(self._world.now_ns + NS_PER_S, partial(self._beat, host, life))

    def kill(self, host: Host) -> None:
        """End a process between two steps."""
        if host.is_up:
            self._world.counts.kills += 1
            self.die(host)

    def end(self, host: Host) -> None:
        """End a process between two steps, and let it not come back."""
        host.die(len(host.kept))
        self._wires.refresh(host)

    def die(self, host: Host) -> None:
        """End a process; it is back after a while, with its journal or what is left of it."""
        world = self._world
        kept_count = len(host.kept)
        can_lose = host.process.can_lose_tail
        if can_lose and world.chance.happens("tail", world.faults.tail_loss_probability):
            world.counts.tails_lost += host.durable_count < kept_count
            kept_count = world.chance.between("tail at", host.durable_count, kept_count)
        host.die(kept_count)
        self._wires.refresh(host)
        if host.is_ghost:
            self._lay(host, host.life)
            return
        down_ns = world.chance.between("down", 1, world.faults.down_ns_max)
        world.book(world.now_ns + down_ns, partial(self._start, host))

    # troubles

    def _troubles(self, host: Host) -> Sequence[Trouble]:
        faults, process = self._world.faults, host.process
        found: list[Trouble] = []
        if process.can_stall:
            found.append(("stall", faults.stalls_per_s, self._stall))
        if process.can_double and not host.is_ghost:
            found.append(("double", faults.doubles_per_s, self.double))
        if not process.is_mortal:
            return found
        return [
            *found,
            ("cut", faults.cuts_per_s, self.cut),
            ("one way", faults.one_way_cuts_per_s, self.cut_one_way),
            ("wire cut", faults.wire_cuts_per_s, self._wires.cut),
            ("half open wire", faults.half_open_wires_per_s, self._wires.half_open),
            ("pause", faults.pauses_per_s, self.pause),
            ("kill", faults.kills_per_s, self.kill),
            ("jump", faults.clock_jumps_per_s, self._jump),
        ]

    def _expect(
        self, host: Host, purpose: str, per_s: float, trouble: Callable[[Host], None]
    ) -> None:
        wait_ns = self._world.chance.wait_ns(f"{purpose}:{host.key}", per_s)
        happen = partial(self._befall, host, host.life, purpose, per_s, trouble)
        self._world.book(self._world.now_ns + wait_ns, happen)

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

    def _expect_all(self, purpose: str, per_s: float, trouble: Callable[[], None]) -> None:
        wait_ns = self._world.chance.wait_ns(purpose, per_s)
        happen = partial(self._befall_all, purpose, per_s, trouble)
        self._world.book(self._world.now_ns + wait_ns, happen)

    def _befall_all(self, purpose: str, per_s: float, trouble: Callable[[], None]) -> None:
        if self._world.faults is not QUIET:
            trouble()
            self._expect_all(purpose, per_s, trouble)

    def pause(self, host: Host) -> None:
        """Let a process stand still for a while."""
        if host.is_up and not host.paused_until_ns:
            self._world.counts.pauses += 1
            self._pause(host)

    def _stall(self, host: Host) -> None:
        if host.is_up and not host.paused_until_ns:
            self._world.counts.stalls += 1
            self._pause(host)

    def _pause(self, host: Host) -> None:
        world = self._world
        still_ns = world.chance.between("pause", 1, world.faults.pause_ns_max)
        host.paused_until_ns = world.now_ns + still_ns
        world.book(host.paused_until_ns, partial(self.resume, host, host.life))

    def resume(self, host: Host, life: int) -> None:
        """Let a process that stood still go on, with all that has waited for it."""
        if host.life != life or not host.paused_until_ns:
            return
        host.paused_until_ns = 0
        waiting, host.waiting = host.waiting, []
        for happen in waiting:
            if host.life == life:
                happen()
        if host.life == life:
            self._set_alarm(host)

    def double(self, host: Host) -> None:
        """Let a process be replaced while it stands still, and go on beside its successor."""
        world = self._world
        if not host.is_up or host.paused_until_ns or host.is_ghost:
            return
        world.counts.doubles += 1
        self._pause(host)
        other = host.successor(len(world.everybody))
        world.hosts[host.name] = other
        world.ghosts.append(host)
        down_ns = world.chance.between("down", 1, world.faults.down_ns_max)
        world.book(world.now_ns + down_ns, partial(self._start, other))
        gone_ns = host.paused_until_ns + world.chance.between("ghost", 1, world.faults.pause_ns_max)
        world.book(gone_ns, partial(self._lay, host, host.life))

    def _lay(self, ghost: Host, life: int) -> None:
        """End a process that another has replaced, for good."""
        if ghost.life != life or ghost not in self._world.ghosts:
            return
        self._world.ghosts.remove(ghost)
        ghost.die(len(ghost.kept))
        self._world.changed()
        self._wires.refresh(ghost)

    def cut(self, host: Host) -> None:
        """Cut a process off the bus for a while."""
        if host.is_up and not (host.is_deaf or host.is_mute):
            self._world.counts.cuts += 1
            host.is_deaf = host.is_mute = True
            self._rejoin_later(host)

    def cut_one_way(self, host: Host) -> None:
        """Let a process not be heard, or not hear, for a while."""
        if host.is_up and not (host.is_deaf or host.is_mute):
            host.is_deaf = self._world.chance.happens("deaf", 0.5)
            host.is_mute = not host.is_deaf
            self._world.counts.deaf += host.is_deaf
            self._world.counts.mute += host.is_mute
            self._rejoin_later(host)

    def _rejoin_later(self, host: Host) -> None:
        world = self._world
        notice_ns = world.chance.between("notice", 0, world.faults.notice_ns_max)
        self._tell_link(host, world.now_ns + notice_ns, is_up=False)
        back_ns = world.now_ns + world.chance.between("cut", 1, world.faults.cut_ns_max)
        world.book(back_ns, partial(self.join, host, host.life))

    def join(self, host: Host, life: int) -> None:
        """Let a process be on the bus again."""
        if host.life == life and (host.is_deaf or host.is_mute):
            host.is_deaf = host.is_mute = False
            self._tell_link(host, self._world.now_ns, is_up=True)

    def _tell_link(self, host: Host, at_ns: int, *, is_up: bool) -> None:
        """Tell a process of its connection to the bus: the loss always before the return."""
        in_order_ns = self._world.in_order(("", host.key, "link"), at_ns)
        self._world.book(in_order_ns, partial(self._notice_link, host, host.life, is_up))

    def _notice_link(self, host: Host, life: int, is_up: bool) -> None:
        if host.life == life and LinkChanged in host.heard:
            now_ns = host.local_ns(self._world.now_ns)
            self._deliver(host, [LinkChanged(at_ns=now_ns, is_up=is_up)])

    def _jump(self, host: Host) -> None:
        world = self._world
        most_ns = world.faults.clock_jump_ns_max
        ahead_ns = host.local_ns(world.now_ns) - world.now_ns
        to_ns = world.chance.between("jump to", -most_ns, most_ns)
        world.counts.clock_jumps += 1
        host.jump(to_ns - ahead_ns, world.now_ns)
        host.alarm_ns = None
        self._set_alarm(host)

    def _fill_disk(self) -> None:
        world = self._world
        if not world.is_disk_full:
            world.counts.disk_fulls += 1
            world.is_disk_full = True
            longest_ns = world.faults.disk_full_ns_max
            until_ns = world.now_ns + world.chance.between("disk until", 1, longest_ns)
            world.book(until_ns, self._free_disk)

    def _free_disk(self) -> None:
        self._world.is_disk_full = False

    def _outage(self) -> None:
        """Take the bus from everybody at once; what a server stored last may be gone with it."""
        world = self._world
        world.counts.outages += 1
        back_ns = world.now_ns + world.chance.between("outage until", 1, world.faults.outage_ns_max)
        for host in world.everybody:
            if host.is_up and not (host.is_deaf or host.is_mute):
                host.is_deaf = host.is_mute = True
                notice_ns = world.chance.between("notice", 0, world.faults.notice_ns_max)
                self._tell_link(host, world.now_ns + notice_ns, is_up=False)
                world.book(back_ns, partial(self.join, host, host.life))
            if host.process.after_outage is not None:
                self._wires.cut_watched(host, back_ns)
                world.book(back_ns, partial(self._lose_stored, host))

    def _lose_stored(self, host: Host) -> None:
        after_outage = host.process.after_outage
        if after_outage is not None and self._world.faults is not QUIET:
            lost_count = after_outage(self._world.chance.between("stored", 0, SEEDS))
            self._world.counts.stored_tails_lost += lost_count > 0
