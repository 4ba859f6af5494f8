//! What breaks, when, and for how long: chosen by chance, and by the same seed in the same way.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use crate::harness::proxy::Network;

/// A process that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Vote(usize),
    Worker(usize),
    Result,
    Redis,
    Postgres,
}

/// A way that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    VotersToVote(usize),
    VoteToRedis(usize),
    WorkerToRedis(usize),
    WorkerToPostgres(usize),
    ResultToPostgres,
}

/// What happens. All but the clock is mended after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9.
    Kill(Part),
    /// SIGTERM to a service, an immediate shutdown to Postgres.
    End(Part),
    /// SIGSTOP, and later SIGCONT.
    Freeze(Part),
    /// What Redis had not synced may be gone.
    PowerCut,
    Network(Way, Network),
    /// Redis' clock, which was an hour ahead, is set right: its ids go on within the one millisecond it had reached.
    ClockSetBack,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it begins, after the beginning of the run.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    pub fault: Fault,
}

/// All of a run's faults, in order. Never do two break the same part or way at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Event>);

pub const REPLICAS: usize = 2;

/// The longest fault, in milliseconds.
const LONGEST: u64 = 4000;

impl Schedule {
    /// The schedule of this seed for a run of this length. Everything is mended at its end.
    pub fn of(seed: u64, length: Duration) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let length = u64::try_from(length.as_millis()).expect("it is not so long");
        let clock = random.random_range(length / 10..length / 3);
        let mut events = vec![Event {
            at: Duration::from_millis(clock),
            lasts: Duration::ZERO,
            fault: Fault::ClockSetBack,
        }];
        let mut at = 1000;
        while at + LONGEST < length {
            // Short ones fall between a request and its answer, long ones outlast every time limit.
            let lasts = if random.random_bool(0.5) {
                random.random_range(50..500)
            } else {
                random.random_range(1000..LONGEST)
            };
            let event = Event {
                at: Duration::from_millis(at),
                lasts: Duration::from_millis(lasts),
                fault: any(&mut random),
            };
            if !events.iter().any(|other| event.collides_with(other)) {
                events.push(event);
            }
            at += random.random_range(100..1500);
        }
        events.sort_by_key(|event| event.at);
        Self(events)
    }
}

impl Event {
    fn collides_with(&self, other: &Self) -> bool {
        // What was begun takes its time to be mended.
        let slack = Duration::from_secs(1);
        self.fault.target() == other.fault.target()
            && self.at <= other.at + other.lasts + slack
            && other.at <= self.at + self.lasts + slack
    }
}

/// The part or way that a fault breaks; neither, where it breaks no connection and no process.
pub type Target = (Option<Part>, Option<Way>);

impl Fault {
    pub fn target(self) -> Target {
        match self {
            Self::Kill(part) | Self::End(part) | Self::Freeze(part) => (Some(part), None),
            Self::PowerCut => (Some(Part::Redis), None),
            Self::Network(way, _) => (None, Some(way)),
            Self::ClockSetBack => (None, None),
        }
    }
}

fn any(random: &mut SmallRng) -> Fault {
    let replica = random.random_range(0..REPLICAS);
    let services = [Part::Vote(replica), Part::Worker(replica), Part::Result];
    let service = *services.choose(random).expect("there are some");
    let ways = [
        Way::VotersToVote(replica),
        Way::VoteToRedis(replica),
        Way::WorkerToRedis(replica),
        Way::WorkerToPostgres(replica),
        Way::ResultToPostgres,
    ];
    let way = *ways.choose(random).expect("there are some");
    let networks = [
        Network::Slow(Duration::from_millis(300)),
        Network::BlackHole,
        Network::NoRequests,
        Network::NoAnswers,
        Network::Reset,
    ];
    let network = *networks.choose(random).expect("there are some");
    let faults = [
        Fault::Kill(service),
        Fault::Kill(service),
        Fault::End(service),
        Fault::Freeze(service),
        Fault::Freeze(service),
        Fault::Network(way, network),
        Fault::Network(way, network),
        Fault::Network(way, network),
        Fault::Network(way, network),
        Fault::Kill(Part::Postgres),
        Fault::End(Part::Postgres),
        Fault::Freeze(Part::Postgres),
        Fault::Kill(Part::Redis),
        Fault::PowerCut,
        Fault::Freeze(Part::Redis),
    ];
    *faults.choose(random).expect("there are some")
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Event { at, lasts, fault } in &self.0 {
            let (at, lasts) = (at.as_secs_f64(), lasts.as_secs_f64());
            writeln!(f, "{at:8.3} s  {fault:?} for {lasts:.3} s")?;
        }
        Ok(())
    }
}

#[test]
fn a_seed_has_one_schedule_and_another_seed_another() {
    let of = |seed| Schedule::of(seed, Duration::from_mins(3));
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    let end = Duration::from_mins(3);
    assert!(of(7).0.len() > 100, "{}", of(7));
    assert!(of(7).0.iter().all(|event| event.at + event.lasts <= end));
}
