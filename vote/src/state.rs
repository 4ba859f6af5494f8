//! Shared application state.

use std::sync::Arc;

use jiff::Timestamp;
use poll::Poll;
use web::{BasePath, PageCache, language::Translations, public_urls::PublicUrlSettings};

use crate::{
    assets::Assets,
    cookie_key::CookieKeys,
    identity::CookieContext,
    page_template::PageContent,
    texts::{self, Texts},
    vote_service::VoteService,
};

/// State that all handlers share.
pub struct AppState {
    /// Poll that is voted on.
    pub poll: Arc<Poll>,
    /// Validates votes and enqueues them.
    pub votes: VoteService,
    /// Keys that sign the voters' cookies.
    pub cookie_keys: CookieKeys,
    /// Texts of the page in all languages.
    pub texts: Translations<Texts>,
    /// Static files of the page.
    pub assets: Assets,
    /// Public URLs of the pages.
    pub links: PublicUrlSettings,
    /// Name of this instance, which the page shows.
    pub instance: String,
    /// Rendered pages that several voters share.
    pub pages: PageCache<PageContent>,
}

impl AppState {
    /// Creates the state.
    pub fn new(votes: VoteService, cookie_keys: CookieKeys, links: PublicUrlSettings) -> Self {
        Self {
            poll: votes.poll.clone(),
            votes,
            cookie_keys,
            texts: texts::load(),
            assets: Assets::new(),
            links,
            instance: telemetry::instance_name(),
            pages: PageCache::default(),
        }
    }

    /// Returns the context for reading and setting voters' cookies.
    pub fn cookie_context(&self, now: Timestamp) -> CookieContext<'_> {
        CookieContext {
            now,
            poll: self.poll.id.as_str(),
            path: self
                .links
                .vote_base_path
                .as_ref()
                .map_or("/", BasePath::cookie_path),
        }
    }
}
