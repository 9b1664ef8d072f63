"""The composition root: the only file that knows everything.

Interfaces, checks, scripts and configuration are joined to the virtual routers here. Every callback of the event loop
follows one pattern: take in what there is, let the routers answer, and have the agenda settle what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import vrrpd
from vrrpd import handover, privileges, rundir
from vrrpd.agenda import ROUTERS_PER_BATCH, Agenda
from vrrpd.checks import CheckScheduler, CheckStatus
from vrrpd.claims import ClaimedElsewhere, Claims
from vrrpd.config.model import Configuration, ConfigurationError, Diagnostic, Family, VirtualRouterConfig
from vrrpd.config.variables import ENVIRONMENT
from vrrpd.control import ControlServer
from vrrpd.journal import Journal
from vrrpd.leftovers import withdraw_leftovers
from vrrpd.links import Link
from vrrpd.lookout import Lookout
from vrrpd.net.aside import close_aside
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.firewall import Firewall
from vrrpd.net.interfaces import AddressAdded, AddressRemoved, InterfaceTable, LinkRemoved, Overrun
from vrrpd.net.netlink import InterfaceMonitor
from vrrpd.net.timer import KernelTimer
from vrrpd.notify import STOP_LIMIT, Notifier
from vrrpd.orphans import OrphanReaper
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.rehearsal import Rehearsal
from vrrpd.reports import Reports
from vrrpd.runner import Runner
from vrrpd.scripts.runner import ScriptHelperError, ScriptRunner
from vrrpd.status import SCHEMA, check_status, link_status, router_status, timestamp
from vrrpd.supervisor import Supervisor
from vrrpd.unit import REFUSAL_RETRY_DELAY, RouterKey, RouterUnit, Surroundings, devices, needs_restart, router_key
from vrrpd.vitals import process_status

_log = logging.getLogger("vrrpd")

MONITOR_EVENTS_PER_TURN: Final = 16
"""Netlink events taken in before timers and packets get their turn."""
HOST_SETTLING_TIME: Final = 0.2
"""Seconds from a change of the host's own addresses until the environment is read again: several come together."""
FAREWELL_PAUSE: Final = 0.001
"""Seconds between two batches of farewells when all routers stop; less where advertisements would be missed for it."""
ROUTERS_PER_STATUS_SLICE: Final = 16
"""Routers described in one go: a status request never delays an advertisement by more than these take."""

RETRY_DELAY: Final = 1.0
"""Seconds until something that the kernel refused is tried again: listening, reading all interfaces."""

Loader = Callable[[], tuple[Configuration, tuple[Diagnostic, ...]]]


class StartupError(Exception):
    """The daemon cannot run here; ``str()`` says why."""


class Daemon:
    """All virtual routers of one configuration in one network namespace."""

    def __init__(self, configuration: Configuration, load: Loader, instance: str, *, keep_vips: bool = False) -> None:
        self._configuration = configuration
        self._load = load
        self._instance = instance
        self._keep_vips = keep_vips
        self._supervisor = Supervisor(os.environ)
        self._clock = time.monotonic
        self._started = time.time()
        self._reloads: dict[str, Any] = {"count": 0, "failed": 0, "last": None}
        self._stopping = asyncio.Event()
        self._for_good = False
        self._reloading = asyncio.Lock()
        self._host: frozenset[tuple[str, IPAddress]] | None = None
        self._host_timer: asyncio.TimerHandle | None = None
        self._units: dict[RouterKey, RouterUnit] = {}
        self._units_by_runner: dict[Runner, RouterUnit] = {}
        self._links: dict[tuple[str, Family], Link] = {}
        self._virtual_addresses: frozenset[IPAddress] = frozenset()
        self._address_removed = False
        self._own: dict[str, frozenset[IPAddress]] = {}
        self._retries: dict[object, asyncio.TimerHandle] = {}
        self._claims = Claims()
        self._journal = Journal(self._clock)
        self._table = InterfaceTable()
        self._tasks: set[asyncio.Task[None]] = set()
        self._control: ControlServer | None = None
        self._orphans: OrphanReaper | None = None
        self._rehearsal: Rehearsal | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT; raises ``StartupError`` or ``ClaimedElsewhere`` before anything is touched."""
        self._loop = asyncio.get_running_loop()
        self._claims.claim_instance(self._instance)
        self._claims.claim_routers(self._configuration.routers)
        self._open_kernel()
        try:
            self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
            self._loop.add_signal_handler(signal.SIGINT, self._stop_for_good)
            # The image's start script holds SIGTERM back until here.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            self._loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload()))
            await self._start()
            await self._stopping.wait()
            _log.info("stopping")
            self._supervisor.stopping()
            await self._stop()
        finally:
            self._close()

    def _open_kernel(self) -> None:
        try:
            self._monitor = InterfaceMonitor()
            self._dataplane = LinuxDataplane(self._table, self._clock)
            self._timer = KernelTimer()
            self._watch_interfaces()
        except OSError as error:
            raise StartupError(f"cannot open the kernel's interfaces: {error.strerror}") from error
        # In a pod, scripts look for its variables as they always did; otherwise they get a clean environment.
        self._scripts = ScriptRunner(
            os.environ if self._configuration.source == ENVIRONMENT else None,
            privileges.rights_of_scripts(self._configuration),
        )
        self._notifier = Notifier(self._scripts)
        self._lookout = Lookout(self._clock, self._table, self._units.values, lambda: self._agenda.takeover_is_near())
        self._reports = Reports(
            self._journal, self._notifier, self._lookout, self._units_by_runner.__getitem__, self._clock
        )
        self._agenda = Agenda(self._timer, self._dataplane, self._reports, self._own_addresses, self._clock)

    async def _start(self) -> None:
        with contextlib.suppress(ScriptHelperError):  # tried again, and told, in _start_scripts
            self._scripts.launch()
        privileges.give_up()
        if os.getpid() == 1:
            self._orphans = OrphanReaper(lambda pid: pid == self._scripts.keeper_pid)
            self._orphans.start()
        self._firewall = Firewall(self._scripts, self._file("firewall"))
        self._scheduler = CheckScheduler(self._configuration.checks, self._scripts, self._check_changed)
        self._scheduler.start()
        self._surroundings = Surroundings(
            table=self._table,
            dataplane=self._dataplane,
            observer=self._reports,
            clock=self._clock,
            check_status=self._scheduler.status,
            is_virtual=self._is_virtual,
            deaf=lambda interface, family: self._links[interface, family].problem,
            on_refused=self._address_refused,
        )
        inherited = self._inherit()
        withdraw_leftovers(self._configuration, self._table, self._dataplane, [config for config, _ in inherited])
        self._take_configuration()
        self._host = self._host_addresses()
        for config in self._configuration.routers:
            self._add_unit(config)
        self._loop.add_reader(self._monitor.fileno(), self._on_monitor)
        self._open_links()
        inheritances = {router_key(config): inheritance for config, inheritance in inherited}
        for unit in self._units.values():
            unit.start(inheritances.get(unit.key))
        self._settle_all()
        self._prepare_rehearsal()
        await self._start_scripts()
        self._apply_firewall()
        await self._open_control()
        # All that there is now stays. Collections look at what comes and goes, and are short.
        gc.freeze()
        gc.enable()
        _log.info("vrrpd %s runs %d virtual routers", vrrpd.__version__, len(self._units))
        self._tell_ready()
        self._tell_alive()

    def _prepare_rehearsal(self) -> None:
        """Makes ready to rehearse takeovers, with interfaces and configuration as they are now."""
        config = self._configuration.routers[0]
        try:
            if self._rehearsal is None:
                self._agenda.rehearsal = self._rehearsal = Rehearsal(config, self._table, self._clock)
            else:
                self._rehearsal.follow(config)
        except OSError as error:
            _log.debug("takeovers are not rehearsed: %s", error.strerror)

    def _apply_firewall(self) -> None:
        families = frozenset(
            virtual.address.version for router in self._configuration.routers for virtual in router.all_addresses
        )
        self._firewall.apply(self._configuration.settings.firewall, families)

    async def _start_scripts(self) -> None:
        try:
            await self._scripts.start()
        except ScriptHelperError as error:
            # Checks then fail with this reason, and routers that depend on them are in FAULT.
            _log.error("%s", error)

    def _tell_ready(self) -> None:
        self._supervisor.ready(f"runs {len(self._units)} virtual routers")

    def _tell_alive(self) -> None:
        if self._supervisor.watchdog_interval is not None and not self._stopping.is_set():
            self._supervisor.alive()
            self._loop.call_later(self._supervisor.watchdog_interval, self._tell_alive)

    def _stop_for_good(self) -> None:
        """SIGINT: whatever was asked for, nothing is kept for a successor."""
        self._for_good = True
        self._stopping.set()

    def _inherit(self) -> list[tuple[VirtualRouterConfig, handover.Inheritance]]:
        """The routers that go on for a predecessor which has just stopped and left its addresses to them."""
        path = self._file("handover")
        if path is None:
            return []
        try:
            left = handover.take(path, rundir.network_namespace_id())
        except (handover.HandoverError, OSError) as error:
            _log.warning("starting as usual, whatever a predecessor may have left: %s", error)
            return []
        resumed = []
        for config in self._configuration.routers if left else ():
            match handover.inheritance(config, left, self._clock()):
                case handover.Inheritance() as inheritance:
                    resumed.append((config, inheritance))
                case str(reason):
                    _log.warning("(%s) does not go on for its predecessor: %s", config.name, reason)
        return resumed

    def _hand_over(self) -> None:
        """Leaves the addresses of every MASTER to a successor, where that was asked for and can be done in time."""
        if self._for_good or not (self._keep_vips or self._configuration.settings.keep_vips):
            return
        lifetimes = {unit: lifetime for unit in self._units.values() if (lifetime := unit.handover_lifetime)}
        path = self._file("handover")
        if not lifetimes or path is None:
            return
        leaving = [handover.Leaving(unit.config, unit.weight) for unit in lifetimes]
        try:
            # Before the last advertisements: a successor that does not find it has to think that nothing was left.
            handover.write(path, rundir.network_namespace_id(), leaving, self._clock())
        except OSError as error:
            _log.warning("no addresses are left to a successor: %s", error)
            return
        for unit in self._agenda.in_batches(lifetimes):
            unit.hand_over(lifetimes[unit])

    async def _stop(self) -> None:
        # Deadlines are kept until the last farewell: whoever still serves advertises.
        self._agenda.stop_listening_at_all()
        self._loop.remove_reader(self._monitor.fileno())
        self._hand_over()
        await self._stop_in_turn()
        self._stop_listening()
        self._close_frame_sockets()
        self._reports.tell(len(self._reports))
        deadline = self._clock() + STOP_LIMIT
        await asyncio.gather(self._notifier.stop(deadline), self._firewall.close(deadline))
        await self._scheduler.close()
        await self._scripts.close(0.0)

    def _close(self) -> None:
        """Leaves nothing behind that outlives the process.

        The sockets go with it.
        """
        # After an orderly stop these do nothing; after anything else no address is left behind.
        for unit in self._units.values():
            unit.stop("the daemon ends")
        self._stop_listening()
        for retry in self._retries.values():
            retry.cancel()
        if self._control is not None:
            self._control.close()
        if self._orphans is not None:
            self._orphans.close()
        self._lookout.close()
        self._dataplane.finish()
        self._claims.close()
        self._supervisor.close()

    def _close_frame_sockets(self) -> None:
        """Begins to close every socket that hears or sends frames.

        The kernel takes ten milliseconds and more for each, and at the end of a process it takes one after the other: a
        successor would have to wait, and a backup on this host takes over in the middle of it.
        """
        self._lookout.close()
        self._dataplane.close_senders_aside()
        if self._rehearsal is not None:
            close_aside(self._rehearsal)

    def _stop_listening(self) -> None:
        self._agenda.close()
        self._loop.remove_reader(self._monitor.fileno())

    def _file(self, kind: str) -> Path | None:
        """Where something is kept from one run to the next; None without a run directory, which is told later."""
        try:
            directory = rundir.writable_run_directory()
        except rundir.NoRunDirectory:
            return None
        return directory / rundir.file_name(rundir.network_namespace_id(), self._instance, kind)

    async def _open_control(self) -> None:
        try:
            directory = rundir.writable_run_directory()
            name = rundir.control_socket_name(rundir.network_namespace_id(), self._instance)
            control = ControlServer(directory / name, {"status": self._status})
            await control.start()
        except (rundir.NoRunDirectory, OSError) as error:
            _log.warning("no control socket, so no `vrrpd status`: %s", error)
            return
        self._control = control

    # -- routers and links ----------------------------------------------------------------------------------------

    def _take_configuration(self) -> None:
        """Derives what follows from the configuration as a whole."""
        routers = self._configuration.routers
        self._virtual_addresses = frozenset(
            virtual.address for router in routers if router.priority != 255 for virtual in router.all_addresses
        )

    def _add_unit(self, config: VirtualRouterConfig) -> RouterUnit:
        unit = RouterUnit(config, self._surroundings)
        self._units[unit.key] = unit
        self._units_by_runner[unit.runner] = unit
        link = self._links.get((config.interface, config.family))
        if link is None:
            unknown = self._configuration.settings.log_unknown_vrids
            link = Link(config.interface, config.family, unknown, self._journal.discarded, self._clock)
            self._links[config.interface, config.family] = link
        link.routers[config.vrid] = unit.runner
        link.groups[config.vrid] = config.multicast_group
        return unit

    def _remove_unit(self, unit: RouterUnit, reason: str) -> None:
        unit.stop(reason)
        self._agenda.settle()
        unit.close()
        self._agenda.forget(unit.runner)
        del self._units[unit.key], self._units_by_runner[unit.runner]
        self._lookout.ledger.forget_router(unit.key)
        link = self._links[unit.config.interface, unit.config.family]
        link.routers.pop(unit.config.vrid, None)
        link.groups.pop(unit.config.vrid, None)

    def _open_links(self) -> None:
        """Brings every receiving socket in step with interfaces and routers."""
        for key, link in list(self._links.items()):
            if not link.routers:
                self._agenda.stop_listening(link)
                link.close()
                del self._links[key]
                continue
            self._follow(link)

    def _follow(self, link: Link) -> None:
        self._agenda.stop_listening(link)
        link.follow(self._table.interface(link.interface))
        self._agenda.listen(link)
        if link.problem is not None:
            self._try_again(link, lambda: self._retry_listening(link))

    def _retry_listening(self, link: Link) -> None:
        if self._links.get((link.interface, link.family)) is link:
            self._interfaces_changed({link.interface})
            self._settle_all()

    def _try_again(self, what: object, work: Callable[[], None]) -> None:
        """Calls back after a while, once however often it is asked for ``what``."""

        def again() -> None:
            del self._retries[what]
            work()

        if what not in self._retries and not self._stopping.is_set():
            self._retries[what] = self._loop.call_later(RETRY_DELAY, again)

    def _watch_interfaces(self) -> set[str]:
        """Asks the kernel about the interfaces that matter, reads how they are now and names those that changed."""
        # During a reload also what the routers that still run by the old configuration look at.
        routers = [*self._configuration.routers, *(unit.config for unit in self._units.values())]
        if any(router.source_address is not None for router in routers):
            self._monitor.watch(None)  # a configured source may be on any interface
        else:
            self._monitor.watch(frozenset().union(*(devices(router) for router in routers)))
        return set(self._table.replace(*self._monitor.snapshot()))

    def _read_interfaces_again(self) -> set[str]:
        """Reads all interfaces anew after events were lost; later once more where the kernel gives no clear answer."""
        try:
            affected = self._watch_interfaces()
        except OSError as error:
            _log.warning("cannot read the interfaces, trying again: %s", error.strerror)
            self._try_again("interfaces", lambda: self._take_in(self._read_interfaces_again()))
            return set()
        self._address_removed = True
        return affected

    def _is_virtual(self, address: IPAddress) -> bool:
        return address in self._virtual_addresses

    # -- what happens around the routers ------------------------------------------------------------------------------

    def _own_addresses(self, interface: str) -> frozenset[IPAddress]:
        """The node's own addresses there: nobody else may advertise from them."""
        own = self._own.get(interface)
        if own is None:
            entries = self._table.addresses(interface)
            own = self._own[interface] = frozenset(entry.address for entry in entries if not entry.ours)
        return own

    def _on_monitor(self) -> None:
        if self._agenda.takeover_is_near():
            return  # that comes first; the loop calls again
        affected: set[str] = set()
        ours: set[str] = set()
        for event in self._monitor.receive(MONITOR_EVENTS_PER_TURN):
            if isinstance(event, Overrun):
                _log.warning("netlink events were lost: reading all interfaces and addresses again")
                affected |= self._read_interfaces_again()
                continue
            changed = self._table.apply(event)
            self._address_removed = self._address_removed or isinstance(event, AddressRemoved)
            # What carries our mark comes and goes by our own doing, hundreds at a time, and is nobody's source address.
            match event:
                case AddressAdded(address) | AddressRemoved(address) if address.ours:
                    ours |= changed
                case _:
                    affected |= changed
            if isinstance(event, LinkRemoved):
                self._dataplane.forget_interface(event.index)
        if any(unit.source is None for unit in self._units.values()):
            affected |= ours  # why there is none says which virtual ones there are
        self._take_in(affected)

    def _take_in(self, affected: set[str]) -> None:
        """Lets the routers answer to what has changed about interfaces and addresses."""
        self._interfaces_changed(affected)
        # What we installed a moment ago is still among the events to be read: nothing is lost until all are.
        restores = self._address_removed and self._monitor.exhausted
        if restores:
            self._address_removed = False
            for unit in self._units.values():
                unit.restore_lost_addresses()
        if affected or restores:
            self._settle_all()

    def _check_changed(self, status: CheckStatus) -> None:
        concerned = [
            unit
            for unit in self._units.values()
            if any(tracked.check == status.name for tracked in unit.config.tracked_checks)
        ]
        for unit in self._agenda.in_batches(concerned):
            unit.evaluate()
            self._agenda.schedule(unit.runner)
        self._agenda.settle()

    async def _stop_in_turn(self) -> None:
        """Has all routers give up, batch by batch, at a pace at which a backup can take over."""
        units = []
        for unit in self._units.values():
            if unit.runner.state is StateName.MASTER:
                units.append(unit)
            else:
                # At once: it hears nobody any more, and must not take over.
                unit.stop("shutdown")
        shortest = min((unit.config.advertisement_interval for unit in units), default=0) / 100
        pause = min(FAREWELL_PAUSE, shortest / 4 * ROUTERS_PER_BATCH / max(1, len(units)))
        for start in range(0, len(units), ROUTERS_PER_BATCH):
            if start:
                # Served until then: nobody waits longer for it than without.
                await asyncio.sleep(pause)
            for unit in units[start : start + ROUTERS_PER_BATCH]:
                unit.stop("shutdown")
            self._dataplane.flush()

    def _address_refused(self, unit: RouterUnit) -> None:
        self._loop.call_soon(self._evaluate, unit)
        self._loop.call_later(REFUSAL_RETRY_DELAY, self._retry_refused, unit)

    def _retry_refused(self, unit: RouterUnit) -> None:
        if self._units.get(unit.key) is unit:
            unit.forget_refusals()
            self._evaluate(unit)

    def _evaluate(self, unit: RouterUnit) -> None:
        unit.evaluate()
        self._agenda.settle([unit.runner])

    def _interfaces_changed(self, names: Iterable[str]) -> None:
        names = set(names)
        if not names:
            return
        self._own.clear()
        self._lookout.changed()
        self._follow_host()
        if self._rehearsal is not None:
            self._prepare_rehearsal()
        for link in self._links.values():
            link.forget_familiar()
            if link.interface in names:
                self._follow(link)
        for unit in self._units.values():
            if names & devices(unit.config):
                unit.evaluate()

    def _follow_host(self) -> None:
        """Reads the environment again when the host's own addresses are others: priorities and checks follow them."""
        if self._host is None or self._configuration.source != ENVIRONMENT:
            return
        now = self._host_addresses()
        if now != self._host and self._host_timer is None:
            self._host_timer = self._loop.call_later(HOST_SETTLING_TIME, self._host_changed)

    def _host_changed(self) -> None:
        self._host_timer = None
        before, self._host = self._host, self._host_addresses()
        if before != self._host and not self._stopping.is_set():
            _log.info("the addresses of this node have changed: reading the environment again")
            self._spawn(self._reload())

    def _host_addresses(self) -> frozenset[tuple[str, IPAddress]]:
        """The addresses on the routers' interfaces that are neither virtual nor installed by a program like this."""
        return frozenset(
            (name, entry.address)
            for name in {router.interface for router in self._configuration.routers}
            for entry in self._table.addresses(name)
            if not entry.ours and not self._is_virtual(entry.address)
        )

    def _settle_all(self) -> None:
        self._agenda.settle(unit.runner for unit in self._units.values())

    # -- reload ---------------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        """SIGHUP: parse, validate, compare, commit. A broken configuration changes nothing."""
        if self._reloading.locked():
            _log.warning("a reload is still going on: the next one follows it")
        async with self._reloading:
            self._supervisor.reloading()
            try:
                await self._reload_once()
            finally:
                self._tell_ready()

    async def _reload_once(self) -> None:
        try:
            # In a thread: reading a large file must not delay an advertisement.
            configuration, warnings = await asyncio.to_thread(self._load)
            self._claims.claim_routers(configuration.routers)
        except (ConfigurationError, ClaimedElsewhere, OSError, MemoryError, RuntimeError) as error:
            # RuntimeError: there is no memory for a thread.
            self._reloads["failed"] += 1
            lines = error.diagnostics if isinstance(error, ConfigurationError) else (str(error) or "out of memory",)
            for line in lines:
                _log.error("%s", line)
            self._reload_done("refused", "the configuration was not taken over, everything goes on as before")
            return
        for warning in warnings:
            _log.warning("%s", warning)
        if not self._stopping.is_set():
            self._commit(configuration)

    def _commit(self, configuration: Configuration) -> None:
        before, self._configuration = self._configuration, configuration
        if before.settings.network_namespace != configuration.settings.network_namespace:
            _log.warning("net_namespace takes effect at the next start only")
        self._take_configuration()
        affected = self._read_interfaces_again()
        self._scheduler.apply(configuration.checks)
        self._apply_firewall()
        wanted = {router_key(router): router for router in configuration.routers}
        removed = [unit for key, unit in self._units.items() if key not in wanted]
        for unit in removed:
            self._remove_unit(unit, "removed from the configuration")
        for key, unit in self._units.items():
            unit.release(wanted[key])
        new, changed, restarted = [], 0, 0
        for key, config in wanted.items():
            existing = self._units.get(key)
            if existing is None:
                new.append(self._add_unit(config))
            elif needs_restart(existing.config, config):
                self._remove_unit(existing, "restarted with a new configuration")
                new.append(self._add_unit(config))
                restarted += 1
            elif existing.config != config:
                existing.reconfigure(config)
                changed += 1
        self._open_links()
        self._lookout.changed()
        for unit in new:
            unit.start()
        self._claims.keep_only(configuration.routers)
        self._interfaces_changed(affected | {link.interface for link in self._links.values() if link.problem})
        self._settle_all()
        # In the next turn: what was installed just now is among the kernel's news then.
        self._loop.call_soon(self._on_monitor)
        self._reload_done(
            "done",
            f"{len(new) - restarted} virtual routers added, {len(removed)} removed, {restarted} restarted, "
            f"{changed} changed in place, {len(wanted) - len(new) - changed} untouched",
        )

    def _reload_done(self, result: str, text: str) -> None:
        self._reloads["count"] += 1
        self._reloads["last"] = {"time": timestamp(time.time()), "result": result, "detail": text}
        _log.log(logging.INFO if result == "done" else logging.ERROR, "reload %s: %s", result, text)

    # -- status ---------------------------------------------------------------------------------------------------

    async def _status(self) -> dict[str, Any]:
        routers = []
        for position, unit in enumerate(list(self._units.values()), 1):
            routers.append(router_status(unit, self._lookout.ledger, self._clock()))
            if position % ROUTERS_PER_STATUS_SLICE == 0:
                await asyncio.sleep(0)
        now = self._clock()
        return {
            "schema": SCHEMA,
            "version": vrrpd.__version__,
            "pid": os.getpid(),
            "instance": self._instance,
            "network_namespace": rundir.network_namespace_id(),
            "configuration": self._configuration.source,
            "started": timestamp(self._started),
            "reloads": self._reloads,
            "process": process_status(len(self._agenda)),
            "routers": routers,
            "checks": [check_status(status, now) for status in self._scheduler.statuses()],
            "links": [link_status(link) for link in self._links.values()],
            "watches": self._lookout.watches(),
        }

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("what was begun for a signal ended in an error of vrrpd's own", exc_info=error)
