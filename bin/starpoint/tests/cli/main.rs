//! The program as a shell sees it: arguments, variables, files, output, exit
//! codes and signals.

mod approval;
mod bad_stars;
mod failures;
mod folder;
mod half_open;
mod help;
mod identity;
mod known_stars;
mod lifecycle;
mod netcat;
mod odd_files;
mod output;
mod peers;
mod pipe;
mod program;
mod proxy;
mod reach;
mod rebinding;
mod session_code;
mod settings;
mod shutdown;
mod stage;
mod tls;
mod tunnel;
