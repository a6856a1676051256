//! What can go wrong with a host, on demand.

use bytes::Bytes;

/// A way for a host to fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SshFault {
    /// None.
    #[default]
    None,
    /// The TCP connection is accepted, and then there is silence.
    HangAtGreeting,
    /// These bytes instead of SSH, then the end; or, where `stay` is set, silence.
    Greeting {
        /// Sent at once.
        bytes: Bytes,
        /// Whether the connection stays open.
        stay: bool,
    },
    /// New connections are reset.
    ResetAtGreeting,
    /// The login is never answered.
    HangAtLogin,
    /// A command is begun and prints nothing.
    HangInCommand,
    /// As before, and the client's wish to close the channel is ignored too: nothing more is said on the connection.
    VanishInCommand,
    /// Half the output, then the channel is closed without an exit status.
    HalfOutput,
    /// Half the output, then the connection is reset.
    Reset,
    /// The command prints so many bytes of noise, if anybody reads them.
    Noise {
        /// In all.
        bytes: u64,
    },
    /// The same on standard error, then the output as it should be.
    NoiseOnStderr {
        /// In all.
        bytes: u64,
    },
    /// Commands are refused.
    RefuseCommand,
}
