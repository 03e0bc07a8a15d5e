//! What is done to a server of either kind.

use crate::Problem;
use crate::run::perform::Scene;

pub(crate) async fn kill(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.store.server()?.kill();
    Ok(())
}

pub(crate) async fn restart(scene: &mut Scene) -> Result<(), Problem> {
    scene.cluster.store.server()?.restart().await
}
