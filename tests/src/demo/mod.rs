//! The demo: three nodes, a three-member etcd and a client, told as a live timeline.
//!
//! Scenes are a list ([`scenes::SCENES`]): each says what it does to the nodes, and everything else is told of itself, from
//! what the client, the tap and the records' history see. The judge has the last word: a demo in which two nodes
//! acted as owner at once says so and fails.

mod news;
mod play;
mod ribbon;
mod scenes;
mod screen;
mod summary;
mod watch;

use std::process::ExitCode;

use crate::clock::now;
use crate::interrupt::Interrupt;
use play::Play;
use scenes::SCENES;
use screen::Screen;

const USAGE: &str = "\
Usage: cargo xtask demo [--watch]

  --watch   keep the lab open afterwards, to play in; Ctrl-C ends it
";

/// The exit code of a command line that makes no sense.
const REFUSED: u8 = 2;

/// Plays the demo; the arguments are the command line without the program's own name.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let mut stays_open = false;
    for argument in arguments {
        match argument.as_str() {
            "--watch" => stays_open = true,
            "-h" | "--help" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprint!("demo: what is `{argument}`?\n\n{USAGE}");
                return ExitCode::from(REFUSED);
            }
        }
    }
    let interrupt = Interrupt::listen();
    if perform(stays_open, &interrupt) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays every scene; says whether the judge found everything in order.
fn perform(stays_open: bool, interrupt: &Interrupt) -> bool {
    let begun = now();
    let screen = Screen::on_stdout();
    screen.title("Mantle: one address, three nodes, and a client that asks it a thousand times a second");
    screen.faint("Setting the stage: two switches, an etcd of three members, a client …");
    let mut play = Play::begin(screen);
    for scene in SCENES {
        play.perform(scene);
    }
    play.end_of_scenes(begun);
    if stays_open {
        watch::open(&mut play, interrupt);
    }
    play.end()
}
