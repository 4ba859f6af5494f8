//! Compares the running counts with the votes, and recounts them.

use anyhow::bail;
use store::Store;

/// Prints the differences between the running counts and the votes.
///
/// # Errors
/// The running counts differ from the votes, or the store failed.
pub async fn check(store: &Store) -> anyhow::Result<()> {
    let comparison = store.compare_counts().await?;
    if comparison.is_equal() {
        println!("the tally and the timeline match the votes");
        return Ok(());
    }
    print!("{comparison}");
    bail!("the running counts differ from the votes; admin recount corrects them")
}

/// Recounts all votes and prints the corrected differences.
///
/// # Errors
/// The store failed, or another transaction holds a lock on the votes for too long.
pub async fn recount(store: &Store) -> anyhow::Result<()> {
    let before = store.recount().await?;
    if before.is_equal() {
        println!("the tally and the timeline already matched the votes");
    } else {
        print!("{before}");
        println!("recounted");
    }
    Ok(())
}
