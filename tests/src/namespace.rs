//! Namespaces without a name: a thread that has unshared itself from the machine and takes jobs.
//!
//! Nothing in the file system refers to such a namespace. When the thread and whatever was started from it are gone,
//! the kernel removes the namespace with everything in it, also after a SIGKILL of the whole test process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, getpid, gettid};

type Job = Box<dyn FnOnce() + Send>;

/// A thread in namespaces of its own.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    tid: Pid,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Starts a thread and unshares it.
    ///
    /// # Panics
    /// If the kernel refuses: a scenario that cannot run must not pass.
    pub(crate) fn new(name: &str, flags: CloneFlags) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (report, made) = mpsc::channel();
        let thread = spawn_named(name, move || {
            let tid = unshare(flags).map(|()| gettid());
            let failed = tid.is_err();
            // The receiver is waiting below; without it there is nobody to take jobs for either.
            if report.send(tid).is_err() || failed {
                return;
            }
            for job in queue {
                job();
            }
        });
        let tid = match made.recv().expect("the thread reports before it ends") {
            Ok(tid) => tid,
            Err(Errno::EPERM) => panic!(
                "the lab makes network namespaces, which takes root: unshare({flags:?}) answered EPERM; run the tests \
                 as root (and in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN)"
            ),
            Err(errno) => panic!("cannot make namespaces for {name}: unshare({flags:?}) answered {errno}"),
        };
        Self { name: name.to_owned(), tid, jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs `job` on the namespace's thread and waits for it. Jobs run one after the other; what takes long wants
    /// [`Self::thread`].
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            // The asker waits below: a failed send cannot happen.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(job)));
        });
        let jobs = self.jobs.as_ref().expect("the queue is there until the drop");
        jobs.send(job).expect("the thread takes jobs until the drop");
        finish(result.recv().expect("a job answers, also when it panics"))
    }

    /// Runs `job` on a thread of its own inside the namespace: threads inherit the namespaces of their maker.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let name = name.to_owned();
        self.run(move || spawn_named(&name, job))
    }

    /// Where the kernel shows one of the thread's namespaces ("net", "mnt", "uts") to every process of the machine.
    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task/{}/ns/{kind}", getpid(), self.tid))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Closing the queue ends the thread.
        self.jobs = None;
        let Some(thread) = self.thread.take() else { return };
        // The last reference may be dropped by a job on this very thread, which cannot wait for itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            debug_assert!(false, "the thread of {} catches every panic", self.name);
        }
    }
}

/// The value of a finished thread or job; its panic goes on in the caller.
pub(crate) fn finish<T>(result: Result<T, Box<dyn Any + Send>>) -> T {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

fn spawn_named<T: Send + 'static>(name: &str, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(job)
        .unwrap_or_else(|error| panic!("cannot start the thread {name}: {error}"))
}
