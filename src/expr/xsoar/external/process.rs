//! One process of an executable: lines in, lines out, killed when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Limits, Program};

/// Bytes of one answer.
const LINE_MAX: u64 = 4 << 20;
/// Bytes of the answers to one batch of calls.
pub const ANSWERS_MAX: usize = 64 << 20;
/// Answers that wait to be read.
const LINES_WAITING: usize = 256;
/// What programs are looked for in: the environment is otherwise empty.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a process is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is no program, or one that may not be run.
    #[error("it cannot be started")]
    Start,
    /// It ended, or closed its input or output.
    #[error("it ended before it had answered")]
    Ended,
    /// It took too long.
    #[error("it did not answer in time")]
    Slow,
    /// It answered more than is kept.
    #[error("its answers are too large")]
    TooMuch,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    to: Option<Sender<Vec<u8>>>,
    from: Receiver<Vec<u8>>,
}

impl Process {
    /// Starts it in its own directory, in a group of its own, with bounds on its memory.
    pub fn start(program: &Program, limits: Limits) -> Result<Process, Broken> {
        // A shell sets the bound and becomes the program.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -v \"$1\" && ulimit -c 0 && shift && exec \"$@\"", "sh"]).arg((limits.memory / 1024).to_string()).arg(&program.path);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        if let Some(dir) = program.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            command.current_dir(dir);
        }
        // What it says on its standard error may hold values of events.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|_| Broken::Start)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (to, to_write) = bounded::<Vec<u8>>(1);
        let (lines, from) = bounded(LINES_WAITING);
        let process = Process { child, to: Some(to), from };
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(Broken::Start) };
        let write = move || {
            for bytes in to_write {
                if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        };
        let read = move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                match stdout.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                    // A line without an end is the last one, or too long.
                    Ok(_) if line.last() == Some(&b'\n') => {}
                    _ => break,
                }
                if lines.send(line).is_err() {
                    break;
                }
            }
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        named("script-in").spawn(write).map_err(|_| Broken::Start)?;
        named("script-out").spawn(read).map_err(|_| Broken::Start)?;
        Ok(process)
    }

    /// Hands calls over.
    pub fn send(&mut self, lines: Vec<u8>) -> Result<(), Broken> {
        self.to.as_ref().ok_or(Broken::Ended)?.try_send(lines).map_err(|_| Broken::Ended)
    }

    /// The next answer.
    pub fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, Broken> {
        self.from.recv_deadline(deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => Broken::Slow,
            RecvTimeoutError::Disconnected => Broken::Ended,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.to = None;
        if let Ok(group) = i32::try_from(self.child.id()) {
            // SAFETY: sends a signal, touches no memory. The child leads this group and was not waited for,
            // so its number cannot have been given to another.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
