mod ends;
mod peer;
mod time;
mod transfer;
