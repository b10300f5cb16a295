//! `catchment` as processes: started in a directory of their own, signalled, watched.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Broker, until};

/// A directory with a `catchment.yaml`, in which processes run. Removed at the end.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// `more`: further lines of `catchment.yaml`, e.g. `instance: a`. The state directory is
    /// `state` beside it.
    pub(crate) fn new(broker: &Broker, more: &str) -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap() };
        home.write("catchment.yaml", &environment(broker, "state", more));
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, making its directories.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts `catchment ARGS` here; what it prints goes to files named after `name`.
    pub(crate) fn spawn(&self, name: &str, args: &[&str], variables: &[(&str, &str)]) -> Catchment {
        let out = self.dir.path().join(format!("{name}.out"));
        let log = self.dir.path().join(format!("{name}.log"));
        // A restart under the same name continues the files.
        let append = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_catchment"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).stdout(append(&out)).stderr(append(&log));
        command.envs(variables.iter().copied()).env("NO_COLOR", "1").process_group(0);
        let child = command.spawn().unwrap();
        Catchment { name: name.to_owned(), child, out, log, ended: None }
    }

    /// Runs `catchment ARGS` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_catchment")).args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
    }
}

/// The text of a `catchment.yaml`.
pub(crate) fn environment(broker: &Broker, state: &str, more: &str) -> String {
    format!("brokers: [{}]\nstate_dir: {state}\n{more}\n", broker.bootstrap())
}

/// The answer to a request for `/readyz`.
fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process. Dropped while it runs, it is killed.
pub(crate) struct Catchment {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Catchment {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait(Duration::from_secs(30));
    }

    /// SIGSTOP: the process hangs, its connections stay open.
    pub(crate) fn pause(&mut self) {
        self.signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.signal(libc::SIGCONT);
    }

    /// SIGTERM: end in order.
    pub(crate) fn terminate(&mut self) {
        self.signal(libc::SIGTERM);
    }

    /// SIGHUP: read the pipeline again.
    pub(crate) fn reload(&mut self) {
        self.signal(libc::SIGHUP);
    }

    fn signal(&mut self, signal: i32) {
        // Ours, and not waited for yet: the number cannot belong to anybody else.
        if self.status().is_none() {
            let pid = i32::try_from(self.child.id()).unwrap();
            // SAFETY: a plain system call.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// True if a signal ended it (SIGKILL is 9).
    pub(crate) fn ended_by(&mut self, signal: i32) -> bool {
        self.status().is_some_and(|status| status.signal() == Some(signal))
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// After `limit`, with the last lines of its log.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(since.elapsed() < limit, "{} runs on after {limit:?}; it said:\n{}", self.name, self.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it in order, which must succeed.
    pub(crate) fn stop(&mut self, limit: Duration) {
        self.terminate();
        let status = self.wait(limit);
        assert!(status.success(), "{}: {status}; it said:\n{}", self.name, self.last_words());
    }

    /// Everything on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Everything on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// Waits until its standard error holds this.
    ///
    /// # Panics
    /// After `limit`, or when it ends without.
    pub(crate) fn until_said(&mut self, needle: &str, limit: Duration) {
        let name = self.name.clone();
        until(&format!("{name} says {needle:?}"), limit, || {
            let ended = self.status().is_some();
            let said = self.stderr().contains(needle);
            assert!(said || !ended, "{name} ended without {needle:?}; it said:\n{}", self.last_words());
            said
        });
    }

    /// What `/readyz` answers: `Ok` when ready, else why not. Needs `listen: { api: 127.0.0.1:0 }`.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let said = self.stderr();
        let address = said.rsplit("health: http://").next().and_then(|rest| rest.split_once('/')).map(|(address, _)| address.to_owned());
        let answer = address.and_then(|address| get(&address).ok()).ok_or("it does not answer")?;
        match answer.split_once("\r\n\r\n") {
            Some((head, _)) if head.contains(" 200 ") => Ok(()),
            Some((_, body)) => Err(body.trim().to_owned()),
            None => Err(answer),
        }
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// After `limit`, with the last lines of its log.
    pub(crate) fn until_ready(&mut self, limit: Duration) {
        let since = Instant::now();
        while let Err(why) = self.ready() {
            assert!(since.elapsed() < limit && self.status().is_none(), "{} is not ready: {why}; it said:\n{}", self.name, self.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `/readyz` says so why it is not ready; returns all that it says.
    ///
    /// # Panics
    /// After `limit`, with the last lines of its log.
    pub(crate) fn until_troubled(&mut self, needle: &str, limit: Duration) -> String {
        let since = Instant::now();
        loop {
            let ready = self.ready();
            match &ready {
                Err(why) if why.contains(needle) => return why.clone(),
                _ => {}
            }
            assert!(since.elapsed() < limit && self.status().is_none(), "{}: {ready:?} instead of {needle:?}; it said:\n{}", self.name, self.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn last_words(&self) -> String {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Catchment {
    fn drop(&mut self) {
        if self.status().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
