//! A recorder of metrics and a subscriber to events: those of this thread, as long as they live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// A metric: its name, and its labels in the order of their names.
type Series = (String, Vec<(String, String)>);

/// Keeps every metric.
#[derive(Default)]
pub(crate) struct Metrics {
    counters: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    pub(crate) described: Mutex<BTreeSet<(String, &'static str)>>,
}

impl Metrics {
    /// What a counter of the ring shows for the outcome.
    pub(crate) fn counter(&self, ring: &str, name: &str, outcome: &str) -> u64 {
        let labels = [("outcome", outcome), ("ring", ring)].map(|(k, v)| (k.into(), v.into()));
        let counters = self.counters.lock().unwrap();
        let counter = counters.get(&(format!("tower_jwt_session_{name}"), labels.to_vec()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
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
        counters.chain(gauges.keys().map(|series| (series.clone(), "gauge"))).collect()
    }

    fn handle(all: &Mutex<BTreeMap<Series, Arc<AtomicU64>>>, key: &Key) -> Arc<AtomicU64> {
        let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
        let mut labels: Vec<_> = key.labels().map(label).collect();
        labels.sort();
        all.lock().unwrap().entry((key.name().to_owned(), labels)).or_default().clone()
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().insert((name.as_str().to_owned(), "counter"));
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().insert((name.as_str().to_owned(), "gauge"));
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().insert((name.as_str().to_owned(), "histogram"));
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Self::handle(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Self::handle(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key} is no counter and no gauge")
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
