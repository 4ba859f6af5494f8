//! A checkout whose files only the owner may read, as with a umask of 077.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use crate::harness::{folders, skip::or_skip, stack::Stack, viewer::wait_for_votes, voter::Voter};

/// A user other than root.
const OWNER: u32 = 12_345;

/// Copies a file or a folder, accessible only to its owner.
fn copy_private(from: &Path, to: &Path) {
    let mode = if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_private(&from.join(&name), &to.join(&name));
        }
        0o700
    } else {
        fs::copy(from, to).unwrap();
        0o600
    };
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
    // Fails if the tests do not run as root. Then their user owns the files, which is another user than the containers' root.
    let _ = chown(to, Some(OWNER), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_readable_only_by_its_owner_starts() {
    let checkout = tempfile::tempdir().unwrap();
    let root = folders::root();
    fs::create_dir(checkout.path().join("infra")).unwrap();
    for part in [
        "docker-compose.yml",
        "secrets.env.example",
        "infra/compose",
        "infra/monitoring",
        "infra/tracing",
    ] {
        copy_private(&root.join(part), &checkout.path().join(part));
    }
    let stack = or_skip!(Stack::in_folder(checkout.path().to_owned()));
    stack.up(&[]);
    Voter::new(&stack.vote).must_vote_for("a").await;
    wait_for_votes(&stack.result, &[1, 0]).await;
}
