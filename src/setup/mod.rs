//! Setting up: first contact over SSH, what an exporter needs of Proxmox VE there, and whether all of it works.
//!
//! ```text
//! live       tries all that a configuration names, and says what is missing
//!
//! plain      what a host said, fit for a terminal
//! quote      words → one line of POSIX shell that passes exactly these words
//! node       such a command on a host, as root, bounded in time and size
//! detect     what a host is: Proxmox VE, or something else
//! facts      what pveum and pvesh tell: users, tokens, rights, nodes (answers: their JSON)
//! bootstrap  what is there and what is wanted → steps, without asking anybody (account: whose)
//! carry_out  the steps, one command each
//! token_file where the secret is kept (sharing: who may read it)
//! document   the configuration to print
//! mint       a token that a node makes anew whenever it is asked, by a key that can do nothing else
//! ```
//!
//! What a host says never becomes part of a command: commands are made of constants and of what was typed here.

mod account;
mod answers;
pub mod bootstrap;
mod carry_out;
pub mod detect;
pub mod document;
mod error;
mod facts;
pub mod live;
pub mod mint;
mod node;
mod plain;
mod quote;
mod sharing;
mod token_file;

pub use account::{Account, Acts, token_name};
pub use carry_out::carry_out;
pub use error::Error;
pub use facts::{Access, Member, Membership, access, is_cluster_name, membership, need_pool};
pub use node::Node;
pub use plain::{is_plain, plain};
pub use quote::{Call, quote};
pub use sharing::share;
pub use token_file::TokenFile;
