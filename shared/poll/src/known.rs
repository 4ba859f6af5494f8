//! The polls whose ballots can be counted.

use std::collections::HashMap;

use crate::{Options, Poll, PollId};

/// The polls whose ballots can be counted: that of the settings, and others that were added.
#[derive(Clone, Debug)]
pub struct KnownPolls {
    settings_poll: PollId,
    options: HashMap<PollId, Options>,
}

impl KnownPolls {
    /// Returns a set with the poll of the settings only.
    #[must_use]
    pub fn new(settings_poll: &Poll) -> Self {
        Self {
            settings_poll: settings_poll.id.clone(),
            options: [(settings_poll.id.clone(), settings_poll.options.clone())].into(),
        }
    }

    /// Adds another poll. The options of the settings' poll stay those of the settings.
    pub fn add(&mut self, id: PollId, options: Options) {
        self.options.entry(id).or_insert(options);
    }

    /// Returns the id of the settings' poll.
    #[must_use]
    pub fn settings_poll(&self) -> &PollId {
        &self.settings_poll
    }

    /// Returns the poll with this id and its options; `None` if the poll is unknown.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<(&PollId, &Options)> {
        self.options.get_key_value(id)
    }
}
