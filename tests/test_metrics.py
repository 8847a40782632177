"""Counters, gauges and histograms, and how they are exposed."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from gosip_py import metrics
from gosip_py.metrics import OTHER, SERIES_LIMIT, Counter, Gauge, Histogram, Metrics

CATALOGUE = {
    "sip_messages": {"method", "direction"},
    "sip_responses": {"method", "code"},
    "sip_bad_messages": {"reason"},
    "sip_handler_duration_seconds": {"method"},
    "sip_transactions_in_flight": set(),
    "sip_active_dialogs": set(),
    "sip_dialog_entries": set(),
    "sip_registrations": set(),
    "sip_transport_events": {"event"},
    "gosip_auth_failures": {"reason"},
    "gosip_calls_active": set(),
    "gosip_calls": {"direction", "result"},
    "gosip_call_setup_seconds": set(),
    "gosip_subscriptions": {"package"},
    "gosip_publications": set(),
    "gosip_journal_backlog": set(),
    "gosip_messages_waiting": set(),
    "gosip_kept_messages": {"outcome"},
    "http_requests": {"method", "route", "status"},
    "http_request_duration_seconds": {"method", "route"},
    "http_in_flight_requests": set(),
    "gosip_rows_dropped": {"table"},
    "gosip_store_duration_seconds": {"operation"},
}


def samples(rendered: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a rendering as Prometheus reads it, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(rendered.render().decode())
        for sample in family.samples
    }


class CounterTests(SynchronousTestCase):
    def test_counts_each_combination_of_labels(self) -> None:
        counter = Counter("x_total", "X.", ("method", "code"))
        counter.child("INVITE", "200").inc()
        counter.child("INVITE", "200").inc(2)
        counter.child("BYE", "200").inc()
        self.assertEqual(
            {labels: cell.value for labels, cell in counter.series.items()}, {("INVITE", "200"): 3, ("BYE", "200"): 1}
        )

    def test_a_number_and_its_text_are_one_label_value(self) -> None:
        counter = Counter("x_total", "X.", ("code",))
        self.assertIs(counter.child(200), counter.child("200"))
        self.assertEqual(list(counter.series), [("200",)])

    def test_a_wrong_number_of_labels(self) -> None:
        with self.assertRaises(ValueError):
            Counter("x_total", "X.", ("code",)).child("200", "INVITE")

    def test_the_number_of_series_is_bounded(self) -> None:
        counter = Counter("x_total", "X.", ("method",))
        for number in range(SERIES_LIMIT + 50):
            counter.child(f"M{number}").inc()
        self.assertEqual(len(counter.series), SERIES_LIMIT + 1)
        self.assertEqual(counter.child(OTHER).value, 50)
        self.assertEqual(counter.child("M0").value, 1)


class GaugeTests(SynchronousTestCase):
    def test_rises_and_falls(self) -> None:
        gauge = Gauge("x", "X.")
        gauge.set(5)
        gauge.inc(2)
        gauge.dec()
        self.assertEqual(gauge.value, 6)

    def test_reads_its_owner_when_exposed(self) -> None:
        gauge, contacts = Gauge("x", "X."), ["a"]
        gauge.read_from(lambda: len(contacts))
        contacts.append("b")
        (family,) = gauge.exposed()
        self.assertEqual([sample.value for sample in family.samples], [2])

    def test_one_that_cannot_be_read_is_left_out_and_logged(self) -> None:
        rendered = Metrics()
        rendered.registrations.read_from(lambda: {"calls": 1}["contacts"])
        found = samples(rendered)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertNotIn(("sip_registrations", frozenset()), found)
        self.assertIn(("sip_active_dialogs", frozenset()), found)


class HistogramTests(SynchronousTestCase):
    def test_a_value_on_a_bound_belongs_below_it(self) -> None:
        histogram = Histogram("x_seconds", "X.", (1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 9.0):
            histogram.child().observe(value)
        cell = histogram.child()
        self.assertEqual(cell.counts, [2, 2, 1])
        self.assertEqual(cell.cumulated(), [("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)])
        self.assertEqual(cell.total, 14.0)

    def test_bounds_that_do_not_rise(self) -> None:
        for bounds in ((), (2.0, 1.0), (1.0, 1.0)):
            with self.assertRaises(ValueError):
                Histogram("x_seconds", "X.", bounds)

    def test_the_bounds_in_use_rise(self) -> None:
        for bounds in (metrics.FAST, metrics.ROUND_TRIP, metrics.SETUP):
            self.assertEqual(sorted(set(bounds)), list(bounds))


class RenderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()

    def test_the_catalogue(self) -> None:
        exposed = {family.name for family in self.metrics.collect()}
        self.assertEqual(exposed, set(CATALOGUE))
        for metric in self.metrics.catalogue():
            labels = set() if isinstance(metric, Gauge) else set(metric.labels)
            self.assertEqual(labels, CATALOGUE[metric.name.removesuffix("_total")], metric.name)
            self.assertTrue(metric.help.endswith("."), metric.name)

    def test_what_is_counted_is_what_prometheus_reads(self) -> None:
        self.metrics.messages.child("INVITE", "in").inc(3)
        self.metrics.responses.child("INVITE", 486).inc()
        self.metrics.active_dialogs.inc()
        self.metrics.handler_seconds.child("INVITE").observe(0.002)
        self.metrics.call_setup_seconds.child().observe(3.0)
        found = samples(self.metrics)
        labels = frozenset({("method", "INVITE")})
        self.assertEqual(found["sip_messages_total", labels | {("direction", "in")}], 3)
        self.assertEqual(found["sip_responses_total", labels | {("code", "486")}], 1)
        self.assertEqual(found["sip_active_dialogs", frozenset()], 1)
        self.assertEqual(found["sip_handler_duration_seconds_bucket", labels | {("le", "0.001")}], 0)
        self.assertEqual(found["sip_handler_duration_seconds_bucket", labels | {("le", "0.0025")}], 1)
        self.assertEqual(found["sip_handler_duration_seconds_count", labels], 1)
        self.assertEqual(found["gosip_call_setup_seconds_sum", frozenset()], 3.0)

    def test_what_its_owner_counts_is_read_at_each_scrape(self) -> None:
        lost = [2]
        self.metrics.transport_events.read_from("lost_sends", lambda: lost[0])
        series = ("sip_transport_events_total", frozenset({("event", "lost_sends")}))
        self.assertEqual(samples(self.metrics)[series], 2)
        lost[0] += 3
        self.assertEqual(samples(self.metrics)[series], 5)

    def test_what_has_no_labels_is_there_before_it_moves(self) -> None:
        found = samples(self.metrics)
        self.assertEqual(found["gosip_calls_active", frozenset()], 0)
        self.assertEqual(found["gosip_call_setup_seconds_count", frozenset()], 0)

    def test_hostile_label_values_are_escaped(self) -> None:
        self.metrics.parse_errors.child('a"b\\c\nd').inc()
        self.assertEqual(samples(self.metrics)["sip_bad_messages_total", frozenset({("reason", 'a"b\\c\nd')})], 1)

    def test_the_process_and_python_metrics(self) -> None:
        names = {name for name, _ in samples(self.metrics)}
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "python_info"):
            self.assertIn(name, names)

    def test_two_servers_in_one_process_count_for_themselves(self) -> None:
        other = Metrics()
        self.metrics.calls_active.inc()
        self.assertEqual(samples(other)["gosip_calls_active", frozenset()], 0)
