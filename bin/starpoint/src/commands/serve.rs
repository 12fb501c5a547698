//! `starpoint serve`: runs a star.

mod args;
mod failure;
mod file;
mod key;
mod open_files;
mod run;
mod settings;
mod value;

pub(crate) use args::RawArgs;

use crate::ui::{error::Failure, exit::Exit, log, stdout};
use settings::Plan;

/// Does what `args` ask for, until it is done or the star is stopped.
///
/// # Errors
///
/// Settings that cannot be used, or a star that cannot start.
pub(crate) fn execute(args: RawArgs) -> Result<Exit, Failure> {
    match Plan::from_args(args)? {
        Plan::PrintConfig(text) => {
            stdout::write(&text).map_err(Failure::internal)?;
            Ok(Exit::OK)
        }
        Plan::Serve(settings) => {
            log::init(&settings.log, settings.log_format)?;
            run::run(&settings)
        }
    }
}
