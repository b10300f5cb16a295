//! `catchment generate`: seeded events as NDJSON, and the answers that belong to them.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Answer, output};
use crate::error::Error;
use crate::load::{Answers, Generator, GeneratorSpec, Message, profiles};

/// `generate`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The same seed gives the same bytes. The answers (what must become of each event under the pipeline that belongs to the profile) are computed by the generator, never by the engine.\n\nExamples:\n  catchment generate --profile bench --events 1000000 -o bench.ndjson\n  catchment generate --events 100000 --split soc-events --answers answers.json\n  catchment generate --list"
)]
pub struct GenerateArgs {
    /// Which events: `soc` for all products together, or one of --list
    #[arg(long, default_value = "soc")]
    pub profile: String,
    /// How many events (60000, 500k, 2M)
    #[arg(long, value_parser = super::args::events, default_value_t = 10_000)]
    pub events: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where they go: a file, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
    /// Write one file per topic into this directory (as `replay` wants them: each file has its source)
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub split: Option<PathBuf>,
    /// Write the answers as JSON: a file, or -
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Share of events that repeat an earlier one inside its window, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub duplicates: Option<f64>,
    /// List the profiles
    #[arg(long)]
    pub list: bool,
}

/// Runs the command.
pub fn run(args: &GenerateArgs) -> Result<Answer, Error> {
    if args.list {
        let mut rows = output::table(&["profile", "events", "topic"], &[]);
        rows.add_row(["soc", "all products together, as `demo` streams them", ""]);
        for profile in profiles::ALL {
            rows.add_row([profile.name, profile.about, profile.topic]);
        }
        println!("{rows}");
        return Ok(Answer::Yes);
    }
    let Some(mut spec) = GeneratorSpec::named(&args.profile, args.seed, args.events) else {
        let names: Vec<&str> = profiles::ALL.iter().map(|p| p.name).chain(["soc"]).collect();
        let hint = crate::config::suggest::hint(&args.profile, &names).unwrap_or_else(|| "catchment generate --list".into());
        return Err(Error::user(format!("there is no profile `{}`", args.profile)).hint(hint));
    };
    spec.lines = true;
    if let Some(share) = args.duplicates {
        spec.story_share = Some(1.0);
        spec.duplicate_share = share.clamp(0.0, 1.0);
    }
    let mut generator = Generator::new(spec).map_err(|error| Error::bug(error.to_string()))?;
    let mut outs = Outs::open(args)?;
    let mut answers = Answers::new();
    let mut message = Message::default();
    while generator.next(&mut message) {
        answers.add_all(&message.outcomes);
        let out = outs.of(message.topic)?;
        let written = out.write_all(&message.payload).and_then(|()| out.write_all(b"\n"));
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Answer::Yes),
            other => other.map_err(|error| Error::environment(format!("cannot write: {error}")))?,
        }
    }
    for (_, mut out) in outs.files {
        out.flush()?;
    }
    if let Some(path) = &args.answers {
        let mut file = output::writer(path)?;
        let text = serde_json::to_string_pretty(&answers.counts()).map_err(|error| Error::bug(error.to_string()))?;
        writeln!(file, "{text}")?;
        file.flush()?;
    }
    Ok(Answer::Yes)
}

/// Where messages go: one place for all, or a file per topic.
struct Outs<'a> {
    dir: Option<&'a Path>,
    files: Vec<(String, Box<dyn Write + Send>)>,
}

impl<'a> Outs<'a> {
    fn open(args: &'a GenerateArgs) -> Result<Outs<'a>, Error> {
        let dir = args.split.as_deref();
        let mut files = Vec::new();
        match dir {
            Some(dir) => std::fs::create_dir_all(dir).map_err(|error| Error::user(format!("cannot make {}: {error}", dir.display())))?,
            None => files.push((String::new(), output::writer(&args.output)?)),
        }
        Ok(Outs { dir, files })
    }

    fn of(&mut self, topic: &str) -> Result<&mut Box<dyn Write + Send>, Error> {
        let number = match self.dir {
            None => 0,
            Some(dir) => match self.files.iter().position(|(known, _)| known == topic) {
                Some(number) => number,
                None => {
                    self.files.push((topic.to_owned(), output::writer(&dir.join(format!("{topic}.ndjson")))?));
                    self.files.len() - 1
                }
            },
        };
        self.files.get_mut(number).map(|(_, out)| out).ok_or_else(|| Error::bug("no place to write to"))
    }
}
