//! Workers under random schedules: their steps in any order, interleaved with votes, crashes and faults.
//!
//! Each schedule is generated, run on real storage and, if it violates an invariant, shrunk to the shortest that still
//! does. `PROPTEST_CASES` sets the number of schedules.

mod direct_access;
mod world;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestError, TestRunner},
};

use crate::harness::{
    postgres, redis,
    skip::or_skip,
    storage::{Backend, Storage},
};
use world::World;

const PROCESSORS: usize = 3;
const VOTERS: usize = 6;

/// An event of a schedule. Processors and voters are named by their indexes. A processor without a step is frozen, with its
/// in-flight batch.
#[derive(Clone, Copy, Debug)]
enum Event {
    Vote {
        voter: usize,
        choice: &'static str,
    },
    Poison,
    /// The queue's clock advances by a millisecond, so the sequence numbers of ids restart.
    ClockTick,
    Steps {
        processor: usize,
        count: usize,
    },
    /// Two processors take this many steps concurrently.
    ConcurrentSteps {
        first: usize,
        second: usize,
        count: usize,
    },
    /// A processor dies with its batch in flight. A successor starts under the same name or another one.
    Crash {
        processor: usize,
        successor: Successor,
    },
    /// A step that fails if it uses the unreachable queue or store.
    StepWithoutQueue(usize),
    StepWithoutStore(usize),
    /// The queue acknowledges a batch, and the reply is lost.
    AckReplyLost(usize),
    Trim,
    GroupLost,
    RemoveIdleConsumers,
}

#[derive(Clone, Copy, Debug)]
struct Successor {
    same_name: bool,
    /// Claims the pending entries of others at once, or never.
    claims: bool,
}

fn events(kind: Backend) -> BoxedStrategy<Event> {
    let processor = 0..PROCESSORS;
    let vote = (0..VOTERS, select(&["a", "b"][..]));
    let steps = (processor.clone(), 1..=4_usize);
    let successors =
        any::<(bool, bool)>().prop_map(|(same_name, claims)| Successor { same_name, claims });
    let crash = (processor.clone(), successors);
    let sequential = prop_oneof![
        8 => vote.prop_map(|(voter, choice)| Event::Vote { voter, choice }),
        1 => Just(Event::Poison),
        1 => Just(Event::ClockTick),
        8 => steps.prop_map(|(processor, count)| Event::Steps { processor, count }),
        2 => crash.prop_map(|(processor, successor)| Event::Crash { processor, successor }),
        1 => processor.clone().prop_map(Event::StepWithoutQueue),
        1 => processor.clone().prop_map(Event::StepWithoutStore),
        1 => processor.clone().prop_map(Event::AckReplyLost),
        2 => Just(Event::Trim),
        1 => Just(Event::GroupLost),
        1 => Just(Event::RemoveIdleConsumers),
    ];
    // Embedded storage has one writer at a time, so concurrent steps would only make runs non-deterministic.
    if kind == Backend::Embedded {
        return sequential.boxed();
    }
    let concurrent = (processor.clone(), processor, 1..=3_usize);
    let concurrent = concurrent.prop_map(|(first, second, count)| Event::ConcurrentSteps {
        first,
        second,
        count,
    });
    prop_oneof![5 => sequential, 1 => concurrent].boxed()
}

#[test]
fn embedded_storage_is_correct_under_any_schedule() {
    run_schedules(Backend::Embedded, 60);
}

#[test]
fn servers_are_correct_under_any_schedule() {
    or_skip!(redis::shared());
    or_skip!(postgres::shared());
    run_schedules(Backend::Servers, 20);
}

fn run_schedules(kind: Backend, cases: u32) {
    let cases_are_set = std::env::var_os("PROPTEST_CASES").is_some();
    let defaults = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: if cases_are_set { defaults.cases } else { cases },
        failure_persistence: None,
        max_shrink_iters: 2000,
        max_shrink_time: 60_000,
        ..defaults
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schedules = prop::collection::vec(events(kind), 1..100);
    let outcome = runner.run(&schedules, |schedule| {
        runtime.block_on(async {
            let storage = Storage::new(kind).await.map_err(TestCaseError::reject)?;
            let mut world = World::new(&storage).await;
            for event in schedule {
                Box::pin(world.apply(event)).await?;
            }
            world.wait_quiescent().await
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, schedule)) => {
            panic!("{reason}, after\n{}", format_schedule(&schedule))
        }
        Err(other) => panic!("{other}"),
    }
}

fn format_schedule(schedule: &[Event]) -> String {
    let lines: Vec<_> = schedule.iter().map(|event| format!("{event:?}")).collect();
    lines.join("\n")
}
