//! Rounds: in each one every target is measured, one after the other, so that what
//! else the machine does hits all of them.

use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::Exit,
    failure::{Failure, tell},
    modes::{Failed, Readings, Work},
    plan::Measure,
    target::Target,
};

/// What was measured of one case at one target.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) work: &'a Work,
    pub(crate) target: &'a Target,
    /// One for each round that succeeded.
    pub(crate) rounds: Vec<Readings>,
}

/// Measures until all is done, the time is over, or a signal comes; returns the
/// rows in order, and how it ended.
///
/// # Errors
///
/// Signals cannot be caught.
pub(crate) async fn run(plan: &Measure) -> Result<(Vec<Row<'_>>, Exit), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::internal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::internal)?;
    let mut rows = rows(plan);
    let exit = tokio::select! {
        exit = measure(plan, &mut rows) => exit,
        () = tokio::time::sleep(plan.max_time) => {
            tell("stopped: the time of --max-seconds is over");
            Exit::TIME
        }
        _ = interrupt.recv() => Exit::INTERRUPTED,
        _ = terminate.recv() => Exit::INTERRUPTED,
    };
    rows.retain(|row| !row.rounds.is_empty());
    Ok((rows, exit))
}

/// Returns a row for each case and each target that it fits.
fn rows(plan: &Measure) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for work in &plan.works {
        for target in plan.targets.iter().filter(|target| work.fits(target)) {
            rows.push(Row {
                work,
                target,
                rounds: Vec::new(),
            });
        }
    }
    if let Some(work) = plan.works.first() {
        for target in plan.targets.iter().filter(|target| !work.fits(target)) {
            tell(&format!(
                "left out: {} says nothing about {}",
                work.mode(),
                target.name
            ));
        }
    }
    rows
}

async fn measure(plan: &Measure, rows: &mut [Row<'_>]) -> Exit {
    let began = Instant::now();
    let (mut n_failed, mut n_done) = (0, 0);
    let mut is_started = true;
    for round in 1..=plan.rounds {
        for row in &mut *rows {
            let labels: Vec<_> = row.work.labels().iter().map(ToString::to_string).collect();
            let what = format!("{} {}", row.target.name, labels.join(" "));
            tell(&format!(
                "{:>5.0}s round {round}/{} {} {what}",
                began.elapsed().as_secs_f64(),
                plan.rounds,
                row.work.mode()
            ));
            match row.work.measure(row.target).await {
                Ok(readings) => {
                    row.rounds.push(readings);
                    n_done += 1;
                }
                Err(failed) => {
                    n_failed += 1;
                    let (Failed::Starting(error) | Failed::Measuring(error)) = &failed;
                    tell(&format!("failed: {what}: {error:#}"));
                    is_started &= matches!(failed, Failed::Measuring(_));
                }
            }
        }
    }
    match (n_failed, n_done) {
        (0, _) => Exit::OK,
        (_, 0) => Exit::TARGET,
        _ if is_started => Exit::PARTIAL,
        _ => Exit::TARGET,
    }
}
