//! The same cluster for curl and a browser, until Ctrl-C.

use std::{process::ExitCode, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    BoxError,
    arms::{replica::Service, telemetry::Log},
    command::{pace::Pace, serve::ServeOptions},
    figures::report,
    processes::cluster::{Cluster, ClusterOptions, Replica},
    store::meeting::Meeting,
    terminal::Terminal,
};

/// Fast enough to see keys change over a coffee.
const PACE: Pace = Pace {
    signing_period: Duration::from_secs(60),
    session_lifetime: Duration::from_secs(600),
    store_timeout: Duration::from_secs(2),
};
/// How long a replica that died stays dead, so that one can see the others do its work.
const MOURNING: Duration = Duration::from_secs(3);

/// Keeps a cluster up, and starts replicas that died again.
///
/// # Errors
/// If the cluster does not come up, or cannot be kept up.
pub(crate) async fn serve(
    options: ServeOptions,
    meeting: &mut Meeting,
    terminal: &Terminal,
) -> Result<ExitCode, BoxError> {
    let title = report::arm_title(options.arm, meeting.store(), PACE);
    let ServeOptions { arm, replicas, port, log, .. } = options;
    let options = ClusterOptions {
        arm,
        pace: PACE,
        replicas,
        port,
        log: Log::StandardError(log),
        service: Service::default(),
    };
    let mut cluster = Cluster::start(options, meeting).await?;
    terminal.line(&terminal.bold(&format!("{} is up. {title}", cluster.url())));
    terminal.line(&instructions(&mut cluster, terminal));
    let mut watch = ServerWatch::start();
    loop {
        sleep(Duration::from_millis(200)).await;
        watch.look(&mut cluster, terminal).await?;
        if cluster.balancer_ended() {
            return Err("the balancer has ended".into());
        }
        for index in cluster.ended() {
            terminal.line(&format!(
                "{} is dead, the others serve its requests",
                cluster.replicas()[index].name
            ));
            sleep(MOURNING).await;
            cluster.revive(index).await?;
            cluster.join(index).await?;
            let Replica { name, url, .. } = &cluster.replicas()[index];
            let id = cluster.replicas()[index].id();
            terminal.line(&format!("{name} is back at {url}, process {id}"));
        }
    }
}

/// Notices when the store's server dies, and starts it again when Enter is pressed.
struct ServerWatch {
    enters: mpsc::UnboundedReceiver<()>,
    is_dead: bool,
}

impl ServerWatch {
    fn start() -> Self {
        let (pressed, enters) = mpsc::unbounded_channel();
        // A separate thread: Tokio would wait for one that reads standard input when it shuts down.
        std::thread::spawn(move || {
            let lines = std::io::stdin().lines();
            lines.map_while(Result::ok).try_for_each(|_| pressed.send(()))
        });
        Self { enters, is_dead: false }
    }

    async fn look(
        &mut self,
        cluster: &mut Cluster<'_>,
        terminal: &Terminal,
    ) -> Result<(), BoxError> {
        let Some(server) = cluster.meeting.server() else { return Ok(()) };
        let kind = server.kind();
        let enter = self.enters.try_recv().is_ok();
        if self.is_dead && enter {
            server.restart().await?;
            terminal.line(&format!("{kind} is back, process {}", server.id().unwrap_or_default()));
            self.is_dead = false;
        } else if !self.is_dead && !server.listens() {
            terminal.line(&format!(
                "{kind}, process {}, is dead. Press Enter to start it again.",
                server.id().unwrap_or_default()
            ));
            self.is_dead = true;
        }
        Ok(())
    }
}

/// Commands to try.
fn instructions(cluster: &mut Cluster<'_>, terminal: &Terminal) -> String {
    let server = cluster.meeting.server().map(|it| (it.kind(), it.id().unwrap_or_default()));
    let url = cluster.url();
    let mut text = String::new();
    for replica in cluster.replicas() {
        text += &format!("  {} at {}, process {}\n", replica.name, replica.url, replica.id());
    }
    if let Some((kind, id)) = server {
        text += &format!("  the store is a {kind}, process {id}\n");
    }
    let victim = cluster.replicas().first().map(Replica::id).unwrap_or_default();
    let keys = cluster.replicas().first().map_or(url, |it| &it.url);
    let tries = [
        (
            "Log in and send requests; `replica` changes with every answer, the session stays valid:",
            format!(
                "curl -i -c jar -b jar -H 'content-type: application/json' \\\n    -d '{{\"username\":\"alice\",\"password\":\"wonderland\"}}' {url}/login\n  \
                 for i in 1 2 3 4 5 6; do curl -s -c jar -b jar {url}/me; echo; done"
            ),
        ),
        ("Kill a replica, and send a request again:", format!("kill -9 {victim}")),
        (
            "The same session as a token, for clients without cookies:",
            format!(
                "curl -s -H 'content-type: application/json' \\\n    -d '{{\"username\":\"bob\",\"password\":\"builder\"}}' '{url}/login?transport=bearer'"
            ),
        ),
        (
            "A route for admins; the public keys; the status and the metrics of one replica:",
            format!(
                "curl -i -b jar {url}/admin\n  curl -s {url}/.well-known/jwks.json\n  \
                 curl -s {keys}/health/status\n  curl -s {keys}/metrics"
            ),
        ),
        ("Log out:", format!("curl -i -c jar -b jar -X POST {url}/logout")),
        (
            "Revoke the key that signed your session, as if it had leaked:",
            format!("curl -i -b jar -X POST {url}/admin/revoke-key"),
        ),
    ];
    for (what, how) in tries {
        text += &format!("\n{}\n  {how}\n", terminal.dim(what));
    }
    text += &format!(
        "\nOr open {url} in a browser that keeps `Secure` cookies of 127.0.0.1 over plain HTTP\n\
         (Firefox and Chrome do). Ctrl-C ends everything.",
    );
    text
}
