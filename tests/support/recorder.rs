//! A recorder of metrics and a subscriber to events: those of this thread, as long as they live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// A metric: its name, and its labels in the order of their names.
type Series = (String, Vec<(String, String)>);

/// Keeps every metric.
#[derive(Default)]
pub(crate) struct Metrics {
    counters: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<Series, Arc<Samples>>>,
    /// Each metric's name, kind and unit.
    pub(crate) described: Mutex<BTreeSet<(String, &'static str, &'static str)>>,
}

impl Metrics {
    /// What a counter of the ring shows for the outcome.
    pub(crate) fn counter(&self, ring: &str, name: &str, outcome: &str) -> u64 {
        self.counter_of(ring, name, &[("outcome", outcome)])
    }

    /// What a counter of the ring shows for these labels.
    pub(crate) fn counter_of(&self, ring: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
        let counters = self.counters.lock().unwrap();
        let counter = counters.get(&series(ring, name, labels));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// How many values a histogram of the ring has for these labels.
    pub(crate) fn samples_of(&self, ring: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
        let histograms = self.histograms.lock().unwrap();
        let samples = histograms.get(&series(ring, name, labels));
        samples.map_or(0, |samples| samples.0.load(Ordering::Relaxed))
    }

    /// What a gauge of the ring shows, if it was ever set.
    pub(crate) fn gauge(&self, ring: &str, name: &str) -> Option<f64> {
        let labels = vec![("ring".to_owned(), ring.to_owned())];
        let gauges = self.gauges.lock().unwrap();
        let gauge = gauges.get(&(format!("tower_jwt_session_{name}"), labels))?;
        Some(f64::from_bits(gauge.load(Ordering::Relaxed)))
    }

    /// Every metric, with its kind.
    pub(crate) fn series(&self) -> BTreeMap<Series, &'static str> {
        let (counters, gauges) = (self.counters.lock().unwrap(), self.gauges.lock().unwrap());
        let counters = counters.keys().map(|series| (series.clone(), "counter"));
        let histograms = self.histograms.lock().unwrap();
        let histograms = histograms.keys().map(|series| (series.clone(), "histogram"));
        let gauges = gauges.keys().map(|series| (series.clone(), "gauge"));
        counters.chain(gauges).chain(histograms).collect()
    }

    fn handle<T: Default>(all: &Mutex<BTreeMap<Series, Arc<T>>>, key: &Key) -> Arc<T> {
        let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
        let mut labels: Vec<_> = key.labels().map(label).collect();
        labels.sort();
        all.lock().unwrap().entry((key.name().to_owned(), labels)).or_default().clone()
    }
}

impl Metrics {
    fn describe(&self, name: KeyName, kind: &'static str, unit: Option<Unit>) {
        let unit = unit.map_or("", |unit| unit.as_str());
        self.described.lock().unwrap().insert((name.as_str().to_owned(), kind, unit));
    }
}

fn series(ring: &str, name: &str, labels: &[(&str, &str)]) -> Series {
    let labels = labels.iter().copied().chain([("ring", ring)]);
    let mut labels: Vec<_> =
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.sort();
    (format!("tower_jwt_session_{name}"), labels)
}

/// How many values a histogram has.
#[derive(Default)]
struct Samples(AtomicU64);

impl HistogramFn for Samples {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, "counter", unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, "gauge", unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, "histogram", unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Self::handle(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Self::handle(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Self::handle(&self.histograms, key))
    }
}

/// An event: its level, its message, and its other fields.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) level: tracing::Level,
    pub(crate) message: String,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// The fields that it can have, whether it has them or not.
    pub(crate) names: BTreeSet<&'static str>,
}

/// Keeps every event.
pub(crate) struct Events {
    events: Arc<Mutex<Vec<Event>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Events {
    pub(crate) fn capture() -> Self {
        // While there is one subscriber alone, `tracing` asks the thread that first comes to a place
        // in the code whether anybody listens, and a test beside this one would say no for all.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(Listener(Arc::default())));
        let events = Arc::default();
        let guard = tracing::subscriber::set_default(Listener(Arc::clone(&events)));
        Self { events, _guard: guard }
    }

    /// The events of `scenario`. Because of the above it is done again while that is not `enough`.
    pub(crate) async fn of(scenario: impl AsyncFn(), enough: impl Fn(&Self) -> bool) -> Self {
        scenario().await;
        let mut attempts = 0;
        loop {
            let events = Self::capture();
            scenario().await;
            attempts += 1;
            if attempts == 5 || enough(&events) {
                return events;
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Those at `warn` or above.
    pub(crate) fn warnings(&self) -> Vec<Event> {
        let events = self.all().into_iter();
        events.filter(|event| event.level <= tracing::Level::WARN).collect()
    }

    /// The audit events of that kind.
    pub(crate) fn audited(&self, kind: &str) -> Vec<Event> {
        let is_kind = |event: &Event| event.fields["kind"].trim_matches('"') == kind;
        let events = self.all().into_iter().filter(|event| event.message == "audit event");
        events.filter(is_kind).collect()
    }

    /// How often that message was logged.
    pub(crate) fn count(&self, message: &str) -> usize {
        self.all().iter().filter(|event| event.message == message).count()
    }
}

struct Listener(Arc<Mutex<Vec<Event>>>);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_jwt_session")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn Debug| {
            fields.insert(field.name(), format!("{value:?}"));
        });
        let message = fields.remove("message").unwrap_or_default();
        let names = event.metadata().fields().iter().map(|field| field.name());
        let names = names.filter(|name| *name != "message").collect();
        let level = *event.metadata().level();
        self.0.lock().unwrap().push(Event { level, message, fields, names });
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
