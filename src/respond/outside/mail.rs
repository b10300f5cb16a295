//! Owns `send-mail`: addresses are parsed, texts are encoded; what a value holds cannot become a
//! header or another recipient.

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde_json::Value;

use super::config::{MailServer, MailTls, Settings};
use crate::respond::command::Args;
use crate::respond::run::{Call, Failure, FailureKind, Output};

/// Recipients of one mail (count).
const RECIPIENTS_MAX: usize = 100;
/// Bytes of a subject.
const SUBJECT_BYTES_MAX: usize = 500;
/// Bytes of a body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Seconds of one conversation with the server.
const SECONDS: u64 = 30;

/// Sends a mail.
pub async fn send(settings: &Settings, call: &Call) -> Result<Output, Failure> {
    let Some(server) = &settings.mail else {
        return Err(Failure::new(FailureKind::Unknown, "no mail server is set up (`mail` in respond.yaml)"));
    };
    let args = Args::new(call.arguments.clone());
    let (message, recipients) = message(server, &args, &call.idempotency_key)?;
    let transport = transport(server)?;
    match transport.send(message).await {
        Ok(_) => Ok(Output { contents: Value::from("sent"), readable: format!("mail sent to {recipients} recipients"), ..Output::default() }),
        Err(error) if error.is_transient() => Err(Failure::passing(FailureKind::Said, "the mail server refused for now")),
        Err(error) if error.is_permanent() => Err(Failure::new(FailureKind::Said, "the mail server refused")),
        Err(error) if error.is_timeout() => Err(Failure::passing(FailureKind::Timeout, "the mail server did not answer in time")),
        Err(_) => Err(Failure::passing(FailureKind::Unreachable, "the mail server cannot be reached")),
    }
}

fn transport(server: &MailServer) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    type Smtp = AsyncSmtpTransport<Tokio1Executor>;
    let unusable = |_| Failure::new(FailureKind::Argument, "the name of the mail server cannot be used with TLS");
    let mut builder = match server.tls {
        MailTls::Implicit => Smtp::relay(&server.host).map_err(unusable)?,
        MailTls::Starttls => Smtp::starttls_relay(&server.host).map_err(unusable)?,
        MailTls::None => Smtp::builder_dangerous(&server.host),
    };
    builder = builder.port(server.port).timeout(Some(std::time::Duration::from_secs(SECONDS)));
    if let Some((user, password)) = &server.user {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(builder.build())
}

/// The mail, and how many get it.
fn message(server: &MailServer, args: &Args, key: &str) -> Result<(Message, usize), Failure> {
    let mut builder = Message::builder()
        .from(mailbox(&server.from)?)
        // The same whenever the call is repeated: who gets it twice can tell.
        .message_id(Some(format!("<{key}@catchment>")))
        .subject(one_line(&args.text("subject"), SUBJECT_BYTES_MAX));
    let mut count = 0;
    for (name, needed) in [("to", true), ("cc", false), ("bcc", false), ("replyTo", false)] {
        let all = args.texts(name);
        if needed && all.is_empty() {
            return Err(wrong("`to` is empty"));
        }
        for address in &all {
            count += usize::from(name != "replyTo");
            if count > RECIPIENTS_MAX {
                return Err(wrong(format!("more than {RECIPIENTS_MAX} recipients")));
            }
            let mailbox = mailbox(address)?;
            builder = match name {
                "to" => builder.to(mailbox),
                "cc" => builder.cc(mailbox),
                "bcc" => builder.bcc(mailbox),
                _ => builder.reply_to(mailbox),
            };
        }
    }
    let body = args.text("body");
    let html = args.some("htmlBody");
    if body.len() + html.as_ref().map_or(0, String::len) > BODY_BYTES_MAX {
        return Err(wrong("the mail is too long"));
    }
    let built = match html {
        Some(html) => builder.multipart(MultiPart::alternative().singlepart(SinglePart::plain(body)).singlepart(SinglePart::html(html))),
        None => builder.header(ContentType::TEXT_PLAIN).body(body),
    };
    Ok((built.map_err(|_| wrong("the mail cannot be built"))?, count))
}

fn mailbox(text: &str) -> Result<Mailbox, Failure> {
    if text.chars().any(char::is_control) {
        return Err(wrong("that is no mail address"));
    }
    text.trim().parse().map_err(|_| wrong("that is no mail address"))
}

/// A text as one line.
fn one_line(text: &str, bytes: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    crate::respond::limits::cut(&line, bytes).to_owned()
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Argument, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(arguments: Value) -> Result<String, Failure> {
        let server = MailServer { host: "localhost".to_owned(), port: 25, from: "SOC <soc@corp.example>".to_owned(), user: None, tls: MailTls::None };
        let args = Args::new(arguments.as_object().unwrap().clone());
        message(&server, &args, "k").map(|(message, _)| String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn values_become_neither_headers_nor_recipients() {
        let text = built(json!({ "to": "ann@corp.example", "subject": "hi\r\nBcc: evil@bad.example\r\n\r\nbody", "body": "a\r\n.\r\nMAIL FROM:<x>" })).unwrap();
        assert!(!text.lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{text}");
        assert!(built(json!({ "to": "ann@corp.example\r\nRCPT TO:<evil@bad.example>", "subject": "x" })).is_err());
        assert!(built(json!({ "to": "no address", "subject": "x" })).is_err());
        assert!(built(json!({ "subject": "x" })).is_err());
        assert!(
            built(json!({ "to": "a@b.example,c@d.example", "subject": "ümläut", "body": "x", "htmlBody": "<b>x</b>" }))
                .unwrap()
                .contains("multipart/alternative")
        );
    }
}
