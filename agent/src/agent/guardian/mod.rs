//! The guardian: a process beside the agent that acts when the agent ends without a word while its node lives on.
//!
//! It waits for the agent's exit, then for a new agent, and when none comes within the grace it does in the agent's place
//! what an orderly end does: silence first, confirmed by the kernel, then the release (I4). So such an exit costs the grace
//! and not the silence that a standby waits for. A frozen agent has not ended, and is the fences' business.
//!
//! It is the agent's *child*, forked before there is a second thread, and shares all that it knows with it. The agent
//! keeps the process id that systemd or a shell started, so signals, the exit code, `sd_notify` and the watchdog go to it as if
//! there were no guardian; and whoever restarts agents sees at once that one has ended. If the guardian is killed the
//! agent says so and goes on: without it, an exit costs the silence.
//!
//! - [`split`]: the fork, and what the agent says to its guardian;
//! - [`vigil`]: the wait for the agent's exit;
//! - [`act`]: what is done then.

mod act;
mod split;
mod vigil;

pub use self::act::guard;
pub(super) use self::split::Loss;
pub use self::split::{Guard, Split, SplitError, split};
pub use self::vigil::Vigil;

/// What the agent says to its guardian: the lock is its own, so what it leaves is the guardian's to give up.
const ARMED: u8 = b'a';
/// It ends in order, with nothing left to give up.
const DISMISSED: u8 = b'd';
