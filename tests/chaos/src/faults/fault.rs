//! One fault: what it does, what is allowed during it, who sees it, how it heals.

use std::future::Future;
use std::pin::Pin;

use crate::Problem;
use crate::run::perform::Scene;
use crate::setup::store::StoreKind;

/// A deed.
pub(crate) type Act = for<'s> fn(&'s mut Scene) -> Doing<'s>;

/// A deed that is being done.
pub(crate) type Doing<'s> = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 's>>;

/// An entry of the table.
pub struct Fault {
    /// Its name, for the command line.
    pub name: &'static str,
    /// Where the replicas meet.
    pub store: StoreKind,
    /// What happens.
    pub does: &'static str,
    /// More options of the replicas.
    pub(crate) options: &'static [&'static str],
    /// The prefix of the last replica's command line; `{home}` is the run's directory.
    pub(crate) prefix: &'static [&'static str],
    /// What it takes beside the store.
    pub(crate) needs: Option<fn() -> Result<(), Problem>>,
    /// What may go wrong.
    pub(crate) allows: Allows,
    /// What operators have to see.
    pub(crate) expected: Expected,
    /// How it heals.
    pub(crate) heals: Heals,
    /// For how many seconds it lasts.
    pub(crate) hold: u64,
    pub(crate) inject: Act,
    pub(crate) lift: Act,
}

/// What may go wrong, each with the promise that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allows {
    /// Good sessions may be refused: by whom.
    pub(crate) refused: Refused,
    /// Requests of sessions may be answered 503.
    pub(crate) sessions: Option<&'static str>,
    /// Logins may be answered 503.
    pub(crate) logins: Option<&'static str>,
    /// Logouts may be answered 503.
    pub(crate) logouts: Option<&'static str>,
    /// Requests may have no answer, before a balancer has noticed.
    pub(crate) unreachable: Option<&'static str>,
    /// A logout at the last replica just before the fault may be lost.
    pub(crate) forgotten: Option<&'static str>,
    /// A replica that does not see the store may accept a session that was ended elsewhere.
    pub(crate) cut_off: Option<&'static str>,
}

/// Which replicas may refuse good sessions, with the promise that says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Refused {
    /// None.
    #[default]
    Nobody,
    /// The one to which the fault is done.
    Last(&'static str),
    /// All but that one.
    Others(&'static str),
}

/// The signs of which each kind has to show one; none where nothing is to be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Parts of fields of the status.
    pub(crate) status: &'static [&'static str],
    /// Parts of metrics.
    pub(crate) metric: &'static [&'static str],
    /// Parts of phrases in the log.
    pub(crate) log: &'static [&'static str],
    /// Why one of them shows nothing.
    pub(crate) unseen: Option<&'static str>,
}

/// How it heals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heals {
    /// Within so many seconds after its end.
    pub(crate) within: u64,
    /// Who ends it, and how.
    pub(crate) how: &'static str,
    /// What the service says that is to be done, where it cannot heal by itself.
    pub(crate) says: Option<&'static str>,
}

/// Makes a deed of an async function.
macro_rules! act {
    ($function:path) => {
        |scene| Box::pin($function(scene))
    };
}
pub(crate) use act;

/// For faults that end by themselves.
pub(crate) async fn nothing(_: &mut Scene) -> Result<(), Problem> {
    Ok(())
}

/// What most faults have in common.
pub(crate) const FAULT: Fault = Fault {
    name: "",
    store: StoreKind::Directory,
    does: "",
    // Short enough that keys rotate during each fault, and a revocation holds within seconds.
    options: &["--signing-seconds", "15"],
    prefix: &[],
    needs: None,
    allows: NOTHING,
    expected: Expected { status: &[], metric: &[], log: &[], unseen: None },
    heals: Heals { within: 20, how: "by itself", says: None },
    // Longer than the bound of a revocation, 5 s with these options.
    hold: 9,
    inject: act!(nothing),
    lift: act!(nothing),
};

/// No exception.
pub(crate) const NOTHING: Allows = Allows {
    refused: Refused::Nobody,
    sessions: None,
    logins: None,
    logouts: None,
    unreachable: None,
    cut_off: None,
    forgotten: None,
};
