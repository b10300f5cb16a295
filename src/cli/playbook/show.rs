//! `catchment playbook show`: a playbook as text.

use super::super::Answer;
use super::super::output::{Style, style};
use super::super::text::visible;
use super::Within;
use crate::content::text;
use crate::error::Error;

/// `playbook show`
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The playbook: a file, or a name within --in
    pub playbook: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub within: Within,
}

/// Runs the command.
pub fn run(args: &ShowArgs) -> Result<Answer, Error> {
    let loaded = super::read(Some(&args.playbook), &args.within)?;
    let id = loaded.id(&args.playbook)?;
    let (Some((item, playbook)), Some(program)) = (loaded.content.playbook(&id), loaded.world.library.find(&id)) else {
        return Err(Error::user(format!("there is no playbook `{id}`")));
    };
    println!("{} (version {})", style(&visible(&item.head.name), Style::Head), program.version);
    if !item.head.description.is_empty() {
        println!("{}", visible(item.head.description.trim()));
    }
    for line in text::playbook(playbook).lines() {
        println!("{}", visible(line));
    }
    Ok(Answer::Yes)
}
