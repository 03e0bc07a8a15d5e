//! Published vectors: Wycheproof's, those of the RFCs, and the test suite of JSON parsers.
//!
//! Every vector has to come out as its publisher says. Where one can't, the exception stands beside
//! its check, with the reason.

#[path = "vectors/field_keys.rs"]
mod field_keys;
#[path = "vectors/json_suite.rs"]
mod json_suite;
#[path = "vectors/rfc.rs"]
mod rfc;
#[path = "vectors/wycheproof/mod.rs"]
mod wycheproof;

use std::process::ExitCode;

use conformance::report;

fn main() -> ExitCode {
    let trials = [wycheproof::trials(), rfc::trials(), json_suite::trials(), field_keys::trials()];
    report(trials.into_iter().flatten().collect(), "published vectors")
}
