//! Exports stored votes as CSV.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use clap::Args;
use cli::spreadsheet::{BYTE_ORDER_MARK, text_cell};
use futures_util::TryStreamExt;
use poll::PollId;
use store::{Store, StoreError, StoredVote};
use tempfile::NamedTempFile;

use super::{output::ignore_broken_pipe, pluralize};

/// The arguments of `admin export`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// File to write; it appears only when it is complete. If not set, standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Export only the votes in the poll with this id, as listed by polls; if not set, those in all polls
    #[arg(long, value_name = "POLL-ID", value_parser = PollId::from_str)]
    poll: Option<PollId>,

    /// Start with a byte order mark, so that spreadsheets detect UTF-8
    #[arg(long)]
    bom: bool,
}

impl Settings {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let Some(file) = &self.output else {
            return match self.write(store, io::stdout()).await {
                Err(ExportError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => Ok(written.map(drop)?),
            };
        };
        let unwritable = || format!("--output: {} cannot be written", file.display());
        let (file, draft) = draft(file).with_context(unwritable)?;
        let votes = match self.write(store, draft.as_file()).await {
            Err(ExportError::Output(error)) => Err(error).with_context(unwritable)?,
            written => written?,
        };
        draft.as_file().sync_all().with_context(unwritable)?;
        draft.persist(&file).with_context(unwritable)?;
        ignore_broken_pipe(writeln!(
            io::stdout(),
            "{} in {}",
            pluralize(votes, "vote"),
            file.display()
        ))?;
        Ok(())
    }

    /// Writes the votes and returns their number.
    async fn write(&self, store: &Store, mut out: impl Write) -> Result<u64, ExportError> {
        if self.bom {
            out.write_all(BYTE_ORDER_MARK)?;
        }
        let mut table = csv::Writer::from_writer(out);
        table.write_record(["poll", "voter", "choice", "cast_at"])?;
        let mut votes = store.stored_votes(self.poll.as_ref());
        let mut count = 0;
        while let Some(vote) = votes.try_next().await? {
            let StoredVote {
                poll,
                voter,
                choice,
                cast_at,
                ballot: _,
            } = vote;
            let cast_at = cast_at.map(|at| format!("{at:.3}")).unwrap_or_default();
            table.write_record([
                &*text_cell(&poll),
                &*text_cell(&voter),
                &*text_cell(&choice),
                &*cast_at,
            ])?;
            count += 1;
        }
        table.flush()?;
        Ok(count)
    }
}

/// Resolves the path and creates a draft in the same folder. The draft is removed unless it replaces the file.
fn draft(file: &Path) -> anyhow::Result<(PathBuf, NamedTempFile)> {
    let file = match fs::canonicalize(file) {
        // Replacing /dev/stdout or a folder with a file would be a mistake.
        Ok(found) if !found.is_file() => bail!("it is not a file"),
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => file.to_owned(),
        Err(error) => return Err(error.into()),
    };
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let draft = tempfile::Builder::new()
        .prefix(".export-")
        .tempfile_in(folder)?;
    Ok((file, draft))
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the votes cannot be written")]
    Output(#[from] io::Error),
}

impl From<csv::Error> for ExportError {
    /// Keeps the I/O error, which the conversion of the crate csv would hide, so that a broken pipe is recognised.
    fn from(error: csv::Error) -> Self {
        Self::Output(match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })
    }
}
