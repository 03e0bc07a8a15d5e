//! The synchronization types of the ring and the cache. In the shuttle models, which `.ci/run` runs,
//! each use is a step before which any other thread may run.

use std::sync::PoisonError;

#[cfg(not(all(test, shuttle)))]
pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU32, AtomicU64},
};

#[cfg(all(test, shuttle))]
pub(crate) use modeled::*;

/// Locks a mutex under which nothing panics halfway through a change: a poisoned value is whole.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same types for a scheduler that sees each use (`--cfg shuttle`).
///
/// An operation of arc-swap counts as one step, as it promises, and memory as sequentially consistent.
/// The cache reads only hints with `Relaxed`, which the entry then confirms.
#[cfg(all(test, shuttle))]
mod modeled {
    use std::ops::Deref;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::SeqCst;

    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::sync::atomic::AtomicBool;
    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    /// Runs a model under `schedules` random schedules, and as many with few thread changes at random
    /// places (PCT), which find faults that need one thread to be suspended for long.
    pub(crate) fn explore(schedules: usize, model: impl Fn() + Send + Sync + 'static) {
        let model = Arc::new(model);
        let mut config = shuttle::Config::new();
        config.stack_size = 1024 * 1024;
        let runner = shuttle::Runner::new(RandomScheduler::new(schedules), config.clone());
        runner.run({
            let model = model.clone();
            move || model()
        });
        let scheduler = PctScheduler::new(CHANGES, schedules);
        shuttle::Runner::new(scheduler, config).run(move || model());
    }

    /// How often threads change against their priority.
    const CHANGES: usize = 4;

    pub(crate) type ArcSwap<T> = Stepwise<arc_swap::ArcSwap<T>>;
    pub(crate) type ArcSwapOption<T> = Stepwise<arc_swap::ArcSwapOption<T>>;

    /// A value whose access is a step.
    #[derive(Default)]
    pub(crate) struct Stepwise<T> {
        value: T,
        step: AtomicBool,
    }

    impl<T> Deref for Stepwise<T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.step.load(SeqCst);
            &self.value
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            let value = arc_swap::ArcSwap::new(Arc::new(value));
            Self { value, step: AtomicBool::default() }
        }
    }
}
