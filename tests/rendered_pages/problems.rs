//! Problems as pages, for browsers.

use super::assert_pages;
use crate::harness::{
    app::App,
    storage::{Backend, Storage},
    voter::client,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_an_unknown_path() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    let client = client();
    let unknown = format!("{}/a/b", app.vote);
    assert_pages("unknown-path", || client.get(&unknown)).await;
    app.stop().await;
}
