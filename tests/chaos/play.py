"""Play one seed."""

from __future__ import annotations

import attrs

from tests.chaos import ladder
from tests.chaos.bridged import check_office
from tests.chaos.invariants import check
from tests.chaos.office import Office
from tests.chaos.world import World

__all__ = ["Run", "play", "play_office"]


@attrs.frozen
class Run:
    """A run that is over; ``breaches`` are the invariants that it broke."""

    world: World
    breaches: list[str]

    def ladder(self) -> str:
        return ladder.draw(self.world)


def play(seed: int) -> Run:
    """A world of a proxy; the same for the same seed, always and everywhere."""
    world = World(seed)
    world.play()
    return Run(world, check(world))


def play_office(seed: int) -> Run:
    """An office with a switch."""
    office = Office(seed)
    office.play()
    return Run(office, [*check(office), *check_office(office)])
