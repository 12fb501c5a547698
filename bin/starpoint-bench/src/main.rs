//! Load and latency of a star, beside other relays.
//!
//! ```text
//!  cli ─► plan ─► run ──┬─► target    starts `starpoint serve`, or `compare`: this
//!                       │             program again, as another relay
//!                       └─► modes ──► party   peers: transports, swarms, sockets
//!                             │       load    what they do with their streams
//!                             └─────► process, metrics   what the server pays
//!  report ─► table, plot
//! ```
//!
//! Results go to stdout, progress to stderr; [`exit`] lists the exit codes.

mod cli;
mod plan;
mod run;

mod modes;

mod compare;
mod load;
mod party;
mod profile;
mod target;
mod tunnel;

mod metrics;
mod process;
mod stats;

mod plot;
mod report;
mod table;

mod exit;
mod failure;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use exit::Exit;
use failure::Failure;
use plan::{Form, Measure, Plan};
use report::Outcome;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing ran before that could have installed another");
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        // Prints help to stdout and what is wrong to stderr, as the shell expects.
        Err(error) => error.exit(),
    };
    let done = Plan::new(cli.command, cli.common).and_then(execute);
    done.unwrap_or_else(|failure| failure.report()).into()
}

fn execute(plan: Plan) -> Result<Exit, Failure> {
    // What cannot be raised is told by the measurement that needs it.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    match plan {
        Plan::Relay(relay, proxy) => {
            let outcome = runtime.block_on(relay.run(proxy));
            // A read of stdin may hang, and nobody waits for it.
            runtime.shutdown_background();
            outcome.map(|()| Exit::OK).map_err(Failure::internal)
        }
        Plan::Measure(plan) => {
            let (rows, exit) = runtime.block_on(run::run(&plan))?;
            let outcomes = report::outcomes(&plan, &rows);
            write(&plan, &outcomes)?;
            Ok(exit)
        }
    }
}

fn write(plan: &Measure, outcomes: &[Outcome]) -> Result<(), Failure> {
    let text = match plan.form {
        Form::Table => table::render(outcomes),
        Form::Json => outcomes
            .iter()
            .map(|outcome| format!("{}\n", outcome.to_json()))
            .collect(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has gone has what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::internal(error));
        }
        Ok(()) | Err(_) => {}
    }
    let Some(folder) = &plan.svg else {
        return Ok(());
    };
    plot::write(folder, outcomes).map_err(|error| {
        let hint = "name a folder that can be written with --svg";
        Failure::new(Exit::INTERNAL, error, hint)
    })
}
