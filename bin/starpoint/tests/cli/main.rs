//! The program as a shell sees it: arguments, variables, files, output, exit
//! codes and signals.

mod failures;
mod folder;
mod help;
mod lifecycle;
mod output;
mod program;
mod settings;
mod shutdown;
