"""Total transition tables for state machines, checked at import, and their drawing.

A machine here is only a table: state and signal give the next state and the effects that somebody else performs.
`complete()` accepts a table only when every pair of state and signal has been thought about, so "what if a 200 comes
now?" is answered where the machine is written and not on the day it happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Generic, NoReturn, TypeVar

__all__ = ["FaultyTable", "Refused", "Table", "complete", "diagram"]

S = TypeVar("S", bound=Enum)
G = TypeVar("G", bound=Enum)
E = TypeVar("E")


class FaultyTable(ValueError):
    """A table that `complete()` does not accept. `faults` has one line for each thing that is wrong."""

    def __init__(self, name: str, faults: Iterable[str]) -> None:
        self.name = name
        self.faults = tuple(faults)
        super().__init__(f"{name}: " + "; ".join(self.faults))


class Refused(RuntimeError):
    """A signal came in a state where only a bug of ours can send it."""

    def __init__(self, name: str, state: Enum, signal: Enum) -> None:
        self.name = name
        self.state = state
        self.signal = signal
        super().__init__(f"{name}: {signal.name} cannot happen in {state.name}")


class Row(dict[G, tuple[S, tuple[E, ...]]]):
    """What one state does with each signal. Looking up a refused signal raises `Refused`, at no cost to the others."""

    __slots__ = ("name", "state")

    def __init__(self, name: str, state: S) -> None:
        super().__init__()
        self.name = name
        self.state = state

    def __missing__(self, signal: G) -> NoReturn:
        raise Refused(self.name, self.state, signal)


class Table(Generic[S, G, E]):
    """A checked table. The hot path may read `table.rows[state][signal]` and get what `step` returns.

    Looking up hashes both enum members: an `IntEnum` does that in C, a plain `Enum` in Python, at four times the cost.
    """

    __slots__ = ("absorbed", "initial", "name", "refused", "rows", "signals", "states")

    def __init__(self, name: str, states: tuple[S, ...], signals: tuple[G, ...], initial: S) -> None:
        self.name = name
        self.states = states
        self.signals = signals
        self.initial = initial
        self.rows: dict[S, Row[G, S, E]] = {state: Row(name, state) for state in states}
        self.absorbed: frozenset[tuple[S, G]] = frozenset()
        self.refused: frozenset[tuple[S, G]] = frozenset()

    def step(self, state: S, signal: G) -> tuple[S, tuple[E, ...]]:
        """The next state and the effects to perform. Raises `Refused` for a refused pair."""
        return self.rows[state][signal]

    def arcs(self) -> Iterator[tuple[S, G, S, tuple[E, ...]]]:
        """Each arc as (state, signal, next state, effects), in the order of the states and signals."""
        for state in self.states:
            row = self.rows[state]
            for signal in self.signals:
                if signal in row and (state, signal) not in self.absorbed:
                    yield state, signal, *row[signal]


def complete(
    name: str,
    states: Iterable[S],
    signals: Iterable[G],
    arcs: Mapping[tuple[S, G], tuple[S, tuple[E, ...]]],
    absorbed: Iterable[tuple[S, G]] = (),
    refused: Iterable[tuple[S, G]] = (),
    *,
    initial: S | None = None,
) -> Table[S, G, E]:
    """Make a table in which every pair of a state and a signal is placed exactly once.

    A pair is an arc, or *absorbed* (noise of the peer: nothing happens), or *refused* (only our own bug can cause it).
    The machine starts in `initial`, by default the first state. Raises `FaultyTable`, which lists every fault at once.
    """
    absorbed, refused = tuple(absorbed), tuple(refused)
    all_states, all_signals = tuple(states), tuple(signals)
    if not all_states:
        raise FaultyTable(name, ["no states"])
    table: Table[S, G, E] = Table(name, all_states, all_signals, all_states[0] if initial is None else initial)
    pairs = [*arcs, *absorbed, *refused]
    faults = [*_misplaced(table, pairs), *_unknown(table, arcs, pairs)] or [*_unreachable(table, arcs)]
    if faults:
        raise FaultyTable(name, faults)
    for (state, signal), cell in arcs.items():
        table.rows[state][signal] = cell
    for state, signal in absorbed:
        table.rows[state][signal] = (state, ())
    table.absorbed, table.refused = frozenset(absorbed), frozenset(refused)
    return table


def _misplaced(table: Table[S, G, E], pairs: list[tuple[S, G]]) -> Iterator[str]:
    """A line for each pair that is listed nowhere, or more than once."""
    listed = Counter(pairs)
    for state in table.states:
        for signal in table.signals:
            if listed[state, signal] != 1:
                times = "not listed" if not listed[state, signal] else f"listed {listed[state, signal]} times"
                yield f"({state.name}, {signal.name}) is {times}"


def _unknown(
    table: Table[S, G, E], arcs: Mapping[tuple[S, G], tuple[S, tuple[E, ...]]], pairs: list[tuple[S, G]]
) -> Iterator[str]:
    """A line for each state or signal that the table does not have."""
    named = [table.initial, *(state for state, _ in pairs), *(following for following, _ in arcs.values())]
    for state in dict.fromkeys(named):
        if state not in table.states:
            yield f"{state} is not a state"
    for signal in dict.fromkeys(signal for _, signal in pairs):
        if signal not in table.signals:
            yield f"{signal} is not a signal"


def _unreachable(table: Table[S, G, E], arcs: Mapping[tuple[S, G], tuple[S, tuple[E, ...]]]) -> Iterator[str]:
    """A line for each state to which no arcs lead from the initial one."""
    reached, fresh = {table.initial}, [table.initial]
    while fresh:
        here = fresh.pop()
        ahead = {following for (state, _), (following, _) in arcs.items() if state is here} - reached
        reached |= ahead
        fresh += ahead
    for state in table.states:
        if state not in reached:
            yield f"{state.name} cannot be reached from {table.initial.name}"


def diagram(table: Table[S, G, E]) -> str:
    """The table as a Markdown page: a Mermaid `stateDiagram-v2` of the arcs, then the absorbed and refused pairs."""
    lines = [f"# {table.name}", "", "```mermaid", "stateDiagram-v2", f"    [*] --> {table.initial.name}"]
    departs = set()
    for state, signal, following, effects in table.arcs():
        label = " / ".join(filter(None, [signal.name, ", ".join(_drawn(effect) for effect in effects)]))
        lines.append(f"    {state.name} --> {following.name}: {label}")
        departs.add(state)
    lines += [f"    {state.name} --> [*]" for state in table.states if state not in departs]
    lines += ["```", "", "Absorbed (nothing happens), by state:", "", *_listing(table, table.absorbed)]
    lines += ["", "Refused (only a bug can cause it), by state:", "", *_listing(table, table.refused)]
    return "\n".join(lines) + "\n"


def _drawn(effect: object) -> str:
    """An effect as the text of a Mermaid label, in which a colon, semicolon or hash would end the label."""
    text = effect.name if isinstance(effect, Enum) else effect.__name__ if isinstance(effect, type) else str(effect)
    return "".join(f"#{ord(char)};" if char in "#:;" else char for char in " ".join(text.split()))


def _listing(table: Table[S, G, E], pairs: frozenset[tuple[S, G]]) -> list[str]:
    lines = []
    for state in table.states:
        signals = [signal.name for signal in table.signals if (state, signal) in pairs]
        if signals:
            lines.append(f"- {state.name}: {', '.join(signals)}")
    return lines or ["- none"]
