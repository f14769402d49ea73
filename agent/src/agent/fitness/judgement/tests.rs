//! The judgement, case by case.

use super::*;
use crate::etcd::{Cause, Errand};

const MIB: u64 = 1 << 20;

fn member() -> Member {
    Member {
        version: "3.5.21".to_owned(),
        size: 20 * MIB,
        in_use: 10 * MIB,
        quota: None,
        is_full: false,
        is_corrupt: false,
        revision: 1_000_000,
        compacted: 990_000,
        shortest_lease: Some(1),
    }
}

fn commits_of(median: u64, slowest: u64) -> Commits {
    Commits { median: Duration::from_millis(median), slowest: Duration::from_millis(slowest) }
}

fn survey(members: impl IntoIterator<Item = Member>) -> Survey {
    let members = members.into_iter().map(|member| ("http://a:2379".to_owned(), Ok(member)));
    Survey { members: members.collect(), commits: Some(Ok(commits_of(1, 3))) }
}

fn machine() -> Machine {
    Machine { clock_source: Some("tsc".to_owned()), shift: None }
}

fn failure(cause: Cause) -> Failure {
    Failure { endpoint: "http://b:2379".to_owned(), errand: Errand::Survey, cause }
}

/// What is found about one thing, and how it fits.
#[track_caller]
fn of(about: &str, survey: &Survey, machine: &Machine, timing: Timing) -> (Fitness, String) {
    let findings = judge(survey, machine, timing);
    let found = findings.into_iter().find(|finding| finding.about == about);
    let Finding { fitness, found, advice, .. } = found.unwrap_or_else(|| panic!("nothing about {about}"));
    assert_eq!(
        advice.is_some(),
        fitness > Fitness::Fine,
        "{about}: advice exactly where there is something to do"
    );
    assert!(advice.as_ref().is_none_or(|advice| !advice.is_empty()), "{about}: {found}");
    (fitness, format!("{found}; {}", advice.unwrap_or_default()))
}

#[test]
fn a_sound_etcd_on_a_sound_machine_is_fine() {
    let findings = judge(&survey([member(), member(), member()]), &machine(), Timing::STEADY);
    let worst = findings.iter().max_by_key(|finding| finding.fitness).unwrap();
    assert_eq!(worst.fitness, Fitness::Fine, "{worst:?}");
    let about: Vec<_> = findings.iter().map(|finding| finding.about).collect();
    for expected in [
        "endpoints",
        "version",
        "election time-out",
        "commits",
        "database",
        "compaction",
        "clock source",
        "time namespace",
    ] {
        assert!(about.contains(&expected), "{about:?} lacks {expected}");
    }
}

#[test]
fn endpoints_that_fail_are_told_with_their_reasons() {
    let of = |survey: &Survey| of("endpoints", survey, &machine(), Timing::DEFAULT);
    assert_eq!(of(&survey([member()])).0, Fitness::Fine);
    let mut one_gone = survey([member()]);
    one_gone.members.push(("http://b:2379".to_owned(), Err(failure(Cause::Refused))));
    let (fitness, told) = of(&one_gone);
    assert_eq!(fitness, Fitness::Advice);
    assert!(told.contains("1 of 2") && told.contains("http://b:2379") && told.contains("refused"), "{told}");
    one_gone.members.retain(|(_, member)| member.is_err());
    assert_eq!(of(&one_gone).0, Fitness::Unworkable);
}

#[test]
fn an_election_is_held_against_what_a_right_rides_out() {
    for (lease, timing, fitness, words) in [
        (1, Timing::STEADY, Fitness::Fine, "which rights outlast"),
        (2, Timing::STEADY, Fitness::Fine, "dark for up to 220.0ms at worst"),
        (1, Timing::DEFAULT, Fitness::Fine, "dark for up to 490.0ms at worst"),
        (
            2,
            Timing::DEFAULT,
            Fitness::Advice,
            "each time more than the 800ms that rights outlast: VIPs dark for up to 1.4s",
        ),
        (1, Timing::FAST, Fitness::Fine, "of which rights outlast 400ms"),
        (2, Timing::FAST, Fitness::Advice, "dark for up to 1.8s"),
        (1, Timing::FASTEST, Fitness::Advice, "--election-timeout 500"),
        (4, Timing::STEADY, Fitness::Advice, "between 2000 and 2666 ms"),
    ] {
        let member = Member { shortest_lease: Some(lease), ..member() };
        let (found, told) = of("election time-out", &survey([member]), &machine(), timing);
        assert_eq!(found, fitness, "{lease} s, {timing:?}: {told}");
        assert!(told.contains(words), "{told} lacks {words}");
    }
}

#[test]
fn the_slowest_member_speaks_for_the_elections_and_a_silent_one_not_at_all() {
    let with = |lease| Member { shortest_lease: lease, ..member() };
    let told = of(
        "election time-out",
        &survey([with(Some(1)), with(Some(2)), with(None)]),
        &machine(),
        Timing::STEADY,
    );
    assert!(told.1.contains("between 666 and 1333 ms"), "{}", told.1);
    let findings = judge(&survey([with(None)]), &machine(), Timing::STEADY);
    assert!(findings.iter().all(|finding| finding.about != "election time-out"));
}

#[test]
fn commits_are_held_against_what_a_renewal_has() {
    // D − R: 2000, 800, 400, 200 ms.
    for (commits, timing, fitness) in [
        (commits_of(1, 3), Timing::FASTEST, Fitness::Fine),
        (commits_of(16, 39), Timing::FASTEST, Fitness::Fine),
        (commits_of(16, 67), Timing::FASTEST, Fitness::Advice),
        (commits_of(51, 60), Timing::FASTEST, Fitness::Advice),
        (commits_of(200, 300), Timing::FASTEST, Fitness::Unworkable),
        (commits_of(86, 152), Timing::DEFAULT, Fitness::Fine),
        (commits_of(86, 267), Timing::DEFAULT, Fitness::Advice),
        (commits_of(86, 5000), Timing::DEFAULT, Fitness::Advice),
        (commits_of(799, 800), Timing::DEFAULT, Fitness::Advice),
        (commits_of(800, 800), Timing::DEFAULT, Fitness::Unworkable),
        (commits_of(800, 900), Timing::STEADY, Fitness::Advice),
    ] {
        let survey = Survey { commits: Some(Ok(commits)), ..survey([member()]) };
        let (found, told) = of("commits", &survey, &machine(), timing);
        assert_eq!(found, fitness, "{commits:?}, {timing:?}: {told}");
    }
    for cause in [Cause::Denied, Cause::Full, Cause::Silent(Duration::from_secs(3))] {
        let survey = Survey { commits: Some(Err(failure(cause.clone()))), ..survey([member()]) };
        let (fitness, told) = of("commits", &survey, &machine(), Timing::STEADY);
        assert_eq!(fitness, Fitness::Unworkable);
        assert!(told.contains(&cause.to_string()), "{told}");
    }
}

#[test]
fn a_database_is_told_of_well_before_it_is_full() {
    let of = |member| of("database", &survey([member]), &machine(), Timing::DEFAULT);
    for (size, quota, fitness) in [
        (1433 * MIB, None, Fitness::Fine),
        (1434 * MIB, None, Fitness::Advice),
        (1434 * MIB, Some(8192 * MIB), Fitness::Fine),
        (70 * MIB, Some(100 * MIB), Fitness::Advice),
        (0, Some(1), Fitness::Fine),
        (u64::MAX, None, Fitness::Advice),
    ] {
        let (found, told) = of(Member { size, quota, ..member() });
        assert_eq!(found, fitness, "{size} of {quota:?}: {told}");
        assert_eq!(told.contains("default quota"), quota.is_none(), "{told}");
    }
    let (fitness, told) = of(Member { is_full: true, ..member() });
    assert_eq!(fitness, Fitness::Unworkable);
    assert!(told.contains("NOSPACE") && told.contains("alarm disarm"), "{told}");
    assert_eq!(of(Member { is_corrupt: true, ..member() }).0, Fitness::Unworkable);
}

#[test]
fn somebody_must_compact_and_often_enough() {
    let of = |member| of("compaction", &survey([member]), &machine(), Timing::DEFAULT);
    for (revision, compacted, fitness) in [
        (10, 0, Fitness::Advice),
        (1_000_000, 990_000, Fitness::Fine),
        (4_000_000, 1_000_000, Fitness::Fine),
        // 3.5 million revisions of 155 bytes are a quarter of 2 GiB.
        (4_700_000, 1_000_000, Fitness::Advice),
        (5, 5, Fitness::Fine),
    ] {
        let (found, told) = of(Member { revision, compacted, ..member() });
        assert_eq!(found, fitness, "{revision}, {compacted}: {told}");
    }
    let (_, told) = of(Member { compacted: 0, ..member() });
    // 5 renewals a second of 155 bytes.
    assert!(told.contains("63.8 MiB a day") && told.contains("--auto-compaction-mode"), "{told}");
}

#[test]
fn a_slow_or_coarse_clock_is_told_of_and_a_shifted_one_is_unworkable() {
    let of = |about, machine: &Machine| of(about, &survey([member()]), machine, Timing::DEFAULT);
    for (source, fitness) in [
        (Some("tsc"), Fitness::Fine),
        (Some("kvm-clock"), Fitness::Fine),
        (Some("arch_sys_counter"), Fitness::Fine),
        (Some("hpet"), Fitness::Advice),
        (Some("acpi_pm"), Fitness::Advice),
        (Some("jiffies"), Fitness::Advice),
        (None, Fitness::Fine),
    ] {
        let machine = Machine { clock_source: source.map(str::to_owned), ..machine() };
        assert_eq!(of("clock source", &machine).0, fitness, "{source:?}");
    }
    let shifted = Machine { shift: Some("-5 s and 0 ns".to_owned()), ..machine() };
    let (fitness, told) = of("time namespace", &shifted);
    assert_eq!(fitness, Fitness::Unworkable);
    assert!(told.contains("-5 s"), "{told}");
}
