//! Runs another program and reads its output, within a bounded time.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Maximum number of bytes that are read of the output.
const LONGEST: u64 = 64 << 20;

/// Returns the standard output of a program that exits with status 0 within `limit`; `None`
/// otherwise. A program that takes longer is killed with its process group.
pub(super) fn ask(command: &mut Command, limit: Duration) -> Option<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .ok()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (tell, told) = std::sync::mpsc::channel();
    // A thread reads the output, so that a full pipe cannot block the program and the wait stays
    // bounded.
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut answer = Vec::new();
            let read = stdout.take(LONGEST).read_to_end(&mut answer);
            let _ = tell.send(read.is_ok().then_some(answer));
        });
    }
    let answer = told.recv_timeout(limit).ok().flatten();
    if let (None, Some(group)) = (&answer, group) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().ok()?;
    answer.filter(|_| status.success())
}

#[cfg(test)]
mod tests {
    use super::ask;
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn shell(script: &str, limit: Duration) -> Option<Vec<u8>> {
        ask(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn an_answer_is_waited_for_until_the_time_limit() {
        assert_eq!(
            shell("echo yes", Duration::from_secs(20)),
            Some(b"yes\n".to_vec())
        );
        assert_eq!(shell("echo no; exit 1", Duration::from_secs(20)), None);
        let began = Instant::now();
        assert_eq!(
            shell("sleep 60 & echo never; wait", Duration::from_millis(100)),
            None
        );
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(
            ask(&mut Command::new("/nowhere"), Duration::from_secs(1)),
            None
        );
    }
}
