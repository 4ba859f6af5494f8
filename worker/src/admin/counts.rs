//! Compares the running counts with the votes, and makes them anew.

use anyhow::bail;
use store::Store;

/// Prints the differences.
///
/// # Errors
/// There are some, or the store does not answer.
pub async fn check(store: &Store) -> anyhow::Result<()> {
    let comparison = store.compare_counts().await?;
    if comparison.is_equal() {
        println!("the tally and the timeline are those of the votes");
        return Ok(());
    }
    print!("{comparison}");
    bail!("the running counts differ from the votes; admin recount makes them anew")
}

/// Makes the counts anew and prints what was wrong with them.
///
/// # Errors
/// The store does not answer, or others use the votes.
pub async fn recount(store: &Store) -> anyhow::Result<()> {
    let before = store.recount().await?;
    if before.is_equal() {
        println!("the tally and the timeline were those of the votes");
    } else {
        print!("{before}");
        println!("counted anew");
    }
    Ok(())
}
