//! What the command line asks for.

use crate::build::Profile;
use crate::mutants;
use crate::refusal::Refusal;
use crate::run::Program;

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask TASK

Each task first prepares what it needs; those marked * need root, since their lab is made of network namespaces.

  setup                        find out what is missing on this machine and get it, saying what and why
  build [--release]            build the agent and the lab's programs
  build-ebpf [--check]         build the kernel programs; or only compare what the sources give with what is committed
* demo [--watch] [ARGS]        three nodes, an etcd and a client: watch the VIP move
* test [--release] [FILTER..]  every unit test and scenario, or those whose names contain a FILTER
* torment [ARGS]               everything goes wrong at random; the wire is judged, every gap explained
* machines [ARGS]              emulated machines: other kernels and drivers, in the same lab; --help says more
  model [--minutes N]          the protocol under the model checker, as deep as the time allows
  mutants [ARGS]               break the protocol in one thing after another: does the proof notice?
  fuzz [--minutes N] [TARGET..]  look for inputs that the agent does not bear: values, frames, config, http, control
* bench [ARGS]                 measure, with a release build
  help                         this page

Arguments of mutants: --rules or --generated (both unless one is named), --shard I/N, --jobs N, --fresh (judge anew
what was judged before), NAME.. (only those whose names contain one)

Environment:
  MANTLE_ETCD_34, MANTLE_ETCD_35   folders with the `etcd` of that version to use instead of looking for one
  CI=true                          whatever cannot be run is a failure
";

/// One task, with all that its part of the command line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Print the usage.
    Help,
    /// Get what is missing.
    Setup,
    /// Build only.
    Build {
        /// As what.
        profile: Profile,
    },
    /// Build the kernel programs.
    BuildEbpf {
        /// Compare with the committed ones instead of replacing them.
        check: bool,
    },
    /// Put the protocol under the model checker.
    Model {
        /// For how long.
        minutes: u32,
    },
    /// Run tests and clusters in emulated machines.
    Machines {
        /// Handed to the program.
        arguments: Vec<String>,
    },
    /// Break the protocol and see what notices.
    Mutants(mutants::Options),
    /// Look for inputs that the agent does not bear.
    Fuzz {
        /// For how long, each target.
        minutes: u32,
        /// Which; none for all.
        targets: Vec<String>,
    },
    /// Run the tests.
    Test {
        /// Built as what.
        profile: Profile,
        /// Handed to each test program: filters and the harness's own options.
        arguments: Vec<String>,
    },
    /// Run one of the lab's programs.
    Run {
        /// Which.
        program: Program,
        /// Handed to it.
        arguments: Vec<String>,
    },
}

/// Reads the command line, without the program's own name.
pub(crate) fn parse(mut line: impl Iterator<Item = String>) -> Result<Task, Refusal> {
    let name = line.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = line.collect();
    match name.as_str() {
        "help" | "-h" | "--help" => Ok(Task::Help),
        "setup" => nothing_left(&name, &rest).map(|()| Task::Setup),
        "build" => {
            let (profile, rest) = profile(rest);
            nothing_left(&name, &rest).map(|()| Task::Build { profile })
        }
        "build-ebpf" => {
            let (check, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|word| word == "--check");
            nothing_left(&name, &rest).map(|()| Task::BuildEbpf { check: !check.is_empty() })
        }
        "model" => {
            let (minutes, rest) = minutes(rest)?;
            nothing_left(&name, &rest).map(|()| Task::Model { minutes })
        }
        "machines" => Ok(Task::Machines { arguments: rest }),
        "mutants" => mutants::Options::parse(rest).map(Task::Mutants),
        "fuzz" => {
            let (minutes, targets) = minutes(rest)?;
            let surplus: Vec<String> = targets.iter().filter(|word| word.starts_with('-')).cloned().collect();
            nothing_left(&name, &surplus).map(|()| Task::Fuzz { minutes, targets })
        }
        "test" => {
            let (profile, mut arguments) = profile(rest);
            // `cargo test` wants it before the harness's options; here there is nothing to keep apart.
            arguments.retain(|argument| argument != "--");
            Ok(Task::Test { profile, arguments })
        }
        "demo" => Ok(Task::Run { program: Program::Demo, arguments: rest }),
        "torment" => Ok(Task::Run { program: Program::Torment, arguments: rest }),
        "bench" => Ok(Task::Run { program: Program::Bench, arguments: rest }),
        _ => Err(Refusal::Usage(format!("there is no task `{name}`"))),
    }
}

/// For how many minutes, ten if nothing is said, and what else is said.
fn minutes(mut rest: Vec<String>) -> Result<(u32, Vec<String>), Refusal> {
    let Some(at) = rest.iter().position(|word| word == "--minutes") else { return Ok((10, rest)) };
    let given: Vec<String> = rest.drain(at..rest.len().min(at + 2)).collect();
    let minutes = given.get(1).and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    let minutes = minutes.ok_or_else(|| Refusal::Usage("`--minutes` wants a number above 0".to_owned()))?;
    Ok((minutes, rest))
}

fn profile(arguments: Vec<String>) -> (Profile, Vec<String>) {
    let (release, rest): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument == "--release");
    (if release.is_empty() { Profile::Dev } else { Profile::Release }, rest)
}

fn nothing_left(task: &str, rest: &[String]) -> Result<(), Refusal> {
    match rest.first() {
        Some(surplus) => Err(Refusal::Usage(format!("`{task}` does not take `{surplus}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Task, Refusal> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_test_takes_its_profile_and_hands_on_the_rest() {
        let arguments = vec!["resume".to_owned(), "--nocapture".to_owned()];
        assert_eq!(
            parse_words("test resume --release -- --nocapture").unwrap(),
            Task::Test { profile: Profile::Release, arguments }
        );
        assert_eq!(parse_words("test").unwrap(), Task::Test { profile: Profile::Dev, arguments: Vec::new() });
    }

    #[test]
    fn a_program_gets_every_argument_as_it_is() {
        assert_eq!(
            parse_words("demo --watch --release").unwrap(),
            Task::Run {
                program: Program::Demo,
                arguments: vec!["--watch".to_owned(), "--release".to_owned()]
            }
        );
    }

    #[test]
    fn the_kernel_programs_are_built_or_checked() {
        assert_eq!(parse_words("build-ebpf").unwrap(), Task::BuildEbpf { check: false });
        assert_eq!(parse_words("build-ebpf --check").unwrap(), Task::BuildEbpf { check: true });
    }

    #[test]
    fn what_is_fuzzed_and_for_how_long() {
        let task = |minutes, targets: &[&str]| {
            let targets = targets.iter().map(ToString::to_string).collect();
            Task::Fuzz { minutes, targets }
        };
        assert_eq!(parse_words("fuzz").unwrap(), task(10, &[]));
        assert_eq!(parse_words("fuzz http --minutes 3 config").unwrap(), task(3, &["http", "config"]));
        for wrong in ["fuzz --minutes", "fuzz --minutes 0", "fuzz --minutes ten", "fuzz --seconds 3"] {
            assert!(matches!(parse_words(wrong), Err(Refusal::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn the_model_is_checked_for_so_long() {
        assert_eq!(parse_words("model").unwrap(), Task::Model { minutes: 10 });
        assert_eq!(parse_words("model --minutes 2").unwrap(), Task::Model { minutes: 2 });
        assert!(matches!(parse_words("model deep"), Err(Refusal::Usage(_))));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, named) in [("deploy", "`deploy`"), ("setup now", "`now`"), ("build --fast", "`--fast`")] {
            let refusal = parse_words(line).unwrap_err();
            assert!(matches!(refusal, Refusal::Usage(_)), "{line}");
            assert!(refusal.to_string().contains(named), "{line}: {refusal}");
        }
    }

    #[test]
    fn no_task_at_all_shows_the_usage() {
        assert_eq!(parse_words("").unwrap(), Task::Help);
    }
}
