//! The guided tour, and the buttons: both as data that the page reads.

use serde::Serialize;

use crate::{command::arm::Arm, faults::event::Event};

/// The order to be as at the start; it has no button, the tour begins with it.
pub(crate) const RESET: &str = "reset";
/// The order to show the copy of the page's own cookie to every replica.
pub(crate) const REPLAY: &str = "you-replay";

/// One scene of the tour.
#[derive(Serialize)]
pub(crate) struct Scene {
    /// A few words.
    title: &'static str,
    /// What to look at.
    sentence: &'static str,
    /// How long it takes at least; what it does may take longer.
    seconds: f64,
    /// What is done in it.
    steps: &'static [Step],
}

/// Something that a scene does.
#[derive(Serialize)]
struct Step {
    /// When, in seconds from the beginning of the scene.
    after: f64,
    /// The word of a button.
    act: &'static str,
}

/// A group of buttons.
#[derive(Serialize)]
pub(crate) struct Group {
    group: &'static str,
    deeds: Vec<Deed>,
}

/// A button.
#[derive(Serialize)]
struct Deed {
    name: &'static str,
    label: &'static str,
    what: &'static str,
}

const fn step(after: f64, act: &'static str) -> Step {
    Step { after, act }
}

/// The tour: about a minute.
pub(crate) const SCENES: [Scene; 8] = [
    Scene {
        title: "Log in",
        sentence: "The same users log in to each cluster. Each dot is one user, in the replica that answered last.",
        seconds: 5.0,
        steps: &[],
    },
    Scene {
        title: "Memory",
        sentence: "In the lane memory the next replica does not know the session: these are random logouts.",
        seconds: 5.0,
        steps: &[],
    },
    Scene {
        title: "A replica dies",
        sentence: "One replica is killed. Watch whose users are logged out.",
        seconds: 7.0,
        steps: &[step(1.5, "kill")],
    },
    Scene {
        title: "A deployment",
        sentence: "It is started again, then every replica restarts in turn. Sessions in its memory are gone.",
        seconds: 10.0,
        steps: &[step(0.5, "start"), step(2.0, "roll")],
    },
    Scene {
        title: "A traffic spike",
        sentence: "Four times the load, and two more replicas. With affinity, users who are logged in stay where they are.",
        seconds: 8.0,
        steps: &[step(0.5, "spike")],
    },
    Scene {
        title: "Keys rotate",
        sentence: "A new key takes over. Sessions of the old key stay valid: it still verifies. See below.",
        seconds: 6.0,
        steps: &[step(0.5, "rotate-keys")],
    },
    Scene {
        title: "The store dies",
        sentence: "The store is killed, then started. Only the lane that asks it on every request refuses users.",
        seconds: 9.0,
        steps: &[step(0.5, "kill-store"), step(5.0, "start-store")],
    },
    Scene {
        title: "A stolen cookie",
        sentence: "You log out everywhere you are, and a thief shows a copy of your cookies to every replica.",
        seconds: 6.0,
        steps: &[step(1.0, "you-log-out"), step(2.5, REPLAY)],
    },
];

/// The buttons in their order.
pub(crate) fn groups() -> Vec<Group> {
    use Event::*;
    let group = |group, events: &[(Event, &'static str)]| {
        let deed = |&(event, label): &(Event, &'static str)| Deed {
            name: event.word(),
            label,
            what: event.says(),
        };
        Group { group, deeds: events.iter().map(deed).collect() }
    };
    let replicas = [
        (Kill, "kill"),
        (Stop, "stop"),
        (Start, "start"),
        (Roll, "roll"),
        (Drain, "drain"),
        (Add, "+1"),
        (Remove, "−1"),
        (Spike, "spike"),
        (FailHealth, "fail health"),
        (Clock, "clock"),
    ];
    let store = [
        (KillStore, "kill store"),
        (StartStore, "start store"),
        (SlowStore, "slow store"),
        (EmptyStore, "empty store"),
        (FailOverStore, "fail over"),
    ];
    let users = [(LogOutEverywhere, "log out everywhere"), (Replay, "replay")];
    let own = |name, label, what| Deed { name, label, what };
    let you = vec![
        own("you-log-in", "log in", "You log in, in every lane."),
        own(
            "you-log-out",
            "log out",
            "You log out in every lane; a thief keeps a copy of your cookies.",
        ),
        own(REPLAY, "replay my cookie", "The copy of your cookie is shown to every replica."),
    ];
    vec![
        group("Replicas", &replicas),
        group("Keys", &[(RotateKeys, "rotate"), (RevokeKey, "revoke key")]),
        group("Store", &store),
        group("A user", &users),
        Group { group: "You", deeds: you },
    ]
}

/// Where an arm keeps its sessions, in a few words.
pub(crate) fn how(arm: Arm) -> &'static str {
    match arm {
        Arm::Stateless | Arm::Cold => {
            "In a signed token that the user carries. Every replica can verify it."
        }
        Arm::Memory => "In the memory of the replica that logged the user in.",
        Arm::Sticky => "In memory; the balancer sends each user back to the same replica.",
        Arm::Replicated => "In memory; each replica copies its sessions to all others.",
        Arm::Database => "In one Redis, which every request asks.",
        Arm::Bare => "There are none.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn buttons() -> Vec<&'static str> {
        groups().iter().flat_map(|group| group.deeds.iter().map(|deed| deed.name)).collect()
    }

    #[test]
    fn every_event_has_one_button() {
        let buttons = buttons();
        for event in Event::ALL {
            assert_eq!(buttons.iter().filter(|it| **it == event.word()).count(), 1, "{event}");
        }
        assert_eq!(BTreeSet::from_iter(&buttons).len(), buttons.len());
    }

    #[test]
    fn the_tour_takes_about_a_minute_and_does_what_buttons_do() {
        let seconds: f64 = SCENES.iter().map(|scene| scene.seconds).sum();
        assert!((45.0..75.0).contains(&seconds), "{seconds}");
        let buttons = buttons();
        for scene in &SCENES {
            assert!(scene.sentence.len() < 110 && scene.sentence.ends_with('.'), "{}", scene.title);
            let mut last = 0.0;
            for step in scene.steps {
                assert!(buttons.contains(&step.act), "{}", step.act);
                assert!((last..scene.seconds).contains(&step.after), "{}", scene.title);
                last = step.after;
            }
        }
    }
}
