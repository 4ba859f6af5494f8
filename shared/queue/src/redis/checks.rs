//! Checks of the server for health probes.

use std::sync::atomic::Ordering;

use redis::{Cmd, RedisError, cmd};
use tokio::time::timeout;

use super::{
    GROUP, PROBE_TIMEOUT, RedisQueue,
    errors::{explain, is_id_too_small, with_advice},
    rejection,
    replies::Hello,
};
use crate::QueueError;

/// The oldest supported major version of Redis.
const MIN_REDIS_VERSION: u32 = 7;
/// Suffix of the key of the stream that checks write to: a server that replies to PING may still reject ballots.
const PROBE_KEY_SUFFIX: &str = ":probe";

impl RedisQueue {
    /// Checks that ballots can be enqueued without adding one: writes an entry to the probe stream, then tries to add an entry
    /// to the ballots whose id is smaller than all others, which the server rejects as its last check.
    pub(crate) async fn check_write(&self) -> Result<(), QueueError> {
        let mut probe = cmd("XADD");
        probe.arg(format!("{}{PROBE_KEY_SUFFIX}", self.stream));
        probe.arg("MAXLEN").arg(1).arg("*").arg("probe").arg(1);
        self.probe(&probe).await?;
        let mut ballot = cmd("XADD");
        ballot.arg(&*self.stream).arg("NOMKSTREAM");
        // A stream that never had an entry accepts it and trims it at the same time.
        ballot.arg("MINID").arg("=").arg("0-2");
        ballot.arg("0-1").arg("probe").arg(1);
        self.probe(&ballot).await
    }

    /// Checks that ballots can be acknowledged, with an id that never exists.
    pub(crate) async fn check_ack(&self) -> Result<(), QueueError> {
        let mut xack = cmd("XACK");
        xack.arg(&*self.stream).arg(GROUP).arg("0-0");
        self.probe(&xack).await
    }

    async fn probe(&self, command: &Cmd) -> Result<(), QueueError> {
        let probe = async {
            if !self.is_version_checked.load(Ordering::Relaxed) {
                self.check_version().await?;
            }
            match self.connection.exec(command).await {
                Err(error) if !is_id_too_small(&error) => Err(self.explain(&error).await),
                _ => Ok(()),
            }
        };
        timeout(PROBE_TIMEOUT, probe).await.unwrap_or_else(|_| {
            self.connection.replace();
            Err(QueueError::Unavailable(format!(
                "{}: no reply within {PROBE_TIMEOUT:?}{}",
                self.location(),
                self.connection.tls_advice()
            )))
        })
    }

    /// Checks the server's version: older ones lack groups that count what they read, and scripts with flags.
    async fn check_version(&self) -> Result<(), QueueError> {
        let hello = self.connection.query::<Hello>(&cmd("HELLO")).await;
        let version = match hello {
            Ok(Hello { version }) => version,
            Err(error) => return Err(self.explain(&error).await),
        };
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major: u32| major < MIN_REDIS_VERSION) {
            return Err(QueueError::Rejected(format!(
                "{}: it is Redis {version}; {MIN_REDIS_VERSION}.0 or newer is needed, or Valkey",
                self.location()
            )));
        }
        self.is_version_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Classifies an error and adds what may be wrong with the settings if the error itself does not name a cause.
    async fn explain(&self, error: &RedisError) -> QueueError {
        match self.classify(error) {
            QueueError::Unavailable(reason) if !explain(error).is_certain => {
                let client = self.connection.client();
                let rejection = rejection::message(client.get_connection_info().addr()).await;
                QueueError::Unavailable(match rejection {
                    Some(text) => format!("{}: {}", self.location(), with_advice(None, &text)),
                    None => format!("{reason}{}", self.connection.tls_advice()),
                })
            }
            other => other,
        }
    }
}
