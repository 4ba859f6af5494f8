//! The whole application on real servers, with everything between and around it that a schedule breaks.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use rand::{SeedableRng, rngs::SmallRng};
use rustix::process::Signal;
use tokio::{sync::Mutex, task::block_in_place};

use super::schedule::{Event, Fault, Part, REPLICAS, Target, Way};
use crate::{
    faults::{PROMPT, until_ready},
    harness::{
        free_port,
        postgres::{self, PostgresServer},
        process::{Service, program},
        proxy::{Network, Proxy},
        redis::{self, RedisServer},
        storage::{Kind, Storage},
    },
};

/// Where the programs are, for a worker may be another one.
pub struct Programs {
    pub worker: PathBuf,
}

impl Programs {
    pub fn ours() -> Self {
        Self {
            worker: program("worker"),
        }
    }
}

pub struct Rig {
    /// The straight way to the servers, for looking into them.
    pub storage: Storage,
    pub redis: RedisServer,
    postgres: PostgresServer,
    random: Mutex<SmallRng>,
    votes: [Replica; REPLICAS],
    workers: [Replica; REPLICAS],
    result: Replica,
    /// A lock for each target that was broken.
    broken: std::sync::Mutex<HashMap<Target, Arc<Mutex<()>>>>,
}

/// A service, its ways to others, and how it is started.
struct Replica {
    name: &'static str,
    program: PathBuf,
    url: String,
    variables: Vec<(&'static str, String)>,
    from_voters: Option<Link>,
    to_redis: Option<Link>,
    to_postgres: Option<Link>,
    running: Mutex<Option<Service>>,
}

struct Link {
    proxy: Proxy,
    url: String,
}

impl Link {
    async fn to(url: &str) -> Self {
        let (proxy, url) = Proxy::to(url).await;
        Self { proxy, url }
    }
}

impl Rig {
    /// Everything runs and is ready.
    pub async fn new(seed: u64, programs: &Programs) -> Result<Self, String> {
        let redis = redis::powered()?;
        let postgres = postgres::own()?;
        let mut storage = Storage::new(Kind::Embedded).await?;
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
            broken: std::sync::Mutex::default(),
        };
        for replica in rig.services() {
            replica.start(&rig.storage).await;
        }
        rig.until_ready().await;
        Ok(rig)
    }

    /// Where voters vote.
    pub fn vote_urls(&self) -> Vec<String> {
        let way = |replica: &Replica| replica.from_voters.as_ref().map(|link| link.url.clone());
        self.votes.iter().filter_map(way).collect()
    }

    pub fn result_url(&self) -> &str {
        &self.result.url
    }

    /// Breaks something, and mends it when its time is over. The same target is never broken twice at once: on a busy
    /// machine mending may take longer than the schedule allows for.
    pub async fn suffer(&self, event: Event) {
        let lock = {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.entry(event.fault.target()).or_default().clone()
        };
        let _whole = lock.lock().await;
        self.begin(event.fault).await;
        tokio::time::sleep(event.lasts).await;
        self.end(event.fault).await;
    }

    async fn begin(&self, fault: Fault) {
        match fault {
            Fault::Kill(Part::Redis) => block_in_place(|| self.redis.server.kill()),
            Fault::Kill(Part::Postgres) => block_in_place(|| self.postgres.server.kill()),
            Fault::Kill(part) => {
                let mut service = self.replica(part).running.lock().await;
                block_in_place(|| *service = None);
            }
            Fault::End(Part::Postgres) => block_in_place(|| self.postgres.server.quit()),
            Fault::End(part) => self.replica(part).end().await,
            Fault::Freeze(Part::Redis) => block_in_place(|| self.redis.server.freeze()),
            Fault::Freeze(Part::Postgres) => block_in_place(|| self.postgres.server.freeze()),
            Fault::Freeze(part) => self.replica(part).signal(Signal::STOP).await,
            Fault::PowerCut => {
                let mut random = self.random.lock().await;
                block_in_place(|| self.redis.cut_power(&mut *random));
            }
            Fault::Network(way, network) => self.proxy(way).make(network),
            Fault::ClockSetBack => self.let_ids_stand_still(),
        }
    }

    async fn end(&self, fault: Fault) {
        match fault {
            Fault::Kill(Part::Redis) | Fault::PowerCut => {
                block_in_place(|| self.redis.server.start());
            }
            Fault::Kill(Part::Postgres) | Fault::End(Part::Postgres) => {
                block_in_place(|| self.postgres.server.start());
            }
            Fault::Kill(part) | Fault::End(part) => self.replica(part).start(&self.storage).await,
            Fault::Freeze(Part::Redis) => block_in_place(|| self.redis.server.thaw()),
            Fault::Freeze(Part::Postgres) => block_in_place(|| self.postgres.server.thaw()),
            Fault::Freeze(part) => self.replica(part).signal(Signal::CONT).await,
            // Nobody says that these connections are dead.
            Fault::Network(way, Network::BlackHole) => self.proxy(way).mend_for_new_connections(),
            Fault::Network(way, _) => self.proxy(way).make(Network::Good),
            Fault::ClockSetBack => {}
        }
    }

    /// From now on all ids are of the same millisecond, which is to come only long after the run.
    fn let_ids_stand_still(&self) {
        let in_an_hour = jiff::Timestamp::now().as_millisecond() + 3_600_000;
        let mut set = ::redis::cmd("XSETID");
        set.arg(&self.storage.stream).arg(format!("{in_an_hour}-0"));
        block_in_place(|| self.redis.exec(&set)).expect("Redis comes back");
    }

    /// Waits until every service says that it is ready.
    pub async fn until_ready(&self) {
        block_in_place(|| self.redis.wait_until_ready()).expect("Redis runs");
        self.postgres.wait_until_ready().await;
        for replica in self.services() {
            until_ready(&replica.url).await;
        }
    }

    /// Ends all services, each well.
    pub async fn stop(&self) {
        for replica in self.services() {
            replica.end().await;
        }
    }

    fn services(&self) -> impl Iterator<Item = &Replica> {
        self.votes.iter().chain(&self.workers).chain([&self.result])
    }

    fn replica(&self, part: Part) -> &Replica {
        match part {
            Part::Vote(place) => &self.votes[place],
            Part::Worker(place) => &self.workers[place],
            Part::Result => &self.result,
            Part::Redis | Part::Postgres => panic!("{part:?} is a server"),
        }
    }

    fn proxy(&self, way: Way) -> &Proxy {
        let link = match way {
            Way::VotersToVote(place) => &self.votes[place].from_voters,
            Way::VoteToRedis(place) => &self.votes[place].to_redis,
            Way::WorkerToRedis(place) => &self.workers[place].to_redis,
            Way::WorkerToPostgres(place) => &self.workers[place].to_postgres,
            Way::ResultToPostgres => &self.result.to_postgres,
        };
        &link.as_ref().expect("there is such a way").proxy
    }
}

impl Replica {
    async fn new(name: &'static str, storage: &Storage, programs: &Programs) -> Self {
        // The same after each start.
        let address = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{address}");
        let to_redis = match name {
            "vote" | "worker" => Some(Link::to(&storage.queue_url).await),
            _ => None,
        };
        let to_postgres = match name {
            "worker" | "result" => Some(Link::to(&storage.database_url).await),
            _ => None,
        };
        let from_voters = match name {
            "vote" => Some(Link::to(&url).await),
            _ => None,
        };
        let mut variables = vec![("LISTEN_ADDR", address), ("COOKIE_KEY", "5a".repeat(64))];
        variables.extend(to_redis.iter().map(|link| ("QUEUE_URL", link.url.clone())));
        variables.extend(
            to_postgres
                .iter()
                .map(|link| ("DATABASE_URL", link.url.clone())),
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
        let variables: Vec<_> = PROMPT
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

    /// SIGTERM, and a good end.
    async fn end(&self) {
        if let Some(mut service) = self.running.lock().await.take() {
            let ended = block_in_place(|| service.process.terminate());
            assert!(ended.success(), "{} ended with {ended}", self.name);
        }
    }
}
