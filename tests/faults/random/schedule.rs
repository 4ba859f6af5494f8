//! Schedules of random faults: targets, times and durations, determined by a seed.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use crate::harness::proxy::Toxic;

/// A process that can have a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    Vote(usize),
    Worker(usize),
    Result,
    Redis,
    Postgres,
}

/// A network link that can have a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    VotersToVote(usize),
    VoteToRedis(usize),
    WorkerToRedis(usize),
    WorkerToPostgres(usize),
    ResultToPostgres,
}

/// A fault. All but the clock change end after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill(Component),
    /// SIGTERM for a service, an immediate shutdown for Postgres.
    Terminate(Component),
    /// SIGSTOP, and later SIGCONT.
    Freeze(Component),
    /// Unsynced data of Redis may be lost.
    PowerLoss,
    Toxic(Link, Toxic),
    /// Redis' clock, which was an hour ahead, is corrected: its ids continue within the last millisecond it had reached.
    ClockSetBack,
}

/// A scheduled fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Start, relative to the beginning of the run.
    pub at: Duration,
    /// Duration of the fault.
    pub duration: Duration,
    pub fault: Fault,
}

/// All faults of a run, in order. A component or link never has two faults at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Event>);

pub const REPLICAS: usize = 2;

/// The maximum duration of a fault, in milliseconds.
const MAX_DURATION: u64 = 4000;

impl Schedule {
    /// The schedule of this seed for a run of this length. All faults end before it.
    pub fn of(seed: u64, length: Duration) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let length = u64::try_from(length.as_millis()).expect("the length fits");
        let clock = random.random_range(length / 10..length / 3);
        let mut events = vec![Event {
            at: Duration::from_millis(clock),
            duration: Duration::ZERO,
            fault: Fault::ClockSetBack,
        }];
        let mut at = 1000;
        while at + MAX_DURATION < length {
            // Short faults fall between a request and its response, long ones exceed every timeout.
            let duration = if random.random_bool(0.5) {
                random.random_range(50..500)
            } else {
                random.random_range(1000..MAX_DURATION)
            };
            let event = Event {
                at: Duration::from_millis(at),
                duration: Duration::from_millis(duration),
                fault: random_fault(&mut random),
            };
            if !events.iter().any(|other| event.overlaps(other)) {
                events.push(event);
            }
            at += random.random_range(100..1500);
        }
        events.sort_by_key(|event| event.at);
        Self(events)
    }
}

impl Event {
    fn overlaps(&self, other: &Self) -> bool {
        // The end of a fault takes some time.
        let slack = Duration::from_secs(1);
        self.fault.target() == other.fault.target()
            && self.at <= other.at + other.duration + slack
            && other.at <= self.at + self.duration + slack
    }
}

/// The component or link of a fault; neither for the clock change.
pub type Target = (Option<Component>, Option<Link>);

impl Fault {
    pub fn target(self) -> Target {
        match self {
            Self::Kill(component) | Self::Terminate(component) | Self::Freeze(component) => {
                (Some(component), None)
            }
            Self::PowerLoss => (Some(Component::Redis), None),
            Self::Toxic(link, _) => (None, Some(link)),
            Self::ClockSetBack => (None, None),
        }
    }
}

fn random_fault(random: &mut SmallRng) -> Fault {
    let replica = random.random_range(0..REPLICAS);
    let services = [
        Component::Vote(replica),
        Component::Worker(replica),
        Component::Result,
    ];
    let service = *services.choose(random).expect("the list is not empty");
    let links = [
        Link::VotersToVote(replica),
        Link::VoteToRedis(replica),
        Link::WorkerToRedis(replica),
        Link::WorkerToPostgres(replica),
        Link::ResultToPostgres,
    ];
    let link = *links.choose(random).expect("the list is not empty");
    let toxics = [
        Toxic::Latency(Duration::from_millis(300)),
        Toxic::Timeout,
        Toxic::TimeoutUpstream,
        Toxic::TimeoutDownstream,
        Toxic::ResetPeer,
    ];
    let toxic = *toxics.choose(random).expect("the list is not empty");
    let faults = [
        Fault::Kill(service),
        Fault::Kill(service),
        Fault::Terminate(service),
        Fault::Freeze(service),
        Fault::Freeze(service),
        Fault::Toxic(link, toxic),
        Fault::Toxic(link, toxic),
        Fault::Toxic(link, toxic),
        Fault::Toxic(link, toxic),
        Fault::Kill(Component::Postgres),
        Fault::Terminate(Component::Postgres),
        Fault::Freeze(Component::Postgres),
        Fault::Kill(Component::Redis),
        Fault::PowerLoss,
        Fault::Freeze(Component::Redis),
    ];
    *faults.choose(random).expect("the list is not empty")
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Event {
            at,
            duration,
            fault,
        } in &self.0
        {
            let (at, duration) = (at.as_secs_f64(), duration.as_secs_f64());
            writeln!(f, "{at:8.3} s  {fault:?} for {duration:.3} s")?;
        }
        Ok(())
    }
}

#[test]
fn the_seed_determines_the_schedule() {
    let of = |seed| Schedule::of(seed, Duration::from_mins(3));
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    let end = Duration::from_mins(3);
    assert!(of(7).0.len() > 100, "{}", of(7));
    assert!(of(7).0.iter().all(|event| event.at + event.duration <= end));
}
