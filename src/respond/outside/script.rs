//! Owns scripts of the user: any executable, JSON in and JSON out, with bounds on time, memory
//! and output, in an environment that holds nothing of ours. Values never meet a shell.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::config::ScriptSpec;
use crate::respond::limits::cut;
use crate::respond::run::{Call, Failure, FailureKind, Output, Poll};

/// Bytes that a script may write.
const STDOUT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of its complaints that are kept.
const STDERR_BYTES_MAX: u64 = 4 << 10;
/// Where a script finds programs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs a script for a call.
pub async fn run(script: &ScriptSpec, call: &Call) -> Result<Output, Failure> {
    let input = json!({ "command": call.command, "arguments": call.arguments, "idempotency_key": call.idempotency_key, "task": call.task }).to_string();
    let mut command = Command::new(&script.file);
    command.args(&script.arguments).env_clear().env("PATH", PATH).envs(script.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
    if let Some(dir) = script.file.parent().filter(|dir| dir.is_dir()) {
        command.current_dir(dir);
    }
    let (memory, seconds) = (script.memory, u64::from(script.timeout_s));
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || limit(memory, seconds));
    }
    let mut child = command.spawn().map_err(|_| Failure::new(FailureKind::Unknown, format!("the script `{}` cannot be started", script.name)))?;
    let group = Group(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // Whoever does not read its input may still answer.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read = async {
            if let Some(stdout) = stdout {
                stdout.take(STDOUT_BYTES_MAX + 1).read_to_end(&mut out).await.ok();
            }
        };
        let complain = async {
            if let Some(mut stderr) = stderr {
                (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut err).await.ok();
                // The rest is read and forgotten, so that the script does not wait for us.
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.ok();
            }
        };
        tokio::join!(write, read, complain);
        let too_long = out.len() as u64 > STDOUT_BYTES_MAX;
        let status = if too_long { None } else { child.wait().await.ok() };
        (out, err, too_long, status)
    };
    let ended = tokio::time::timeout(Duration::from_secs(seconds), work).await;
    drop(group);
    let Ok((out, err, too_long, status)) = ended else {
        return Err(Failure::passing(FailureKind::Timeout, format!("the script `{}` took longer than {seconds} s", script.name)));
    };
    if too_long {
        return Err(Failure::new(FailureKind::Bound, format!("the script `{}` wrote more than {STDOUT_BYTES_MAX} bytes", script.name)));
    }
    if !status.is_some_and(|status| status.success()) {
        let said = String::from_utf8_lossy(&err);
        let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        return Err(Failure::new(FailureKind::Said, format!("the script `{}` failed: {}", script.name, cut(line, 300))));
    }
    output(&script.name, &out)
}

fn output(name: &str, bytes: &[u8]) -> Result<Output, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Output::default());
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|_| Failure::new(FailureKind::Said, format!("the script `{name}` answered with something else than JSON")))?;
    let Value::Object(mut members) = value else {
        return Ok(Output { contents: value, ..Output::default() });
    };
    if let Some(error) = members.get("error").and_then(Value::as_str) {
        return Err(Failure {
            message: cut(error, 1_000).to_owned(),
            retry: members.get("retry").and_then(Value::as_bool).unwrap_or(false),
            kind: FailureKind::Said,
        });
    }
    let poll = members.get("poll_after_seconds").and_then(Value::as_u64).map(|seconds| Poll {
        after_s: u32::try_from(seconds.clamp(1, 86_400)).unwrap_or(60),
        arguments: serde_json::Map::new(),
        timeout_s: 0,
    });
    let context = match members.remove("context") {
        Some(Value::Object(context)) => context,
        _ => serde_json::Map::new(),
    };
    let readable = members.get("readable").and_then(Value::as_str).unwrap_or_default().to_owned();
    let contents = members.remove("contents").unwrap_or(Value::Null);
    Ok(Output { context, contents, readable, poll })
}

/// Ends a script and all that it started.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: a signal to a process group of our own making.
            unsafe {
                libc::kill(-group, libc::SIGKILL);
            }
        }
    }
}

fn limit(memory: u64, seconds: u64) -> std::io::Result<()> {
    for (resource, most) in [(libc::RLIMIT_AS, memory), (libc::RLIMIT_CPU, seconds + 1), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_FSIZE, 1 << 30)] {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the struct is whole.
        if unsafe { libc::setrlimit(resource, &limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
