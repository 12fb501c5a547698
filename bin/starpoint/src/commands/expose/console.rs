//! What is typed while `expose` runs.

use std::io::IsTerminal as _;

use starpoint_node::PeerId;
use starpoint_tunnel::host::{Decision, Standing};

use crate::{
    commands::{
        expose::{Decider, Exposer},
        tunnel::{
            TunnelReport,
            approvals::{self, Unclear},
        },
    },
    setup::stars::warn,
    ui::{error::Failure, exit::Exit},
};

impl Exposer {
    /// Does what a line says. What cannot be done is warned of.
    pub(super) async fn execute(&mut self, line: &str) -> Result<(), Failure> {
        self.status.clear();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let peer = rest.trim();
        match word {
            "" => Ok(()),
            "y" | "yes" => self.settle(Decision::Accept, peer).await,
            "n" | "no" => self.settle(Decision::Decline, peer).await,
            "list" => self.list().await,
            "code" => self.print_code().await,
            "drop" if !peer.is_empty() => self.drop_client(peer).await,
            "unban" if !peer.is_empty() => self.unban(peer).await,
            _ => {
                warn(
                    "commands are y, n, y <peer>, n <peer>, list, drop <peer>, unban <peer> and code",
                );
                Ok(())
            }
        }
    }

    /// Decides about the client that is named, or the only one there ever was.
    async fn settle(&mut self, decision: Decision, end: &str) -> Result<(), Failure> {
        let waiting = self.standing(&[Standing::Waiting]).await?;
        match self.approvals.choose(end, &waiting) {
            Ok(client) => {
                self.asked.remove(&client);
                self.decide(client, decision).await
            }
            Err(unclear) => {
                warn(&unclear.to_string());
                Ok(())
            }
        }
    }

    /// Returns the peers that stand like that.
    async fn standing(&self, wanted: &[Standing]) -> Result<Vec<PeerId>, Failure> {
        let clients = self.host.clients().await.map_err(Failure::internal)?;
        let are_meant = clients
            .into_iter()
            .filter(|(_, standing)| wanted.contains(standing));
        Ok(are_meant.map(|(client, _)| client).collect())
    }

    async fn list(&mut self) -> Result<(), Failure> {
        for (client, standing) in self.host.clients().await.map_err(Failure::internal)? {
            self.tell_report(&TunnelReport::Client {
                client: client.to_string(),
                standing: match standing {
                    Standing::Waiting => "waiting",
                    Standing::Here => "here",
                    Standing::Away => "away",
                    Standing::Banned => "banned",
                },
            })?;
        }
        Ok(())
    }

    async fn drop_client(&self, text: &str) -> Result<(), Failure> {
        let clients = [Standing::Here, Standing::Away, Standing::Waiting];
        match named(text, &self.standing(&clients).await?) {
            Ok(peer) => {
                let dropped = self.host.drop_client(peer).await;
                dropped.map(drop).map_err(Failure::internal)
            }
            Err(unclear) => {
                warn(&unclear.to_string());
                Ok(())
            }
        }
    }

    async fn unban(&self, text: &str) -> Result<(), Failure> {
        match named(text, &self.standing(&[Standing::Banned]).await?) {
            Ok(peer) => {
                if !self.host.unban(peer).await.map_err(Failure::internal)? {
                    warn("this peer is not banned");
                }
            }
            Err(unclear) => warn(&unclear.to_string()),
        }
        Ok(())
    }

    /// Stdin has ended.
    pub(super) async fn nobody_decides(&mut self) -> Result<(), Failure> {
        self.decider = Decider::Nobody;
        for client in std::mem::take(&mut self.asked) {
            self.decide(client, Decision::Decline).await?;
        }
        self.check_purpose()
    }

    /// Ends when nobody is in and nobody can be let in any more.
    pub(super) fn check_purpose(&self) -> Result<(), Failure> {
        let lets_some_in =
            self.args.accept_all || self.args.accept_first || !self.args.allow.is_empty();
        if matches!(self.decider, Decider::Stdin(_)) || lets_some_in || !self.here.is_empty() {
            return Ok(());
        }
        let what = if std::io::stdin().is_terminal() {
            "the terminal has ended"
        } else {
            "stdin has ended"
        };
        Err(Failure::message(
            Exit::USAGE,
            format!("nobody can let clients in: {what}"),
            "run it in a terminal, or pass --allow <peer>, --accept-first or --accept-all",
        ))
    }
}

/// Returns a peer by its whole id, whoever it is, or one of `peers` by the end.
fn named(text: &str, peers: &[PeerId]) -> Result<PeerId, Unclear> {
    match text.parse() {
        Ok(peer) => Ok(peer),
        Err(_) => approvals::named(text, peers),
    }
}
