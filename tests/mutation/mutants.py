"""The list of mutants: one small change each to the protocol core, and the tests that are expected to kill it.

``old`` occurs exactly once in its file; a test holds the list to that, so that no mutant is lost when the code changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROUTER: Final = "vrrpd/protocol/router.py"
TIMING: Final = "vrrpd/protocol/timing.py"
PACKET: Final = "vrrpd/protocol/packet.py"
RUNNER: Final = "vrrpd/runner.py"
ROUNDS: Final = "vrrpd/rounds.py"
AGENDA: Final = "vrrpd/agenda.py"

SIMULATION: Final = "tests/simulation/test_simulation.py::test_one_rightful_master_serves_once_the_network_is_whole"
BACKUP_TESTS: Final = "tests/protocol/test_backup.py"
MASTER_TESTS: Final = "tests/protocol/test_master.py"
ROUND_TESTS: Final = "tests/test_rounds.py"
AGENDA_TESTS: Final = "tests/test_agenda.py"
RUNNER_TESTS: Final = "tests/test_runner.py"
STORIES: Final = "tests/simulation/test_scenarios.py"
LAN_STORIES: Final = "tests/simulation/test_stories.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken build."""

    name: str
    """What it does wrong."""
    file: str
    old: str
    new: str
    killers: tuple[str, ...] = (SIMULATION,)
    """Test files or tests; each of them alone has to fail."""


MUTANTS: Final = (
    # -- elections
    Mutant(
        "a MASTER ignores the addresses of equals",
        ROUTER,
        " or (theirs == ours and self._source is not None and int(source) > int(self._source))",
        "",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "among equals the lower address wins",
        ROUTER,
        "int(source) > int(self._source)",
        "int(source) < int(self._source)",
        (STORIES, LAN_STORIES),
    ),
    Mutant("two equal MASTERs both give way", ROUTER, "if theirs > ours or (", "if theirs >= ours or (", (STORIES,)),
    Mutant(
        "a MASTER gives way to worse ones only",
        ROUTER,
        "if theirs > ours or (",
        "if theirs < ours or (",
    ),
    Mutant(
        "a BACKUP does not follow its equals", ROUTER, "if priority >= self.priority:", "if priority > self.priority:"
    ),
    Mutant("nopreempt is forgotten", ROUTER, "elif self.parameters.preempts:", "elif True:", (SIMULATION, STORIES)),
    Mutant("nobody ever preempts", ROUTER, "elif self.parameters.preempts:", "elif False:"),
    Mutant(
        "preempt_delay never ends",
        ROUTER,
        "if delay_until is None or now >= delay_until:",
        "if delay_until is None:",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "preempt_delay lasts for no time",
        ROUTER,
        "delay_until = now + delay\n",
        "delay_until = now\n",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "an owner waits like everybody else",
        ROUTER,
        "if self.parameters.is_owner and self.parameters.owner_starts_as_master:",
        "if False:",
        (STORIES,),
    ),
    Mutant(
        "the interval of the master is not learned",
        ROUTER,
        "return advertisement.max_advertise_interval\n",
        "return self.parameters.max_advertise_interval\n",
    ),
    # -- timers
    Mutant(
        "a farewell is taken for an advertisement",
        ROUTER,
        "timer = now + skew_time(self.parameters.version, self.priority, backup.master_adver_interval)",
        "timer = now + self.down_interval(backup.master_adver_interval)",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "a farewell makes everybody MASTER at once",
        ROUTER,
        "timer = now + skew_time(self.parameters.version, self.priority, backup.master_adver_interval)",
        "timer = now",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "the master-down timer is believed when it is over by a second only",
        ROUTER,
        "case Backup() as backup if now >= backup.master_down_timer:",
        "case Backup() as backup if now >= backup.master_down_timer + 1.0:",
    ),
    Mutant(
        "the master-down timer is not looked at",
        ROUTER,
        "case Backup() as backup if now >= backup.master_down_timer:",
        "case Backup() as backup:",
        ("tests/protocol/test_backup.py",),
    ),
    Mutant("a weight leaves the running timer alone", ROUTER, "self._move_down_timer_by_skew(before)", "pass"),
    Mutant(
        "lost time is made up for by a burst",
        ROUTER,
        "due if due > now else self._next_advertisement(now)",
        "due",
        (STORIES,),
    ),
    Mutant("answers have no limit", ROUTER, "self._answers += 1", "self._answers += 0", (LAN_STORIES,)),
    # -- rivals
    Mutant(
        "a rival's announcements have the last word",
        ROUTER,
        "lower_priority_round=now + CROSSING_TIME",
        "lower_priority_round=now + times.lower_priority_delay",
        (MASTER_TESTS,),
    ),
    Mutant(
        "a rival is countered once a second, however often it advertises",
        ROUTER,
        "return min(max(interval, LEAST_ANNOUNCEMENT_SPACING), MOST_ANNOUNCEMENT_SPACING)",
        "return MOST_ANNOUNCEMENT_SPACING",
        (MASTER_TESTS,),
    ),
    Mutant(
        "a flood is answered with announcements at its own rate",
        ROUTER,
        "if times.lower_priority_repeat > 0 and now >= spaced:",
        "if times.lower_priority_repeat > 0:",
        (MASTER_TESTS, SIMULATION),
    ),
    Mutant(
        "every handover looks like two masters",
        ROUTER,
        "if best == 0 or now - heard > MASTER_HEARD_INTERVALS * seconds(backup.master_adver_interval):",
        "if False:",
        (BACKUP_TESTS,),
    ),
    Mutant(
        "the better of two masters is the second one",
        ROUTER,
        "(priority, int(source)) > (best, int(master))",
        "(priority, int(source)) < (best, int(master))",
        (BACKUP_TESTS,),
    ),
    # -- addresses
    Mutant(
        "no farewell",
        ROUTER,
        "return [SendAdvertisement(0), WithdrawAddresses()]",
        "return [WithdrawAddresses()]",
        (STORIES,),
    ),
    Mutant(
        "the addresses stay after the farewell",
        ROUTER,
        "return [SendAdvertisement(0), WithdrawAddresses()]",
        "return [SendAdvertisement(0)]",
    ),
    Mutant(
        "who gives way keeps the addresses",
        ROUTER,
        "return [*actions, WithdrawAddresses(), self._change(backup, reason)]",
        "return [*actions, self._change(backup, reason)]",
    ),
    Mutant(
        "addresses are announced before they are there",
        ROUTER,
        "            InstallAddresses(),\n            Announce(times.master_repeat),\n",
        "            Announce(times.master_repeat),\n            InstallAddresses(),\n",
    ),
    Mutant(
        "stolen addresses are announced, not put back",
        ROUTER,
        "            InstallAddresses(addresses),\n",
        "",
    ),
    Mutant(
        "a MASTER goes on with a fault",
        ROUTER,
        "return self._enter_fault(_sentence(faults)) if faults else []",
        "return []",
    ),
    Mutant(
        "FAULT is for ever",
        ROUTER,
        "return self._negotiate(now, _recovery(before))",
        "return []",
    ),
    Mutant(
        "new addresses of a reload are not installed",
        ROUTER,
        "                    actions.append(InstallAddresses(event.added))\n",
        "",
    ),
    Mutant(
        "a reloaded MASTER says nothing",
        ROUTER,
        "actions: list[Action] = [SendAdvertisement(self.priority)]",
        "actions: list[Action] = []",
        (STORIES,),
    ),
    # -- timing.py
    Mutant(
        "the skew of 255 instead of 256", TIMING, "return (256 - priority) * master", "return (255 - priority) * master"
    ),
    Mutant(
        "the skew of version 2 the wrong way round",
        TIMING,
        "return (256 - priority) * MICROSECONDS_PER_SECOND // 256",
        "return priority * MICROSECONDS_PER_SECOND // 256",
    ),
    Mutant(
        "two lost advertisements are enough",
        TIMING,
        "return down_advertisements * master_adver_interval",
        "return (down_advertisements - 1) * master_adver_interval",
    ),
    Mutant(
        "four advertisements have to be lost",
        TIMING,
        "DEFAULT_DOWN_ADVERTISEMENTS: Final = 3",
        "DEFAULT_DOWN_ADVERTISEMENTS: Final = 4",
    ),
    # -- packet.py
    Mutant(
        "every checksum is right",
        PACKET,
        'return int.from_bytes(data, "big") % 0xFFFF == 0',
        "return True",
        (LAN_STORIES, "tests/protocol/test_packet.py"),
    ),
    Mutant(
        "long intervals are cut to one byte",
        PACKET,
        "else word & _MAXIMUM_INTERVAL_FIELD",
        "else word & 0xFF",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "version 2 sends centiseconds",
        PACKET,
        "advertisement.authentication_type << 8 | interval // CENTISECONDS_PER_SECOND",
        "advertisement.authentication_type << 8 | interval",
        (SIMULATION, STORIES),
    ),
    Mutant(
        "longer messages than expected will do",
        PACKET,
        "if len(message) == expected:",
        "if len(message) >= expected:",
        (LAN_STORIES,),
    ),
    Mutant(
        "IPv6 without a pseudo-header",
        PACKET,
        "covered = _pseudo_header(source.packed, destination.packed, len(message)) + message\n    return",
        "covered = message\n    return",
        (SIMULATION, STORIES),
    ),
    # -- runner.py
    Mutant(
        "a rejected packet is acted upon",
        RUNNER,
        "            self.reject(source, discard)\n            return\n",
        "            self.reject(source, discard)\n",
    ),
    Mutant(
        "what follows from the last advertisement is sent after a reload",
        RUNNER,
        "        self._messages.clear()\n        self.deliver(Reconfigured",
        "        self.deliver(Reconfigured",
        (STORIES,),
    ),
    Mutant(
        "withdrawing is forgotten",
        RUNNER,
        "                self.dataplane.withdraw()",
        "                pass",
    ),
    Mutant(
        "the short way restarts a timer that has to run on",
        RUNNER,
        "return  # discarded: the timer runs on",
        "pass",
    ),
    Mutant(
        "the short way restarts no timer",
        RUNNER,
        "self._router.hear_again(heartbeat.last + heartbeat.down_interval)",
        "self._router.hear_again(heartbeat.last)",
    ),
    Mutant(
        "a MASTER that was stopped answers for all of that time",
        RUNNER,
        "if arrival is None or self.state is StateName.MASTER else arrival",
        "if arrival is None else arrival",
        (RUNNER_TESTS,),
    ),
    # -- rounds.py
    Mutant(
        "a late round hurries on as if nothing had happened",
        ROUNDS,
        "        if due <= now:",
        "        if False:",
        (ROUND_TESTS,),
    ),
    Mutant(
        "who has left a round is still sent for",
        ROUNDS,
        "        del self.members[runner]\n        self._volley = None",
        "        del self.members[runner]",
        (ROUND_TESTS,),
    ),
    Mutant(
        "what a round has sent is never booked",
        RUNNER,
        "            self._router.advertised_again(advertising.next_advertisements)",
        "            pass",
        (ROUND_TESTS,),
    ),
    Mutant(
        "an event leaves a router in its round",
        RUNNER,
        "        self.leave_round()\n        self.forget_familiar()",
        "        self.forget_familiar()",
        (ROUND_TESTS,),
    ),
    Mutant(
        "a round forgets what it has sent",
        ROUNDS,
        "        self.beats += 1\n",
        "",
        (ROUND_TESTS,),
    ),
    Mutant(
        "a round runs at its own pace",
        ROUNDS,
        "        self.next_advertisements = due\n",
        "        self.next_advertisements = now + self._interval\n",
        (ROUND_TESTS,),
    ),
    # -- agenda.py
    Mutant(
        "routers that are late take over one by one",
        AGENDA,
        "self._queue.due(max(first, self._clock()) + CLOSELY,",
        "self._queue.due(first + CLOSELY,",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "what was decided ahead of its time leaves at once",
        AGENDA,
        "        self._wait(takeover.moment)\n",
        "",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "nobody looks whether somebody was heard after the decision",
        AGENDA,
        "if self._ears.poll(0):",
        "if False:",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "what undoes a decision leaves",
        AGENDA,
        "waiting.clear()\n        self._dataplane.collect()\n",
        "waiting.clear()\n",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a decision is taken back again and again",
        AGENDA,
        "quiet and not late",
        "quiet",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a router that has taken a decision back is MASTER",
        RUNNER,
        "        router.state = before\n",
        "",
        (RUNNER_TESTS,),
    ),
    Mutant(
        "nobody looks into the sockets after the wait",
        AGENDA,
        "if not self._wait(decides - LAST_LOOK):",
        "if self._wait(decides - LAST_LOOK) or True:",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a takeover right after another one is rehearsed",
        AGENDA,
        "self._taken_over < REMEMBERED",
        "self._taken_over < 0.0",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a MASTER that is not on its phase joins a round",
        ROUTER,
        "isinstance(state, Master) and abs(self._on_phase(state.adver_timer) - state.adver_timer) <= ROUNDING:",
        "isinstance(state, Master):",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a new MASTER advertises again while others take over",
        ROUTER,
        "SHORTEST_FIRST_INTERVAL * interval",
        "0.0",
        ("tests/protocol/test_master.py",),
    ),
    Mutant(
        "a takeover does not look into the sockets first",
        AGENDA,
        "            self._drain_all()\n            first =",
        "            first =",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a crowded socket rests for longer than a farewell can wait",
        AGENDA,
        "min(LONGEST_REST, RESTED * patience, patience - TAKEOVER_LEAD)",
        "20 * LONGEST_REST",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a rest goes on although nobody is as patient any more",
        AGENDA,
        "            if resting.when() > soon:",
        "            if False:",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a MASTER is as patient as a BACKUP",
        RUNNER,
        "            case Master():\n                return 0.0",
        "            case Master():\n                return router.skew_time",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "nobody listens any more after a rest in which nothing came",
        AGENDA,
        "            self._loop.add_reader(self._descriptors[link], self._on_packets, link)\n        if familiar < 0:",
        "            pass\n        if familiar < 0:",
        (AGENDA_TESTS,),
    ),
    Mutant(
        "a deadline that was moved earlier is not noted",
        AGENDA,
        "        for runner in runners:\n            self.schedule(runner)\n        self._settle()",
        "        self._settle()",
        (AGENDA_TESTS,),
    ),
)
