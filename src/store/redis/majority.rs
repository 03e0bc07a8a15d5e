//! What a majority of Redis servers says.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::store::contract::StoreError;
use crate::store::redis::address::Address;
use crate::store::redis::server::Cause;

/// Returns the address that more than half of all asked servers give, as soon as so many have. Who does
/// not answer has no vote, but counts: of two halves of a network, at most one finds a majority.
pub(crate) async fn majority<F>(
    question: &str,
    asked: impl IntoIterator<Item = F>,
) -> Result<Address, StoreError>
where
    F: Future<Output = Result<Address, Cause>>,
{
    let mut answers: FuturesUnordered<F> = asked.into_iter().collect();
    let (all, needed) = (answers.len(), answers.len() / 2 + 1);
    let mut votes = BTreeMap::<Address, usize>::new();
    let mut last_error = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(address) => {
                let count = votes.entry(address.clone()).or_default();
                *count += 1;
                if *count == needed {
                    return Ok(address);
                }
            }
            Err(error) => last_error = Some(error),
        }
    }
    let votes: Vec<_> =
        votes.iter().map(|(address, count)| format!("{count} say {address}")).collect();
    let votes = if votes.is_empty() { "none answers".to_owned() } else { votes.join(", ") };
    let text = format!("no majority says {question}: of {all} {votes}, expected {needed} for one");
    Err(match last_error {
        Some(error) => StoreError::with_source(text, error),
        None => StoreError::new(text),
    })
}
