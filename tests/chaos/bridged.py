"""What must hold besides in an office, when everybody has had their time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.invariants import is_shaken
from tests.chaos.office import Office

__all__ = ["check_office"]


def check_office(office: Office) -> list[str]:
    """Every invariant of the switch that is broken."""
    checks = (_leftovers, _lamps, _commands, _referrals)
    return [breach for each in checks for breach in each(office)]


def _leftovers(office: Office) -> Iterator[str]:
    board = office.board
    left = {
        "dialogs": len(board.dialogs),
        "established dialogs": board.dialogs.active,
        "calls": len(board.switch.calls),
        "parked calls": len(board.orbits),
        "transfers": len(office.transfers._open),
        "commands": len(office.live._waiting),
        "background": len(office.background.names),
        "counted legs": len(board.counts._devices) + len(board.counts._users) + len(board.counts._made),
        "sessions": len(board.sessions),
    }
    for name, count in left.items():
        if count:
            yield f"{count} {name} are left"


def _lamps(office: Office) -> Iterator[str]:
    """Each lamp that was lit for a call went out, once."""
    lit: dict[tuple[str, str], str] = {}
    for event in office.lamps:
        key = event.line, event.call
        if event.state == "terminated" and lit.get(key, "terminated") == "terminated":
            yield f"the lamp of {event.line} went out, and was not lit"
        lit[key] = event.state
    for (line, _), state in lit.items():
        if state != "terminated":
            yield f"the lamp of {line} stays {state}"


def _commands(office: Office) -> Iterator[str]:
    for name, count in Counter(command.name for command in office.commands if not command.outcome).items():
        yield f"{count} times {name} was commanded, and nothing came of it"


def _referrals(office: Office) -> Iterator[str]:
    """Whoever sent a REFER that was accepted is told what came of it, unless they hung up."""
    for referral in office.referrals:
        talk = referral.talk
        if referral.status != 202 or referral.is_silent or is_shaken(talk.phone) or talk.phone.breaks:
            continue
        if talk.is_disordered:
            continue
        if not referral.final and not talk.byes_sent:
            yield f"{referral} was accepted, and its end was never told"
        elif referral.final and referral.final < 200:
            yield f"{referral} ended with {referral.final}"
