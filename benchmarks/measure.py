"""What a process and its children used: CPU time and memory, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def parent_of(stat: str) -> int:
    """The parent's process id; the command in parentheses may itself hold blanks and parentheses."""
    return int(stat.rpartition(")")[2].split()[1])


def family(pid: int) -> list[int]:
    """The process and all its descendants that are alive now."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            stat = read(entry / "stat")
            if stat:
                children.setdefault(parent_of(stat), []).append(int(entry.name))
    members = [pid]
    for member in members:
        members.extend(children.get(member, ()))
    return members


def read(path: Path) -> str:
    """The text of a /proc file, empty when its process has gone meanwhile."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole family.

    From the scheduler's own nanoseconds where the kernel shows them: a light load uses less than the 10 ms in which
    `stat` counts.
    """
    return sum(scheduled_seconds(member) or ticked_seconds(member) for member in family(pid))


def scheduled_seconds(pid: int) -> float:
    """Time on a processor of all living threads, 0.0 where the kernel keeps no such count."""
    texts = [read(path) for path in PROC.glob(f"{pid}/task/*/schedstat")]
    return sum(int(text.split()[0]) for text in texts if text) / 1e9


def ticked_seconds(pid: int) -> float:
    """utime + stime of proc(5)."""
    fields = read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND if fields else 0.0


def memory_kib(pid: int) -> int:
    """Proportional set size of the family: a page that workers share counts once."""
    return sum(own_memory_kib(member) for member in family(pid))


def resident_kib(pid: int) -> int:
    """Resident set size of the family, as `ps` shows it: pages that others share too count in full."""
    return sum(status_kib(member, "status", "VmRSS:") for member in family(pid))


def own_memory_kib(pid: int) -> int:
    """Pss of one process; its VmRSS where the kernel has no smaps_rollup."""
    return status_kib(pid, "smaps_rollup", "Pss:") or status_kib(pid, "status", "VmRSS:")


def status_kib(pid: int, name: str, key: str) -> int:
    """A line of one of the process's files in /proc, 0 where it is not there."""
    for line in read(PROC / str(pid) / name).splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


@attrs.frozen
class Cores:
    """Which processor the server and which the load is pinned to; None leaves it to the scheduler."""

    server: int | None
    load: int | None

    @classmethod
    def available(cls) -> Cores:
        """The first two processors, or no pinning where there is only one."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[1]) if len(allowed) > 1 else cls(None, None)


def pinned(core: int | None, argv: list[str], taskset: str | None) -> list[str]:
    """The command, tied to one processor when there is a `taskset` to do it."""
    return argv if core is None or taskset is None else [taskset, "-c", str(core), *argv]
