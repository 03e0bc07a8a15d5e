//! Refresh tokens: which of a family was redeemed last.

use tower_jwt_session::store::{Redeemed, Redemption, RefreshTokenStore, StoreFuture};

use crate::{OwnStore, lock};

impl RefreshTokenStore for OwnStore {
    fn redeem<'a>(
        &'a self,
        ring: &'a str,
        redemption: &'a Redemption,
    ) -> StoreFuture<'a, Redeemed> {
        Box::pin(async move {
            let Redemption { family, sequence, at, keep_for, .. } = redemption;
            let mut redeemed = lock(&self.redeemed);
            redeemed.retain(|_, (_, until)| *until > *at);
            let own = (Redeemed::new(*sequence, *at), *at + *keep_for);
            let (latest, until) = redeemed.entry((ring.to_owned(), family.clone())).or_insert(own);
            if latest.sequence < *sequence {
                *latest = own.0;
            }
            *until = own.1.max(*until);
            Ok(*latest)
        })
    }
}
