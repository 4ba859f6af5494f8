//! Lua scripts that workers run in Redis.
//!
//! Each is called by the hash of its text, so that ACL rules can allow a worker these scripts and no others:
//! `+evalsha|HASH`. A change of a script changes its hash, here and in the ACL rules.

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, cmd};

use super::connection::Connection;

/// A script and the SHA-1 of its text in hexadecimal.
pub struct Script {
    hash: &'static str,
    text: &'static str,
}

/// Creates the group that ARGV names, at the beginning of the stream. The plain command would be rejected by a server that is
/// out of memory, and then no worker could empty the stream.
pub const CREATE_GROUP: Script = Script {
    hash: "679db5c241cdaa1c21f134f0008311c8c9f0199a",
    text: "#!lua flags=allow-oom
return redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')",
};

/// Removes idle consumers without pending entries. ARGV: the group, the consumer to keep, and the minimum idle time in
/// milliseconds. A script is atomic: otherwise a consumer could read a ballot between the check and its removal, which
/// would drop the ballot.
pub const REMOVE_IDLE_CONSUMERS: Script = Script {
    hash: "61e3d644ef179396966d75735d6b470b3b911b7c",
    text: "
local forgotten = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer.name ~= ARGV[2] and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    forgotten = forgotten + 1
  end
end
return forgotten
",
};

/// Sets the last id of an empty stream and of its group to the smallest id, so that the next id follows the server's clock.
/// ARGV: the group and the expected last id. A script is atomic: no entry can be added between the check and the change.
pub const RESTART_IDS: Script = Script {
    hash: "a1e3d12cfdb9f114f07ad0ce1549499460bc04fa",
    text: "
local stream = {}
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do stream[info[i]] = info[i + 1] end
if stream.length ~= 0 or stream['last-generated-id'] ~= ARGV[2] then return 0 end
if redis.call('XPENDING', KEYS[1], ARGV[1])[1] ~= 0 then return 0 end
redis.call('XSETID', KEYS[1], '0-1')
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0-1')
return 1
",
};

impl Script {
    /// Runs the script on this key. Loads it first if the server does not have it, as after a restart.
    pub async fn run<T: FromRedisValue>(
        &self,
        connection: &Connection,
        key: &str,
        arguments: &[&str],
    ) -> RedisResult<T> {
        let mut call = cmd("EVALSHA");
        call.arg(self.hash).arg(1).arg(key).arg(arguments);
        match connection.query(&call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
            reply => return reply,
        }
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(self.text);
        connection.exec(&load).await?;
        connection.query(&call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acl_rules_allow_a_worker_these_scripts_and_no_others() {
        let rules = include_str!("../../../../infra/compose/make-secrets");
        let named: Vec<_> = rules
            .split_whitespace()
            .filter_map(|rule| rule.strip_prefix("+evalsha|"))
            .collect();
        let fixed = [CREATE_GROUP, REMOVE_IDLE_CONSUMERS, RESTART_IDS].map(|script| script.hash);
        assert_eq!(named, fixed);
        assert!(!rules.contains("+eval "), "any script");
    }
}
