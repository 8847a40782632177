"""The catalogue of every counter, gauge and histogram, and their exposition for Prometheus.

Cells are plain objects and counting is a plain addition, for all of it happens on the reactor's thread and some of it
for each message; prometheus_client sees them only when somebody scrapes. Labels come from a bounded set: callers count
a method or route they do not know as "OTHER", and a family that reaches `SERIES_LIMIT` all the same does so by itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from twisted.logger import Logger

__all__ = [
    "CONTENT_TYPE",
    "OTHER",
    "Cell",
    "Counter",
    "Gauge",
    "Histogram",
    "HistogramCell",
    "Levels",
    "Metrics",
    "Tally",
]

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of what `Metrics.render` returns."""

OTHER = "OTHER"
"""The label value for whatever has no series of its own."""

SERIES_LIMIT = 1000

FAST = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
"""Buckets, in seconds, for what this process does by itself."""

ROUND_TRIP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets, in seconds, for what includes a disk or a network."""

SETUP = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0)
"""Buckets, in seconds, for what waits until a person picks up a phone."""

C = TypeVar("C")


class Cell:
    """One number of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, n: float = 1) -> None:
        self.value += n


class HistogramCell:
    """The observations of one combination of labels. `counts` has one place more than `bounds`, for the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count `value`, in the unit of the metric's name. A value on a bound belongs below it (`le`)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Pairs of a bucket's bound and how many observations it and the smaller ones hold, as is exposed."""
        names = [*(repr(bound) for bound in self.bounds), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, accumulate(self.counts), strict=True)]


class _Family(Generic[C]):
    """A metric with labels: one cell for each combination that came up. Without labels, its one cell from the start."""

    def __init__(self, name: str, help: str, labels: tuple[str, ...], make_cell: Callable[[], C]) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.series: dict[tuple[str, ...], C] = {}
        self._make_cell = make_cell
        # 200 and "200" are one series, and each is found without being converted.
        self._cells: dict[tuple[str | int, ...], C] = {}
        if not labels:
            self.child()

    def child(self, *labels: str | int) -> C:
        """The cell of these label values, in the order of the label names; a caller on the packet path keeps it."""
        cell = self._cells.get(labels)
        return self._fresh(labels) if cell is None else cell

    def _fresh(self, labels: tuple[str | int, ...]) -> C:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        if len(self._cells) >= SERIES_LIMIT:
            return self._series(tuple(OTHER for _ in labels))
        cell = self._cells[labels] = self._series(tuple(str(label) for label in labels))
        return cell

    def _series(self, labels: tuple[str, ...]) -> C:
        if labels not in self.series:
            self.series[labels] = self._make_cell()
        return self.series[labels]


class Counter(_Family[Cell]):
    """A number that only rises. `name` ends in `_total`."""

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help, labels, Cell)

    def exposed(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, cell in self.series.items():
            family.add_metric(labels, cell.value)
        yield family


class Tally:
    """A counter whose owners keep the numbers, one for each value of its label: read when somebody scrapes."""

    def __init__(self, name: str, help: str, label: str) -> None:
        self.name = name
        self.help = help
        self.labels = (label,)
        self._reads: dict[str, Callable[[], float]] = {}

    def read_from(self, value: str, read: Callable[[], float]) -> None:
        """Ask ``read`` for the series of this label value from now on."""
        self._reads[value] = read

    def exposed(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for value, read in self._reads.items():
            family.add_metric((value,), read())
        yield family


class Levels(Tally):
    """As `Tally`, of numbers that rise and fall."""

    def exposed(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for value, read in self._reads.items():
            family.add_metric((value,), read())
        yield family


class Gauge:
    """A number that rises and falls: set where it changes, or read from its owner when somebody scrapes."""

    log = Logger()

    def __init__(self, name: str, help: str) -> None:
        self.name = name
        self.help = help
        self.value: float = 0
        self._read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, n: float = 1) -> None:
        self.value += n

    def dec(self, n: float = 1) -> None:
        self.value -= n

    def read_from(self, read: Callable[[], float]) -> None:
        """Ask `read` at each scrape from now on; what was set before counts no more."""
        self._read = read

    def exposed(self) -> Iterator[Metric]:
        """The gauge, or nothing when its owner cannot tell: one broken gauge must not cost the whole scrape."""
        if self._read is not None:
            try:
                self.value = self._read()
            except Exception:
                self.log.failure("cannot read the gauge {metric}", metric=self.name)
                return
        yield GaugeMetricFamily(self.name, self.help, value=self.value)


class Histogram(_Family[HistogramCell]):
    """How values are spread over fixed buckets, and their sum."""

    def __init__(self, name: str, help: str, bounds: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"{name}: the bounds must rise")
        super().__init__(name, help, labels, lambda: HistogramCell(bounds))

    def exposed(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, cell in self.series.items():
            family.add_metric(labels, cell.cumulated(), cell.total)
        yield family


class Metrics(Collector):
    """Every metric of one server, each under a name of its own."""

    def __init__(self) -> None:
        self._sip()
        self._calls()
        self._house()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def _sip(self) -> None:
        self.messages = Counter("sip_messages_total", "SIP messages, in and out.", ("method", "direction"))
        self.responses = Counter("sip_responses_total", "SIP responses sent.", ("method", "code"))
        self.parse_errors = Counter("sip_bad_messages_total", "Bytes received that are no SIP message.", ("reason",))
        self.handler_seconds = Histogram(
            "sip_handler_duration_seconds", "Time this process spends on one SIP request.", FAST, ("method",)
        )
        self.transport_events = Tally(
            "sip_transport_events_total", "What the transports met beside messages, by what it was.", "event"
        )
        self.transactions_in_flight = Gauge("sip_transactions_in_flight", "SIP transactions not yet terminated.")
        self.active_dialogs = Gauge("sip_active_dialogs", "Confirmed SIP dialogs.")
        self.dialog_entries = Gauge("sip_dialog_entries", "SIP dialogs held in memory, in any state.")
        self.registrations = Gauge("sip_registrations", "Contacts registered now.")
        self.auth_failures = Counter("gosip_auth_failures_total", "Credentials refused.", ("reason",))

    def _calls(self) -> None:
        self.calls_active = Gauge("gosip_calls_active", "Calls set up or being set up.")
        self.calls_total = Counter("gosip_calls_total", "Calls ended.", ("direction", "result"))
        self.call_setup_seconds = Histogram(
            "gosip_call_setup_seconds", "Time from an INVITE until its call is answered.", SETUP
        )
        self.subscriptions = Levels("gosip_subscriptions", "Subscriptions to somebody's state.", "package")
        self.publications = Gauge("gosip_publications", "What phones published about their users and is valid.")
        self.journal_backlog = Gauge("gosip_journal_backlog", "Journal rows waiting to be written.")
        self.messages_waiting = Gauge("gosip_messages_waiting", "MESSAGEs kept for people who are away.")
        self.messages_kept = Counter(
            "gosip_kept_messages_total", "MESSAGEs kept for later, and what became of them.", ("outcome",)
        )

    def _house(self) -> None:
        self.http_requests = Counter("http_requests_total", "HTTP requests answered.", ("method", "route", "status"))
        self.http_request_seconds = Histogram(
            "http_request_duration_seconds", "Time to answer an HTTP request.", ROUND_TRIP, ("method", "route")
        )
        self.http_in_flight = Gauge("http_in_flight_requests", "HTTP requests being answered.")
        self.rows_dropped = Tally(
            "gosip_rows_dropped_total", "Rows that were given up before they reached the store.", "table"
        )
        self.store_seconds = Histogram(
            "gosip_store_duration_seconds", "Time of one operation of the store.", ROUND_TRIP, ("operation",)
        )

    def catalogue(self) -> tuple[Counter | Gauge | Histogram | Tally, ...]:
        """Every metric, in the order in which it is exposed."""
        kinds = (Counter, Gauge, Histogram, Tally)
        return tuple(metric for metric in vars(self).values() if isinstance(metric, kinds))

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for at each scrape."""
        for metric in self.catalogue():
            yield from metric.exposed()

    def render(self) -> bytes:
        """Everything, with the process_ and python_ metrics, in the text format that `CONTENT_TYPE` names."""
        return generate_latest(self._registry)
