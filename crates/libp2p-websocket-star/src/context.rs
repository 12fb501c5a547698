//! What all parts of one transport share.

use libp2p_identity::{Keypair, PeerId};

use crate::{config::Config, gauges::Gauges};

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) keypair: Keypair,
    pub(crate) own: PeerId,
    pub(crate) gauges: Gauges,
}
