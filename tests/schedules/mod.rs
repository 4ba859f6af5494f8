//! Workers under schedules that no clock would bring about: their steps in any order, among voters, deaths and faults.
//!
//! Every schedule is drawn, run on real storage and, should it break a promise, shrunk to the shortest that still does.
//! `PROPTEST_CASES` sets how many are drawn.

mod outside;
mod world;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestError, TestRunner},
};

use crate::harness::{
    postgres, redis,
    skip::or_skip,
    storage::{Kind, Storage},
};
use world::World;

const MOVERS: usize = 3;
const VOTERS: usize = 6;

/// What happens next. Movers and voters go by their numbers. Who takes no step is frozen, with what is in hand.
#[derive(Clone, Copy, Debug)]
enum Event {
    Vote {
        voter: usize,
        choice: &'static str,
    },
    Poison,
    /// The queue's clock moves by a millisecond, so the ids' second numbers begin anew.
    ClockTicks,
    Steps {
        mover: usize,
        count: usize,
    },
    /// Each takes so many steps, at the same time.
    StepTogether {
        one: usize,
        other: usize,
        count: usize,
    },
    /// What was in hand is in nobody's. A successor comes, under the same name or another one.
    Dies {
        mover: usize,
        successor: Successor,
    },
    /// A step fails if it needs what is away.
    StepWithoutQueue(usize),
    StepWithoutStore(usize),
    /// The queue acknowledges, and the mover does not hear of it.
    AnswerIsLost(usize),
    Trim,
    GroupIsLost,
    IdleNamesAreForgotten,
}

#[derive(Clone, Copy, Debug)]
struct Successor {
    same_name: bool,
    /// Takes over at once what others hold; else it never does.
    claims: bool,
}

fn events(kind: Kind) -> BoxedStrategy<Event> {
    let mover = 0..MOVERS;
    let vote = (0..VOTERS, select(&["a", "b"][..]));
    let steps = (mover.clone(), 1..=4_usize);
    let successors =
        any::<(bool, bool)>().prop_map(|(same_name, claims)| Successor { same_name, claims });
    let death = (mover.clone(), successors);
    let in_turn = prop_oneof![
        8 => vote.prop_map(|(voter, choice)| Event::Vote { voter, choice }),
        1 => Just(Event::Poison),
        1 => Just(Event::ClockTicks),
        8 => steps.prop_map(|(mover, count)| Event::Steps { mover, count }),
        2 => death.prop_map(|(mover, successor)| Event::Dies { mover, successor }),
        1 => mover.clone().prop_map(Event::StepWithoutQueue),
        1 => mover.clone().prop_map(Event::StepWithoutStore),
        1 => mover.clone().prop_map(Event::AnswerIsLost),
        2 => Just(Event::Trim),
        1 => Just(Event::GroupIsLost),
        1 => Just(Event::IdleNamesAreForgotten),
    ];
    // Where there is one writer at a time, it would only make runs differ.
    if kind == Kind::Embedded {
        return in_turn.boxed();
    }
    let together = (mover.clone(), mover, 1..=3_usize);
    let together =
        together.prop_map(|(one, other, count)| Event::StepTogether { one, other, count });
    prop_oneof![5 => in_turn, 1 => together].boxed()
}

#[test]
fn embedded_storage_keeps_its_promises_under_any_schedule() {
    run_schedules(Kind::Embedded, 60);
}

#[test]
fn servers_keep_their_promises_under_any_schedule() {
    or_skip!(redis::shared());
    or_skip!(postgres::shared());
    run_schedules(Kind::Servers, 20);
}

fn run_schedules(kind: Kind, cases: u32) {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let defaults = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: if asked_for { defaults.cases } else { cases },
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
                Box::pin(world.happens(event)).await?;
            }
            world.comes_to_rest().await
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, schedule)) => panic!("{why}, after\n{}", in_lines(&schedule)),
        Err(other) => panic!("{other}"),
    }
}

fn in_lines(schedule: &[Event]) -> String {
    let lines: Vec<_> = schedule.iter().map(|event| format!("{event:?}")).collect();
    lines.join("\n")
}
