//! `incident set|close|reopen`: a fact, and what the keeper made of it.

use std::time::{Duration, Instant};

use super::place::{Place, StateRecord};
use super::value::{field_of, token_of};
use super::{CloseArgs, EditArgs, ReopenArgs, SetArgs, Which};
use crate::cli::Answer;
use crate::cli::output::{Style, style};
use crate::cli::saying::{actor, new_id, now_us};
use crate::error::Error;
use crate::incident::fact::{Fact, What};
use crate::incident::facts::push_edit;
use crate::incident::fold::{NOTES_BYTES_MAX, REASON_BYTES_MAX, SET_VALUE_BYTES_MAX};
use crate::incident::record::{Incident, Noted, Outcome, read_facts};
use crate::incident::split::{find, members, text};
use crate::incident::time_text::TimeText;

/// Time between two looks for the outcome.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `set`
pub fn set(args: &SetArgs) -> Result<Answer, Error> {
    let place = Place::find(&args.which)?;
    let mut fields: Vec<(Box<str>, Box<str>)> = Vec::new();
    for written in &args.fields {
        let (name, token) = field_of(written, &place.pipe.pipeline, args.any_field)?;
        bounded(&format!("the value of `{name}`"), &token, SET_VALUE_BYTES_MAX)?;
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(Error::user(format!("`{name}` is given twice")));
        }
        fields.push((name, token));
    }
    edit(&place, &args.which, &args.edit, What::Set(fields))
}

/// `close`
pub fn close(args: &CloseArgs) -> Result<Answer, Error> {
    let reason = args.reason.as_deref().map(token_of);
    let notes = args.notes.as_deref().map(token_of);
    bounded("the reason", reason.as_deref().unwrap_or_default(), REASON_BYTES_MAX)?;
    bounded("the notes", notes.as_deref().unwrap_or_default(), NOTES_BYTES_MAX)?;
    edit(&Place::find(&args.which)?, &args.which, &args.edit, What::Close { reason, notes })
}

/// `reopen`
pub fn reopen(args: &ReopenArgs) -> Result<Answer, Error> {
    edit(&Place::find(&args.which)?, &args.which, &args.edit, What::Reopen)
}

fn bounded(what: &str, token: &str, max: usize) -> Result<(), Error> {
    if token.len() <= max { Ok(()) } else { Err(Error::user(format!("{what} is longer than {max} bytes"))) }
}

fn edit(place: &Place, which: &Which, args: &EditArgs, what: What) -> Result<Answer, Error> {
    let mut from = place.end()?;
    if !args.no_wait && place.newest(None)?.0.is_none() {
        eprintln!("there is no incident {} in this pipeline", place.id);
        return Ok(Answer::No);
    }
    let actor = actor(args.actor.as_deref());
    let fact = Fact { id: new_id(), about: place.id, actor: Some(actor.into()), at: now_us(), if_version: args.if_version, what };
    let mut out = Vec::new();
    push_edit(&mut out, &fact, &mut TimeText::default());
    place.say(&out)?;
    if args.no_wait {
        println!("{}", fact.id);
        return Ok(Answer::Yes);
    }
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let (newest, next) = place.newest(Some(from))?;
        from = next;
        if let Some(record) = newest
            && let Some(noted) = read_facts(&record.facts).into_iter().rev().find(|noted| noted.fact == fact.id)
        {
            return tell(&record, &noted, which.json);
        }
        if Instant::now() >= until {
            let mut error = Error::environment(format!("no keeper has answered within {} s", args.wait));
            error.retry = false;
            return Err(
                error.hint(format!("is one running (`catchment run --role keeper`)? the fact {} is written and counts as soon as one reads it", fact.id))
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Says what became of the fact.
fn tell(record: &StateRecord, noted: &Noted, json: bool) -> Result<Answer, Error> {
    let incident = std::str::from_utf8(&record.value).ok().and_then(|value| Incident::read(value, &record.facts));
    let why = incident.as_ref().and_then(|incident| incident.last_rejected.as_deref()).and_then(|rejected| {
        let members = members(rejected)?;
        let named = text(find(&members, "fact")?)? == noted.fact.to_string();
        named.then(|| find(&members, "reason").and_then(text).unwrap_or_default().into_owned())
    });
    let answer = if noted.outcome == Outcome::Rejected { Answer::No } else { Answer::Yes };
    if json {
        let told = serde_json::json!({ "fact": noted.fact.to_string(), "outcome": noted.outcome.name(), "version": noted.version, "reason": why });
        println!("{told}");
        return Ok(answer);
    }
    match noted.outcome {
        Outcome::Applied => println!("{}: the incident is now in version {}", style("applied", Style::Good), noted.version),
        Outcome::Unchanged => println!("unchanged: it was so already, in version {}", noted.version),
        Outcome::Rejected => {
            let why = match why.as_deref() {
                Some("if_version") => format!("there is a newer version, {}", noted.version),
                Some("system_field") => "a field that Catchment fills itself".to_owned(),
                Some("field_name") => "that is no name of a field".to_owned(),
                Some("timer") => "that cannot happen to the timer in its state".to_owned(),
                Some("field_value") => "a severity or type that is none".to_owned(),
                Some("too_large") => "the incident would be larger than its topic takes".to_owned(),
                _ => format!("the incident is in version {}", noted.version),
            };
            println!("{}: {why}", style("refused", Style::Bad));
        }
    }
    Ok(answer)
}
