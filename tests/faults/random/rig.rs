//! The whole application on real servers, with proxies on all its connections, and the faults of a schedule.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use rand::{SeedableRng, rngs::SmallRng};
use rustix::process::Signal;
use tokio::{sync::Mutex, task::block_in_place};

use super::schedule::{Component, Event, Fault, Link, REPLICAS, Target};
use crate::{
    faults::{SHORT_TIMEOUTS, wait_until_ready},
    harness::{
        free_port,
        postgres::{self, PostgresServer},
        process::{Service, program},
        proxy::{Proxy, Toxic},
        redis::{self, RedisServer},
        storage::{Backend, Storage},
    },
};

/// The programs of a run; the worker may be a mutant.
pub struct Programs {
    pub worker: PathBuf,
}

impl Programs {
    pub fn current() -> Self {
        Self {
            worker: program("worker"),
        }
    }
}

pub struct Rig {
    /// Direct URLs of the servers, for inspection.
    pub storage: Storage,
    pub redis: RedisServer,
    postgres: PostgresServer,
    random: Mutex<SmallRng>,
    votes: [Replica; REPLICAS],
    workers: [Replica; REPLICAS],
    result: Replica,
    /// A lock for each target that had a fault.
    locks: std::sync::Mutex<HashMap<Target, Arc<Mutex<()>>>>,
}

/// A service, the proxies of its connections, and its start command.
struct Replica {
    name: &'static str,
    program: PathBuf,
    url: String,
    variables: Vec<(&'static str, String)>,
    from_voters: Option<ProxiedUrl>,
    to_redis: Option<ProxiedUrl>,
    to_postgres: Option<ProxiedUrl>,
    running: Mutex<Option<Service>>,
}

struct ProxiedUrl {
    proxy: Proxy,
    url: String,
}

impl ProxiedUrl {
    async fn to(url: &str) -> Self {
        let (proxy, url) = Proxy::to(url).await;
        Self { proxy, url }
    }
}

impl Rig {
    /// Starts everything and waits until it is ready.
    pub async fn new(seed: u64, programs: &Programs) -> Result<Self, String> {
        let redis = redis::with_power_loss()?;
        let postgres = postgres::dedicated()?;
        let mut storage = Storage::new(Backend::Embedded).await?;
        storage.queue_url.clone_from(&redis.url);
        postgres.url().clone_into(&mut storage.database_url);
        let replica = async |name| Replica::new(name, &storage, programs).await;
        let rig = Self {
            votes: [replica("vote").await, replica("vote").await],
            workers: [replica("worker").await, replica("worker").await],
            result: replica("result").await,
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            redis,
            postgres,
            storage,
            locks: std::sync::Mutex::default(),
        };
        for replica in rig.services() {
            replica.start(&rig.storage).await;
        }
        rig.wait_until_ready().await;
        Ok(rig)
    }

    /// The URLs for voters.
    pub fn vote_urls(&self) -> Vec<String> {
        let url = |replica: &Replica| {
            replica
                .from_voters
                .as_ref()
                .map(|proxied| proxied.url.clone())
        };
        self.votes.iter().filter_map(url).collect()
    }

    pub fn result_url(&self) -> &str {
        &self.result.url
    }

    /// Injects a fault and ends it after its duration. A target never has two faults at once: on a busy machine the recovery
    /// may take longer than the schedule allows for.
    pub async fn inject_fault(&self, event: Event) {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(event.fault.target()).or_default().clone()
        };
        let _guard = lock.lock().await;
        self.start_fault(event.fault).await;
        tokio::time::sleep(event.duration).await;
        self.end_fault(event.fault).await;
    }

    async fn start_fault(&self, fault: Fault) {
        match fault {
            Fault::Kill(Component::Redis) => block_in_place(|| self.redis.server.kill()),
            Fault::Kill(Component::Postgres) => block_in_place(|| self.postgres.server.kill()),
            Fault::Kill(component) => {
                let mut service = self.replica(component).running.lock().await;
                block_in_place(|| *service = None);
            }
            Fault::Terminate(Component::Postgres) => block_in_place(|| self.postgres.server.quit()),
            Fault::Terminate(component) => self.replica(component).terminate().await,
            Fault::Freeze(Component::Redis) => block_in_place(|| self.redis.server.freeze()),
            Fault::Freeze(Component::Postgres) => block_in_place(|| self.postgres.server.freeze()),
            Fault::Freeze(component) => self.replica(component).signal(Signal::STOP).await,
            Fault::PowerLoss => {
                let mut random = self.random.lock().await;
                block_in_place(|| self.redis.lose_power(&mut *random));
            }
            Fault::Toxic(link, toxic) => self.proxy(link).set_toxic(toxic),
            Fault::ClockSetBack => self.set_ids_ahead(),
        }
    }

    async fn end_fault(&self, fault: Fault) {
        match fault {
            Fault::Kill(Component::Redis) | Fault::PowerLoss => {
                block_in_place(|| self.redis.server.start());
            }
            Fault::Kill(Component::Postgres) | Fault::Terminate(Component::Postgres) => {
                block_in_place(|| self.postgres.server.start());
            }
            Fault::Kill(component) | Fault::Terminate(component) => {
                self.replica(component).start(&self.storage).await;
            }
            Fault::Freeze(Component::Redis) => block_in_place(|| self.redis.server.thaw()),
            Fault::Freeze(Component::Postgres) => block_in_place(|| self.postgres.server.thaw()),
            Fault::Freeze(component) => self.replica(component).signal(Signal::CONT).await,
            // The old connections stay open and silent.
            Fault::Toxic(link, Toxic::Timeout) => {
                self.proxy(link).clear_toxic_for_new_connections();
            }
            Fault::Toxic(link, _) => self.proxy(link).set_toxic(Toxic::None),
            Fault::ClockSetBack => {}
        }
    }

    /// Sets the last id an hour ahead, so that all later ids share its millisecond.
    fn set_ids_ahead(&self) {
        let in_an_hour = jiff::Timestamp::now().as_millisecond() + 3_600_000;
        let mut set = ::redis::cmd("XSETID");
        set.arg(&self.storage.stream).arg(format!("{in_an_hour}-0"));
        block_in_place(|| self.redis.exec(&set)).expect("Redis comes back");
    }

    /// Waits until every service is ready.
    pub async fn wait_until_ready(&self) {
        block_in_place(|| self.redis.wait_until_ready()).expect("Redis runs");
        self.postgres.wait_until_ready().await;
        for replica in self.services() {
            wait_until_ready(&replica.url).await;
        }
    }

    /// Terminates all services and asserts that each succeeds.
    pub async fn stop(&self) {
        for replica in self.services() {
            replica.terminate().await;
        }
    }

    fn services(&self) -> impl Iterator<Item = &Replica> {
        self.votes.iter().chain(&self.workers).chain([&self.result])
    }

    fn replica(&self, component: Component) -> &Replica {
        match component {
            Component::Vote(index) => &self.votes[index],
            Component::Worker(index) => &self.workers[index],
            Component::Result => &self.result,
            Component::Redis | Component::Postgres => panic!("{component:?} is a server"),
        }
    }

    fn proxy(&self, link: Link) -> &Proxy {
        let proxied = match link {
            Link::VotersToVote(index) => &self.votes[index].from_voters,
            Link::VoteToRedis(index) => &self.votes[index].to_redis,
            Link::WorkerToRedis(index) => &self.workers[index].to_redis,
            Link::WorkerToPostgres(index) => &self.workers[index].to_postgres,
            Link::ResultToPostgres => &self.result.to_postgres,
        };
        &proxied.as_ref().expect("the link has a proxy").proxy
    }
}

impl Replica {
    async fn new(name: &'static str, storage: &Storage, programs: &Programs) -> Self {
        // The address stays the same after a restart.
        let address = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{address}");
        let to_redis = match name {
            "vote" | "worker" => Some(ProxiedUrl::to(&storage.queue_url).await),
            _ => None,
        };
        let to_postgres = match name {
            "worker" | "result" => Some(ProxiedUrl::to(&storage.database_url).await),
            _ => None,
        };
        let from_voters = match name {
            "vote" => Some(ProxiedUrl::to(&url).await),
            _ => None,
        };
        let mut variables = vec![("LISTEN_ADDR", address), ("COOKIE_KEY", "5a".repeat(64))];
        variables.extend(
            to_redis
                .iter()
                .map(|proxied| ("QUEUE_URL", proxied.url.clone())),
        );
        variables.extend(
            to_postgres
                .iter()
                .map(|proxied| ("DATABASE_URL", proxied.url.clone())),
        );
        Self {
            name,
            program: match name {
                "worker" => programs.worker.clone(),
                _ => program(name),
            },
            url,
            variables,
            from_voters,
            to_redis,
            to_postgres,
            running: Mutex::default(),
        }
    }

    async fn start(&self, storage: &Storage) {
        let own = self.variables.iter();
        let variables: Vec<_> = SHORT_TIMEOUTS
            .into_iter()
            .chain(own.map(|(name, value)| (*name, value.as_str())))
            .collect();
        let mut running = self.running.lock().await;
        let service = block_in_place(|| Service::start_program(&self.program, storage, &variables));
        *running = Some(service);
    }

    async fn signal(&self, signal: Signal) {
        if let Some(service) = &*self.running.lock().await {
            service.process.signal(signal);
        }
    }

    /// Sends SIGTERM and asserts that the service succeeds.
    async fn terminate(&self) {
        if let Some(mut service) = self.running.lock().await.take() {
            let ended = block_in_place(|| service.process.terminate());
            assert!(ended.success(), "{} ended with {ended}", self.name);
        }
    }
}
