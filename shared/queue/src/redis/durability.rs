//! Durability of the server according to its settings.

use redis::{Value, cmd};

use super::RedisQueue;
use crate::{Durability, DurabilityCheck, QueueError};

/// Settings and values with which an accepted ballot survives a crash.
const REQUIRED: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("maxmemory-policy", "noeviction"),
];

impl RedisQueue {
    pub(crate) async fn durability(&self) -> Result<Durability, QueueError> {
        if self.durability == DurabilityCheck::Managed {
            return Ok(Durability::Managed);
        }
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("append*").arg("maxmemory-policy");
        get.arg("min-replicas-to-write");
        let settings: Vec<(String, String)> = match self.connection.query(&get).await {
            Ok(settings) => settings,
            Err(error) => match self.classify(&error) {
                QueueError::Rejected(reason) => {
                    return Ok(Durability::Degraded(format!(
                        "its settings cannot be read, and QUEUE_DURABILITY is not managed: {reason}"
                    )));
                }
                other => return Err(other),
            },
        };
        let setting = |name: &str| {
            let found = settings.iter().find(|(setting, _)| setting == name);
            found.map_or("unknown", |(_, value)| value)
        };
        let deviations = REQUIRED.iter().filter_map(|&(name, required)| {
            let value = setting(name);
            (value != required).then(|| format!("{name} is {value} and should be {required}"))
        });
        let mut problems: Vec<_> = deviations.collect();
        let min_replicas = setting("min-replicas-to-write");
        problems.extend(self.failover_risk(min_replicas).await);
        Ok(if problems.is_empty() {
            Durability::Full
        } else {
            Durability::Degraded(problems.join(", "))
        })
    }

    /// Describes what a failover may lose, as replication is asynchronous; `None` if there are no replicas, or writes require
    /// replicas that are in sync.
    async fn failover_risk(&self, min_replicas: &str) -> Option<String> {
        // Without permission for ROLE the replicas are unknown, and none is assumed.
        let role = self
            .connection
            .query::<Vec<Value>>(&cmd("ROLE"))
            .await
            .ok()?;
        let replicas = match role.get(2) {
            Some(Value::Array(replicas)) if !replicas.is_empty() => replicas.len(),
            _ => return None,
        };
        (min_replicas == "0").then(|| {
            format!(
                "it has {replicas} replicas and min-replicas-to-write is 0, so a failover may lose all votes that had not \
                 reached a replica; with 1 it loses those of the last seconds at most (min-replicas-max-lag)"
            )
        })
    }
}
